"""The catalogue of error codes: what each means and what to do about it, as data in one place.

It is served in problem responses, documented and tested from here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

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
        code="CFG-003",
        title="Environment variable not set",
        detail="The service is misconfigured.",
        category="configuration",
        severity="critical",
        http_status=500,
        recoverable=False,
        troubleshooting=(
            "Set the variable that the message names where the app starts; for a literal ${NAME} "
            "write $${NAME}."
        ),
    ),
    ErrorEntry(
        code="CIR-001",
        title="Circuit open",
        detail="A service this one depends on is left alone for a while.",
        category="upstream",
        severity="warning",
        http_status=503,
        recoverable=True,
        troubleshooting=(
            "The upstream failed too often, or somebody opened its circuit. See who or why in the "
            "log line 'circuit_breaker.transition', and what failed in 'http.client.attempt'; wait "
            "for Retry-After."
        ),
    ),
    ErrorEntry(
        code="DLN-001",
        title="Deadline exceeded",
        detail="The time there was for this request ran out.",
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
        code="LIM-002",
        title="Rate limit cannot be checked",
        detail="Requests like this one are not taken just now.",
        category="limit",
        severity="error",
        http_status=503,
        recoverable=True,
        troubleshooting=(
            "The storage of the limits cannot be asked, and this limit lets nothing through "
            "meanwhile. See 'storage.degraded' in the log for which storage and why; "
            "on_storage_error='fallback' would let each process count alone."
        ),
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
    ErrorEntry(
        code="STO-001",
        title="Storage unavailable",
        detail="Something went wrong in here.",
        category="storage",
        severity="warning",
        http_status=500,
        recoverable=True,
        troubleshooting=(
            "Where circuits and limits are shared could not be asked; each process goes by its own "
            "meanwhile. "
            "See 'storage.degraded' in the log for which storage and why, and check that it runs, "
            "can be written and answers within 50 ms."
        ),
    ),
)

CATALOGUE: Mapping[str, ErrorEntry] = MappingProxyType({entry.code: entry for entry in _ENTRIES})
