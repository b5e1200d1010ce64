from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
from conftest import FakeEngine

from flip_edge import Config, ConfigError, Episode, InputError, Outcome, SelfCheck
from flip_edge.calibration import features
from flip_edge.errors import CheckError, ContextOverflowError, DeadlineError

MakeCheck = Callable[..., SelfCheck]


@pytest.mark.parametrize(
    ("inferred", "threshold", "outcome"),
    [
        ("bring the mug to the sink", 0.5, Outcome.MATCH),
        ("bring a mug to sink!", 1.0, Outcome.MATCH),
        ("bring the mug to the table", 0.75, Outcome.MATCH),  # at the threshold is not below it
        ("bring the mug to the table", 0.76, Outcome.MISMATCH),
        ("charge the robot", 0.1, Outcome.MISMATCH),
        ("charge the robot", 0.0, Outcome.MATCH),
    ],
)
def test_rule_f1(make_check: MakeCheck, engine: FakeEngine, inferred: str, threshold: float, outcome: Outcome) -> None:
    engine.enqueue(f" {inferred}", given_log=-9)
    verdict = make_check(rule="f1", f1_threshold=threshold)("bring the mug to the sink", ["did it"])
    assert verdict.outcome is outcome
    assert verdict.inferred == inferred
    assert f'"{inferred}"' in verdict.reason
    assert verdict.rule == "f1"
    assert verdict.f1_threshold == threshold


@pytest.mark.parametrize(("gain", "outcome"), [(0.5, Outcome.MATCH), (0.49, Outcome.MISMATCH), (-4, Outcome.MISMATCH)])
def test_rule_likelihood(make_check: MakeCheck, engine: FakeEngine, gain: float, outcome: Outcome) -> None:
    engine.enqueue("something else", given_log=-3 + gain, without_log=-3)
    verdict = make_check(rule="likelihood", gain_threshold=0.5, infer="always")("bring the mug", ["did it"])
    assert verdict.outcome is outcome
    assert verdict.gain == pytest.approx(gain)
    assert verdict.f1 == 0.0  # computed under every rule
    assert f"gain {gain:.2f}" in verdict.reason


@pytest.mark.parametrize(
    ("settings", "gain", "inferred"),
    [
        ({"rule": "likelihood"}, 0.6, None),
        ({"rule": "likelihood"}, 0.4, "something else"),  # an alert is always explained
        ({"rule": "likelihood", "infer": "always"}, 0.6, "something else"),
        ({"rule": "f1", "f1_threshold": 0.0}, 0.6, "something else"),
    ],
)
def test_an_instruction_is_inferred_where_the_verdict_needs_it(
    make_check: MakeCheck, engine: FakeEngine, settings: dict[str, object], gain: float, inferred: str | None
) -> None:
    engine.enqueue("something else", given_log=-3 + gain, without_log=-3)
    verdict = make_check(gain_threshold=0.5, **settings)("bring the mug", ["did it"])
    assert verdict.inferred == inferred
    assert (verdict.f1 is None) == (inferred is None)
    assert (verdict.tokens_generated == 0) == (inferred is None)
    assert ("no instruction was inferred, as none could change the verdict" in verdict.reason) == (inferred is None)


def test_all_evidence_is_gathered_for_who_asks_for_evidence(check: SelfCheck, engine: FakeEngine) -> None:
    engine.enqueue("bring the mug", given_log=-1, without_log=-3)
    assert check.observe(Episode.of("bring the mug", ["did it"])).inferred == "bring the mug"


