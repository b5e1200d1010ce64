from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flip_edge import Config
from flip_edge.engine import Generation, Reading
from flip_edge.errors import CheckError, ConfigError, ContextOverflowError, DeadlineError, InputError
from flip_edge.exchange import Exchange, copies, exchange_of, near_copies, parts_of, steps_of, without_spans
from flip_edge.prompts import Piece, Query
from flip_edge.reward import FlipReward

MUG = "bring the mug to the sink"
LEAD = '{"INFERRED INSTRUCTION": "'


@dataclass
class Guesser:
    """Knows responses by a word in them: what it infers from each, and how likely each makes the instruction."""

    says: dict[str, list[str]] = field(default_factory=dict)
    likely: dict[str, float] = field(default_factory=dict)
    errors: dict[str, Exception] = field(default_factory=dict)
    without: float = -3.0
    opinion: Callable[[str, str], float] | None = None  # of an answer, after all that was read
    prefixes: list[list[Piece]] = field(default_factory=list)
    no_logs: list[list[Piece]] = field(default_factory=list)
    logs: list[list[Piece]] = field(default_factory=list)
    together: list[int] = field(default_factory=list)
    weighed: list[Query] = field(default_factory=list)
    offsets: list[float] = field(default_factory=list)
    deadlines: list[float | None] = field(default_factory=list)
    reused_tokens: int = 0
    decoded_tokens: int = 0
    closed: bool = False

    def chat(self, messages: Sequence[tuple[str, str]]) -> str:
        return "".join(f"<|{role}|>{content}<|end|>" for role, content in messages) + "<|assistant|>"

    def prime(self, prefix: Sequence[Piece], no_log: Sequence[Piece] = ()) -> None:
        self.prefixes.append(list(prefix))
        self.no_logs.append(list(no_log))

    @property
    def shown(self) -> str:
        return "".join(piece.text for piece in self.logs[-1])

    def read(self, log: Sequence[Piece]) -> int:
        self.logs.append(list(log))
        for word, error in self.errors.items():
            if word in self.shown:
                raise error
        return 1

    def read_each(
        self,
        logs: Sequence[Sequence[Piece]],
        answers: Sequence[str] | None = None,
        max_tokens: int = 0,
        *,
        stop: str | None = "\n",
        at_once: int = 16,
    ) -> Iterator[tuple[int, Reading | ContextOverflowError]]:
        self.together.append(len(logs))
        for place, log in reversed(list(enumerate(logs))):
            try:
                self.read(log)
            except ContextOverflowError as error:
                yield place, error
                continue
            weighed = self.log_likelihoods([Query(answers[place])])[0] if answers is not None else None
            yield place, Reading(weighed, self.generate(max_tokens, stop=stop) if max_tokens else None)

    def _of(self, known: dict[str, Any], default: Any) -> Any:
        return next((value for word, value in known.items() if word in self.shown), default)

    def generate(self, max_tokens: int, *, stop: str | None = "\n") -> Generation:
        return Generation(self._of(self.says, [""])[0], 1, True)

    def sample(
        self, count: int, max_tokens: int, *, temperature: float = 1.0, offset: float = 0.5, stop: str | None = "\n"
    ) -> list[Generation]:
        self.offsets.append(offset)
        return [Generation(text, 1, True) for text in self._of(self.says, [""])[:count]]

    def text_of(self, answer: str) -> list[str]:
        lead = [LEAD] if answer.startswith(LEAD) else []
        return lead + answer[len("".join(lead)) :].split(" ")

    def log_likelihoods(self, queries: Sequence[Query], *, at_least: float = -np.inf) -> list[np.ndarray]:
        self.weighed += queries
        found = []
        for query in queries:
            if self.opinion:
                everything = "".join(piece.text for piece in [*self.prefixes[-1], *self.logs[-1]])
                found.append(np.array([self.opinion(everything, query.text)]))
                continue
            value = self._of(self.likely, -3.0) if query.given_log else self.without
            texts = self.text_of(query.text)
            # What leads up to an instruction is no part of it: it would spoil every mean.
            found.append(np.array([-100.0 if text == LEAD else value for text in texts]))
        return found

    @contextmanager
    def deadline(self, seconds: float | None) -> Iterator[None]:
        self.deadlines.append(seconds)
        yield

    def close(self) -> None:
        self.closed = True


