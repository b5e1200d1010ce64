from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from flip_edge import evaluate as module
from flip_edge import methods
from flip_edge.baselines import Column
from flip_edge.baselines.overlap import WordOverlap
from flip_edge.config import Config
from flip_edge.datasets import LabelledEpisode, Run, make_episodes
from flip_edge.episode import Episode
from flip_edge.errors import ConfigError, InputError
from flip_edge.evaluate import ScoreCache, evaluate, run_methods
from flip_edge.evaluation_table import Results, Row, to_text
from flip_edge.methods import QUICK, SLOW, OurScores, code_fingerprint, open_methods
from flip_edge.selfcheck import SelfCheck


@dataclass
class Scripted:
    """A method that computes its score from the steps, and counts how often it was asked."""

    rule: Callable[[Episode], float | None]
    name: str = "scripted"
    threshold: float | None = None
    asked: list[Episode] = field(default_factory=list)

    def score(self, episode: Episode) -> float | None:
        self.asked.append(episode)
        return self.rule(episode)


def labelled(count: int = 20) -> list[LabelledEpisode]:
    """Matches whose step is their number, mismatches half a step lower, in pairs from one trajectory."""
    rows = []
    for number in range(count):
        command, group = f"do task {number}", f"trial {number}"
        for match, kind, step in ((True, "success", number), (False, "random", number - 0.5)):
            episode = Episode.of(command, [str(step)], id=f"{number}{kind}")
            rows.append(LabelledEpisode(episode, match, kind, "made up", group, str(number)))
    return rows


def number_of(episode: Episode) -> float:
    return float(episode.steps[0])


def row_of(results: Results, method: str, kind: str = "random") -> Row:
    return next(row for row in results.rows if (row.method, row.kind) == (method, kind))


def quiet(rows: Sequence[LabelledEpisode], *methods: object, **options: object) -> Results:
    return evaluate(rows, methods, progress=False, bootstrap=200, **options)  # type: ignore[arg-type]


def test_a_threshold_from_one_half_alarms_on_its_share_of_the_other() -> None:
    (split,) = quiet(labelled(400), Scripted(number_of)).splits
    assert (split.source, split.method, len(split.rates)) == ("made up", "scripted", 20)
    assert np.mean(split.rates) == pytest.approx(0.05, abs=0.015)
    assert split.within >= 14
    assert len(set(split.rates)) > 1
    assert "20 splits" in to_text(quiet(labelled(400), Scripted(number_of)))


def test_too_few_runs_are_not_split() -> None:
    assert quiet(labelled(20), Scripted(number_of)).splits == []


def test_the_table_has_the_figures_of_each_method() -> None:
    perfect = Scripted(lambda episode: float(number_of(episode).is_integer()), "perfect", 0.5)
    ordered = Scripted(number_of, "ordered")
    results = quiet(labelled(), perfect, ordered)
    best = row_of(results, "perfect")
    assert (best.matches, best.mismatches, best.unanswered) == (20, 20, 0)
    assert (best.auroc.value, best.auroc.low, best.auroc.high) == (1, 1, 1)
    assert best.balanced_accuracy is not None
    assert best.balanced_accuracy.value == 1
    assert best.detection is not None
    assert best.detection.value == 1
    assert (best.false_alarm_rate, best.ahead) == (0, None)
    # match i beats the mismatches j with j - 0.5 < i: i + 1 of 20
    other = row_of(results, "ordered")
    assert other.auroc.value == pytest.approx(sum(i + 1 for i in range(20)) / 400)
    assert other.auroc.low < other.auroc.value < other.auroc.high
    assert other.ahead is not None
    assert other.ahead.value == pytest.approx(1 - other.auroc.value)
    assert other.ahead.low > 0
    assert results.reference == "perfect"


def test_without_a_threshold_of_its_own_it_is_set_on_the_other_half() -> None:
    results = quiet(labelled(200), Scripted(number_of, "ordered"))
    row = row_of(results, "ordered")
    assert row.threshold is None
    assert row.false_alarm_rate == pytest.approx(0.05, abs=0.04)
    assert row.balanced_accuracy is not None
    assert row.balanced_accuracy.value == pytest.approx(0.5, abs=0.05)


def test_missing_answers_are_counted_and_are_chance() -> None:
    row = row_of(quiet(labelled(), Scripted(lambda episode: None, "silent", 0.5)), "silent")
    assert row.unanswered == 40
    assert row.auroc.value == 0.5
    assert row.balanced_accuracy is not None
    assert row.balanced_accuracy.value == 0.5


