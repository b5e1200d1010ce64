"""The real engine on the real model, against an independent computation through llama-cpp-python's own `Llama`."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import pytest

from flip_edge.engine import Engine, Generation
from flip_edge.errors import (
    CancelledError,
    CheckError,
    ConfigError,
    ContextOverflowError,
    DeadlineError,
    ModelError,
)
from flip_edge.llama import ordinary
from flip_edge.prompts import Piece, Query

pytestmark = pytest.mark.model

N_CTX = 1024
PREFIX = [
    Piece(
        "Robot log:\n- drove to the dock\n- stopped at the dock\nCommand: go to the dock\n\n"
        "Robot log:\n- drove to the lab\n- stopped at the lab\nCommand: go to the lab\n\n"
    )
]
NO_LOG = [Piece("Command:")]
MUG = [Piece("Robot log:\n"), Piece("- picked up the mug\n"), Piece("- put it in the sink\n"), Piece("Command:")]
TRASH = [Piece("Robot log:\n"), Piece("- took the trash out of the kitchen\n"), Piece("Command:")]
KITCHEN = [Piece("Robot log:\n- drove to the kitchen\n- stopped at the kitchen\nCommand:")]  # plain, after PREFIX
ANSWER = " bring the mug to the sink\n"


def test_no_product_is_made_with_amx(monkeypatch: pytest.MonkeyPatch, model_path: Path) -> None:
    """Where llama.cpp could, it may crash; what it would make them of are weights in extra buffers."""
    import llama_cpp

    extra = []
    load = llama_cpp.llama_cpp.llama_model_load_from_file

    def loading(path: bytes, params: llama_cpp.llama_model_params) -> object:
        extra.append(params.use_extra_bufts)
        return load(path, params)

    monkeypatch.setattr(llama_cpp, "llama_model_load_from_file", loading)
    monkeypatch.setattr(llama_cpp.llama_cpp, "llama_model_load_from_file", loading)
    for features, used in (("AVX2 = 1 | AMX_INT8 = 1 | ", False), ("AVX2 = 1 | ", True)):
        monkeypatch.setattr("flip_edge.llama.system_info", lambda: features)  # noqa: B023
        Engine(model_path, n_ctx=64, n_threads=1).close()
        ordinary(model_path, n_ctx=64, n_threads=1).close()
        assert extra == [used, used]
        extra.clear()


def waypoints(count: int) -> list[Piece]:
    return [Piece(f"- moved to waypoint {number} and looked around\n") for number in range(count)] + NO_LOG


@dataclass(frozen=True)
class Reading:
    """Everything one check takes from the engine, comparable bit for bit."""

    tokens: int
    given_log: tuple[float, ...]
    without_log: tuple[float, ...]
    generation: Generation


def reading(engine: Engine, log: Sequence[Piece] = MUG, answer: str = ANSWER) -> Reading:
    tokens = engine.read(log)
    given_log, without_log = both(engine, answer)
    return Reading(tokens, tuple(given_log), tuple(without_log), engine.generate(12))


def both(engine: Engine, answer: str) -> tuple[np.ndarray, np.ndarray]:
    """Log-probabilities of an answer's tokens given the log, and without it."""
    given_log, without_log = engine.log_likelihoods([Query(answer), Query(answer, given_log=False)])
    return given_log, without_log


@pytest.fixture(scope="session")
def real(model_path: Path) -> Iterator[Engine]:
    with Engine(model_path, n_ctx=N_CTX, n_threads=1) as engine:
        engine.prime(PREFIX, NO_LOG)
        yield engine


@pytest.fixture(scope="session")
def fresh(real: Engine) -> Reading:
    """What the engine says of MUG before anything else was asked of it."""
    return reading(real)


class Reference:
    """The ordinary high-level interface, asked for all logits, and a float64 softmax of our own."""

    def __init__(self, path: Path) -> None:
        # Without flash attention, as the engine runs on a CPU.
        self.llama = ordinary(path, n_ctx=N_CTX, n_threads=1, logits_all=True, flash_attn=False)

    def tokens(self, pieces: Sequence[Piece]) -> list[int]:
        found: list[int] = []
        for piece in pieces:
            found += self.llama.tokenize(piece.text.encode(), add_bos=False, special=piece.control)
        return found

    def log_probabilities(self, parts: Sequence[Sequence[Piece]], answer: str) -> np.ndarray:
        """Of every token of ``answer`` after ``parts``, each part being decoded in one go."""
        self.llama.reset()
        for part in parts:
            self.llama.eval(self.tokens(part))
        tokens = self.tokens([Piece(answer)])
        self.llama.eval(tokens)
        end = self.llama.n_tokens
        # The logits after token i are about token i + 1: the row before each token of the answer is its own.
        rows = np.array(self.llama.scores[end - len(tokens) - 1 : end - 1], dtype=np.float64)
        rows -= rows.max(axis=1, keepdims=True)
        rows -= np.log(np.exp(rows).sum(axis=1, keepdims=True))
        return rows[np.arange(len(tokens)), tokens]

    def greedy(self, parts: Sequence[Sequence[Piece]], count: int) -> str:
        """Up to ``count`` tokens at temperature 0, up to the end of the line."""
        self.llama.reset()
        for part in parts:
            self.llama.eval(self.tokens(part))
        written = b""
        for _ in range(count):
            token = self.llama.sample(temp=0.0)
            if token == self.llama.token_eos():
                break
            written += self.llama.detokenize([token])
            if b"\n" in written:
                break
            self.llama.eval([token])
        return written.partition(b"\n")[0].decode()