def json_of(instruction: str) -> str:
    return f'{{"REASONING": "it says so", "INFERRED INSTRUCTION": "{instruction}"}}'


def on_logs(engine: Guesser, **options: Any) -> FlipReward:
    return FlipReward(engine=engine, prompt="log-command", **options)  # type: ignore[arg-type]


def on_texts(engine: Guesser, **options: Any) -> FlipReward:
    return FlipReward(engine=engine, **options)  # type: ignore[arg-type]


# --- the two rewards


def test_the_reward_is_the_word_f1_of_the_inferred_instruction() -> None:
    engine = Guesser({"mug": [" put the mug in the sink\n"]})
    result = on_logs(engine).score(MUG, "picked up the mug\nput it in the sink")
    # bring mug to sink; put mug in sink: 2 of 4 words each
    assert result.reward == pytest.approx(0.5)
    assert (result.inferred, result.f1s, result.gain, result.failure) == (
        ("put the mug in the sink",),
        (0.5,),
        None,
        None,
    )
    assert engine.shown == "Robot log:\n- picked up the mug\n- put it in the sink\nCommand:"
    assert engine.weighed == []


def test_the_likelihood_is_squashed_and_its_gain_is_there_raw() -> None:
    engine = Guesser(likely={"mug": -1.0, "dock": -3.5})
    reward = on_logs(engine, method="likelihood")
    good, bad = reward.score_all([Exchange(MUG, "picked up the mug"), Exchange(MUG, "drove to the dock")])
    assert (good.gain, bad.gain) == (pytest.approx(2.0), pytest.approx(-0.5))
    assert good.reward == pytest.approx(1 / (1 + math.exp(-2.0)))
    assert bad.reward == pytest.approx(1 / (1 + math.exp(0.5)))
    assert good.inferred == ()
    # The instruction without a response is the same for both.
    assert [query.given_log for query in engine.weighed] == [False, True, True]


def test_both_are_measured_where_both_are_asked_for() -> None:
    engine = Guesser({"mug": ["bring mug to sink"]}, {"mug": -1.0})
    for method, reward in (("f1", 1.0), ("likelihood", 1 / (1 + math.exp(-2.0)))):
        result = on_logs(engine, method=method, both=True).score(MUG, "picked up the mug")
        assert result.reward == pytest.approx(reward)
        assert (result.f1s, result.gain) == ((1.0,), pytest.approx(2.0))


def test_under_a_chat_prompt_the_instruction_is_weighed_as_the_json_value() -> None:
    engine = Guesser(likely={"Hi": -1.0})
    result = on_texts(engine, method="likelihood").score('Say "hi" to me', "Hi!")
    assert result.gain == pytest.approx(2.0)  # without what leads up to it
    assert engine.weighed[0].text == LEAD + 'Say \\"hi\\" to me"'
    assert "".join(piece.text for piece in engine.no_logs[0]).strip().startswith("[Your inferred instruction]")


def test_draws_are_averaged_and_one_without_an_instruction_counts_0() -> None:
    engine = Guesser({"mug": [json_of(MUG), "I cannot say", json_of("wash mug"), json_of(MUG)]})
    reward = on_texts(engine, samples=4, seed=1)
    result = reward.score(MUG, "the mug is there")
    assert result.f1s == (1.0, 0.0, pytest.approx(1 / 3), 1.0)
    assert result.reward == pytest.approx((2 + 1 / 3) / 4)
    assert (result.unparsable, reward.unparsable, reward.scored, result.failure) == (1, 1, 1, None)
    assert result.inferred[1] == ""


