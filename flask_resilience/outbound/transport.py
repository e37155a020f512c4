"""The wire: urllib3 connections that give each read and write only the time left.

A socket's own timeout starts anew with every byte, so an upstream that drips its answer is never
too late. Here every read, of the headers and of the body, and every write waits at most until the
deadline of the attempt, whatever came before.
"""

from __future__ import annotations

import io
import socket
from contextvars import ContextVar
from http.client import HTTPResponse
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

from ..policies.deadline import Deadline

attempt_deadline: ContextVar[Deadline | None] = ContextVar(
    "flask_resilience_attempt_deadline", default=None
)
"""The end of the attempt that is being made; ``None`` where nothing limits it."""


class DeadlineAdapter(HTTPAdapter):
    """A transport adapter of ``requests`` whose connections keep to the attempt's deadline."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Open pools of connections that keep to the deadline."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = POOLS

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        """Return the pools behind *proxy*, of such connections too."""
        manager = super().proxy_manager_for(proxy, **kwargs)
        manager.pool_classes_by_scheme = POOLS
        return manager


class _Reader(io.RawIOBase):
    """The bytes of one answer, each read limited to the time left."""

    def __init__(self, sock: socket.socket, raw: io.RawIOBase, deadline: Deadline) -> None:
        self._sock, self._raw, self._deadline = sock, raw, deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        _limit(self._sock, self._deadline)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        super().close()
        self._raw.close()


class _Answer(HTTPResponse):
    """An answer read through :class:`_Reader`."""

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        deadline = attempt_deadline.get()
        if deadline is not None:
            self.fp = io.BufferedReader(_Reader(sock, self.fp.detach(), deadline))


class _TimedSend:
    """Limits each write to the time left."""

    sock: socket.socket | None

    def send(self, data: Any) -> None:
        deadline = attempt_deadline.get()
        if deadline is not None and self.sock is not None:
            _limit(self.sock, deadline)
        super().send(data)  # type: ignore[misc]  # the connection class it is mixed into


class _HTTPConnection(_TimedSend, HTTPConnection):
    response_class = _Answer


class _HTTPSConnection(_TimedSend, HTTPSConnection):
    response_class = _Answer


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = _HTTPConnection


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _HTTPSConnection


POOLS = {"http": _HTTPPool, "https": _HTTPSPool}


def _limit(sock: socket.socket, deadline: Deadline) -> None:
    left = deadline.left()
    if left <= 0:
        raise TimeoutError("the attempt's time is over")
    sock.settimeout(left)
