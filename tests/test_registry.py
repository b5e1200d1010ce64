import hashlib
from pathlib import Path
from typing import Any

import pytest
import yaml

from flip_edge import registry
from flip_edge.errors import ConfigError
from flip_edge.prompts import load_prompt
from flip_edge.registry import cache_dir, data_dir, load_registry


def entry(**changes: Any) -> dict[str, Any]:
    """A valid entry; a change to None takes the key out."""
    base = {
        "id": "tiny",
        "description": "a tiny model",
        "file": "tiny.gguf",
        "size": 3,
        "sha256": "ab" * 32,
        "licence": "MIT",
        "prompt": "log-command",
        "source": {
            "kind": "package",
            "parts": [{"requirement": "tiny-model==1.0", "member": "tiny/tiny.gguf"}],
        },
    }
    return {key: value for key, value in (base | changes).items() if value is not None}


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FLIP_EDGE_REGISTRY", raising=False)
    monkeypatch.delenv("FLIP_EDGE_CACHE", raising=False)


def write(path: Path, *entries: Any) -> Path:
    path.write_text(yaml.safe_dump({"models": list(entries)}))
    return path


def test_our_registry_has_one_default_and_prompts_that_exist() -> None:
    entries = load_registry()
    assert [name for name, model in entries.items() if model.default] == ["smollm2-135m-instruct-q4_1"]
    for model in entries.values():
        load_prompt(model.prompt)


def test_the_users_entries_come_over_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = load_registry()
    own = write(tmp_path / "own.yaml", entry(), entry(id="gemma-3-270m-q4_k_m", size=7))
    merged = load_registry(own)
    assert set(merged) == {*ours, "tiny"}
    assert merged["gemma-3-270m-q4_k_m"].size == 7
    assert merged["smollm2-135m-instruct-q4_1"].default
    monkeypatch.setenv("FLIP_EDGE_REGISTRY", str(own))
    assert load_registry() == merged


def test_a_default_of_the_users_takes_the_place_of_ours(tmp_path: Path) -> None:
    merged = load_registry(write(tmp_path / "own.yaml", entry(default=True)))
    assert [name for name, model in merged.items() if model.default] == ["tiny"]


def test_a_relative_path_starts_at_the_registry_file(tmp_path: Path) -> None:
    source = {"kind": "path", "path": "weights/tiny.gguf"}
    merged = load_registry(write(tmp_path / "own.yaml", entry(source=source)))
    assert merged["tiny"].source == registry.PathSource(str(tmp_path / "weights" / "tiny.gguf"))


def adapter(**changes: Any) -> dict[str, Any]:
    base = {"id": "robots", "description": "an adapter", "path": "adapters/robots.gguf", "size": 3}
    return base | {"sha256": "ab" * 32, "licence": "MIT", "prompt": "log-command-bare"} | changes


def test_an_adapter_lies_beside_the_registry_file(tmp_path: Path) -> None:
    merged = load_registry(write(tmp_path / "own.yaml", entry(adapter=adapter())))
    found = merged["tiny"].adapter
    assert found is not None
    assert (found.id, found.path) == ("robots", str(tmp_path / "adapters" / "robots.gguf"))
    absolute = load_registry(write(tmp_path / "own.yaml", entry(adapter=adapter(path="/a/b.gguf"))))["tiny"].adapter
    assert absolute is not None
    assert absolute.path == "/a/b.gguf"


def test_our_adapter_ships_and_is_small() -> None:
    (model,) = [model for model in load_registry().values() if model.adapter]
    assert model.default
    assert model.adapter is not None
    file = Path(model.adapter.path)
    assert file.stat().st_size == model.adapter.size <= 20_000_000
    assert hashlib.sha256(file.read_bytes()).hexdigest() == model.adapter.sha256
    card = file.with_suffix(".md").read_text(encoding="utf-8")
    for part in ("Data", "Licence", "Recipe", "Figures", "Limits"):
        assert f"## {part}" in card
    load_prompt(model.adapter.prompt)


def parts(**changes: Any) -> dict[str, Any]:
    return {"kind": "package", "parts": [{"requirement": "a==1", "member": "a.gguf"} | changes]}


def hub(**changes: Any) -> dict[str, Any]:
    return {"kind": "huggingface", "repo_id": "a/b", "filename": "a.gguf", "revision": "main"} | changes