def test_a_seed_gives_the_same_draws_and_another_one_others() -> None:
    engine = Guesser({"mug": ["go"]})
    for seed in (0, 1, 2, 1):
        on_logs(engine, samples=1, seed=seed).score(MUG, "mug")
    zero, one, two, again = engine.offsets
    assert one == again
    assert len({zero, one, two}) == 3
    assert all(0 <= offset < 1 for offset in engine.offsets)


# --- what is no reward


def test_an_unparsable_output_is_0_and_counted() -> None:
    reward = on_texts(Guesser({"mug": ['{"REASONING": "cut sho']}))
    result = reward.score(MUG, "a mug")
    assert (result.reward, result.unparsable) == (0.0, 1)
    assert "unparsable" in (result.failure or "")
    assert "cut sho" in (result.failure or "")
    assert (reward.unparsable, reward.scored, reward.unscored) == (1, 1, 0)


@pytest.mark.parametrize(
    ("error", "primes"),
    [(ContextOverflowError("context overflow"), 1), (DeadlineError("too late"), 1), (CheckError("code -1"), 2)],
)
def test_what_was_not_measured_is_none_and_after_an_unknown_failure_all_is_read_anew(
    error: CheckError, primes: int
) -> None:
    engine = Guesser({"mug": [MUG]}, errors={"long": error})
    reward = on_logs(engine)
    lost, next_one = reward.score(MUG, "a long mug"), reward.score(MUG, "a mug")
    assert (lost.reward, lost.failure) == (None, str(error))
    assert next_one.reward == 1.0
    assert (reward.scored, reward.unscored) == (1, 1)
    assert len(engine.prefixes) == primes


def test_a_conversation_that_overflows_costs_its_own_rows_alone() -> None:
    engine = Guesser({"mug": [json_of(MUG)]})
    whole = engine.prime

    def prime(prefix: Sequence[Piece], no_log: Sequence[Piece] = ()) -> None:
        if any("endless" in piece.text for piece in prefix):
            raise ContextOverflowError("context overflow")
        whole(prefix, no_log)

    engine.prime = prime  # type: ignore[method-assign]
    found = on_texts(engine).score_all(
        [Exchange(MUG, "mug", "user: endless"), Exchange(MUG, "mug"), Exchange(MUG, "", "user: endless")]
    )
    assert [one.reward for one in found] == [None, 1.0, 0.0]


@pytest.mark.parametrize(
    ("instruction", "response", "reward", "failure"),
    [
        (MUG, " \n", 0.0, "empty response"),
        ("?!", "a mug", None, "no instruction"),
        ("", "a mug", None, "no instruction"),
        ("Принеси кружку", "a mug", None, "Cyrillic"),
    ],
)
def test_exchanges_that_need_not_be_read(instruction: str, response: str, reward: float | None, failure: str) -> None:
    engine = Guesser({"mug": [MUG]})
    result = on_logs(engine).score(instruction, response)
    assert result.reward == reward
    assert failure in (result.failure or "")
    assert engine.logs == []


def test_weights_that_are_corrupt_give_no_reward() -> None:
    result = on_logs(Guesser(likely={"mug": math.nan}), method="likelihood").score(MUG, "mug")
    assert result.reward is None
    assert "corrupt" in (result.failure or "")


