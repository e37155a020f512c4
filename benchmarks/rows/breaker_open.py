"""A breaker whose circuit is open: the call is rejected, and the caller catches that."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack

from flask_resilience.circuits.guarded_code import Breaker
from flask_resilience.errors import CircuitOpenError

from ..memory import growth
from ..ours import STAYS_OPEN, guard, make_breaker
from ..peers import PEERS, Guard, nothing, opened, opened_peers, rejected
from ..row import CPU_MICROSECONDS, Budget, Figure, Repeat, Row, Variant, timed

REJECTIONS = 100_000
FLAT = 0.1
"""Bytes for each rejection that are no growth, since the rejections are counted somewhere."""


class _Refused(Exception):  # noqa: N818  # the floor: an exception that says nothing
    """Raised and caught."""


def breaker_open() -> Row:
    """Return the row: ours as a function and as a block, the peers, and what memory grows by."""
    ours = (Variant("Breaker.call", _call), Variant("@breaker", _decorated))
    block = Variant("with breaker", _block)
    return Row(
        title="a breaker, open, the rejection caught",
        unit=CPU_MICROSECONDS,
        reference="circuitbreaker",
        variants=(Variant("raise and catch", _bare), *ours, block, *opened_peers()),
        budgets=tuple(Budget(one.name, 0.8) for one in (*ours, block)),
        figures={
            "memory, ours": _growth(guard, FLAT),
            **{f"memory, {name}": _growth(one) for name, one in PEERS.items()},
        },
    )


def _bare(_: ExitStack) -> Repeat:
    def refuse() -> None:
        raise _Refused

    return rejected(refuse, _Refused)


def _call(_: ExitStack) -> Repeat:
    call = _opened_breaker().call

    def loop(laps: Iterable[None]) -> None:
        for _ in laps:
            try:
                call(nothing)
            except CircuitOpenError:
                continue

    return timed(loop)


def _decorated(_: ExitStack) -> Repeat:
    return rejected(*opened(guard))


def _block(_: ExitStack) -> Repeat:
    breaker = _opened_breaker()

    def loop(laps: Iterable[None]) -> None:
        for _ in laps:
            try:
                with breaker:
                    nothing()
            except CircuitOpenError:
                continue

    return timed(loop)


def _opened_breaker() -> Breaker:
    breaker = make_breaker(policy=STAYS_OPEN)
    opened(lambda function: (breaker(function), CircuitOpenError))
    return breaker


def _growth(guard: Guard, limit: float | None = None) -> Callable[[], Figure]:
    def take() -> Figure:
        repeat = rejected(*opened(guard))
        repeat(1_000)
        grown = growth(lambda: repeat(REJECTIONS))
        return Figure(grown / REJECTIONS, "B a rejection", limit)

    return take