@pytest.fixture(scope="session")
def reference(model_path: Path) -> Iterator[Reference]:
    made = Reference(model_path)
    yield made
    made.llama.close()


# --- log-likelihoods


# llama.cpp rounds by the place in memory: where other cells lie between prefix and log, a token differs by up to about
# 0.2 nats and the mean by a tenth of that. An error by one token would differ by whole nats.
ROUNDING, MEAN_ROUNDING = 0.5, 0.2


@pytest.mark.parametrize("log", [MUG, TRASH], ids=["mug", "trash"])
@pytest.mark.parametrize("answer", [ANSWER, " take out the trash\n", " Поехали 🚀\n", " go"])
def test_log_likelihoods_are_those_of_the_full_logits(
    real: Engine, reference: Reference, model_path: Path, log: list[Piece], answer: str
) -> None:
    expected = [reference.log_probabilities([PREFIX, context], answer) for context in (log, NO_LOG)]
    real.read(log)
    for found, right in zip(both(real, answer), expected, strict=True):
        assert found == pytest.approx(right, abs=ROUNDING)
        assert found.mean() == pytest.approx(right.mean(), abs=MEAN_ROUNDING)
    with Engine(model_path, n_ctx=N_CTX, n_threads=1) as engine:
        engine.prime(PREFIX, NO_LOG)  # nothing lies between prefix and answer, as in the reference
        assert engine.log_likelihoods([Query(answer, given_log=False)])[0] == pytest.approx(expected[1], abs=1e-3)
        engine.prime(PREFIX)
        engine.read(log)
        assert engine.log_likelihoods([Query(answer)])[0] == pytest.approx(expected[0], abs=1e-3)


def test_a_log_longer_than_a_batch_is_read_whole(reference: Reference, model_path: Path) -> None:
    log = waypoints(57)
    with Engine(model_path, n_ctx=N_CTX, n_threads=1) as engine:
        # Nothing lies between prefix and log in memory, as in the reference: llama.cpp rounds by the place in memory.
        engine.prime(PREFIX)
        assert engine.read(log) > 512
        [given_log] = engine.log_likelihoods([Query(ANSWER)])  # alone, as beside others it is rounded otherwise
        [without_log] = engine.log_likelihoods([Query(ANSWER, given_log=False)])
    assert given_log == pytest.approx(reference.log_probabilities([PREFIX, log], ANSWER), abs=1e-3)
    assert without_log == pytest.approx(reference.log_probabilities([PREFIX], ANSWER), abs=ROUNDING)


def test_an_answer_longer_than_a_batch_is_weighed_whole(real: Engine, reference: Reference) -> None:
    answer = " go to the dock and then to the kitchen" * 30 + "\n"  # in two readings more than one batch of 512
    real.read(MUG)
    given_log, without_log = both(real, answer)
    assert len(given_log) == len(without_log) == len(reference.tokens([Piece(answer)]))
    assert 2 * len(given_log) > 512
    # In batches cut elsewhere llama.cpp rounds elsewhere: a token may differ by tenths, the mean by far less.
    assert given_log.mean() == pytest.approx(reference.log_probabilities([PREFIX, MUG], answer).mean(), abs=0.05)
    assert without_log.mean() == pytest.approx(reference.log_probabilities([PREFIX, NO_LOG], answer).mean(), abs=0.05)


def test_a_shared_prefix_says_what_the_whole_text_at_once_says(real: Engine, reference: Reference) -> None:
    real.read(MUG)
    given_log, _ = both(real, ANSWER)
    at_once = reference.log_probabilities([[*PREFIX, *MUG]], ANSWER)
    assert given_log.mean() == pytest.approx(at_once.mean(), abs=0.1)  # but for llama.cpp's rounding, see above


def test_the_same_log_says_more_about_its_own_command_than_about_another(real: Engine) -> None:
    real.read(MUG)
    right, right_without = both(real, ANSWER)
    wrong, wrong_without = both(real, " clean the bathroom mirror\n")
    assert (right - right_without).mean() > (wrong - wrong_without).mean()


def test_log_likelihoods_are_log_probabilities(real: Engine) -> None:
    real.read(MUG)
    for values in both(real, ANSWER):
        assert values.dtype == np.float64
        assert (values <= 0).all()
        assert np.isfinite(values).all()


def test_an_empty_command_is_an_error_and_not_a_likelihood(real: Engine, fresh: Reading) -> None:
    real.read(MUG)
    with pytest.raises(CheckError, match="no tokens"):
        both(real, "")
    assert reading(real) == fresh


# --- generation


@pytest.mark.parametrize(
    "log",
    [MUG, TRASH, [Piece("Once upon a time")], [Piece("Cities: Paris, Berlin, Rome,")], waypoints(20)],
    ids=["mug", "trash", "story", "cities", "waypoints"],
)
def test_generation_is_greedy(real: Engine, reference: Reference, log: list[Piece]) -> None:
    real.read(log)
    assert real.generate(12).text == reference.greedy([PREFIX, log], 12)


def test_generation_equals_a_completion_at_temperature_0(real: Engine, reference: Reference) -> None:
    real.read(KITCHEN)
    completion = reference.llama.create_completion(
        reference.tokens([*PREFIX, *KITCHEN]), temperature=0.0, max_tokens=12, stop=["\n"]
    )
    assert real.generate(12).text == completion["choices"][0]["text"] == " go to the kitchen"


