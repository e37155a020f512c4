"""One request through the WSGI callable of an app that limits each client over all routes together.

Metrics are left out, for there are none yet.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

from ..limited_servers import (
    NEVER_REACHED,
    TWO_QUOTAS,
    Limited,
    flooded,
    glued_limited,
    in_memory,
    on_redis,
    on_sqlite,
)
from ..redis_server import redis_server, round_trips, url_of
from ..row import CPU_MICROSECONDS, MICROSECONDS, Budget, Figure, Measure, Row, Variant, waiting
from ..servers import Server, asking, bare_flask, ours
from ..surroundings import silenced
from .inbound import BARE, MOST_CALLS, calls_added, serving

GLUED = "glued by hand, memory"
MEMORY = "ours, memory"
SQLITE = "ours, SQLite"
SERVERS: dict[str, Server] = {
    BARE: bare_flask,
    GLUED: in_memory(glued_limited),
    MEMORY: in_memory(ours),
    SQLITE: on_sqlite,
}
REJECTING: dict[str, Server] = {
    "glued by hand, rejected": flooded(glued_limited),
    "ours, rejected": flooded(ours),
}
ON_REDIS: dict[str, Limited] = {"glued by hand, Redis": glued_limited, "ours, Redis": ours}
ASKED = 20


def inbound_limits() -> Row:
    """Return the row of counters in this process and on this host, and of a flood that is rejected.

    The request brings an ID and a ``traceparent``; the lines go to the null device.
    """
    return Row(
        title="an inbound request with a limit",
        unit=CPU_MICROSECONDS,
        reference=BARE,
        variants=tuple(
            Variant(name, serving(one)) for name, one in {**SERVERS, **REJECTING}.items()
        ),
        budgets=(
            Budget(MEMORY, 1.7, Measure.RATIO, BARE),
            Budget(SQLITE, 2.2, Measure.RATIO, BARE),
        ),
        figures={
            f"function calls added, {GLUED}": calls_added(in_memory(glued_limited)),
            f"function calls added, {MEMORY}": calls_added(in_memory(ours), MOST_CALLS),
            f"function calls added, {MEMORY}, two quotas": calls_added(in_memory(ours, TWO_QUOTAS)),
            f"function calls added, {SQLITE}": calls_added(on_sqlite),
        },
    )


def inbound_limits_redis() -> Row:
    """Return the row of counters in a Redis on this host, whose answer is waited for."""
    return Row(
        title="an inbound request with a limit on Redis",
        unit=MICROSECONDS,
        reference=BARE,
        variants=(
            Variant(BARE, serving(bare_flask, waiting)),
            *(Variant(name, serving(on_redis(one), waiting)) for name, one in ON_REDIS.items()),
        ),
        figures={
            "round trips, glued by hand": _round_trips(glued_limited),
            "round trips, ours": _round_trips(ours, 1),
        },
    )


def _round_trips(limited: Limited, limit: float | None = None) -> Callable[[], Figure]:
    def take() -> Figure:
        with ExitStack() as stack:
            client = stack.enter_context(redis_server())
            ask = asking(limited(stack, NEVER_REACHED, url_of(client)))
            with silenced():
                return Figure(round_trips(client, ask, ASKED), "a request", limit)

    return take
