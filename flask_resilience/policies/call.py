"""One call while it runs: what it may use and what it has used up."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from .deadline import Deadline
from .retry import RetryPolicy


@dataclass(slots=True, kw_only=True)
class Call:
    """What the user asked for, with all its attempts; it belongs to one thread.

    :param retry: The policy its attempts follow.
    :param started: When it began, in seconds of the clock's monotonic time.
    :param idempotent: Whether sending it again does no harm whatever its verb is.
    :param upstream: Whom it turned to last; changes with a redirect.
    :param streaming: Whether its body is read by the user after it was answered.
    :param stop_reason: Why no further attempt was made; ``None`` while all is well.
    """

    retry: RetryPolicy
    deadline: Deadline
    started: float
    idempotent: bool = False
    call_id: str = field(default_factory=lambda: secrets.token_hex(8))
    upstream: str = ""
    attempts: int = 0
    waited: float = 0.0
    streaming: bool = False
    stop_reason: str | None = None

    @property
    def outcome(self) -> str:
        """Return how the call ended, in the word its finish line carries."""
        if self.stop_reason == "attempts":
            return "exhausted" if self.retry.attempts > 1 else "failed"
        return OUTCOMES.get(self.stop_reason, "not_retryable")


OUTCOMES = {
    None: "success",
    "error": "failed",
    "retry_after": "exhausted",
    "circuit_open": "circuit_open",
    "deadline": "deadline",
}