def figures(results: Results) -> list[Row]:
    return [replace(row, median_s=0.0) for row in results.rows]


def test_the_same_seed_gives_the_same_table() -> None:
    first = figures(quiet(labelled(), Scripted(number_of), seed=4))
    assert figures(quiet(labelled(), Scripted(number_of), seed=4)) == first
    assert figures(quiet(labelled(), Scripted(number_of), seed=5)) != first


def test_recorded_failures_are_reported_apart_and_together() -> None:
    rows = labelled(6)
    kinds = ["recorded_search_only", "recorded_manipulated"] * 3
    failures = [
        LabelledEpisode(row.episode, False, kind, row.source, row.group, row.command_of)
        for row, kind in zip([row for row in rows if not row.match], kinds, strict=True)
    ]
    results = quiet([row for row in rows if row.match] + failures, Scripted(number_of))
    assert {row.kind: row.mismatches for row in results.rows} == {
        "recorded_search_only": 3,
        "recorded_manipulated": 3,
        "recorded": 6,
    }


def test_several_sources_are_reported_together_too() -> None:
    rows = [replace(row, source=f"robot {number // 2}") for number, row in enumerate(labelled(4))]
    rows += [replace(row, source="the simulator", group=f"s{row.group}") for row in labelled(6)]
    results = quiet(rows, Scripted(number_of))
    assert {(row.source, row.matches, row.mismatches) for row in results.rows} == {
        *((f"robot {number}", 1, 1) for number in range(4)),
        ("the simulator", 6, 6),
        ("all sources", 10, 10),
    }
    text = to_text(results)
    assert "robot 0" not in text
    assert "the simulator: 6 matches" in text
    assert "all sources: 10 matches, 10 mismatches (random)" in text
    assert "too few runs for a table of their own: 4;" in text


def test_one_source_of_few_runs_is_shown() -> None:
    text = to_text(quiet(labelled(2), Scripted(number_of)))
    assert "made up: 2 matches, 2 mismatches (random)" in text
    assert "all sources" not in text


def test_nothing_to_compare_gives_an_empty_table() -> None:
    assert quiet([], Scripted(number_of)).rows == []
    assert quiet([row for row in labelled() if row.match], Scripted(number_of)).rows == []
    assert to_text(quiet([], Scripted(number_of)))


def test_the_text_says_what_was_measured() -> None:
    text = to_text(quiet(labelled(), Scripted(lambda e: 1.0 - number_of(e) % 1, "good"), Scripted(number_of, "worse")))
    assert "made up: 20 matches, 20 mismatches (random)" in text
    assert "1.000 [1.000, 1.000]" in text
    assert "\n> worse" in text


# --- rankers


@dataclass
class Chooser:
    rule: Callable[[Episode], float]
    at_once: int = 2
    id: str = "chooser"
    code: tuple[str, ...] = ()
    columns: tuple[Column, ...] = (Column("chooser"),)
    lists: list[int] = field(default_factory=list)

    def rank(self, command: str, runs: Sequence[Episode]) -> Sequence[float] | None:
        assert {run.command for run in runs} == {command}
        self.lists.append(len(runs))
        return None if command.endswith(" 3") else [self.rule(run) for run in runs]


def test_a_ranker_sees_the_true_run_with_the_mismatches_of_its_command() -> None:
    chooser = Chooser(number_of)
    row = row_of(quiet(labelled(), chooser), "chooser")
    assert chooser.lists == [2] * 20
    assert row.auroc.value == pytest.approx((19 + 0.5) / 20)
    assert (row.mismatches, row.unanswered, row.balanced_accuracy, row.detection) == (20, 1, None, None)


def test_longer_lists_take_all_kinds_at_once() -> None:
    runs = [
        Run(command=f"put thing {number} away", actions=(f"took {number}", "walked", f"put {number} down"), id=number)
        for number in range(8)
    ]
    rows = make_episodes(runs)
    chooser = Chooser(lambda run: float(len(run.steps)), at_once=6)
    results = quiet(rows, chooser, WordOverlap())
    assert set(chooser.lists) == {6}
    assert row_of(results, "chooser", "cut").auroc.value > 0.9
    assert row_of(results, "chooser", "shuffled").auroc.value == 0.5


# --- resuming


def test_known_scores_are_not_computed_again(tmp_path: Path) -> None:
    first, second = Scripted(number_of), Scripted(number_of)
    before = quiet(labelled(), first, cache=tmp_path).to_dict()
    assert quiet(labelled(), second, cache=tmp_path).to_dict() == before
    assert len(first.asked) == 40
    assert second.asked == []


