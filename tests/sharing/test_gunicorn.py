"""Under gunicorn's kinds of workers: opened by one worker, the circuit is open for all."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
import requests

from tests.servers import free_port
from tests.sharing.fleet import wait_until

WORKERS = 2
APP = """
import os
from flask import Flask
from flask_resilience import CircuitOpenError, Resilience

app = Flask("served")
app.config.update(
    RESILIENCE_STORAGE_URL=os.environ.get("TEST_STORAGE_URL"),
    RESILIENCE_RATE_LIMIT="",
    RESILIENCE_RETRY_ATTEMPTS=1,
    RESILIENCE_BREAKER_RECOVERY_TIMEOUT=600,
)
resilience = Resilience(app)

def call(status):
    try:
        return resilience.session.get(os.environ["TEST_UPSTREAM"] + f"/{status}").status_code
    except CircuitOpenError:
        return "rejected"

@app.get("/<int:status>/<int:times>")
def view(status, times):
    return {"worker": os.getpid(), "outcomes": [call(status) for _ in range(times)]}

with app.app_context():
    for _ in range(int(os.environ.get("TEST_FAILURES_BEFORE", 0))):
        call(503)
"""
KINDS = [
    pytest.param(["--preload"], 0, id="preloaded"),
    pytest.param(["--preload", "--threads", "4"], 2, id="threads, preloaded with calls before"),
    pytest.param(["-k", "gevent"], 0, id="gevent"),
]


class Served:
    """A gunicorn with its workers, which call one upstream."""

    def __init__(self, process, url, log):
        self._process, self._url, self._log = process, url, log

    def ask(self, status, times=1):
        """Let a worker make calls; return which one it was, and what they came to."""
        answer = requests.get(f"{self._url}/{status}/{times}", timeout=30).json()
        return answer["worker"], answer["outcomes"]

    def ask_all(self, count):
        """Let *count* workers or more make good calls; return the outcomes of each one's first."""
        found = {}
        with ThreadPoolExecutor(16) as pool:
            while len(found) < count:
                for worker, outcomes in pool.map(self.ask, [200] * 16):
                    found.setdefault(worker, outcomes)
        return found

    def start_one_more(self):
        """Let it have a worker more."""
        self._process.send_signal(signal.SIGTTIN)

    def transitions(self):
        """Return the changes of circuits in the log of all workers."""
        lines = [json.loads(line) for line in self._log.read_text().splitlines()]
        return [
            (line["from_state"], line["to_state"])
            for line in lines
            if line["event"] == "circuit_breaker.transition"
        ]


@contextmanager
def served(folder, options, environment):
    """Start gunicorn, and end it after the block."""
    folder.joinpath("served.py").write_text(APP)
    url = f"http://127.0.0.1:{(port := free_port())}"
    command = [sys.executable, "-m", "gunicorn", "-w", str(WORKERS), *options]
    command += ["--graceful-timeout", "5"]
    command += ["--bind", f"127.0.0.1:{port}", "--log-level", "error", "served:app"]
    log = folder / "log"
    with log.open("w") as out, folder.joinpath("errors").open("w") as errors:
        process = subprocess.Popen(
            command, cwd=folder, stdout=out, stderr=errors, env={**os.environ, **environment}
        )
        try:
            wait_until(lambda: is_up(url) or process.poll() is not None)
            assert process.poll() is None, folder.joinpath("errors").read_text()
            yield Served(process, url, log)
        finally:
            process.send_signal(signal.SIGQUIT)
            process.wait(30)


def is_up(url):
    """Say whether a server answers there."""
    try:
        return requests.get(f"{url}/favicon.ico", timeout=30).status_code == 404
    except requests.ConnectionError:
        return False


def see_it_open_for_all(server, failures_before):
    """Let one worker's calls fail until its circuit opens: it is open for all, and for new ones."""
    failing = 5 - failures_before
    assert server.ask(503, 6)[1] == [503] * failing + ["rejected"] * (6 - failing)
    assert list(server.ask_all(WORKERS).values()) == [["rejected"]] * WORKERS
    server.start_one_more()
    assert list(server.ask_all(WORKERS + 1).values()) == [["rejected"]] * (WORKERS + 1)


@pytest.mark.parametrize(("options", "failures_before"), KINDS)
def test_circuit_opened_by_one_worker_is_open_for_all(
    tmp_path, place, upstream, options, failures_before
):
    """Five failures open it for all workers and a new one, with one line over all logs."""
    environment = {"TEST_STORAGE_URL": place, "TEST_FAILURES_BEFORE": str(failures_before)}
    with served(tmp_path, options, {**environment, "TEST_UPSTREAM": upstream.url}) as server:
        see_it_open_for_all(server, failures_before)
    assert len(upstream.requests) == 5
    assert server.transitions() == [("closed", "open")]


def test_workers_share_by_default(tmp_path, upstream):
    """With no storage set, and nothing but a folder to keep state in, all workers share."""
    environment = {"XDG_STATE_HOME": str(tmp_path / "state"), "TEST_UPSTREAM": upstream.url}
    with served(tmp_path, ["--threads", "2"], environment) as server:
        see_it_open_for_all(server, 0)
    assert len(upstream.requests) == 5
    assert server.transitions() == [("closed", "open")]
    assert len(list((tmp_path / "state" / "flask-resilience").glob("*.sqlite3"))) == 1
