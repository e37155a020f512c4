"""What went wrong is judged by the chain behind an exception, each row made on a real socket."""

from __future__ import annotations

import socket

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from flask_resilience import RetryPolicy, errors
from flask_resilience.outbound import errors as outbound_errors
from flask_resilience.outbound.outcome import judge_error, parse_retry_after
from flask_resilience.policies.outcome import Outcome
from flask_resilience.testing import Reply

POLICY = RetryPolicy()


def raised_by(url, **arguments):
    """Return what a plain session raises."""
    arguments.setdefault("timeout", 0.3)
    with requests.Session() as plain, pytest.raises(Exception) as raised:  # noqa: PT011
        plain.get(url, **arguments)
    return raised.value


@pytest.fixture
def full_port():
    """Return the address of a listener whose queue is full, so that connects time out."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        waiting = []
        for _ in range(4):
            one = socket.socket()
            one.setblocking(False)
            one.connect_ex(listener.getsockname())
            waiting.append(one)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        for one in waiting:
            one.close()


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        pytest.param("http://127.0.0.1:9/", "ConnectionError", id="refused"),
        pytest.param("http://no-such-host.invalid/", "ConnectionError", id="unknown host"),
    ],
)
def test_what_never_left_may_be_sent_again(url, kind):
    """A refused connection or an unknown name proves that nothing was sent."""
    verdict = judge_error(raised_by(url), POLICY, "unsafe")
    assert (verdict.outcome, verdict.error_type, verdict.refusal) == (Outcome.FAILURE, kind, None)


def test_connect_timeout_was_never_sent(full_port):
    """A connect that times out proves that nothing was sent."""
    error = raised_by(full_port)
    assert isinstance(error, requests.ConnectTimeout)
    assert judge_error(error, POLICY, "unsafe").refusal is None


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        pytest.param("reset", "ConnectionError", id="reset before the answer"),
        pytest.param("hang", "ReadTimeout", id="no answer in time"),
        pytest.param("drip", "ConnectionError", id="body stalls"),
        pytest.param("truncate", "ChunkedEncodingError", id="truncated body"),
        pytest.param("garbage", "ConnectionError", id="no HTTP"),
    ],
)
def test_what_may_have_been_sent_is_not_sent_again(make_upstream, fault, kind):
    """After any of these the upstream may have acted: a failure, unsafe to repeat."""
    upstream = make_upstream(Reply(body=b"x" * 20, fault=fault, pace=5))
    verdict = judge_error(raised_by(upstream.url), POLICY, "unsafe")
    assert (verdict.outcome, verdict.error_type, verdict.refusal) == (
        Outcome.FAILURE,
        kind,
        "unsafe",
    )


@pytest.mark.parametrize(
    ("url", "arguments"),
    [
        pytest.param("http://", {}, id="no host"),
        pytest.param("nowhere", {}, id="no schema"),
        pytest.param("gopher://host/", {}, id="unknown schema"),
        pytest.param("http://127.0.0.1:9/", {"headers": {"X": "a\nb"}}, id="header with a line"),
        pytest.param("http://127.0.0.1:9/", {"timeout": "soon"}, id="timeout of text"),
    ],
)
def test_callers_mistake_is_ignored_and_final(url, arguments):
    """A mistake on this side says nothing of the upstream, and trying again would not help."""
    verdict = judge_error(raised_by(url, **arguments), POLICY, None)
    assert (verdict.outcome, verdict.refusal) == (Outcome.IGNORED, "error")


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        pytest.param("2", 2.0, id="seconds"),
        pytest.param(" 0 ", 0.0, id="zero with spaces"),
        pytest.param("0.5", 0.5, id="decimal seconds"),
        pytest.param("Thu, 01 Jan 1970 00:00:30 GMT", 20.0, id="a date"),
        pytest.param("Thu, 01 Jan 1970 00:00:05 GMT", 0.0, id="a date gone by"),
        pytest.param("Thursday, 01-Jan-70 00:00:30 GMT", 20.0, id="an old form of date"),
        pytest.param("abc", None, id="text"),
        pytest.param("", None, id="nothing"),
        pytest.param("-1", None, id="negative"),
        pytest.param("1e3", None, id="an exponent"),
        pytest.param("nan", None, id="not a number"),
        pytest.param("1.2.3", None, id="two points"),
        pytest.param("٣", None, id="digits of another script"),
        pytest.param("9" * 400, None, id="400 digits"),
        pytest.param("Thu, 99 Jan 1970 00:00:30 GMT", None, id="no such day"),
    ],
)
def test_retry_after_forms(value, seconds):
    """Seconds, decimal seconds and dates are understood; whatever else there is, is not."""
    assert parse_retry_after(value, now=10.0) == seconds


@given(st.text())
def test_retry_after_never_raises(value):
    """No header text makes the parser raise, and no wait is negative."""
    seconds = parse_retry_after(value, now=0.0)
    assert seconds is None or seconds >= 0


@pytest.mark.parametrize("kind", [errors.CircuitOpenError, outbound_errors.CircuitOpenError])
def test_rejection_of_ours_says_nothing_of_the_upstream(kind):
    """A transport that meets an open circuit of another upstream charges this one with nothing."""
    verdict = judge_error(kind("other", 1.0, "503"), RetryPolicy(), None)
    assert (verdict.outcome, verdict.refusal) == (Outcome.IGNORED, "error")