def test_other_code_or_another_method_does_not_meet_old_scores(tmp_path: Path) -> None:
    quiet(labelled(), Scripted(number_of), cache=tmp_path, fingerprint=lambda *modules: "a")
    for other, fingerprint in ((Scripted(number_of, "another"), "a"), (Scripted(number_of), "b")):
        quiet(labelled(), other, cache=tmp_path, fingerprint=lambda *modules, digest=fingerprint: digest)
        assert len(other.asked) == 40


def test_missing_answers_and_rankings_are_kept_too(tmp_path: Path) -> None:
    quiet(labelled(), Scripted(lambda episode: None), Chooser(number_of), cache=tmp_path)
    silent, chooser = Scripted(lambda episode: None), Chooser(number_of)
    row = row_of(quiet(labelled(), silent, chooser, cache=tmp_path), "chooser")
    assert (silent.asked, chooser.lists) == ([], [])
    assert row.auroc.value == pytest.approx((19 + 0.5) / 20)


def test_a_line_that_was_cut_off_is_dropped_and_the_rest_kept(tmp_path: Path) -> None:
    with ScoreCache(tmp_path, "m") as cache:
        cache.put("a", [1.0, None], 0.1)
        cache.put("b", [2.0, None], 0.1)
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-7])
    with ScoreCache(tmp_path, "m") as cache:
        assert cache.get("a") == ([1.0, None], 0.1)
        assert cache.get("b") is None
        cache.put("c", [3.0, None], 0.1)
    with ScoreCache(tmp_path, "m") as cache:
        assert cache.get("a")
        assert cache.get("c")


_KILLED = """
import sys, time
sys.path.insert(0, {tests!r})
from pathlib import Path
from test_evaluate import Scripted, labelled, number_of, quiet
def slowly(episode):
    time.sleep(0.02)
    return number_of(episode)
print("started", flush=True)
quiet(labelled(200), Scripted(slowly), cache=Path({cache!r}))
"""


def test_a_killed_run_goes_on_where_it_was(tmp_path: Path) -> None:
    script = _KILLED.format(tests=str(Path(__file__).parent), cache=str(tmp_path))
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        deadline = time.monotonic() + 60
        while sum(path.read_bytes().count(b"\n") for path in tmp_path.iterdir()) < 10:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.kill()
    done = sum(path.read_bytes().count(b"\n") for path in tmp_path.iterdir())
    method = Scripted(number_of)
    results = quiet(labelled(200), method, cache=tmp_path)
    assert len(method.asked) == 400 - done
    expected = quiet(labelled(200), Scripted(number_of)).rows[0]
    assert results.rows[0].auroc == expected.auroc


def test_ctrl_c_keeps_what_was_computed(tmp_path: Path) -> None:
    def interrupted(episode: Episode) -> float:
        if len(method.asked) > 5:
            raise KeyboardInterrupt
        return 1.0

    method = Scripted(interrupted)
    with pytest.raises(KeyboardInterrupt):
        quiet(labelled(), method, cache=tmp_path)
    again = Scripted(lambda episode: 1.0)
    quiet(labelled(), again, cache=tmp_path)
    assert len(again.asked) == 35


# --- methods by name


def test_a_method_that_cannot_be_used_is_left_out_and_named(capsys: pytest.CaptureFixture[str]) -> None:
    def refuse(episode: Episode) -> float:
        raise ConfigError("no chat template")

    scores = run_methods(labelled(2), [Scripted(refuse, "chatty"), Scripted(number_of)], progress=False)
    assert [method.column.name for method in scores] == ["scripted"]
    assert "left out chatty: no chat template" in capsys.readouterr().err


def test_unknown_methods_are_refused_before_anything_runs() -> None:
    with pytest.raises(InputError, match="unknown method guess; known: all, flip-edge"):
        next(open_methods(["overlap", "guess"], Config()))


def test_our_scores_come_from_one_check(check: SelfCheck, engine: object) -> None:
    engine.enqueue("put the mug in the sink")  # type: ignore[attr-defined]
    ours = OurScores(check)
    names = [column.name for column in ours.columns]
    measured = ours.measure(Episode.of("put mug in sink", ["put it in the sink"]))
    found = dict(zip(names, ours.scores_from(measured), strict=True))
    assert found["flip-edge: F1"] == 1.0
    assert found["flip-edge: gain"] is not None
    assert engine.sampled == [8]  # type: ignore[attr-defined] # as rule f1 does, under any rule
    thresholds = {column.name: column.threshold for column in ours.columns}
    assert thresholds["flip-edge: F1"] == check.config.f1_threshold


