"""Circuits in a SQLite file: shared by all processes of one host, and kept over restarts."""

from __future__ import annotations

import os
import secrets
import sqlite3
import weakref
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from ..circuits.circuit_storage import ABSENT, Reading
from ..clock import SYSTEM_CLOCK, Clock
from ..errors import StorageError
from ..forks import PerProcess
from ..policies.circuit import Circuit
from .encoding import decode, encode
from .sqlite_file import (
    Identity,
    OpenFile,
    check_ours,
    create,
    execute,
    identify,
    open_file,
    put_away_if_corrupt,
)
from .sqlite_forks import at_work, close_before_forks

CAPACITY = 1000
IDLE_CONNECTIONS = 8

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


@dataclass(frozen=True, slots=True)
class _Connections:
    """One process's connections; each step on them is atomic, so there is no lock."""

    idle: deque[OpenFile] = field(default_factory=deque)

    def close_idle(self) -> None:
        """Close what nobody uses."""
        while (file := self.take_idle()) is not None:
            file.connection.close()

    def take_idle(self) -> OpenFile | None:
        """Return what nobody uses, if there is any."""
        try:
            return self.idle.pop()
        except IndexError:
            return None


class SQLiteStorage:
    """A table of circuits in one file, of which each namespace has rows of its own.

    A compare-and-set is one statement, so that the file is locked only while SQLite runs: never
    while a thread waits for its turn, and by no worker that was killed or interrupted.

    Its time is the host's monotonic one and an offset that the file holds, so it is the same for
    all processes whatever their wall clocks say, and goes on steadily when one is set. The offset
    is settled anew when the host has started again, and never so that time goes back.

    A file that was deleted or replaced is noticed; a corrupt one is moved aside, to a name that
    ends in ``.corrupt``, if it is known as ours. What is not ours is not touched.

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
        self._path = os.path.abspath(path)
        self._namespace = _column(namespace)
        self._clock = clock
        self._capacity = capacity
        self._offset: float | None = None
        self._connections = PerProcess(_Connections)
        close_before_forks(self)
        weakref.finalize(self, _close_own, self._connections)

    @property
    def address(self) -> str:
        """Return where it is, as a URL."""
        return f"sqlite:///{self._path}"

    def read(self, key: str) -> Reading:
        """Return what is held for *key*.

        :raises StorageError: If the file cannot be read within about 100 ms.
        """
        with self._connection() as file:
            return self._reading(file, (self._namespace, _column(key)))

    def compare_and_set(
        self, key: str, version: str, circuit: Circuit, ttl: float
    ) -> tuple[bool, Reading]:
        """Write *circuit* if *key* is still at *version*.

        :raises StorageError: If the file cannot be written within about 100 ms.
        """
        row = (self._namespace, _column(key))
        with self._connection() as file:
            now = self._now(file)
            new = Reading(circuit, secrets.token_hex(8), now)
            values = (new.version, encode(circuit), now, now + ttl)
            if version == ABSENT:
                accepted = execute(file.connection, INSERT, *row, *values).rowcount == 1
            else:
                accepted = (
                    execute(file.connection, UPDATE, *values, *row, version, now).rowcount == 1
                )
            if not accepted:
                return False, self._reading(file, row)
            if version == ABSENT:
                self._make_room(file, row, now)
            return True, new

    def close(self) -> None:
        """Close this process's idle connections; the next use opens one."""
        self._connections.get().close_idle()

    def _now(self, file: OpenFile) -> float:
        return file.offset + self._clock.monotonic()

    def _reading(self, file: OpenFile, row: tuple[str, str]) -> Reading:
        """Return what a row holds; the time is read after it, so that no circuit is of later."""
        found = execute(file.connection, SELECT, *row).fetchall()
        now = self._now(file)
        for version, circuit, expires_at in found:
            if now < expires_at:
                return Reading(decode(circuit), version, now)
        return Reading(None, ABSENT, now)

    def _make_room(self, file: OpenFile, row: tuple[str, str], now: float) -> None:
        """Sweep out what expired, anybody's, and of our own what is too much beside a new row."""
        execute(file.connection, SWEEP, now)
        namespace, key = row
        execute(file.connection, MAKE_ROOM, namespace, namespace, key, namespace, self._capacity)

    @contextmanager
    def _connection(self) -> Iterator[OpenFile]:
        """Lend a connection, which is closed if anything goes wrong in its use.

        :raises StorageError: Instead of every error of SQLite and of the system.
        """
        try:
            with at_work(), self._lent() as file:
                yield file
        except (sqlite3.Error, OSError, ValueError, TypeError) as error:  # the latter: odd rows
            kind = type(error).__name__
            raise StorageError(self.address, f"{kind}: {error}", kind) from error

    @contextmanager
    def _lent(self) -> Iterator[OpenFile]:
        connections = self._connections.get()
        file = self._take(connections)
        try:
            yield file
        except BaseException as error:
            put_away_if_corrupt(self._path, file.identity, error)
            file.connection.close()
            raise
        self._give_back(file, connections)

    def _take(self, connections: _Connections) -> OpenFile:
        """Return an idle connection to the file that is there now, or else a new one."""
        there = identify(self._path)
        while (file := connections.take_idle()) is not None:
            if file.identity == there:
                return file
            file.connection.close()
        if there is None:
            there = self._create()
        check_ours(self._path)
        file = open_file(self._path, there, self._clock)
        self._offset = file.offset
        return file

    def _give_back(self, file: OpenFile, connections: _Connections) -> None:
        if len(connections.idle) < IDLE_CONNECTIONS:
            connections.idle.append(file)
        else:
            file.connection.close()

    def _create(self) -> Identity:
        """Make the file; its time goes on from that of the one that was there before."""
        offset = self._offset
        if offset is None:
            offset = self._clock.wall() - self._clock.monotonic()
        create(self._path, offset)
        if (identity := identify(self._path)) is None:
            raise FileNotFoundError("the file was deleted while it was made")
        return identity


def _close_own(connections: PerProcess[_Connections]) -> None:
    if (own := connections.made) is not None:
        own.close_idle()


def _column(text: str) -> str:
    """Return *text* as SQLite takes it, whatever is in it; no two become the same."""
    return text.replace("\\", r"\\").encode("ascii", "backslashreplace").decode("ascii")
