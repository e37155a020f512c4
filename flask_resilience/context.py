"""Who is being served right now: one request's identity, in a context variable.

Bound by the inbound middleware for as long as one request runs, read by the log and by outbound
calls. It knows nothing of Flask, so it holds in any thread or greenlet that carries the context.
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from .call_counts import CallCounts
from .trace_context import Span, begin_trace


@dataclass(frozen=True, slots=True, eq=False)
class RequestContext:
    """The identity of the request that is being served.

    :param request_id: The ID the answer, the log lines and the outbound calls carry.
    :param service: Name of the serving app, for its log lines.
    :param expires_at: When its caller stops waiting, in seconds of the clock's monotonic time;
        ``None`` if the caller did not say.
    :param span: Of serving it: its place in a trace.
    :param calls: Counts the calls made for it.
    :param added: What its view adds to its finish line.
    :param jars: The cookies of the request's calls, by session.
    """

    request_id: str
    service: str | None = None
    expires_at: float | None = None
    span: Span = field(default_factory=begin_trace)
    calls: CallCounts = field(default_factory=CallCounts)
    added: dict[str, Any] = field(default_factory=dict)
    jars: dict[Any, Any] = field(default_factory=dict, repr=False)


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


def add_fields(**fields: Any) -> None:
    """Add *fields* to the finish line of the request being served; outside one, do nothing.

    Of one name the last value stays. A field with a name that the line has already appears as
    ``user_…``, and one that is ``None`` is left out.
    """
    request = _current.get()
    if request is not None:
        request.added.update(fields)
