"""One call while it runs: what it may use and what it has used up."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

from ..call_counts import NO_CALLS, CallCounts, CallFigures
from ..trace_context import Span, begin_trace
from .deadline import Deadline
from .report import CallReport
from .retry import RetryPolicy


@dataclass(slots=True, kw_only=True)
class Call:
    """What the user asked for, with all its attempts; it belongs to one thread.

    :param retry: The policy its attempts follow.
    :param started: When it began, in seconds of the clock's monotonic time.
    :param hurried: Whether its deadline is that of a caller who waits for this app, and shorter
        than its own: what such a deadline cuts short says nothing of the upstream.
    :param follows_redirects: Whether what a redirect leads to is part of it.
    :param idempotent: Whether sending it again does no harm whatever its verb is.
    :param span: What it belongs to: the request being served, or itself outside one.
    :param counts: Those of the request that it is made for.
    :param upstream: Whom it turned to last; changes with a redirect.
    :param waits: The pauses between its attempts, in seconds.
    :param free_retry: Whether its next retry costs nothing if nothing was sent.
    :param circuit_state: Of the upstream, after the last attempt.
    :param close_body: Closes the answer whose body the user has still to read, if there is one.
    :param on_read: Told how the reading ended: ``None`` for well.
    :param stop_reason: Why no further attempt was made; ``None`` while all is well.
    """

    retry: RetryPolicy
    deadline: Deadline
    started: float
    hurried: bool = False
    follows_redirects: bool = True
    idempotent: bool = False
    call_id: str = field(default_factory=lambda: secrets.token_hex(8))
    span: Span = field(default_factory=begin_trace)
    counts: CallCounts | None = None
    upstream: str = ""
    attempts: int = 0
    waits: list[float] = field(default_factory=list)
    free_retry: bool = True
    circuit_state: str = ""
    close_body: Callable[[], None] | None = None
    on_read: Callable[[BaseException | None], None] | None = None
    stop_reason: str | None = None

    def read_to_its_end(self, error: BaseException | None) -> None:
        """Note that the body was read, or that *error* ended it."""
        self.close_body = None
        if self.on_read is not None:
            self.on_read(error)

    def figures(self) -> CallFigures:
        """Return what there is to count; nothing until it is clear whom it is for."""
        if not self.upstream:
            return NO_CALLS
        return CallFigures(
            calls=1,
            attempts=self.attempts,
            retries=len(self.waits),
            failures=self.stop_reason is not None,
            seconds=self.deadline.clock.monotonic() - self.started,
            waited=sum(self.waits),
        )

    def report(self) -> CallReport:
        """Return what is to be told of it now."""
        return CallReport(
            self.call_id,
            self.upstream,
            self.attempts,
            tuple(self.waits),
            self.circuit_state,
            self.outcome,
            self.stop_reason,
        )

    @property
    def outcome(self) -> str:
        """Return how the call ended, in the word its finish line carries."""
        if self.stop_reason == "attempts":
            return "exhausted" if self.retry.attempts > 1 else "failed"
        return OUTCOMES.get(self.stop_reason, "not_retryable")


OUTCOMES = {
    None: "success",
    "error": "failed",
    "interrupted": "failed",
    "retry_after": "exhausted",
    "circuit_open": "circuit_open",
    "deadline": "deadline",
    "budget": "budget",
}
