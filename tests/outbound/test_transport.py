"""The wire keeps to the attempt's time, however the upstream spends it."""

from __future__ import annotations

import io
import select
import socket
import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
import urllib3

from flask_resilience import DeadlineExceededError
from flask_resilience.clock import SYSTEM_CLOCK
from flask_resilience.events import AttemptFinished, CallFinished
from flask_resilience.outbound.transport import attempt_deadline, keep_deadlines
from flask_resilience.testing import Reply, ScriptedUpstream

CERTIFICATE = Path(__file__).parent / "self_signed.pem"

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
    assert isinstance(error.__cause__, requests.ConnectionError)
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


def test_mounted_adapter_keeps_the_deadline(session, make_upstream):
    """An adapter the user mounts, for its pool size say, is held to the deadline, too."""
    session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=2))
    error, took = timed(lambda: session.get(make_upstream(DRIP).url, deadline=0.7))
    assert isinstance(error, DeadlineExceededError)
    assert took < 1.2


def test_upload_to_a_peer_that_does_not_read_ends_with_the_deadline(session):
    """Sending is limited as well: a peer that takes nothing costs no more than the deadline."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        body = b"x" * 20_000_000
        error, took = timed(lambda: session.put(url, data=body, deadline=0.5, timeout=9))
    assert isinstance(error, DeadlineExceededError)
    assert 0.4 <= took < 3


def test_upload_to_a_peer_that_reads_slowly_ends_with_the_deadline(session):
    """A peer that takes a little again and again gets no more time than one that takes nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as pool:

        def read_slowly():
            connection, _ = listener.accept()
            with connection:
                for _ in range(20):
                    connection.recv(400_000)
                    select.select([], [], [], 0.2)

        reading = pool.submit(read_slowly)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        body = io.BytesIO(b"x" * 50_000_000)  # sent piece by piece, each with its own timeout
        error, took = timed(lambda: session.put(url, data=body, deadline=0.7))
        reading.result(20)
    assert isinstance(error, DeadlineExceededError)
    assert took < 2.5


def test_proxy_keeps_the_deadline(session, make_upstream):
    """An answer that drips through a proxy ends with the deadline."""
    proxy = make_upstream(DRIP)
    proxies = {"http": proxy.url}
    error, _ = timed(lambda: session.get("http://a.invalid/", proxies=proxies, deadline=0.7))
    assert isinstance(error, DeadlineExceededError)
    assert proxy.requests[0].path == "http://a.invalid/"


def test_pools_of_another_kind_stay_of_their_kind():
    """A manager with pools of its own, as one for SOCKS, keeps them under their names."""

    class OwnConnection(urllib3.connection.HTTPConnection):
        """Takes an option that others do not know."""

        def __init__(self, *args, own_option, **kwargs):
            super().__init__(*args, **kwargs)

    class OwnPool(urllib3.HTTPConnectionPool):
        """A pool of them."""

        ConnectionCls = OwnConnection

    adapter = requests.adapters.HTTPAdapter()
    adapter.poolmanager.pool_classes_by_scheme = {"http": OwnPool}
    for _ in range(2):
        keep_deadlines(adapter)
    kind = adapter.poolmanager.pool_classes_by_scheme["http"]
    assert issubclass(kind, OwnPool)
    assert kind.__name__ == "OwnPool"
    assert isinstance(kind("a").ConnectionCls("a", own_option=1), OwnConnection)


def test_deadline_is_forgotten_after_the_attempt(session, make_upstream):
    """A plain session that is used afterwards is limited by nothing of ours."""
    session.get(make_upstream(200).url)
    assert attempt_deadline.get() is None


@pytest.fixture
def tls_upstream():
    """Start an upstream behind TLS with a certificate that nobody has signed."""
    upstream = ScriptedUpstream(DRIP)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    upstream.socket = context.wrap_socket(upstream.socket, server_side=True)
    with upstream:
        yield upstream, upstream.url.replace("http://127.0.0.1", "https://localhost")


def test_dripping_body_over_tls_ends_with_the_deadline(session, tls_upstream):
    """The deadline holds behind TLS, too."""
    error, _ = timed(lambda: session.get(tls_upstream[1], verify=str(CERTIFICATE), deadline=0.9))
    assert isinstance(error, DeadlineExceededError)


def test_certificate_that_fails_is_not_tried_again(session, tls_upstream, events):
    """A certificate does not get better by asking again."""
    upstream, url = tls_upstream
    error, _ = timed(lambda: session.get(url))
    assert isinstance(error, requests.exceptions.SSLError)
    assert [type(one) for one in events] == [AttemptFinished, CallFinished]
    assert (events[0].failed, events[1].outcome) == (True, "failed")
    assert upstream.requests == []


def test_adapter_that_was_used_before_keeps_the_deadline_from_now_on(session, make_upstream):
    """Pools that an adapter opened before it was mounted are not used again."""
    adapter, upstream = requests.adapters.HTTPAdapter(), make_upstream(200, DRIP)
    with requests.Session() as plain:
        plain.mount("http://", adapter)
        plain.get(upstream.url, timeout=5)
        session.mount("http://", adapter)
        error, _ = timed(lambda: session.get(upstream.url, deadline=0.7))
    assert isinstance(error, DeadlineExceededError)


def test_adapter_shared_by_many_sessions_stays_as_it_is():
    """Mounting one adapter again and again wraps it once."""
    adapter = requests.adapters.HTTPAdapter()
    keep_deadlines(adapter)
    once = adapter.proxy_manager_for
    keep_deadlines(adapter)
    assert adapter.proxy_manager_for is once
