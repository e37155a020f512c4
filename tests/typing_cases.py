"""What a user's type checker must accept and infer; checked by ``tox run -e types``, not run."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor

import requests
from flask import Flask
from flask_limiter import Limiter
from typing_extensions import assert_type

from flask_resilience import (
    Breaker,
    CallReport,
    CircuitBreakerPolicy,
    CircuitOpenError,
    ClientOptions,
    RequestIDMiddleware,
    Resilience,
    ResilientSession,
    RetryPolicy,
    add_fields,
    current_request_id,
    get_logger,
)

app = Flask(__name__)
resilience = Resilience(app, retry_attempts=3)
app.wsgi_app = RequestIDMiddleware(app.wsgi_app)  # type: ignore[method-assign]


@app.get("/item/<int:number>")
@resilience.limit("5/minute", key=lambda: "all", cost=2, methods=["GET"])
def item(number: int) -> str:
    """Say the number."""
    return str(number)


breaker = resilience.breaker("ledger", ignore=(KeyError,), timeout=5.0)


@breaker
def post_entry(amount: int, *, memo: str = "") -> str:
    """Post one entry."""
    return f"{amount} {memo}"


@breaker
async def post_later(amount: int) -> str:
    """Post one entry in time."""
    return str(amount)


async def uses_breakers() -> None:
    """Use a breaker in all its ways."""
    assert_type(post_entry(5, memo="rent"), str)
    assert_type(await post_later(5), str)
    assert_type(breaker.call(len, "four"), int)
    assert_type(await breaker.call(post_later, 5), str)
    with breaker as entered:
        assert_type(entered, Breaker)
    async with breaker:
        breaker.open(actor="ana", reason="migration", seconds=60)
    assert_type(breaker.state, str)
    post_entry("5")  # type: ignore[arg-type]


@resilience.exempt
def health() -> str:
    """Say that all is well."""
    return "well"


def takes_a_session(session: requests.Session) -> None:
    """Take any session of requests."""
    session.close()


def takes_an_answer(answer: requests.Response) -> None:
    """Take any answer of requests."""
    answer.raise_for_status()


def takes_a_view(view: Callable[[int], str]) -> None:
    """Take a view of one number."""
    view(7)


def uses() -> None:
    """Use every public name as users do."""
    takes_a_view(item)
    assert_type(item(7), str)
    assert_type(health(), str)
    assert_type(resilience.session, ResilientSession)
    assert_type(resilience.client("billing"), ResilientSession)
    assert_type(resilience.limiter, Limiter)
    assert_type(current_request_id(), "str | None")

    drop_in = ResilientSession(
        ClientOptions(base_url="https://billing.example", timeout=5.0),
        retry=RetryPolicy(attempts=2, jitter="full"),
        breaker=CircuitBreakerPolicy(failure_threshold=3),
    )
    takes_a_session(drop_in)
    answer = resilience.session.get("https://api.example", timeout=2, deadline=5.0, retries=0)
    takes_an_answer(answer)
    assert_type(answer.resilience, CallReport)
    assert_type(resilience.session.post("https://api.example", json={"a": 1}).status_code, int)
    resilience.session.post("https://api.example", idempotency_key=True, fallback=None)
    try:
        resilience.session.patch("https://api.example", data=b"a", idempotent=True)
    except CircuitOpenError as error:
        assert_type(error.retry_after, float)
    get_logger(__name__).info("logged", user_id="u1")
    add_fields(order_id=7)


def uses_threads() -> None:
    """Carry a request into threads."""
    assert_type(resilience.wrap(item)(7), str)
    resilience.wrap(item)("7")  # type: ignore[arg-type]
    with resilience.executor(max_workers=2) as pool:
        assert_type(pool, Executor)
        assert_type(pool.submit(item, 7).result(), str)
