"""What an upstream asks for with ``Retry-After``, and how long is waited then."""

from __future__ import annotations

import time
from email.utils import formatdate

import pytest

from flask_resilience.testing import Reply

BACKOFF = (0.8, 1.2)


def saying(value):
    """Return an answer that asks to be left alone."""
    return Reply(status=503, headers={"Retry-After": value})


@pytest.mark.parametrize(
    ("value", "bounds"),
    [
        pytest.param("2", (2.0, 2.4), id="seconds"),
        pytest.param("2.0", (2.0, 2.4), id="decimal seconds"),
        pytest.param("0.5", (0.5, 1.2), id="less than the backoff"),
        pytest.param("0", BACKOFF, id="at once"),
        pytest.param("abc", BACKOFF, id="a word"),
        pytest.param("-1", BACKOFF, id="negative"),
        pytest.param("", BACKOFF, id="empty"),
        pytest.param("9" * 400, BACKOFF, id="400 digits"),
        pytest.param("1e1", BACKOFF, id="with an exponent"),
        pytest.param("NaN", BACKOFF, id="no number"),
        pytest.param("Wed, 99 Foo 2026 00:00:00 GMT", BACKOFF, id="no date"),
        pytest.param("Thu, 01 Jan 1970 00:00:00 GMT", BACKOFF, id="a date gone by"),
    ],
)
def test_wait_is_never_shorter_and_little_longer(session, make_upstream, clock, value, bounds):
    """The wait is as long as was asked for or as the backoff, if that is longer."""
    assert session.get(make_upstream(saying(value), 200).url).status_code == 200
    (waited,) = clock.slept
    assert bounds[0] <= waited <= bounds[1]


def test_date_is_as_good_as_seconds(session, make_upstream, clock):
    """An HTTP date two seconds ahead is waited for."""
    upstream = make_upstream(saying(formatdate(clock.wall() + 2, usegmt=True)), 200)
    assert session.get(upstream.url).status_code == 200
    (waited,) = clock.slept
    assert 2.0 <= waited <= 2.4


def test_a_day_is_not_waited_for(session, make_upstream, clock):
    """An upstream that asks for a day has its answer returned at once, and is not asked again."""
    upstream = make_upstream(saying("86400"), 200)
    began = time.monotonic()
    answer = session.get(upstream.url)
    assert (answer.status_code, answer.resilience.stop_reason) == (503, "retry_after")
    assert (len(upstream.requests), clock.slept) == (1, [])
    assert time.monotonic() - began < 2
