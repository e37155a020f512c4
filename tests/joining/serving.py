"""Apps under real gunicorn workers, with what they write kept in two files."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.servers import free_port
from tests.sharing.fleet import wait_until

FINISH = "http.server.request.finish"
KINDS = [
    pytest.param(["-k", "sync"], id="sync"),
    pytest.param(["-k", "gthread", "--threads", "8"], id="gthread"),
    pytest.param(["-k", "gevent"], id="gevent"),
]


class Served:
    """A gunicorn that serves one app.

    :param folder: Holds what it has written, as ``out`` and ``err``.
    """

    def __init__(self, process: subprocess.Popen[bytes], port: int, folder: Path) -> None:
        self.process, self.port, self.folder = process, port, folder

    @property
    def url(self) -> str:
        """Return its address, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    def get(self, path: str, request_id: str, **options: Any) -> requests.Response:
        """Ask for a page under a request ID."""
        headers = {"X-Request-ID": request_id}
        return requests.get(self.url + path, headers=headers, timeout=60, **options)

    def text(self) -> str:
        """Return all it has written to either stream."""
        return "".join(self._texts())

    def lines(self, request_id: str | None = None, event: str | None = None) -> list[Any]:
        """Return its whole lines, or those of one request or event; each must be JSON."""
        whole = [text[: text.rfind("\n") + 1] for text in self._texts()]
        return [
            line
            for line in map(json.loads, "".join(whole).splitlines())
            if request_id in (None, line.get("request_id")) and event in (None, line["event"])
        ]

    def finish_of(self, request_id: str) -> Any:
        """Return the finish line of a request once it is there; there must not be a second one."""
        (line,) = wait_until(lambda: self.lines(request_id, FINISH))
        return line

    def end(self) -> None:
        """Let it end after the requests that it has, whose lines are then all written."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(60) == 0

    def _texts(self) -> list[str]:
        return [(self.folder / name).read_text() for name in ("out", "err")]


@contextmanager
def served(folder: Path, app: str, *options: str, **environment: str) -> Iterator[Served]:
    """Serve ``app`` of the module whose text is *app*, until the block ends."""
    folder.mkdir(exist_ok=True)
    (folder / "served.py").write_text(app)
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "-c", "python:flask_resilience.gunicorn"]
    command += ["--timeout", "60", "--bind", f"127.0.0.1:{port}", *options, "served:app"]
    with (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdout=out,
            stderr=err,
            env={**os.environ, "HOME": str(folder), **environment},
        )
    server = Served(process, port, folder)
    try:
        wait_until(lambda: "Booting worker" in server.text() or process.poll() is not None)
        assert process.poll() is None, server.text()
        yield server
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGQUIT)
        process.wait(60)
