"""Connections kept between calls: how many, in which process, and when a server let go of one."""

from __future__ import annotations

import gc
import os
import socket
import ssl
import struct
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
import requests_mock
import urllib3
from requests.adapters import HTTPAdapter
from urllib3 import Retry

from flask_resilience import DeadlineExceededError
from flask_resilience.clock import SYSTEM_CLOCK
from flask_resilience.events import AttemptFinished, CallFinished
from flask_resilience.outbound import pools
from flask_resilience.outbound.transport import begin_anew, make_adapter, switch_off_retries
from flask_resilience.testing import FaultyHandler, FaultyServer, Reply
from tests.servers import run_python

CERTIFICATE = Path(__file__).parent / "self_signed.pem"
DRIP = Reply(body=b"x" * 40, fault="drip")
VERBS = ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"]


def tls_context():
    """Return what a server with the tests' certificate wraps its sockets in."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    return context


class ActsHandler(FaultyHandler):
    """Does the next act of the server's list with each request; the last one serves the rest."""

    def _serve(self):
        received = self.received()
        self.server.arrived.append((received.method, self.client_address[1], received.headers))
        acts = self.server.acts
        acts[min(len(self.server.arrived), len(acts)) - 1](self)

    do_GET = do_HEAD = do_OPTIONS = do_TRACE = _serve  # noqa: N815  # as in the base class
    do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815

    def do_CONNECT(self):  # noqa: N802  # as in the base class
        """Be the proxy and what is behind it."""
        self.server.tunnels += 1
        self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
        self.connection = tls_context().wrap_socket(self.connection, server_side=True)
        self.rfile, self.wfile = (self.connection.makefile(mode, 0) for mode in ("rb", "wb"))
        self.close_connection = False

    def finish(self):
        """Close the TLS connection of a tunnel, too, which nobody else knows of."""
        super().finish()
        self.connection.close()


def answer(handler):
    """Answer, and keep the connection."""
    handler.reply(Reply(status=204))


def close(handler):
    """Read the request and close the connection."""
    handler.close_connection = True


def reset(handler):
    """Read the request and break the connection."""
    linger_zero = struct.pack("ii", 1, 0)
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_zero)
    os.close(handler.connection.detach())
    handler.close_connection = True


def close_after_an_interim_answer(handler):
    """Begin to answer, and close the connection."""
    handler.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    handler.close_connection = True


def reset_amid_the_answer(handler):
    """Begin to answer, and break the connection once that was read."""
    handler.wfile.write(b"HTTP/1.1 2")
    handler.server.closing.wait(0.2)
    reset(handler)


@pytest.fixture
def serve():
    """Return what starts a server with a list of acts; all end after the test."""
    started = []

    def start(*acts, tls=False):
        server = FaultyServer(ActsHandler)
        server.acts, server.arrived, server.tunnels = acts, [], 0
        if tls:
            server.socket = tls_context().wrap_socket(server.socket, server_side=True)
        started.append(server.__enter__())
        return server

    yield start
    for server in started:
        server.__exit__(None, None, None)


@pytest.fixture
def idle(monkeypatch, clock):
    """Return what lets connections lie idle for a while."""
    monkeypatch.setattr(pools, "monotonic", clock.monotonic)
    return clock.advance


def ports(server):
    """Return how many connections requests arrived on."""
    return len({port for _, port, _ in server.arrived})


def queue_of(session):
    """Return the queue that *session* keeps its connections to the one host it called in."""
    kept = session.adapters["http://"].poolmanager.pools
    (key,) = kept.keys()
    return kept[key].pool


# A server that lets go of an idle connection


@pytest.mark.parametrize("verb", VERBS)
def test_request_on_a_stale_connection_goes_out_again(session, serve, idle, events, verb):
    """What a server closed while it was idle costs a repeatable request a connection, no more."""
    server = serve(answer, close, answer)
    session.get(server.url)
    idle(pools.STALE_AFTER)
    assert session.request(verb, server.url).status_code == 204
    assert [method for method, _, _ in server.arrived] == ["GET", verb, verb]
    assert ports(server) == 2
    assert all("x-retry-attempt" not in headers for _, _, headers in server.arrived)
    assert [one for one in events if isinstance(one, AttemptFinished) and one.failed] == []
    assert [one.attempts for one in events if isinstance(one, CallFinished)] == [1, 1]


