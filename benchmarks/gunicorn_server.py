"""A gunicorn of the benchmarks' own, and wrk, which asks it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from importlib import import_module
from pathlib import Path

from .loopback import free_port
from .row import Repeat, UnavailableError
from .servers import HEADERS, PATH

HERE = Path(__file__).parents[1]
WORKERS = 2
CONNECTIONS = 16
PATIENCE = 20.0
"""Seconds within which a new server must answer, and an old one end."""


@contextmanager
def gunicorn(app: str) -> Iterator[int]:
    """Serve *app* on a free port of the loopback, and yield the port.

    :param app: As gunicorn names it, as in ``"module:factory('argument')"``.
    :raises UnavailableError: If it does not answer.
    """
    import_module("gunicorn")
    port = free_port()
    options = ["-w", str(WORKERS), "-b", f"127.0.0.1:{port}", "--log-level", "error"]
    process = subprocess.Popen(  # noqa: S603  # ours
        [sys.executable, "-m", "gunicorn", *options, app], cwd=HERE, stdout=subprocess.DEVNULL
    )
    try:
        _wait_for(process, port)
        yield port
    finally:
        process.terminate()
        process.wait(PATIENCE)


def asking_much(port: int, seconds: int = 1) -> Repeat:
    """Return what has wrk ask for that long; it says how long a request takes in the middle.

    :raises UnavailableError: If there is no wrk on the path.
    """
    executable = shutil.which("wrk")
    if executable is None:
        raise UnavailableError("there is no wrk on the path")
    headers = [part for name, value in HEADERS.items() for part in ("-H", f"{name}: {value}")]
    options = ["-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", *headers]
    command = [executable, *options, f"http://127.0.0.1:{port}{PATH}"]

    def repeat(times: int) -> float:
        done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603  # ours
        return times / requests_a_second(done.stdout)

    return repeat


def requests_a_second(report: str) -> float:
    """Return the rate that wrk reports.

    :raises ValueError: If it reports none, or an answer that is no success.

    >>> requests_a_second("Requests/sec:   1234.50")
    1234.5
    """
    found = re.search(r"Requests/sec: +([0-9.]+)", report)
    if found is None or "Non-2xx" in report:
        raise ValueError(report)
    return float(found[1])


def _wait_for(process: subprocess.Popen[bytes], port: int) -> None:
    end = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < end:
        connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        try:
            connection.request("GET", PATH)
            connection.getresponse().read()
        except (OSError, HTTPException):
            time.sleep(0.02)
        else:
            return
        finally:
            connection.close()
    raise UnavailableError("gunicorn does not answer")
