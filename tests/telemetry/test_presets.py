"""Presets rename and convert; each line keeps to its preset's JSON Schema."""

from __future__ import annotations

import json
import math
import typing
from contextvars import copy_context
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

import flask_resilience
from flask_resilience import configure_logging, events, get_logger
from flask_resilience.context import RequestContext, bind_request
from flask_resilience.rules import LOG_PRESET
from flask_resilience.telemetry.logging import EventLog
from flask_resilience.telemetry.presets import PRESETS, present
from tests.telemetry import test_lines as samples

SCHEMAS = {
    path.stem: Draft202012Validator(json.loads(path.read_text()))
    for path in Path(flask_resilience.__file__).parent.glob("cli/schemas/*.json")
}
CORE = {
    "timestamp": "2026-11-22T07:53:20.000001Z",
    "level": "warning",
    "event": "paid",
    "logger": "shop",
    "service": "shop",
    "pid": 7,
}
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
EVENTS = [
    samples.ATTEMPT,
    replace(samples.ATTEMPT, failed=True, status=None, error_type="ReadTimeout"),
    replace(samples.RETRY, retry_after=2.0, budget_left=3.0),
    samples.CALL,
    replace(samples.CALL, outcome="exhausted", stop_reason="attempts", fallback=True),
    samples.CIRCUIT,
    replace(samples.CIRCUIT, to_state="closed", actor="ann"),
    samples.REQUEST,
    replace(
        samples.REQUEST,
        status=503,
        outcome="server_error",
        route="/<int:number>",
        endpoint="order",
        client_address="192.0.2.1",
        user_agent="curl/8",
        error_type="ValueError",
    ),
    samples.DEGRADED,
    samples.RECOVERED,
    samples.LIMIT,
    replace(samples.LIMIT, retry_after=None, route=None, key_hash=None, suppressed=41),
    samples.SUSPICIOUS,
    samples.FAILURE,
]


@pytest.fixture(params=["orjson", "json"])
def _encoder(request, monkeypatch):
    """Encode with orjson, where it is installed, and without."""
    if request.param == "json":
        monkeypatch.setattr("flask_resilience.telemetry.encoding.import_module", missing)


def missing(name):
    """Raise as for a package that is not installed."""
    raise ImportError(name)


@pytest.fixture(params=sorted(SCHEMAS))
def schema(request):
    """Return the schema of a preset that is in force."""
    configure_logging(preset=request.param, level="DEBUG")
    return SCHEMAS[request.param]


def test_every_preset_has_a_schema():
    """What can be set can be checked."""
    assert {*SCHEMAS, "structlog"} == set(LOG_PRESET.words) == {*PRESETS, "structlog"}
    for one in SCHEMAS.values():
        Draft202012Validator.check_schema(one.schema)


def test_every_kind_of_event_is_tried():
    """No event is without a sample here."""
    assert {type(one) for one in EVENTS} == set(typing.get_args(events.Event))


@pytest.mark.parametrize(
    "event", [pytest.param(one, id=f"{type(one).__name__} {n}") for n, one in enumerate(EVENTS)]
)
def test_line_of_an_event_keeps_to_its_schema(schema, log_lines, event):
    """In every preset, the line of every event is as the schema says."""

    def serve():
        bind_request(RequestContext("abc-1", "shop"))
        EventLog("DEBUG", "shop")(event)

    copy_context().run(serve)
    (line,) = log_lines()
    assert [error.message for error in schema.iter_errors(line)] == []


def changed_everywhere(value, path=()):
    """Yield *value* with each number or text in it replaced by a list, and where that is."""
    if isinstance(value, dict):
        for key, item in value.items():
            for changed, where in changed_everywhere(item, (*path, key)):
                yield {**value, key: changed}, where
    else:
        yield [value], path


@pytest.mark.parametrize(
    "event", [pytest.param(one, id=f"{type(one).__name__} {n}") for n, one in enumerate(EVENTS)]
)
def test_schema_refuses_a_wrong_type(schema, log_lines, event):
    """Of the line of an event no field may have another type than it has."""
    EventLog("DEBUG", "shop")(event)
    (line,) = log_lines()
    assert schema.is_valid(line)
    for changed, where in changed_everywhere(line):
        assert not schema.is_valid(changed), where