@pytest.mark.parametrize("end", [close, reset])
@pytest.mark.parametrize("body", [None, b"ab", "ab", bytearray(b"ab"), memoryview(b"ab")], ids=type)
def test_every_lasting_body_goes_out_again_however_it_ends(session, serve, idle, end, body):
    """A body that sending does not use up is sent whole on the new connection."""
    server = serve(answer, end, answer)
    session.get(server.url)
    idle(60)
    assert session.put(server.url, data=body, retries=0).status_code == 204
    lengths = [headers["content-length"] for _, _, headers in server.arrived[1:]]
    assert lengths == ["0" if body is None else "2"] * 2


def test_stale_connection_that_takes_no_request_is_replaced(session, serve, monkeypatch):
    """Some systems notice at once, while the request is being written."""

    def abort(data):
        monkeypatch.undo()
        raise ConnectionAbortedError

    server = serve(answer)
    session.get(server.url)
    monkeypatch.setattr(pools, "STALE_AFTER", 0)
    monkeypatch.setattr(queue_of(session).queue[-1], "send", abort)
    session.get(server.url, retries=0)
    assert ports(server) == 2


@pytest.mark.parametrize(
    ("verb", "body"),
    [
        pytest.param("POST", b"ab", id="post"),
        pytest.param("PATCH", b"ab", id="patch"),
        pytest.param("PUT", lambda: iter([b"a", b"b"]), id="body that sending uses up"),
    ],
)
def test_unrepeatable_request_on_a_stale_connection_fails(session, serve, idle, verb, body):
    """The server may have acted upon it, so it is not sent twice."""
    server = serve(answer, close, answer)
    session.get(server.url)
    idle(60)
    with pytest.raises(requests.ConnectionError):
        session.request(verb, server.url, data=body() if callable(body) else body, retries=0)
    assert len(server.arrived) == 2


def test_reset_of_a_connection_that_was_hardly_idle_is_a_failure(session, serve, idle, events):
    """A busy connection that breaks speaks of the upstream, and the retry policy deals with it."""
    server = serve(answer, close, answer)
    session.get(server.url)
    idle(pools.STALE_AFTER - 0.01)
    session.get(server.url)
    attempts = [one.failed for one in events if isinstance(one, AttemptFinished)]
    assert attempts.count(True) == 1
    assert server.arrived[-1][2]["x-retry-attempt"] == "1"


def test_reset_of_a_new_connection_is_a_failure(session, serve, idle):
    """A connection that was never idle cannot have gone stale."""
    server = serve(close, answer)
    idle(60)
    with pytest.raises(requests.ConnectionError):
        session.get(server.url, retries=0)
    assert len(server.arrived) == 1


def test_reset_of_a_connection_opened_anew_is_a_failure(session, serve, idle):
    """A connection seen to be closed, and opened anew before the request, is a new one."""
    server = serve(answer, close, answer)
    session.get(server.url)
    kept = queue_of(session)
    connection = kept.get()
    connection.close()
    kept.put(connection)
    idle(60)
    with pytest.raises(requests.ConnectionError):
        session.get(server.url, retries=0)


@pytest.mark.parametrize("end", [close_after_an_interim_answer, reset_amid_the_answer])
def test_answer_that_had_begun_is_not_asked_for_again(session, serve, idle, end):
    """A server that began to answer had not let go of the connection."""
    server = serve(answer, end, answer)
    session.get(server.url)
    idle(60)
    with pytest.raises(requests.ConnectionError):
        session.get(server.url, retries=0)
    assert len(server.arrived) == 2


def test_stale_connection_is_replaced_once(session, serve, idle):
    """A server that closes the new connection as well is in trouble, and its own error is told."""
    server = serve(answer, close)
    session.get(server.url)
    idle(60)
    with pytest.raises(requests.ConnectionError, match="without response"):
        session.get(server.url, retries=0)
    assert len(server.arrived) == 3
    assert queue_of(session).full()