def test_generation_stops_at_the_line_and_counts_its_tokens(real: Engine) -> None:
    real.read(KITCHEN)
    assert real.generate(12) == Generation(" go to the kitchen", 5, True)
    cut = real.generate(2)
    assert (cut.text, cut.tokens, cut.finished) == (" go to", 2, False)
    assert real.generate(12, stop=" the") == Generation(" go to", 3, True)


def test_generating_leaves_the_log_as_it_was(real: Engine) -> None:
    real.read(MUG)
    first, again = real.generate(12), real.generate(12)
    assert first == again
    weighed = both(real, ANSWER)[0]
    real.generate(5)
    assert (both(real, ANSWER)[0] == weighed).all()


def test_characters_of_several_tokens_come_out_whole_and_cut_ones_do_not_fail(model_path: Path) -> None:
    with Engine(model_path, n_ctx=256, n_threads=1) as engine:
        engine.prime([Piece("漢字 漢字 漢字 漢字 漢字 漢字 漢字")])
        engine.read([])
        texts = [engine.generate(count, stop=None).text for count in range(1, 13)]
    assert " 漢字 漢字" in texts[-1]
    assert any("\N{REPLACEMENT CHARACTER}" in text for text in texts)  # cut inside a character
    assert any("\N{REPLACEMENT CHARACTER}" not in text and "漢" in text for text in texts)


# --- draws


@pytest.mark.parametrize("log", [KITCHEN, MUG], ids=["kitchen", "mug"])
def test_every_text_is_drawn_as_often_as_it_is_likely(real: Engine, log: list[Piece]) -> None:
    count, length = 32, 3
    real.read(log)
    drawn = Counter(draw.text for draw in real.sample(count, length, stop=None) if not draw.finished)
    texts = [text for text in drawn if len(real.tokenize([Piece(text)])) == length]
    assert sum(drawn[text] for text in texts) > count / 2
    for text, found in zip(texts, real.log_likelihoods([Query(text) for text in texts]), strict=True):
        # A text takes up one stretch of all that there is, on which evenly spaced points lie.
        expected = count * float(np.exp(found.sum()))
        assert abs(drawn[text] - expected) <= 1 + 0.1 * expected, text
    assert len(texts) > 3


def test_draws_are_the_same_each_time_and_others_at_another_offset(real: Engine) -> None:
    real.read(MUG)
    draws = real.sample(8, 12)
    assert real.sample(8, 12) == draws
    assert real.sample(8, 12, offset=0.1) != draws
    assert len({draw.text for draw in draws}) > 1


def test_a_draw_is_its_points_alone(real: Engine) -> None:
    real.read(MUG)
    even = real.sample(4, 6)
    assert real.draw([0.125, 0.375, 0.625, 0.875], 6) == even
    assert real.draw([0.875, 0.125], 6) == [even[3], even[0]]
    assert real.draw([], 6) == []


def test_cold_draws_are_the_greedy_text(real: Engine) -> None:
    real.read(MUG)
    greedy = real.generate(12)
    assert real.sample(3, 12, temperature=0.001) == [greedy] * 3


def test_drawing_leaves_the_log_as_it_was(real: Engine, fresh: Reading) -> None:
    real.read(MUG)
    before = both(real, ANSWER)[0]
    real.sample(32, 12)
    assert (both(real, ANSWER)[0] == before).all()
    assert reading(real) == fresh


def test_draws_share_what_they_begin_alike_with(real: Engine) -> None:
    real.read(KITCHEN)
    before = real.decoded_tokens
    draws = real.sample(8, 12, temperature=0.3)
    cold = real.decoded_tokens - before
    assert cold < sum(draw.tokens for draw in draws)
    both(real, " go to the kitchen\n")  # weighed, so that draws that go the same way need not decode it
    before = real.decoded_tokens
    assert [draw.text for draw in real.sample(8, 12, temperature=0.3)] == [draw.text for draw in draws]
    assert real.decoded_tokens - before < cold


def test_draws_make_do_with_the_room_that_there_is(model_path: Path) -> None:
    with Engine(model_path, n_ctx=256, n_threads=1) as engine:
        engine.prime(PREFIX, NO_LOG)
        engine.read(MUG)
        greedy = engine.generate(40)
        assert engine.sample(20, 40, temperature=0.001) == [greedy] * 20
        with pytest.raises(ContextOverflowError):
            engine.sample(1, 256)


# --- several logs at once

SINK_TWICE = [*MUG[:-1], Piece("- put it in the sink\n"), MUG[-1]]
BEGUN = [Piece("Robot log:\n"), Piece("- picked up the mug\n")]  # another log begins with it and goes on
LOGS = [MUG, TRASH, SINK_TWICE, KITCHEN, MUG, BEGUN]
ANSWERS = [ANSWER, " take out the trash\n", ANSWER, " go to the kitchen\n", " wash the mug\n", ANSWER]


@pytest.fixture
def roomy(model_path: Path) -> Iterator[Engine]:
    with Engine(model_path, n_ctx=N_CTX, n_threads=1) as engine:
        engine.prime(PREFIX, NO_LOG)
        yield engine


def test_logs_that_are_read_together_say_what_each_says_alone(roomy: Engine) -> None:
    found = dict(roomy.read_each(LOGS, ANSWERS, 12))
    assert sorted(found) == list(range(len(LOGS)))
    for place, (log, answer) in enumerate(zip(LOGS, ANSWERS, strict=True)):
        together = found[place]
        assert not isinstance(together, ContextOverflowError)
        roomy.read(log)
        np.testing.assert_allclose(together.log_likelihoods, roomy.log_likelihoods([Query(answer)])[0], atol=0.5)
        assert together.generation == roomy.generate(12)


