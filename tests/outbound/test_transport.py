"""The wire keeps to the attempt's time, however the upstream spends it."""

from __future__ import annotations

import time

import pytest
import requests

from flask_resilience import DeadlineExceededError
from flask_resilience.clock import SYSTEM_CLOCK
from flask_resilience.events import CallFinished
from flask_resilience.testing import Reply

DRIP = Reply(body=b"x" * 40, fault="drip", pace=0.5)


def timed(call):
    """Return what *call* raised and the seconds it took."""
    started = time.monotonic()
    with pytest.raises(requests.RequestException) as raised:
        call()
    return raised.value, time.monotonic() - started


@pytest.fixture
def session(make_session):
    """Return a session on the real clock, for real sockets' timeouts."""
    return make_session(clock=SYSTEM_CLOCK)


def test_dripping_body_ends_with_the_deadline(session, make_upstream, events):
    """A byte every 0.5 s under a deadline of 1.5 s ends at 1.5 s, not after 20."""
    error, took = timed(lambda: session.get(make_upstream(DRIP).url, deadline=1.5))
    assert isinstance(error, DeadlineExceededError)
    assert isinstance(error, requests.Timeout)
    assert 1.3 <= took <= 1.9
    assert events[-1].outcome == "deadline"


def test_streamed_dripping_body_ends_with_the_deadline(session, make_upstream, events):
    """The deadline holds while the user reads a stream, too."""
    with session.get(make_upstream(DRIP).url, deadline=1.0, stream=True) as response:
        error, _ = timed(lambda: list(response.iter_content(1)))
    assert isinstance(error, DeadlineExceededError)
    assert [one.outcome for one in events if isinstance(one, CallFinished)] == ["deadline"]


def test_dripping_body_ends_with_the_attempts_time(session, make_upstream):
    """``timeout`` limits the whole attempt to its last byte, not each byte."""
    upstream = make_upstream(DRIP, 200)
    assert session.get(upstream.url, timeout=0.7).status_code == 200
    assert len(upstream.requests) == 2


@pytest.mark.parametrize(
    "timeout", [pytest.param(0.3, id="number"), pytest.param((1, 0.3), id="pair")]
)
def test_silent_upstream_times_out(session, make_upstream, timeout):
    """No answer within the attempt's time is a ReadTimeout, after the retries allowed."""
    upstream = make_upstream(Reply(fault="hang"))
    error, _ = timed(lambda: session.get(upstream.url, timeout=timeout, retries=0))
    assert isinstance(error, requests.ReadTimeout)


def test_timed_out_post_is_not_sent_again(session, make_upstream):
    """A POST that was not answered may have acted: ReadTimeout after one attempt."""
    upstream = make_upstream(Reply(fault="hang"))
    error, _ = timed(lambda: session.post(upstream.url, json={}, timeout=0.3))
    assert isinstance(error, requests.ReadTimeout)
    assert len(upstream.requests) == 1


def test_connections_are_kept_and_their_timeouts_start_anew(session, make_upstream):
    """A kept connection serves the next call with that call's own time."""
    upstream = make_upstream(200, Reply(delay=0.5), 200)
    assert session.get(upstream.url, timeout=0.3).status_code == 200
    assert session.get(upstream.url, timeout=3).status_code == 200
    assert session.get(upstream.url, timeout=3).status_code == 200


def test_large_body_arrives_whole(session, make_upstream):
    """Reading through the deadline changes no byte."""
    body = bytes(range(256)) * 4000
    assert session.get(make_upstream(Reply(body=body)).url).content == body
