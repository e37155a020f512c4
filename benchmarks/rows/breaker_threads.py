"""Eight threads that call one upstream, which takes a millisecond, through one breaker."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from time import perf_counter

from ..ours import guard
from ..peers import PEERS, Guard, closed
from ..row import Budget, Measure, Prepare, Repeat, Row, Unit, Variant, waiting

THREADS = 8
UNGUARDED = "no breaker"
CALLS_A_SECOND = Unit("calls/s", "calls a second", lambda seconds: THREADS / seconds)
"""An operation is one call by each thread."""


def breaker_threads() -> Row:
    """Return the row: ours and the peers, as a share of what the threads do without."""
    guards = {"ours": guard, **PEERS}
    return Row(
        title=f"{THREADS} threads over a 1 ms call",
        unit=CALLS_A_SECOND,
        reference=UNGUARDED,
        variants=(
            Variant(UNGUARDED, lambda stack: together(stack, waiting(_call))),
            *(Variant(name, _guarded_by(one)) for name, one in guards.items()),
        ),
        budgets=(Budget("ours", 0.97, Measure.RATIO, UNGUARDED, at_least=True),),
        batch_seconds=0.2,
    )


def together(stack: ExitStack, repeat: Repeat) -> Repeat:
    """Return what has threads do *repeat* at once, each so many times."""
    threads = stack.enter_context(ThreadPoolExecutor(THREADS))

    def at_once(times: int) -> float:
        began = perf_counter()
        for one in [threads.submit(repeat, times) for _ in range(THREADS)]:
            one.result()
        return perf_counter() - began

    return at_once


def _call() -> None:
    time.sleep(0.001)


def _guarded_by(guard: Guard) -> Prepare:
    return lambda stack: together(stack, waiting(closed(guard, _call)))
