"""A log as an app writes it, made up but the same each time, for what reads logs."""

from __future__ import annotations

import atexit
import json
import shutil
import tempfile
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

SEED = 20
EVERY_FAILURE = 100
"""One in so many requests fails."""
BEGAN = datetime(2026, 1, 5, 9, 0, tzinfo=timezone.utc)
ROUTES = ("/orders/<int:number>", "/customers/<int:number>", "/invoices/<int:number>")
UPSTREAMS = ("ledger", "stock", "https://mail.example")
LINES_OF_A_REQUEST = 3


@cache
def log_file(lines: int) -> Path:
    """Return a log of so many lines, about 470 bytes each, which goes with this process."""
    directory = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    path = directory / "app.log"
    with path.open("w", encoding="ascii") as file:
        for request in range(-(-lines // LINES_OF_A_REQUEST)):
            left = lines - request * LINES_OF_A_REQUEST
            file.writelines(list(lines_of(request))[:left])
    return path


def request_id_of(request: int) -> str:
    """Return the ID of the request of that number, which is that of its trace.

    >>> request_id_of(7)
    '0af7651916cd43dd0000000000000007'
    """
    return f"0af7651916cd43dd{request:016x}"


def lines_of(request: int) -> Iterator[str]:
    """Yield the lines of the request of that number: a call, a word of the app's, the finish."""
    chance = Random(SEED + request)  # noqa: S311  # no secret
    waited, took = chance.lognormvariate(3, 0.8), chance.lognormvariate(1, 0.5)
    for written_after, fields in (
        (waited, _call(request, waited)),
        (waited + took / 2, {"event": "order is paid", "logger": "shop.orders", "order": request}),
        (waited + took, _finish(request, waited, waited + took)),
    ):
        yield _line(request, written_after, fields)


def _line(request: int, written_after: float, fields: dict[str, Any]) -> str:
    moment = BEGAN + timedelta(milliseconds=50 * request + written_after)
    failed = fields["event"] != "order is paid" and _fails(request)
    line = {
        "timestamp": f"{moment:%Y-%m-%dT%H:%M:%S.%fZ}",
        "level": "error" if failed else "info",
        "event": fields["event"],
        "logger": "flask_resilience",
        "service": "shop",
        "pid": 4711 + request % 4,
        "request_id": request_id_of(request),
        "trace_id": request_id_of(request),
        "span_id": f"b7ad{request:012x}",
        **fields,
    }
    return json.dumps(line, separators=(",", ":")) + "\n"


def _call(request: int, duration: float) -> dict[str, Any]:
    return {
        "event": "http.client.finish",
        "call_id": f"00f0{request:012x}",
        "upstream": UPSTREAMS[request % len(UPSTREAMS)],
        "attempts": 1,
        "outcome": "failed" if _fails(request) else "success",
        "duration_ms": round(duration, 3),
        "wait_ms": 0.0,
    }


def _finish(request: int, outbound: float, duration: float) -> dict[str, Any]:
    route, failed = ROUTES[request % len(ROUTES)], _fails(request)
    return {
        "event": "http.server.request.finish",
        "http_request_method": "GET",
        "url_path": route.replace("<int:number>", str(request)),
        "http_route": route,
        "endpoint": route.split("/")[1],
        "http_response_status_code": 503 if failed else 200,
        "http_response_body_size": 231,
        "duration_ms": round(duration, 3),
        "ttfb_ms": round(duration - 0.1, 3),
        "client_address": "192.0.2.7",
        "user_agent": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
        "outcome": "server_error" if failed else "ok",
        "outbound_calls": 1,
        "outbound_attempts": 1,
        "outbound_retries": 0,
        "outbound_failures": int(failed),
        "outbound_ms": round(outbound, 3),
        "retry_wait_ms": 0.0,
    }


def _fails(request: int) -> bool:
    return request % EVERY_FAILURE == 0
