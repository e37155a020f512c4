"""The names that fields have elsewhere: tables of names and conversions, and what applies them.

A preset renames and converts, nothing else. A field takes a vendor's name only if its value has the
type that the vendor wants there; any other stays a field of the user's own.

Sources:

- ``otel``: OpenTelemetry, *Logs Data Model* (stable), and the semantic conventions for HTTP,
  exceptions, resources. https://opentelemetry.io/docs/specs/otel/logs/data-model/
- ``ecs``: Elastic, *ECS Logging* (its ``spec.json``) and *ECS Field Reference* 8.
  https://www.elastic.co/guide/en/ecs-logging/overview/current/intro.html
- ``gcp``: Google Cloud, *Structured logging* (special fields in JSON payloads), ``LogEntry`` and
  its ``HttpRequest``, and *Format errors in logs* for ``stack_trace`` and ``serviceContext``.
  https://cloud.google.com/logging/docs/structured-logging
- ``datadog``: Datadog, *Default Standard Attributes*, and *Connect OpenTelemetry Traces and Logs*
  for the form of IDs. https://docs.datadoghq.com/standard-attributes/
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import Any, TypeAlias

Fields: TypeAlias = dict[str, Any]
NUMBER = (int, float)
_TRACE_ID = re.compile("[0-9a-f]{32}")
_SPAN_ID = re.compile("[0-9a-f]{16}")
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a field goes.

    :param path: The names of the objects it lies in, and its own.
    :param kind: What its value must be.
    :param convert: Makes the vendor's value of ours.
    """

    path: tuple[str, ...]
    kind: type[Any] | tuple[type[Any], ...] = str
    convert: Callable[[Any], Any] | None = None


@dataclass(frozen=True, slots=True)
class Preset:
    """The names of one vendor.

    :param places: By our names.
    :param of_requests: Those that hold only on the finish line of an inbound request.
    :param rest: The objects in which all other fields lie.
    :param also: What else comes of a field: its name, and a second place.
    :param constants: What every line says besides.
    :param taken: Names that no field of the user's may have, beside those of the places.
    """

    places: Mapping[str, Place]
    of_requests: Mapping[str, Place] = field(default_factory=dict)
    rest: tuple[str, ...] = ()
    also: tuple[tuple[str, Place], ...] = ()
    constants: Mapping[str, Any] = field(default_factory=dict)
    taken: frozenset[str] = frozenset()


def present(fields: Fields, preset: Preset) -> Fields:
    """Return *fields* under the names of *preset*."""
    line: Fields = {}
    places = preset.places
    if preset.of_requests and _is_request(fields):
        places = {**places, **preset.of_requests}
    for name, value in fields.items():
        place = places.get(name)
        if place is None or not _fits(value, place) or not _put(line, place, value):
            _keep(line, name, value, preset)
    for name, place in preset.also:
        _put(line, place, fields[name])
    return {**line, **preset.constants}


def _is_request(fields: Fields) -> bool:
    return (
        fields.get("event") == "http.server.request.finish"
        and fields.get("logger") == "flask_resilience"
    )


def _fits(value: Any, place: Place) -> bool:
    return isinstance(value, place.kind) and (place.kind is bool or not isinstance(value, bool))


def _put(line: Fields, place: Place, value: Any) -> bool:
    """Put a value in its place; say whether the place was free and the value could be converted."""
    *objects, name = place.path
    try:
        converted = value if place.convert is None else place.convert(value)
    except (ValueError, OverflowError):  # not a finite number, or no ID
        return False
    for one in objects:
        line = line.setdefault(one, {})
    if name in line:
        return False
    line[name] = converted
    return True


def _keep(line: Fields, name: str, value: Any, preset: Preset) -> None:
    """Put a field that the vendor does not know beside the others."""
    for one in preset.rest:
        line = line.setdefault(one, {})
    line[f"user_{name}" if name in preset.taken or name in line else name] = value


