"""Under gunicorn with our configuration, everything it says is a line of JSON, and said once."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager

import pytest
import requests

from tests.servers import free_port
from tests.sharing.fleet import wait_until

APP = """
import logging, os, time
from flask import Flask
from flask_resilience import Resilience, get_logger

app = Flask("served")
app.config.update(RESILIENCE_RATE_LIMIT="", RESILIENCE_STORAGE_URL="memory://")
Resilience(app)

@app.get("/")
def index():
    get_logger("view").info("seen")
    logging.getLogger("library").warning("old")
    return str(os.getpid())

@app.get("/tls")
def tls():
    import ssl
    from urllib3.util import ssl_
    assert ssl_.SSLContext is ssl.SSLContext
    ssl_.create_urllib3_context()
    return str(os.getpid())

@app.get("/slow")
def slow():
    time.sleep(600)
"""
WORKERS = {"sync": ["-k", "sync"], "gthread": ["-k", "gthread"], "gevent": ["-k", "gevent"]}
KINDS = [
    pytest.param([*options, *preload], id=f"{name}{' preloaded' if preload else ''}")
    for name, options in WORKERS.items()
    for preload in ([], ["--preload"])
]
MALFORMED = {
    400: b"GET / HTTP/1.1\r\nHost x\r\n\r\n",
    431: b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 9000 + b"\r\n\r\n",
}


class Served:
    """A gunicorn, and what it has written."""

    def __init__(self, process, port, folder):
        self.process, self.port, self._folder = process, port, folder

    def get(self, path="/"):
        """Ask for a page, and return the worker that gave it."""
        return int(requests.get(f"http://127.0.0.1:{self.port}{path}", timeout=30).text)

    def send(self, raw):
        """Send bytes, and return the status that they are answered with."""
        with socket.create_connection(("127.0.0.1", self.port), 10) as connection:
            connection.sendall(raw)
            return int(connection.recv(65536).split(b" ")[1])

    def told(self, start):
        """Return the lines whose event begins like this."""
        return [one for one in self.lines() if one["event"].startswith(start)]

    def lines(self):
        """Return all lines on both streams; each must be JSON."""
        texts = [self._folder.joinpath(name).read_text() for name in ("out", "err")]
        return [json.loads(line) for text in texts for line in text.splitlines()]


@contextmanager
def served(folder, *options, configuration="python:flask_resilience.gunicorn", app=APP):
    """Start gunicorn, and kill it after the block if it has not ended."""
    folder.joinpath("served.py").write_text(app)
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "-c", configuration, "--timeout", "2"]
    command += ["--bind", f"127.0.0.1:{port}", *options, "served:app"]
    environment = {**os.environ, "HOME": str(folder)}
    with folder.joinpath("out").open("w") as out, folder.joinpath("err").open("w") as err:
        process = subprocess.Popen(command, cwd=folder, stdout=out, stderr=err, env=environment)
    server = Served(process, port, folder)
    try:
        wait_until(lambda: server.told("Listening at") or process.poll() is not None)
        yield server
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(30)


def end(server):
    """Let it end, and return its exit code."""
    server.process.send_signal(signal.SIGTERM)
    return server.process.wait(30)


@pytest.mark.parametrize("preload", [[], ["--preload"]], ids=["loaded", "preloaded"])
def test_gevent_finds_everything_to_patch(tmp_path, preload):
    """urllib3 has the classes that gevent has patched, whoever imported it first."""
    with served(tmp_path, "-k", "gevent", *preload) as server:
        server.get("/tls")
        assert end(server) == 0


@pytest.mark.parametrize("options", KINDS)
def test_every_line_is_json_and_told_once(tmp_path, options):
    """From boot to the end, over bad requests and a worker that hangs."""
    with served(tmp_path, *options) as server:
        worker = server.get()
        assert {status: server.send(raw) for status, raw in MALFORMED.items()} == {
            status: status for status in MALFORMED
        }
        os.kill(worker, signal.SIGSTOP)
        wait_until(lambda: server.told("WORKER TIMEOUT"))
        wait_until(lambda: len(server.told("Booting worker")) == 2)
        assert server.get() != worker
        assert end(server) == 0
    lines = server.lines()
    assert all({"timestamp", "level", "event", "logger", "pid"} <= set(line) for line in lines)
    counts = {
        start: len(server.told(start))
        for start in (
            *("Starting gunicorn", "Listening at", "Booting worker", "Invalid request from"),
            *("WORKER TIMEOUT", "seen", "old", "http.server.request.finish"),
            *("Handling signal: term", "Shutting down"),
        )
    }
    assert list(counts.values()) == [1, 1, 2, 2, 1, 2, 2, 2, 1, 1]
    assert {line["service"] for line in lines} == {"served"}
    assert {line["logger"] for line in server.told("WORKER TIMEOUT")} == {"gunicorn.error"}
    assert server.told("WORKER TIMEOUT")[0]["level"] == "critical"


def test_request_that_hangs_is_told_with_its_worker(tmp_path):
    """A sync worker that is killed over a request tells which it was."""
    with served(tmp_path) as server:
        with pytest.raises((requests.ConnectionError, ValueError)):
            server.get("/slow")
        wait_until(lambda: server.told("Error handling request"))
        assert end(server) == 0
    (finished,) = server.told("http.server.request.finish")
    assert (finished["url_path"], finished["outcome"]) == ("/slow", "server_error")


def test_configuration_of_ones_own_takes_it_over(tmp_path):
    """A file that imports ours says the rest itself."""
    tmp_path.joinpath("own.py").write_text(
        "from flask_resilience.gunicorn import accesslog, logger_class\nworkers = 2\n"
    )
    with served(tmp_path, configuration="own.py") as server:
        wait_until(lambda: len(server.told("Booting worker")) == 2)
        server.get()
        assert end(server) == 0
    assert len(server.told("http.server.request.finish")) == 1


def test_reload_adds_no_second_line(tmp_path):
    """After a HUP each line is still written once."""
    with served(tmp_path) as server:
        server.process.send_signal(signal.SIGHUP)
        wait_until(lambda: len(server.told("Booting worker")) == 2)
        assert end(server) == 0
    assert len(server.told("Handling signal: term")) == 1
    server.lines()


def test_app_that_logs_nothing_leaves_gunicorns_lines(tmp_path):
    """With RESILIENCE_LOG_FORMAT off, gunicorn's lines are still there, and still JSON."""
    app = APP.replace('""', '"", RESILIENCE_LOG_FORMAT="off"', 1)
    with served(tmp_path, "--preload", app=app) as server:
        wait_until(lambda: server.told("Booting worker"))
        assert end(server) == 0
    assert len(server.told("Shutting down")) == 1
