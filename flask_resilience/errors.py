"""Every error of the package; what their codes mean is in the catalogue beside it.

::

    Exception
    └── ResilienceError              INT-001
        ├── ConfigurationError       CFG-001 to CFG-003
        ├── StorageError             STO-001
        ├── CallRejectedError
        │   └── CircuitOpenError     CIR-001
        └── DeadlineExceededError    DLN-001

Raised from HTTP calls, :class:`CircuitOpenError` is also a ``requests.ConnectionError`` and
:class:`DeadlineExceededError` a ``requests.Timeout`` (see :mod:`flask_resilience.outbound.errors`).
"""

from __future__ import annotations

from datetime import datetime, timezone
from time import time
from typing import Any, ClassVar, TypeVar

from .error_catalogue import CATALOGUE, ErrorEntry

E = TypeVar("E", bound="ResilienceError")


class ResilienceError(Exception):
    """What every error of this package is.

    :param message: The sentence shown to people.
    :param details: The facts the sentence was made from, for machines.
    """

    default_code: ClassVar[str] = "INT-001"
    code: str
    details: dict[str, Any]
    raised_at: float

    def __init__(self, message: str, *, code: str | None = None, **details: Any) -> None:
        super().__init__(message)
        self.code = code or self.default_code
        self.details = details
        self.raised_at = time()

    @property
    def timestamp(self) -> datetime:
        """Return when it was made, in UTC."""
        return datetime.fromtimestamp(self.raised_at, timezone.utc)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (type(self), self.args, self.__dict__)

    @property
    def entry(self) -> ErrorEntry:
        """Return what the catalogue says of this error's code."""
        return CATALOGUE[self.code]

    @property
    def category(self) -> str:
        """Return the kind of trouble: configuration, upstream, limit, storage or internal."""
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


class StorageError(ResilienceError):
    """Where circuits are shared cannot be asked; no call through a session or breaker raises it.

    :param storage: Which it is, as a URL without a password.
    :param reason: What went wrong, as text without a password.
    :param error_type: Class of the exception it was made from.
    """

    default_code = "STO-001"

    def __init__(self, storage: str, reason: str, error_type: str = "StorageError") -> None:
        super().__init__(
            f"The storage {storage} cannot be asked: {reason}",
            storage=storage,
            reason=reason,
            error_type=error_type,
        )
        self.storage = storage
        self.reason = reason
        self.error_type = error_type


class CallRejectedError(ResilienceError):
    """A call was refused on this side; nothing went to the upstream."""


class CircuitOpenError(CallRejectedError):
    """The circuit of an upstream is open, so the call was not made.

    Its ``args`` are its facts and its time, and all else is made of them when somebody asks: a
    rejection is to cost nothing, and few of its messages are ever read.

    :param upstream: Whose circuit it is.
    :param retry_after: Until the circuit lets a trial through, in seconds; zero or more.
    :param last_failure: What the upstream's last failure was, or who opened the circuit, as text.
    """

    code = default_code = "CIR-001"
    args: tuple[str, float, str, float]

    def __init__(self, upstream: str, retry_after: float, last_failure: str) -> None:
        self.args = (upstream, retry_after, last_failure, time())

    @property
    def upstream(self) -> str:
        """Return whose circuit it is."""
        return self.args[0]

    @property
    def retry_after(self) -> float:
        """Return how long until the circuit lets a trial through, in seconds; zero or more."""
        return self.args[1]

    @property
    def last_failure(self) -> str:
        """Return what the upstream's last failure was, as text."""
        return self.args[2]

    @property
    def raised_at(self) -> float:  # type: ignore[override]  # made when it is asked for
        """Return when it was made, in seconds since the epoch."""
        return self.args[3]

    def __str__(self) -> str:
        return (
            f"The circuit of {self.upstream} is open for another {self.retry_after:.1f} s "
            f"(cause: {self.last_failure}); nothing was sent."
        )

    @property
    def details(self) -> dict[str, Any]:  # type: ignore[override]  # made when it is asked for
        """Return the facts the message is made from."""
        names = ("upstream", "retry_after", "last_failure")
        return {name: getattr(self, name) for name in names}


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
