"""What is read out of a line, whatever stands around it."""

from __future__ import annotations

import json

import pytest

from flask_resilience.cli.record import needle, parse_record, parse_time

RAW = b'{"event":"paid","request_id":"r1"}'


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(RAW, id="alone"),
        pytest.param(b"{ " + RAW[1:], id="spaced"),
        pytest.param(RAW + b"\r", id="Windows line end"),
        pytest.param(b"\xef\xbb\xbf" + RAW, id="byte order mark"),
        pytest.param(b"web-1  | " + RAW, id="docker compose"),
        pytest.param(b"\x1b[36mweb-1  | \x1b[0m" + RAW, id="docker compose in colour"),
        pytest.param(b"2026-11-22T07:53:20.1Z " + RAW, id="docker with timestamps"),
        pytest.param(b"2026-11-22T07:53:20.123456789Z stdout F " + RAW, id="container runtime"),
        pytest.param(b"[pod/web-1/app] " + RAW, id="kubectl with prefix"),
        pytest.param(b"Nov 22 07:53:20 host gunicorn[12]: " + RAW, id="journal"),
        pytest.param(json.dumps({"log": RAW.decode() + "\n"}).encode(), id="docker json-file"),
        pytest.param(
            json.dumps({"MESSAGE": RAW.decode(), "_PID": "1"}).encode(), id="journal JSON"
        ),
    ],
)
def test_a_record_is_found_behind_any_prefix(line):
    """What tools put before or around the object does not hide it, and is no part of it."""
    record = parse_record(line)
    assert (record.event, record.raw.replace(b" ", b"")) == ("paid", RAW)


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"Traceback (most recent call last):", id="text"),
        pytest.param(RAW[:-4], id="torn"),
        pytest.param(RAW[:-4] + RAW, id="torn and run together"),
        pytest.param(b'["a", {"b": 1}]', id="array"),
        pytest.param(b'User {"id": 1} came', id="object within text"),
        pytest.param(b'INFO:root:body {"id": 1}', id="text that ends with an object"),
        pytest.param(b'{"event": "\xff\xfe"}', id="no UTF-8"),
        pytest.param(b'{"a":' * 100_000 + b"}", id="too deep"),
        pytest.param(b'{"a": ' + b"9" * 5_000 + b"}}", id="number too long"),
    ],
)
def test_what_is_no_record(line):
    """A line that holds no JSON object is none, and never an error."""
    assert parse_record(line) is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        pytest.param("2026-11-22T07:53:20.086401Z", 1795334000.086401, id="as we write it"),
        pytest.param("2026-11-22T08:53:20+01:00", 1795334000.0, id="offset"),
        pytest.param("2026-11-22 07:53:20", 1795334000.0, id="no offset is UTC"),
        pytest.param("2026-11-22T07:53:20.123456789Z", 1795334000.123456789, id="nanoseconds"),
        pytest.param("2026-13-22T07:53:20Z", None, id="no such month"),
        pytest.param("yesterday", None, id="no time"),
    ],
)
def test_times(text, seconds):
    """Times are those of RFC 3339."""
    assert parse_time(text) == seconds


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        pytest.param("checkout-7", b"checkout-7", id="plain"),
        pytest.param("/orders/<id>", b"orders", id="what may be escaped is left out"),
        pytest.param("é/", b"", id="nothing plain"),
    ],
)
def test_needle(text, plain):
    """What is looked for as bytes is what no writer of JSON escapes."""
    assert needle(text) == plain
