"""What an HTTP exchange came to: health of the upstream, was it sent, may it be sent again.

``requests`` raises classes that mislead: a refused connection, a reset after sending and a body
that stalls are all ``ConnectionError``. So an exception is judged by the chain behind it
(``args``, ``reason``, ``__cause__``), never by its own class alone. Its ``__context__`` is left
out, for it may lead to what the caller is handling: a fallback may be called in an ``except``.
"""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Iterator, Mapping
from datetime import timezone
from email.utils import parsedate_to_datetime

from requests import ConnectTimeout, PreparedRequest, RequestException, Response
from requests.exceptions import InvalidJSONError, UnrewindableBodyError
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    InvalidHeader,
    NewConnectionError,
    SSLError,
)
from urllib3.util.ssl_match_hostname import CertificateError

from ..errors import CallRejectedError
from ..policies.outcome import Outcome, Verdict
from ..policies.retry import RetryPolicy
from .errors import SHOULD_RETRY_HEADER, TOLD_NOT_TO
from .idempotency import IDEMPOTENCY_HEADER

try:
    from urllib3.exceptions import NameResolutionError
except ImportError:  # urllib3 1.26, in which a NewConnectionError stands for this, too

    class NameResolutionError(NewConnectionError):  # type: ignore[no-redef]
        """The name of a host could not be looked up."""


UNSAFE = "unsafe"
BODY = "body"
IDEMPOTENT_VERBS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})
FAILURE_STATUSES = frozenset({408, 500, 502, 503, 504, 507, 508, 509, *range(520, 530)})
PUSHBACK_STATUSES = frozenset({429, 503})
"""Statuses by which an upstream says that it did not act."""
OUT_OF_RESOURCES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
NOT_SENT = (ConnectTimeout, ConnectTimeoutError, NameResolutionError, NewConnectionError)


def judge_response(
    response: Response, policy: RetryPolicy, refusal: str | None, now: float
) -> Verdict:
    """Judge an answer that was read to its end.

    :param refusal: Why this request may not be sent again in general, see :func:`refusal`.
    :param now: Current time, in seconds since the epoch.
    """
    status = response.status_code
    wanted = status in policy.statuses or _is_wanted_again(response, policy)
    if not wanted:
        refusal = "error"
    elif response.headers.get(SHOULD_RETRY_HEADER, "").strip().lower() == "false":
        refusal = TOLD_NOT_TO
    elif refusal == UNSAFE and policy.unsafe == "pushback" and status in PUSHBACK_STATUSES:
        refusal = None
    return Verdict(
        outcome=Outcome.FAILURE if status in FAILURE_STATUSES else Outcome.SUCCESS,
        failed=wanted or status in FAILURE_STATUSES,
        status=status,
        refusal=refusal,
        retry_after=_retry_after(response.headers, now) if wanted else None,
        fails_trial=status == 429,
    )


def judge_error(error: Exception, policy: RetryPolicy, refusal: str | None) -> Verdict:
    """Judge an exchange that ended in an exception.

    :param refusal: Why this request may not be sent again in general, see :func:`refusal`.
    """
    kind = type(error).__name__
    if not is_upstream_failure(error, policy):
        return Verdict(outcome=Outcome.IGNORED, failed=True, error_type=kind, refusal="error")
    causes = tuple(chain(error))
    unsent = any(isinstance(cause, NOT_SENT) for cause in causes)
    untrusted = any(map(_is_distrust, causes))
    if untrusted or not _is_retried(error, policy):
        refusal = "error"
    elif refusal == UNSAFE and policy.unsafe == "pushback" and unsent:
        refusal = None
    return Verdict(
        outcome=Outcome.FAILURE,
        failed=True,
        error_type=kind,
        refusal=refusal,
        unsent=unsent,
        host_fault=any(map(_is_host_fault, causes)),
    )


def _is_wanted_again(response: Response, policy: RetryPolicy) -> bool:
    return policy.predicate is not None and bool(policy.predicate(response))


def _is_retried(error: Exception, policy: RetryPolicy) -> bool:
    return policy.exceptions is None or isinstance(error, policy.exceptions)


def _is_host_fault(cause: BaseException) -> bool:
    """Say whether *cause* is of this host: no name service, no trust, no file or socket left."""
    if isinstance(cause, (NameResolutionError, socket.gaierror)) or _is_distrust(cause):
        return True
    return isinstance(cause, OSError) and cause.errno in OUT_OF_RESOURCES


