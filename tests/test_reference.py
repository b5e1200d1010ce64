"""Every setting written out: what is printed must be what the code reads."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from flip_edge.cli import main
from flip_edge.config import LIVE, Config, settings, to_config
from flip_edge.reference import as_markdown, as_ros, as_yaml

HERE = Path(__file__).parents[1]


def test_the_printed_configuration_is_the_default_and_has_every_setting() -> None:
    data = yaml.safe_load(as_yaml())
    assert to_config(data) == Config()
    assert list(data) == list(Config.__struct_fields__)


def test_the_printed_parameters_are_those_of_the_package() -> None:
    kept = HERE / "ros2_ws" / "src" / "flip_edge_ros" / "config" / "self_check.yaml"
    assert kept.read_text(encoding="utf-8") == as_ros(), "make it anew: flip-edge settings --format ros"


def test_the_page_is_the_one_in_the_documentation() -> None:
    kept = (HERE / "docs" / "settings.md").read_text(encoding="utf-8")
    assert kept == as_markdown(), "make it anew: flip-edge settings --format markdown"


def test_the_page_has_every_setting_with_its_default_and_whether_it_is_live() -> None:
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in as_markdown().splitlines() if "| `" in line]
    assert [row[0].strip("`") for row in rows] == [setting.name for setting in settings()]
    assert {row[0].strip("`") for row in rows if row[3] == "yes"} == LIVE
    for row, setting in zip(rows, settings(), strict=True):
        assert yaml.safe_load(row[1].strip("`")) == setting.default
        assert row[4] == setting.description


def test_no_line_is_longer_than_a_screen() -> None:
    assert max(len(line) for line in (as_yaml() + as_ros()).splitlines()) <= 120


@pytest.mark.parametrize(("options", "expected"), [([], as_yaml), (["--format", "ros"], as_ros)])
def test_the_command_prints_it(options: list[str], expected, capsys: pytest.CaptureFixture[str]) -> None:  # type: ignore[no-untyped-def]
    assert main(["settings", *options]) == 0
    assert capsys.readouterr().out == expected()
