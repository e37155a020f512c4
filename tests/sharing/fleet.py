"""Worker processes as a test sees them: started, told what to do, asked and ended."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

PROGRAM = Path(__file__).with_name("worker.py")
CLOCK_OFF = """
import runpy, sys, time
real_time, off = time.time, float(sys.argv.pop())
time.time = lambda: real_time() + off
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
PATIENCE = 30.0
FIRST_PAUSE = 0.1
"""Of a storage that is down, in place of one second, so that tests need not wait for its end."""


class Worker:
    """One process that runs ``worker.py``."""

    def __init__(self, connection: socket.socket) -> None:
        connection.settimeout(PATIENCE)
        self._connection = connection
        self._lines = connection.makefile("rw", encoding="utf-8")
        self.pid = 0

    def send(self, command: str, **arguments: Any) -> None:
        """Give it a command, and wait for nothing."""
        self._lines.write(json.dumps([command, arguments]) + "\n")
        self._lines.flush()

    def receive(self) -> Any:
        """Return its answer to the oldest command that has none yet."""
        answer = json.loads(self._lines.readline())
        assert "error" not in answer, answer["error"]
        return answer["answer"]

    def ask(self, command: str, **arguments: Any) -> Any:
        """Give it a command, and return its answer."""
        self.send(command, **arguments)
        return self.receive()

    def call(self, url: str, times: int = 1, **options: Any) -> list[int | str]:
        """Let it make calls, and return what they came to: statuses and names of errors."""
        outcomes: list[int | str] = self.ask("call", url=url, times=times, **options)
        return outcomes

    def kill(self) -> None:
        """End it at once, as the system does when memory is short."""
        os.kill(self.pid, signal.SIGKILL)

    def close(self) -> None:
        """Let it end, and wait until it has."""
        self._connection.shutdown(socket.SHUT_WR)
        try:
            while self._connection.recv(65536):
                pass
        except OSError:
            self.kill()
        self._lines.close()
        self._connection.close()


class Fleet:
    """All workers of a test run; each is forked from one process that has made no call.

    :param folder: For what they complain of.
    """

    def __init__(self, folder: Path) -> None:
        self._workers: list[Worker] = []
        self._alone: list[subprocess.Popen[bytes]] = []
        self._complaints = folder / "stderr"
        self._sockets = tempfile.TemporaryDirectory(prefix="fleet")  # a socket's path must be short
        self._address = str(Path(self._sockets.name, "socket"))
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self._address)
        self._listener.listen()
        self._listener.settimeout(PATIENCE)
        self._forking = self._run(str(PROGRAM), stdin=subprocess.PIPE)

    def start(
        self, count: int, storage_url: str, *, pause: float = FIRST_PAUSE, **settings: Any
    ) -> list[Worker]:
        """Return new workers whose apps have these settings.

        :param pause: For which a storage that is down is left alone, and at most twice it.
        """
        assert self._forking.stdin is not None
        self._forking.stdin.write(f"{self._address}\n".encode() * count)
        self._forking.stdin.flush()
        workers = [self._accept() for _ in range(count)]
        return self._initialise(workers, storage_url, pause, settings)

    def start_with_clock_off(self, seconds: float, storage_url: str, **settings: Any) -> Worker:
        """Return a new worker whose wall clock was wrong before it imported anything."""
        self._alone.append(self._run("-c", CLOCK_OFF, str(PROGRAM), self._address, str(seconds)))
        (worker,) = self._initialise([self._accept()], storage_url, FIRST_PAUSE, settings)
        return worker

    def end_workers(self) -> None:
        """End those there are; none may have complained."""
        while self._workers:
            self._workers.pop().close()
        while self._alone:
            self._alone.pop().wait(PATIENCE)
        assert self._complaints.read_text() == ""

    def close(self) -> None:
        """End everything."""
        self.end_workers()
        self._listener.close()
        assert self._forking.stdin is not None
        self._forking.stdin.close()
        self._forking.wait(PATIENCE)
        self._sockets.cleanup()

    def _run(self, *arguments: str, stdin: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-W", "error", *arguments]
        with self._complaints.open("ab") as complaints:
            return subprocess.Popen(command, stdin=stdin, stderr=complaints)

    def _accept(self) -> Worker:
        self._workers.append(Worker(self._listener.accept()[0]))
        return self._workers[-1]

    def _initialise(
        self, workers: list[Worker], url: str, pause: float, settings: dict[str, Any]
    ) -> list[Worker]:
        settings = {"storage_url": url, "namespace": "shop", **settings}
        pids = ask_all(workers, "start", pause=pause, settings=settings)
        for worker, pid in zip(workers, pids, strict=True):
            worker.pid = pid
        return workers


def ask_all(workers: Iterable[Worker], command: str, **arguments: Any) -> list[Any]:
    """Give all a command at once, and return their answers."""
    workers = list(workers)
    for worker in workers:
        worker.send(command, **arguments)
    return [worker.receive() for worker in workers]


def wait_until(condition: Callable[[], Any], seconds: float = PATIENCE) -> Any:
    """Return what *condition* gives once it is true; fail if it takes too long."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "it has not come about"
        time.sleep(0.01)
    return found


def told(workers: Iterable[Worker], event: str) -> list[int]:
    """Return how many lines of an event the log of each worker has."""
    return [len(lines) for lines in ask_all(workers, "lines", event=event)]


def rejected_at(worker: Worker, since: float = 0.0) -> float | None:
    """Return when a worker's traffic was first rejected after a monotonic time, if it was."""
    told = worker.ask("told")
    return next((at for at, outcome in told if at > since and outcome == "rejected"), None)


def wait_until_all_reject(workers: Iterable[Worker], since: float = 0.0) -> list[float]:
    """Return when the traffic of each worker was first rejected after a monotonic time."""
    return [wait_until(lambda one=one: rejected_at(one, since)) for one in workers]
