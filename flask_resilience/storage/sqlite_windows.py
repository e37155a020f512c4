"""Fixed and sliding windows in a SQLite file: a row for each quota of a key.

What is read may have changed before it is written. So each change is one statement, which looks
again: while the windows last, whether all quotas still have room; when one turns, whether all rows
are still those that were read.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

from ..policies.quota import GRACE, Claim, Decision
from ..policies.window_counter import CountedWindows, Counters, WindowCounter
from .sqlite_file import Row, Run

ABSENT = WindowCounter(-math.inf)
"""Stands for a row that is not there: whenever it is used, its window begins anew."""

SELECT = """
SELECT window, start, previous, current FROM counters WHERE namespace = ? AND key = ?
"""
GIVE_BACK = """
UPDATE counters SET
    current = CASE WHEN ? >= start THEN max(0, current - ?) ELSE current END,
    previous = CASE WHEN ? < start THEN max(0, previous - ?) ELSE previous END
WHERE namespace = ? AND key = ? AND window = ? AND ? >= start - window
"""
SHARE = f"""
    max(0, CAST(previous * (min(start + window - ?, window) - {GRACE}) / window AS INTEGER))
"""
IS_HELD = """(
    SELECT start, previous, current FROM counters WHERE namespace = ? AND key = ? AND window = ?
) IS (?, ?, ?)"""
CLEAR = "DELETE FROM counters WHERE namespace = ? AND key = ?"
RESET = """
DELETE FROM counters WHERE namespace = ? AND (key, window) IN (
    SELECT key, window FROM counters WHERE namespace = ? LIMIT ?
)
"""
SWEEP = """
DELETE FROM counters WHERE (namespace, key, window) IN (
    SELECT namespace, key, window FROM counters WHERE expires_at <= ? LIMIT ?
)
"""


@dataclass(frozen=True, slots=True)
class WindowTable:
    """The table for both strategies of this kind."""

    rule: CountedWindows

    def read(self, run: Run, row: Row, claim: Claim, now: float) -> tuple[Decision, Counters]:
        """Return what becomes of *claim*, and the counters it was decided by, as they are held.

        :raises sqlite3.Error: If the file cannot be read.
        """
        found = {
            window: WindowCounter(start, previous, current)
            for window, start, previous, current in run(SELECT, *row).fetchall()
        }
        held = tuple([found.get(quota.window, ABSENT) for quota in claim.quotas])
        standings = self.rule.standings(self.rule.at(held, claim, now), claim, now)
        return Decision.on(claim, standings, now), held

    def grant(self, run: Run, row: Row, claim: Claim, now: float, held: Counters) -> int:
        """Write that *claim* is granted, unless somebody was faster.

        :return: How many rows are written: none, or one for each quota.
        :raises sqlite3.Error: If the file cannot be written.
        """
        rule, count = self.rule, len(held)
        counters = rule.at(held, claim, now)
        if counters == held:
            values = self._addition(row, claim, now)
            return run(_add(count, rule.slides), *values).rowcount
        values = _change(row, claim, now, held, rule.taken(counters, claim, now))
        return run(_turn(count), *values).rowcount

    def give_back(self, run: Run, row: Row, claim: Claim, at: float) -> None:
        """Take *claim* back, which was granted *at* that time; nothing falls below 0.

        :raises sqlite3.Error: If the file cannot be written.
        """
        changed = (at, claim.cost, at, claim.cost, *row)
        for quota in claim.quotas:
            run(GIVE_BACK, *changed, quota.window, at)

    def _addition(self, row: Row, claim: Claim, now: float) -> list[str | float | None]:
        """Return the values for :func:`_add`."""
        values: list[str | float | None] = [claim.cost, now, *row]
        values += [quota.window for quota in claim.quotas]
        values += [*row, now, now] if self.rule.slides else [*row, now]
        values.append(claim.cost)
        for quota in claim.quotas:
            values += (quota.window, quota.amount)
        return values


@cache
def _add(count: int, slides: bool) -> str:
    """Return what adds to windows that last, if *count* quotas have room in them.

    What slides takes the steps of :meth:`WindowCounter.used`, in their order, so that no rounding
    parts them.
    """
    windows = ", ".join("?" * count)
    used = "current + " + SHARE if slides else "current"
    amount = f"CASE window {'WHEN ? THEN ? ' * count}END"
    return f"""
UPDATE counters SET current = current + ?, written_at = ?
WHERE namespace = ? AND key = ? AND window IN ({windows}) AND {count} = (
    SELECT count(*) FROM counters
    WHERE namespace = ? AND key = ? AND ? < start + window AND {used} + ? <= {amount}
)
"""  # noqa: S608  # all of it is our own text


@cache
def _turn(count: int) -> str:
    """Return what writes *count* rows, if all that is held is what was read."""
    rows = ", ".join(["(?, ?, ?, ?, ?, ?, ?, ?)"] * count)
    return f"""
INSERT INTO counters
    (namespace, key, window, start, previous, current, written_at, expires_at)
SELECT * FROM (VALUES {rows}) WHERE {" AND ".join([IS_HELD] * count)}
ON CONFLICT (namespace, key, window) DO UPDATE SET
    start = excluded.start, previous = excluded.previous, current = excluded.current,
    written_at = excluded.written_at, expires_at = excluded.expires_at
"""  # noqa: S608  # all of it is our own text


def _change(
    row: Row, claim: Claim, now: float, held: Counters, new: Counters
) -> list[str | float | None]:
    """Return the values for :func:`_turn`."""
    values: list[str | float | None] = []
    for (_, window), one in zip(claim.quotas, new, strict=True):
        values += (*row, window, *one, now, one.start + 2 * window)
    for (_, window), one in zip(claim.quotas, held, strict=True):
        values += (*row, window, *((None, None, None) if one is ABSENT else one))
    return values