def test_what_logs_begin_alike_with_is_read_once(roomy: Engine) -> None:
    def cost(logs: Sequence[list[Piece]]) -> int:
        before = roomy.decoded_tokens
        list(roomy.read_each(logs))
        return roomy.decoded_tokens - before

    def size(log: list[Piece]) -> int:
        return len(roomy.tokenize(log))

    assert cost([MUG, TRASH]) < size(MUG) + size(TRASH)
    assert cost([MUG] * 5) == cost([MUG, BEGUN]) == size(MUG)
    one_by_one = sum(cost([log]) for log in (MUG, SINK_TWICE))
    assert cost([MUG, SINK_TWICE]) == one_by_one - size(MUG[:-1])


def test_their_order_changes_nothing_to_the_bit(roomy: Engine) -> None:
    first = dict(roomy.read_each(LOGS, ANSWERS, 8))
    backwards = dict(roomy.read_each(LOGS[::-1], ANSWERS[::-1], 8))
    for place, found in first.items():
        other = backwards[len(LOGS) - 1 - place]
        assert not isinstance(found, ContextOverflowError)
        assert not isinstance(other, ContextOverflowError)
        np.testing.assert_array_equal(found.log_likelihoods, other.log_likelihoods)
        assert found.generation == other.generation


@pytest.mark.parametrize("at_once", [1, 3])
def test_fewer_at_a_time_say_the_same(roomy: Engine, at_once: int) -> None:
    found = dict(roomy.read_each(LOGS, ANSWERS, 8))
    fewer = dict(roomy.read_each(LOGS, ANSWERS, 8, at_once=at_once))
    assert [one.generation for one in found.values()] == [fewer[place].generation for place in found]


def test_nothing_is_weighed_or_written_that_was_not_asked_for(roomy: Engine) -> None:
    assert [(one.log_likelihoods, one.generation) for _, one in roomy.read_each([MUG])] == [(None, None)]
    assert [one.generation for _, one in roomy.read_each([MUG], [ANSWER])] == [None]
    assert [one.log_likelihoods for _, one in roomy.read_each([MUG], max_tokens=3)] == [None]
    assert list(roomy.read_each([])) == []


def test_logs_take_turns_where_the_context_has_no_room_and_one_that_never_fits_says_so(model_path: Path) -> None:
    with Engine(model_path, n_ctx=256, n_threads=1) as engine:
        engine.prime(PREFIX, NO_LOG)
        logs = [
            MUG,
            waypoints(100),
            TRASH,
            [Piece("x " * 20_000)],
            *[[Piece(f"- room {n}\n"), MUG[-1]] for n in range(20)],
        ]
        found = dict(engine.read_each(logs, [ANSWER] * len(logs), 12))
        assert sorted(found) == list(range(len(logs)))
        assert [place for place, one in found.items() if isinstance(one, ContextOverflowError)] == [3, 1]
        engine.read(MUG)
        assert found[0].generation == engine.generate(12)


def test_reading_together_leaves_no_trace(real: Engine, fresh: Reading) -> None:
    list(real.read_each(LOGS, ANSWERS, 8))
    assert reading(real) == fresh
    with pytest.raises(DeadlineError), real.deadline(0.01):
        list(real.read_each([waypoints(20 + n) for n in range(3)], [ANSWER] * 3, 8))
    assert reading(real) == fresh


# --- tokens


@pytest.mark.parametrize(
    "text",
    [
        ANSWER,
        "Robot log:\n- picked up the mug\n",
        "<|im_end|><|endoftext|>",
        "漢字 🚀 Привет café\u0301",
        " " * 50,
        "a" * 3000,
        "\x00\x07",
    ],
)
def test_tokens_are_those_of_the_ordinary_interface(real: Engine, reference: Reference, text: str) -> None:
    tokens = real.tokenize([Piece(text)])
    assert tokens == reference.tokens([Piece(text)])
    assert reference.llama.detokenize(tokens) == text.encode()


def test_control_tokens_in_a_robots_text_are_text(real: Engine, reference: Reference) -> None:
    controls = {token: reference.tokens([Piece(token, control=True)]) for token in ("<|im_end|>", "<|endoftext|>")}
    assert all(len(ids) == 1 for ids in controls.values())
    forbidden = {ids[0] for ids in controls.values()}
    for text in ("<|im_end|>", "- picked up <|im_end|> the mug<|endoftext|>\n", "<|im_end|>" * 20):
        assert not forbidden & set(real.tokenize([Piece(text)])), text
    assert real.tokenize([Piece("<|im_end|>", control=True)]) == controls["<|im_end|>"]
    mixed = real.tokenize([Piece("<|im_end|>"), Piece("<|im_end|>", control=True)])
    assert mixed[-1:] == controls["<|im_end|>"]
    assert mixed[-1] not in mixed[:-1]


def test_lone_surrogates_can_be_tokenized(real: Engine) -> None:
    assert real.tokenize([Piece("went \udcff there")]) == real.tokenize([Piece("went ? there")])


def test_chat_renders_the_models_own_template(real: Engine, reference: Reference) -> None:
    text = real.chat([("system", "Be brief."), ("user", "What was it told?")])
    assert text == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nWhat was it told?<|im_end|>\n"
        "<|im_start|>assistant\n"
    )
    start, end = (reference.tokens([Piece(name, control=True)])[0] for name in ("<|im_start|>", "<|im_end|>"))
    tokens = real.tokenize([Piece(text, control=True)])
    assert (tokens.count(start), tokens.count(end)) == (3, 2)


# --- the same again


# --- reading ahead


