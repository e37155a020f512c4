"""Shows what was measured: as a table for people, as JSON for programs."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from importlib.metadata import distributions
from typing import Any

from .harness import SEED, Measurement
from .row import Figure
from .summary import Line, Spread, summarise

ENOUGH_ROUNDS = 9


def table(name: str, measurement: Measurement) -> str:
    """Return a row's table."""
    row, rounds = measurement.row, measurement.rounds
    few = "" if rounds >= ENOUGH_ROUNDS else ", too few to judge by"
    cells = [
        ("", row.unit.heading, "p10..p90", f"x {row.reference}", "p10..p90", "budget", "met"),
        *(_cells(line) for line in summarise(measurement)),
    ]
    if measurement.figures:
        cells += [("",) * 7, *(_figure_cells(*one) for one in measurement.figures.items())]
    lines = [f"{name}: {row.title} ({rounds} rounds{few})", *_aligned(cells)]
    lines += [f"  {one}: {its.note}" for one, its in measurement.figures.items() if its.note]
    lines += [f"  left out: {left} ({why})" for left, why in measurement.left_out.items()]
    return "\n".join(lines)


def document(measurements: Mapping[str, Measurement]) -> dict[str, Any]:
    """Return all rows as JSON-ready values; of the machine only what kind it is."""
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "platform": f"{platform.system()} {platform.machine()}",
        "packages": dict(sorted((one.name, one.version) for one in distributions())),
        "seed": SEED,
        "rows": {name: _row_document(one) for name, one in measurements.items()},
    }


def _row_document(measurement: Measurement) -> dict[str, Any]:
    row = measurement.row
    return {
        "title": row.title,
        "unit": row.unit.heading,
        "reference": row.reference,
        "rounds": measurement.rounds,
        "variants": [
            {
                **asdict(line),
                "operations": measurement.operations[line.variant],
                "rounds": [row.unit.of(one) for one in measurement.seconds[line.variant]],
            }
            for line in summarise(measurement)
        ],
        "figures": {
            name: {**asdict(one), "met": one.met} for name, one in measurement.figures.items()
        },
        "left_out": measurement.left_out,
    }


def _cells(line: Line) -> tuple[str, ...]:
    return (
        line.variant,
        *_spread_cells(line.value),
        *_spread_cells(line.ratio),
        ", ".join(one.text for one in line.verdicts),
        ", ".join(_met(one.met) for one in line.verdicts),
    )


def _figure_cells(name: str, figure: Figure) -> tuple[str, ...]:
    limit = "" if figure.limit is None else f"≤ {figure.limit:g} {figure.unit}".rstrip()
    return (name, _number(figure.value), figure.unit, "", "", limit, _met(figure.met))


def _spread_cells(spread: Spread | None) -> tuple[str, str]:
    if spread is None:
        return "", ""
    return _number(spread.median), f"{_number(spread.p10)}..{_number(spread.p90)}"


def _number(value: float) -> str:
    """Return a number to three digits, without an exponent.

    >>> _number(0.012345), _number(1.5), _number(6789.2)
    ('0.0123', '1.50', '6,789')
    """
    if abs(value) >= 100:
        return f"{value:,.0f}"
    if abs(value) >= 1:
        return f"{value:.{1 if abs(value) >= 10 else 2}f}"
    return f"{value:.{3 if abs(value) >= 0.1 else 4}f}" if value else "0"


def _met(met: bool | None) -> str:
    return {True: "yes", False: "no", None: ""}[met]


def _aligned(cells: Sequence[Sequence[str]]) -> list[str]:
    """Return the cells in columns: numbers to the right, words to the left."""
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    lines = []
    for row in cells:
        padded = [
            text.rjust(width) if column in (1, 3) else text.ljust(width)
            for column, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append(("  " + "  ".join(padded)).rstrip())
    return lines
