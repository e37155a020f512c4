"""A streamed answer ends its attempt and its call once, whichever way its body ends."""

from __future__ import annotations

import gc
import pickle
import shutil
import warnings
from io import BytesIO

import pytest
import requests
import urllib3

from flask_resilience import CircuitBreakerPolicy
from flask_resilience.events import AttemptFinished, CallFinished
from flask_resilience.policies.circuit_breaker import State
from flask_resilience.storage.memory import MemoryStorage
from flask_resilience.testing import Reply

BODY = Reply(body=b"x" * 1000)


@pytest.fixture(autouse=True)
def _sockets_of_streams_let_go():
    """Collect what a test let go: requests leaves such sockets to the collector, which warns."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        yield
        gc.collect()


def read_raw(response):
    """Read past the response, as ``shutil.copyfileobj`` does."""
    shutil.copyfileobj(response.raw, BytesIO())


def read_raw_at_once(response):
    """Read past the response in one go."""
    response.raw.read()


def read_lines(response):
    """Read by lines."""
    list(response.iter_lines())


def read_content(response):
    """Read the whole."""
    assert len(response.content) == 1000


def leave_early(response):
    """Read a little and lose interest."""
    next(response.iter_content(10))


def close(response):
    """Read nothing."""
    response.close()


def interrupt(response):
    """Be interrupted while reading."""
    chunks = response.iter_content(10)
    next(chunks)
    with pytest.raises(KeyboardInterrupt):
        chunks.throw(KeyboardInterrupt)


def let_go(response):
    """Do nothing with it at all."""


def keep_only_raw(response):
    """Let go of the response and read on, as in ``copyfileobj(session.get(…).raw, …)``."""
    raw = response.raw
    del response
    assert len(raw.read()) == 1000


@pytest.mark.parametrize(
    "end",
    [
        *(read_raw, read_raw_at_once, read_lines, read_content, leave_early, close),
        *(let_go, keep_only_raw),
    ],
)
def test_every_end_is_told_once(session, make_upstream, events, end):
    """However a stream ends, there is one attempt and then one finish event, with its status."""
    end(session.get(make_upstream(BODY).url, stream=True))
    assert [type(one) for one in events] == [AttemptFinished, CallFinished]
    assert (events[0].status, events[0].failed, events[1].outcome) == (200, False, "success")


@pytest.mark.parametrize("end", [read_raw, read_raw_at_once, read_lines, read_content, close])
def test_end_is_told_when_it_comes(session, make_upstream, events, end):
    """The last byte or a close ends a stream, even while somebody keeps the response."""
    response = session.get(make_upstream(BODY).url, stream=True)
    end(response)
    assert [type(one) for one in events] == [AttemptFinished, CallFinished]
    response.close()
    assert len(events) == 2


def test_interrupted_reading_is_no_success(session, make_upstream, events):
    """Who is interrupted while reading ends the call as failed, and the attempt as nobody's."""
    interrupt(session.get(make_upstream(BODY).url, stream=True))
    assert [type(one) for one in events] == [AttemptFinished, CallFinished]
    assert (events[0].failed, events[1].outcome) == (False, "failed")


@pytest.mark.parametrize("end", [read_raw, read_content, leave_early, close, let_go])
def test_every_end_hands_a_trial_back(make_session, make_upstream, clock, end):
    """A trial that was a stream is never left out: the next call may try or the circuit closed."""
    session = make_session(breaker=CircuitBreakerPolicy(failure_threshold=1))
    upstream = make_upstream(500, BODY, BODY)
    session.get(upstream.url, retries=0)
    clock.advance(60)
    end(session.get(upstream.url, stream=True))
    assert session.get(upstream.url).status_code == 200


def test_trial_that_nobody_read_proves_nothing(make_session, make_upstream, clock):
    """A stream let go unread neither closes the circuit nor opens it again."""
    storage = MemoryStorage(clock)
    session = make_session(breaker=CircuitBreakerPolicy(failure_threshold=1), storage=storage)
    upstream = make_upstream(500, BODY)
    session.get(upstream.url, retries=0)
    clock.advance(60)
    let_go(session.get(upstream.url, stream=True))
    circuit = storage.read(upstream.url).circuit
    assert (circuit.state, circuit.trials) == (State.HALF_OPEN, ())


@pytest.mark.parametrize(
    ("end", "error"),
    [
        pytest.param(read_raw, urllib3.exceptions.ProtocolError, id="raw"),
        pytest.param(read_lines, requests.exceptions.ChunkedEncodingError, id="lines"),
    ],
)
def test_truncated_stream_is_a_failure(session, make_upstream, events, end, error):
    """A body that breaks off is a failure even for who reads past the response."""
    upstream = make_upstream(Reply(body=b"x" * 1000, fault="truncate"))
    with session.get(upstream.url, stream=True) as response, pytest.raises(error):
        end(response)
    assert (events[0].failed, events[1].outcome) == (True, "failed")


def test_stream_that_stays_a_failure_is_told_at_once(session, make_upstream, events):
    """When the retries are used up, nobody has to read the last 503 for the call to be told."""
    session.get(make_upstream(503).url, stream=True)
    assert events[-1].outcome == "exhausted"


def test_failing_hook_on_a_stream_ends_it(session, make_upstream, events):
    """A response hook that raises ends call and attempt, and holds nothing back."""

    def fail(response, **_):
        raise RuntimeError("hook")

    with pytest.raises(RuntimeError):
        session.get(make_upstream(BODY).url, stream=True, hooks={"response": fail})
    assert [type(one) for one in events] == [AttemptFinished, CallFinished]
    assert events[1].outcome == "failed"


def test_stream_needs_no_name(session, make_upstream, events):
    """A stream that is used without being kept anywhere lives as long as it is used."""
    upstream = make_upstream(BODY)
    assert len(b"".join(session.get(upstream.url, stream=True).iter_content(7))) == 1000
    session.get(upstream.url, stream=True).close()
    assert [one.outcome for one in events if isinstance(one, CallFinished)] == ["success"] * 2


def test_stream_survives_pickling(session, make_upstream):
    """A streamed response is pickled as requests does it: read to its end, and a plain one."""
    copy = pickle.loads(pickle.dumps(session.get(make_upstream(BODY).url, stream=True)))
    assert type(copy) is requests.Response
    assert len(copy.content) == 1000
