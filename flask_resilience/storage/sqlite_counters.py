"""Counters in a SQLite file: shared by all processes of one host, and kept over restarts."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, Protocol, TypeVar

from ..clock import SYSTEM_CLOCK, Clock
from ..policies.quota import Claim, Decision, Strategy
from ..policies.window_counter import CountedWindows
from . import sqlite_units, sqlite_windows
from .sqlite_connections import Connections, column
from .sqlite_file import OpenFile, Row, Run, execute
from .sqlite_units import UnitTable
from .sqlite_windows import WindowTable

T = TypeVar("T")

PATIENCE = 0.2
"""Seconds that an operation waits for others who write."""

TRIES = 50
"""How often a statement is tried at least: who gives up counts alone, and lets in too many."""

SYNCED = False
"""Nobody waits for the disk with the file locked: counters are worth nothing after a power failure,
and a file that one leaves corrupt is moved aside.
"""

ROUNDS = 20
"""How often a claim is tried whose quotas had room each time, until somebody else was faster."""

ROWS_BETWEEN_SWEEPS = 50
ROWS_SWEPT = 200
"""At most by one sweep of one table: more than is made meanwhile, and little for one claim."""

ROWS_RESET = 1000


class Table(Protocol):
    """What the tables have in common."""

    def read(self, run: Run, row: Row, claim: Claim, now: float) -> tuple[Decision, Any]:
        """Return what becomes of *claim*, and what is needed to grant it."""

    def grant(self, run: Run, row: Row, claim: Claim, now: float, held: Any) -> int:
        """Write that *claim* is granted, unless somebody was faster; return how many rows."""

    def give_back(self, run: Run, row: Row, claim: Claim, at: float) -> None:
        """Take *claim* back, which was granted *at* that time."""


TABLES: dict[Strategy, Table] = {
    Strategy.FIXED_WINDOW: WindowTable(CountedWindows(slides=False)),
    Strategy.SLIDING_WINDOW_COUNTER: WindowTable(CountedWindows(slides=True)),
    Strategy.MOVING_WINDOW: UnitTable(),
}


class SQLiteCounters:
    """Two tables in one file, of which each namespace has rows of its own.

    A claim is read first, without a lock: whoever is refused keeps nobody from writing. It is
    granted by one statement, so that the file is locked only while SQLite runs: never while a
    thread waits for its turn, and by no worker that was killed or interrupted. The file and its
    time are those of :class:`~flask_resilience.storage.sqlite_connections.Connections`.

    :param path: Where the file is or shall be; a missing folder is made, for this user alone.
    :param namespace: Whose counters they are.
    """

    name = "sqlite"
    shared = True

    def __init__(
        self, path: str | os.PathLike[str], *, namespace: str = "", clock: Clock = SYSTEM_CLOCK
    ) -> None:
        self._namespace = column(namespace)
        self._connections = Connections(path, clock, synced=SYNCED)
        self._rows_to_sweep = 0  # so that a process sweeps that does not live for long

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.address!r}, namespace={self._namespace!r})"

    @property
    def address(self) -> str:
        """Return where it is, as a URL."""
        return self._connections.address

    def take(self, claim: Claim) -> Decision:
        """Grant *claim* if every quota has room for it, else take nothing.

        How much is used of a quota is as it was read: others may have taken more since.

        :raises StorageError: If the file cannot be read or written within about 200 ms.
        """
        table, row = TABLES[claim.strategy], self._row(claim.key)

        def operation(run: Run, file: OpenFile) -> Decision:
            for _ in range(ROUNDS):
                now = self._connections.now(file)
                decision, held = table.read(run, row, claim, now)
                if not decision.granted:
                    return decision
                if written := table.grant(run, row, claim, now, held):
                    self._sweep_in_time(file, written, now)
                    return decision
            raise TimeoutError("others took what was free, and gave it back, again and again")

        return self._run(operation)

    def look(self, claim: Claim) -> Decision:
        """Return what :meth:`take` would, and take nothing.

        :raises StorageError: If the file cannot be read within about 200 ms.
        """
        table, row = TABLES[claim.strategy], self._row(claim.key)
        return self._run(
            lambda run, file: table.read(run, row, claim, self._connections.now(file))[0]
        )

    def give_back(self, claim: Claim, at: float) -> None:
        """Take *claim* back, which was granted *at* that time.

        :raises StorageError: If the file cannot be written within about 200 ms.
        """
        table, row = TABLES[claim.strategy], self._row(claim.key)
        self._run(lambda run, _: table.give_back(run, row, claim, at))

    def clear(self, key: str) -> None:
        """Forget what was counted for *key*.

        :raises StorageError: If the file cannot be written within about 200 ms.
        """
        row = self._row(key)
        for statement in (sqlite_windows.CLEAR, sqlite_units.CLEAR):
            self._change(statement, *row)

    def reset(self) -> None:
        """Forget all counters of this namespace, so many at a time that nobody waits for long.

        :raises StorageError: If the file cannot be written within about 200 ms, each time.
        """
        for statement in (sqlite_windows.RESET, sqlite_units.RESET):
            deleted = ROWS_RESET
            while deleted == ROWS_RESET:
                deleted = self._change(statement, self._namespace, self._namespace, ROWS_RESET)

    def close(self) -> None:
        """Close this process's idle connections; the next use opens one."""
        self._connections.close()

    def _row(self, key: str) -> Row:
        return self._namespace, column(key)

    def _change(self, statement: str, *values: str | float) -> int:
        return self._run(lambda run, _: run(statement, *values).rowcount)

    def _run(self, operation: Callable[[Run, OpenFile], T]) -> T:
        """Return what *operation* does with what executes statements, all within its time.

        :raises StorageError: Instead of every error of SQLite and of the system.
        """
        end = time.monotonic() + PATIENCE
        return self._connections.use(
            lambda file: operation(partial(execute, file.connection, end=end, tries=TRIES), file)
        )

    def _sweep_in_time(self, file: OpenFile, written: int, now: float) -> None:
        """Delete some of what expired, anybody's, now and then; a lock is not waited for."""
        self._rows_to_sweep -= written
        if self._rows_to_sweep < 0:
            with suppress(sqlite3.OperationalError):
                for statement in (sqlite_windows.SWEEP, sqlite_units.SWEEP):
                    file.connection.execute(statement, (now, ROWS_SWEPT))
                self._rows_to_sweep = ROWS_BETWEEN_SWEEPS
