"""A streamed answer ends its attempt and its call once, whichever way its body ends."""

from __future__ import annotations

import gc
import pickle
import shutil
import warnings
from io import BytesIO
from unittest import mock

import pytest
import requests
import urllib3

from flask_resilience import CircuitBreakerPolicy, Resilience, RetryPolicy
from flask_resilience.events import AttemptFinished, CallFinished, CircuitChanged
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
    clock.advance(66)
    end(session.get(upstream.url, stream=True))
    assert session.get(upstream.url).status_code == 200


def test_trial_that_nobody_read_proves_nothing(make_session, make_upstream, clock, events):
    """A stream let go unread neither closes the circuit nor opens it again."""
    session = make_session(breaker=CircuitBreakerPolicy(failure_threshold=1))
    upstream = make_upstream(500, BODY, 200)
    session.get(upstream.url, retries=0)
    clock.advance(66)
    let_go(session.get(upstream.url, stream=True))
    changes = [one.to_state for one in events if isinstance(one, CircuitChanged)]
    assert changes == ["open", "half_open"]
    assert session.get(upstream.url).status_code == 200


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


def test_collection_in_the_midst_of_the_storage_blocks_nothing(make_session, make_upstream, clock):
    """A stream collected while its own thread holds the storage's lock ends all the same."""
    storage = MemoryStorage(clock)
    session = make_session(storage=storage)
    holder = [session.get(make_upstream(BODY).url, stream=True)]
    holder.append(holder)
    del holder
    with storage._lock:  # noqa: SLF001  # what a collection could come upon
        gc.collect()
    assert session.get(make_upstream(200).url).status_code == 200


def test_stream_that_is_let_go_asks_no_storage(make_session, make_upstream, clock, monkeypatch):
    """What ends within a garbage collection waits for nothing."""
    storage = MemoryStorage(clock)
    session = make_session(storage=storage)
    stream = session.get(make_upstream(BODY).url, stream=True)
    clock.advance(1)
    for name in ("read", "compare_and_set"):
        monkeypatch.setattr(storage, name, mock.Mock(side_effect=AssertionError))
    del stream
    gc.collect()
    assert storage.read.mock_calls == storage.compare_and_set.mock_calls == []


def test_stream_let_go_later_is_told_as_its_own_requests(make_app, make_upstream, log_lines):
    """Whoever is being served when a stream is let go, its lines carry its own request's ID."""
    app, upstream, held = make_app(), make_upstream(BODY), []
    resilience = Resilience()
    url = upstream.url

    def keep():
        held.append(resilience.session.get(url, stream=True))
        return "kept"

    app.add_url_rule("/open", "open", keep)
    app.add_url_rule("/drop", "drop", lambda: str(held.clear()))
    client = app.test_client()
    client.get("/open", headers={"X-Request-ID": "one"})
    client.get("/drop", headers={"X-Request-ID": "two"})
    assert [line["request_id"] for line in log_lines("http.client.finish")] == ["one"]


def test_answer_that_a_hook_replaces_finishes_no_call(session, make_upstream, events):
    """When a hook puts another answer in the place of a stream, the call is told of once."""
    upstream = make_upstream(Reply(status=401, body=b"no"), BODY)

    def renew(response, **kwargs):
        if response.status_code == 401:
            return response.connection.send(response.request, **kwargs)
        return response

    response = session.get(upstream.url, stream=True, hooks={"response": renew})
    gc.collect()
    assert [one for one in events if isinstance(one, CallFinished)] == []
    assert len(response.content) == 1000
    assert [one.outcome for one in events if isinstance(one, CallFinished)] == ["success"]


def test_raw_stream_that_breaks_off_is_a_failure(session, make_upstream, events):
    """Reading by ``raw.stream`` is watched, too."""
    upstream = make_upstream(Reply(body=b"x" * 1000, fault="truncate"))
    response = session.get(upstream.url, stream=True)
    with pytest.raises(urllib3.exceptions.ProtocolError):
        list(response.raw.stream(10))
    assert (events[0].failed, events[1].outcome) == (True, "failed")


def test_reading_nothing_ends_nothing(session, make_upstream, events):
    """``raw.read(0)`` gives nothing and says nothing of the rest."""
    with session.get(make_upstream(BODY).url, stream=True) as response:
        assert response.raw.read(0) == b""
        assert events == []


def test_answer_without_a_raw_one_is_no_stream(session, events):
    """A transport that answers with the whole body at once is not watched for its end."""

    class Whole(requests.adapters.BaseAdapter):
        def send(self, request, **kwargs):
            response = requests.Response()
            response.__setstate__({"_content": b"whole", "status_code": 200, "url": request.url})
            response.request = request
            return response

        def close(self):
            """Close nothing."""

    session.mount("whole://", Whole())
    assert session.get("whole://a/", stream=True, allow_redirects=False).content == b"whole"
    assert [type(one) for one in events] == [AttemptFinished, CallFinished]


@pytest.mark.parametrize("end", ["interrupted", "predicate"])
def test_stream_nobody_gets_is_closed(make_session, make_upstream, clock, end):
    """An answer that is neither returned nor followed gives its connection back."""

    def interrupt(seconds):
        raise KeyboardInterrupt

    def fail(response):
        raise ZeroDivisionError

    clock.sleep = interrupt
    policy = RetryPolicy(predicate=fail if end == "predicate" else None)
    session = make_session(retry=policy)
    upstream = make_upstream(200 if end == "predicate" else 503)
    with pytest.raises((KeyboardInterrupt, ZeroDivisionError)):
        session.get(upstream.url, stream=True)
    pools = session.adapters["http://"].poolmanager.pools
    (pool,) = [pools[key] for key in pools.keys()]  # noqa: SIM118  # it is no mapping to iterate
    assert pool.pool.qsize() == pool.pool.maxsize
