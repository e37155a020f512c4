"""The wire: urllib3 connections that give each read and write only the time left.

A socket's own timeout starts anew with every byte, so an upstream that drips its answer is never
too late. Here every read, of the headers and of the body, and every write waits at most until the
deadline of the attempt, whatever came before.
"""

from __future__ import annotations

import io
import socket
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from functools import cache, partial
from http.client import HTTPResponse
from typing import Any

from requests.adapters import BaseAdapter, HTTPAdapter

from ..policies.deadline import Deadline

attempt_deadline: ContextVar[Deadline | None] = ContextVar(
    "flask_resilience_attempt_deadline", default=None
)
"""The end of the attempt that is being made; ``None`` where nothing limits it."""


def keep_deadlines(adapter: BaseAdapter) -> None:
    """Let the connections that *adapter* opens from now on keep to the attempt's deadline.

    What brings its own way to the wire, and no pools of urllib3, is left as it is.
    """
    if not isinstance(adapter, HTTPAdapter) or _keeps_deadlines(adapter):
        return
    for manager in (adapter.poolmanager, *adapter.proxy_manager.values()):
        _timed(manager).clear()
    adapter.proxy_manager_for = partial(  # type: ignore[method-assign]  # of this one object
        _timed_manager_for, adapter.proxy_manager_for
    )


def _keeps_deadlines(adapter: HTTPAdapter) -> bool:
    return getattr(adapter.proxy_manager_for, "func", None) is _timed_manager_for


def _timed_manager_for(manager_for: Callable[..., Any], proxy: str, **options: Any) -> Any:
    return _timed(manager_for(proxy, **options))


def _timed(manager: Any) -> Any:
    """Give a pool manager pools of its own kinds, direct or by proxy, that keep to the deadline."""
    kinds: Mapping[str, Any] = manager.pool_classes_by_scheme
    manager.pool_classes_by_scheme = {scheme: _timed_pool(kind) for scheme, kind in kinds.items()}
    return manager


@cache
def _timed_pool(kind: Any) -> Any:
    """Return a pool like *kind*, by the same name, whose connections keep to the deadline."""
    connection = kind.ConnectionCls
    if issubclass(connection, _TimedConnection):
        return kind
    timed = type(connection.__name__, (_TimedConnection, connection), {})
    return type(kind.__name__, (kind,), {"ConnectionCls": timed})


class _Reader(io.RawIOBase):
    """The bytes of one answer, each read limited to the time left."""

    def __init__(self, sock: socket.socket, raw: io.RawIOBase, deadline: Deadline) -> None:
        self._sock, self._raw, self._deadline = sock, raw, deadline

    def readable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._raw.fileno()

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


class _TimedConnection:
    """What a urllib3 connection does otherwise to keep to the deadline."""

    response_class = _Answer
    sock: socket.socket | None

    def send(self, data: Any) -> None:
        deadline = attempt_deadline.get()
        if deadline is not None and self.sock is not None:
            _limit(self.sock, deadline)
        super().send(data)  # type: ignore[misc]  # the connection class it is mixed into


def _limit(sock: socket.socket, deadline: Deadline) -> None:
    left = deadline.left()
    if left <= 0:
        raise TimeoutError("the attempt's time is over")
    sock.settimeout(left)