def _nanoseconds(milliseconds: float) -> int:
    if not 0 <= milliseconds < 1e12:
        raise ValueError
    return round(milliseconds * 1e6)


def _seconds(milliseconds: float) -> str:
    if not 0 <= milliseconds < 1e12:
        raise ValueError
    return f"{milliseconds / 1000:.6f}s"


def _epoch_nanoseconds(timestamp: str) -> str:
    passed = datetime.fromisoformat(f"{timestamp[:-1]}+00:00") - EPOCH
    return str(((passed.days * 86400 + passed.seconds) * 10**6 + passed.microseconds) * 1000)


def _trace_id(hexadecimal: str) -> str:
    if not _TRACE_ID.fullmatch(hexadecimal):
        raise ValueError
    return hexadecimal


def _span_id(hexadecimal: str) -> str:
    if not _SPAN_ID.fullmatch(hexadecimal):
        raise ValueError
    return hexadecimal


def _decimal_trace_id(hexadecimal: str) -> str:
    """Return the lower 64 bits as a decimal number."""
    return str(int(_trace_id(hexadecimal)[16:], 16))


def _decimal_span_id(hexadecimal: str) -> str:
    return str(int(_span_id(hexadecimal), 16))


def _text(number: int) -> str:
    return str(number)


_SEVERITY_NUMBERS = {"debug": 5, "info": 9, "warning": 13, "error": 17, "critical": 21}


def _attribute(name: str, kind: type[Any] | tuple[type[Any], ...] = str) -> Place:
    return Place(("Attributes", name), kind)


OTEL = Preset(
    places={
        "timestamp": Place(("Timestamp",), str, _epoch_nanoseconds),
        "level": Place(("SeverityText",), str, str.upper),
        "event": Place(("Body",)),
        "logger": Place(("InstrumentationScope", "Name")),
        "service": Place(("Resource", "service.name")),
        "pid": Place(("Resource", "process.pid"), int),
        "trace_id": Place(("TraceId",), str, _trace_id),
        "span_id": Place(("SpanId",), str, _span_id),
        "http_request_method": _attribute("http.request.method"),
        "http_response_status_code": _attribute("http.response.status_code", int),
        "http_response_body_size": _attribute("http.response.body.size", int),
        "http_route": _attribute("http.route"),
        "url_path": _attribute("url.path"),
        "url_full": _attribute("url.full"),
        "server_address": _attribute("server.address"),
        "client_address": _attribute("client.address"),
        "user_agent": _attribute("user_agent.original"),
        "error_type": _attribute("error.type"),
        "exception_type": _attribute("exception.type"),
        "exception_message": _attribute("exception.message"),
        "exception_stacktrace": _attribute("exception.stacktrace"),
    },
    rest=("Attributes",),
    also=(("level", Place(("SeverityNumber",), str, _SEVERITY_NUMBERS.__getitem__)),),
)

_ECS_OBJECTS = frozenset(
    {"agent", "as", "client", "cloud", "code_signature", "container", "data_stream", "destination"}
    | {"device", "dll", "dns", "ecs", "email", "error", "event", "faas", "file", "gen_ai", "geo"}
    | {"group", "hash", "host", "http", "interface", "labels", "log", "message", "network"}
    | {"observer", "orchestrator", "organization", "os", "package", "parent", "process"}
    | {"registry", "related", "risk", "rule", "server", "service", "source", "span", "tags"}
    | {"threat", "tls", "trace", "tracing", "transaction", "url", "user", "user_agent", "vlan"}
    | {"volume", "vulnerability", "x509", "@timestamp"}
)
"""Where ECS has an object, no other value can be stored."""

