"""Whether, when and how often a failed attempt is made again.

tenacity runs the loop, and only once an attempt has failed; the decisions are the pure methods of
:class:`RetryPolicy`. Nothing here knows what is attempted.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import tenacity

from ..rules import (
    Exceptions,
    Function,
    Maybe,
    Number,
    OneOf,
    Statuses,
    Whole,
    check_fields,
    setting,
)
from .backoff import CURVES, JITTERS, Backoff, Random
from .outcome import Verdict


class Judged(Protocol):
    """An attempt that has come to an end."""

    @property
    def number(self) -> int:
        """Return its number, from 1."""

    @property
    def verdict(self) -> Verdict:
        """Return what it came to."""


J = TypeVar("J", bound=Judged)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """Make a failed attempt again after a growing, jittered wait.

    The waits are those of :mod:`flask_resilience.policies.backoff`; a longer ``Retry-After`` wins
    and is never cut short.

    :raises ConfigurationError: If a value is out of range.

    Sources: gRPC proposal A6; RFC 9110, sections 9.2.2 and 10.2.3.
    """

    attempts: int = setting(4, Whole(1, 100), "attempts a call may make, the first one included")
    backoff: str = setting("exponential", OneOf(*CURVES), "how the wait grows")
    initial_delay: float = setting(1.0, Number(0, 3600, "seconds"), "first wait")
    multiplier: float = setting(2.0, Number(1, 100), "growth of an exponential wait")
    increment: float = setting(1.0, Number(0, 3600, "seconds"), "growth of a linear wait")
    max_delay: float = setting(8.0, Number(0, 3600, "seconds"), "longest wait before its jitter")
    jitter: str = setting("proportional", OneOf(*JITTERS), "how waits are spread")
    statuses: frozenset[int] = setting(
        frozenset({408, 429, 500, 502, 503, 504}), Statuses(), "answers worth another attempt"
    )
    exceptions: tuple[type[Exception], ...] | None = setting(
        None,
        Maybe(Exceptions(Exception)),
        "exceptions worth another attempt; None: connection faults and timeouts",
    )
    predicate: Callable[[Any], bool] | None = setting(
        None,
        Maybe(Function()),
        "asked of each answer with another status, whether it is worth another attempt",
    )
    unsafe: str = setting(
        "pushback",
        OneOf("never", "pushback", "always"),
        "what POST and PATCH may resend without a key",
    )
    budget: float | None = setting(
        0.2,
        Maybe(Number(0, 100, "retries")),
        "what a call adds to the retries its upstream may cost, above a floor; None: no bound",
    )
    after_max: float = setting(30.0, Number(0, 86400, "seconds"), "longest Retry-After obeyed")

    def __post_init__(self) -> None:
        check_fields(self)

    def wait(self, attempt: int, previous: float, retry_after: float | None, rng: Random) -> float:
        """Return the pause after failed attempt number *attempt*, in seconds.

        :param previous: The wait before that attempt; zero if there was none.
        :param retry_after: What the upstream asked for, in seconds; the pause is never shorter
            and at most a tenth longer, so that its clients do not all come back at once.
        """
        curve = Backoff(
            self.backoff,
            self.jitter,
            self.initial_delay,
            self.multiplier,
            self.increment,
            self.max_delay,
        )
        wait = curve.wait(attempt, previous, rng)
        return wait if retry_after is None else max(wait, retry_after * (1 + 0.1 * rng()))

    def stop_reason(self, attempt: Judged, wait: float, time_left: float) -> str | None:
        """Return why a failed attempt must be the last one, or ``None`` to go on.

        :param wait: The pause the next attempt would need, in seconds.
        :param time_left: What is left of the call's deadline, in seconds.
        """
        verdict = attempt.verdict
        if verdict.refusal is not None:
            return verdict.refusal
        if attempt.number >= self.attempts:
            return "attempts"
        if verdict.retry_after is not None and verdict.retry_after > self.after_max:
            return "retry_after"
        return "deadline" if wait >= time_left else None


class Retried(Protocol[J]):
    """What is retried, and what the loop may ask of it."""

    def attempt(self, number: int) -> J | None:
        """Make attempt *number*; ``None`` says it was turned away."""

    def blocked(self) -> bool:
        """Say whether another attempt would be turned away now."""

    def time_left(self) -> float:
        """Return what is left of the deadline, in seconds."""

    def afford(self, after: J) -> bool:
        """Pay for another attempt, or say that the budget is used up."""

    def pause(self, after: J, wait: float) -> None:
        """Wait *wait* seconds after a failed attempt."""


class RetryLoop(Generic[J]):
    """Go on after a failed first attempt until one is good or the policy says stop.

    :param first: The attempt that failed; it is not made again.
    """

    def __init__(self, policy: RetryPolicy, retried: Retried[J], first: J) -> None:
        self.policy = policy
        self.retried = retried
        self.last = first
        self.stop_reason: str | None = None
        self._started = False

    def run(self) -> J:
        """Return the last attempt made; ``stop_reason`` then says why no other followed it."""
        try:
            return self._retrying()(self._next)
        finally:
            del self.last, self.retried  # which tenacity's own cycles would keep

    def _retrying(self) -> tenacity.Retrying:
        return tenacity.Retrying(
            sleep=lambda seconds: self.retried.pause(self.last, seconds),
            retry=tenacity.retry_if_result(lambda attempt: attempt.verdict.failed),
            wait=self._wait,
            stop=self._stop,
            retry_error_callback=lambda state: self.last,
        )

    def _next(self) -> J:
        if not self._started:
            self._started = True
            return self.last
        made = self.retried.attempt(self.last.number + 1)
        if made is None:
            self.stop_reason = "circuit_open"
        else:
            self.last = made
        return self.last

    def _wait(self, state: tenacity.RetryCallState) -> float:
        retry_after = self.last.verdict.retry_after
        return self.policy.wait(self.last.number, state.upcoming_sleep, retry_after, random.random)

    def _stop(self, state: tenacity.RetryCallState) -> bool:
        if self.stop_reason is None:
            self.stop_reason = self._why_stop(state.upcoming_sleep)
        return self.stop_reason is not None

    def _why_stop(self, wait: float) -> str | None:
        reason = self.policy.stop_reason(self.last, wait, self.retried.time_left())
        if reason is not None:
            return reason
        if self.retried.blocked():
            return "circuit_open"
        return None if self.retried.afford(self.last) else "budget"