def test_a_model_that_was_taught_to_confirms_the_command(make_check: MakeCheck, engine: FakeEngine) -> None:
    episode = Episode.of("bring the mug", ["did it"])
    check = make_check(prompt="log-command-confirm")
    found = []
    for probability in (0.9, 0.5, 0.1):
        engine.enqueue("bring the mug", given_log=-1, without_log=-3, confirmed=probability)
        evidence = check.observe(episode)
        assert (evidence.log_likelihood, evidence.gain) == (-1, 2)  # what confirms it is no part of the command
        assert evidence.confirmed is not None
        found.append(evidence.confirmed)
    assert found == pytest.approx([0.9, 0.5, 0.1])
    values = [features(replace(evidence, confirmed=confirmed)) for confirmed in (1.0, 0.9, 0.5, None, 0.1, 0.0)]
    scale = 0.5 + math.log(9) / 10
    assert [each["confirmed"] for each in values if each] == pytest.approx([1, scale, 0.5, 0.5, 1 - scale, 0])
    engine.enqueue("bring the mug")
    assert check("bring the mug", ["did it"]).to_dict()["confirmed"] == pytest.approx(0.6)
    engine.enqueue("bring the mug")
    assert engine.answers[-1].confirmed
    engine.answers[-1].confirmed.update(yes=-3.0, no=-4.0)  # a model that was not taught to says something else
    assert check.observe(episode).confirmed is None
    plain = make_check(prompt="log-command-bare")
    engine.enqueue("bring the mug")
    assert plain.observe(episode).confirmed is None


def test_the_verdict_carries_what_led_to_it(make_check: MakeCheck, engine: FakeEngine) -> None:
    check = make_check(infer="always")
    engine.enqueue("put the mug down", given_log=-1.25, without_log=-3.5)
    verdict = check("bring the mug", ["picked up the mug", "put it down"], id="run-7")
    assert verdict.command_id == "run-7"
    assert verdict.steps == ("picked up the mug", "put it down")
    assert verdict.missing == ("bring",)
    assert verdict.unexpected == ("put", "down")
    assert (verdict.log_likelihood, verdict.log_likelihood_without_log, verdict.gain) == (-1.25, -3.5, 2.25)
    assert (verdict.model_id, verdict.prompt_id, verdict.rule) == ("given", "log-command/1", "likelihood")
    assert verdict.score is None  # there is no calibration for this engine: no probability is made up
    assert verdict.tokens_reused == 100
    assert verdict.computed_s > 0
    data = verdict.to_dict()
    assert data["verdict"] == "MATCH"
    assert data["steps"] == ("picked up the mug", "put it down")


@pytest.mark.parametrize(
    ("command", "steps", "why"),
    [
        ("", ["went"], "no command"),
        ("   ", ["went"], "no command"),
        ("go", [], "no actions"),
        ("go", [""], "no actions"),
        ("go", ["\x00\n"], "no actions"),
        ("?!", ["went"], "no words to compare"),
        ("the", ["went"], "no words to compare"),
    ],
)
def test_what_cannot_be_judged_is_unknown(
    check: SelfCheck, engine: FakeEngine, command: str, steps: list[str], why: str
) -> None:
    engine.enqueue("go", given_log=0)
    verdict = check(command, steps)
    assert verdict.outcome is Outcome.UNKNOWN
    assert why in verdict.reason


@pytest.mark.parametrize("rule", ["f1", "likelihood"])
@pytest.mark.parametrize(
    "error", [ContextOverflowError("context overflow: 9"), DeadlineError("deadline passed: 1"), CheckError("broken: 3")]
)
def test_a_failed_check_is_unknown_with_its_reason(
    make_check: MakeCheck, engine: FakeEngine, rule: str, error: CheckError
) -> None:
    engine.enqueue("go there", given_log=0, error=error)
    verdict = make_check(rule=rule)("go there", ["went there"])
    assert (verdict.outcome, verdict.reason) == (Outcome.UNKNOWN, str(error))


def test_after_an_unforeseen_failure_the_prefix_is_read_anew(check: SelfCheck, engine: FakeEngine) -> None:
    engine.enqueue("x", error=CheckError("llama.cpp failed"))
    engine.enqueue("x", error=DeadlineError("deadline passed"))
    engine.enqueue("go there", given_log=0)
    check("go there", ["went"])
    check("go there", ["went"])
    assert engine.primed == 2
    assert check("go there", ["went"]).outcome is Outcome.MATCH
    assert engine.primed == 2


def test_output_without_an_instruction(make_check: MakeCheck, engine: FakeEngine) -> None:
    engine.enqueue("  ", given_log=0)
    unknown = make_check(rule="f1")("go there", ["went"])
    assert unknown.outcome is Outcome.UNKNOWN
    assert "unparsable output" in unknown.reason
    engine.enqueue("  ", given_log=0)
    assert make_check(rule="likelihood")("go there", ["went"]).outcome is Outcome.MATCH


