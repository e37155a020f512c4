"""Every error of the package, and the catalogue of the codes they carry.

::

    Exception
    └── ResilienceError              INT-001
        ├── ConfigurationError       CFG-001, CFG-002
        ├── CallRejectedError
        │   └── CircuitOpenError     CIR-001
        └── DeadlineExceededError    DLN-001

Raised from HTTP calls, :class:`CircuitOpenError` is also a ``requests.ConnectionError`` and
:class:`DeadlineExceededError` a ``requests.Timeout`` (see :mod:`flask_resilience.outbound.errors`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from types import MappingProxyType
from typing import Any, ClassVar, TypeVar

DOCUMENTATION = "https://flask-resilience.readthedocs.io/en/latest/errors.html"


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorEntry:
    """One line of the catalogue: what a code means and what to do about it.

    :param detail: What a client of the app is told; it names nothing internal.
    :param http_status: Status of the problem response a view answers when the error escapes it.
    :param recoverable: Whether the same call may work later with nothing changed.
    """

    code: str
    title: str
    detail: str
    category: str
    severity: str
    http_status: int
    recoverable: bool
    troubleshooting: str

    @property
    def documentation_url(self) -> str:
        """Return the address of the code's entry in the documentation."""
        return f"{DOCUMENTATION}#{self.code.lower()}"


_ENTRIES = (
    ErrorEntry(
        code="CFG-001",
        title="Unknown setting",
        detail="The service is misconfigured.",
        category="configuration",
        severity="critical",
        http_status=500,
        recoverable=False,
        troubleshooting="Correct the name; the message names the nearest known one.",
    ),
    ErrorEntry(
        code="CFG-002",
        title="Setting out of range or contradictory",
        detail="The service is misconfigured.",
        category="configuration",
        severity="critical",
        http_status=500,
        recoverable=False,
        troubleshooting="Give a value within the range that the message states.",
    ),
    ErrorEntry(
        code="CIR-001",
        title="Circuit open",
        detail="A service this one depends on failed too often and is left alone for a while.",
        category="upstream",
        severity="warning",
        http_status=503,
        recoverable=True,
        troubleshooting=(
            "The upstream failed too often. Wait for Retry-After, then see its last failure "
            "in the log lines 'circuit_breaker.transition' and 'http.client.attempt'."
        ),
    ),
    ErrorEntry(
        code="DLN-001",
        title="Deadline exceeded",
        detail="A service this one depends on took too long.",
        category="upstream",
        severity="error",
        http_status=504,
        recoverable=True,
        troubleshooting=(
            "The call used up its total time. See 'http.client.finish' for its attempts and "
            "waits; raise RESILIENCE_DEADLINE or make fewer retries."
        ),
    ),
    ErrorEntry(
        code="INT-001",
        title="Internal error",
        detail="Something went wrong in here.",
        category="internal",
        severity="error",
        http_status=500,
        recoverable=False,
        troubleshooting="Find the traceback in the log by the request ID of this answer.",
    ),
    ErrorEntry(
        code="LIM-001",
        title="Rate limit exceeded",
        detail="There were more requests than are allowed.",
        category="limit",
        severity="warning",
        http_status=429,
        recoverable=True,
        troubleshooting="Wait for Retry-After, then send fewer requests.",
    ),
    ErrorEntry(
        code="NET-001",
        title="Upstream failed",
        detail="A service this one depends on failed.",
        category="upstream",
        severity="error",
        http_status=502,
        recoverable=True,
        troubleshooting="Check that the upstream runs and that its address and TLS are right.",
    ),
    ErrorEntry(
        code="NET-002",
        title="Upstream timed out",
        detail="A service this one depends on took too long.",
        category="upstream",
        severity="error",
        http_status=504,
        recoverable=True,
        troubleshooting="Check the upstream's load; compare its latency with RESILIENCE_TIMEOUT.",
    ),
)

CATALOGUE: Mapping[str, ErrorEntry] = MappingProxyType({entry.code: entry for entry in _ENTRIES})

E = TypeVar("E", bound="ResilienceError")


class ResilienceError(Exception):
    """What every error of this package is.

    :param message: The sentence shown to people.
    :param details: The facts the sentence was made from, for machines.
    """

    default_code: ClassVar[str] = "INT-001"

    def __init__(self, message: str, *, code: str | None = None, **details: Any) -> None:
        super().__init__(message)
        self.code = code or self.default_code
        self.details = details
        self.timestamp = datetime.now(timezone.utc)

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (type(self), self.args, self.__dict__)

    @property
    def entry(self) -> ErrorEntry:
        """Return what the catalogue says of this error's code."""
        return CATALOGUE[self.code]

    @property
    def category(self) -> str:
        """Return the kind of trouble: configuration, upstream, limit or internal."""
        return self.entry.category

    @property
    def severity(self) -> str:
        """Return the log level it deserves: warning, error or critical."""
        return self.entry.severity

    @property
    def http_status(self) -> int:
        """Return the status a view answers when this error escapes it."""
        return self.entry.http_status

    @property
    def recoverable(self) -> bool:
        """Return whether the same call may work later with nothing changed."""
        return self.entry.recoverable

    @property
    def troubleshooting(self) -> str:
        """Return what to do about it."""
        return self.entry.troubleshooting

    @property
    def documentation_url(self) -> str:
        """Return the address of its entry in the documentation."""
        return self.entry.documentation_url

    def to_dict(self) -> dict[str, Any]:
        """Return the error as JSON-ready values; the timestamp is RFC 3339 text."""
        return {
            "code": self.code,
            "message": str(self),
            "category": self.category,
            "severity": self.severity,
            "http_status": self.http_status,
            "recoverable": self.recoverable,
            "details": self.details,
            "troubleshooting": self.troubleshooting,
            "documentation_url": self.documentation_url,
            "timestamp": self.timestamp.isoformat(),
        }


class ConfigurationError(ResilienceError):
    """A setting is unknown, of the wrong type, out of range or contradicts another one."""

    default_code = "CFG-002"


class CallRejectedError(ResilienceError):
    """A call was refused on this side; nothing went to the upstream."""


class CircuitOpenError(CallRejectedError):
    """The circuit of an upstream is open, so the call was not made.

    :param upstream: Whose circuit it is.
    :param retry_after: Until the circuit lets a trial through, in seconds; zero or more.
    :param last_failure: What the upstream's last failure was, as text.
    """

    default_code = "CIR-001"

    def __init__(self, upstream: str, retry_after: float, last_failure: str) -> None:
        super().__init__(
            f"The circuit of {upstream} is open for another {retry_after:.1f} s "
            f"(last failure: {last_failure}); nothing was sent.",
            upstream=upstream,
            retry_after=retry_after,
            last_failure=last_failure,
        )
        self.upstream = upstream
        self.retry_after = retry_after
        self.last_failure = last_failure


class DeadlineExceededError(ResilienceError):
    """A call used up its total time.

    :param upstream: Whom the call was to.
    :param deadline: The total time the call had, in seconds.
    :param attempts: How many attempts were made within it.
    """

    default_code = "DLN-001"

    def __init__(self, upstream: str, deadline: float, attempts: int) -> None:
        super().__init__(
            f"The call to {upstream} used up its deadline of {deadline:g} s "
            f"in {attempts} attempt(s).",
            upstream=upstream,
            deadline=deadline,
            attempts=attempts,
        )
        self.upstream = upstream
        self.deadline = deadline
        self.attempts = attempts


def _restore(kind: type[E], args: tuple[Any, ...], state: dict[str, Any]) -> E:
    """Rebuild a pickled error without its constructor, which takes facts and not a message."""
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(state)
    return error
