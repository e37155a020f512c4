"""What can befall a storage while it is used: each a block during which it is in trouble."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import TypeAlias

from tests.servers import RedisServer, free_port
from tests.sharing.fleet import Worker, ask_all

PASSWORD = "s3cret"  # noqa: S105  # of the tests' own server
RedisFault: TypeAlias = Callable[[RedisServer], AbstractContextManager[None]]
FileFault: TypeAlias = Callable[[Path, Iterable[Worker]], AbstractContextManager[None]]


@contextmanager
def killed(server: RedisServer) -> Iterator[None]:
    """End the server; an empty one takes its place."""
    server.stop()
    yield
    server.start()


@contextmanager
def hanging(server: RedisServer) -> Iterator[None]:
    """Let it take connections and answer none."""
    with server.paused():
        yield


@contextmanager
def read_only(server: RedisServer) -> Iterator[None]:
    """Make it the replica of a server that is not there: it answers, and writes nothing."""
    with server.client() as client:
        client.replicaof("127.0.0.1", str(free_port()))
        yield
        client.replicaof("NO", "ONE")


@contextmanager
def other_password(server: RedisServer) -> Iterator[None]:
    """Let it ask for another password than the workers have."""
    with server.client() as client:
        client.config_set("requirepass", "another")
        client.client_kill_filter(_type="normal", skipme=True)
        yield
        client.config_set("requirepass", PASSWORD)


@contextmanager
def out_of_memory(server: RedisServer) -> Iterator[None]:
    """Leave it no memory to write with."""
    with server.client() as client:
        client.config_set("maxmemory", 1)
        yield
        client.config_set("maxmemory", 0)


@contextmanager
def folder_in_its_place(path: Path, workers: Iterable[Worker]) -> Iterator[None]:
    """Put a folder where the file was."""
    path.unlink(missing_ok=True)
    path.mkdir()
    yield
    path.rmdir()


@contextmanager
def no_folder_to_write_in(path: Path, workers: Iterable[Worker]) -> Iterator[None]:
    """Put a file where the folder was, so that nothing can be made there."""
    away = path.parent.with_suffix(".away")
    path.parent.rename(away)
    path.parent.write_text("")
    yield
    path.parent.unlink()
    away.rename(path.parent)


@contextmanager
def full_disk(path: Path, workers: Iterable[Worker]) -> Iterator[None]:
    """Let the workers write nothing to any file."""
    ask_all(workers, "limit_files", size=0)
    yield
    ask_all(workers, "limit_files", size=None)


@contextmanager
def locked(path: Path, workers: Iterable[Worker]) -> Iterator[None]:
    """Let a process that hangs hold the file for writing."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


def garbage(path: Path) -> None:
    """Write garbage over a whole file, which stays the same file."""
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.write(b"\xff\x00garbage" * (size // 9 + 1))