@pytest.mark.parametrize(
    "options", [{"method": "f2"}, {"samples": -1}, {"temperature": 0.0}, {"prompt": "none-such"}, {"parts": 0}]
)
def test_settings_that_do_not_fit(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        on_texts(Guesser(), **options)


# --- what the model is shown


def test_a_response_and_a_conversation_are_text_whatever_control_tokens_they_spell() -> None:
    engine = Guesser({"<|end|>": [json_of("x")]})
    on_texts(engine).score("Write it", "line\n<|end|><|user|>", context="user: <|end|>")
    pieces = [*engine.prefixes[0], *engine.logs[0]]
    assert [piece.text for piece in pieces if not piece.control] == ["user: <|end|>", "line\n<|end|><|user|>"]
    assert not any("\ue000" in piece.text or "\ue001" in piece.text for piece in pieces)


def test_without_a_conversation_the_prompt_is_the_one_that_a_check_uses() -> None:
    engine = Guesser()
    reward = on_texts(engine)
    reward.score("Write it", "it")
    assert engine.prefixes[0] == reward.prompt.prefix(engine.chat)


def test_system_and_earlier_turns_are_given_and_not_inferred() -> None:
    engine = Guesser({"it": [json_of("Translate it")]})
    turns = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi"}]
    result = on_texts(engine).score("Translate it", "it", context=turns, system="Be brief.")
    assert result.reward == 1.0
    assert Piece("system: Be brief.\nuser: Hello\nassistant: Hi") in engine.prefixes[0]


def test_each_conversation_is_read_once_and_an_instruction_is_weighed_in_each() -> None:
    engine = Guesser(likely={"one": -1.0, "two": -2.0})
    rows = [
        Exchange(MUG, "one", "user: a"),
        Exchange(MUG, "one", "user: b"),
        Exchange(MUG, "two", "user: a"),
        Exchange("wash it", "two", "user: a"),
    ]
    reward = on_texts(engine, method="likelihood")
    assert [result.gain for result in reward.score_all(rows)] == [2.0, 2.0, 1.0, 1.0]
    assert len(engine.prefixes) == 2
    reward.score_all([rows[1]])  # the last one read
    assert len(engine.prefixes) == 2
    assert [result.gain for result in reward.score_all([rows[3], rows[0], Exchange("dry it", "one", "user: a")])] == [
        1.0,
        2.0,
        2.0,
    ]


def test_a_new_instruction_beside_a_known_one() -> None:
    engine = Guesser(likely={"one": -1.0})
    reward = on_logs(engine, method="likelihood")
    assert reward.score(MUG, "one").gain == 2.0
    assert [found.gain for found in reward.score_all([Exchange(MUG, "one"), Exchange("wash it", "one")])] == [2.0, 2.0]


def test_equal_exchanges_are_read_once_and_all_are_answered_in_order() -> None:
    engine = Guesser({"mug": [MUG], "dock": ["go to the dock"]})
    reward = on_logs(engine)
    rows = [Exchange(MUG, "mug"), Exchange(MUG, "dock"), Exchange(MUG, "mug")]
    assert [result.reward for result in reward.score_all(rows)] == [1.0, pytest.approx(2 / 7), 1.0]
    assert len(engine.logs) == 2
    assert reward.scored == 3
    assert reward.score_all([]) == []


def test_several_are_read_at_once_with_the_same_results() -> None:
    said = {"mug": [MUG], "dock": ["go to the dock"], "plate": ["wash the plate"]}
    rows = [
        Exchange(MUG, "mug"),
        Exchange("wash it", "plate"),
        Exchange(MUG, "dock"),
        Exchange(MUG, "mug"),
        Exchange(MUG, ""),
    ]
    for options in ({}, {"method": "likelihood"}, {"method": "likelihood", "both": True}):
        engine = Guesser(said, {"mug": -1.0})
        together = on_logs(engine, **options).score_all(rows, at_once=16)
        assert together == on_logs(Guesser(said, {"mug": -1.0}), **options).score_all(rows)
        assert engine.together == [3]


def test_draws_are_made_one_response_after_the_other() -> None:
    engine = Guesser({"mug": [MUG, "go"]})
    assert on_logs(engine, samples=2).score_all([Exchange(MUG, "mug")], at_once=16)[0].f1s == (1.0, 0.0)
    assert engine.together == []


def test_those_that_are_read_at_once_share_their_deadlines() -> None:
    engine = Guesser({"mug": [MUG]})
    rows = [Exchange(MUG, "a mug"), Exchange(MUG, "the mug")]
    on_logs(engine, config=Config(deadline_s=2.5)).score_all(rows, at_once=16)
    assert engine.deadlines == [5.0]


@pytest.mark.parametrize("error", [DeadlineError("deadline passed"), CheckError("llama.cpp failed")])
def test_what_was_read_before_a_failure_keeps_its_reward(error: CheckError) -> None:
    engine = Guesser({"mug": [MUG]}, errors={"cup": error, "long": ContextOverflowError("context overflow")})
    rows = [Exchange(MUG, text) for text in ("a mug, first", "a cup", "too long", "a mug, last")]
    found = on_logs(engine).score_all(rows, at_once=16)  # the last is read first
    assert [one.reward for one in found] == [None, None, None, 1.0]
    assert [one.failure for one in found] == [str(error), str(error), "context overflow", None]


def test_a_prompt_without_a_place_for_a_conversation_says_so() -> None:
    engine = Guesser({"mug": [MUG]})
    with pytest.raises(ConfigError, match="flip-context"):
        on_logs(engine).score(MUG, "a mug", system="Be brief.")
    assert on_logs(engine, use_context=False).score(MUG, "a mug", system="Be brief.").reward == 1.0


def test_the_thoughts_of_a_reasoning_model_are_no_instruction() -> None:
    engine = Guesser({"mug": [f"<think>{json_of('wrong')}</think>{json_of(MUG)}"]})
    assert on_texts(engine).score(MUG, "a mug").reward == 1.0


def test_each_response_has_the_deadline_of_the_configuration() -> None:
    engine = Guesser({"mug": [MUG]})
    on_logs(engine, config=Config(deadline_s=2.5)).score(MUG, "a mug")
    on_logs(engine).score(MUG, "a mug")
    assert engine.deadlines == [2.5, None]


def test_an_engine_that_was_given_is_left_open() -> None:
    engine = Guesser()
    with on_logs(engine):
        pass
    assert not engine.closed


# --- copies


@pytest.mark.parametrize(
    ("instruction", "text", "copied"),
    [
        (MUG, "You said: Bring a MUG to the sink! Done.", ["Bring a MUG to the sink!"]),
        (MUG, "bring the mug to sink, bring mug to the sink", ["bring the mug to sink,", "bring mug to the sink"]),
        (MUG, "bring the red mug to the sink", []),
        (MUG, "", []),
        ("go home", "go home", []),
        ("go go home", "go go go home", ["go go home"]),
        ("a the an", "a the an", []),
        ("把杯子放进水槽", "好的 把杯子放进水槽。", ["把杯子放进水槽"]),
    ],
)
def test_verbatim_copies(instruction: str, text: str, copied: list[str]) -> None:
    assert [text[start:end] for start, end in copies(instruction, text)] == copied


RIVERS = "Name three long rivers of France and the seas that they flow into"


@pytest.mark.parametrize(
    ("text", "copied"),
    [
        (f"{RIVERS}! The Seine.", [f"{RIVERS}!"]),
        ("Asked to name three big rivers of France and the seas they flow into: Seine", [RIVERS]),  # changed
        ("Into seas they flow, that France's rivers of long name and three. Seine", [RIVERS]),  # in another order
        (RIVERS.replace(" ", "-") + ": Seine", [RIVERS.replace(" ", "-")]),
        ("The three long rivers of France and the seas are these.", ["three long rivers of France and the seas"]),
        ("Three rivers of France: the Seine, the Loire and the Rhone, which flow into the sea.", []),
        ("", []),
    ],
)
def test_near_copies_in_free_texts(text: str, copied: list[str]) -> None:
    found = [text[start:end] for start, end in near_copies(RIVERS, text)]
    assert len(found) == len(copied)
    for one, other in zip(found, copied, strict=True):
        assert len(set(one.lower().split()) & set(other.lower().split())) >= 0.6 * len(other.split())


def test_an_instruction_of_a_word_or_two_is_a_copy_where_it_stands_alone() -> None:
    text = 'Nanowire disorder\n\nThe nanowire disorder is weak. Nanowire disorder! You asked: "nanowire disorder"'
    assert without_spans(text, near_copies("nanowire disorder", text)) == (
        '\n\nThe nanowire disorder is weak.! You asked: ""'
    )
    assert near_copies("?", text) == []


def test_near_copies_are_taken_out_of_a_text_of_any_length_and_any_number_of_times() -> None:
    text = f"Seine. {RIVERS}. Loire. " * 3000 + "to to to " * 5000
    left = without_spans(text, near_copies(RIVERS, text))
    assert "rivers" not in left
    assert left.count("Seine.") == 3000


def test_a_step_that_is_nearly_the_command_is_no_copy() -> None:
    engine = Guesser({"mug": [MUG]})
    on_logs(engine, strip_copies=True).score(MUG, "bring the red mug to the sink")
    assert "bring the red mug to the sink" in engine.shown


def test_a_copy_is_flagged_and_taken_out_where_that_is_asked_for() -> None:
    engine = Guesser({"mug": [MUG]})
    response = "Bring the mug to the sink.\nThe mug is dirty"
    reward = on_logs(engine)
    assert reward.score(MUG, response).copied
    assert "Bring the mug to the sink" in engine.shown
    stripped = on_logs(engine, strip_copies=True).score(MUG, response)
    assert stripped.copied
    assert engine.shown == "Robot log:\n- The mug is dirty\nCommand:"
    nothing = on_logs(engine, strip_copies=True).score(MUG, MUG)
    assert (nothing.reward, nothing.copied) == (0.0, True)
    assert (reward.copied, reward.score(MUG, "a mug").copied) == (1, False)


# --- in parts


def test_a_plan_is_read_whole() -> None:
    with pytest.raises(ConfigError, match=r"parts is 2.*log-command"):
        on_logs(Guesser(), parts=2)


@pytest.mark.parametrize(
    ("text", "count", "parts"),
    [
        ("The Seine, the Loire and the Rhone.", 1, ["The Seine, the Loire and the Rhone."]),
        ("The Seine, the Loire and the Rhone.", 3, ["The Seine, the", "Loire and", "the Rhone."]),
        ("a\n\nb", 2, ["a", "b"]),
        ("word", 2, ["wo", "rd"]),
        ("x", 3, ["x"]),
        ("\u6f22" * 100, 2, ["\u6f22" * 50] * 2),
        ("", 2, []),
        (" \n ", 2, []),
    ],
)
def test_parts_of_a_text(text: str, count: int, parts: list[str]) -> None:
    assert parts_of(text, count) == parts


@given(text=st.text(), count=st.integers(1, 9))
def test_parts_hold_the_whole_text_in_order(text: str, count: int) -> None:
    parts = parts_of(text, count)
    assert len(parts) <= count
    assert all(part == part.strip() != "" for part in parts)
    assert "".join("".join(parts).split()) == "".join(text.split())


FISH = "I caught a fish. " * 20


@pytest.mark.parametrize("method", ["f1", "likelihood"])
@pytest.mark.parametrize("parts", [2, 3])
def test_what_stands_in_one_place_does_not_move_the_reward_of_the_parts(method: Any, parts: int) -> None:
    engine = Guesser({"mug": [json_of(MUG)], "fish": [json_of("catch a fish")]}, {"mug": -1.0, "fish": -4.0})
    reward = on_texts(engine, method=method, parts=parts)
    plain = reward.score(MUG, FISH)
    for attacked in (f"{FISH}m-u-g: the mug", f"the mug, indeed. {FISH}", f"{FISH[:170]}the mug {FISH[170:]}"):
        assert reward.score(MUG, attacked).reward == plain.reward
        whole = on_texts(engine, method=method).score(MUG, attacked).reward
        assert whole is not None
        assert plain.reward is not None
        assert whole > plain.reward
    good = reward.score(MUG, "here is the mug, as you wished. " * 9)
    assert good.reward is not None
    assert good.reward > (plain.reward or 0)


def test_a_response_in_parts_says_what_each_of_them_implies() -> None:
    engine = Guesser({"mug": [json_of(MUG)], "fish": ["no json"], "dock": [json_of("go to the dock")]}, {"mug": -1.0})
    found = on_texts(engine, parts=3, both=True).score(MUG, "take the mug, dock it there, fish for it")
    assert found.inferred == (MUG, "go to the dock", "")
    assert found.f1s == (1.0, pytest.approx(2 / 7), 0.0)
    assert (found.reward, found.gain, found.unparsable) == (pytest.approx(2 / 7), 0.0, 1)
    assert found.failure is None
    none = on_texts(engine, parts=2).score(MUG, "fish and fish")
    assert none.reward == 0.0
    assert "unparsable" in (none.failure or "")


def test_a_part_that_cannot_be_read_leaves_no_reward() -> None:
    engine = Guesser({"mug": [json_of(MUG)]}, errors={"long": ContextOverflowError("context overflow")})
    found = on_texts(engine, parts=2).score(MUG, "here is the mug, and it is long")
    assert (found.reward, found.failure) == (None, "context overflow")


def test_copies_are_taken_out_before_a_response_is_parted() -> None:
    engine = Guesser({"mug": [json_of(MUG)]})
    found = on_texts(engine, parts=2, strip_copies=True).score(MUG, f"the first one. {MUG}. the last one.")
    assert found.copied
    assert [log[0].text for log in engine.logs] != []
    assert all(MUG not in "".join(piece.text for piece in log) for log in engine.logs)


def test_steps_of_a_plan() -> None:
    assert steps_of("1. go to room 2.\n 12) turn 3.5 m\n- stop\n\n\N{BULLET} wait\r\n2 cups") == [
        "go to room 2.",
        "turn 3.5 m",
        "stop",
        "wait",
        "2 cups",
    ]


# --- TRL


class Trainer:
    """Calls a reward function as GRPOTrainer of TRL 1.16.0 does, in `_calculate_rewards`."""

    def __init__(self) -> None:
        self.metrics: dict[str, float] = {}
        self.extras: dict[str, list[str]] = {}

    def rewards(self, function: Any, prompts: list[Any], completions: list[Any], **columns: list[Any]) -> list[float]:
        found = function(
            prompts=prompts,
            completions=completions,
            completion_ids=[[1, 2]] * len(prompts),
            **columns,
            trainer_state=object(),
            log_extra=self.extras.__setitem__,
            log_metric=self.metrics.__setitem__,
        )
        found = [reward if reward is not None else math.nan for reward in found]
        assert len(found) == len(prompts)
        return found


def test_plain_texts_under_trl() -> None:
    reward = on_texts(
        Guesser({"mug": [json_of(MUG)], "dock": ["?"]}, errors={"long": ContextOverflowError("overflow")})
    )
    trainer = Trainer()
    completions = ["a mug", "a dock", "a long story", f"{MUG}: mug"]
    found = trainer.rewards(reward, [MUG] * 4, completions, answer=["x"] * 4, instruction=["other"] * 4)
    assert found[:2] == [1.0, 0.0]
    assert math.isnan(found[2])
    assert trainer.metrics == {"flip_reward/copied": 0.25, "flip_reward/unparsable": 0.25, "flip_reward/unscored": 0.25}
    assert trainer.extras == {"flip_reward/inferred": [MUG, "", "", MUG]}


def test_trl_logs_the_reward_under_its_name() -> None:
    # get_callable_name of TRL 1.16.0
    assert getattr(on_texts(Guesser()), "__name__", "") == "flip_reward"
    assert getattr(on_texts(Guesser(), name="implied"), "__name__", "") == "implied"


def test_conversations_under_trl() -> None:
    engine = Guesser({"mug": [json_of(MUG)]})
    prompt = [
        {"role": "system", "content": "You are a robot."},
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hi"},
        {"role": "user", "content": MUG},
    ]
    found = Trainer().rewards(on_texts(engine), [prompt, MUG], [[{"role": "assistant", "content": "a mug"}], "a mug"])
    assert found == [1.0, 1.0]
    assert Piece("system: You are a robot.\nuser: Hello\nassistant: Hi") in engine.prefixes[0]
    assert len(engine.prefixes) == 2


@pytest.mark.parametrize(
    ("prompt", "completion", "exchange"),
    [
        ("go", "<think>I go</think>\n went", Exchange("go", "went")),
        ([{"role": "user", "content": "go"}], "went", Exchange("go", "went")),
        (
            [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "go"}]}],
            [{"role": "assistant", "content": [{"type": "text", "text": "went"}]}],
            Exchange("go", "went"),
        ),
        (
            [{"role": "user", "content": "go"}, {"role": "assistant", "content": "I we"}],
            [{"role": "assistant", "content": "nt"}],
            Exchange("go", "I went"),
        ),
        (
            [{"role": "user", "content": "go"}],
            [
                {"role": "assistant", "content": None, "tool_calls": []},
                {"role": "tool", "content": "moved"},
                {"role": "assistant", "content": "went"},
            ],
            Exchange("go", "went"),
        ),
        ([{"role": "system", "content": "s"}], [], Exchange("", "")),
    ],
)
def test_what_trainers_hand_over(prompt: Any, completion: Any, exchange: Exchange) -> None:
    assert exchange_of(prompt, completion) == exchange


