"""The wire: adapters whose connections give each read and write only the time left.

A socket's own timeout starts anew with every byte, so an upstream that drips its answer is never
too late. Here every read, of the headers and of the body, and every write waits at most until the
deadline of the attempt, whatever came before.
"""

from __future__ import annotations

import io
import math
import socket
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from copy import copy
from functools import cache, partial
from queue import Empty, Queue
from typing import Any, TypeGuard
from urllib.parse import urlsplit
from weakref import WeakValueDictionary

from requests import PreparedRequest
from requests.adapters import BaseAdapter, HTTPAdapter
from urllib3 import PoolManager, Retry

from ..policies.deadline import Deadline
from .pools import KeepAlivePool

HOSTS = 100
"""Hosts that connections are kept to; those of the host called longest ago go first."""

_inherited: list[Any] = []
"""Pools of the parent process: kept, as nothing may wait for the locks that they had."""

attempt_deadline: ContextVar[Deadline | None] = ContextVar(
    "flask_resilience_attempt_deadline", default=None
)
"""The end of the attempt that is being made; ``None`` where nothing limits it."""


class _Adapter(HTTPAdapter):
    """Remember which pool a host's calls go to; to find it costs more than all else in here."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Begin with no pool known; to know one keeps it from nothing, least from being closed."""
        self._known: tuple[Any, WeakValueDictionary[tuple[str, str, Any], Any]]
        self._known = (None, WeakValueDictionary())
        super().init_poolmanager(*args, **kwargs)

    def get_connection_with_tls_context(
        self, request: PreparedRequest, verify: Any, proxies: Any = None, cert: Any = None
    ) -> Any:
        """Return the pool; with many hosts, ``urllib3`` is asked, who closes the least used."""
        if proxies or cert is not None or len(self.poolmanager.pools) >= HOSTS:
            return super().get_connection_with_tls_context(request, verify, proxies, cert)
        if self._known[0] is not self.poolmanager:
            self._known = (self.poolmanager, WeakValueDictionary())
        known = self._known[1]
        address = urlsplit(request.url or "")
        key = (address.scheme, address.netloc, verify)
        pool = known.get(key)
        if pool is None or pool.pool is None:
            pool = super().get_connection_with_tls_context(request, verify, proxies, cert)
            known[key] = pool
        return pool


def make_adapter(pool_size: int) -> HTTPAdapter:
    """Return an adapter that repeats nothing, never waits for a connection and keeps to deadlines.

    :param pool_size: Idle connections kept open for each host; at least 1. More calls at once
        open more, which are closed when they are done.
    """
    adapter = _Adapter(pool_connections=HOSTS, pool_maxsize=pool_size)
    keep_deadlines(adapter)
    return adapter


def switch_off_retries(adapter: BaseAdapter) -> bool:
    """Have *adapter* repeat nothing by itself, as those that ``requests`` brings.

    :return: Whether it would have repeated something.
    """
    if not _has_pools(adapter) or not _repeats(Retry.from_int(adapter.max_retries)):
        return False
    adapter.max_retries = Retry(0, read=False)
    return True


def _repeats(retries: Retry) -> bool:
    """Say whether *retries* let anything be sent twice: a count of ``None`` sets no limit."""
    if retries.total is not None and retries.total <= 0:
        return False
    counts = (retries.connect, retries.read, retries.status, retries.other)
    return any(count is None or count > 0 for count in counts)


def begin_anew(adapter: BaseAdapter) -> None:
    """Give *adapter* empty pools, made as the ones it has, in a process that was just forked.

    Two processes on one connection would read each other's answers. What was inherited is left as
    it is until the process ends: a thread of the parent may have held its locks at the fork.
    """
    if not _has_pools(adapter):
        return
    direct, by_proxy = adapter.poolmanager, adapter.proxy_manager
    _inherited.extend((direct, *by_proxy.values()))
    adapter.poolmanager = _emptied(direct)
    adapter.proxy_manager = {proxy: _emptied(manager) for proxy, manager in by_proxy.items()}


