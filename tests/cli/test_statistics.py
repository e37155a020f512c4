"""Figures for each route and upstream."""

from __future__ import annotations

import pytest

from flask_resilience.cli import statistics
from flask_resilience.cli.statistics import Statistics
from tests.cli import story
from tests.cli.story import FIRST, SECOND, attempt, call, finish


def figures(*lines):
    """Return the figures of lines."""
    counted = Statistics()
    counted.read(story.encoded(lines))
    return counted.as_json()


def near(value):
    """Return what equals *value* within what a percentile may be off."""
    return pytest.approx(value, rel=0.0101)


def test_routes():
    """A route's requests are counted, with the shares of errors and of those that retried."""
    lines = [finish(at, float(at)) for at in range(1, 98)]
    failed = {"http_response_status_code": 500, "outcome": "server_error", "outbound_retries": 2}
    lines += [finish(at, float(at), **failed) for at in (98, 99)]
    lines.append(finish(100, 100.0, outcome="stream_error"))
    assert figures(*lines)["routes"]["shop GET /orders/<int:number>"] == {
        "n": 100,
        "error_percent": 3.0,
        "retry_percent": 2.0,
        "p50_ms": near(50),
        "p95_ms": near(95),
        "p99_ms": near(99),
    }


def test_requests_without_a_route_share_a_row():
    """Paths that match no route make one row, however many there are."""
    lines = [finish(1, 1.0, http_route=None, url_path=f"/{n}") for n in range(50)]
    assert figures(*lines)["routes"]["shop GET (no route)"]["n"] == 50


def test_upstreams():
    """An upstream's calls are counted, with the shares of failed ones and of those retried."""
    lines = [call(50, 40.0), call(60, 40.0, attempts=1), call(70, 40.0, outcome="exhausted")]
    lines.append(call(80, 0.1, attempts=0, outcome="circuit_open"))
    found = figures(*lines)["upstreams"]["billing"]
    assert (found["n"], found["error_percent"], found["retry_percent"]) == (4, 50.0, 50.0)
    assert found["p50_ms"] == near(40)


def test_attempts():
    """Attempts are counted apart, and how many have no line is told."""
    lines = [
        attempt(11, 1, 9.0, FIRST, http_response_status_code=503, level="warning"),
        attempt(40, 2, 8.0, SECOND, level="debug"),
        attempt(41, 1, 8.0, SECOND, http_response_status_code=None, level="warning"),
        call(42, 39.0, attempts=5),
    ]
    found = figures(*lines)
    row = found["attempts"]["billing"]
    assert (row["n"], row["error_percent"], row["retry_percent"]) == (3, 66.67, 33.33)
    assert found["attempts_without_line"] == 2


def test_rows_are_bounded(monkeypatch):
    """Upstreams beyond a number share one row, so memory is flat."""
    monkeypatch.setattr(statistics, "MOST_ROWS", 10)
    lines = [call(1, 1.0, upstream=f"http://host-{n}") for n in range(25)]
    found = figures(*lines)["upstreams"]
    assert (len(found), found["(others)"]["n"]) == (11, 15)


def test_other_lines_and_garbage():
    """What is no finish line counts nothing; what is no JSON is counted as that."""
    counted = Statistics()
    counted.read(b'text\n{"event": "http.client.finish", }\n' + story.encoded([story.WAIT]))
    assert (counted.is_empty, counted.not_json) == (True, 2)


def test_tables_for_people():
    """Each table has a head and aligned rows, the busiest first."""
    counted = Statistics()
    counted.read(story.encoded([*story.SHOP_LINES, *story.BILLING_LINES * 2]))
    assert list(counted.lines()) == [
        "routes                         n  error %  retry %  p50 ms  p95 ms  p99 ms",
        "billing GET /v1                2      0.0      0.0     5.0     5.0     5.0",
        "shop GET /orders/<int:number>  1      0.0      0.0    43.4    43.4    43.4",
        "",
        "upstreams  n  error %  retry %  p50 ms  p95 ms  p99 ms",
        "billing    1      0.0    100.0    39.3    39.3    39.3",
        "",
        "attempts  n  error %  retry %  p50 ms  p95 ms  p99 ms",
        "billing   2     50.0     50.0     7.9     8.9     8.9",
    ]
