"""What a call tells whoever made it: the report of an answer, and the notes of an exception."""

from __future__ import annotations

import contextlib
import gc
import pickle
import weakref

import pytest
import requests

from flask_resilience import (
    CallReport,
    CircuitBreakerPolicy,
    CircuitOpenError,
    ClientOptions,
    RetryPolicy,
)
from flask_resilience.testing import Reply

RESET = Reply(fault="reset")


def notes(error):
    """Return the notes that a traceback of *error* shows."""
    return getattr(error, "__notes__", [])


def test_answer_carries_the_report(session, make_upstream, clock, events):
    """The report has the attempts, each wait, the upstream, the circuit and the outcome."""
    upstream = make_upstream(503, 503, 200)
    report = session.get(upstream.url).resilience
    assert report == CallReport(
        call_id=events[-1].call_id,
        upstream=upstream.url,
        attempts=3,
        waits=tuple(clock.slept),
        circuit_state="closed",
        outcome="success",
        stop_reason=None,
    )


@pytest.mark.parametrize(
    ("script", "arguments", "outcome", "reason", "state"),
    [
        pytest.param([503], {}, "exhausted", "attempts", "closed", id="attempts used up"),
        pytest.param([507], {}, "failed", "error", "closed", id="not worth another"),
        pytest.param([503], {"deadline": 0.5}, "deadline", "deadline", "closed", id="no time left"),
        pytest.param(
            [Reply(status=503, headers={"Retry-After": "99"})],
            {},
            "exhausted",
            "retry_after",
            "closed",
            id="too long to wait",
        ),
    ],
)
def test_report_says_why_it_stopped(
    session, make_upstream, script, arguments, outcome, reason, state
):
    """A failed answer's report says why no further attempt was made."""
    report = session.get(make_upstream(*script).url, **arguments).resilience
    assert (report.outcome, report.stop_reason, report.circuit_state) == (outcome, reason, state)


def test_report_tells_of_the_circuit_that_opened(make_session, make_upstream):
    """When the call's own failure opened the circuit, its report says so."""
    session = make_session(breaker=CircuitBreakerPolicy(failure_threshold=2))
    report = session.get(make_upstream(503).url).resilience
    assert (report.circuit_state, report.stop_reason) == ("open", "circuit_open")


def test_body_that_cannot_be_sent_again_is_in_the_report(session, make_upstream):
    """The report says that a generator was why there was one attempt."""
    answer = session.put(make_upstream(503, 200).url, data=(part for part in [b"a"]))
    assert (answer.resilience.attempts, answer.resilience.stop_reason) == (1, "body")


def test_streamed_answer_carries_the_report(session, make_upstream):
    """A stream has its report when its headers are there."""
    with session.get(make_upstream(503, 200).url, stream=True) as answer:
        assert (answer.resilience.attempts, answer.resilience.outcome) == (2, "success")


def test_exception_is_the_original_with_a_note(session, make_upstream, clock):
    """What is raised in the end is what requests raised, with attempts, waits and reason."""
    upstream = make_upstream(RESET)
    with pytest.raises(requests.ConnectionError) as raised:
        session.get(upstream.url)
    assert type(raised.value) is requests.ConnectionError
    waits = ", ".join(f"{wait:.3g} s" for wait in clock.slept)
    told = f"4 attempts at {upstream.url} with waits of {waits}; no further one, as: attempts."
    assert notes(raised.value) == [f"flask-resilience: {told}"]
    assert raised.value.resilience.attempts == 4


def test_unsafe_failure_says_so(session, make_upstream):
    """A POST that may have acted is noted as unsafe to repeat."""
    with pytest.raises(requests.ConnectionError) as raised:
        session.post(make_upstream(RESET).url)
    assert raised.value.resilience.stop_reason == "unsafe"
    assert notes(raised.value)[0].endswith("no further one, as: unsafe.")


def test_exception_survives_pickling_with_its_note(session, make_upstream):
    """Another process gets the original exception, its note and its report."""
    with pytest.raises(requests.ConnectionError) as raised:
        session.get(make_upstream(RESET).url)
    same = pickle.loads(pickle.dumps(raised.value))
    assert type(same) is type(raised.value)
    assert notes(same) == notes(raised.value)
    assert same.resilience == raised.value.resilience


def test_one_exception_raised_again_has_one_note(make_session, clock):
    """A transport that raises the same object each time gathers no notes on it."""
    error = requests.ConnectionError("the same")

    class Raising(requests.adapters.BaseAdapter):
        def send(self, *args, **kwargs):
            raise error

        def close(self):
            """Have nothing to close."""

    error.__notes__ = ["somebody else's"]
    session = make_session(breaker=CircuitBreakerPolicy(mode="disabled"))
    session.mount("http://", Raising())
    for _ in range(3):
        with pytest.raises(requests.ConnectionError):
            session.get("http://a.invalid/")
    assert [note[:16] for note in notes(error)] == ["somebody else's", "flask-resilience"]


def test_rejected_call_has_a_report(make_session, make_upstream):
    """A call that an open circuit rejected has made no attempt, and needs no note."""
    session = make_session(breaker=CircuitBreakerPolicy(failure_threshold=1))
    upstream = make_upstream(500)
    session.get(upstream.url)
    with pytest.raises(CircuitOpenError) as raised:
        session.get(upstream.url)
    report = raised.value.resilience
    assert (report.attempts, report.stop_reason, report.circuit_state) == (
        0,
        "circuit_open",
        "open",
    )
    assert notes(raised.value) == []


def test_without_retries_an_exception_has_no_note(make_session, make_upstream):
    """With retries off the exception is as requests raises it."""
    session = make_session(retry=RetryPolicy(attempts=1))
    with pytest.raises(requests.ConnectionError) as raised:
        session.get(make_upstream(RESET).url)
    assert notes(raised.value) == []


def test_callers_mistake_has_no_report(session):
    """An invalid URL is no failed call."""
    with pytest.raises(requests.exceptions.InvalidURL) as raised:
        session.get("http://")
    assert not hasattr(raised.value, "resilience")


def test_error_for_a_status_has_the_report(make_session, make_upstream):
    """What RAISE_FOR_STATUS raises carries the report and a note, too."""
    session = make_session(ClientOptions(raise_for_status=True))
    with pytest.raises(requests.HTTPError) as raised:
        session.get(make_upstream(503).url)
    assert raised.value.resilience.attempts == 4
    assert "4 attempts" in notes(raised.value)[0]


def test_exception_whose_notes_are_none_is_raised(session):
    """Whatever somebody has left where notes go, the exception comes out."""
    error = requests.ConnectionError("odd")
    error.__notes__ = None

    class Raising(requests.adapters.BaseAdapter):
        def send(self, *args, **kwargs):
            raise error

        def close(self):
            """Have nothing to close."""

    session.mount("http://", Raising())
    with pytest.raises(requests.ConnectionError, match="odd"):
        session.get("http://a.invalid/")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("reply", [503, Reply(fault="truncate"), RESET])
def test_failed_call_leaves_nothing_behind(session, make_upstream, reply, stream):
    """An answer or exception that was let go is gone at once, without a collection of garbage."""
    upstream, kept = make_upstream(reply), []
    gc.collect()
    gc.disable()
    try:
        with contextlib.suppress(requests.RequestException):
            try:
                kept.append(weakref.ref(session.get(upstream.url, stream=stream)))
            except requests.RequestException as error:
                kept.append(weakref.ref(error))
                raise
        assert [one() for one in kept] == [None]
    finally:
        gc.enable()
