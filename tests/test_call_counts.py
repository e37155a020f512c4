"""What a request cost in calls stands on its finish line."""

from __future__ import annotations

import threading

import pytest
import requests
from flask import Response

from flask_resilience import Resilience, ResilientSession
from flask_resilience.call_counts import CallCounts, CallFigures
from flask_resilience.testing import Reply

NAMES = (
    *("outbound_calls", "outbound_attempts", "outbound_retries", "outbound_failures"),
    *("outbound_ms", "retry_wait_ms"),
)


@pytest.fixture
def finish_line(make_app, log_lines):
    """Return what serves one request with a function, and gives the counts of its finish line."""

    def serve(view, **settings):
        app = make_app(retry_jitter="none", **settings)
        app.add_url_rule("/", "index", lambda: view(Resilience().session) or "")
        app.test_client().get("/").close()
        (line,) = log_lines("http.server.request.finish")
        return [line.get(name) for name in NAMES]

    return serve


def test_request_without_calls_has_no_counts(finish_line):
    """What did not happen is not told."""
    assert finish_line(lambda session: None) == [None] * 6


def test_good_call(finish_line, make_upstream):
    """A call that succeeds at once is one call and one attempt."""
    url = make_upstream(200).url
    assert finish_line(lambda session: session.get(url) and "") == [1, 1, 0, 0, 0.0, 0.0]


def test_retried_call(finish_line, make_upstream):
    """Each wait is a retry; the waits are part of the time."""
    url = make_upstream(503, 503, 200).url
    assert finish_line(lambda session: session.get(url) and "") == [1, 3, 2, 0, 3000.0, 3000.0]


def test_several_calls_add_up(finish_line, make_upstream):
    """Two failures in vain and a success."""
    url = make_upstream(503, 503, 503, 503, 200).url

    def view(session):
        for _ in range(3):
            session.get(url, retries=1)

    assert finish_line(view, breaker_mode="disabled") == [3, 5, 2, 2, 2000.0, 2000.0]


def test_rejected_call_is_a_failure_without_an_attempt(finish_line, make_upstream):
    """A call that the circuit turned away is a call that failed."""
    url = make_upstream(500).url

    def view(session):
        session.get(url, retries=0)
        with pytest.raises(requests.ConnectionError):
            session.get(url, retries=0)

    assert finish_line(view, breaker_failure_threshold=1)[:4] == [2, 1, 0, 2]


def test_call_to_nowhere_is_none(finish_line):
    """One that failed before it was clear whom it was for has no lines and no count."""

    def view(session):
        with pytest.raises(requests.exceptions.MissingSchema):
            session.get("nowhere")

    assert finish_line(view) == [None] * 6


def test_call_of_another_session_counts(finish_line, make_upstream):
    """Any session's calls count, on whatever clock it runs."""
    url = make_upstream(200).url

    def view(session):
        with ResilientSession() as own:
            own.get(url)

    assert finish_line(view)[:4] == [1, 1, 0, 0]


def test_stream_counts_once_it_is_read(finish_line, make_upstream):
    """A body that the view reads belongs to the call."""
    url = make_upstream(200).url
    assert finish_line(lambda session: session.get(url, stream=True).text)[:4] == [1, 1, 0, 0]


def test_stream_that_fails_counts_as_a_failure(finish_line, make_upstream):
    """How the body ended is how the call did."""
    url = make_upstream(Reply(fault="truncate", body=b"whole")).url

    def view(session):
        with pytest.raises(requests.exceptions.ChunkedEncodingError):
            session.get(url, stream=True).content  # noqa: B018  # which reads it

    assert finish_line(view)[:4] == [1, 1, 0, 1]


@pytest.mark.parametrize("headers", [{}, {"Content-Length": "2"}], ids=["open", "of known length"])
def test_stream_that_is_handed_through_counts(finish_line, make_upstream, headers):
    """A body that goes on to the client counts, although it may end after the request."""
    url = make_upstream(200).url

    def view(session):
        return Response(session.get(url, stream=True).iter_content(2), headers=headers)

    assert finish_line(view)[:4] == [1, 1, 0, 0]


def test_calls_of_two_requests_are_counted_apart(make_app, make_upstream, log_lines):
    """What one request costs is no business of the next."""
    url, app = make_upstream(200).url, make_app()
    app.add_url_rule("/", "index", lambda: Resilience().session.get(url).text)
    for _ in range(2):
        app.test_client().get("/").close()
    lines = log_lines("http.server.request.finish")
    assert [one["outbound_calls"] for one in lines] == [1, 1]


class Fixed:
    """A call of fixed figures."""

    def figures(self):
        """Return them."""
        return CallFigures(1, 2, 1, 1, 0.5, 0.25)


def test_call_under_way_counts_as_it_is():
    """It is counted once, while it lasts and when it is over."""
    counts, call = CallCounts(), Fixed()
    counts.begin(call)
    assert counts.totals() == call.figures()
    counts.end(call)
    assert counts.totals() == call.figures()


def test_no_call_is_lost_between_threads():
    """Threads that count at once do not undo each other's counts."""
    counts = CallCounts()

    def count():
        for _ in range(1000):
            call = Fixed()
            counts.begin(call)
            counts.end(call)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts.totals() == (4000, 8000, 4000, 4000, 2000.0, 1000.0)
