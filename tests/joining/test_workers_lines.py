"""Under two workers of each kind, lines carry what their own request has bound and no more."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.joining.serving import FINISH, KINDS, served

REQUESTS = 700
APP = """
import logging, time
from flask import Flask
from structlog.contextvars import bind_contextvars
from flask_resilience import Resilience, add_fields, get_logger

app = Flask("served")
app.config.update(RESILIENCE_RATE_LIMIT="", RESILIENCE_STORAGE_URL="memory://")
Resilience(app)

@app.get("/<name>")
def index(name):
    bind_contextvars(**{f"bound_{name}": name})
    add_fields(**{f"added_{name}": name})
    time.sleep(0.002)
    get_logger("view").info("seen", name=name)
    logging.getLogger("library").warning("old")
    return name
"""


@pytest.fixture(scope="module", params=KINDS)
def lines(request, tmp_path_factory):
    """Return the lines of many requests at once, each with a key that no other has."""
    names = [f"n{number}" for number in range(REQUESTS)]
    with served(tmp_path_factory.mktemp("served"), APP, "-w", "2", *request.param) as server:
        with ThreadPoolExecutor(16) as pool:
            answers = list(pool.map(lambda name: server.get(f"/{name}", name), names))
        server.end()
        assert [one.text for one in answers] == names
        assert [one.headers["X-Request-ID"] for one in answers] == names
        return server.lines()


def private_keys(line):
    """Return the keys of a line that one request alone has."""
    return {key for key in line if key.startswith(("bound_", "added_"))}


def test_every_request_has_its_lines(lines):
    """Each wrote one line by structlog, one by logging and its finish line."""
    for event in ("seen", "old", FINISH):
        found = [one["request_id"] for one in lines if one["event"] == event]
        assert sorted(found) == sorted(f"n{number}" for number in range(REQUESTS))


def test_each_line_has_its_own_requests_id(lines):
    """What a view logs, and the path of a finish line, belong to the line's request ID."""
    told = [(one["name"], one["request_id"]) for one in lines if one["event"] == "seen"]
    told += [(one["url_path"][1:], one["request_id"]) for one in lines if one["event"] == FINISH]
    assert [pair for pair in told if pair[0] != pair[1]] == []


def test_no_line_has_a_key_of_another_request(lines):
    """Keys that a request binds or adds are on its own lines, and on no other line at all."""
    expected = {
        "seen": lambda name: {f"bound_{name}"},
        "old": lambda name: {f"bound_{name}"},
        FINISH: lambda name: {f"bound_{name}", f"added_{name}"},
    }
    nothing = lambda name: set()  # noqa: E731  # what gunicorn says of itself
    wrong = [
        line
        for line in lines
        if private_keys(line) != expected.get(line["event"], nothing)(line.get("request_id"))
    ]
    assert wrong == []


def test_both_workers_served(lines):
    """The requests went to two processes."""
    assert len({one["pid"] for one in lines if one["event"] == FINISH}) == 2
