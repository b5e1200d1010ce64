"""``python -m benchmarks.reward_bench ROWS.jsonl --model ID --method NAME -o DIR``: score rows, then print the tables.

Every row's scores are kept in DIR as they come; what is there is not done again. Without a method, only the tables.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks.reward_bench.attacks import attacks
from benchmarks.reward_bench.methods import METHODS, MODELLESS, open_method
from benchmarks.reward_bench.rows import Row, read_rows
from benchmarks.reward_bench.runs import Store, run, run_attacks
from benchmarks.reward_bench.table import report
from flip_edge.engine import Engine
from flip_edge.errors import FlipEdgeError
from flip_edge.llama import requantize
from flip_edge.models import resolve, verify


def main(arguments: list[str] | None = None) -> int:
    """Run what the command line names. Returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        store = Store(options.output)
        if options.method:
            limits = dict(_limit(text) for text in options.limit) if options.limit else None
            rows, left_out = read_rows(options.rows, limits)
            if left_out:
                print(f"{left_out} rows with more than one right answer (Ties) are left out", file=sys.stderr)
            _score(options, store, rows)
        print(report(list(store.records.values())))
    except FlipEdgeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"stopped; the same command goes on from {store.path}", file=sys.stderr)
        return 130
    return 0


def _score(options: argparse.Namespace, store: Store, rows: list[Row]) -> None:
    for name in options.method:
        if name in MODELLESS:
            method = open_method(name, None)
            run_attacks(store, method, "", rows, attacks()) if options.attack else run(store, method, "", rows, [0])
    names = [name for name in options.method if name not in MODELLESS]
    for model in options.model if names else []:
        path, id_ = _weights(model, options.weights, options.output, options.threads)
        for name in names:
            with Engine(path, n_ctx=options.n_ctx, n_threads=options.threads) as engine:
                method = open_method(
                    name, engine, writes=not options.logits_only, max_new_tokens=options.max_new_tokens
                )
                if options.attack:
                    run_attacks(store, method, id_, rows, attacks())
                else:
                    run(store, method, id_, rows, options.seeds)


def _weights(model: str, kind: str, folder: Path, threads: int) -> tuple[Path, str]:
    """The model's file, in another weight type where one is wanted, and what the records call it."""
    source = resolve(model)
    verify(source)
    if kind == "as-is":
        return source.path, source.id
    path = folder / f"{source.id}.{kind}.gguf"
    if not path.exists():
        part = path.with_suffix(".part")
        requantize(source.path, part, kind, n_threads=threads)
        part.replace(path)
    return path, f"{source.id}@{kind}"


def _limit(text: str) -> tuple[str, int]:
    name, _, count = text.rpartition("=")
    if not name or not count.isdigit():
        raise FlipEdgeError(f"--limit takes SUBSET=ROWS, not {text!r}")
    return name, int(count)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reward_bench", description=__doc__.split("\n")[2])
    parser.add_argument("rows", type=Path, metavar="ROWS.jsonl", help="rows of RewardBench 2: id, subset, prompt, ...")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="where the scores are kept")
    parser.add_argument(
        "--model", nargs="+", default=["default"], help="registry ids or GGUF files, with chat templates"
    )
    parser.add_argument("--method", nargs="+", choices=METHODS, default=[], help="what scores the answers")
    parser.add_argument("--limit", nargs="+", metavar="SUBSET=ROWS", help="the first rows of these subsets alone")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0], help="orders in which judges see the answers")
    parser.add_argument("--attack", action="store_true", help="attack the best rejected answer of each row")
    parser.add_argument("--logits-only", action="store_true", help="no written verdicts: several times as fast")
    parser.add_argument("--max-new-tokens", type=int, default=512, help="of a written verdict")
    parser.add_argument("--weights", choices=("as-is", "q8_0", "q4_0"), default="as-is", help="the weight type to use")
    parser.add_argument("--n-ctx", type=int, default=8192, help="tokens of context; a longer row has no score")
    parser.add_argument("--threads", type=int, default=1)
    return parser


if __name__ == "__main__":
    sys.exit(main())
