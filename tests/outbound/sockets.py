"""Real servers that misbehave on the wire, for the sessions' tests."""

from __future__ import annotations

import gzip
import http.client
import select
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from flask_resilience.testing import BODILESS, FaultyHandler, FaultyServer

CERTIFICATE = Path(__file__).parent / "self_signed.pem"
LINGER_ZERO = struct.pack("ii", 1, 0)
HOP_BY_HOP = frozenset({"connection", "keep-alive", "proxy-connection", "proxy-authorization"})


@dataclass(slots=True)
class Place:
    """Where a session calls, and what arrived there.

    :param heads: The request lines and headers that arrived, one text for each.
    """

    url: str
    heads: list[bytes] = field(default_factory=list)


Act = Callable[[socket.socket], None]
"""What a server does once it has read a request; afterwards the connection is closed."""


@contextmanager
def raw_server(act: Act, *, tls: bool = False) -> Iterator[Place]:
    """Start a server that reads a request on each connection and then does *act*."""
    context = server_context() if tls else None
    with socket.create_server(("127.0.0.1", 0)) as listener:
        scheme, name = ("https", "localhost") if tls else ("http", "127.0.0.1")
        place = Place(f"{scheme}://{name}:{listener.getsockname()[1]}/")

        def serve(connection: socket.socket) -> None:
            with connection, suppress(OSError):
                stream = context.wrap_socket(connection, server_side=True) if context else None
                with stream or connection as wire:
                    place.heads.append(read_request(wire))
                    act(wire)

        def accept() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    threading.Thread(target=serve, args=(connection,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield place
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)


def read_request(wire: socket.socket) -> bytes:
    """Return the head of a request, having read its body, too.

    :raises ConnectionError: If the client leaves before.
    """
    data = b""
    while b"\r\n\r\n" not in data:
        data += received(wire, 65536)
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    left = sum(int(one[15:]) for one in lines if one.startswith(b"content-length:")) - len(body)
    while left > 0:
        left -= len(received(wire, left))
    return head


def received(wire: socket.socket, most: int) -> bytes:
    """Return what comes next.

    :raises ConnectionError: If nothing more comes.
    """
    data = wire.recv(most)
    if not data:
        raise ConnectionError
    return data


def answer(data: bytes) -> Act:
    """Return an act that sends *data*."""
    return lambda wire: wire.sendall(data)


def answer_and_stall(data: bytes) -> Act:
    """Return an act that sends *data* and then nothing, until the client leaves."""

    def act(wire: socket.socket) -> None:
        wire.sendall(data)
        wire.settimeout(30)
        wire.recv(1)

    return act


def reset(wire: socket.socket) -> None:
    """Break the connection."""
    wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_ZERO)


@contextmanager
def full_listener() -> Iterator[Place]:
    """Open a port whose queue of connections is full, so that the next connect waits in vain."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        waiting = []
        for _ in range(4):
            one = socket.socket()
            one.setblocking(False)
            one.connect_ex(listener.getsockname())
            waiting.append(one)
        yield Place(f"http://127.0.0.1:{listener.getsockname()[1]}/")
        for one in waiting:
            one.close()


@contextmanager
def closed_port() -> Iterator[Place]:
    """Hold a port that nobody listens on."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield Place(f"http://127.0.0.1:{held.getsockname()[1]}/")


def server_context(*, asks_for_certificate: bool = False) -> ssl.SSLContext:
    """Return what serves TLS with a certificate that nobody has signed.

    :param asks_for_certificate: Whether clients must show that same certificate.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    if asks_for_certificate:
        context.load_verify_locations(CERTIFICATE)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


class ForwardProxy(FaultyServer):
    """An HTTP proxy that forwards plain requests and opens tunnels for others."""

    def __init__(self) -> None:
        super().__init__(_ProxyHandler)
        self.lines: list[str] = []
        self.authorizations: list[str | None] = []


class _ProxyHandler(FaultyHandler):
    server: ForwardProxy

    def _note(self) -> None:
        self.server.lines.append(self.requestline)
        self.server.authorizations.append(self.headers.get("Proxy-Authorization"))

    def do_CONNECT(self) -> None:  # noqa: N802  # as the base class names it
        """Carry bytes to and fro until either side leaves."""
        self._note()
        host, _, port = self.path.rpartition(":")
        with socket.create_connection((host, int(port))) as target:
            self.send_response(200)
            self.end_headers()
            peers = {self.connection: target, target: self.connection}
            while True:
                for one in select.select(list(peers), [], [])[0]:
                    data = one.recv(65536)
                    if not data:
                        self.close_connection = True
                        return
                    peers[one].sendall(data)

    def _forward(self) -> None:
        self._note()
        asked, parts = self.received(), urlsplit(self.path)
        target = http.client.HTTPConnection(parts.hostname or "", parts.port or 80)
        path = parts._replace(scheme="", netloc="").geturl()
        kept = {name: one for name, one in self.headers.items() if name.lower() not in HOP_BY_HOP}
        target.request(self.command, path, asked.body or None, kept)
        reply = target.getresponse()
        body = reply.read()
        self.send_response_only(reply.status, reply.reason)
        for name, value in reply.getheaders():
            if name.lower() not in HOP_BY_HOP:
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        target.close()

    do_GET = do_POST = _forward  # noqa: N815  # as in the base class


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it stood on the wire: headers in their order and spelling, each as often."""

    line: str
    headers: list[tuple[str, str]]
    body: bytes


