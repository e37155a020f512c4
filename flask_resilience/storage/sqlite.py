"""Circuits in a SQLite file: shared by all processes of one host, and kept over restarts."""

from __future__ import annotations

import os
import secrets

from ..circuits.circuit_storage import ABSENT, Reading
from ..clock import SYSTEM_CLOCK, Clock
from ..policies.circuit import Circuit
from .encoding import decode, encode
from .sqlite_connections import Connections, column
from .sqlite_file import OpenFile, execute

CAPACITY = 1000

SELECT = """
SELECT version, circuit, expires_at FROM circuits WHERE namespace = ? AND key = ?
"""
INSERT = """
INSERT INTO circuits (namespace, key, version, circuit, written_at, expires_at)
VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (namespace, key) DO UPDATE SET
    version = excluded.version, circuit = excluded.circuit,
    written_at = excluded.written_at, expires_at = excluded.expires_at
WHERE circuits.expires_at <= excluded.written_at
"""
UPDATE = """
UPDATE circuits SET version = ?, circuit = ?, written_at = ?, expires_at = ?
WHERE namespace = ? AND key = ? AND version = ? AND expires_at > ?
"""
SWEEP = "DELETE FROM circuits WHERE expires_at <= ?"
MAKE_ROOM = """
DELETE FROM circuits WHERE namespace = ? AND key IN (
    SELECT key FROM circuits WHERE namespace = ? AND key != ? ORDER BY expires_at
    LIMIT max(0, (SELECT count(*) FROM circuits WHERE namespace = ?) - ?)
)
"""


class SQLiteStorage:
    """A table of circuits in one file, of which each namespace has rows of its own.

    A compare-and-set is one statement, so that the file is locked only while SQLite runs: never
    while a thread waits for its turn, and by no worker that was killed or interrupted. The file and
    its time are those of :class:`~flask_resilience.storage.sqlite_connections.Connections`.

    :param path: Where the file is or shall be; a missing folder is made, for this user alone.
    :param namespace: Whose circuits they are.
    :param capacity: How many circuits a namespace keeps at most; what expires first goes first.
    """

    name = "sqlite"
    shared = True

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        namespace: str = "",
        clock: Clock = SYSTEM_CLOCK,
        capacity: int = CAPACITY,
    ) -> None:
        self._namespace = column(namespace)
        self._capacity = capacity
        self._connections = Connections(path, clock)

    @property
    def address(self) -> str:
        """Return where it is, as a URL."""
        return self._connections.address

    def read(self, key: str) -> Reading:
        """Return what is held for *key*.

        :raises StorageError: If the file cannot be read within about 100 ms.
        """
        row = (self._namespace, column(key))
        return self._connections.use(lambda file: self._reading(file, row))

    def compare_and_set(
        self, key: str, version: str, circuit: Circuit, ttl: float
    ) -> tuple[bool, Reading]:
        """Write *circuit* if *key* is still at *version*.

        :raises StorageError: If the file cannot be written within about 100 ms.
        """
        row = (self._namespace, column(key))

        def write(file: OpenFile) -> tuple[bool, Reading]:
            now = self._connections.now(file)
            new = Reading(circuit, secrets.token_hex(8), now)
            values = (new.version, encode(circuit), now, now + ttl)
            if version == ABSENT:
                written = execute(file.connection, INSERT, *row, *values)
            else:
                written = execute(file.connection, UPDATE, *values, *row, version, now)
            if written.rowcount != 1:
                return False, self._reading(file, row)
            if version == ABSENT:
                self._make_room(file, row, now)
            return True, new

        return self._connections.use(write)

    def close(self) -> None:
        """Close this process's idle connections; the next use opens one."""
        self._connections.close()

    def _reading(self, file: OpenFile, row: tuple[str, str]) -> Reading:
        """Return what a row holds; the time is read after it, so that no circuit is of later."""
        found = execute(file.connection, SELECT, *row).fetchall()
        now = self._connections.now(file)
        for version, circuit, expires_at in found:
            if now < expires_at:
                return Reading(decode(circuit), version, now)
        return Reading(None, ABSENT, now)

    def _make_room(self, file: OpenFile, row: tuple[str, str], now: float) -> None:
        """Sweep out what expired, anybody's, and of our own what is too much beside a new row."""
        execute(file.connection, SWEEP, now)
        namespace, key = row
        execute(file.connection, MAKE_ROOM, namespace, namespace, key, namespace, self._capacity)
