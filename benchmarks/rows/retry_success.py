"""A retry around a no-op that succeeds, so that there is nothing to retry.

Ours is not a decorator but a part of the pipeline that every attempt goes through, which also asks
the circuit, takes the time and tells of the attempt. So the pipeline as a whole is shown with no
limit; what retrying adds is what the pipeline takes over the same with one attempt, both with the
upstream's budget of retries, as by default, and without.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from flask_resilience.clock import SYSTEM_CLOCK
from flask_resilience.events import ignore_event
from flask_resilience.policies.call import Call
from flask_resilience.policies.circuit import Permit, State
from flask_resilience.policies.deadline import Deadline
from flask_resilience.policies.outcome import SUCCEEDED, Verdict
from flask_resilience.policies.pipeline import Answer, Pipeline
from flask_resilience.policies.retry import RetryPolicy
from flask_resilience.policies.retry_budget import RetryBudget

from ..counting import calls_into, counting
from ..peers import DAY, Guarded, nothing
from ..retry_peers import ATTEMPTS, RETRIES, by_tenacity
from ..row import CPU_MICROSECONDS, Budget, Figure, Measure, Prepare, Row, Variant, calling

REFERENCE = "tenacity"
ONCE = "ours, one attempt"
UNBOUNDED = f"ours, {ATTEMPTS} attempts"
BY_DEFAULT = f"ours, {ATTEMPTS} attempts on a budget"
POLICIES = {
    ONCE: RetryPolicy(attempts=1, budget=None),
    UNBOUNDED: RetryPolicy(attempts=ATTEMPTS, budget=None),
    BY_DEFAULT: RetryPolicy(attempts=ATTEMPTS),
}
ADMITTED = Permit(generation=0)
DONE: Answer[None] = Answer(verdict=SUCCEEDED, method="GET", url="http://upstream.example/")


class Admitting:
    """Stand in for a breaker, and let every attempt through."""

    upstream = "http://upstream.example"
    known_state = State.CLOSED

    def rejects(self) -> bool:
        """Say that no attempt would be rejected."""
        return False

    def admit(self, timeout: float) -> Permit:
        """Give leave."""
        return ADMITTED

    def record(self, permit: Permit, verdict: Verdict, duration: float) -> None:
        """Learn nothing."""

    def within(self, permit: Permit) -> AbstractContextManager[None]:
        """Return a context that does nothing."""
        return nullcontext()

    def release(self, permit: Permit) -> None:
        """Take nothing back."""


def retry_success() -> Row:
    """Return the row: the peers, and the pipeline without HTTP."""
    return Row(
        title="a retry around a no-op that succeeds",
        unit=CPU_MICROSECONDS,
        reference=REFERENCE,
        variants=(
            *(Variant(name, _retried(one)) for name, one in RETRIES.items()),
            *(Variant(name, _piped(one)) for name, one in POLICIES.items()),
        ),
        budgets=tuple(
            Budget(name, 1.0, Measure.DIFFERENCE, ONCE) for name in (UNBOUNDED, BY_DEFAULT)
        ),
        figures={
            "calls into tenacity, ours": _into_tenacity_by_ours,
            "calls into tenacity, tenacity": lambda: _into_tenacity(by_tenacity(nothing)),
        },
    )


def pipeline(retry: RetryPolicy) -> Pipeline[None]:
    """Return a pipeline around an exchange that does nothing, well, with a whole day for it."""
    call = Call(
        retry=retry,
        deadline=Deadline.after(float(DAY), SYSTEM_CLOCK),
        started=SYSTEM_CLOCK.monotonic(),
    )
    return Pipeline(
        call=call,
        breaker=Admitting(),
        budget=RetryBudget(SYSTEM_CLOCK),
        clock=SYSTEM_CLOCK,
        on_event=ignore_event,
        timeout=15.0,
        exchange=lambda number: DONE,
    )


def _retried(retry: Callable[[Guarded], Guarded]) -> Prepare:
    return lambda _: calling(retry(nothing))


def _piped(retry: RetryPolicy) -> Prepare:
    return lambda _: calling(pipeline(retry).run)


def _into_tenacity_by_ours() -> Figure:
    return _into_tenacity(pipeline(POLICIES[BY_DEFAULT]).run, limit=0)


def _into_tenacity(function: Guarded, limit: float | None = None) -> Figure:
    return Figure(counting(function, calls_into("tenacity"))(1), "a success", limit)