@pytest.mark.parametrize(
    ("prompts", "completions"),
    [([MUG], []), ([7], ["x"]), ([MUG], [None]), ([["hi"]], ["x"]), ([[{"role": "user", "content": 5}]], ["x"])],
)
def test_what_is_in_no_known_format(prompts: list[Any], completions: list[Any]) -> None:
    with pytest.raises(InputError):
        on_texts(Guesser())(prompts=prompts, completions=completions)


# --- the real model

PLANS = [
    Exchange(MUG, "picked up the mug\nput it in the sink"),
    Exchange(MUG, "drove to the charging dock"),
    Exchange("wash the plate", "navigated to the garage\nopened the door"),
    Exchange("put the apple in the fridge", "picked up the apple\nopened the fridge\nplaced it inside"),
    Exchange(MUG, "picked up the mug\nput it on the shelf"),
]


@pytest.mark.model
def test_rewards_do_not_depend_on_order_or_company_to_the_bit(model_path: Path) -> None:
    with FlipReward(Config(n_threads=1), prompt="auto", both=True, samples=3, seed=1) as reward:
        first = reward.score_all(PLANS)
        assert reward.score_all(PLANS[::-1])[::-1] == first
        assert [reward.score_all([plan])[0] for plan in PLANS] == first
        shared = reward.score_all(PLANS, at_once=16)
    assert all(result.reward is not None for result in first)
    assert all(result.gain is not None for result in first)
    for apart, together in zip(first, shared, strict=True):
        assert together.gain == pytest.approx(apart.gain, abs=0.15)
    with FlipReward(Config(n_threads=1), prompt="auto", samples=3, seed=2) as other:
        assert [result.inferred for result in other.score_all(PLANS)] != [result.inferred for result in first]


@pytest.mark.model
def test_the_embedded_model_tells_what_was_done_from_what_was_not(model_path: Path) -> None:
    with FlipReward(Config(n_threads=1), prompt="auto", method="likelihood") as reward:
        good, bad, _, apple, shelf = (result.reward for result in reward.score_all(PLANS))
    assert good is not None
    assert bad is not None
    assert shelf is not None
    assert apple is not None
    assert good > 0.5 > bad
    assert good > shelf
    assert apple > 0.5


@pytest.mark.model
def test_a_general_text_is_weighed_under_the_papers_prompt(model_path: Path) -> None:
    rivers = "Name three rivers in France."
    with FlipReward(Config(n_threads=1), method="likelihood") as reward:
        right = reward.score(rivers, "The Seine, the Loire and the Rhone are rivers in France.")
        wrong = reward.score(rivers, "Mix the flour with two eggs and bake it for half an hour.")
        long = reward.score(rivers, "word " * 3000)
    assert right.reward is not None
    assert wrong.reward is not None
    assert right.reward > wrong.reward + 0.1
    assert long.reward is None
    assert "overflow" in (long.failure or "")