def _is_distrust(cause: BaseException) -> bool:
    """Say whether a certificate was not accepted, or one of this side's files is none.

    A broken handshake is neither; OpenSSL tells of it under its own name, with a reason.
    """
    if isinstance(cause, (ssl.SSLCertVerificationError, CertificateError)):
        return True
    if isinstance(cause, SSLError):  # of urllib3; with text alone it is about a pinned fingerprint
        return isinstance(cause.args[0] if cause.args else None, str)
    if type(cause) is not ssl.SSLError:
        return False
    return cause.library not in (None, "SSL", "") or (cause.library == "SSL" and not cause.reason)


def refusal(
    request: PreparedRequest, policy: RetryPolicy, *, idempotent: bool, replayable: bool
) -> str | None:
    """Return why *request* may not be sent a second time, or ``None`` if it may.

    :param idempotent: Whether the caller says that sending it twice does no harm.
    :param replayable: Whether its body can be produced again.
    :return: ``"body"`` if its body cannot be produced again, ``"unsafe"`` if it may act twice and
        carries no idempotency key.

    Source: RFC 9110, section 9.2.2.
    """
    if not replayable:
        return BODY
    if idempotent or policy.unsafe == "always" or request.method in IDEMPOTENT_VERBS:
        return None
    return None if IDEMPOTENCY_HEADER in request.headers else UNSAFE


def is_failure_status(response: Response | None, policy: RetryPolicy) -> bool:
    """Say whether the status of *response* says that the call failed."""
    status = None if response is None else response.status_code
    return status in FAILURE_STATUSES or status in policy.statuses


def is_own_doing(error: BaseException) -> bool:
    """Say whether *error* is a mistake of the caller's, or a rejection on this side.

    ``requests`` marks mistakes (an invalid URL, schema or header) as ``ValueError`` too, and names
    two of its own classes alike: an ``InvalidHeader`` made of urllib3's was in the answer.
    """
    if isinstance(error, (CallRejectedError, InvalidJSONError, UnrewindableBodyError)):
        return True
    if not (isinstance(error, ValueError) and isinstance(error, (RequestException, HTTPError))):
        return False
    return not any(isinstance(cause, InvalidHeader) for cause in chain(error))


def is_upstream_failure(error: BaseException, policy: RetryPolicy) -> bool:
    """Say whether *error* speaks of the upstream."""
    kinds = (RequestException, HTTPError, ConnectionError, TimeoutError, *(policy.exceptions or ()))
    return isinstance(error, kinds) and not is_own_doing(error)


def chain(error: BaseException) -> Iterator[BaseException]:
    """Yield *error* and everything it was made from, each once."""
    seen: set[int] = set()
    waiting: list[object] = [error]
    while waiting:
        cause = waiting.pop()
        if not isinstance(cause, BaseException) or id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        waiting += [*cause.args, getattr(cause, "reason", None), cause.__cause__]


def parse_retry_after(value: str, now: float) -> float | None:
    """Return how long a ``Retry-After`` header asks the client to wait, in seconds.

    :param value: Seconds, decimal seconds, or an HTTP date.
    :param now: Current time, in seconds since the epoch.
    :return: Zero or more seconds, or ``None`` if the header is malformed, negative or too large
        to be a time.

    Source: RFC 9110, section 10.2.3.

    >>> parse_retry_after("Thu, 01 Jan 1970 00:00:30 GMT", now=10.0)
    20.0
    >>> parse_retry_after("1.5", now=0.0)
    1.5
    >>> parse_retry_after("soon", now=0.0)
    """
    value = value.strip()
    if value.replace(".", "", 1).isdecimal() and value.isascii():
        return float(value) if len(value) <= LONGEST_RETRY_AFTER else None
    try:
        date = parsedate_to_datetime(value)
        if date.tzinfo is None:
            date = date.replace(tzinfo=timezone.utc)
        return max(0.0, date.timestamp() - now)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


LONGEST_RETRY_AFTER = 12
"""Characters of the longest number of seconds believed: some thirty thousand years."""


def _retry_after(headers: Mapping[str, str], now: float) -> float | None:
    value = headers.get("Retry-After")
    return None if value is None else parse_retry_after(value, now)