def test_nothing_is_sent_again_when_the_time_is_over(session, serve, idle, clock):
    """An attempt whose time ran out with the stale connection has ended."""

    def close_late(handler):
        clock.advance(100)
        close(handler)

    server = serve(answer, close_late, answer)
    session.get(server.url)
    idle(60)
    with pytest.raises(DeadlineExceededError):
        session.get(server.url)
    assert len(server.arrived) == 2


def test_new_connection_gets_the_time_left(session, serve, idle, clock, monkeypatch):
    """The time that the stale connection took is not given twice."""
    given = []
    connect = urllib3.util.connection.create_connection

    def noted(address, timeout, **options):
        given.append(timeout)
        return connect(address, timeout, **options)

    def close_late(handler):
        clock.advance(2)
        close(handler)

    monkeypatch.setattr(urllib3.util.connection, "create_connection", noted)
    server = serve(answer, close_late, answer)
    session.get(server.url, timeout=2.5)
    idle(60)
    session.get(server.url, timeout=2.5)
    assert given == [pytest.approx(2.5), pytest.approx(0.5)]


def test_stale_tls_connection_is_replaced(session, serve, idle):
    """A server behind TLS lets go of connections as well."""
    server = serve(answer, close, answer, tls=True)
    url = f"https://localhost:{server.server_port}/"
    session.get(url, verify=str(CERTIFICATE))
    idle(60)
    assert session.get(url, verify=str(CERTIFICATE), retries=0).status_code == 204
    assert ports(server) == 2


def test_stale_connection_to_a_proxy_is_replaced(session, serve, idle):
    """A proxy that is asked for http lets go of connections as well."""
    server = serve(answer, close, answer)
    for _ in range(2):
        session.get("http://a.invalid/", proxies={"http": server.url}, retries=0)
        idle(60)
    assert ports(server) == 2


def test_stale_tunnel_is_left_to_the_retry_policy(session, serve, idle):
    """A tunnel through a proxy is dug for an attempt, not within it."""
    server = serve(answer, close, answer)
    options = {"proxies": {"https": server.url}, "verify": str(CERTIFICATE)}
    session.get("https://localhost:1/", **options)
    idle(60)
    with pytest.raises(requests.ConnectionError, match="without response"):
        session.get("https://localhost:1/", retries=0, **options)
    assert (server.tunnels, len(server.arrived)) == (1, 2)
    assert session.get("https://localhost:1/", **options).status_code == 204


def test_calls_of_another_session_on_the_same_adapter_fail_as_ever(session, serve, idle):
    """An adapter shared with a plain session does for it what requests does."""
    server, adapter = serve(answer, close, answer), make_adapter(1)
    session.mount("http://", adapter)
    with requests.Session() as plain:
        plain.mount("http://", adapter)
        plain.get(server.url)
        idle(60)
        with pytest.raises(requests.ConnectionError):
            plain.get(server.url)
    assert len(server.arrived) == 2


# How many connections are kept


@contextmanager
def calls_at_once(session, number):
    """Return what makes *number* calls that all are under way at the same time."""
    together = threading.Barrier(number)

    class Meeting(FaultyHandler):
        """Answers when all are there; counts the connections that were closed."""

        def do_GET(self):  # noqa: N802  # as in the base class
            self.received()
            together.wait(20)
            self.reply(Reply(body=str(self.client_address[1]).encode()))

        def finish(self):
            super().finish()
            closed.release()

    closed = threading.Semaphore(0)
    with FaultyServer(Meeting) as server, ThreadPoolExecutor(number) as threads:

        def call():
            return sorted(threads.map(lambda _: session.get(server.url).text, range(number)))

        yield call, closed


def test_as_many_connections_as_asked_for_are_kept(session):
    """Calls at once keep their connections for the next ones."""
    session.mount("http://", make_adapter(12))
    with calls_at_once(session, 12) as (call, _):
        assert call() == call()


def test_more_calls_than_kept_connections_wait_for_nothing_and_warn_of_nothing(session, caplog):
    """The connections that are too many are closed after their calls, silently."""
    session.mount("http://", make_adapter(1))
    with calls_at_once(session, 4) as (call, closed):
        assert len(set(call())) == 4
        assert all(closed.acquire(timeout=10) for _ in range(3))
        assert not closed.acquire(blocking=False)
    assert [one for one in caplog.records if one.levelname == "WARNING"] == []


