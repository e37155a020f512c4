"""Which records an option lets through."""

from __future__ import annotations

import json

import pytest

from flask_resilience.cli import filter as filters
from flask_resilience.cli.record import Record

NOW = 1_795_334_000.0
FIELDS = {
    "timestamp": "2026-11-22T07:53:20.000000Z",
    "level": "warning",
    "event": "http.client.attempt",
    "request_id": "r1",
    "http_route": "/orders/<int:number>",
    "upstream": "http://[::1]:80",
    "http_response_status_code": 503,
    "duration_ms": 12.5,
    "attempt": 2,
    "paid": True,
    "customer": "Ada Lovelace",
    "items": [1, 2],
}


def accepts(one, **fields):
    """Say whether a filter lets the line through; it must not overlook a line it accepts."""
    record = Record({**FIELDS, **fields}, b"")
    accepted = one.accepts(record)
    assert one.may_accept(json.dumps(record.fields).encode()) or not accepted
    return accepted


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        pytest.param("attempt=2", True, id="number"),
        pytest.param("attempt=2.0", True, id="number in another form"),
        pytest.param("attempt=3", False, id="another number"),
        pytest.param("attempt!=3", True, id="not equal"),
        pytest.param("attempt!=2", False, id="equal after all"),
        pytest.param("nothing!=2", False, id="the field must be there"),
        pytest.param("attempt>1", True, id="greater"),
        pytest.param("attempt>2", False, id="not greater"),
        pytest.param("attempt>=2", True, id="greater or equal"),
        pytest.param("attempt<10", True, id="numbers, not characters"),
        pytest.param("attempt<=1", False, id="not less"),
        pytest.param("customer<B", True, id="text by characters"),
        pytest.param("paid>0", False, id="a truth has no order"),
        pytest.param("paid=true", True, id="truth as JSON writes it"),
        pytest.param("paid=1", False, id="a truth is no number"),
        pytest.param("customer=Ada Lovelace", True, id="text with a space"),
        pytest.param("customer~^Ada", True, id="regular expression"),
        pytest.param("customer~^Love", False, id="no match"),
        pytest.param("http_response_status_code~^5", True, id="expression in a number"),
        pytest.param("items=[1, 2]", True, id="list as JSON writes it"),
        pytest.param("timestamp>2026-11-22T07", True, id="time"),
    ],
)
def test_where(condition, expected):
    """A condition compares a field with a value by one of its signs."""
    assert accepts(filters.where(condition)) is expected


@pytest.mark.parametrize("condition", ["attempt", "=1", "a b=1", "customer~(", ""])
def test_what_is_no_condition(condition):
    """A condition that makes no sense is refused, and quoted."""
    with pytest.raises(ValueError, match="is not"):
        filters.where(condition)


@pytest.mark.parametrize(
    ("text", "status", "expected"),
    [
        pytest.param("503", 503, True, id="one"),
        pytest.param("404,5xx", 503, True, id="class in a list"),
        pytest.param("4xx, 5XX", 404, True, id="two classes"),
        pytest.param("4xx", 503, False, id="another class"),
    ],
)
def test_status(text, status, expected):
    """Statuses are single ones, or classes."""
    assert accepts(filters.with_status(text), http_response_status_code=status) is expected


@pytest.mark.parametrize("text", ["", "600", "5x", "x", "404;500"])
def test_what_is_no_status(text):
    """What is no status is refused."""
    with pytest.raises(ValueError, match="is not a status"):
        filters.with_status(text)


@pytest.mark.parametrize(
    ("level", "expected"),
    [("debug", True), ("warning", True), ("error", False), ("critical", False)],
)
def test_level(level, expected):
    """A level stands for itself and the more severe ones."""
    assert accepts(filters.at_least(level)) is expected


def test_level_of_another_writer():
    """Levels in capitals are levels."""
    assert accepts(filters.at_least("warning"), level="ERROR")


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        pytest.param("/orders/<int:number>", True, id="as it is"),
        pytest.param("/orders/*", True, id="star"),
        pytest.param("*", True, id="anything"),
        pytest.param("/orders", False, id="a part"),
        pytest.param("/ORDERS/*", False, id="other case"),
    ],
)
def test_pattern(pattern, expected):
    """A star stands for anything, and nothing else is special."""
    assert accepts(filters.matching("http_route", pattern)) is expected


def test_brackets_are_no_pattern():
    """An address of IPv6 is found as it is written."""
    assert accepts(filters.matching("upstream", "http://[::1]:80"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("15m", True, id="minutes"),
        pytest.param("0.5s", True, id="part of a second"),
        pytest.param("2026-11-22T07:53:20Z", True, id="that very time"),
        pytest.param("2026-11-22T07:53:21Z", False, id="later"),
        pytest.param("2026-11-22T08:53:20+01:00", True, id="another zone"),
    ],
)
def test_since(text, expected):
    """A time is a point, or so long ago."""
    assert accepts(filters.since(text, NOW)) is expected


def test_a_line_without_time_is_of_no_time():
    """What has no timestamp is not since anything."""
    assert not accepts(filters.since("1d", NOW), timestamp="?")


@pytest.mark.parametrize("text", ["15", "m", "15 m", "yesterday", ""])
def test_what_is_no_time(text):
    """What is neither a time nor a duration is refused."""
    with pytest.raises(ValueError, match="neither"):
        filters.since(text, NOW)


@pytest.mark.parametrize(("least", "expected"), [(12.5, True), (12.6, False)])
def test_slow(least, expected):
    """What took as long or longer is slow."""
    assert accepts(filters.slower_than(least)) is expected


def test_each_option_has_its_filter():
    """Every option that is given becomes one filter, and one that is not none."""
    given = {
        "level": "info",
        "status": "5xx",
        "route": "*",
        "upstream": "*",
        "event": "http.*",
        "request_id": "r1",
        "slow": 1.0,
        "since": "1d",
    }
    made = list(filters.chosen({**given, "where": ("attempt>1", "paid=true")}, NOW))
    assert len(made) == 10
    assert all(accepts(one) for one in made)
    assert list(filters.chosen({**dict.fromkeys(given), "where": ()}, NOW)) == []
