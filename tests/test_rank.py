from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import Any

import pytest
from test_reward import MUG, Guesser

from flip_edge import Config, SelfCheck, cli
from flip_edge.errors import ContextOverflowError, InputError
from flip_edge.rank import RANK_METHODS, Ranked, config_for, rank

SINK = "pick up the mug; put it in the sink"
SHELF = "pick up the mug; put it on the shelf"
DOCK = "drive to the dock"


@pytest.fixture
def engine() -> Guesser:
    """The sink fits best, then the shelf, then the dock."""
    return Guesser(
        {"sink": [MUG], "shelf": ["bring the mug to the shelf"], "dock": ["go to the dock"]},
        {"sink": -1.0, "shelf": -2.0, "dock": -4.0},
    )


@pytest.fixture
def check(engine: Guesser) -> SelfCheck:
    return SelfCheck(Config(rule="f1"), engine=engine)  # type: ignore[arg-type]


def ids(ranking: Sequence[Ranked]) -> list[tuple[int, str]]:
    return [(one.place, one.id) for one in ranking]


# --- ranking


def test_the_best_comes_first_and_why_names_what_the_next_one_lacks(check: SelfCheck) -> None:
    ranking = rank(MUG, [DOCK, SHELF, SINK], check=check)
    assert ids(ranking) == [(1, "3"), (2, "2"), (3, "1")]
    first, second, third = ranking
    assert first.steps == ("pick up the mug", "put it in the sink")
    assert (first.gain, second.gain, third.gain) == (2.0, 1.0, -1.0)
    assert first.reward is not None
    assert third.reward is not None
    assert 0 < third.reward < 0.5 < first.reward < 1
    assert (first.inferred, first.f1) == (MUG, 1.0)
    assert first.why == (
        '2 never mentions sink; 2 implies "bring the mug to the shelf", which lacks sink; gain +2.00 against gain +1.00'
    )
    assert (second.why, third.why) == ("", "")
    assert not any(one.tied for one in ranking)


def test_what_both_lack_is_no_reason(engine: Guesser, check: SelfCheck) -> None:
    engine.says = {"sink": ["put the mug in the sink"], "shelf": ["put the mug on the shelf"]}
    why = rank(MUG, [SHELF, SINK], check=check)[0].why
    assert '1 implies "put the mug on the shelf", which lacks sink;' in why


def test_by_flip_the_f1_ranks_and_nothing_is_weighed(engine: Guesser, check: SelfCheck) -> None:
    ranking = rank(MUG, [DOCK, SHELF, SINK], method="flip", check=check)
    assert ids(ranking) == [(1, "3"), (2, "2"), (3, "1")]
    assert [one.reward for one in ranking] == [1.0, 0.75, pytest.approx(2 / 7)]
    assert engine.weighed == []


def test_without_inference_nothing_is_written(engine: Guesser, check: SelfCheck) -> None:
    engine.says = {}
    ranking = rank(MUG, [SHELF, SINK], check=check, infer=False)
    assert [(one.inferred, one.f1, one.failure) for one in ranking] == [(None, None, None)] * 2
    assert ranking[0].why == "1 never mentions sink; gain +2.00 against gain +1.00"


def test_equal_rewards_share_a_place_in_the_order_given(check: SelfCheck) -> None:
    again = {"id": "again", "steps": ["put it in the sink"]}
    ranking = rank(MUG, [DOCK, SINK, again, SHELF], check=check)
    assert ids(ranking) == [(1, "2"), (1, "again"), (3, "4"), (4, "1")]
    assert [one.tied for one in ranking] == [True, True, False, False]
    assert ranking[0].why == "a tie: nothing tells 2, again apart (gain +2.00)"


def test_what_cannot_be_scored_comes_last_with_its_reason(engine: Guesser, check: SelfCheck) -> None:
    engine.errors = {"shelf": ContextOverflowError("context overflow")}
    ranking = rank(MUG, [SHELF, "", DOCK], check=check)
    assert ids(ranking) == [(1, "3"), (2, "2"), (3, "1")]
    assert (ranking[1].reward, ranking[1].failure) == (
        0.0,
        "empty response: there is nothing to infer an instruction from",
    )
    assert (ranking[2].reward, ranking[2].failure) == (None, "context overflow")
    alone = rank(MUG, [SHELF], check=check)
    assert alone[0].why == "no candidate could be scored: context overflow"
    assert "context overflow" in rank(MUG, [SHELF, SINK], check=check)[0].why


def test_one_candidate_is_the_only_one(check: SelfCheck) -> None:
    assert rank(MUG, [SINK], check=check)[0].why == "the only candidate (gain +2.00)"


def test_the_order_of_the_candidates_is_nothing_but_their_numbers(check: SelfCheck) -> None:
    rows = [{"id": name, "text": name} for name in (DOCK, SHELF, SINK)]
    assert rank(MUG, rows, check=check) == rank(MUG, rows[::-1], check=check)


def test_a_copy_of_the_command_is_flagged(check: SelfCheck) -> None:
    ranking = rank(MUG, [f"I was told: {MUG}", SINK], check=check)
    assert {one.id: one.copied for one in ranking} == {"1": True, "2": False}


