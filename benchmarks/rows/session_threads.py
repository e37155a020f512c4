"""Eight threads that share one session and call an upstream that takes ten milliseconds."""

from __future__ import annotations

from contextlib import ExitStack

from ..callers import Caller, bare_requests, glued, ours
from ..row import Budget, Measure, Prepare, Repeat, Row, Variant, waiting
from ..surroundings import contained
from ..upstream import upstream
from .breaker_threads import CALLS_A_SECOND, THREADS, together
from .session import BARE, GLUED, OURS

DELAY = 0.01
CALLERS: dict[str, Caller] = {BARE: bare_requests, GLUED: glued, OURS: ours}


def session_threads() -> Row:
    """Return the row: ours and the same put together by hand, as a share of bare requests."""
    return Row(
        title=f"{THREADS} threads, one session, an upstream that takes {DELAY * 1000:g} ms",
        unit=CALLS_A_SECOND,
        reference=BARE,
        variants=tuple(Variant(name, _calling(one)) for name, one in CALLERS.items()),
        budgets=(Budget(OURS, 0.95, Measure.RATIO, BARE, at_least=True),),
        batch_seconds=0.5,
    )


def _calling(caller: Caller) -> Prepare:
    def prepare(stack: ExitStack) -> Repeat:
        port = stack.enter_context(upstream(DELAY))
        return contained(together(stack, caller(stack, port, waiting)))

    return prepare
