"""A deadline that the server's worker does not live to see: told of once, under gunicorn's sync."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import requests
from werkzeug.test import EnvironBuilder

from flask_resilience.events import ConfigSuspicious
from flask_resilience.inbound.worker_timeout import CHECK
from flask_resilience.testing import record_events
from tests.servers import free_port
from tests.sharing.fleet import wait_until


class GunicornResponse:
    """Stands in for gunicorn's, of which the app is handed a bound method."""

    def __init__(self, timeout=30, worker="sync"):
        self.cfg = SimpleNamespace(timeout=timeout, worker_class_str=worker)

    def start_response(self, status, headers, exc_info=None):
        """Take the beginning of an answer."""
        return lambda data: None


def serve(app, start_response, times=1):
    """Serve requests as a server does; return what was told of the configuration."""
    with record_events(app) as events:
        for _ in range(times):
            body = app.wsgi_app(EnvironBuilder().get_environ(), start_response)
            list(body)
            body.close()
    return [one for one in events if isinstance(one, ConfigSuspicious)]


@pytest.mark.parametrize(
    ("deadline", "timeout", "worker"),
    [
        pytest.param(30.0, 30, "sync", id="equal"),
        pytest.param(40.0, 30, "sync", id="above"),
        pytest.param(30.0, 30, "gunicorn.workers.sync.SyncWorker", id="by path"),
        pytest.param(30.0, 30, "egg:gunicorn#sync", id="by entry point"),
        pytest.param(30.0, 30, "SyncWorker", id="by class"),
    ],
)
def test_deadline_that_the_worker_does_not_live_to_see_is_told_of(
    make_app, deadline, timeout, worker
):
    """A deadline at or above the sync worker's timeout is suspicious."""
    app = make_app(deadline=deadline)
    (told,) = serve(app, GunicornResponse(timeout, worker).start_response)
    assert told.check == "deadline_above_worker_timeout"


@pytest.mark.parametrize(
    ("deadline", "timeout", "worker"),
    [
        pytest.param(25.0, 30, "sync", id="below"),
        pytest.param(600.0, 0, "sync", id="never killed"),
        pytest.param(600.0, 30, "gthread", id="threads"),
        pytest.param(600.0, 30, "gevent", id="greenlets"),
        pytest.param(600.0, None, "sync", id="no timeout"),
        pytest.param(600.0, 30, None, id="no kind of worker"),
    ],
)
def test_deadline_within_the_workers_life_is_not_told_of(make_app, deadline, timeout, worker):
    """Nothing is said where the call ends first, or where no time of a request kills."""
    app = make_app(deadline=deadline)
    assert serve(app, GunicornResponse(timeout, worker).start_response) == []


@pytest.mark.parametrize(
    ("settings", "name", "seconds"),
    [
        pytest.param({"deadline": 30.5}, "RESILIENCE_DEADLINE", "30.5", id="the app's"),
        pytest.param(
            {"clients": {"billing": {"deadline": 60}, "ledger": {"deadline": 50}}},
            "RESILIENCE_CLIENTS['billing']['deadline']",
            "60",
            id="the longest client's",
        ),
        pytest.param(
            {"deadline": 45, "clients": {"billing": {}}},
            "RESILIENCE_DEADLINE",
            "45",
            id="the app's, which a client has too",
        ),
    ],
)
def test_hint_names_both_settings_and_the_remedy(make_app, settings, name, seconds):
    """The hint has the longest deadline by its setting's name, the server's option, both times."""
    (told,) = serve(make_app(**settings), GunicornResponse().start_response)
    assert told.hint == (
        f"{name} is {seconds} s and gunicorn kills a worker after 30 s (--timeout); "
        "set the deadline below it, or raise --timeout."
    )


def test_it_is_told_of_once(make_app):
    """Later requests of the process look at nothing."""
    assert len(serve(make_app(deadline=30), GunicornResponse().start_response, times=3)) == 1


def test_a_request_of_no_server_decides_nothing(make_app):
    """A request made in the process before it serves, as to warm up, does not use the look up."""
    app = make_app(deadline=30)
    app.test_client().get("/")
    assert len(serve(app, GunicornResponse().start_response)) == 1


def test_another_server_is_left_alone(make_app):
    """A server without gunicorn's settings says nothing of timeouts."""
    server = GunicornResponse()
    del server.cfg
    assert serve(make_app(deadline=600), server.start_response) == []


def test_app_is_served_as_before(make_app, log_lines):
    """The line stands before that of the first request, and belongs to none."""
    app = make_app(deadline=30)
    serve(app, GunicornResponse().start_response)
    suspicious, finish = log_lines()
    assert (suspicious["event"], suspicious["level"]) == ("config.suspicious", "warning")
    assert "request_id" not in suspicious
    assert finish["event"] == "http.server.request.finish"


WORKERS = 2
APP = """
import os, time
from flask import Flask
from flask_resilience import Resilience

app = Flask("served")
app.config["RESILIENCE_RATE_LIMIT"] = ""
app.config["RESILIENCE_STORAGE_URL"] = "memory://"
app.config["RESILIENCE_DEADLINE"] = {deadline}
Resilience(app)

@app.get("/")
def view():
    time.sleep(0.02)  # so that no worker serves all
    return str(os.getpid())
"""


@contextmanager
def served(folder, deadline, options):
    """Start gunicorn and yield its URL; it has ended after the block."""
    folder.joinpath("served.py").write_text(APP.format(deadline=deadline))
    address = f"127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "gunicorn", "-w", str(WORKERS), *options]
    # A worker of threads may hang when it is told to quit; it is not waited for as long as usual.
    command += ["--graceful-timeout", "5"]
    command += ["--bind", address, "--log-level", "error", "served:app"]
    with folder.joinpath("log").open("w") as out, folder.joinpath("errors").open("w") as errors:
        process = subprocess.Popen(command, cwd=folder, stdout=out, stderr=errors)
        try:
            wait_until(lambda: answers(f"http://{address}/") or process.poll() is not None)
            assert process.poll() is None, folder.joinpath("errors").read_text()
            yield f"http://{address}/"
        finally:
            process.send_signal(signal.SIGQUIT)
            process.wait(30)


def answers(url):
    """Say whether a server answers there."""
    try:
        return requests.get(url, timeout=30).ok
    except requests.ConnectionError:
        return False


def ask_all(url):
    """Make requests until each worker has served several; return their processes."""
    workers = Counter()
    with ThreadPoolExecutor(8) as pool:
        while len(workers) < WORKERS or min(workers.values()) < 3:
            workers.update(int(one.text) for one in pool.map(requests.get, [url] * 8))
    return set(workers)


@pytest.mark.parametrize(
    ("deadline", "options", "lines"),
    [
        pytest.param(30, [], 1, id="sync, deadline at the default timeout"),
        pytest.param(30, ["--preload"], 1, id="preloaded"),
        pytest.param(25, [], 0, id="sync, deadline below"),
        pytest.param(30, ["--timeout", "31"], 0, id="sync, timeout raised"),
        pytest.param(30, ["--threads", "2"], 0, id="gthread"),
    ],
)
def test_each_gunicorn_worker_tells_of_it_once(tmp_path, deadline, options, lines):
    """Of real workers that served several requests, each has the line once or not at all."""
    with served(tmp_path, deadline, options) as url:
        workers = ask_all(url)
    told = [json.loads(line) for line in tmp_path.joinpath("log").read_text().splitlines()]
    suspicious = [one["pid"] for one in told if one.get("check") == CHECK]
    assert sorted(suspicious) == sorted(workers) * lines
