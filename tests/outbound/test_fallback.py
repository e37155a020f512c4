"""What a call gives instead of its failure."""

from __future__ import annotations

import pytest
import requests

from flask_resilience import (
    CircuitBreakerPolicy,
    CircuitOpenError,
    ClientOptions,
    ConfigurationError,
    DeadlineExceededError,
)
from flask_resilience.events import CallFinished
from flask_resilience.testing import Reply


@pytest.mark.parametrize(
    ("reply", "arguments", "kind"),
    [
        pytest.param(503, {}, requests.HTTPError, id="retried in vain"),
        pytest.param(507, {}, requests.HTTPError, id="not worth a retry"),
        pytest.param(429, {"retries": 0}, requests.HTTPError, id="too many requests"),
        pytest.param(Reply(fault="reset"), {}, requests.ConnectionError, id="reset"),
        pytest.param(503, {"stream": True}, requests.HTTPError, id="a stream"),
    ],
)
def test_failure_is_replaced(session, make_upstream, events, reply, arguments, kind):
    """A failed call gives what the fallback makes of its exception, and is told of as failed."""
    seen = []
    upstream = make_upstream(reply)
    assert (
        session.get(upstream.url, fallback=lambda error: seen.append(error) or 7, **arguments) == 7
    )
    assert [type(error) for error in seen] == [kind]
    assert (events[-1].fallback, events[-1].outcome == "success") == (True, False)
    assert sum(isinstance(event, CallFinished) for event in events) == 1


def test_answer_retried_in_vain_comes_with_the_error(session, make_upstream):
    """The fallback can read the last answer, and its report."""
    body = Reply(status=503, body=b"later")
    text = session.get(
        make_upstream(body).url,
        fallback=lambda error: (error.response.text, error.response.resilience.attempts),
    )
    assert text == ("later", 4)


@pytest.mark.parametrize("status", [200, 404, 409])
def test_answer_is_not_replaced(session, make_upstream, status):
    """An answer, 4xx included, is no failure."""
    assert session.get(make_upstream(status).url, fallback=[]).status_code == status


def test_rejected_call_is_replaced(make_session, make_upstream):
    """An open circuit's rejection is a failure of the call."""
    session = make_session(breaker=CircuitBreakerPolicy(failure_threshold=1))
    upstream = make_upstream(500)
    session.get(upstream.url)
    assert session.get(upstream.url, fallback=type) is _requests_kind(CircuitOpenError)


def test_call_out_of_time_is_replaced(session, make_upstream, clock):
    """A used up deadline is a failure of the call."""
    upstream = make_upstream(Reply(status=302, headers={"Location": "/again"}))
    hooks = {"response": lambda response, **_: clock.advance(99)}
    kind = session.get(upstream.url, hooks=hooks, fallback=type)
    assert kind is _requests_kind(DeadlineExceededError)


def test_mistake_is_not_replaced(session, make_upstream):
    """A caller's mistake is raised: no fallback hides it."""
    with pytest.raises(requests.exceptions.InvalidURL):
        session.get("http://", fallback=[])
    with pytest.raises(KeyError):
        session.put(make_upstream(200).url, data=_broken_body(), fallback=[])


def test_body_that_is_no_json_is_not_replaced(session, make_upstream):
    """A value that JSON has no word for is the caller's mistake."""
    with pytest.raises(requests.exceptions.InvalidJSONError):
        session.post(make_upstream(200).url, json={"a": float("nan")}, fallback=[])


@pytest.mark.parametrize(("status", "replaced"), [(404, False), (503, True)])
def test_hook_that_raises_for_a_status(session, make_upstream, status, replaced):
    """What a hook raises for an answer is a failure of the call if the answer is one."""
    hooks = {"response": lambda response, **_: response.raise_for_status()}
    try:
        given = session.get(make_upstream(status).url, hooks=hooks, fallback="instead")
    except requests.HTTPError:
        given = None
    assert (given == "instead") is replaced


def test_interruption_is_not_replaced(session, make_upstream, clock):
    """What ends the thread is no failure of the call."""

    def interrupt(seconds):
        raise KeyboardInterrupt

    clock.sleep = interrupt
    with pytest.raises(KeyboardInterrupt):
        session.get(make_upstream(503).url, fallback=[])


def test_fallback_may_call_with_the_same_session(session, make_upstream, events):
    """A call that a fallback makes is a call of its own, with its own retries."""
    spare = make_upstream(503, 200)
    failing = make_upstream(503)
    answer = session.get(failing.url, fallback=lambda error: session.get(spare.url))
    assert (answer.status_code, len(spare.requests)) == (200, 2)
    ends = [event for event in events if isinstance(event, CallFinished)]
    assert [(end.outcome, end.fallback) for end in ends] == [
        ("exhausted", True),
        ("success", False),
    ]


def test_fallback_that_raises_shows_the_failure_behind(session, make_upstream):
    """An exception of the fallback's own is raised, with the call's failure as its context."""
    with pytest.raises(ZeroDivisionError) as raised:
        session.get(make_upstream(Reply(fault="reset")).url, fallback=lambda error: 1 / 0)
    assert isinstance(raised.value.__context__, requests.ConnectionError)


def test_fallback_is_asked_instead_of_raise_for_status(make_session, make_upstream):
    """RAISE_FOR_STATUS raises what no fallback takes the place of."""
    session = make_session(ClientOptions(raise_for_status=True))
    assert session.get(make_upstream(503).url, fallback=[]) == []
    with pytest.raises(requests.HTTPError):
        session.get(make_upstream(404).url, fallback=[])


def test_function_of_no_argument_is_refused(session):
    """A fallback that could not be called is refused before anything is sent."""
    with pytest.raises(ConfigurationError, match="fallback is"):
        session.get("http://127.0.0.1:9/", fallback=lambda: 3)


def test_answers_nobody_reads_go_back_to_the_pool(session, make_upstream):
    """The failed stream that a fallback takes the place of is closed."""
    upstream = make_upstream(503)
    session.get(upstream.url, stream=True, retries=0, fallback=[])
    pools = session.adapters["http://"].poolmanager.pools
    (pool,) = [pools[key] for key in pools.keys()]  # noqa: SIM118  # it is no mapping to iterate
    assert (pool.num_requests, pool.pool.qsize()) == (1, pool.pool.maxsize)


def _requests_kind(kind):
    """Return the class of ours that is also one of requests'."""
    return next(one for one in kind.__subclasses__() if one.__module__.endswith("outbound.errors"))


def _broken_body():
    raise KeyError("mine")
    yield b""