@pytest.mark.parametrize(
    ("bad", "named"),
    [
        (entry(sizes=3), "unknown field `sizes`"),
        (entry(size=None), "missing required field `size`"),
        (entry(size=0), r"\$\.size"),
        (entry(size="3 MB"), r"\$\.size"),
        (entry(sha256="ab" * 31), r"\$\.sha256"),
        (entry(sha256="AB" * 32), r"\$\.sha256"),
        (entry(sha256="ab" * 32 + "\n"), r"\$\.sha256"),
        (entry(sha256=123), r"\$\.sha256"),
        (entry(id="../up"), r"\$\.id"),
        (entry(id="default"), r"\$\.id"),
        (entry(file="a/b.gguf"), r"\$\.file"),
        (entry(file="model.bin"), r"\$\.file"),
        (entry(prompt=""), r"\$\.prompt"),
        (entry(source={"kind": "ftp"}), "ftp"),
        (entry(source={"kind": "package", "parts": []}), r"\$\.source\.parts"),
        (entry(source=parts(requirement="tiny-model")), "requirement"),
        (entry(source=parts(requirement="tiny-model>=1")), "requirement"),
        (entry(source=parts(requirement="tiny-model==1.*")), "requirement"),
        (entry(source=parts(requirement="--index-url=http://x==1")), "requirement"),
        (entry(source=parts(url="x")), "unknown field `url`"),
        (entry(source=hub(filename="../../etc/passwd")), r"\$\.source\.filename"),
        (entry(source=hub(repo_id="nobody")), r"\$\.source\.repo_id"),
        (entry(source={"kind": "path", "path": "/models/other.gguf"}), "other.gguf"),
        ("tiny", "Expected `object`"),
    ],
)
def test_a_bad_entry_is_named(tmp_path: Path, bad: Any, named: str) -> None:
    own = write(tmp_path / "own.yaml", entry(id="good"), bad)
    with pytest.raises(ConfigError, match=named) as raised:
        load_registry(own)
    assert f"{own}: entry 2" in str(raised.value)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "one key, `models`"),
        ("[]", "one key, `models`"),
        ("models: {}", "one key, `models`"),
        ("models: []\nmore: 1", "one key, `models`"),
        ("models: [", "cannot read"),
        (yaml.safe_dump({"models": [entry(), entry()]}), "'tiny' stands there twice"),
        (yaml.safe_dump({"models": [entry(default=True), entry(id="b", default=True)]}), "tiny, b"),
        (yaml.safe_dump({"models": [entry(id="smollm2-135m-instruct-q4_1")]}), "no default"),
    ],
)
def test_a_bad_file_is_named(tmp_path: Path, text: str, named: str) -> None:
    own = tmp_path / "own.yaml"
    own.write_text(text)
    with pytest.raises(ConfigError, match=named) as raised:
        load_registry(own)
    assert str(own) in str(raised.value)


def test_a_missing_or_unreadable_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLIP_EDGE_REGISTRY", str(tmp_path / "none.yaml"))
    with pytest.raises(ConfigError, match=r"none\.yaml.*FLIP_EDGE_REGISTRY"):
        load_registry()
    (tmp_path / "latin.yaml").write_bytes(b"models: [\xe9]")
    with pytest.raises(ConfigError, match=r"cannot read .*latin\.yaml"):
        load_registry(tmp_path / "latin.yaml")


def test_data_dir_in_a_checkout_in_a_wheel_and_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (data_dir() / "registry.yaml").is_file()
    monkeypatch.setattr(registry, "_HERE", tmp_path / "flip_edge")
    with pytest.raises(ConfigError, match="install flip_edge again"):
        data_dir()
    for folder in (tmp_path / "models", tmp_path / "flip_edge" / "_models"):
        folder.mkdir(parents=True)
        (folder / "registry.yaml").touch()
        assert data_dir() == folder


def test_cache_dir_honours_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert tmp_path in cache_dir().parents
    monkeypatch.setenv("FLIP_EDGE_CACHE", "~/elsewhere")
    assert cache_dir() == tmp_path / "elsewhere"
    monkeypatch.setenv("FLIP_EDGE_CACHE", "")
    assert cache_dir().name == "flip_edge"


def test_the_sources_in_the_readme_are_valid(tmp_path: Path) -> None:
    text = (data_dir() / "README.md").read_text()
    whole, *sources = [block.split("```")[0] for block in text.split("```yaml\n")[1:]]
    model = yaml.safe_load(whole)["models"][0]
    others = [
        model | yaml.safe_load(source) | {"id": f"other-{n}", "default": False} for n, source in enumerate(sources)
    ]
    merged = load_registry(write(tmp_path / "own.yaml", model, *others))
    assert {type(merged[name].source) for name in ("my-model", "other-0", "other-1")} == {
        registry.PathSource,
        registry.HubSource,
        registry.PackageSource,
    }