def so_far(log: Sequence[Piece], lines: int) -> list[Piece]:
    return list(log[: lines + 1])


def test_a_log_that_was_read_ahead_says_what_it_says_all_at_once(real: Engine, fresh: Reading) -> None:
    for lines in range(1, len(MUG) - 1):
        assert real.read_ahead(so_far(MUG, lines)) > 0
    ahead = reading(real)
    assert ahead.tokens == len(real.tokenize(MUG[-1:]))
    assert real.reused_tokens == len(real.tokenize(PREFIX)) + fresh.tokens - ahead.tokens
    np.testing.assert_allclose(ahead.given_log, fresh.given_log, atol=ROUNDING)
    assert np.mean(ahead.given_log) == pytest.approx(np.mean(fresh.given_log), abs=MEAN_ROUNDING)
    assert ahead.generation.text == fresh.generation.text


def test_what_is_known_already_is_not_read_again(real: Engine) -> None:
    first = real.read_ahead(so_far(MUG, 1))
    assert real.read_ahead(so_far(MUG, 1)) == 0
    assert real.read_ahead(so_far(MUG, 2)) == len(real.tokenize(MUG[2:3]))
    assert first == len(real.tokenize(MUG[:2]))


def test_another_run_is_not_taken_for_the_one_that_was_read_ahead(real: Engine, fresh: Reading) -> None:
    real.read_ahead(so_far(TRASH, 1))
    assert reading(real) == fresh
    real.read_ahead([*so_far(MUG, 1), Piece("- dropped the mug\n")])
    assert reading(real) == fresh


def test_a_check_between_two_steps_of_another_run_changes_neither(real: Engine, fresh: Reading) -> None:
    other = reading(real, TRASH, " take out the trash\n")
    real.read_ahead(so_far(MUG, 1))
    assert reading(real, TRASH, " take out the trash\n") == other
    assert real.read_ahead(so_far(MUG, 2)) == len(real.tokenize(MUG[:3]))
    assert reading(real).generation.text == fresh.generation.text


def test_what_was_read_ahead_gives_way_to_a_check_that_needs_its_room(model_path: Path) -> None:
    with Engine(model_path, n_ctx=256, n_threads=1) as engine:
        engine.prime(PREFIX, NO_LOG)
        alone = reading(engine, waypoints(8))
        engine.read_ahead([Piece("- waited at the gate for a while\n") for _ in range(12)])
        assert reading(engine, waypoints(8)) == alone
        known = engine.read_ahead(waypoints(3)[:-1])
        with pytest.raises(ContextOverflowError):
            engine.read_ahead(waypoints(60))
        after = reading(engine, waypoints(8))  # what was read before is still good
        assert (after.tokens, after.generation) == (alone.tokens - known, alone.generation)


def test_a_deadline_while_reading_ahead_harms_nothing(real: Engine, fresh: Reading) -> None:
    real.read_ahead(so_far(MUG, 1))
    with pytest.raises(DeadlineError), real.deadline(0.05):
        real.read_ahead([*so_far(MUG, 1), *waypoints(60)])
    assert reading(real) == fresh


def test_another_prefix_forgets_what_was_read_ahead(model_path: Path) -> None:
    with Engine(model_path, n_ctx=N_CTX, n_threads=1) as engine:
        engine.prime(PREFIX, NO_LOG)
        engine.read_ahead(so_far(MUG, 2))
        engine.prime([Piece("Robot log:\n- waited\nCommand: wait\n\n")], NO_LOG)
        assert engine.read(MUG) == len(engine.tokenize(MUG))


def test_writing_what_was_weighed_already_costs_nothing(real: Engine, fresh: Reading) -> None:
    """Of the instruction that it would write anyway, every token was decoded when it was weighed."""
    written = fresh.generation.text + "\n"
    real.read(MUG)
    real.log_likelihoods([Query(" put the mug in the sink\n"), Query(written)])
    decoded: list[int] = []
    decode = real._decode
    real._decode = lambda entries: (decoded.append(len(entries)), decode(entries))[1]  # type: ignore[method-assign]
    try:
        assert real.generate(12) == fresh.generation
    finally:
        del real._decode  # type: ignore[method-assign]
    assert sum(decoded) <= 1  # where the line break is not a token of its own, one is left


def test_other_answers_cost_only_what_they_do_not_begin_alike_with(real: Engine) -> None:
    others = [" bring the mug to the table\n", " bring the cup\n", " take out the trash\n", ANSWER]
    queries = [Query(text) for text in others]
    real.read(MUG)
    at_once = real.log_likelihoods(queries)
    real.read(MUG)
    both(real, ANSWER)
    before = real.decoded_tokens
    later = real.log_likelihoods(queries)
    own = real.tokenize([Piece(ANSWER)])
    # Nothing of the answer itself, and of no other one what it begins alike with, nor its last token.
    wanted = {
        tuple(tokens[:end])
        for tokens in (real.tokenize([Piece(text)]) for text in others)
        for end in range(1, len(tokens))
        if tokens[:end] != own[:end]
    }
    assert real.decoded_tokens - before == len(wanted)
    for first, second in zip(at_once, later, strict=True):
        assert second == pytest.approx(first, abs=ROUNDING)
    again = real.log_likelihoods(queries)
    assert all((first == second).all() for first, second in zip(later, again, strict=True))