def test_pool_that_blocks_still_blocks(session, serve):
    """An adapter whose user limited its connections opens no more of them."""
    adapter = HTTPAdapter(pool_maxsize=1, pool_block=True)
    session.mount("http://", adapter)
    server = serve(answer)
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: session.get(server.url), range(12)))
    assert ports(server) == 1


def test_connections_to_a_hundred_hosts_are_kept():
    """The hosts called longest ago go first."""
    manager = make_adapter(1).poolmanager
    made = [manager.connection_from_url(f"http://host{number}.invalid") for number in range(101)]
    assert manager.connection_from_url("http://host1.invalid") is made[1]
    assert manager.connection_from_url("http://host0.invalid") is not made[0]


def test_adapter_keeps_the_deadline(make_session, make_upstream):
    """An answer that drips through an adapter of ours ends with the deadline."""
    session = make_session(clock=SYSTEM_CLOCK)
    session.adapters["http://"] = make_adapter(1)  # mounted, it would be made to
    with pytest.raises(DeadlineExceededError):
        session.get(make_upstream(DRIP).url, deadline=0.7)


# Who repeats


def test_adapter_repeats_nothing():
    """Retries belong to the policy alone: those of urllib3 are off, as in requests' own adapter."""
    assert vars(make_adapter(1).max_retries) == vars(HTTPAdapter().max_retries)


@pytest.mark.parametrize(
    ("retries", "repeats"),
    [
        pytest.param(0, False, id="the default"),
        pytest.param(Retry(0), False, id="none at all"),
        pytest.param(Retry(False), False, id="false"),
        pytest.param(Retry(0, connect=5, status=5), False, id="none in total whatever the kinds"),
        pytest.param(Retry(3, connect=0, read=False, status=0, other=0), False, id="none a kind"),
        pytest.param(3, True, id="a number"),
        pytest.param(Retry(3, read=False), True, id="some in total"),
        pytest.param(Retry(None, connect=0, read=0, status=2, other=0), True, id="statuses alone"),
        pytest.param(Retry(None), True, id="without a limit"),
    ],
)
def test_retries_of_a_mounted_adapter_are_switched_off(retries, repeats):
    """An adapter that would repeat by itself stops it and says so; any other stays as it is."""
    adapter = HTTPAdapter(max_retries=retries, pool_maxsize=3)
    before = vars(adapter).copy()
    assert switch_off_retries(adapter) is repeats
    assert switch_off_retries(adapter) is False
    after = vars(adapter).copy()
    assert vars(after.pop("max_retries")) == vars(HTTPAdapter().max_retries) or not repeats
    assert (before.pop("max_retries") is adapter.max_retries) is not repeats
    assert before == after


def test_number_set_by_hand_is_switched_off():
    """Retries given to an adapter later, as a number, are retries."""
    adapter = HTTPAdapter()
    adapter.max_retries = 2
    assert switch_off_retries(adapter) is True


def test_retries_of_another_kind_of_adapter_are_not_ours():
    """What brings its own way to the wire is left alone."""
    adapter = requests_mock.Adapter()
    adapter.max_retries = 3
    assert switch_off_retries(adapter) is False
    assert adapter.max_retries == 3


# In which process


class EchoHandler(FaultyHandler):
    """Answers with what was asked for and the port of the client."""

    def do_GET(self):  # noqa: N802  # as in the base class
        """Answer, a little late, so that calls overlap."""
        path = self.received().path
        said = f"{path.rpartition('/')[2]} {self.client_address[1]}"
        self.reply(Reply(body=said.encode(), delay=0.01))