ECS = Preset(
    places={
        "timestamp": Place(("@timestamp",)),
        "level": Place(("log.level",)),
        "event": Place(("message",)),
        "logger": Place(("log.logger",)),
        "service": Place(("service.name",)),
        "pid": Place(("process.pid",), int),
        "request_id": Place(("http.request.id",)),
        "trace_id": Place(("trace.id",), str, _trace_id),
        "span_id": Place(("span.id",), str, _span_id),
        "http_request_method": Place(("http.request.method",)),
        "http_response_status_code": Place(("http.response.status_code",), int),
        "http_response_body_size": Place(("http.response.body.bytes",), int),
        "url_path": Place(("url.path",)),
        "url_full": Place(("url.full",)),
        "server_address": Place(("server.address",)),
        "client_address": Place(("client.address",)),
        "user_agent": Place(("user_agent.original",)),
        "duration_ms": Place(("event.duration",), NUMBER, _nanoseconds),
        "error_type": Place(("error.type",)),
        "error_message": Place(("error.message",)),
        "exception_type": Place(("error.type",)),
        "exception_message": Place(("error.message",)),
        "exception_stacktrace": Place(("error.stack_trace",)),
    },
    constants={"ecs.version": "8.11.0"},
    taken=_ECS_OBJECTS | {"ecs.version"},
)

GCP = Preset(
    places={
        "timestamp": Place(("time",)),
        "level": Place(("severity",), str, str.upper),
        "event": Place(("message",)),
        "service": Place(("serviceContext", "service")),
        "trace_id": Place(("logging.googleapis.com/trace",), str, _trace_id),
        "span_id": Place(("logging.googleapis.com/spanId",), str, _span_id),
        "exception_stacktrace": Place(("stack_trace",)),
    },
    of_requests={
        "http_request_method": Place(("httpRequest", "requestMethod")),
        "url_path": Place(("httpRequest", "requestUrl")),
        "http_response_status_code": Place(("httpRequest", "status"), int),
        "http_response_body_size": Place(("httpRequest", "responseSize"), int, _text),
        "user_agent": Place(("httpRequest", "userAgent")),
        "client_address": Place(("httpRequest", "remoteIp")),
        "duration_ms": Place(("httpRequest", "latency"), NUMBER, _seconds),
    },
    taken=frozenset({"timestamp", "timestampSeconds", "timestampNanos", "eventTime", "context"}),
)

DATADOG = Preset(
    places={
        "timestamp": Place(("timestamp",)),
        "level": Place(("status",)),
        "event": Place(("message",)),
        "logger": Place(("logger", "name")),
        "service": Place(("service",)),
        "request_id": Place(("http", "request_id")),
        "trace_id": Place(("dd.trace_id",), str, _decimal_trace_id),
        "span_id": Place(("dd.span_id",), str, _decimal_span_id),
        "http_request_method": Place(("http", "method")),
        "http_response_status_code": Place(("http", "status_code"), int),
        "url_full": Place(("http", "url")),
        "url_path": Place(("http", "url_details", "path")),
        "user_agent": Place(("http", "useragent")),
        "http_response_body_size": Place(("network", "bytes_written"), int),
        "client_address": Place(("network", "client", "ip")),
        "duration_ms": Place(("duration",), NUMBER, _nanoseconds),
        "error_type": Place(("error", "kind")),
        "error_message": Place(("error", "message")),
        "exception_type": Place(("error", "kind")),
        "exception_message": Place(("error", "message")),
        "exception_stacktrace": Place(("error", "stack")),
    },
    taken=frozenset({"dd", "host", "device", "source", "ddsource", "ddtags", "trace_id"}),
)


def _with_names_taken(preset: Preset) -> Preset:
    """Return *preset*, where no field of the user's may have the name of a place."""
    depth = len(preset.rest)
    places = [*preset.places.values(), *preset.of_requests.values()]
    named = {one.path[depth] for one in places if one.path[:depth] == preset.rest}
    return replace(preset, taken=preset.taken | named)


PRESETS: Mapping[str, Preset] = {
    name: _with_names_taken(preset)
    for name, preset in (("otel", OTEL), ("ecs", ECS), ("gcp", GCP), ("datadog", DATADOG))
}
"""Without ``structlog``, whose names are our own."""
