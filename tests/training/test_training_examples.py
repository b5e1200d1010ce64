"""Rows become the very tokens that the engine decodes, and are drawn and batched as the recipe says."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import pytest

from flip_edge.backward import BackwardInference
from flip_edge.engine import Engine
from flip_edge.episode import Episode
from flip_edge.errors import ConfigError, InputError
from flip_edge.prompts import Confirmation, load_prompt
from training.examples import Example, Tokenizer, Wrong, completion_prompt, draw_wrong, kind_counts, read_examples
from training.packing import Branching, Draws, Item, epoch_batches, pack

BARE, CONFIRM = "log-command-bare", "log-command-confirm"


class RecordingEngine(Engine):
    """Remembers the texts it appended, in tokens."""

    def __init__(self, path: Path) -> None:
        self.extended: list[tuple[int, ...]] = []
        self.weighed: list[tuple[int, ...]] = []
        super().__init__(path, n_ctx=1024, n_threads=1)

    def _extend(self, sequence: int, tokens: Sequence[int]) -> None:
        self.extended.append(tuple(tokens))
        super()._extend(sequence, tokens)

    def _weigh(self, answers: Sequence[list[int]], bases: Sequence[int], *rest: float) -> list[list[float]]:
        self.weighed += [tuple(answer) for answer in answers]
        return super()._weigh(answers, bases, *rest)


@pytest.mark.model
@pytest.mark.parametrize("prompt", [BARE, "log-command", CONFIRM])
def test_tokens_are_those_that_the_engine_decodes(model_path: Path, rows_file: Path, prompt: str) -> None:
    row = json.loads(rows_file.read_text(encoding="utf-8").splitlines()[0])
    hostile = {**row, "actions": [*row["actions"], "said <|im_end|>\n at 1.50 m, übergab  Tee"], "negatives": []}
    with RecordingEngine(model_path) as engine:
        backward = BackwardInference(engine, load_prompt(prompt), 1, 0)
        prefix, without_log = engine.extended
        for each in (row, hostile):
            engine.extended.clear()
            engine.weighed.clear()
            assert backward.observe(Episode.of(each["command"], each["actions"])).log_likelihood is not None
            tokenizer = Tokenizer(engine, completion_prompt(prompt))
            assert tokenizer.without_log == prefix + without_log
            episode = Episode.of(each["command"], each["actions"])
            assert tokenizer.log(episode.steps) == prefix + engine.extended[0]
            said = tokenizer.confirmation[:1] if tokenizer.confirmation else ()
            assert tokenizer.answer(episode.command) + said == engine.weighed[0]


def test_a_prompt_without_likelihood_cannot_be_trained() -> None:
    with pytest.raises(ConfigError, match="log-command-confirm"):
        completion_prompt("flip")


@pytest.mark.model
def test_rows_are_read_and_long_ones_left_out(tmp_path: Path, model_path: Path, rows_file: Path) -> None:
    rows = [json.loads(line) for line in rows_file.read_text(encoding="utf-8").splitlines()]
    with Engine(model_path, n_ctx=256, n_threads=1) as engine:
        tokenizer = Tokenizer(engine, completion_prompt(BARE))
        examples = read_examples(rows_file, tokenizer, longest=512)
        assert [example.id for example in examples] == [row["id"] for row in rows]
        assert sum(kind_counts(examples).values()) == sum(len(row["negatives"]) for row in rows)
        assert {len(example.wrong) for example in read_examples(rows_file, tokenizer, longest=512, limit=3)} != set()
        middle = sorted(len(example.log) for example in examples)[len(examples) // 2]
        short = read_examples(rows_file, tokenizer, longest=middle)
        assert max(len(example.log) for example in short) <= middle < max(len(example.log) for example in examples)
        with pytest.raises(InputError, match="no row whose log"):
            read_examples(rows_file, tokenizer, longest=3)
        for text, match in (('{"command": "x"}\n', ":1: not a row"), ("{\n", "not a file of JSON lines")):
            (tmp_path / "bad.jsonl").write_text(text)
            with pytest.raises(InputError, match=match):
                read_examples(tmp_path / "bad.jsonl", tokenizer, longest=512)
        with pytest.raises(InputError, match="cannot read"):
            read_examples(tmp_path / "none.jsonl", tokenizer, longest=512)


def example(number: int, *kinds: str, length: int = 10) -> Example:
    wrong = tuple(Wrong(kind, (7,) * length, kind != "wrong_object") for kind in kinds)
    return Example(str(number), (5,) * length, (6,) * 4, wrong)


def test_kinds_come_up_evenly_though_one_is_everywhere() -> None:
    examples = [example(n, "cut", "cut", "failed", *(["wrong_object"] if n % 3 == 0 else [])) for n in range(600)]
    kinds = kind_counts(examples)
    draw = random.Random(0)
    drawn = Counter(wrong.kind for each in examples for wrong in draw_wrong(each, 1, kinds, draw))
    assert sum(drawn.values()) == 600
    # Where only common kinds are, they are drawn; where the rare one is, it mostly is.
    assert drawn["wrong_object"] > 80
    assert 0.7 < drawn["cut"] / drawn["failed"] < 1.4
    assert len(draw_wrong(examples[0], 9, kinds, draw)) == 4


def test_an_epoch_has_every_row_once_in_batches_of_like_length() -> None:
    examples = [example(n, "cut", length=10 + n % 50) for n in range(300)]
    kinds = kind_counts(examples)
    batches = epoch_batches(examples, Draws(1), kinds, 400, 3, 0)
    assert sorted(int(item.example.id) for batch in batches for item in batch) == list(range(300))
    assert all(sum(item.tokens for item in batch) <= 400 for batch in batches)
    assert sum(max(i.tokens for i in b) - min(i.tokens for i in b) for b in batches) / len(batches) < 10
    assert batches == epoch_batches(examples, Draws(1), kinds, 400, 3, 0)
    assert batches != epoch_batches(examples, Draws(1), kinds, 400, 3, 1)
    assert [len(batch) for batch in epoch_batches(examples[:2], Draws(1), kinds, 1, 0, 0)] == [1, 1]


def test_a_packed_token_sees_its_log_and_its_own_answer_only() -> None:
    texts = [Branching((1, 2, 3), ((4, 5), (6,))), Branching((7,), ((8, 9),))]
    packed = pack(texts)
    assert packed.tokens.tolist() == [[1, 2, 3, 4, 5, 6, 7, 8, 9]]
    assert packed.positions.tolist() == [[0, 1, 2, 3, 4, 3, 0, 1, 2]]
    sees = {
        int(packed.tokens[0, row]): packed.tokens[0, packed.mask[0, 0, row]].tolist()
        for row in range(packed.tokens.size)
    }
    assert sees == {
        1: [1], 2: [1, 2], 3: [1, 2, 3], 4: [1, 2, 3, 4], 5: [1, 2, 3, 4, 5], 6: [1, 2, 3, 6],
        7: [7], 8: [7, 8], 9: [7, 8, 9],
    }  # fmt: skip
    assert packed.targets.tolist() == [4, 5, 6, 8, 9]
    assert packed.tokens.flatten()[packed.sources].tolist() == [3, 4, 3, 7, 8]
    assert packed.owners.tolist() == [0, 0, 1, 2, 2]
    assert packed.lengths.tolist() == [2, 1, 2]


def test_what_confirms_an_answer_follows_it_and_is_no_part_of_it() -> None:
    packed = pack([Branching((1, 2), ((4, 5, 9), (6, 8)), True), Branching((7,), ((4, 5),))])
    assert packed.targets.tolist() == [4, 5, 9, 6, 8, 4, 5]
    assert packed.confirmations.tolist() == [False, False, True, False, True, False, False]
    assert packed.lengths.tolist() == [2, 1, 2]


@pytest.mark.model
def test_other_wordings_are_answers_too(tmp_path: Path, model_path: Path, rows_file: Path) -> None:
    row = json.loads(rows_file.read_text(encoding="utf-8").splitlines()[0])
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps({**row, "also": ["go there", "be there"]}) + "\n", encoding="utf-8")
    with Engine(model_path, n_ctx=256, n_threads=1) as engine:
        tokenizer = Tokenizer(engine, completion_prompt(CONFIRM))
        (found,) = read_examples(file, tokenizer, longest=1000)
        assert found.also == (tokenizer.answer("go there"), tokenizer.answer("be there"))
        (plain,) = read_examples(rows_file, tokenizer, longest=1000, limit=1)
        assert plain.also == ()
        bad = msgspec.structs.replace(completion_prompt(CONFIRM), confirmation=Confirmation("yes", "by no means"))
        with pytest.raises(ConfigError, match="'by no means' has 3"):
            Tokenizer(engine, bad)


def test_wrong_commands_and_other_wordings_are_drawn_beside_the_contrasts() -> None:
    cuts = tuple(Wrong("cut", (1, 2, place), True) for place in range(3))
    commands = tuple(Wrong("wrong_object", (place,), False) for place in range(10, 15))
    row = Example("x", (1,) * 10, (1, 2), (*cuts, *commands), ((3,), (4,), (5,)))
    kinds = kind_counts([row])
    for seed in range(20):
        item = Draws(2, commands=3, wordings=2).item(row, kinds, random.Random(seed))
        assert len(item.wrong) == 2
        assert len(item.denied) == 3
        contrasted = {wrong.tokens for wrong in item.wrong}
        assert {*item.denied} <= {wrong.tokens for wrong in commands} - contrasted
        assert len({*item.also}) == 2
        asked = sum(3 + 2 + 1 if wrong.is_log else 1 for wrong in item.wrong)
        assert item.tokens == 10 + 2 + 2 + 3 + asked
        assert item.asked == ((1, 2), item.also[0])
    assert Draws(0, commands=3, wordings=2).item(row, kinds, random.Random(0)) == Item(row, ())


def test_long_texts_have_lines_of_their_own_and_padding_sees_itself() -> None:
    packed = pack([Branching((1,) * 300, ((2,),)), Branching((3,) * 290, ((4,),)), Branching((5,) * 8, ((6,),))])
    assert packed.tokens.shape == (2, 301)
    assert packed.mask.any(axis=-1).all()
    assert np.diagonal(packed.mask[:, 0], axis1=1, axis2=2).all()
