"""The policies in their one order around one exchange: retry, circuit, then the wire.

The call's deadline lies around all of it. An exchange is any callable that makes attempt number
*n* and answers with what it came to; it raises only what no policy may touch, such as
``KeyboardInterrupt``.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import partial
from typing import Generic, Protocol, TypeVar, cast

from ..clock import Clock
from ..errors import CircuitOpenError, DeadlineExceededError
from ..events import AttemptFinished, OnEvent, RetryScheduled
from ..trace_context import Span
from .call import Call
from .circuit import Permit, State
from .outcome import Outcome, Verdict
from .retry import RetryLoop, RetryPolicy
from .retry_budget import RetryBudget

PATIENT = 0.5
"""The share of its own timeout that an attempt must have had to be called slow by it."""
T = TypeVar("T")
Settle = Callable[[Verdict], None]

_attempting: ContextVar[bool] = ContextVar("flask_resilience_attempting", default=False)


@dataclass(slots=True, kw_only=True)
class Answer(Generic[T]):
    """What an exchange came to.

    :param value: What it gave, unless it failed with *error*.
    :param method: For the log line, as *url*.
    :param span: The attempt's, if it has told the upstream of one.
    :param defer: Set while the body is still to be read: takes who must be told the verdict.
    """

    verdict: Verdict
    method: str
    url: str
    value: T | None = None
    error: Exception | None = None
    span: Span | None = None
    defer: Callable[[Settle], None] | None = None

    def result(self) -> T:
        """Return the value, or raise the error; either is let go here, and given out once.

        The frames in an error's traceback hold this answer; holding the error, too, it would keep
        both until a collection of garbage.
        """
        value, error = self.value, self.error
        self.value = self.error = None
        try:
            if error is not None:
                raise error
            return cast("T", value)
        finally:
            del value, error


class Breaker(Protocol):
    """What gives leave for attempts at one upstream, and learns what they came to."""

    @property
    def upstream(self) -> str:
        """Return whom the attempts are made at."""

    @property
    def known_state(self) -> State:
        """Return the circuit's state as far as is known, without asking anybody."""

    def rejects(self) -> bool:
        """Say whether an attempt made now would be rejected."""

    def admit(self, timeout: float) -> Permit:
        """Ask leave for one attempt that takes at most *timeout* seconds.

        :raises CircuitOpenError: If the circuit rejects it.
        """

    def record(self, permit: Permit, verdict: Verdict, duration: float) -> None:
        """Learn what the attempt came to, and how many seconds it took."""

    def within(self, permit: Permit) -> AbstractContextManager[None]:
        """Return a context in which what the same circuit guards is part of the attempt."""

    def release(self, permit: Permit) -> None:
        """Take back a permit whose attempt came to nothing that counts."""


@dataclass(frozen=True, slots=True)
class Attempt(Generic[T]):
    """One exchange that was made."""

    number: int
    answer: Answer[T]

    @property
    def verdict(self) -> Verdict:
        """Return what it came to."""
        return self.answer.verdict