def test_schema_refuses_a_line_without_a_core_field(schema, log_lines):
    """What is on every line must be there."""
    get_logger("shop").info("paid")
    (line,) = log_lines()
    assert schema.is_valid(line)
    for name in schema.schema["required"]:
        assert not schema.is_valid({key: line[key] for key in line if key != name}), name


@pytest.mark.parametrize(
    ("preset", "fields", "line"),
    [
        pytest.param(
            "otel",
            {"trace_id": TRACE, "span_id": SPAN, "http_route": "/", "user": 1},
            {
                "Timestamp": "1795334000000001000",
                "SeverityText": "WARNING",
                "SeverityNumber": 13,
                "Body": "paid",
                "InstrumentationScope": {"Name": "shop"},
                "Resource": {"service.name": "shop", "process.pid": 7},
                "TraceId": TRACE,
                "SpanId": SPAN,
                "Attributes": {"http.route": "/", "user": 1},
            },
            id="otel",
        ),
        pytest.param(
            "ecs",
            {"request_id": "a", "trace_id": TRACE, "duration_ms": 1.5, "error": "text", "n": 1},
            {
                "@timestamp": "2026-11-22T07:53:20.000001Z",
                "log.level": "warning",
                "message": "paid",
                "log.logger": "shop",
                "service.name": "shop",
                "process.pid": 7,
                "http.request.id": "a",
                "trace.id": TRACE,
                "event.duration": 1500000,
                "user_error": "text",
                "n": 1,
                "ecs.version": "8.11.0",
            },
            id="ecs",
        ),
        pytest.param(
            "gcp",
            {"trace_id": TRACE, "span_id": SPAN, "duration_ms": 1.5, "exception_stacktrace": "T"},
            {
                "time": "2026-11-22T07:53:20.000001Z",
                "severity": "WARNING",
                "message": "paid",
                "logger": "shop",
                "serviceContext": {"service": "shop"},
                "pid": 7,
                "logging.googleapis.com/trace": TRACE,
                "logging.googleapis.com/spanId": SPAN,
                "duration_ms": 1.5,
                "stack_trace": "T",
            },
            id="gcp",
        ),
        pytest.param(
            "datadog",
            {"trace_id": TRACE, "span_id": SPAN, "request_id": "a", "error_type": "E", "host": 1},
            {
                "timestamp": "2026-11-22T07:53:20.000001Z",
                "status": "warning",
                "message": "paid",
                "logger": {"name": "shop"},
                "service": "shop",
                "pid": 7,
                "dd.trace_id": str(0x8448EB211C80319C),
                "dd.span_id": str(0xB7AD6B7169203331),
                "http": {"request_id": "a"},
                "error": {"kind": "E"},
                "user_host": 1,
            },
            id="datadog",
        ),
    ],
)
def test_names_and_values(preset, fields, line):
    """Each field has its vendor's name and form; others stay, or make way."""
    assert present({**CORE, **fields}, PRESETS[preset]) == line


def test_request_is_an_http_request_to_google():
    """What Cloud Logging shows beside the line of a request lies in one object."""
    fields = {
        **CORE,
        "event": "http.server.request.finish",
        "logger": "flask_resilience",
        "http_request_method": "GET",
        "url_path": "/",
        "http_response_status_code": 200,
        "http_response_body_size": 5,
        "duration_ms": 12.5,
    }
    assert present(fields, PRESETS["gcp"])["httpRequest"] == {
        "requestMethod": "GET",
        "requestUrl": "/",
        "status": 200,
        "responseSize": "5",
        "latency": "0.012500s",
    }


@pytest.mark.parametrize("preset", PRESETS)
def test_nothing_is_lost(preset):
    """Every value of ours is still there, be it under another name or converted."""
    fields = {**CORE, "error_type": "A", "exception_type": "B", "http_route": "/", "attempt": 2}
    text = json.dumps(present(fields, PRESETS[preset]))
    assert all(json.dumps(value) in text for value in ("A", "B", "/", 2))