class Site(FaultyServer):
    """A server with pages of many kinds, that remembers what it was asked.

    :param context: What it serves TLS with; without one it speaks plain HTTP.
    """

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        super().__init__(_SiteHandler)
        self.asked: list[Asked] = []
        self.connections = 0
        self.gate = threading.Event()
        self.tls = context is not None
        if context is not None:
            self.socket = context.wrap_socket(self.socket, server_side=True)

    @property
    def url(self) -> str:
        """Return its address, without a slash at the end."""
        plain = super().url
        return plain.replace("http://127.0.0.1", "https://localhost") if self.tls else plain


GZIPPED = gzip.compress(b'{"a": [1, 2]}', mtime=0)
LINES = b"one\ntwo\r\nthree"
TEXT = {"Content-Type": "text/plain; charset=utf-8"}
PAGES: dict[str, tuple[int, list[tuple[str, str]], bytes]] = {
    "/gzip": (200, [("Content-Type", "application/json"), ("Content-Encoding", "gzip")], GZIPPED),
    "/latin": (200, [("Content-Type", "text/html; charset=ISO-8859-1")], "Zoë".encode("latin1")),
    "/untyped": (200, [], "Zoë".encode()),
    "/lines": (200, [("Content-Type", "text/plain; charset=utf-8")], LINES),
    "/links": (200, [("Link", '</page/2>; rel="next"'), ("X-A", "1"), ("X-A", "2")], b""),
    "/no-content": (204, [], b""),
    "/not-modified": (304, [("ETag", '"a"')], b""),
    "/missing": (404, [], b"no such thing"),
    "/teapot": (418, [], b"short and stout"),
    "/set-cookies": (
        302,
        [("Set-Cookie", "a=1; Path=/"), ("Set-Cookie", "b=2; Path=/deep"), ("Location", "/echo")],
        b"",
    ),
    "/forget-cookie": (200, [("Set-Cookie", "a=; Path=/; Max-Age=0")], b""),
    "/redirect-within-gzip": (302, [("Location", "/echo"), ("Content-Encoding", "gzip")], b"plain"),
    "/redirect-to-nowhere": (302, [("Location", "http://[::1/")], b""),
    "/redirect-to-another-scheme": (302, [("Location", "gopher://127.0.0.1/")], b""),
    "/redirect-without-location": (302, [], b"stay"),
    "/basic": (401, [("WWW-Authenticate", 'Basic realm="r"')], b"who?"),
    "/digest": (
        401,
        [("WWW-Authenticate", 'Digest realm="r", nonce="n", qop="auth", algorithm=SHA-256')],
        b"who?",
    ),
}


class _SiteHandler(FaultyHandler):
    server: Site

    def setup(self) -> None:
        super().setup()
        self.server.connections += 1

    def _serve(self) -> None:
        body = self.received().body
        self.server.asked.append(Asked(self.requestline, list(self.headers.items()), body))
        path, _, query = self.path.partition("?")
        page = f"_page{path.rpartition('/')[0].replace('/', '_')}"
        if path in PAGES and "Authorization" not in self.headers:
            self._send(*PAGES[path])
        else:
            getattr(self, page, self._echo)(path.rpartition("/")[2], query)

    def _send(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        if status not in BODILESS:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD" and status not in BODILESS:
            self.wfile.write(body)

    def _echo(self, *_: str) -> None:
        told = f"{self.command} {self.path}".encode()
        self._send(200, list(TEXT.items()), told)

    def _page_status(self, status: str, target: str) -> None:
        location = [("Location", target or "/echo")]
        self._send(int(status), location, b"moved")

    def _page_times(self, number: str, _: str) -> None:
        target = f"/times/{int(number) - 1}" if int(number) else "/echo"
        self._send(302, [("Location", target)], b"")

    def _page_cut(self, status: str, _: str) -> None:
        self.send_response_only(int(status))
        for name, value in (("Location", "/echo"), ("Content-Length", "10")):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(b"01234")
        self.close_connection = True

    def _page_chunked(self, *_: str) -> None:
        self.send_response_only(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for part in (b"one\ntw", b"o\r\nthree"):
            self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
        self.wfile.write(b"0\r\n\r\n")

    def _page_until(self, *_: str) -> None:
        """Answer as HTTP 1.0 does: the body ends with the connection."""
        self.send_response_only(200)
        self.end_headers()
        self.wfile.write(LINES)
        self.close_connection = True

    def _page_gated(self, *_: str) -> None:
        """Send the headers, and the body only when the gate is opened."""
        self.send_response_only(200)
        self.send_header("Content-Length", "4")
        self.end_headers()
        self.wfile.flush()
        self.server.gate.wait(20)
        self.wfile.write(b"body")

    def _page_late(self, milliseconds: str, _: str) -> None:
        """Send the headers, and the body some time later."""
        self.send_response_only(200)
        self.send_header("Content-Length", "4")
        self.end_headers()
        self.wfile.flush()
        self.server.closing.wait(int(milliseconds) / 1000)
        self.wfile.write(b"body")

    do_GET = do_HEAD = do_OPTIONS = do_PUT = _serve  # noqa: N815  # as in the base class
    do_POST = do_PATCH = do_DELETE = _serve  # noqa: N815