def test_answers_that_cannot_be_likely_enough_are_given_up(real: Engine) -> None:
    others = [Query(text) for text in (" bring the mug to the table\n", " bring the cup\n", " take out the trash\n")]
    real.read(MUG)
    own = both(real, ANSWER)[0].sum()
    whole = real.log_likelihoods(others)
    cut = real.log_likelihoods(others, at_least=own)
    for first, second in zip(whole, cut, strict=True):
        assert len(second) <= len(first)
        assert second == pytest.approx(first[: len(second)], abs=ROUNDING)
        if len(second) < len(first):
            assert second.sum() < own
    assert sum(map(len, cut)) < sum(map(len, whole)), "nothing was given up"
    assert [len(found) for found in real.log_likelihoods(others, at_least=-1e9)] == [len(found) for found in whole]
    likelier = max(float(found.sum()) for found in whole)
    again = real.log_likelihoods(others, at_least=likelier - 2)
    assert max(float(found.sum()) for found in again) == pytest.approx(likelier, abs=2 * ROUNDING)


def test_what_was_kept_of_an_answer_is_of_this_log_only(real: Engine) -> None:
    real.read(TRASH)
    alone = real.log_likelihoods([Query(ANSWER)])[0]
    real.read(MUG)
    both(real, ANSWER)
    real.read(TRASH)
    assert (real.log_likelihoods([Query(ANSWER)])[0] == alone).all()


def test_an_answer_is_weighed_ahead_once_and_for_this_run_only(real: Engine, fresh: Reading) -> None:
    answer = len(real.tokenize([Piece(ANSWER)])) - 1
    first = real.read_ahead(so_far(MUG, 1), ANSWER)
    second = real.read_ahead(so_far(MUG, 2), ANSWER)
    before = real.decoded_tokens
    read = real.read(MUG)
    given_log, without_log = both(real, ANSWER)
    assert real.decoded_tokens - before == read + answer  # with the log alone
    assert first + second + read == fresh.tokens + answer
    assert given_log == pytest.approx(fresh.given_log, abs=ROUNDING)
    assert without_log == pytest.approx(fresh.without_log, abs=ROUNDING)
    reading(real, TRASH)
    assert reading(real) == fresh


def test_what_was_weighed_after_another_log_is_not_written(real: Engine, fresh: Reading) -> None:
    reading(real, TRASH, " take out the trash\n")
    assert reading(real) == fresh


def test_reading_the_same_log_again_is_bit_identical(real: Engine, fresh: Reading) -> None:
    assert reading(real) == fresh
    for other in (TRASH, waypoints(30), [Piece("x")]):
        reading(real, other, " go somewhere else entirely\n")
        assert reading(real) == fresh


def test_another_engine_says_the_same_to_the_bit(real: Engine, fresh: Reading, model_path: Path) -> None:
    with Engine(model_path, n_ctx=N_CTX, n_threads=1) as second:
        second.prime(PREFIX, NO_LOG)
        assert reading(second) == fresh
        assert reading(real) == fresh  # two engines in one process do not disturb each other
    assert reading(real) == fresh  # nor does the end of one


def test_layers_that_no_gpu_takes_change_nothing(model_path: Path, fresh: Reading) -> None:
    with Engine(model_path, n_ctx=N_CTX, n_threads=1, n_gpu_layers=-1) as engine:
        if not engine.gpu_offload_missing:
            pytest.skip("this llama.cpp can offload")
        engine.prime(PREFIX, NO_LOG)
        assert reading(engine) == fresh


def test_another_prefix_and_back_is_bit_identical(model_path: Path, fresh: Reading) -> None:
    with Engine(model_path, n_ctx=N_CTX, n_threads=1) as engine:
        engine.prime([Piece("A story.\n")], [Piece("It begins:")])
        other = reading(engine)
        engine.prime(PREFIX, NO_LOG)
        assert engine.reused_tokens == len(engine.tokenize(PREFIX))
        assert reading(engine) == fresh != other


# --- the context


def test_a_log_that_does_not_fit_is_an_overflow_and_harms_nothing(real: Engine, fresh: Reading) -> None:
    for _ in range(2):
        with pytest.raises(ContextOverflowError, match=rf"holds {N_CTX}; raise n_ctx or describe the run in fewer"):
            real.read(waypoints(200))
    assert reading(real) == fresh


def test_after_a_log_that_did_not_fit_there_is_nothing_to_continue(real: Engine) -> None:
    real.read(MUG)
    with pytest.raises(ContextOverflowError):
        real.read(waypoints(200))
    with pytest.raises(CheckError, match="was not read"):
        real.generate(4)
    with pytest.raises(CheckError, match="was not read"):
        both(real, ANSWER)


def test_a_log_may_fill_the_context_to_its_last_token(model_path: Path) -> None:
    with Engine(model_path, n_ctx=256, n_threads=1) as engine:
        engine.prime([Piece("Log:")])
        word = engine.tokenize([Piece(" go")])
        assert len(word) == 1
        room = 256 - engine.reused_tokens
        assert engine.read([Piece(" go" * room)]) == room
        with pytest.raises(ContextOverflowError):
            engine.generate(1 + 1)
        with pytest.raises(ContextOverflowError):
            engine.read([Piece(" go" * (room + 1))])
        assert engine.read([Piece(" go" * (room - 8))]) == room - 8
        assert engine.generate(8, stop=None).tokens == 8


@pytest.mark.parametrize("times", [200, 25_000])  # the square of the latter would take minutes
def test_a_command_that_does_not_fit_is_an_overflow_and_harms_nothing(real: Engine, fresh: Reading, times: int) -> None:
    real.read(MUG)
    with pytest.raises(ContextOverflowError, match="context overflow"):
        both(real, " go to the dock" * times)
    assert reading(real) == fresh


