"""Counting in memory by one limit, while few clients are known, and while there are many.

Clients take turns. What the ``limits`` library does in its timer's thread is not in its times.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import cycle

import limits
from limits.storage import MemoryStorage
from limits.strategies import (
    FixedWindowRateLimiter,
    MovingWindowRateLimiter,
    RateLimiter,
    SlidingWindowCounterRateLimiter,
)

from flask_resilience.policies.quota import Claim, Quota, Strategy
from flask_resilience.storage.memory_counters import MemoryCounters
from flask_resilience.testing import FakeClock

from ..memory import growth
from ..row import CPU_MICROSECONDS, Budget, Figure, Measure, Prepare, Repeat, Row, Variant, calling

CLIENTS = 1_000
OTHERS = 100_000
WINDOW = 60
QUOTAS = (Quota(1_000_000, WINDOW),)
ITEM = limits.RateLimitItemPerSecond(*QUOTAS[0])
PEERS: dict[Strategy, type[RateLimiter]] = {
    Strategy.FIXED_WINDOW: FixedWindowRateLimiter,
    Strategy.SLIDING_WINDOW_COUNTER: SlidingWindowCounterRateLimiter,
    Strategy.MOVING_WINDOW: MovingWindowRateLimiter,
}
MOST_MICROSECONDS = 6.0
FLAT = 1.1
MOST_BYTES = 512


def limit_check(others: int = OTHERS) -> Row:
    """Return the row: each strategy of ours and of ``limits``, and what a client takes.

    :param others: How many clients are many.
    """
    variants: list[Variant] = []
    budgets: list[Budget] = []
    for strategy in PEERS:
        few, many = _named("ours", strategy), f"{_named('ours', strategy)}, {others:,} more"
        variants += (
            Variant(_named("limits", strategy), _peer(strategy)),
            Variant(few, _ours(strategy)),
            Variant(many, _ours(strategy, others)),
        )
        budgets += (
            Budget(few, MOST_MICROSECONDS),
            Budget(many, FLAT, Measure.RATIO, few),
        )
    return Row(
        title=f"a limit in memory, {CLIENTS:,} clients in turn",
        unit=CPU_MICROSECONDS,
        reference=_named("limits", Strategy.SLIDING_WINDOW_COUNTER),
        variants=tuple(variants),
        budgets=tuple(budgets),
        figures={
            "memory, limits, fixed-window": _memory(_with_peer, others),
            **{
                f"memory, {_named('ours', one)}": _memory(_with_ours(one), others, MOST_BYTES)
                for one in PEERS
            },
            "memory, ours, seen in two spans": _memory(_seen_twice, others, MOST_BYTES),
        },
    )


def _named(whose: str, strategy: Strategy) -> str:
    return f"{whose}, {strategy.value}"


def _keys(number: int, network: int) -> Iterator[str]:
    for one in range(number):
        yield f"app/10.{network + (one >> 16)}.{one >> 8 & 255}.{one & 255}/1000000:60"


def _ours(strategy: Strategy, others: int = 0) -> Prepare:
    def prepare(_: ExitStack) -> Repeat:
        counters, keys = MemoryCounters(), cycle(_keys(CLIENTS, 0))
        _fill(counters, strategy, others)
        return calling(lambda: counters.take(Claim(strategy, next(keys), QUOTAS)))

    return prepare


def _peer(strategy: Strategy) -> Prepare:
    def prepare(_: ExitStack) -> Repeat:
        hit, keys = PEERS[strategy](MemoryStorage()).hit, cycle(_keys(CLIENTS, 0))
        return calling(lambda: hit(ITEM, next(keys)))

    return prepare


def _fill(counters: MemoryCounters, strategy: Strategy, clients: int) -> None:
    for key in _keys(clients, 128):
        counters.take(Claim(strategy, key, QUOTAS))


def _memory(
    keep: Callable[[int], object], clients: int, limit: float | None = None
) -> Callable[[], Figure]:
    return lambda: Figure(growth(lambda: keep(clients)) / clients, "B a client", limit)


def _with_ours(strategy: Strategy) -> Callable[[int], object]:
    def keep(clients: int) -> MemoryCounters:
        counters = MemoryCounters()
        _fill(counters, strategy, clients)
        return counters

    return keep


def _seen_twice(clients: int) -> MemoryCounters:
    """Return counters at their largest: each client is in both dictionaries of its shelf."""
    clock = FakeClock()
    counters = MemoryCounters(clock)
    for _ in range(2):
        _fill(counters, Strategy.SLIDING_WINDOW_COUNTER, clients)
        clock.advance(2 * WINDOW)
    return counters


def _with_peer(clients: int) -> MemoryStorage:
    storage = MemoryStorage()
    hit = FixedWindowRateLimiter(storage).hit
    for key in _keys(clients, 128):
        hit(ITEM, key)
    return storage
