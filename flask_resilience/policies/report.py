"""What is told of a call that is over, to whoever made it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CallReport:
    """How a call went; ``response.resilience``, and the same of the exception it raised.

    :param call_id: Ties it to the log lines of the call.
    :param upstream: Whom it turned to last: a redirect may have led elsewhere.
    :param attempts: How many were made, over all redirects.
    :param waits: The pauses between them, in seconds.
    :param circuit_state: Of the upstream, as far as was known at the end.
    :param outcome: As on the finish line: ``success``, ``failed``, ``exhausted``,
        ``not_retryable``, ``circuit_open``, ``deadline`` or ``budget``.
    :param stop_reason: Why no further attempt was made; ``None`` after a success. Of a streamed
        answer, as it stood when its headers came.
    """

    call_id: str
    upstream: str
    attempts: int
    waits: tuple[float, ...]
    circuit_state: str
    outcome: str
    stop_reason: str | None

    def __str__(self) -> str:
        """Return it as one sentence, for people."""
        times = "1 attempt" if self.attempts == 1 else f"{self.attempts} attempts"
        waits = ", ".join(f"{wait:.3g} s" for wait in self.waits)
        waited = f" with waits of {waits}" if waits else ""
        end = f"; no further one, as: {self.stop_reason}" if self.stop_reason else ""
        return f"{times} at {self.upstream}{waited}{end}."