def test_a_prefix_that_does_not_fit_is_an_overflow_and_another_can_follow(model_path: Path, fresh: Reading) -> None:
    with Engine(model_path, n_ctx=N_CTX, n_threads=1) as engine:
        with pytest.raises(ContextOverflowError):
            engine.prime(waypoints(200))
        engine.prime(PREFIX, NO_LOG)
        assert reading(engine) == fresh


def test_a_context_beyond_what_the_model_was_trained_for_is_refused(model_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"n_ctx is 8193, but SmolLM2\S+ was trained for 8192 tokens"):
        Engine(model_path, n_ctx=8193)


def test_what_was_not_read_cannot_be_continued(model_path: Path) -> None:
    with Engine(model_path, n_ctx=256, n_threads=1) as engine:
        for act in (lambda: engine.generate(4), lambda: both(engine, " go")):
            with pytest.raises(CheckError, match="was not read"):
                act()


# --- stopping


def test_a_deadline_ends_a_long_read_soon_and_harms_nothing(real: Engine, fresh: Reading) -> None:
    started = time.monotonic()
    with pytest.raises(DeadlineError, match=r"deadline passed: the check took longer than 0\.2 s"), real.deadline(0.2):
        real.read(waypoints(75))  # some 4 seconds of work
    assert 0.2 <= time.monotonic() - started < 1.5
    assert reading(real) == fresh


def test_a_deadline_ends_the_weighing_and_the_writing_too(real: Engine, fresh: Reading) -> None:
    real.read(MUG)
    with pytest.raises(DeadlineError), real.deadline(0.05):
        both(real, " go to the dock" * 100)
    real.read(MUG)
    with pytest.raises(DeadlineError), real.deadline(0.05):
        real.generate(500, stop=None)
    real.read(MUG)
    with pytest.raises(DeadlineError), real.deadline(0.05):
        real.sample(8, 100, stop=None)
    assert reading(real) == fresh


def test_a_deadline_that_has_passed_before_the_start(real: Engine, fresh: Reading) -> None:
    with pytest.raises(DeadlineError), real.deadline(0.0):
        real.read(MUG)
    assert reading(real) == fresh


def test_a_deadline_that_is_kept_changes_nothing_and_does_not_strike_later(real: Engine, fresh: Reading) -> None:
    with real.deadline(60):
        assert reading(real) == fresh
    with real.deadline(0.3):
        real.read([Piece("x")])
    time.sleep(0.4)
    assert reading(real) == fresh
    with real.deadline(None):
        assert reading(real) == fresh


def after(seconds: float, act: Callable[[], None]) -> threading.Timer:
    timer = threading.Timer(seconds, act)
    timer.start()
    return timer


def test_interrupt_stops_a_running_read_and_refuses_others_until_resume(real: Engine, fresh: Reading) -> None:
    timer = after(0.2, real.interrupt)
    try:
        started = time.monotonic()
        with pytest.raises(CancelledError, match="interrupted"):
            real.read(waypoints(75))
        assert time.monotonic() - started < 1.5
        for act in (lambda: real.read(MUG), lambda: reading(real)):
            with pytest.raises(CancelledError):
                act()
        with pytest.raises(CancelledError), real.deadline(10):
            real.read(MUG)
    finally:
        timer.join()
        real.resume()
    assert reading(real) == fresh


def test_an_interrupt_is_told_from_a_deadline(real: Engine, fresh: Reading) -> None:
    timer = after(0.1, real.interrupt)
    try:
        with pytest.raises(CancelledError), real.deadline(60):
            real.read(waypoints(75))
    finally:
        timer.join()
        real.resume()
    assert reading(real) == fresh


def test_resume_does_not_lift_a_deadline(real: Engine, fresh: Reading) -> None:
    over = threading.Event()

    def resume_again_and_again() -> None:
        while not over.wait(0.0005):
            real.resume()

    thread = threading.Thread(target=resume_again_and_again)
    thread.start()
    try:
        started = time.monotonic()
        with pytest.raises(DeadlineError), real.deadline(0.2):
            real.read(waypoints(75))
        assert time.monotonic() - started < 1.5
    finally:
        over.set()
        thread.join()
    assert reading(real) == fresh


# --- files

LOAD = """
import sys
from pathlib import Path
from flip_edge.engine import Engine
from flip_edge.errors import ModelError
from flip_edge.prompts import Piece, Query
for name in sys.argv[1:]:
    try:
        with Engine(Path(name), n_ctx=256, n_threads=1, check_tensors=True) as engine:
            engine.prime([Piece("hello")])
            print("loaded", flush=True)
    except ModelError as error:
        print(error, flush=True)
"""

CHECK = """
import sys
from flip_edge import Config, FlipEdgeError, SelfCheck
for name in sys.argv[1:]:
    try:
        with SelfCheck(Config(model=name, n_threads=1)) as check:
            print(check("go there", ["went there"]).reason)
    except FlipEdgeError as error:
        print(error)
"""


def in_a_process(script: str, *names: Path) -> list[str]:
    """One line of output a file, from a process of its own: what must not crash might."""
    ran = subprocess.run(
        [sys.executable, "-c", script, *map(str, names)], capture_output=True, text=True, timeout=120, check=False
    )
    assert ran.returncode == 0, f"exit {ran.returncode}: {ran.stdout[-500:]} {ran.stderr[-1500:]}"
    return ran.stdout.splitlines()