def test_json_prompts_have_no_likelihood(make_check: MakeCheck, engine: FakeEngine) -> None:
    with pytest.raises(ConfigError, match="rule 'likelihood' needs a completion prompt"):
        make_check(prompt="flip", rule="likelihood")
    engine.enqueue('{"REASONING": "", "INFERRED INSTRUCTION": "go there"}')
    verdict = make_check(prompt="flip", rule="f1")("go there", ["went"])
    assert (verdict.outcome, verdict.gain, verdict.f1) == (Outcome.MATCH, None, 1.0)


def test_deadline_reaches_the_engine(make_check: MakeCheck, engine: FakeEngine) -> None:
    engine.enqueue("go")
    make_check(deadline_s=0.25)("go", ["went"])
    engine.enqueue("go")
    make_check()("go", ["went"])
    assert engine.deadlines == [0.25, None]


def test_settings_that_only_decide_can_change(make_check: MakeCheck, engine: FakeEngine) -> None:
    check = make_check(gain_threshold=0.5)
    engine.enqueue("x", given_log=-2, without_log=-3)
    assert check("go", ["went"]).outcome is Outcome.MATCH
    check.reconfigure(check.config.replace(gain_threshold=1.5))
    engine.enqueue("x", given_log=-2, without_log=-3)
    assert check("go", ["went"]).outcome is Outcome.MISMATCH
    with pytest.raises(ConfigError, match="n_ctx cannot change"):
        check.reconfigure(check.config.replace(n_ctx=4096))
    assert check.config.n_ctx == Config().n_ctx


def test_a_verdict_is_no_truth_value(check: SelfCheck) -> None:
    verdict = check.unknown(Episode("go"), "because")
    with pytest.raises(TypeError, match=r"compare verdict\.outcome"):
        bool(verdict)


def test_what_is_not_text_is_an_error(check: SelfCheck) -> None:
    with pytest.raises(InputError, match="steps must be a list"):
        check("go", "went")


def test_closing_frees_the_engine(make_check: MakeCheck, engine: FakeEngine) -> None:
    with make_check():
        pass
    assert engine.closed


# --- runs that overflow the context

TOO_LONG = ContextOverflowError("context overflow: the check needs 99 tokens")
ROUNDS = ["went to post 1", *["waited"] * 6, *[f"went to post {number}" for number in range(2, 20)]]


def test_a_run_too_long_is_read_with_its_repeats_told_once(make_check: MakeCheck, engine: FakeEngine) -> None:
    engine.enqueue("", error=TOO_LONG)
    engine.enqueue("patrol the posts", given_log=-1, without_log=-3)
    verdict = make_check(rule="likelihood")("patrol the posts", ROUNDS)
    assert verdict.outcome is Outcome.MATCH
    assert verdict.steps == tuple(ROUNDS)
    assert "read the first" not in verdict.reason, "nothing was left out"
    whole, told = ("".join(piece.text for piece in log) for log in engine.logs)
    assert whole.count("waited") == 6
    assert (told.count("waited"), "waited (6 times)" in told) == (1, True)


@pytest.mark.parametrize("long_runs", ["unknown", "summarise"])
def test_a_run_too_long_is_unknown_unless_it_may_be_cut(
    make_check: MakeCheck, engine: FakeEngine, long_runs: str
) -> None:
    for _ in range(9):
        engine.enqueue("patrol the posts", error=TOO_LONG)
    verdict = make_check(rule="likelihood", long_runs=long_runs)("patrol the posts", ROUNDS)
    assert (verdict.outcome, verdict.reason) == (Outcome.UNKNOWN, str(TOO_LONG))
    assert len(engine.logs) == (1 if long_runs == "unknown" else 2)


def test_a_run_that_may_be_cut_keeps_its_beginning_and_its_end_and_says_so(
    make_check: MakeCheck, engine: FakeEngine
) -> None:
    for error in (TOO_LONG, TOO_LONG, TOO_LONG, None):
        engine.enqueue("patrol the posts", given_log=-1, without_log=-3, error=error)
    verdict = make_check(rule="likelihood", long_runs="window")("patrol the posts", ROUNDS)
    assert verdict.outcome is Outcome.MATCH
    read = "".join(piece.text for piece in engine.logs[-1])
    assert ROUNDS[0] in read
    assert ROUNDS[-1] in read
    assert ROUNDS[11] not in read
    kept = sum(step in read for step in ROUNDS)
    assert f"the model read the first and the last {kept} of {len(ROUNDS)} steps" in verdict.reason


