"""Moving windows in a SQLite file: a row for each time at which something was taken.

What is read may have changed before it is written. So a claim is granted by one statement, which
looks again whether all quotas have room.
"""

from __future__ import annotations

from functools import cache

from ..policies.moving_window import MovingWindows, moving_standing
from ..policies.quota import Claim, Decision
from ..policies.window_counter import GRACE
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

        The rows are fetched only where more than one unit must leave first: else it is enough to
        know how many there are and which is the oldest.

        :raises sqlite3.Error: If the file cannot be read.
        """
        begins = [now - quota.window + GRACE for quota in claim.quotas]
        values = [value for begin in begins for value in (*row, begin)]
        found = run(_sums(len(begins)), *values).fetchall()
        standings, needs_all = [], False
        for quota, (used, oldest) in zip(claim.quotas, found, strict=True):
            units = [oldest] * (used or 0)
            standings.append(moving_standing(units, quota, claim.cost, now))
            needs_all |= len(units) + claim.cost > quota.amount + 1
        if needs_all:
            return self._read_all(run, row, claim, now), None
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

    def _read_all(self, run: Run, row: Row, claim: Claim, now: float) -> Decision:
        found = run(SELECT, *row, now - claim.longest_window + GRACE).fetchall()
        units = [at for at, cost in found for _ in range(cost)]
        return Decision.on(claim, MovingWindows().standings(units, claim, now), now)


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
