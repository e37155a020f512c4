"""Who is being served right now: one request's identity, in a context variable.

Bound by the inbound middleware for as long as one request runs, read by the log and by outbound
calls. It knows nothing of Flask, so it holds in any thread or greenlet that carries the context.
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class RequestContext:
    """The identity of the request that is being served.

    :param request_id: The ID the answer, the log lines and the outbound calls carry.
    :param service: Name of the serving app, for its log lines.
    :param expires_at: When its caller stops waiting, in seconds of the clock's monotonic time;
        ``None`` if the caller did not say.
    :param jars: The cookies of the request's calls, by session.
    """

    request_id: str
    service: str | None = None
    expires_at: float | None = None
    jars: dict[Any, Any] = field(default_factory=dict, repr=False, compare=False)


_current: ContextVar[RequestContext | None] = ContextVar("flask_resilience_request", default=None)


def bind_request(request: RequestContext) -> None:
    """Make *request* the current one until the surrounding context ends."""
    _current.set(request)


def current_request() -> RequestContext | None:
    """Return the request being served, or ``None`` outside one."""
    return _current.get()


def current_request_id() -> str | None:
    """Return the ID of the request being served, or ``None`` outside one."""
    request = _current.get()
    return None if request is None else request.request_id