def test_a_run_that_never_fits_is_unknown_with_the_first_reason(make_check: MakeCheck, engine: FakeEngine) -> None:
    engine.enqueue("", error=TOO_LONG)
    for _ in range(30):
        engine.enqueue("", error=ContextOverflowError("context overflow: the check needs 50 tokens"))
    verdict = make_check(rule="likelihood", long_runs="window")("patrol the posts", ROUNDS)
    assert (verdict.outcome, verdict.reason) == (Outcome.UNKNOWN, str(TOO_LONG))
    assert engine.answers, "it gave up in the end"


# --- looks at runs that go on


def look(check: SelfCheck, command: str, *steps: str) -> tuple[Outcome, str]:
    verdict = check.check(Episode(command, steps, "a", finished=False))
    assert verdict.interim
    return verdict.outcome, verdict.reason


ELSEWHERE = ("drove to the charging dock", "docked", "began to charge", "waited")


@pytest.mark.parametrize(
    ("given_log", "confirmed", "outcome"),
    [
        (-2.7, 0.05, Outcome.MISMATCH),  # a tenth of the command explained: words in common
        (-2.7, 0.3, Outcome.UNKNOWN),  # the model does not rule out that it is about the command
        (-2.0, 0.05, Outcome.UNKNOWN),
    ],
)
def test_a_model_that_confirms_has_a_say_in_what_is_a_drift(
    make_check: MakeCheck, engine: FakeEngine, given_log: float, confirmed: float, outcome: Outcome
) -> None:
    engine.enqueue("charge the robot", given_log=given_log, without_log=-3, confirmed=confirmed)
    check = make_check(prompt="log-command-confirm")
    assert look(check, "bring the mug to the sink", *ELSEWHERE)[0] is outcome


@pytest.mark.parametrize("rule", ["likelihood", "f1"])
def test_steps_that_speak_of_something_else_are_a_drift(make_check: MakeCheck, engine: FakeEngine, rule: str) -> None:
    engine.enqueue("charge the robot", given_log=-4, without_log=-3)
    outcome, reason = look(make_check(rule=rule), "bring the mug to the sink", *ELSEWHERE)
    assert outcome is Outcome.MISMATCH
    assert reason.startswith("drifting: after 4 steps, none speaks of what was commanded")
    assert '"charge the robot"' in reason


@pytest.mark.parametrize(
    ("steps", "given_log"),
    [
        (ELSEWHERE[:3], -4.0),  # too few to tell
        (ELSEWHERE, -2.0),  # they make the command likelier
        ((*ELSEWHERE[:3], "looked for the mug"), -4.0),  # they mention what is asked for
    ],
)
def test_a_run_that_goes_on_is_never_said_to_match_nor_to_be_incomplete(
    make_check: MakeCheck, engine: FakeEngine, steps: tuple[str, ...], given_log: float
) -> None:
    engine.enqueue("bring the mug to the sink", given_log=given_log, without_log=-3)
    outcome, reason = look(make_check(rule="likelihood"), "bring the mug to the sink", *steps)
    assert outcome is Outcome.UNKNOWN
    assert reason.startswith("not finished:")


def test_a_look_that_fails_says_why(make_check: MakeCheck, engine: FakeEngine) -> None:
    engine.enqueue("", error=DeadlineError("deadline passed: 1"))
    assert look(make_check(rule="likelihood"), "go", *ELSEWHERE) == (Outcome.UNKNOWN, "deadline passed: 1")


def test_a_cancelled_run_is_unknown_and_costs_no_model(make_check: MakeCheck, engine: FakeEngine) -> None:
    verdict = make_check().check(Episode("go to the dock", ("drove off",), cancelled=True))
    assert verdict.outcome is Outcome.UNKNOWN
    assert verdict.reason == "cancelled: the command was withdrawn before its run ended"
    assert engine.logs == []
