"""Measures a row: its variants in turn, in a new order each round.

What else the machine does in a round meets all variants of it alike; so ratios are taken within a
round, and of those the median counts.
"""

from __future__ import annotations

import gc
from contextlib import ExitStack
from dataclasses import dataclass
from random import Random

from .row import Figure, Repeat, Row, UnavailableError

SEED = 20
ROUNDS = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """What came of a row.

    :param seconds: Of one operation of each variant, by its name, round by round.
    :param operations: How often each variant was repeated in a round.
    :param left_out: Why variants and figures are missing.
    """

    row: Row
    rounds: int
    seconds: dict[str, list[float]]
    operations: dict[str, int]
    figures: dict[str, Figure]
    left_out: dict[str, str]


def measure(row: Row, rounds: int = ROUNDS, seed: int = SEED) -> Measurement:
    """Measure *row*, leaving out what cannot be set up here."""
    left_out: dict[str, str] = {}
    with ExitStack() as stack:
        repeats = _prepare(row, stack, left_out)
        operations = {name: row.operations or _calibrate(row, one) for name, one in repeats.items()}
        seconds: dict[str, list[float]] = {name: [] for name in repeats}
        order, shuffled = list(repeats), Random(seed)  # noqa: S311  # an order, and no secret
        for _ in range(rounds):
            shuffled.shuffle(order)
            for name in order:
                took = _undisturbed(repeats[name], operations[name])
                seconds[name].append(took / operations[name])
    return Measurement(
        row=row,
        rounds=rounds,
        seconds=seconds,
        operations=operations,
        figures=_figures(row, left_out),
        left_out=left_out,
    )


def _prepare(row: Row, stack: ExitStack, left_out: dict[str, str]) -> dict[str, Repeat]:
    repeats: dict[str, Repeat] = {}
    for variant in row.variants:
        own = ExitStack()
        try:
            repeats[variant.name] = variant.prepare(stack.enter_context(own))
        except (ImportError, UnavailableError) as error:
            own.close()
            left_out[variant.name] = str(error)
    return repeats


def _calibrate(row: Row, repeat: Repeat) -> int:
    """Return how often *repeat* fits into a batch; warms it up by the way."""
    repeat(1)
    times = 1
    while (took := min(repeat(times), repeat(times))) < row.batch_seconds / 4:
        times *= 2
    return max(1, round(times * row.batch_seconds / took))


def _undisturbed(repeat: Repeat, times: int) -> float:
    """Repeat with no collection of garbage in between, nor any left from the one before."""
    gc.collect()
    gc.disable()
    try:
        return repeat(times)
    finally:
        gc.enable()


def _figures(row: Row, left_out: dict[str, str]) -> dict[str, Figure]:
    found = {}
    for name, take in row.figures.items():
        try:
            found[name] = take()
        except (ImportError, UnavailableError) as error:
            left_out[name] = str(error)
    return found
