"""What the page on other tools shows is well-formed, and speaks of fields that there are."""

from __future__ import annotations

import json
import re
from pathlib import Path

from flask_resilience import events
from flask_resilience.telemetry.lines import line
from tests.telemetry import test_lines as samples
from tests.test_readme import blocks

PAGE = Path(__file__).parent.parent / "docs" / "log-tools.rst"
CORE = {"timestamp", "level", "event", "logger", "service", "pid", "request_id"}


def known_fields():
    """Return the names of all fields of all our lines."""
    some = [value for value in vars(samples).values() if isinstance(value, events.Event)]
    found = {name for event in some for name in line(event)[2]}
    return found | CORE | {"exception_type", "exception_message", "exception_stacktrace"}


def test_format_for_lnav_names_fields_that_there_are():
    """The format is JSON, and each field it tells of is written."""
    ((_, text),) = blocks(PAGE, "json")
    told = json.loads(text)["flask_resilience"]
    shown = {one["field"] for one in told["line-format"] if isinstance(one, dict)}
    assert shown | set(told["value"]) <= known_fields()


def test_jq_names_fields_and_events_that_there_are():
    """Each field and each event in a command is written."""
    commands = [text for _, text in blocks(PAGE, "sh")]
    assert len(commands) == 4
    names = {one for text in commands for one in re.findall(r"\.([a-z_]+\b)(?!\w*\()", text)}
    events_told = {one for text in commands for one in re.findall(r'\.event == "([^"]+)"', text)}
    words = {word for event in events_told for word in event.split(".")}
    assert names - words - {"log"} <= known_fields()
    assert events_told <= {line(one)[0] for one in (samples.REQUEST, samples.RETRY)}
