"""Who a request is: its ID and its place in a trace, as far as its headers are trusted."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from ..open_telemetry import active_span
from ..rules import REQUEST_ID_TRUST, TRUSTED_PROXIES, check
from ..trace_context import Span, begin_trace, parse_traceparent, parse_tracestate
from .client_address import forwarded_address
from .request_id import accept_request_id

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment


class Identity(NamedTuple):
    """What a request is known by.

    :param span: Of serving it.
    :param refused_id: A well-formed ID that it brought along and was not trusted with.
    """

    request_id: str
    span: Span
    refused_id: str | None


@dataclass(frozen=True, slots=True)
class Identification:
    """How requests are told apart.

    :param environ_name: The WSGI name of the header that brings a request's ID.
    :param trust: Whose IDs are taken over: ``any`` client's, those that came by way of every
        trusted ``proxy``, or ``never``.
    :param trusted_proxies: How many stand in front of the app.
    :raises ConfigurationError: If *trust* or *trusted_proxies* is out of range.
    """

    environ_name: str
    trust: str
    trusted_proxies: int

    def __post_init__(self) -> None:
        check("trust", self.trust, REQUEST_ID_TRUST)
        check("trusted_proxies", self.trusted_proxies, TRUSTED_PROXIES)

    def identify(self, environ: WSGIEnvironment) -> Identity:
        """Return the identity of a request.

        The ID of a trace serves as the request's ID, if none came; but not where IDs of others are
        not trusted and the trace is theirs.
        """
        span, sent = server_span(environ), accept_request_id(environ.get(self.environ_name))
        if self.trust == "any" or (self.trust == "proxy" and self._came_by_proxies(environ)):
            return Identity(sent or span.trace_id, span, None)
        theirs = span.parent_span_id is not None or active_span() is not None  # which may not tell
        return Identity(os.urandom(16).hex() if theirs else span.trace_id, span, sent)

    def _came_by_proxies(self, environ: WSGIEnvironment) -> bool:
        return forwarded_address(environ, self.trusted_proxies) is not None


def server_span(environ: WSGIEnvironment) -> Span:
    """Return the span of serving a request: OpenTelemetry's, else one of the caller's trace.

    If the caller's headers name no trace, it is the first of a new one.
    """
    active = active_span()
    if active is not None:
        return active
    traceparent = environ.get("HTTP_TRACEPARENT")
    caller = None if traceparent is None else parse_traceparent(traceparent)
    if caller is None:
        return begin_trace()
    state = environ.get("HTTP_TRACESTATE")
    return (caller if state is None else caller._replace(state=parse_tracestate(state))).child()