def test_a_run_that_cannot_be_judged_has_no_score(check: SelfCheck) -> None:
    ours = OurScores(check)
    assert set(ours.scores_from(ours.measure(Episode.of("", ["put it in the sink"])))) == {None}


def test_the_fingerprint_is_of_what_the_module_imports() -> None:
    judges, check, overlap = (
        code_fingerprint(f"flip_edge.{name}") for name in ("baselines.judges", "backward", "baselines.overlap")
    )
    assert code_fingerprint("flip_edge.baselines.judges") == judges
    assert len({judges, check, overlap}) == 3
    assert all(len(digest) == 12 for digest in (judges, check, overlap))


@pytest.mark.parametrize(
    ("module", "changed", "concerned"),
    [
        ("flip_edge.backward", "fulfilment.py", True),
        ("flip_edge.backward", "prompts/log-command.yaml", True),
        ("flip_edge.backward", "lexicon.yaml", True),
        ("flip_edge.backward", "baselines/judges.py", False),
        ("flip_edge.baselines.judges", "prompts/__init__.py", True),
        ("flip_edge.baselines.judges", "baselines/judges.yaml", True),
        ("flip_edge.baselines.judges", "fulfilment.py", False),
        ("flip_edge.baselines.overlap", "prompts/__init__.py", False),
    ],
)
def test_what_a_fingerprint_depends_on(
    module: str, changed: str, concerned: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = Path(methods.__file__).parent
    copy = shutil.copytree(package, tmp_path / "flip_edge", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(methods, "__file__", str(copy / "methods.py"))
    before = code_fingerprint(module)
    with (copy / changed).open("a", encoding="utf-8") as file:
        file.write("\n# changed\n")
    assert (code_fingerprint(module) != before) is concerned


# --- the command line


def arguments(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    module.add_arguments(parser)
    return parser.parse_args(list(words))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "runs.jsonl"
    things = ["mug", "book", "plate", "pen", "box", "cup"]
    path.write_text(
        "".join(
            json.dumps({"command": f"move the {thing}", "actions": [f"go to {thing}", f"put the {thing} down"]}) + "\n"
            for thing in things
        )
    )
    return path


def test_the_command_prints_and_saves_the_table(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "table.json"
    words = ("--methods", "overlap", "--no-cache", "--contrast", "--bootstrap", "50", "--json", str(out))
    assert module.run(arguments(str(data), *words), Config()) == 0
    printed = capsys.readouterr().out
    assert "runs: 6 matches, 6 mismatches (random)" in printed
    assert "contrast set" in printed
    saved = json.loads(out.read_text())
    assert saved["rows"][0]["auroc"]["value"] == 1.0
    assert saved["seed"] == 0
    assert {row["kind"] for row in saved["contrasts"]} >= {"number", "all", "synonym"}


def test_only_the_negatives_asked_for_are_made(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    module.run(
        arguments(str(data), "--methods", "overlap", "--no-cache", "--negatives", "cut", "--limit", "4"), Config()
    )
    printed = capsys.readouterr().out
    assert "runs: 4 matches, 4 mismatches (cut)" in printed
    assert "random" not in printed


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--limit", "0"), "--limit is 0"),
        (("--methods", "mine"), "unknown method mine"),
        (("--negatives", "easy"), "unknown kind of negative easy"),
        (("--json", "/nowhere/table.json", "--methods", "overlap", "--no-cache"), "cannot write /nowhere/table.json"),
    ],
)
def test_wrong_arguments_are_named(data: Path, words: tuple[str, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        module.run(arguments(str(data), *words), Config())


def test_every_documented_method_has_a_name() -> None:
    assert len(set(QUICK + SLOW)) == len(QUICK + SLOW) == 12


@pytest.mark.model
def test_our_scores_and_a_judge_on_the_real_model(data: Path, model_path: Path) -> None:
    rows = make_episodes(module.read_runs(data), kinds=["random"], limit=3)
    results = evaluate(rows, open_methods(["flip-edge", "yes-no"], Config()), progress=False, bootstrap=50)
    gain = next(row for row in results.rows if row.method == "flip-edge: gain")
    assert gain.auroc.value == 1.0
    assert np.isfinite([row.median_s for row in results.rows]).all()
    assert {row.unanswered for row in results.rows} == {0}