@dataclass(slots=True, kw_only=True)
class Pipeline(Generic[T]):
    """Run one exchange with one upstream under its policies.

    :param timeout: The longest an attempt may take, in seconds, if the deadline leaves it that.
    """

    call: Call
    breaker: Breaker
    budget: RetryBudget
    clock: Clock
    on_event: OnEvent
    timeout: float
    exchange: Callable[[int], Answer[T]]

    @property
    def retry(self) -> RetryPolicy:
        """Return the call's policy; inside another call's attempt, one without retries."""
        policy = self.call.retry
        return replace(policy, attempts=1) if _attempting.get() else policy

    def run(self) -> T:
        """Return what the last attempt gave, good or bad, or raise what it raised.

        :raises CircuitOpenError: If the circuit rejects the first attempt.
        :raises DeadlineExceededError: If the time of the call is over.
        """
        self.call.stop_reason = None
        if self.call.deadline.over:
            raise self._too_late()
        try:
            last = self._attempt(1)
            if last.verdict.failed:
                loop = RetryLoop(self.retry, self, last)
                last = loop.run()
                self.call.stop_reason = loop.stop_reason
        except CircuitOpenError:
            self.call.stop_reason = "circuit_open"
            raise
        finally:
            self.call.circuit_state = self.breaker.known_state.value
        failed = last.answer.error is not None and last.verdict.outcome is Outcome.FAILURE
        if failed and self.call.deadline.over:
            raise self._too_late() from last.answer.error
        return last.answer.result()

    def attempt(self, number: int) -> Attempt[T] | None:
        """Make attempt *number*; ``None`` if the circuit rejects it."""
        try:
            return self._attempt(number)
        except CircuitOpenError:
            return None

    def blocked(self) -> bool:
        """Say whether the circuit would reject another attempt."""
        return self.breaker.rejects()

    def time_left(self) -> float:
        """Return what is left of the call's deadline, in seconds."""
        return self.call.deadline.left()

    def afford(self, after: Attempt[T]) -> bool:
        """Pay for another attempt; the first one after nothing was sent is free."""
        if self.call.retry.budget is None:
            return True
        if after.verdict.unsent and self.call.free_retry:
            self.call.free_retry = False
            return True
        return self.budget.spend()

    def pause(self, after: Attempt[T], wait: float) -> None:
        """Tell of the wait, then wait."""
        self.on_event(
            RetryScheduled(
                call_id=self.call.call_id,
                upstream=self.breaker.upstream,
                attempt=after.number,
                reason=after.verdict.reason,
                wait=wait,
                retry_after=after.verdict.retry_after,
                deadline_left=self.time_left(),
                budget_left=None if self.call.retry.budget is None else self.budget.left,
                span=self.call.span,
            )
        )
        self.call.waits.append(wait)
        self.budget.disturb(wait)
        self.clock.sleep(wait)

    def _too_late(self) -> DeadlineExceededError:
        self.call.stop_reason = "deadline"
        return DeadlineExceededError(
            self.breaker.upstream, self.call.deadline.seconds, self.call.attempts
        )

    def _attempt(self, number: int) -> Attempt[T]:
        permit = self.breaker.admit(min(self.timeout, self.time_left()))
        if number == 1 and self.call.retry.budget is not None:
            self.budget.earn(self.call.retry.budget)
        self.call.attempts += 1
        started = self.clock.monotonic()
        try:
            with self.breaker.within(permit):
                answer = self._exchange(number)
            self._settle_when_read(answer, number, permit, started)
        except BaseException:
            self.breaker.release(permit)
            raise
        return Attempt(number, answer)

    def _exchange(self, number: int) -> Answer[T]:
        token = _attempting.set(True)
        try:
            return self.exchange(number)
        finally:
            _attempting.reset(token)

    def _settle_when_read(
        self, answer: Answer[T], number: int, permit: Permit, started: float
    ) -> None:
        # The closure holds parts of the answer, which itself must be free to be let go.
        tell = partial(self._tell, number, answer.method, answer.url, answer.span)

        def settle(verdict: Verdict) -> None:
            duration = self.clock.monotonic() - started
            if verdict.failed:
                self.budget.disturb()
            self.breaker.record(permit, self._evidence(verdict, duration), duration)
            tell(verdict, duration)

        if answer.defer is None:
            settle(answer.verdict)
        else:
            answer.defer(settle)

    def _evidence(self, verdict: Verdict, duration: float) -> Verdict:
        """Return what the circuit may learn: nothing, if somebody else's haste was the end.

        An attempt that had half of its own time or more was ended by no haste.
        """
        if not (self.call.hurried and verdict.error_type and self.call.deadline.over):
            return verdict
        hasty = duration < PATIENT * self.timeout
        return replace(verdict, outcome=Outcome.IGNORED) if hasty else verdict

    def _tell(
        self,
        number: int,
        method: str,
        url: str,
        span: Span | None,
        verdict: Verdict,
        duration: float,
    ) -> None:
        self.on_event(
            AttemptFinished(
                call_id=self.call.call_id,
                upstream=self.breaker.upstream,
                attempt=number,
                max_attempts=self.retry.attempts,
                method=method,
                url=url,
                status=verdict.status,
                error_type=verdict.error_type,
                failed=verdict.failed,
                duration=duration,
                circuit_state=self.breaker.known_state.value,
                span=span,
            )
        )
