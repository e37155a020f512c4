"""Counts, error and retry shares and percentiles for each route and upstream, in flat memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from .output import visible
from .record import Record, parse_record
from .sketch import Sketch
from .source import lines_not_json
from .tree import ATTEMPT, CALL, REQUEST

MOST_ROWS = 500
"""Routes or upstreams told apart; the others share a row."""
OTHERS = "(others)"
NO_ROUTE = "(no route)"
NEEDLES = (REQUEST.encode(), CALL.encode(), ATTEMPT.encode())
"""One of them stands in each line that counts."""
HEAD = ("n", "error %", "retry %", "p50 ms", "p95 ms", "p99 ms")
SHARES = {"p50_ms": 0.5, "p95_ms": 0.95, "p99_ms": 0.99}


@dataclass(slots=True)
class Row:
    """What was counted of one route or upstream."""

    count: int = 0
    errors: int = 0
    retried: int = 0
    durations: Sketch = field(default_factory=Sketch)

    def add(self, record: Record, *, is_error: bool, is_retried: bool) -> None:
        """Count one line."""
        self.count += 1
        self.errors += is_error
        self.retried += is_retried
        taken = record.number("duration_ms")
        if taken is not None:
            self.durations.add(taken)

    def figures(self) -> dict[str, float | None]:
        """Return the figures; shares are percentages."""
        percentiles = {name: self.durations.percentile(share) for name, share in SHARES.items()}
        return {
            "n": self.count,
            "error_percent": round(100 * self.errors / self.count, 2),
            "retry_percent": round(100 * self.retried / self.count, 2),
            **{name: None if one is None else round(one, 3) for name, one in percentiles.items()},
        }


class Statistics:
    """Three tables: requests by route, calls and attempts by upstream."""

    def __init__(self) -> None:
        self.tables: dict[str, dict[str, Row]] = {"routes": {}, "upstreams": {}, "attempts": {}}
        self.not_json = 0
        self._attempts_told = 0

    @property
    def is_empty(self) -> bool:
        """Say whether nothing was counted."""
        return not any(self.tables.values())

    def read(self, block: bytes) -> None:
        """Count what is in whole lines."""
        self.not_json += lines_not_json(block)
        for line in block.split(b"\n"):
            if any(one in line for one in NEEDLES):
                record = parse_record(line)
                if record is None:
                    self.not_json += line.rstrip(b"\r").endswith(b"}")
                else:
                    self.add(record)

    def add(self, record: Record) -> None:
        """Count a record, if it is the finish line of something."""
        event = record.event
        if event == REQUEST:
            self._request(record)
        elif event == CALL:
            made = record.number("attempts") or 0
            self._attempts_told += int(made)
            self._row("upstreams", record.text("upstream")).add(
                record, is_error=record.text("outcome") != "success", is_retried=made > 1
            )
        elif event == ATTEMPT:
            status = record.number("http_response_status_code")
            failed = status is None or record.text("level") == "warning"
            again = (record.number("attempt") or 1) > 1
            row = self._row("attempts", record.text("upstream"))
            row.add(record, is_error=failed, is_retried=again)

    @property
    def attempts_without_line(self) -> int:
        """Return how many attempts the calls tell of beside those that have a line."""
        shown = sum(row.count for row in self.tables["attempts"].values())
        return max(0, self._attempts_told - shown)

    def as_json(self) -> dict[str, Any]:
        """Return all tables for machines."""
        return {
            name: {label: row.figures() for label, row in _by_count(table)}
            for name, table in self.tables.items()
        } | {"attempts_without_line": self.attempts_without_line}

    def lines(self) -> Iterator[str]:
        """Yield all tables for people; one without rows is left out."""
        for number, (name, table) in enumerate(one for one in self.tables.items() if one[1]):
            if number:
                yield ""
            rows = [(label, row.figures()) for label, row in _by_count(table)]
            yield from _table(name, [(label, tuple(one.values())) for label, one in rows])
        if self.attempts_without_line:
            missing = self.attempts_without_line
            yield f"attempts without a line: {missing} (good ones are logged at level debug)"

    def _request(self, record: Record) -> None:
        status = record.number("http_response_status_code") or 0
        bad = status >= 500 or record.text("outcome") in ("server_error", "stream_error")
        route = record.text("http_route") or NO_ROUTE
        label = f"{record.text('service')} {record.text('http_request_method')} {route}"
        retries = record.number("outbound_retries") or 0
        self._row("routes", label.strip()).add(record, is_error=bad, is_retried=retries > 0)

    def _row(self, table: str, label: str) -> Row:
        rows = self.tables[table]
        if label not in rows and len(rows) >= MOST_ROWS:
            label = OTHERS
        return rows.setdefault(label, Row())


def _by_count(table: dict[str, Row]) -> list[tuple[str, Row]]:
    return sorted(table.items(), key=lambda item: (-item[1].count, item[0]))


def _table(name: str, rows: Sequence[tuple[str, Iterable[float | None]]]) -> Iterator[str]:
    """Yield aligned lines: the label to the left, figures to the right."""
    cells = [(visible(label), *map(_figure, figures)) for label, figures in rows]
    cells.insert(0, (name, *HEAD))
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for label, *figures in cells:
        right = (one.rjust(width) for one, width in zip(figures, widths[1:], strict=True))
        yield "  ".join([label.ljust(widths[0]), *right])


def _figure(value: float | None) -> str:
    if value is None:
        return "-"
    return str(value) if isinstance(value, int) else f"{value:.1f}"
