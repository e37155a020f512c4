"""Makes medians, ratios and verdicts of what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from .harness import Measurement
from .row import Budget, Measure


@dataclass(frozen=True, slots=True)
class Spread:
    """The middle of some values, and where most of them are: from the 10th to 90th percentile."""

    median: float
    p10: float
    p90: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Return the spread of *values*, of which there is at least one."""
        return cls(median(values), percentile(values, 0.1), percentile(values, 0.9))


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a budget was kept.

    :param text: The budget, as the table shows it.
    :param measured: What it is about, as the rounds have it.
    """

    text: str
    measured: Spread
    met: bool


@dataclass(frozen=True, slots=True)
class Line:
    """What the table says of one variant.

    :param value: In the row's unit.
    :param ratio: To the reference; ``None`` where that was left out.
    """

    variant: str
    value: Spread
    ratio: Spread | None
    verdicts: tuple[Verdict, ...]


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which a *share* of all are, from 0 to 1; between two, in proportion.

    >>> percentile([3.0, 1.0, 2.0], 0.75)
    2.5
    """
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def summarise(measurement: Measurement) -> list[Line]:
    """Return a line for each variant that was measured, in the row's order."""
    row = measurement.row
    return [
        Line(
            name,
            Spread.of(_compared(measurement, name, Measure.VALUE)),
            _spread(measurement, name, Measure.RATIO, row.reference),
            _verdicts(measurement, [one for one in row.budgets if one.variant == name]),
        )
        for name in measurement.seconds
    ]


def _verdicts(measurement: Measurement, budgets: list[Budget]) -> tuple[Verdict, ...]:
    verdicts = []
    for one in budgets:
        measured = _spread(measurement, one.variant, one.measure, one.than)
        if measured is not None:
            text = one.text(measurement.row.unit.name)
            verdicts.append(Verdict(text, measured, one.allows(measured.median)))
    return tuple(verdicts)


def _spread(measurement: Measurement, name: str, measure: Measure, than: str) -> Spread | None:
    if measure is not Measure.VALUE and than not in measurement.seconds:
        return None
    return Spread.of(_compared(measurement, name, measure, than))


def _compared(measurement: Measurement, name: str, measure: Measure, than: str = "") -> list[float]:
    """Return a variant's values round by round: as they are, or compared within each round."""
    unit = measurement.row.unit
    own = [unit.of(one) for one in measurement.seconds[name]]
    if measure is Measure.VALUE:
        return own
    others = [unit.of(one) for one in measurement.seconds[than]]
    if measure is Measure.RATIO:
        return [one / other for one, other in zip(own, others, strict=True)]
    return [one - other for one, other in zip(own, others, strict=True)]
