"""Runs methods over rows, and keeps every row's scores as a line of JSON as soon as it has them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec
from tqdm import tqdm

from benchmarks.reward_bench.attacks import Attack
from benchmarks.reward_bench.methods import Method
from benchmarks.reward_bench.rows import Row

RAW = "raw.jsonl"


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """A row under a method, or one of its answers under an attack.

    Attributes:
        model: its id, with the weight type where that is not its file's own; empty for methods without one.
        id, subset: of the row.
        lengths: of the answers, in characters; the chosen one is the first.
        attack: the attack that one rejected answer carries; None for the row as it is.
        target: which answer carries it.
        values, answered: by column, an entry an answer; see :class:`benchmarks.reward_bench.methods.Scores`.
    """

    model: str
    method: str
    seed: int
    id: str
    subset: str
    lengths: list[int]
    attack: str | None = None
    target: int | None = None
    values: dict[str, list[float | None]]
    answered: dict[str, list[bool]]

    @property
    def key(self) -> tuple[object, ...]:
        """What a run need not do twice."""
        return self.model, self.method, self.seed, self.id, self.attack


class Store:
    """The records of a folder, in ``raw.jsonl``; one that was cut off in the middle is as if never written."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / RAW
        folder.mkdir(parents=True, exist_ok=True)
        self.records: dict[tuple[object, ...], Record] = {}
        content = self.path.read_bytes() if self.path.exists() else b""
        whole = content[: content.rfind(b"\n") + 1]
        if whole != content:
            self.path.write_bytes(whole)
        for line in whole.splitlines():
            record = msgspec.json.decode(line, type=Record)
            self.records[record.key] = record

    def find(self, method: Method, model: str, row: Row, seed: int, attack: Attack | None = None) -> Record | None:
        """A row's record with all of the method's columns."""
        found = self.records.get((model, method.name, seed, str(row.id), attack.id if attack else None))
        return found if found and found.values.keys() >= set(method.columns) else None

    def add(self, record: Record) -> None:
        """Keep a record, on the disk first."""
        with self.path.open("ab") as file:
            file.write(msgspec.json.encode(record) + b"\n")
        self.records[record.key] = record


def run(store: Store, method: Method, model: str, rows: Sequence[Row], seeds: Iterable[int]) -> None:
    """Score rows, without those that the store has. Methods whose answers do not meet have one seed."""
    for seed in [0] if method.independent else seeds:
        for row in tqdm(rows, desc=f"{model or 'no model'}, {method.name}, seed {seed}", unit="row"):
            base(store, method, model, row, seed)


def base(store: Store, method: Method, model: str, row: Row, seed: int) -> Record:
    """A row as it is: from the store, or scored now."""
    if found := store.find(method, model, row, seed):
        return found
    record = _record(method, model, row, row.answers, seed)
    store.add(record)
    return record


def run_attacks(
    store: Store, method: Method, model: str, rows: Sequence[Row], attacks: Sequence[Attack], seed: int = 0
) -> None:
    """Score rows in which the best of the rejected answers carries an attack, one after the other."""
    for row in tqdm(rows, desc=f"{model or 'no model'}, {method.name}, attacks", unit="row"):
        before = base(store, method, model, row, seed)
        target = target_of(before.values[method.main])
        wanted = [attack for attack in attacks if not store.find(method, model, row, seed, attack)]
        began = False
        for index, attack in enumerate(wanted):
            if method.independent and index and not attack.before and not began:
                method.begin(row, _beginning(row.answers[target]))
                began = True
            answers = list(row.answers)
            answers[target] = attack.on(answers[target], row.prompt)
            if not method.independent:
                store.add(_record(method, model, row, answers, seed, attack, target))
                continue
            alone = _record(method, model, row, [answers[target]], seed, attack, target)
            values = {name: list(before.values[name]) for name in alone.values}
            answered = {name: list(before.answered[name]) for name in alone.values}
            for name in alone.values:
                values[name][target], answered[name][target] = alone.values[name][0], alone.answered[name][0]
            lengths = [len(answer) for answer in answers]
            store.add(msgspec.structs.replace(alone, values=values, answered=answered, lengths=lengths))


def target_of(values: Sequence[float | None]) -> int:
    """The rejected answer that scores best, the first of equals."""
    return max(range(1, len(values)), key=lambda place: (value_of(values[place]), -place))


def value_of(value: float | None) -> float:
    """What was not measured comes last."""
    return float("-inf") if value is None else value


def _beginning(answer: str) -> str:
    """An answer without its last word, whose tokens may depend on what follows."""
    return answer.rstrip().rpartition(" ")[0]


def _record(
    method: Method,
    model: str,
    row: Row,
    answers: Sequence[str],
    seed: int,
    attack: Attack | None = None,
    target: int | None = None,
) -> Record:
    scores = method.score(row, answers, seed)
    return Record(
        model=model,
        method=method.name,
        seed=seed,
        id=str(row.id),
        subset=row.subset,
        lengths=[len(answer) for answer in answers],
        attack=attack.id if attack else None,
        target=target,
        values={name: [_finite(value) for value in column.values] for name, column in scores.items()},
        answered={name: column.answered for name, column in scores.items()},
    )


def _finite(value: float | None) -> float | None:
    """JSON has no infinity."""
    return None if value is None else max(-1e9, min(1e9, value))
