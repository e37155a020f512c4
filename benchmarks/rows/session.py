"""One GET on the loopback through a session that has everything on."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import ExitStack

from ..callers import Caller, bare_requests, glued, ours, raw_socket, urllib3_pool
from ..counting import counting, usual
from ..row import MICROSECONDS, Budget, Figure, Measure, Prepare, Repeat, Row, Variant, waiting
from ..surroundings import contained
from ..upstream import upstream

BARE = "requests.Session"
OURS = "resilience.session"
GLUED = "glued by hand"
LIMIT = 1.0 if sys.version_info >= (3, 12) else 0.9
"""What ours may cost, as a share of bare requests, which newer interpreters run faster."""
CALLERS: dict[str, Caller] = {
    "raw socket": raw_socket,
    "urllib3": urllib3_pool,
    BARE: bare_requests,
    GLUED: glued,
    OURS: ours,
}
COUNTED = (BARE, GLUED, OURS)


def session() -> Row:
    """Return the row: ours, what it stands on, and the same put together by hand.

    Ours retries, breaks the circuit in memory, sends the ID on and writes its lines at INFO as
    JSON, all while an app serves a request; the lines go to the null device.
    """
    return Row(
        title="session.get on the loopback, everything on",
        unit=MICROSECONDS,
        reference=BARE,
        variants=tuple(Variant(name, calling(one)) for name, one in CALLERS.items()),
        budgets=(Budget(OURS, LIMIT, Measure.RATIO, BARE),),
        batch_seconds=0.1,
        figures={f"function calls, {name}": _calls_of(CALLERS[name]) for name in COUNTED},
    )


def calling(caller: Caller) -> Prepare:
    """Return what sets *caller* up before an upstream of its own."""

    def prepare(stack: ExitStack) -> Repeat:
        return contained(caller(stack, stack.enter_context(upstream()), waiting))

    return prepare


def _calls_of(caller: Caller) -> Callable[[], Figure]:
    def take() -> Figure:
        with ExitStack() as stack:
            repeat = caller(stack, stack.enter_context(upstream()), counting)
            return Figure(usual(contained(repeat)), "a call")

    return take
