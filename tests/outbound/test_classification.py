"""Every way a call can go wrong, made on a real socket: what is raised, counted and made again."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
import requests
import urllib3

from flask_resilience import CircuitBreakerPolicy, CircuitOpenError, RetryPolicy
from flask_resilience.clock import SYSTEM_CLOCK
from flask_resilience.events import AttemptFinished, CallFinished
from tests.outbound.sockets import (
    CERTIFICATE,
    Place,
    answer,
    answer_and_stall,
    closed_port,
    full_listener,
    raw_server,
    reset,
)

TIMEOUT = 0.3
HEAD = b"HTTP/1.1 200 OK\r\n"
TEN = HEAD + b"Content-Length: 10\r\n\r\n"
MOVED = b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 10\r\n\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One way to fail.

    :param place: Where it happens.
    :param kind: What requests raises.
    :param cause: A class in the chain behind it that tells what it was.
    :param counted: Whether the circuit learns of a failure.
    :param tried: Whether there is an attempt at all.
    :param sent: Whether a request reaches the server.
    :param again: Whether a GET is made again.
    :param unsafe_again: Whether a POST without a key is made again.
    """

    place: Callable[[], AbstractContextManager[Place]]
    kind: type[Exception]
    cause: type[BaseException] = Exception
    counted: bool = True
    tried: bool = True
    sent: bool = True
    again: bool = True
    unsafe_again: bool = False
    arguments: dict[str, Any] = field(default_factory=dict)


@contextmanager
def nameless():
    """Call a host that no name service knows, without asking one."""

    def unknown(host, *args, **kwargs):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", unknown)
        yield Place("http://no-such-host.invalid/")


@contextmanager
def out_of_files():
    """Call while this process can open no more sockets."""

    class NoSocket(socket.socket):
        def __new__(cls, *args, **kwargs):
            raise OSError(24, "Too many open files")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "socket", NoSocket)
        yield Place("http://127.0.0.1:9/")


@contextmanager
def wrong(url):
    """Call what cannot be called."""
    yield Place(url)


@contextmanager
def untrusted(name):
    """Call a server of this host by *name*; its certificate is its own and says ``localhost``."""
    look_up = socket.getaddrinfo

    def here(host, *args, **kwargs):
        return look_up("127.0.0.1" if host == name else host, *args, **kwargs)

    server = raw_server(answer(TEN + b"0123456789"), tls=True)
    with server as place, pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", here)
        yield Place(place.url.replace("localhost", name), place.heads)


def served(act):
    """Return what starts a server that does *act* to each request."""
    return partial(raw_server, act)


NOT_SENT = {"sent": False, "unsafe_again": True}
MISTAKE = {"counted": False, "sent": False, "again": False}
UNSENDABLE = {"tried": False, **MISTAKE}
BAD_CERTIFICATE = {"kind": requests.exceptions.SSLError, "sent": False, "again": False}
FAULTS = {
    "refused": Fault(
        place=closed_port,
        kind=requests.ConnectionError,
        cause=urllib3.exceptions.NewConnectionError,
        **NOT_SENT,
    ),
    "name not found": Fault(
        place=nameless,
        kind=requests.ConnectionError,
        cause=urllib3.exceptions.NameResolutionError,
        **NOT_SENT,
    ),
    "no sockets left here": Fault(
        place=out_of_files,
        kind=requests.ConnectionError,
        cause=urllib3.exceptions.NewConnectionError,
        **NOT_SENT,
    ),
    "connect timeout": Fault(place=full_listener, kind=requests.ConnectTimeout, **NOT_SENT),
    "reset before the answer": Fault(
        place=served(reset),
        kind=requests.ConnectionError,
        cause=urllib3.exceptions.ProtocolError,
    ),
    "close before the answer": Fault(
        place=served(answer(b"")),
        kind=requests.ConnectionError,
        cause=urllib3.exceptions.ProtocolError,
    ),
    "close within the status line": Fault(
        place=served(answer(b"HTTP/1.")),
        kind=requests.ConnectionError,
        cause=urllib3.exceptions.ProtocolError,
    ),
    "no answer in time": Fault(
        place=served(answer_and_stall(b"")), kind=requests.exceptions.ReadTimeout
    ),
    "headers stall": Fault(
        place=served(answer_and_stall(HEAD + b"Content-")), kind=requests.exceptions.ReadTimeout
    ),
    "body stalls": Fault(
        place=served(answer_and_stall(TEN + b"01234")),
        kind=requests.ConnectionError,
        cause=urllib3.exceptions.ReadTimeoutError,
    ),
    "chunked body stalls": Fault(
        place=served(answer_and_stall(CHUNKED + b"5\r\n01")),
        kind=requests.ConnectionError,
        cause=urllib3.exceptions.ReadTimeoutError,
    ),
    "truncated body": Fault(
        place=served(answer(TEN + b"01234")), kind=requests.exceptions.ChunkedEncodingError
    ),
    "body of a redirect stalls": Fault(
        place=served(answer_and_stall(MOVED + b"01234")),
        kind=requests.ConnectionError,
        cause=urllib3.exceptions.ReadTimeoutError,
    ),
    "truncated body of a redirect that is not followed": Fault(
        place=served(answer(MOVED + b"01234")),
        kind=requests.exceptions.ChunkedEncodingError,
        arguments={"allow_redirects": False},
    ),
    "truncated chunk": Fault(
        place=served(answer(CHUNKED + b"5\r\n01")),
        kind=requests.exceptions.ChunkedEncodingError,
    ),
    "no last chunk": Fault(
        place=served(answer(CHUNKED + b"2\r\n01\r\n")),
        kind=requests.exceptions.ChunkedEncodingError,
    ),
    "chunk without a size": Fault(
        place=served(answer(CHUNKED + b"ten\r\n0123456789\r\n")),
        kind=requests.exceptions.ChunkedEncodingError,
    ),
    "body is reset": Fault(
        place=served(lambda wire: (answer(TEN + b"01234")(wire), reset(wire))),
        kind=requests.exceptions.ChunkedEncodingError,
    ),
    "body does not decode": Fault(
        place=served(answer(HEAD + b"Content-Encoding: gzip\r\nContent-Length: 5\r\n\r\nplain")),
        kind=requests.exceptions.ContentDecodingError,
    ),
    "garbage": Fault(
        place=served(answer(b"\x16\x03 this is no HTTP\r\n\r\n")),
        kind=requests.ConnectionError,
        cause=urllib3.exceptions.ProtocolError,
    ),
    "too many headers": Fault(
        place=served(answer(HEAD + b"X: 1\r\n" * 200 + b"\r\n")),
        kind=requests.ConnectionError,
        cause=urllib3.exceptions.ProtocolError,
    ),
    "certificate of nobody": Fault(place=partial(untrusted, "localhost"), **BAD_CERTIFICATE),
    "certificate of another host": Fault(
        place=partial(untrusted, "other.invalid"),
        arguments={"verify": str(CERTIFICATE)},
        **BAD_CERTIFICATE,
    ),
    "no host": Fault(
        place=partial(wrong, "http://"), kind=requests.exceptions.InvalidURL, **UNSENDABLE
    ),
    "label of 64 letters": Fault(
        place=partial(wrong, f"http://{'a' * 64}.invalid/"),
        kind=urllib3.exceptions.LocationParseError,
        **MISTAKE,
    ),
    "no scheme": Fault(
        place=partial(wrong, "nowhere"), kind=requests.exceptions.MissingSchema, **UNSENDABLE
    ),
    "unknown scheme": Fault(
        place=partial(wrong, "gopher://127.0.0.1/"),
        kind=requests.exceptions.InvalidSchema,
        **UNSENDABLE,
    ),
    "header of two lines": Fault(
        place=served(answer(TEN + b"0123456789")),
        kind=requests.exceptions.InvalidHeader,
        arguments={"headers": {"X-A": "a\r\nb"}},
        **UNSENDABLE,
    ),
    "no such file of authorities": Fault(
        place=partial(untrusted, "localhost"),
        kind=OSError,
        arguments={"verify": "/no/such/file.pem"},
        **MISTAKE,
    ),
}
each_fault = pytest.mark.parametrize(
    "fault", [pytest.param(fault, id=name) for name, fault in FAULTS.items()]
)


