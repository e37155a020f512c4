"""The command: ``python -m benchmarks [ROW …] [--rounds N] [--json FILE]``."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from .harness import ROUNDS, Measurement, measure
from .report import document, table
from .rows import ROWS


def main(arguments: list[str]) -> None:
    """Measure the rows that *arguments* name, or all, and show each as soon as it is known."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if unknown := set(options.rows) - set(ROWS):
        parser.error(f"there is no row {', '.join(sorted(unknown))}")
    measured: dict[str, Measurement] = {}
    for name in options.rows or ROWS:
        measured[name] = measure(ROWS[name](), options.rounds)
        sys.stdout.write(f"{table(name, measured[name])}\n\n")
        sys.stdout.flush()
    if options.json:
        text = json.dumps(document(measured), indent=2, ensure_ascii=False)
        options.json.write_text(f"{text}\n", encoding="utf-8")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("benchmarks", description="Measure what calls cost.")
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"one of {', '.join(ROWS)}")
    parser.add_argument("--rounds", type=_rounds, default=ROUNDS, help=f"{ROUNDS} by default")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all numbers there, too")
    return parser


def _rounds(text: str) -> int:
    if int(text) < 1:
        raise argparse.ArgumentTypeError("at least one round is needed")
    return int(text)


if __name__ == "__main__":
    main(sys.argv[1:])
