"""The package's errors as ``requests`` knows them, and what an escaped failure means.

A call made through a session raises these, so that ``except requests.RequestException`` written
for a plain session still catches everything; :class:`flask_resilience.CircuitOpenError` catches
them just as well.
"""

from __future__ import annotations

from typing import Any

from requests import ConnectionError as RequestsConnectionError
from requests import HTTPError, PreparedRequest, RequestException, Timeout
from requests.exceptions import ChunkedEncodingError, ContentDecodingError

from .. import errors
from ..policies.report import CallReport


class _PickledAlone(errors.ResilienceError):
    """Leaves the request behind when it is pickled: a body or a hook may not survive that."""

    def __reduce__(self) -> tuple[Any, ...]:
        restore, (kind, args, state) = super().__reduce__()
        return restore, (kind, args, {**state, "request": None})


class CircuitOpenError(_PickledAlone, errors.CircuitOpenError, RequestsConnectionError):
    """The circuit of an upstream is open; also a ``requests.ConnectionError``."""

    request = response = None


class DeadlineExceededError(_PickledAlone, errors.DeadlineExceededError, Timeout):
    """A call used up its total time; also a ``requests.Timeout``."""


SHOULD_RETRY_HEADER = "X-Should-Retry"
"""By which an upstream says ``false``: it has tried for itself, and another attempt is in vain."""
TOLD_NOT_TO = "told_not_to"
OVERLOADED = frozenset({408, 429})
"""The 4xx statuses by which an upstream speaks of itself, not of the request."""


def as_requests_error(
    error: errors.CircuitOpenError | errors.DeadlineExceededError, request: PreparedRequest
) -> CircuitOpenError | DeadlineExceededError:
    """Return *error* as the ``requests`` exception that says the same of *request*."""
    if isinstance(error, errors.CircuitOpenError):
        kind: type[CircuitOpenError | DeadlineExceededError] = CircuitOpenError
    else:
        kind = DeadlineExceededError
    same = kind(**error.details)
    same.request = request
    return same


def problem_code(error: Exception) -> str | None:
    """Return the catalogue code of an upstream failure that escaped a view.

    :return: ``None`` if it is no upstream's failure but the view's own mistake, as an invalid
        URL, or most 4xx answers made an exception by ``raise_for_status()``.
    """
    if isinstance(error, errors.ResilienceError):
        return error.code
    if isinstance(error, HTTPError):
        status = 0 if error.response is None else error.response.status_code
        return "NET-001" if status >= 500 or status in OVERLOADED else None
    if isinstance(error, Timeout):
        return "NET-002"
    if isinstance(error, (RequestsConnectionError, ChunkedEncodingError, ContentDecodingError)):
        return "NET-001"
    return None


def problem_headers(error: Exception) -> dict[str, str]:
    """Return what the client is told of *error* beside its problem: not to try again in vain.

    Where this app has made several attempts, or was told that its upstream has, its clients'
    retries would multiply with them.
    """
    for told in (error, getattr(error, "response", None)):
        report = getattr(told, "resilience", None)
        if isinstance(report, CallReport) and (report.waits or report.stop_reason == TOLD_NOT_TO):
            return {SHOULD_RETRY_HEADER: "false"}
    return {}


ESCAPING: tuple[type[Exception], ...] = (
    errors.CallRejectedError,
    errors.DeadlineExceededError,
    RequestException,
)
"""What an outbound call may raise into a view."""
