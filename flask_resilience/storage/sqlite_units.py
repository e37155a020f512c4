"""Moving windows in a SQLite file: a row for each time at which something was taken.

What is read may have changed before it is written. So a claim is granted by one statement, which
looks again whether all quotas have room.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from ..policies.moving_window import Held
from ..policies.quota import GRACE, Claim, Decision
from .sqlite_file import Row, Run

SUM = """
SELECT sum(cost), min(at) FROM units WHERE namespace = ? AND key = ? AND at > ?
"""
SELECT = "SELECT at, cost FROM units WHERE namespace = ? AND key = ? AND at > ? ORDER BY at"
LESSEN = """
UPDATE units SET cost = cost - ? WHERE namespace = ? AND key = ? AND at = ? AND cost > ?
"""
REMOVE = "DELETE FROM units WHERE namespace = ? AND key = ? AND at = ? AND cost <= ?"
CLEAR = "DELETE FROM units WHERE namespace = ? AND key = ?"
RESET = """
DELETE FROM units WHERE namespace = ? AND (key, at) IN (
    SELECT key, at FROM units WHERE namespace = ? LIMIT ?
)
"""
SWEEP = """
DELETE FROM units WHERE (namespace, key, at) IN (
    SELECT namespace, key, at FROM units WHERE expires_at <= ? LIMIT ?
)
"""


class UnitTable:
    """The table for moving windows; what is taken at one and the same time shares a row."""

    def read(self, run: Run, row: Row, claim: Claim, now: float) -> tuple[Decision, None]:
        """Return what becomes of *claim*; what it was decided by is not needed to grant it.

        Rows are looked at one by one only as far as their units must leave before there is room.

        :raises sqlite3.Error: If the file cannot be read.
        """
        begins = [now - quota.window + GRACE for quota in claim.quotas]
        values = [value for begin in begins for value in (*row, begin)]
        sums = run(_sums(len(begins)), *values).fetchall()
        standings = []
        for quota, begin, (used, oldest) in zip(claim.quotas, begins, sums, strict=True):
            surplus = (used or 0) + claim.cost - quota.amount
            blocking = oldest
            if surplus > 1 and claim.cost <= quota.amount:
                blocking = _blocking(run(SELECT, *row, begin), surplus)
            held = Held(used or 0, oldest, blocking)
            standings.append(held.standing(quota, claim.cost, now))
        return Decision.on(claim, tuple(standings), now), None

    def grant(self, run: Run, row: Row, claim: Claim, now: float, held: None) -> int:
        """Write that *claim* is granted, unless somebody was faster.

        :return: How many rows are written: one or none.
        :raises sqlite3.Error: If the file cannot be written.
        """
        values: list[str | float] = [*row, now, claim.cost, now + claim.longest_window]
        for amount, window in claim.quotas:
            values += (*row, now - window + GRACE, claim.cost, amount)
        return run(_add(len(claim.quotas)), *values).rowcount

    def give_back(self, run: Run, row: Row, claim: Claim, at: float) -> None:
        """Take *claim* back, which was granted *at* that time.

        :raises sqlite3.Error: If the file cannot be written.
        """
        cost = claim.cost
        if not run(LESSEN, cost, *row, at, cost).rowcount:
            run(REMOVE, *row, at, cost)


def _blocking(rows: Iterable[tuple[float, int]], surplus: int) -> float:
    """Return when the last of *surplus* units was taken, the oldest first."""
    at = 0.0
    for at, cost in rows:  # noqa: B007  # the last one counts
        surplus -= cost
        if surplus <= 0:
            break
    return at


@cache
def _sums(count: int) -> str:
    """Return what reads how much lies in each of *count* windows, and since when."""
    return "UNION ALL".join([SUM] * count)


@cache
def _add(count: int) -> str:
    """Return what writes a row if each of *count* quotas has room for it."""
    has_room = """(
    SELECT coalesce(sum(cost), 0) FROM units WHERE namespace = ? AND key = ? AND at > ?
) + ? <= ?"""
    return f"""
INSERT INTO units (namespace, key, at, cost, expires_at)
SELECT ?, ?, ?, ?, ? WHERE {" AND ".join([has_room] * count)}
ON CONFLICT (namespace, key, at) DO UPDATE SET cost = cost + excluded.cost
"""
