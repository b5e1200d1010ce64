"""What the package ships beside its code: the parameter file, the launch file, the README."""

from __future__ import annotations

from pathlib import Path
from runpy import run_path

import pytest
import yaml

pytest.importorskip("rclpy", reason="needs real ROS 2: pip install 'flip_edge[ros]'")

from flip_edge.config import LIVE, settings

from .conftest import Connect, StartNode

pytestmark = pytest.mark.ros

PACKAGE = Path(__file__).parents[2] / "ros2_ws" / "src" / "flip_edge_ros"
PARAMETERS = PACKAGE / "config" / "self_check.yaml"
LAUNCH = PACKAGE / "launch" / "self_check.launch.py"
DEFAULTS: dict[str, object] = {"autostart": True, **{row.name: row.default for row in settings()}}


def test_the_parameter_file_has_every_parameter_with_its_default() -> None:
    data = yaml.safe_load(PARAMETERS.read_text(encoding="utf-8"))
    assert list(data) == ["/**"]
    values = data["/**"]["ros__parameters"]
    assert values == DEFAULTS
    # A whole number in YAML would be an integer parameter, and refused where a real is declared.
    assert {name: type(value) for name, value in values.items()} == {name: type(v) for name, v in DEFAULTS.items()}


@pytest.mark.model
def test_the_node_takes_the_parameter_file(start_node: StartNode, connect: Connect) -> None:
    node = start_node(arguments=("--params-file", str(PARAMETERS)), autostart=False)
    client = connect(node)
    ros_own = ("use_sim_time", "start_type_description_service", "qos_overrides.")
    assert {name for name in client.declared() if not name.startswith(ros_own)} == set(DEFAULTS)
    assert dict(zip(DEFAULTS, client.get(*DEFAULTS), strict=True)) == {**DEFAULTS, "autostart": False}


def test_the_readme_tells_every_parameter() -> None:
    rows = {}
    for line in (PACKAGE / "README.md").read_text(encoding="utf-8").splitlines():
        cells = [cell.strip(" `") for cell in line.strip("|").split("|")]
        if cells[0] in DEFAULTS:
            rows[cells[0]] = cells[1:4]
    expected = {"autostart": ["true", "", ""]}
    for row in settings():
        limits = ", ".join(row.choices) if row.low is None else f"{row.low} to {row.high}"
        expected[row.name] = [str(row.default), limits, "yes" if row.name in LIVE else ""]
    assert rows == expected


def test_the_launch_file_compiles() -> None:
    compile(LAUNCH.read_text(encoding="utf-8"), str(LAUNCH), "exec")


def test_the_launch_file_loads() -> None:
    pytest.importorskip("launch_ros", reason="launch_ros is in no package registry; it comes with ROS from apt")
    from launch.actions import DeclareLaunchArgument
    from launch_ros.actions import LifecycleNode

    entities = run_path(str(LAUNCH))["generate_launch_description"]().entities
    arguments = [entity.name for entity in entities if isinstance(entity, DeclareLaunchArgument)]
    assert arguments == ["namespace", "params_file", "autostart", "use_sim_time", "log_level"]
    assert sum(isinstance(entity, LifecycleNode) for entity in entities) == 1
