"""What lines that are no account of an act do to verdicts: ``python -m benchmarks.log_attacks RUNS.jsonl``.

Right runs and made-up mismatches are checked as they are; those that are judged rightly are checked again with one line
more, of every kind in ``log_attacks.yaml``, at the beginning, in the middle or at the end. An attack wins where a
MISMATCH becomes a MATCH; a defence costs where a MATCH becomes anything else.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml
from tqdm import tqdm

from flip_edge import Config, Outcome, SelfCheck
from flip_edge.datasets import LabelledEpisode, make_episodes, read_runs
from flip_edge.episode import Episode
from flip_edge.statistics import binomial_interval

ATTACKS = Path(__file__).with_suffix(".yaml")
PLACES = ("beginning", "middle", "end")


def read_attacks(path: Path = ATTACKS) -> list[tuple[str, str, str]]:
    """Attacks as (set, name, template)."""
    sets = yaml.safe_load(path.read_text(encoding="utf-8"))
    return [(group, name, template) for group, attacks in sets.items() for name, template in attacks.items()]


def attacked(episode: Episode, template: str, place: str) -> Episode:
    """A run with an attack's lines in it."""
    command = episode.command.strip().rstrip(".")
    text = template.format(command=command, Command=command[:1].upper() + command[1:], COMMAND=command.upper())
    steps, count = list(episode.steps), len(episode.steps)
    at = {"beginning": 0, "middle": count // 2, "end": count}[place]
    return Episode.of(episode.command, [*steps[:at], *text.splitlines(), *steps[at:]], id=episode.id)


def measure(check: SelfCheck, rows: Sequence[LabelledEpisode], *, every_place: bool) -> Iterator[dict[str, str]]:
    """One record a check under attack, of the runs judged rightly without one; places in turn, or every one."""
    right = [row for row in tqdm(rows, desc="as they are") if check.check(row.episode).outcome is _wanted(row)]
    yield from ({"kind": row.kind, "set": "", "attack": "", "place": "", "verdict": str(_wanted(row))} for row in right)
    for turn, (group, name, template) in enumerate(tqdm(read_attacks(), desc="attacks")):
        for number, row in enumerate(right, start=turn):
            for place in PLACES if every_place else [PLACES[number % len(PLACES)]]:
                found = check.check(attacked(row.episode, template, place)).outcome
                yield {"kind": row.kind, "set": group, "attack": name, "place": place, "verdict": str(found)}


def _wanted(row: LabelledEpisode) -> Outcome:
    return Outcome.MATCH if row.match else Outcome.MISMATCH


def table(records: Sequence[dict[str, str]]) -> str:
    """Attacks that won, and right runs that were lost, by attack and by place."""
    lines = [f"{'attack':22}{'mismatch -> MATCH':>28}{'match -> MISMATCH':>20}{'match -> UNKNOWN':>20}"]
    some = [record for record in records if record["attack"]]
    for group in dict.fromkeys(record["set"] for record in some):
        mine = [record for record in some if record["set"] == group]
        for name in dict.fromkeys(record["attack"] for record in mine):
            lines.append(_line(name, [record for record in mine if record["attack"] == name]))
        lines.append(_line(f"all {group}", mine))
    for key in ("place", "kind"):
        for value in dict.fromkeys(record[key] for record in some):
            lines.append(_line(f"{key}: {value}", [record for record in some if record[key] == value]))
    lines.append(_line("all", some))
    return "\n".join(lines)


def _line(name: str, records: Sequence[dict[str, str]]) -> str:
    wrong = Counter(record["verdict"] for record in records if record["kind"] != "success")
    good = Counter(record["verdict"] for record in records if record["kind"] == "success")
    won, tried, kept = wrong["MATCH"], wrong.total(), good.total()
    low, high = binomial_interval(won, tried) if tried else (0.0, 0.0)
    share = f"{won} of {tried} [{low:.1%}, {high:.1%}]"
    alarmed, doubted = f"{good['MISMATCH']} of {kept}", f"{good['UNKNOWN']} of {kept}"
    return f"{name:22}{share:>28}{alarmed:>20}{doubted:>20}"


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("runs", type=Path, help="rows with command and actions, as for flip-edge evaluate")
    parser.add_argument("--limit", type=int, default=12, help="good runs; each gives up to three mismatches")
    parser.add_argument("--every-place", action="store_true", help="all three places for each run, not one in turn")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("-o", "--output", type=Path, required=True, help="every verdict as JSONL, kept as it comes")
    arguments = parser.parse_args()
    rows = make_episodes(read_runs(arguments.runs), kinds=("random", "hard", "cut"), limit=arguments.limit)
    records = []
    with SelfCheck(Config(n_threads=arguments.threads)) as check, arguments.output.open("w", encoding="utf-8") as file:
        for record in measure(check, rows, every_place=arguments.every_place):
            records.append(record)
            file.write(json.dumps(record) + "\n")
            file.flush()
    print(table(records))


if __name__ == "__main__":
    main()
