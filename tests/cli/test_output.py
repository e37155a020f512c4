"""What people see of a line."""

from __future__ import annotations

import io
import json

import pytest

from flask_resilience.cli.output import Output, escape_json, readable, visible, visible_line
from flask_resilience.cli.record import parse_record
from tests.cli import story

FAILURE = story.line(
    "http.server.request.exception",
    5,
    level="error",
    exception_type="ValueError",
    exception_message="no total",
    exception_stacktrace=(
        'Traceback (most recent call last):\n  File "shop.py", line 7, in order\n    pay()\n'
        '  File "ledger.py", line 12, in pay\n    raise ValueError\nValueError: no total\n'
    ),
)


def shown(fields, *, is_terminal=False):
    """Return a line for people."""
    return readable(parse_record(json.dumps(fields).encode()), Output(io.BytesIO(), is_terminal))


def test_a_line_for_people():
    """Time, level, service, event, fields and request ID stand in one line."""
    assert shown(story.line("services listed", 5, count=3, note="two words", empty="")) == (
        "2026-11-22 06:46:40.005 info     shop services listed "
        'count=3 note="two words" empty="" [checkout-7]'
    )


def test_an_exception_is_told_in_the_line():
    """Of a stack trace the line says where the exception was raised."""
    assert shown(FAILURE).endswith(
        'exception_type=ValueError exception_message="no total" at=ledger.py:12 in=pay [checkout-7]'
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("café ✓ 漢字", "café ✓ 漢字", id="letters of any script"),
        pytest.param("\x1b[2J", "\\x1b[2J", id="escape sequence"),
        pytest.param("a\r\nb\tc", "a\\r\\nb\\tc", id="line ends and tabs"),
        pytest.param("\x9b2J\x7f\x00", "\\x9b2J\\x7f\\x00", id="one-byte sequences"),
        pytest.param("a\u202eb\u2066", "a\\u202eb\\u2066", id="text direction"),
        pytest.param("\ud800", "\\ud800", id="lone surrogate"),
    ],
)
def test_control_characters_are_escaped(text, expected):
    """What would steer the terminal is shown, not done; what is text stays."""
    assert visible(text) == expected


@pytest.mark.parametrize("field", ["timestamp", "level", "event", "service", "request_id", "own"])
def test_no_field_steers_the_terminal(field):
    """No value of a line reaches the terminal raw, nor does a name."""
    line = shown({**story.line("paid", 5), field: "\x1b[31m\n", "\x1b]0;": {"\x07": ["\x9b"]}})
    assert line.isprintable()


def test_foreign_text():
    """Foreign text keeps its words; its colours go, its tabs become spaces."""
    line = b"\x1b[36mweb-1 |\x1b[0m a\tb \xff\x1b]0;x\x07\r"
    assert visible_line(line) == "web-1 | a       b \\xff\\x1b]0;x\\x07"


def test_json_on_a_terminal():
    """A JSON object shown on a terminal means the same and holds no control character."""
    raw = '{"event":"\x9b2J\x7f\u202e\U000e0001é"}'.encode()
    assert json.loads(escape_json(raw)) == json.loads(raw)
    assert escape_json(raw).decode().isprintable()


def test_json_elsewhere_is_left_alone():
    """In a pipe a JSON object stays the bytes it was."""
    stream = io.BytesIO()
    raw = '{"event":"\x9b2J é"}'.encode()
    Output(stream, is_terminal=False).json(raw)
    assert stream.getvalue() == raw + b"\n"


@pytest.mark.parametrize(
    ("variable", "value", "coloured"),
    [
        pytest.param("NO_COLOR", "1", False, id="NO_COLOR"),
        pytest.param("NO_COLOR", "", True, id="empty NO_COLOR"),
        pytest.param("TERM", "dumb", False, id="dumb terminal"),
    ],
)
def test_colours(monkeypatch, variable, value, coloured):
    """Colours are for terminals that have them, and people who want them."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv(variable, value)
    assert ("\x1b[" in shown(FAILURE, is_terminal=True)) is coloured
    assert "\x1b[" not in shown(FAILURE)
