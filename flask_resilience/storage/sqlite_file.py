"""The file behind a SQLite storage: how it comes to be, is known as ours, opened and put away."""

from __future__ import annotations

import os
import sqlite3
import stat
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeAlias

from ..clock import Clock
from .sqlite_schema import COUNTERS, MARK, SCHEMA

if sys.platform != "win32":
    import fcntl

BUSY_TIMEOUT = 0.1
BUSY_PAUSE = 0.001
BUSY_WAIT = 0.003
FEWEST_TRIES = 20
SIDE_FILES = ("-wal", "-shm")
LATEST_CIRCUIT = "SELECT max(written_at) FROM circuits"
LATEST = """
SELECT max(at) FROM (
    SELECT max(written_at) AS at FROM circuits
    UNION ALL SELECT max(written_at) FROM counters
    UNION ALL SELECT max(at) FROM units
)
"""

Identity: TypeAlias = tuple[int, int]
"""Which file it is: its device and inode."""

Row: TypeAlias = tuple[str, str]
"""Whose row it is: a namespace and a key."""

Run: TypeAlias = Callable[..., sqlite3.Cursor]
"""Executes a statement with its values."""


class ForeignFileError(OSError):
    """There is a file in the place of ours that is not ours; it is left as it is."""


@dataclass(frozen=True, slots=True)
class OpenFile:
    """A connection to the file, used by one thread at a time.

    :param offset: What to add to the host's monotonic time to get the storage's.
    """

    connection: sqlite3.Connection
    identity: Identity
    offset: float


@cache
def boot_id() -> str:
    """Return what names the time since the host started; empty where the system does not say."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return ""


def identify(path: str) -> Identity | None:
    """Return which file lies at *path*; ``None`` if none does, or one that holds nothing yet.

    :raises OSError: If the folder cannot be read.
    """
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return (found.st_dev, found.st_ino) if found.st_size else None


def check_ours(path: str) -> None:
    """Make sure that the file is ours, without touching it or the files beside it.

    SQLite reads the mark itself, told that the file never changes: then it takes no lock and looks
    at no write-ahead log. To open and close the file beside SQLite would drop its locks.

    :raises ForeignFileError: If it is not ours.
    :raises sqlite3.Error: If it is no database.
    """
    _check_owner(path)
    try:
        mark = _read_mark(path)
    except sqlite3.DatabaseError:  # its first page was just being written
        mark = _read_mark(path)
    if mark != MARK:
        raise ForeignFileError("the file there is not one of flask-resilience")


def _read_mark(path: str) -> int:
    with _connect(path, "mode=ro&immutable=1") as connection:
        connection.execute("PRAGMA writable_schema = ON")  # a file that just grows is not corrupt
        ((mark,),) = connection.execute("PRAGMA application_id")
    return int(mark)


def _check_owner(path: str) -> None:
    """Make sure that nobody planted the file or its folder, where all may make one.

    :raises ForeignFileError: If somebody else did, or could.
    """
    folder = os.path.dirname(path)
    for one in (folder, path):
        if _is_open_to_all(os.path.dirname(one)) and os.path.lexists(one):
            found = os.lstat(one)
            theirs = found.st_uid not in (0, os.geteuid())
            if theirs or (one == folder and found.st_mode & stat.S_IWOTH):
                raise ForeignFileError(f"{one} is another user's, or all may write in there")


def _is_open_to_all(folder: str) -> bool:
    """Say whether it is like ``/tmp``: all may make files, and remove only their own."""
    mode = os.stat(folder).st_mode
    return bool(mode & stat.S_ISVTX and mode & stat.S_IWOTH)


def create(path: str, offset: float) -> None:
    """Put a new file at *path*, unless another process was first; it appears whole or not at all.

    What an older file of that name left beside it goes first: SQLite would take an old write-ahead
    log for the new file's.

    :param offset: Between the storage's time and the host's monotonic one.
    :raises OSError: If it cannot be written.
    :raises sqlite3.Error: If it cannot be written.
    """
    folder, name = os.path.split(path)
    os.makedirs(folder, mode=0o700, exist_ok=True)
    _check_owner(path)
    handle, draft = tempfile.mkstemp(prefix=f".{name}.", dir=folder)  # its mode is 0600
    os.close(handle)
    try:
        with _connect(draft, "mode=rw") as connection:
            connection.executescript(SCHEMA)
            connection.execute("INSERT INTO clock VALUES (?, ?)", (boot_id(), offset))
            connection.execute("COMMIT")
        with _alone_in(folder):
            if identify(path) is None:
                _remove_beside(path)
                os.replace(draft, path)
    finally:
        with suppress(OSError):
            os.unlink(draft)
        _remove_beside(draft)


def open_file(path: str, identity: Identity, clock: Clock, *, synced: bool = True) -> OpenFile:
    """Connect to the file, which is known to be ours.

    :param synced: Whether a write waits for the disk, now and then with the file locked; if none
        does, a power failure may leave a corrupt file.
    :raises sqlite3.Error: If that fails.
    """
    connection = sqlite3.connect(
        _address(path, "mode=rw"),
        timeout=BUSY_WAIT,
        isolation_level=None,
        check_same_thread=False,
        uri=True,
    )
    try:
        execute(connection, f"PRAGMA synchronous = {'NORMAL' if synced else 'OFF'}")
        for statement in COUNTERS:
            execute(connection, statement)
        return OpenFile(connection, identity, _settle_time(connection, clock))
    except BaseException as error:
        put_away_if_corrupt(path, identity, error)
        connection.close()
        raise


def put_away_if_corrupt(path: str, identity: Identity, error: BaseException) -> None:
    """Move a file of ours aside if *error* says that it is corrupt, unless another process did.

    It must still be open, or its inode might be another file's by now. What SQLite finds corrupt
    has no class of its own among its errors.
    """
    if type(error) is not sqlite3.DatabaseError:
        return
    with suppress(OSError), _alone_in(os.path.dirname(path)):
        if identify(path) == identity:
            _remove_beside(path)
            os.replace(path, f"{path}.corrupt")


def execute(
    connection: sqlite3.Connection,
    statement: str,
    *values: str | float | None,
    end: float | None = None,
    tries: int = FEWEST_TRIES,
) -> sqlite3.Cursor:
    """Execute what may meet a lock, again and again while it does.

    SQLite's own waiting tries seldom, which starves one of many writers, and keeps greenlets from
    running. Time alone says nothing of the lock: this thread may have waited for a processor.

    :param end: When to give up, in the host's monotonic time; ``None`` for soon.
    :param tries: How often it is tried at least, each for up to 4 ms.
    :raises sqlite3.Error: If the lock is held for too long, or anything else fails.
    """
    if end is None:
        end = time.monotonic() + BUSY_TIMEOUT
    while True:
        try:
            return connection.execute(statement, values)
        except sqlite3.OperationalError as error:
            tries -= 1
            in_vain = tries <= 0 and time.monotonic() >= end
            if in_vain or "locked" not in str(error):
                raise
        time.sleep(BUSY_PAUSE)


def _settle_time(connection: sqlite3.Connection, clock: Clock) -> float:
    """Return the file's offset; the first to open it after the host started writes a new one."""
    if (offset := _offset(connection, clock)) is not None:
        return offset
    execute(connection, "BEGIN IMMEDIATE")
    if (offset := _offset(connection, clock)) is None:
        ((latest,),) = connection.execute(LATEST)
        offset = max(clock.wall(), latest or 0.0) - clock.monotonic()
        connection.execute("UPDATE clock SET boot = ?, offset = ?", (boot_id(), offset))
    connection.execute("COMMIT")
    return offset


