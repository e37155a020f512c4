"""What an attempt adds to the headers of its request: who is served, which try it is, its span."""

from __future__ import annotations

from collections.abc import Mapping

from requests import PreparedRequest

from ..open_telemetry import active_span
from ..trace_context import TRACEPARENT, TRACESTATE, Span, parse_traceparent

RETRY_HEADER = "X-Retry-Attempt"
TIMEOUT_HEADER = "X-Request-Timeout-Ms"


class OwnTraceparent(str):
    """The ``traceparent`` of an attempt, which tells it from one that a user has set.

    A request that a hook sends again brings along that of before.
    """

    __slots__ = ()


def added_headers(
    number: int, request_id: tuple[str, str] | None, time_left: float | None
) -> dict[str, str]:
    """Return the headers that go along with attempt *number*.

    :param request_id: The header and the ID it carries; ``None`` outside a request.
    :param time_left: What the attempt may take, in seconds, to be told to the upstream; ``None`` to
        keep it from the upstream.

    >>> added_headers(2, ("X-Request-ID", "visit-1"), 1.5)
    {'X-Request-ID': 'visit-1', 'X-Request-Timeout-Ms': '1500', 'X-Retry-Attempt': '1'}
    """
    added = {} if request_id is None else dict([request_id])
    if time_left is not None:
        added[TIMEOUT_HEADER] = str(max(1, int(time_left * 1000)))
    if number > 1:
        added[RETRY_HEADER] = str(number - 1)
    return added


def span_of_attempt(request: PreparedRequest, caller: Span) -> Span:
    """Return the span that an attempt is known by to the upstream.

    It is the one that the request names already, else OpenTelemetry's, which is told to the
    upstream by nobody else, else a new one.

    :param caller: What makes the attempt.
    """
    named = _named_by_user(request)
    if named is None:
        return active_span() or caller.child()
    span = parse_traceparent(named) or caller.child()
    parent = caller.span_id if span.trace_id == caller.trace_id else None
    return span._replace(parent_span_id=parent)


def trace_headers(span: Span) -> dict[str, str]:
    """Return the headers that tell the upstream of *span*."""
    headers: dict[str, str] = {TRACEPARENT: OwnTraceparent(span.traceparent)}
    if span.state:
        headers[TRACESTATE] = span.state
    return headers


def with_headers(
    request: PreparedRequest, added: Mapping[str, str], of_trace: Mapping[str, str]
) -> PreparedRequest:
    """Return a copy of *request* with more headers; what its user set stays.

    But what another attempt has set goes: on a request that a hook sends again, it is wrong.

    :param of_trace: Left out altogether where the user has set a ``traceparent``.
    """
    kind = type(request)
    changed = kind.__new__(kind)
    vars(changed).update(vars(request), headers=request.headers.copy())
    changed.headers.pop(RETRY_HEADER, None)
    if isinstance(changed.headers.get(TRACEPARENT), OwnTraceparent):
        del changed.headers[TRACEPARENT]
        changed.headers.pop(TRACESTATE, None)
    for name, value in added.items():
        changed.headers.setdefault(name, value)
    if TRACEPARENT not in changed.headers:
        for name, value in of_trace.items():
            changed.headers.setdefault(name, value)
    return changed


def _named_by_user(request: PreparedRequest) -> str | None:
    headers: Mapping[str, str | bytes] = request.headers or {}
    named = headers.get(TRACEPARENT)
    if named is None or isinstance(named, OwnTraceparent):
        return None
    return named.decode("latin-1") if isinstance(named, bytes) else named
