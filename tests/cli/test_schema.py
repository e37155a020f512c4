"""The JSON Schema says what the lines are."""

from __future__ import annotations

import dataclasses
import json
import re
import typing

import pytest

from flask_resilience import events, get_logger
from flask_resilience.call_counts import CallFigures
from flask_resilience.cli.schema import DEFAULT, presets, schema
from flask_resilience.rules import LOG_PRESET
from flask_resilience.telemetry.lines import line

SCHEMA = json.loads(schema(DEFAULT))
TYPES = {"string": str, "integer": int, "number": (int, float), "boolean": bool}
SAMPLES = {
    "str": "http://localhost/",
    "int": 200,
    "float": 0.5,
    "bool": True,
    "BaseException": ValueError(),
    "CallFigures": CallFigures(calls=1),
    "Span": None,
    "Mapping[str,": {},
    "dict[str,": {},
}
NUMBER = (int, float)
CHECKS = {
    "type": lambda value, kind: (
        isinstance(value, TYPES[kind]) and isinstance(value, bool) is (kind == "boolean")
    ),
    "enum": lambda value, values: value in values,
    "const": lambda value, constant: value == constant,
    "pattern": lambda value, pattern: not isinstance(value, str) or re.search(pattern, value),
    "minimum": lambda value, least: not isinstance(value, NUMBER) or value >= least,
    "maximum": lambda value, most: not isinstance(value, NUMBER) or value <= most,
}
"""What this schema's keywords on values mean; others tell people something."""


def resolved(rule):
    """Return a rule with what it refers to."""
    found = {}
    if "$ref" in rule:
        found = SCHEMA
        for name in rule["$ref"].split("/")[1:]:
            found = found[name]
    return {**found, **rule}


def complaints(fields, rule=SCHEMA):
    """Yield what is wrong with a line."""
    rule = resolved(rule)
    yield from (f"{name} is missing" for name in rule.get("required", ()) if name not in fields)
    for name in rule["properties"].keys() & fields.keys():
        of_field = resolved(rule["properties"][name])
        for keyword in CHECKS.keys() & of_field.keys():
            if not CHECKS[keyword](fields[name], of_field[keyword]):
                yield f"{name} is {fields[name]!r}, but {keyword} is {of_field[keyword]!r}"
    for one in rule.get("allOf", ()):
        if not list(complaints(fields, one["if"])):
            yield from complaints(fields, one["then"])


@pytest.mark.parametrize(
    "kind", [pytest.param(one, id=one.__name__) for one in typing.get_args(events.Event)]
)
def test_every_line_is_described(kind):
    """Each event's line has its place in the schema, with every field and its type."""
    values = {one.name: SAMPLES[str(one.type).split(" ")[0]] for one in dataclasses.fields(kind)}
    name, level, fields = line(kind(**values))
    fields.pop("exc_info", None)
    described = SCHEMA["$defs"][name]
    assert level in described["properties"]["level"]["enum"]
    for field, value in fields.items():
        told = resolved(described["properties"][field])
        assert CHECKS["type"](value, told["type"]), field
    if fields:
        assert set(described["required"]) <= set(fields)


def test_real_lines_keep_to_it(make_app, make_upstream, log_lines):
    """What an app writes, its users' own lines too, is as the schema says."""
    upstream = make_upstream(503, 200, 500, 500)
    app = make_app(
        log_level="DEBUG", breaker_failure_threshold=2, retry_attempts=2, rate_limit="3/minute"
    )

    @app.get("/<int:number>")
    def view(number):
        get_logger("shop").info("served", attempt="third", number=number)
        app.extensions["resilience"].session.get(upstream.url).raise_for_status()
        return ""

    @app.get("/broken")
    def broken():
        raise ValueError("no")

    for path in ("/1", "/2", "/nothing", "/broken", "/3"):
        app.test_client().get(path)
    lines = log_lines()
    assert [list(complaints(one)) for one in lines] == [[]] * len(lines)
    assert {one["event"] for one in lines} >= {
        "http.client.attempt",
        "http.client.retry",
        "http.client.finish",
        "circuit_breaker.transition",
        "rate_limit.exceeded",
        "http.server.request.finish",
        "http.server.request.exception",
    }


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        pytest.param({"pid": "7"}, "pid is '7'", id="core field of a wrong type"),
        pytest.param({"level": "fatal"}, "level is 'fatal'", id="unknown level"),
        pytest.param({"outcome": "fine"}, "outcome is 'fine'", id="unknown outcome"),
        pytest.param({"duration_ms": True}, "duration_ms is True", id="no number"),
    ],
)
def test_it_refuses_what_we_never_write(changes, complaint):
    """The schema is no empty promise."""
    good = {
        "timestamp": "2026-11-22T07:53:20.000000Z",
        "level": "info",
        "event": "http.client.finish",
        "logger": "flask_resilience",
        "service": "shop",
        "pid": 7,
        "call_id": "c",
        "upstream": "billing",
        "attempts": 1,
        "outcome": "success",
        "duration_ms": 1.5,
        "wait_ms": 0,
    }
    assert list(complaints(good)) == []
    assert any(one.startswith(complaint) for one in complaints({**good, **changes}))


def test_only_presets_with_a_schema_are_offered():
    """What the command offers is what there is."""
    assert {json.loads(schema(one))["$schema"] for one in presets()} == {SCHEMA["$schema"]}
    assert sorted(presets()) == sorted(LOG_PRESET.words)
    assert DEFAULT in presets()


def test_every_reference_leads_somewhere():
    """Each ``$ref`` of the schema names a part of it, and each part of a line is referred to."""
    named = set(re.findall(r'"\$ref": "(.*?)"', schema(DEFAULT)))
    fields = {f"#/$defs/fields/{one}" for one in SCHEMA["$defs"]["fields"]}
    parts = {f"#/$defs/{one}" for one in SCHEMA["$defs"] if one != "fields"}
    assert named == fields | parts
