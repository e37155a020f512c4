"""Log lines as the package writes them, and one request that goes through two services."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

BEGIN = 1_795_330_000.0
REQUEST_ID, TRACE_ID = "checkout-7", "4bf92f3577b34da6a3ce929d0e0e4736"
SHOP, BILLING = "00f067aa0ba902b7", "b7ad6b7169203331"
FIRST, SECOND = "1111111111111111", "2222222222222222"
PIDS = {"shop": 100, "billing": 200}
IDS = ("trace_id", "span_id", "parent_span_id")


def line(event: str, at: float, service: str = "shop", **fields: Any) -> dict[str, Any]:
    """Return a line written *at* so many milliseconds after the story began."""
    written = datetime.fromtimestamp(BEGIN + at / 1000, timezone.utc)
    core = {
        "timestamp": written.isoformat(timespec="microseconds")[:-6] + "Z",
        "level": "info",
        "event": event,
        "logger": "flask_resilience",
        "service": service,
        "pid": PIDS.get(service, 300),
        "request_id": REQUEST_ID,
        "trace_id": TRACE_ID,
        "span_id": {"shop": SHOP, "billing": BILLING}.get(service, "3" * 16),
    }
    return {key: value for key, value in {**core, **fields}.items() if value is not None}


def finish(at: float, duration: float, service: str = "shop", **fields: Any) -> dict[str, Any]:
    """Return the finish line of a request."""
    told = {
        "http_request_method": "GET",
        "url_path": "/orders/7",
        "http_route": "/orders/<int:number>",
        "http_response_status_code": 200,
        "duration_ms": duration,
        "outcome": "ok",
    }
    return line("http.server.request.finish", at, service, **{**told, **fields})


def attempt(at: float, number: int, duration: float, span: str, **fields: Any) -> dict[str, Any]:
    """Return the line of an attempt of shop's call to billing."""
    told = {
        "span_id": span,
        "parent_span_id": SHOP,
        "call_id": "c1",
        "upstream": "billing",
        "attempt": number,
        "max_attempts": 4,
        "http_request_method": "GET",
        "url_full": "http://billing/v1",
        "http_response_status_code": 200,
        "duration_ms": duration,
        "circuit_state": "closed",
    }
    return line("http.client.attempt", at, **{**told, **fields})


def call(at: float, duration: float, **fields: Any) -> dict[str, Any]:
    """Return the finish line of shop's call to billing."""
    told = {"call_id": "c1", "upstream": "billing", "attempts": 2, "outcome": "success"}
    return line("http.client.finish", at, duration_ms=duration, wait_ms=20.0, **{**told, **fields})


WAIT = line(
    "http.client.retry",
    11,
    call_id="c1",
    upstream="billing",
    attempt=1,
    next_attempt=2,
    reason="503",
    wait_ms=20.0,
)
CIRCUIT = line(
    "circuit_breaker.transition",
    10.5,
    level="warning",
    upstream="billing",
    from_state="closed",
    to_state="open",
    reason="503",
    storage="sqlite",
)
SHOP_LINES = [
    CIRCUIT,
    attempt(11, 1, 9.0, FIRST, http_response_status_code=503, level="warning"),
    WAIT,
    attempt(40, 2, 8.0, SECOND, level="debug"),
    call(41, 39.0),
    line("services listed", 42, logger="shop", count=3),
    finish(43, 43.0),
]
BILLING_LINES = [
    line("invoice read", 36, "billing", logger="billing", parent_span_id=SECOND),
    finish(38, 5.0, "billing", http_route="/v1", parent_span_id=SECOND),
]
TREE = """\
request checkout-7, trace 4bf92f3577b34da6a3ce929d0e0e4736: 2 services, 9 lines, 43.0 ms
 0.0 ms  shop: GET /orders/<int:number> -> 200 ok, 43.0 ms
 2.0 ms  ├─ call to billing -> success, 39.0 ms, 2 attempts
 2.0 ms  │  ├─ attempt 1 of 4: GET http://billing/v1 -> 503, 9.0 ms (no line of billing here)
10.5 ms  │  ├─ circuit billing: closed -> open, 503
11.0 ms  │  ├─ wait 20.0 ms after 503
32.0 ms  │  └─ attempt 2 of 4: GET http://billing/v1 -> 200, 8.0 ms
33.0 ms  │     └─ billing: GET /v1 -> 200 ok, 5.0 ms
36.0 ms  │        └─ info invoice read
42.0 ms  └─ info services listed count=3
"""


def encoded(lines: list[dict[str, Any]]) -> bytes:
    """Return lines as a log holds them."""
    return b"".join(json.dumps(one).encode() + b"\n" for one in lines)


def without_spans(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return lines of services that know request IDs alone."""
    return [{name: one[name] for name in one if name not in IDS} for one in lines]


def write(path: Path, lines: list[dict[str, Any]]) -> str:
    """Write a log and return its name."""
    path.write_bytes(encoded(lines))
    return str(path)
