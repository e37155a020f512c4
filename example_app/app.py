"""An appointments API that owns no data: everything comes from the scheduling service.

The views say what they want and what they pass on. Retries, the circuit, deadlines, request IDs
and the log are the business of flask-resilience.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

import requests
from flask import Blueprint, Flask, Response, abort, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import BadRequest

from flask_resilience import Resilience, ResilientSession, get_logger

PASSED_ON = frozenset({404, 409, 422})
"""What the scheduling service may refuse our client; any other failure is one between us and it."""

FAILURES_THAT_OPEN = 5
"""In a row, over all workers."""

log = get_logger(__name__)
resilience = Resilience()
api = Blueprint("appointments", __name__)


def booking_customer() -> str:
    """Return whom a booking is for, by whom bookings are limited; empty if it does not say."""
    wanted = request.get_json(silent=True)
    return str(wanted.get("customer", "")) if isinstance(wanted, Mapping) else ""


def is_booked(response: Response) -> bool:
    """Say whether a booking came of it: what was refused is not counted."""
    return response.status_code == 201


def create_app() -> Flask:
    """Return the app; ``SCHEDULING_URL`` says where the scheduling service is.

    Every setting may be overridden, as ``FLASK_RESILIENCE_LOG_FORMAT=console`` does.

    :raises ConfigurationError: If a ``RESILIENCE_*`` setting is wrong.
    """
    app = Flask(__name__)
    app.config["RESILIENCE_SERVICE_NAME"] = "appointments"
    app.config["RESILIENCE_RATE_LIMIT"] = "600 per minute"
    app.config["RESILIENCE_CLIENTS"] = {
        "scheduling": {
            "base_url": os.environ.get("SCHEDULING_URL", "http://127.0.0.1:8001"),
            "timeout": 2,
            "deadline": 6,
            "internal": True,
            "retry": {"initial_delay": 0.1},
            "breaker": {"failure_threshold": FAILURES_THAT_OPEN, "recovery_timeout": 4},
        }
    }
    app.config.from_prefixed_env()
    resilience.init_app(app)
    app.register_blueprint(api)
    return app


@api.get("/health")
@resilience.exempt
def health() -> ResponseReturnValue:
    """Say that this process serves; an ailing upstream is no reason to take it out of service."""
    return {"status": "ok"}


@api.get("/circuit")
def circuit() -> ResponseReturnValue:
    """Show what all workers know of the scheduling service; whichever answers says the same."""
    return resilience.breaker("scheduling").snapshot()


@api.get("/services")
def services() -> ResponseReturnValue:
    """List what can be booked."""
    answer = passed_on(scheduling().get("/services"))
    log.info("services listed")
    return answer


@api.get("/availability")
def availability() -> ResponseReturnValue:
    """List the times at which ``service`` is free on ``day``."""
    wanted = texts(request.args, "service", "day")
    answer = passed_on(scheduling().get("/availability", params=wanted))
    log.info("availability looked up", wanted=wanted)
    return answer


@api.get("/notices")
def notices() -> ResponseReturnValue:
    """Show what customers should know, or nothing: no page need fail for want of it."""
    answer = scheduling().get("/notices", retries=0, fallback=())
    return {"notices": answer.json()["notices"] if answer else []}


@api.get("/appointments/<int:number>")
def appointment(number: int) -> ResponseReturnValue:
    """Show one appointment."""
    answer = passed_on(scheduling().get(f"/appointments/{number}"))
    log.info("appointment looked up", appointment=number, status=answer.status_code)
    return answer


@api.post("/appointments")
@resilience.limit("120 per minute")
@resilience.limit("5 per hour", key=booking_customer, deduct_when=is_booked)
def book() -> ResponseReturnValue:
    """Book; the idempotency key lets the call be retried without booking twice."""
    wanted = texts(request.get_json(silent=True), "service", "day", "time", "customer")
    key = idempotency_key()
    answer = passed_on(scheduling().post("/appointments", json=wanted, idempotency_key=key))
    log.info("booking answered", status=answer.status_code)
    return answer


@api.patch("/appointments/<int:number>")
def move(number: int) -> ResponseReturnValue:
    """Move an appointment; with no key it is sent again only if it surely was not acted on."""
    wanted = texts(request.get_json(silent=True), "day", "time")
    answer = passed_on(scheduling().patch(f"/appointments/{number}", json=wanted))
    log.info("move answered", appointment=number, status=answer.status_code)
    return answer


@api.errorhandler(BadRequest)
def answer_bad_request(error: BadRequest) -> ResponseReturnValue:
    """Say in JSON what is wrong with the request."""
    return {"error": error.description}, 400


def scheduling() -> ResilientSession:
    """Return the session to the scheduling service."""
    return resilience.client("scheduling")


def passed_on(answer: requests.Response) -> Response:
    """Return what the scheduling service answered, if it is meant for our client.

    :raises requests.HTTPError: If it failed; one of 5xx that escapes a view becomes a 502 problem.
    """
    if answer.status_code not in PASSED_ON:
        answer.raise_for_status()
    return Response(answer.content, answer.status_code, mimetype="application/json")


def texts(given: Any, *names: str) -> dict[str, str]:
    """Return the fields *names* of *given*; answers 400 if one is missing, empty or no text."""
    fields = given if isinstance(given, Mapping) else {}
    found = {name: fields[name] for name in names if isinstance(fields.get(name), str)}
    missing = [name for name in names if not found.get(name)]
    if missing:
        abort(400, f"These fields must be given as text: {', '.join(missing)}.")
    return found


def idempotency_key() -> str | bool:
    """Return the client's key, which makes its retries and ours one; ``True`` mints one."""
    key = request.headers.get("Idempotency-Key")
    if key is not None and not re.fullmatch(r"[\x21-\x7e]{1,255}", key):
        abort(400, "Idempotency-Key must be 1 to 255 printable ASCII characters without spaces.")
    return True if key is None else key