def chain_of(error):
    """Return the classes of *error* and of all behind it, in the order in which they are met."""
    return [type(error), *(kind for cause in causes(error) for kind in chain_of(cause))]


def causes(error):
    """Return the exceptions that *error* was made from."""
    behind = [*error.args, getattr(error, "reason", None), error.__cause__]
    return [one for number, one in enumerate(behind) if _is_new(one, behind[:number])]


def _is_new(one, earlier):
    return isinstance(one, BaseException) and not any(one is other for other in earlier)


def raised_by(session, fault, place, verb="GET", **arguments):
    """Return what a call raises."""
    arguments = {"timeout": TIMEOUT, **fault.arguments, **arguments}
    with pytest.raises(Exception) as raised:  # noqa: PT011  # which it is, is what is asked
        session.request(verb, place.url, **arguments)
    return raised.value


@pytest.fixture
def session(make_session):
    """Return a session on the real clock that makes a second attempt at once."""
    return make_session(
        retry=RetryPolicy(attempts=2, initial_delay=0),
        breaker=CircuitBreakerPolicy(failure_threshold=3),
        clock=SYSTEM_CLOCK,
    )


@each_fault
def test_caller_sees_what_requests_raises(session, fault):
    """The exception is of the class that a plain session raises, with the same chain behind it."""
    with fault.place() as place, requests.Session() as plain:
        expected = raised_by(plain, fault, place)
        error = raised_by(session, fault, place, retries=0)
    assert type(expected) is type(error) is fault.kind
    assert chain_of(error) == chain_of(expected)
    assert any(issubclass(kind, fault.cause) for kind in chain_of(error))


@each_fault
def test_circuit_counts_it_or_not(make_session, fault):
    """A failure of the upstream opens its circuit; a mistake on this side does not."""
    session = make_session(breaker=CircuitBreakerPolicy(failure_threshold=1), clock=SYSTEM_CLOCK)
    with fault.place() as place:
        raised_by(session, fault, place, retries=0)
        error = raised_by(session, fault, place, retries=0)
    assert isinstance(error, CircuitOpenError) is fault.counted


@each_fault
@pytest.mark.parametrize("verb", ["GET", "POST"])
def test_it_is_made_again_or_not(session, events, fault, verb):
    """GET is tried again after any failure of the upstream, POST only if it surely was not sent."""
    with fault.place() as place:
        raised_by(session, fault, place, verb)
    again = fault.again if verb == "GET" else fault.unsafe_again
    assert told(events, AttemptFinished) == fault.tried * (1 + again)
    assert told(events, CallFinished) == fault.tried
    assert len(place.heads) == fault.sent * (1 + again)


def told(events, kind):
    """Return how many events of one kind there were."""
    return sum(isinstance(event, kind) for event in events)