def _emptied(manager: Any) -> Any:
    inherited, anew = manager.pools, copy(manager)
    anew.pools = PoolManager(inherited._maxsize).pools  # noqa: SLF001  # it has no other place
    for pool in inherited._container.values():  # noqa: SLF001  # any other way takes its lock
        if isinstance(pool.pool, Queue):  # which urllib3 empties at exit
            pool.pool.get = partial(_take, pool.pool.queue)  # type: ignore[method-assign]
    return anew


def _take(connections: list[Any], **_: Any) -> Any:
    """Take one, as ``Queue.get`` does, without its lock."""
    if not connections:
        raise Empty
    return connections.pop()


def keep_deadlines(adapter: BaseAdapter) -> None:
    """Let the connections that *adapter* opens from now on keep to the attempt's deadline.

    What brings its own way to the wire, and no pools of urllib3, is left as it is.
    """
    if not _has_pools(adapter) or _keeps_deadlines(adapter):
        return
    for manager in (adapter.poolmanager, *adapter.proxy_manager.values()):
        _timed(manager).clear()
    adapter.proxy_manager_for = partial(  # type: ignore[method-assign]  # of this one object
        _timed_manager_for, adapter.proxy_manager_for
    )


def _has_pools(adapter: BaseAdapter) -> TypeGuard[HTTPAdapter]:
    """Say whether *adapter* has pools as ``requests`` makes them; that of a test may have none."""
    manager = getattr(adapter, "poolmanager", None)
    return isinstance(adapter, HTTPAdapter) and isinstance(manager, PoolManager)


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
    if issubclass(kind, KeepAlivePool):
        return kind
    connection = kind.ConnectionCls
    timed = type(connection.__name__, (_TimedConnection, connection), {})
    return type(kind.__name__, (KeepAlivePool, kind), {"ConnectionCls": timed})


class _Reader(io.RawIOBase):
    """The bytes of one answer, each read limited to the time left."""

    def __init__(self, sock: socket.socket, raw: io.RawIOBase, deadline: Deadline) -> None:
        self._sock, self._raw, self._deadline = sock, raw, deadline
        self.began = False

    def readable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._raw.fileno()

    def readinto(self, buffer: Any) -> int | None:
        _limit(self._sock, self._deadline)
        count = self._raw.readinto(buffer)
        self.began = self.began or bool(count)
        return count

    def close(self) -> None:
        super().close()
        self._raw.close()


class _TimedConnection:
    """What a urllib3 connection does otherwise to keep to the deadline."""

    sock: socket.socket | None
    idle_since: float = math.inf
    _reader: _Reader | None = None

    @property
    def time_left(self) -> float:
        deadline = attempt_deadline.get()
        return 0.0 if deadline is None else deadline.left()

    @property
    def answered(self) -> bool:
        return self._reader is not None and self._reader.began

    def putrequest(self, *args: Any, **kwargs: Any) -> None:
        self._reader = None  # that of the answer before
        super().putrequest(*args, **kwargs)  # type: ignore[misc]  # the class it is mixed into

    def send(self, data: Any) -> None:
        deadline = attempt_deadline.get()
        if deadline is not None and self.sock is not None:
            _limit(self.sock, deadline)
        super().send(data)  # type: ignore[misc]  # the class it is mixed into

    def response_class(self, sock: socket.socket, *args: Any, **kwargs: Any) -> Any:
        """Make an answer that is read through :class:`_Reader`; called as the class would be."""
        answer = super().response_class(sock, *args, **kwargs)  # type: ignore[misc]  # as above
        deadline = attempt_deadline.get()
        if deadline is not None:
            self._reader = _Reader(sock, answer.fp.detach(), deadline)
            answer.fp = io.BufferedReader(self._reader)
        return answer


def _limit(sock: socket.socket, deadline: Deadline) -> None:
    left = deadline.left()
    if left <= 0:
        raise TimeoutError("the attempt's time is over")
    sock.settimeout(left)
