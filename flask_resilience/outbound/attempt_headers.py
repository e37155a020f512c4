"""What an attempt adds to the headers of its request: who is served, which try it is, its span."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import Any

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


def set_by_hand(request: PreparedRequest) -> str | None:
    """Return the ``traceparent`` that no attempt of ours has set, but a user or instrumentation."""
    headers: Mapping[str, str | bytes] = request.headers or {}
    found = headers.get(TRACEPARENT)
    if isinstance(found, bytes):
        return found.decode("latin-1")
    return None if isinstance(found, OwnTraceparent) else found


def span_of_attempt(by_hand: str | None, caller: Span) -> Span:
    """Return the span that an attempt is known by to the upstream.

    It is the one that the request names by hand, else OpenTelemetry's, which nobody else tells the
    upstream of, else a new one.

    :param by_hand: The ``traceparent`` that is set already, if there is one.
    :param caller: What makes the attempt.
    """
    if by_hand is None:
        return active_span() or caller.child()
    span = parse_traceparent(by_hand) or caller.child()
    parent = caller.span_id if span.trace_id == caller.trace_id else None
    return span._replace(parent_span_id=parent)


def with_headers(
    request: PreparedRequest, added: Mapping[str, str], span: Span | None
) -> PreparedRequest:
    """Return a copy of *request* with more headers; what its user set stays.

    But what another attempt has set goes: on a request that a hook sends again, it is wrong.

    :param span: That the upstream is told of; ``None`` if the request names one by hand.
    """
    kind = type(request)
    changed = kind.__new__(kind)
    headers = request.headers.copy()
    vars(changed).update(vars(request), headers=headers)
    headers.pop(RETRY_HEADER, None)
    for name, value in added.items():
        headers.setdefault(name, value)
    if span is not None:
        _tell(headers, span)
    return changed


def _tell(headers: MutableMapping[str, Any], span: Span) -> None:
    """Name *span* as the parent of what the upstream does."""
    if TRACEPARENT in headers:  # that of an attempt before
        headers.pop(TRACESTATE, None)
    headers[TRACEPARENT] = OwnTraceparent(span.traceparent)
    if span.state:
        headers.setdefault(TRACESTATE, span.state)
