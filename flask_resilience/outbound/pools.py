"""Pools that know how long their connections lay idle.

A server closes a connection that was idle for too long, perhaps while the next request is already
on its way. Such a request was not the upstream's failure: it goes out once more on a connection of
its own, and nobody above hears of it.
"""

from __future__ import annotations

import queue
from time import monotonic
from typing import Any, Protocol

from urllib3 import Timeout

from ..policies.deadline import SHORTEST
from .outcome import IDEMPOTENT_VERBS
from .replay import LASTING

STALE_AFTER = 1.0
"""Seconds of real time; a connection idle for less that breaks is a failure like any other."""
CLOSED = (ConnectionResetError, BrokenPipeError, ConnectionAbortedError)


class KeptConnection(Protocol):
    """What these pools ask of a connection.

    :ivar idle_since: When it was last put into its pool, in seconds of :func:`time.monotonic`;
        infinity if it never was.
    """

    sock: Any
    idle_since: float

    @property
    def answered(self) -> bool:
        """Say whether a byte has come in answer to the latest request."""

    @property
    def time_left(self) -> float:
        """Return the seconds left to the attempt that is being made; 0 if there is none."""

    def close(self) -> None:
        """Close it; the next request opens it anew."""


class KeepAlivePool:
    """What a urllib3 pool does otherwise with the connections it keeps."""

    scheme: str
    proxy: Any
    block: bool
    pool: queue.LifoQueue[KeptConnection | None] | None

    def _put_conn(self, conn: KeptConnection | None) -> None:
        """Keep *conn*, or close it where enough are kept.

        More calls at once than the pool keeps connections are no fault, so nothing warns of them.
        """
        if conn is not None:
            conn.idle_since = monotonic()
        pool = self.pool
        if pool is None or self.block:
            super()._put_conn(conn)  # type: ignore[misc]  # the pool class it is mixed into
            return
        try:
            pool.put(conn, block=False)
        except queue.Full:
            if conn is not None:
                conn.close()

    def _make_request(self, conn: KeptConnection, method: str, url: str, **options: Any) -> Any:
        """Send a request, and once more if *conn* had gone stale.

        Source: RFC 9112, section 9.3.1.
        """
        stale = conn.sock is not None and monotonic() - conn.idle_since >= STALE_AFTER
        repeatable = method in IDEMPOTENT_VERBS and isinstance(options.get("body"), LASTING)
        send = super()._make_request  # type: ignore[misc]  # the pool class it is mixed into
        try:
            return send(conn, method, url, **options)
        except CLOSED:
            left = conn.time_left
            again = stale and repeatable and not conn.answered and not self._may_tunnel()
            if not again or left < SHORTEST:
                raise
        conn.close()
        options["timeout"] = Timeout(connect=options["timeout"].connect_timeout, total=left)
        return send(conn, method, url, **options)

    def _may_tunnel(self) -> bool:
        """Say whether a connection opened anew could lack its tunnel through a proxy."""
        return self.proxy is not None and self.scheme != "http"