FORK = """
import os, signal, sys
import requests
from flask_resilience.outbound.transport import begin_anew, make_adapter

signal.alarm(30)
url, proxy, children, anew = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4] == "anew"
session, adapter = requests.Session(), make_adapter(4)
session.mount("http://", adapter)
session.proxies = {"http": proxy} if proxy else {}

def port(name):
    asked, port = session.get(f"{url}/{name}").text.split()
    return port if asked == name else "another's answer"

def in_a_child(number, out):
    if anew:
        begin_anew(adapter)
    ports = {port(f"child-{number}-{one}") for one in range(20 if anew else 1)}
    os.write(out, f"child {' '.join(ports)}\\n".encode())

def fork(number, out):
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            in_a_child(number, out)
            status = 0
        finally:
            os._exit(status)
    return pid

def wait(pid):
    assert os.waitpid(pid, 0)[1] == 0
"""
CALLS = """
print("parent", port("first"), flush=True)
for pid in [fork(number, 1) for number in range(children)]:
    wait(pid)
print("parent", port("last"))
"""
LOCKED = """
import gc, threading
port("first")

def hold():
    kept = (adapter.proxy_manager[proxy] if proxy else adapter.poolmanager).pools
    kept.lock.acquire()
    for key in kept.keys():
        kept[key].pool.mutex.acquire()

holder = threading.Thread(target=hold)  # it ends, and what it holds stays held
holder.start()
holder.join()

child = os.fork()
if child == 0:
    signal.alarm(10)
    in_a_child(0, 1)
    gc.collect()
    sys.exit()
wait(child)
os._exit(0)
"""


@pytest.fixture(params=["directly", "by proxy"])
def forked(request):
    """Return what runs code in which children call the same server; it gives the ports used."""
    with FaultyServer(EchoHandler) as server:
        proxied = request.param == "by proxy"
        addresses = ("http://a.invalid", server.url) if proxied else (server.url, "")

        def run(code, children, anew):
            said = run_python(FORK + code, *addresses, str(children), anew)
            return [tuple(line.split()) for line in said.splitlines()]

        yield run


def test_forked_children_call_on_connections_of_their_own(forked):
    """Children that call at once each get their own answers, on one new connection each."""
    (_, first), (_, one), (_, other), (_, last) = forked(CALLS, 2, "anew")
    assert first == last
    assert len({first, one, other}) == 3


def test_child_that_does_not_begin_anew_calls_on_the_parents_connection(forked):
    """This is what begin_anew is for."""
    assert len(set(port for _, port in forked(CALLS, 1, "as it is"))) == 1  # noqa: C401


def test_child_waits_for_no_lock_that_was_held_at_the_fork(forked):
    """The locks of the inherited pools may be held for ever; nobody takes them, even at exit."""
    assert [who for who, _ in forked(LOCKED, 1, "anew")] == ["child"]


def test_pools_made_anew_keep_the_deadline(make_session, make_upstream):
    """An answer that drips ends with the deadline in a forked process, too, even by proxy."""
    session, adapter, upstream = (
        make_session(clock=SYSTEM_CLOCK),
        make_adapter(1),
        make_upstream(DRIP),
    )
    session.mount("http://", adapter)
    adapter.proxy_manager_for(upstream.url)
    begin_anew(adapter)
    for proxies in ({}, {"http": upstream.url}):
        with pytest.raises(DeadlineExceededError):
            session.get(upstream.url, proxies=proxies, deadline=0.7)


def test_pools_made_anew_are_made_as_before():
    """What an adapter's pools were given by hand, they still have."""
    adapter = HTTPAdapter()
    context = ssl.create_default_context()
    adapter.init_poolmanager(7, 3, block=True, ssl_context=context)
    before = adapter.poolmanager
    begin_anew(adapter)
    pool = adapter.poolmanager.connection_from_url("https://a.invalid")
    assert adapter.poolmanager is not before
    assert (pool.pool.maxsize, pool.block, pool.conn_kw["ssl_context"]) == (3, True, context)
    assert len(before.pools) == 0


def test_inherited_pools_are_kept_as_they_are():
    """Their connections stay open, and nothing is freed that another process goes on with."""
    adapter = make_adapter(1)
    inherited = weakref.ref(adapter.poolmanager.connection_from_url("http://a.invalid"))
    begin_anew(adapter)
    gc.collect()
    assert inherited() is not None


def test_adapter_of_another_kind_does_not_begin_anew():
    """What brings its own way to the wire is left alone."""
    adapter = requests_mock.Adapter()
    before = vars(adapter).copy()
    begin_anew(adapter)
    assert vars(adapter) == before
