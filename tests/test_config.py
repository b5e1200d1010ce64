from __future__ import annotations

import math
from pathlib import Path

import msgspec
import pytest

from flip_edge import Config, ConfigError, load_config
from flip_edge.config import LIVE, settings, to_config


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_yaml_sets_what_it_names_and_leaves_the_rest(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, "rule: f1\nf1_threshold: 0.5\nn_threads: 2\n"))
    assert (config.rule, config.f1_threshold, config.n_threads) == ("f1", 0.5, 2)
    assert config.prompt == Config().prompt


def test_an_empty_file_is_the_default(tmp_path: Path) -> None:
    assert load_config(write(tmp_path, "# nothing\n")) == Config()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("f1_treshold: 0.5", "unknown key 'f1_treshold'; did you mean 'f1_threshold'"),
        ("zzz: 1", "unknown key 'zzz'; known: model"),
        ("f1_threshold: high", "f1_threshold is 'high'"),
        ("f1_threshold: .nan", "f1_threshold is nan"),
        ("f1_threshold: 1.2", "f1_threshold is 1.2"),
        ("gain_threshold: .inf", "gain_threshold is inf"),
        ("rule: vibes", "rule is 'vibes'"),
        ("n_threads: true", "n_threads is True"),
        ("n_threads: 1.5", "n_threads is 1.5"),
        ("max_steps: 0", "max_steps is 0"),
        ("model: ''", "model is ''"),
        ("- a\n- b", "expected keys and values, got list"),
        ("a: [", "cannot read the configuration"),
    ],
)
def test_errors_name_the_file_the_key_and_the_value(tmp_path: Path, text: str, why: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert str(path) in str(caught.value)
    assert why in str(caught.value)


def test_a_missing_or_binary_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read"):
        load_config(tmp_path / "none.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="cannot read"):
        load_config(tmp_path / "binary.yaml")


def test_replace_validates() -> None:
    assert Config().replace(rule="f1").rule == "f1"
    with pytest.raises(ConfigError, match="deadline_s"):
        Config().replace(deadline_s=math.nan)


def test_settings_describe_every_key_for_others_to_declare() -> None:
    rows = {row.name: row for row in settings()}
    assert list(rows) == list(Config.__struct_fields__)
    assert set(rows) >= LIVE
    for row in rows.values():
        assert row.description.endswith(".")
        assert row.default == getattr(Config(), row.name)
        if not isinstance(row.default, str):
            assert row.low is not None
            assert row.high is not None
            for bad in (row.low - 1, row.high + 1):
                with pytest.raises(ConfigError, match=row.name):
                    to_config({row.name: type(row.default)(bad)})
    assert set(rows["rule"].choices) == {"f1", "likelihood", "calibrated"}
    assert to_config(msgspec.to_builtins(Config())) == Config()
