"""Connections to the file of a SQLite storage: lent for one operation each, closed before forks."""

from __future__ import annotations

import os
import sqlite3
import weakref
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from ..clock import Clock
from ..errors import StorageError
from ..forks import PerProcess
from .sqlite_file import (
    Identity,
    OpenFile,
    check_ours,
    create,
    identify,
    open_file,
    put_away_if_corrupt,
)
from .sqlite_forks import AT_WORK, close_before_forks

T = TypeVar("T")

IDLE_CONNECTIONS = 8
FAILURES = (sqlite3.Error, OSError, ValueError, TypeError, OverflowError)
"""What SQLite and the system may raise; the last three come of odd rows and odd numbers."""


@dataclass(frozen=True, slots=True)
class _Idle:
    """One process's idle connections; each step on them is atomic, so there is no lock."""

    files: deque[OpenFile] = field(default_factory=deque)

    def close(self) -> None:
        """Close them all."""
        while (file := self.take()) is not None:
            file.connection.close()

    def take(self) -> OpenFile | None:
        """Return one of them, if there is any."""
        try:
            return self.files.pop()
        except IndexError:
            return None

    def put(self, file: OpenFile) -> None:
        """Keep it, unless there are enough."""
        if len(self.files) < IDLE_CONNECTIONS:
            self.files.append(file)
        else:
            file.connection.close()


class Connections:
    """What lends connections to one file, which comes to be with the first.

    Their time is the host's monotonic one and an offset that the file holds, so it is the same for
    all processes whatever their wall clocks say, and goes on steadily when one is set. The offset
    is settled anew when the host has started again, and never so that time goes back.

    A file that was deleted or replaced is noticed; a corrupt one is moved aside, to a name that
    ends in ``.corrupt``, if it is known as ours. What is not ours is not touched.

    :param path: Where the file is or shall be; a missing folder is made, for this user alone.
    :param synced: As :func:`~flask_resilience.storage.sqlite_file.open_file` takes it.
    """

    def __init__(self, path: str | os.PathLike[str], clock: Clock, *, synced: bool = True) -> None:
        self._path = os.path.abspath(path)
        self._synced = synced
        self._clock = clock
        self._offset: float | None = None
        self._idle = PerProcess(_Idle)
        close_before_forks(self)
        weakref.finalize(self, _close_own, self._idle)

    @property
    def address(self) -> str:
        """Return where the file is, as a URL."""
        return f"sqlite:///{self._path}"

    def now(self, file: OpenFile) -> float:
        """Return the file's time."""
        return file.offset + self._clock.monotonic()

    def use(self, operation: Callable[[OpenFile], T]) -> T:
        """Return what *operation* does with a connection, which is closed if it fails.

        :raises StorageError: Instead of every error of SQLite and of the system.
        """
        try:
            with AT_WORK:
                idle = self._idle.get()
                file = self._take(idle)
                try:
                    result = operation(file)
                except BaseException as error:
                    put_away_if_corrupt(self._path, file.identity, error)
                    file.connection.close()
                    raise
                idle.put(file)
                return result
        except FAILURES as error:
            kind = type(error).__name__
            raise StorageError(self.address, f"{kind}: {error}", kind) from error

    def close(self) -> None:
        """Close this process's idle connections; the next use opens one."""
        self._idle.get().close()

    def _take(self, idle: _Idle) -> OpenFile:
        """Return an idle connection to the file that is there now, or else a new one."""
        there = identify(self._path)
        while (file := idle.take()) is not None:
            if file.identity == there:
                return file
            file.connection.close()
        if there is None:
            there = self._create()
        check_ours(self._path)
        file = open_file(self._path, there, self._clock, synced=self._synced)
        self._offset = file.offset
        return file

    def _create(self) -> Identity:
        """Make the file; its time goes on from that of the one that was there before."""
        offset = self._offset
        if offset is None:
            offset = self._clock.wall() - self._clock.monotonic()
        create(self._path, offset)
        if (identity := identify(self._path)) is None:
            raise FileNotFoundError("the file was deleted while it was made")
        return identity


def column(text: str) -> str:
    r"""Return *text* as SQLite takes it, whatever is in it; no two become the same.

    >>> print(column("ä"), column(r"\xe4"))
    \xe4 \\xe4
    """
    if text.isascii() and "\\" not in text:
        return text
    return text.replace("\\", r"\\").encode("ascii", "backslashreplace").decode("ascii")


def _close_own(idle: PerProcess[_Idle]) -> None:
    if (own := idle.made) is not None:
        own.close()
