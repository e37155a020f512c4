"""A redis-server of the benchmarks' own, which keeps nothing and ends with them."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import Any

from .loopback import free_port
from .row import UnavailableError

PATIENCE = 10.0
"""Seconds within which a new server must answer."""


@contextmanager
def redis_server() -> Iterator[Any]:
    """Run a redis-server on a free port of the loopback, and yield a client of it.

    :raises UnavailableError: If there is none on the path, or it does not answer.
    """
    redis, executable = import_module("redis"), shutil.which("redis-server")
    if executable is None:
        raise UnavailableError("there is no redis-server on the path")
    port = free_port()
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    process = subprocess.Popen([executable, *options], stdout=subprocess.DEVNULL)  # noqa: S603  # ours
    try:
        with redis.Redis(port=port) as client:
            _wait_for(client, redis.RedisError)
            yield client
    finally:
        process.terminate()
        process.wait(PATIENCE)


def url_of(client: Any) -> str:
    """Return the URL of the server that *client* is connected to."""
    return f"redis://127.0.0.1:{client.connection_pool.connection_kwargs['port']}/0"


def round_trips(client: Any, ask: Callable[[], object], times: int) -> float:
    """Return how often the server is asked by one *ask*, by its own count.

    It counts what it reads. Its count of commands has those in it that a script does.
    """
    ask()  # connects
    before = _reads(client)
    for _ in range(times):
        ask()
    return (_reads(client) - before - 1) / times  # less the question itself


def _reads(client: Any) -> int:
    return int(client.info("stats")["total_reads_processed"])


def _wait_for(client: Any, failure: type[Exception]) -> None:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        with suppress(failure):
            client.ping()
            return
        time.sleep(0.01)
    raise UnavailableError("redis-server does not answer")