@pytest.mark.parametrize(
    ("given", "steps"),
    [
        ("1. find the mug, 2. pick it up; 3. stop", ("find the mug", "pick it up", "stop")),
        ("1. find the mug 2. pick it up\n3. stop", ("find the mug", "pick it up", "stop")),
        ("go to room 2. then stop", ("go to room 2. then stop",)),
        ("- go;turn 1.5 m;", ("go", "turn 1.5 m")),
        (["go; turn", "2) stop\n"], ("go; turn", "stop")),
        ({"steps": ["a", "", "b"]}, ("a", "b")),
        ({"id": 7, "text": "a\nb"}, ("a", "b")),
    ],
)
def test_forms_of_a_plan(check: SelfCheck, given: Any, steps: tuple[str, ...]) -> None:
    (only,) = rank(MUG, [given], check=check)
    assert only.steps == steps
    assert only.id == ("7" if isinstance(given, dict) and "id" in given else "1")


def test_under_a_chat_prompt_an_answer_is_read_as_it_is(engine: Guesser) -> None:
    check = SelfCheck(Config(rule="f1", prompt="flip"), engine=engine)  # type: ignore[arg-type]
    text = "1. Rinse; then dry.\n\n2. Put it in the sink."
    rank("How do I wash it?", [text], check=check)
    assert any(piece.text == text for piece in engine.logs[0])


@pytest.mark.parametrize(
    ("command", "candidates", "says"),
    [
        ("", [SINK], "command"),
        ("?!", [SINK], "command"),
        (MUG, [], "no candidate"),
        (MUG, SINK, "list"),
        (MUG, [7], "candidate 1"),
        (MUG, [SINK, {"id": "x"}], "candidate 2"),
        (MUG, [{"text": "a", "steps": ["a"]}], "either"),
        (MUG, [{"text": "a", "step": ["a"]}], "step"),
        (MUG, [["go", 5]], "candidate 1"),
        (MUG, [{"id": "2", "text": "a"}, "b"], "'2'"),
    ],
)
def test_bad_input(check: SelfCheck, command: str, candidates: Any, says: str) -> None:
    with pytest.raises(InputError, match=says):
        rank(command, candidates, check=check)


def test_a_method_that_is_none(check: SelfCheck) -> None:
    with pytest.raises(InputError, match="likelihood, flip, pointwise"):
        rank(MUG, [SINK], method="best", check=check)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="26"):
        rank(MUG, [f"go {number}" for number in range(27)], method="listwise", check=check)


# --- judges


def judging(everything: str, answer: str) -> float:
    """An opinion of what was read last, for ratings, and of what stands under a letter, for choices."""
    likes = {"sink": 9, "shelf": 5, "dock": 1}
    if answer.endswith('"'):
        liked = next(value for word, value in likes.items() if word in everything.partition("[Response]")[2])
        return 0.0 if answer == f'{liked}"' else -50.0
    shown = everything.partition(f"[Response {answer}]")[2].partition("[")[0]
    return float(next(value for word, value in likes.items() if word in shown))


@pytest.mark.parametrize("method", ["pointwise", "pairwise", "listwise"])
def test_judges_rank_too_and_leave_the_check_as_it_was(engine: Guesser, check: SelfCheck, method: Any) -> None:
    engine.opinion = judging
    ranking = rank(MUG, [SHELF, "", DOCK, SINK], method=method, check=check)
    assert [one.id for one in ranking[:2]] == ["4", "1"]
    assert {one.id for one in ranking[2:]} == {"2", "3"}
    empty = next(one for one in ranking if one.id == "2")
    assert (empty.reward, empty.failure) == (0.0, "empty: there is nothing to judge")
    assert all(one.inferred is None for one in ranking)
    assert ranking[0].why.startswith("1 never mentions sink; reward ")
    assert engine.prefixes[-1] == engine.prefixes[0]  # the check's own prompt
    assert len(engine.prefixes) > 2


def test_ratings_are_put_between_0_and_1(engine: Guesser, check: SelfCheck) -> None:
    engine.opinion = judging
    ranking = rank(MUG, [SINK, DOCK], method="pointwise", check=check)
    assert [one.reward for one in ranking] == [pytest.approx(8 / 9), pytest.approx(0)]


def test_pairwise_asks_every_pair_both_ways_round(engine: Guesser, check: SelfCheck) -> None:
    engine.opinion = judging
    ranking = rank(MUG, [SINK, SHELF, DOCK], method="pairwise", check=check)
    assert len(engine.logs) == 6
    assert ranking[0].reward == pytest.approx(1, abs=0.02)
    assert ranking[1].reward == pytest.approx(0.5, abs=0.02)


def test_a_judge_without_an_answer(engine: Guesser, check: SelfCheck) -> None:
    engine.errors = {"mug": ContextOverflowError("overflow")}
    for method in ("pointwise", "pairwise", "listwise"):
        ranking = rank(MUG, [SINK, SHELF], method=method, check=check)  # type: ignore[arg-type]
        assert [(one.reward, one.failure) for one in ranking] == [(None, "the judge gave no answer")] * 2