def _offset(connection: sqlite3.Connection, clock: Clock) -> float | None:
    """Return the offset that the file holds; ``None`` if it is from before the host started.

    Time that goes back says so too, where the system does not name the start. To look for it among
    all that was counted takes longer, and is done only there.
    """
    ((boot, offset),) = execute(connection, "SELECT boot, offset FROM clock")
    ((latest,),) = execute(connection, LATEST_CIRCUIT if boot_id() else LATEST)
    went_back = latest is not None and offset + clock.monotonic() < latest - 1.0
    return None if boot != boot_id() or went_back else float(offset)


def _address(path: str, options: str) -> str:
    return f"{Path(path).as_uri()}?{options}"


@contextmanager
def _connect(path: str, options: str) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(_address(path, options), isolation_level=None, uri=True)
    try:
        yield connection
    finally:
        connection.close()


@contextmanager
def _alone_in(folder: str) -> Iterator[None]:
    """Keep other processes from putting files into place here, for a rename's time.

    :raises OSError: If another one takes longer than it may.
    """
    if sys.platform == "win32":  # where nobody can move a file that is in use
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        end = time.monotonic() + BUSY_TIMEOUT
        tries_left = FEWEST_TRIES
        while not _locked(handle):
            tries_left -= 1
            if tries_left <= 0 and time.monotonic() >= end:
                raise TimeoutError("another process has been creating the file for too long")
            time.sleep(BUSY_PAUSE)
        yield
    finally:
        os.close(handle)


def _locked(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _remove_beside(path: str) -> None:
    for end in SIDE_FILES:
        with suppress(FileNotFoundError):
            os.unlink(path + end)