def bad_files(folder: Path, good: Path) -> list[Path]:
    with good.open("rb") as file:
        start = file.read(3_000_000)  # the header takes 1.8 MB of it
    random = np.random.default_rng(3)
    noise = random.integers(0, 256, 50_000, dtype=np.uint8).tobytes()
    contents = {
        "empty": b"",
        "magic-alone": b"GGUF",
        "garbage": noise,
        "text": b"version https://git-lfs.github.com/spec/v1\n",
        "truncated-header": start[:1_000_000],
        "truncated-in-the-first-key": start[:30],
        "truncated-data": start,
        "version-alone": start[:8],
        "no-tensors": b"GGUF\x03\0\0\0" + bytes(16),
        "noise-after-magic": b"GGUF" + noise,
        "noise-after-version": start[:8] + noise,
        "noise-after-counts": start[:24] + noise,
        "huge-counts": start[:8] + b"\xff" * 16 + noise,
    }
    paths = []
    for name, content in contents.items():
        paths.append(folder / f"{name}.gguf")
        paths[-1].write_bytes(content)
    (folder / "directory.gguf").mkdir()
    return [*paths, folder / "directory.gguf", folder / "missing.gguf"]


@pytest.mark.parametrize("script", [LOAD, CHECK], ids=["engine", "self-check"])
def test_a_bad_file_is_an_error_that_names_it_and_a_remedy(tmp_path: Path, model_path: Path, script: str) -> None:
    paths = bad_files(tmp_path, model_path)
    answers = in_a_process(script, *paths)
    assert len(answers) == len(paths)
    for path, answer in zip(paths, answers, strict=True):
        assert str(path) in answer
        assert any(word in answer for word in ("flip-edge models", "check the path")), answer


def test_a_bad_file_raises_in_this_process_too(tmp_path: Path) -> None:
    (tmp_path / "noise.gguf").write_bytes(b"GGUF" + os.urandom(1000))
    with pytest.raises(ModelError, match=r"noise\.gguf: .*failed to load") as caught:
        Engine(tmp_path / "noise.gguf")
    assert "gave no reason" not in str(caught.value)
    with pytest.raises(ModelError, match=r"none\.gguf"):
        Engine(tmp_path / "none.gguf")


def one_bit_wrong(good: Path, target: Path) -> Path:
    """A copy of the model in which token "1" has become a second "0"; its weights are zeros."""
    with good.open("rb") as file:
        header = file.read(3_000_000)
    one = (1).to_bytes(8, "little")
    pair = one + b"0" + one + b"1"
    assert header.count(pair) == 1
    target.write_bytes(header.replace(pair, one + b"0" + one + b"0"))
    os.truncate(target, good.stat().st_size)  # sparse: takes no room
    return target


def test_one_flipped_bit_in_the_vocabulary_is_an_error_and_not_an_abort(tmp_path: Path, model_path: Path) -> None:
    path = one_bit_wrong(model_path, tmp_path / "flipped.gguf")
    (answer,) = in_a_process(CHECK, path)
    assert str(path) in answer


def test_a_file_that_is_whole_but_all_zeros_says_nothing_wrong_with_confidence(
    tmp_path: Path, model_path: Path
) -> None:
    with model_path.open("rb") as file:
        header = file.read(1_785_664)
    path = tmp_path / "zeros.gguf"
    path.write_bytes(header)
    os.truncate(path, model_path.stat().st_size)
    (answer,) = in_a_process(CHECK, path)
    assert "supports the command" not in answer


# --- the long run


def test_many_checks_do_not_grow_memory(real: Engine) -> None:
    process = psutil.Process()
    log = [Piece("- docked\n")]

    def checks(count: int) -> None:
        for _ in range(count):
            with real.deadline(60):
                real.read(log)
                both(real, " dock\n")
                real.generate(1)

    checks(30)
    gc.collect()
    before = process.memory_info().rss
    checks(300)
    gc.collect()
    assert process.memory_info().rss - before < 10e6


def test_failed_checks_do_not_grow_memory_or_use_up_the_context(real: Engine, fresh: Reading) -> None:
    process = psutil.Process()

    def failures(count: int) -> None:
        for _ in range(count):
            with pytest.raises(ContextOverflowError):
                real.read([Piece(" go" * N_CTX)])
            with pytest.raises(DeadlineError), real.deadline(0.005):
                real.read(waypoints(20))

    failures(10)
    gc.collect()
    before = process.memory_info().rss
    failures(100)
    gc.collect()
    assert process.memory_info().rss - before < 10e6
    assert reading(real) == fresh


def test_engines_that_come_and_go_leave_no_memory_behind(model_path: Path) -> None:
    process = psutil.Process()

    def one() -> None:
        with Engine(model_path, n_ctx=256, n_threads=1) as engine:
            engine.prime([Piece("a")])

    for _ in range(3):
        one()
    gc.collect()
    before = process.memory_info().rss
    for _ in range(6):
        one()
    gc.collect()
    assert process.memory_info().rss - before < 30e6  # each holds over 100 MB while it is open


def test_closing_twice_is_fine(model_path: Path) -> None:
    engine = Engine(model_path, n_ctx=256, n_threads=1)
    engine.prime([Piece("a")])
    engine.close()
    engine.close()


USE_AFTER_CLOSE = """
import sys
from pathlib import Path
from flip_edge import Config, FlipEdgeError, SelfCheck
with SelfCheck(Config(model=sys.argv[1], n_threads=1)) as check:
    pass
try:
    print(check("go there", ["went there"]).outcome.value)
except FlipEdgeError as error:
    print(error)
"""


def test_a_check_after_close_is_an_answer_and_not_a_crash(model_path: Path) -> None:
    (answer,) = in_a_process(USE_AFTER_CLOSE, model_path)
    assert answer == "UNKNOWN" or "closed" in answer
