"""`flip-edge bench`: real measurements, few of them, and a report that says what was measured."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from flip_edge import Config, bench
from flip_edge.bench import Footprint, Overrun, Point, Report, Timing, episodes
from flip_edge.bench_report import picture, table
from flip_edge.cli import main
from flip_edge.engine import Engine
from flip_edge.errors import ConfigError
from flip_edge.prompts import Piece, Query

REPORT = Report(
    model_id="m",
    prompt_id="p/1",
    n_threads=1,
    processors=2,
    timings=[
        Timing("short", "llama.cpp alone, the same tokens", 0.2, 1.0, 1.0, 1.0, 3),
        Timing("short", "all at once", 0.25, 1.25, 1.1, 1.4, 3),
    ],
    scaling=[Point("steps", 1, 0.1, "10 tokens"), Point("steps", 2, 0.3)],
    overruns=[Overrun(0.05, 0.001, 0.004, 0.005, 30, True), Overrun(0.2, 0.001, 0.002, 0.003, 30, False)],
    footprint=Footprint(0.5, 0.2, 100_000_000, 220_000_000, 1_500_000, 30, True),
    characters_per_token=3.5,
    joules_a_check=None,
)


def test_the_runs_grow() -> None:
    runs = episodes()
    assert list(runs) == ["short", "median", "long"]
    assert len(runs["median"].steps) == 10
    lengths = [len(run.steps) for run in runs.values()]
    assert lengths == sorted(lengths)
    assert not any(run.problem() for run in runs.values())


def test_the_table_says_what_was_measured() -> None:
    text = table(REPORT)
    for part in (
        "m, prompt p/1, 1 of 2 processors",
        "all at once                                250      1.25   [1.10, 1.40]",
        "2       300 ms    3.00 x",
        "50               1.0               4.0     5.0      30  the next check as on a fresh engine",
        "THE NEXT CHECK WAS NOT AS ON A FRESH ENGINE",
        "220 MB resident: model files, 100 MB, and 120 MB; 1.5 MB more after 30 checks",
        "the last verdicts are the first ones, to the bit",
        "energy: this machine does not tell",
    ):
        assert part in text, text
    changed = msgspec.structs.replace(
        REPORT, footprint=msgspec.structs.replace(REPORT.footprint, same=False), joules_a_check=1.25
    )
    assert "NOT the first ones" in table(changed)
    assert "1.25 J a check" in table(changed)


def test_a_picture_is_drawn(tmp_path: Path) -> None:
    picture(REPORT, tmp_path / "bench.svg")
    assert "all at once" in (tmp_path / "bench.svg").read_text(encoding="utf-8")
    with pytest.raises(ConfigError, match="cannot draw"):
        picture(REPORT, tmp_path / "nowhere" / "bench.svg")


def test_one_round_is_too_few(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--rounds", "1"]) == 2
    assert "--rounds is 1" in capsys.readouterr().err


@pytest.mark.model
def test_everything_is_measured(
    model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench, "_FIVE_ROUNDS", -1)  # the paper's way takes minutes
    target = tmp_path / "bench.json"
    assert main(["bench", "--rounds", "2", "--checks", "13", "--threads", "1", "--json", str(target)]) == 0
    found = msgspec.json.decode(target.read_bytes(), type=Report)
    assert table(found) == capsys.readouterr().out.rstrip("\n")
    assert json.loads(target.read_bytes())["n_threads"] == 1
    ways = {timing.way for timing in found.timings}
    assert len(found.timings) == 3 * len(ways)
    assert {"all at once", "steps read as they came", "yes/no judge"} <= ways
    for timing in found.timings:
        assert timing.times == 2
        assert 0 < timing.low <= timing.ratio <= timing.high
    assert {timing.ratio for timing in found.timings if timing.way.startswith("llama.cpp alone")} == {1.0}
    assert found.footprint.same
    assert found.footprint.checks == 13
    assert found.footprint.peak_bytes > found.footprint.model_bytes > 90_000_000


@pytest.mark.model
def test_a_deadline_is_measured_by_checks_that_miss_it(model_path: Path) -> None:
    from flip_edge import SelfCheck

    with SelfCheck(Config(n_threads=1)) as check:
        found = list(bench._overruns(check, episodes(), 2))
    assert [some.deadline_s for some in found[:2]] == [0.05, 0.2]
    for some in found:
        assert some.times > 0
        assert 0 <= some.median_s <= some.p99_s <= some.most_s
        assert some.clean


@pytest.mark.model
def test_an_engine_tells_its_batches_and_what_they_cost_alone(model_path: Path) -> None:
    log = [Piece("- drove to the dock\n"), Piece("Command:")]
    queries = [Query(" go to the dock\n"), Query(" go to the dock\n", given_log=False)]
    with Engine(model_path, n_ctx=256, n_threads=1) as engine:
        engine.prime([Piece("Robot log:\n")], [Piece("Command:")])
        engine.read(log)
        first = [found.tolist() for found in engine.log_likelihoods(queries)]
        engine.batches = []
        before = engine.decoded_tokens
        engine.read(log)
        engine.log_likelihoods(queries)
        batches, engine.batches = engine.batches, None
        assert sum(tokens for tokens, _ in batches) == engine.decoded_tokens - before
        assert batches[0] == (len(engine.tokenize(log)), 1)
        assert engine.seconds_of(batches) > 0
        engine.read(log)
        assert [found.tolist() for found in engine.log_likelihoods(queries)] == first
