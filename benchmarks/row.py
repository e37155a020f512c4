"""What is compared: a row of variants, what they may cost, and figures that are no times."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from enum import Enum
from time import perf_counter, thread_time
from typing import TypeAlias

Repeat: TypeAlias = Callable[[int], float]
"""Does something so many times, and returns how many seconds that took."""

Prepare: TypeAlias = Callable[[ExitStack], Repeat]
"""Sets something up and returns what repeats it; the stack undoes the set-up at the end."""


class UnavailableError(Exception):
    """A variant cannot be set up here, as its package or server is missing; says why."""


@dataclass(frozen=True, slots=True)
class Unit:
    """What the table shows instead of seconds for one operation.

    :param name: Beside a number, as in ``µs``.
    :param heading: Above the table.
    :param of: Turns the seconds that one operation took into the unit.
    """

    name: str
    heading: str
    of: Callable[[float], float]


CPU_MICROSECONDS = Unit("µs", "CPU µs a call", lambda seconds: seconds * 1e6)
"""For calls that wait for nothing: what else the machine does then hardly counts."""
MICROSECONDS = Unit("µs", "µs a call", lambda seconds: seconds * 1e6)
MILLISECONDS = Unit("ms", "ms", lambda seconds: seconds * 1e3)


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to do what the row compares.

    :param prepare: May raise :class:`UnavailableError` or ``ImportError``; then it is left out.
    """

    name: str
    prepare: Prepare


class Measure(Enum):
    """What of a variant a budget is about."""

    VALUE = "value"
    RATIO = "ratio"
    DIFFERENCE = "difference"


@dataclass(frozen=True, slots=True)
class Budget:
    """What a variant may cost; kept if the median over the rounds is within the limit.

    :param than: The variant that a ratio or difference is taken to, within each round.
    :param at_least: Whether more is better.
    """

    variant: str
    limit: float
    measure: Measure = Measure.VALUE
    than: str = ""
    at_least: bool = False

    def allows(self, measured: float) -> bool:
        """Say whether what was *measured* is within the limit."""
        return measured >= self.limit if self.at_least else measured <= self.limit

    def text(self, unit: str) -> str:
        """Return the budget as the table shows it."""
        bound = f"{'≥' if self.at_least else '≤'} {self.limit:g}"
        words = {
            Measure.VALUE: f"{bound} {unit}",
            Measure.RATIO: f"{bound} x {self.than}",
            Measure.DIFFERENCE: f"{bound} {unit} over {self.than}",
        }
        return words[self.measure]


@dataclass(frozen=True, slots=True)
class Figure:
    """One number that is no time, such as a count.

    :param unit: May be empty, where the name says it all.
    :param limit: The most it may be; ``None`` for a number to compare with.
    :param note: What the number does not say.
    """

    value: float
    unit: str
    limit: float | None = None
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Return whether it is within the limit; ``None`` without one."""
        return None if self.limit is None else self.value <= self.limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One comparison.

    :param reference: The variant that ratios are taken to.
    :param batch_seconds: How long a variant is repeated in one round, about.
    :param operations: How often instead, for variants whose time is not the clock's.
    :param figures: By their names; measured once after the rounds, and left out as variants are.
    """

    title: str
    unit: Unit
    reference: str
    variants: tuple[Variant, ...]
    budgets: tuple[Budget, ...] = ()
    batch_seconds: float = 0.03
    operations: int | None = None
    figures: Mapping[str, Callable[[], Figure]] = field(default_factory=dict)


def timed(
    loop: Callable[[Iterable[None]], object], clock: Callable[[], float] = thread_time
) -> Repeat:
    """Return what times *loop*, which does its work once for each lap.

    :param clock: By default, that of the processor time that this thread has had.
    """

    def repeat(times: int) -> float:
        laps = itertools.repeat(None, times)
        began = clock()
        loop(laps)
        return clock() - began

    return repeat


def calling(function: Callable[[], object]) -> Repeat:
    """Return what times calls of *function*, which waits for nothing."""

    def loop(laps: Iterable[None]) -> None:
        for _ in laps:
            function()

    return timed(loop)


def waiting(function: Callable[[], object]) -> Repeat:
    """Return what times calls of *function* with all that they wait for."""

    def loop(laps: Iterable[None]) -> None:
        for _ in laps:
            function()

    return timed(loop, perf_counter)
