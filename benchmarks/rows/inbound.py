"""One request through the WSGI callable of an app, with no server around.

With all on, limits and metrics included, it may cost 1.7 times bare Flask. Those two are left out
here, and so is their share of that: 1.5 times is what the ID, the trace context and the finish line
may cost. The app sets no limit; what it pays all the same for being able to is the difference to
the middleware alone.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

from ..counting import counting, usual
from ..row import CPU_MICROSECONDS, Budget, Figure, Measure, Prepare, Repeat, Row, Variant, calling
from ..servers import Server, asking, bare_flask, glued, our_middleware, ours, unseen

BARE = "Flask"
GLUED = "glued by hand"
MIDDLEWARE = "our middleware alone"
OURS = "ours, no limits"
SERVERS: dict[str, Server] = {
    BARE: bare_flask,
    GLUED: glued,
    MIDDLEWARE: our_middleware,
    OURS: ours,
}
LIMIT = 1.5
MOST_CALLS = 160


def inbound() -> Row:
    """Return the row: bare Flask, request logging put together by hand, and ours.

    The request brings an ID and a ``traceparent``; the lines go to the null device.
    """
    return Row(
        title="an inbound request, without limits",
        unit=CPU_MICROSECONDS,
        reference=BARE,
        variants=tuple(Variant(name, serving(one)) for name, one in SERVERS.items()),
        budgets=(Budget(OURS, LIMIT, Measure.RATIO, BARE),),
        figures={
            f"function calls added, {GLUED}": calls_added(glued),
            f"function calls added, {MIDDLEWARE}": calls_added(our_middleware),
            f"function calls added, {OURS}": calls_added(ours, MOST_CALLS),
        },
    )


def serving(
    server: Server, repeating: Callable[[Callable[[], object]], Repeat] = calling
) -> Prepare:
    """Return what sets up requests to an app that serves in this way.

    :param repeating: By default leaves out what they wait for.
    """

    def prepare(stack: ExitStack) -> Repeat:
        return unseen(repeating(asking(server(stack))))

    return prepare


def calls_added(server: Server, limit: float | None = None) -> Callable[[], Figure]:
    """Return what counts the calls of functions that bare Flask does not make for a request."""

    def take() -> Figure:
        return Figure(_calls(server) - _calls(bare_flask), "a request", limit)

    return take


def _calls(server: Server) -> float:
    with ExitStack() as stack:
        return usual(unseen(counting(asking(server(stack)))))