class Broken:
    """An object that cannot even be described."""

    def __repr__(self):
        raise RuntimeError("no")


class OwnFloat(float):
    """A float that cannot be made one."""

    def __float__(self):
        raise RuntimeError("no")


CYCLE: dict = {}
CYCLE["itself"] = CYCLE
HOSTILE = {
    "NaN": {"x": math.nan, "duration_ms": math.nan, "nested": [math.inf]},
    "bytes": {"x": b"\xff"},
    "cycle": {"x": CYCLE},
    "lone surrogate": {"x": "\ud800", "\udfff": {"\ud800": 1}},
    "delete and line ends": {"x": "\x7f\x00\n\r\u2028\x85"},
    "core names": {"level": 1, "timestamp": 2, "logger": 3, "pid": "x", "service": 5, "event_": 6},
    "cut mark": {"truncated": "yes"},
    "vendors' names": {
        **dict.fromkeys(("message", "time", "severity", "status", "@timestamp", "Body", "host"), 1),
        **dict.fromkeys(("http", "httpRequest", "error", "Attributes", "Resource", "network"), "x"),
        **dict.fromkeys(("log.level", "ecs.version", "trace.id", "dd.trace_id", "SpanId"), (1,)),
    },
    "wrong types": {
        **dict.fromkeys(("http_response_status_code", "duration_ms", "trace_id", "span_id"), "x"),
        **dict.fromkeys(("http_request_method", "url_full", "error_type", "user_agent"), 5),
    },
    "huge numbers": {"x": 10**5000, "y": 2**70, "duration_ms": 1e308, "z": 1e16},
    "no repr": {"x": Broken(), "y": {Broken(): Broken()}},
    "odd floats": {"x": OwnFloat(2.5)},
    "odd keys": {"x": {(1, 2): {3}, None: 4}},
    "nothing": {"x": None},
    "many": {f"key{number}": "x" * 90 for number in range(1000)},
    "long": {"x": "é" * 70000, "exception_stacktrace": "a\n" * 70000, "k" * 70000: 1},
    "deeply long": {"x": [{"y": ["z" * 50000] * 9}] * 9, "y": 10**4000},
}


@pytest.mark.usefixtures("_encoder")
@pytest.mark.parametrize("fields", [pytest.param(one, id=name) for name, one in HOSTILE.items()])
@pytest.mark.parametrize("preset", LOG_PRESET.words)
def test_hostile_values_break_no_line(capsys, preset, fields):
    """In every preset, with orjson and without, whatever is logged is one line that can be read."""
    configure_logging(preset=preset)
    get_logger("a").error("hostile", **fields)
    out = capsys.readouterr().out
    assert out.isascii()
    assert out.count("\n") == 1
    assert len(out) <= 65536
    line = json.loads(out, parse_constant=pytest.fail)
    assert "hostile" in line.values()
    if preset in SCHEMAS:
        assert [error.message for error in SCHEMAS[preset].iter_errors(line)] == []


@pytest.mark.parametrize(
    "value",
    [
        *(1, -(2**63), 2**70, 0.1, 1.5e300, math.nan, -math.inf, True, None, OwnFloat(2.5)),
        *("é\u2028", "\x7f", '"\\/\b\x1f\n', "null", "\ud800"),
        *([], {}, [1, {"a": "b"}], {"a": [math.nan]}, {1: 2}, b"x", Broken()),
    ],
)
def test_orjson_says_the_same(monkeypatch, value):
    """Values come back the same, and the text differs in exponents alone."""
    encoding = import_module("flask_resilience.telemetry.encoding")
    encoding.choose_encoder()
    fast = encoding.encode({"x": value})
    monkeypatch.setattr(encoding, "import_module", missing)
    encoding.choose_encoder()
    slow = encoding.encode({"x": value})
    assert fast.replace("e300", "e+300") == slow
