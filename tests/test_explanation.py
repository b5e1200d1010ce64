"""What a mismatch says in words: each finding comes from evidence that is given here by hand."""

from __future__ import annotations

import pytest

from flip_edge.backward import Contrast, Evidence
from flip_edge.contrast import Alternative
from flip_edge.explanation import explain
from flip_edge.fulfilment import Demand, Fulfilment, fulfilment
from flip_edge.support import Support, Word


def support(*words: Word, failures: tuple[str, ...] = ()) -> Support:
    return Support(words, failures)


MUG = Word("mug", 6.0, 1.0, True, True)
SINK = Word("sink", 5.0, 6.0, False, False)


def test_what_the_model_itself_denies_is_told() -> None:
    (said,) = explain(Evidence(confirmed=0.034))
    assert said == "the model gives 3% that the log fulfils the command"
    assert explain(Evidence(confirmed=0.5)) == explain(Evidence(confirmed=0.99)) == ()


def test_nothing_found_says_nothing() -> None:
    assert explain(Evidence()) == ()


def test_reported_failures_come_first() -> None:
    step = "failed to put the mug down"
    found = explain(Evidence(inferred="pick up the mug", support=support(MUG, SINK, failures=(step,))))
    assert found == (f'the run reports: "{step}"', "the run never mentions sink", 'the steps imply "pick up the mug"')


@pytest.mark.parametrize(
    ("command", "steps", "said"),
    [
        ("put the mug on the box", ["put the box on the mug"], "'mug on box' was commanded, 'box on mug' was done"),
        ("do not enter the lab", ["went into the lab"], '"went into the lab" was not to be done'),
        ("drive 2 m", ["drove 4 m"], "'2 m' was commanded, '4 m' was done"),
        ("put the mug away", ["picked up the mug"], '"put" was commanded, and is not seen done'),
        ("put two mugs away", ["put the mug on a shelf"], '"put" was commanded 2 times, and done 1'),
    ],
)
def test_acts_are_named(command: str, steps: list[str], said: str) -> None:
    assert said in explain(Evidence(support=support(MUG), fulfilment=fulfilment(command, steps)))


def test_acts_that_were_done_are_not_named() -> None:
    done = Fulfilment(demands=(Demand("put", 1, 1.0),))
    assert explain(Evidence(support=support(MUG), fulfilment=done)) == ()


def test_an_exchange_is_named_where_the_run_has_to_do_with_the_command() -> None:
    rival = Contrast(Alternative("bring the cup", "mug", "'mug' was commanded, 'cup' was done"), -2.0)
    assert "'mug' was commanded, 'cup' was done" in explain(Evidence(support=support(MUG, SINK), contrast=rival))
    assert explain(Evidence(support=support(SINK), contrast=rival)) == ("the run never mentions sink",)


def test_what_is_said_once_is_not_said_again() -> None:
    rival = Contrast(Alternative("bring the red mug", "blue", "'blue' was commanded, 'red' was done"), -2.0)
    acts = fulfilment("bring the blue mug", ["picked up the red mug", "brought the red mug"])
    found = explain(Evidence(support=support(MUG), contrast=rival, fulfilment=acts))
    assert found == ("'blue mug' was commanded, 'red mug' was done",)


def test_a_verb_told_by_another_is_not_missed() -> None:
    bring = Word("bring", 6.0, 6.0, False, False)
    acts = fulfilment("bring the mug", ["picked up the mug", "handed over the mug"])
    assert explain(Evidence(support=support(bring, MUG), fulfilment=acts)) == ()


def test_a_word_that_says_little_or_is_ruled_out_is_not_missed() -> None:
    little = Word("then", 0.5, 0.5, False, False)
    ruled_out = Word("lab", 6.0, 6.0, False, False, asked=False)
    assert explain(Evidence(support=support(little, ruled_out))) == ()