def test_judges_are_asked_on_the_bare_model_unless_told_otherwise() -> None:
    assert config_for("likelihood", Config()) == Config(rule="f1")
    assert config_for("pointwise", Config()) == Config(rule="f1", adapter="none", prompt="log-command-bare")
    mine = Config(adapter="mine.gguf", prompt="flip", rule="f1")
    assert config_for("listwise", mine) == mine


# --- the command

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(engine: Guesser, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    monkeypatch.setattr(cli, "SelfCheck", lambda config: SelfCheck(config, engine=engine))

    def run(*arguments: str | Path) -> tuple[int, str, str]:
        try:
            code = cli.main(["rank", *map(str, arguments)])
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 1
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def test_the_command_for_people(run: Run, engine: Guesser) -> None:
    code, out, err = run("--command", MUG, "--candidate", SHELF, "--candidate", SINK, "--candidate", "a sink")
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        f'  1= 0.881  2  implies "{MUG}"',
        f'  1= 0.881  3  implies "{MUG}"',
        '  3. 0.731  1  implies "bring the mug to the shelf"',
        "why: a tie: nothing tells 2, 3 apart (gain +2.00)",
    ]
    assert engine.closed


@pytest.mark.parametrize("source", ["file", "stdin"])
def test_the_command_for_machines(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    rows = [{"id": "shelf", "text": SHELF}, {"steps": ["put it in the sink"]}]
    data = b"\xef\xbb\xbf" + "\n\n".join(map(json.dumps, rows)).encode()
    (tmp_path / "in.jsonl").write_bytes(data)
    monkeypatch.setattr(sys, "stdin", TextIOWrapper(BytesIO(data)))
    where = tmp_path / "in.jsonl" if source == "file" else "-"
    code, out, _ = run("--command", MUG, "--candidate", DOCK, where, "--json", "--method", "flip")
    assert code == 0
    found = json.loads(out)
    assert (found["command"], found["method"], found["model_id"]) == (MUG, "flip", "given")
    assert [(row["place"], row["id"], row["tied"]) for row in found["ranking"]] == [
        (1, "3", False),
        (2, "shelf", False),
        (3, "1", False),
    ]
    assert found["ranking"][0]["steps"] == ["put it in the sink"]
    assert found["why"].startswith("shelf never mentions sink")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"{", "line 2: not JSON"),
        (b'"go"', "line 2"),
        (b'{"id": "x"}', "line 2: candidate 2"),
        (b'{"text": "\xff"}', "line 2: not JSON in UTF-8"),
        (b'{"text": 5}', "line 2"),
        (b'{"id": 1, "text": "again"}', "two candidates have the id '1'"),
    ],
)
def test_a_bad_line_is_named_before_a_model_is_loaded(
    run: Run, engine: Guesser, tmp_path: Path, line: bytes, says: str
) -> None:
    (tmp_path / "in.jsonl").write_bytes(b'{"text": "go"}\n' + line + b"\n")
    code, out, err = run("--command", MUG, tmp_path / "in.jsonl")
    assert (code, out) == (2, "")
    assert says in err
    assert engine.prefixes == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["--command", MUG],
        ["--command", " ", "--candidate", SINK],
        ["--candidate", SINK],
        ["--command", MUG, "no-such-file.jsonl"],
        ["--command", MUG, "--candidate", SINK, "--method", "best"],
    ],
)
def test_bad_input_exits_with_2(run: Run, arguments: list[str]) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert "error" in err


def test_help_mentions_every_option(run: Run) -> None:
    code, out, _ = run("--help")
    assert code == 0
    for part in ("--command", "--candidate", "IN.jsonl", "--json", "Exit code", "--model", *RANK_METHODS):
        assert part in out, part


# --- the real model

PLANS = [
    {"id": "dock", "steps": ["drove to the charging dock"]},
    {"id": "shelf", "steps": ["drive to the table", "pick up the mug", "drive to the shelf", "put it on the shelf"]},
    {"id": "sink", "steps": ["drive to the table", "pick up the mug", "drive to the sink", "put it in the sink"]},
    {"id": "half", "steps": ["drive to the table", "pick up the mug"]},
]


@pytest.mark.model
def test_the_embedded_model_ranks_and_checks_as_before(model_path: Path) -> None:
    with SelfCheck(Config(n_threads=1)) as check:
        before = check(MUG, ["picked up the mug"])
        ranking = rank(MUG, PLANS, check=check)
        backwards = rank(MUG, PLANS[::-1], check=check)
        opinion = rank(MUG, PLANS[:2], method="pointwise", check=check)
        after = check(MUG, ["picked up the mug"])
    assert ranking == backwards
    assert ranking[0].id == "sink"
    assert ranking[-1].id == "dock"
    assert all(one.inferred for one in ranking)
    assert all(one.reward is not None and 0 <= one.reward <= 1 for one in opinion)
    assert (after.gain, after.inferred, after.outcome) == (before.gain, before.inferred, before.outcome)
