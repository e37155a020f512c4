"""A breaker before a no-op, its circuit closed and counting for a rate."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack

from flask_resilience.circuits.guarded_code import Breaker

from ..ours import make_app, make_breaker, within
from ..peers import closed_peers, nothing
from ..row import CPU_MICROSECONDS, Budget, Measure, Repeat, Row, Variant, calling, timed

PEER = "circuitbreaker"


def breaker_closed() -> Row:
    """Return the row: ours in each form there is, and the peers."""
    ours = (
        Variant("Breaker.call", _call),
        Variant("@breaker", _decorated),
        Variant("with breaker", _block),
        Variant("made in the app's context", _of_app),
        Variant("made outside of it", _of_current_app),
        Variant("made for each call", _made_each_time),
    )
    budgets = [
        budget
        for one in ours[:-1]
        for budget in (Budget(one.name, 0.6), Budget(one.name, 1.0, Measure.RATIO, PEER))
    ]
    return Row(
        title="a breaker before a no-op, closed, with a rate window",
        unit=CPU_MICROSECONDS,
        reference=PEER,
        variants=(Variant("no breaker", _bare), *ours, *closed_peers()),
        budgets=tuple(budgets),
    )


def _bare(_: ExitStack) -> Repeat:
    return calling(nothing)


def _call(_: ExitStack) -> Repeat:
    call = make_breaker().call

    def loop(laps: Iterable[None]) -> None:
        for _ in laps:
            call(nothing)

    return timed(loop)


def _decorated(_: ExitStack) -> Repeat:
    return calling(make_breaker()(nothing))


def _block(_: ExitStack) -> Repeat:
    return _entering(make_breaker())


def _of_app(_: ExitStack) -> Repeat:
    app, resilience = make_app()
    with app.app_context():
        breaker = resilience.breaker("ledger")
    return within(app, calling(breaker(nothing)))


def _of_current_app(_: ExitStack) -> Repeat:
    app, resilience = make_app()
    return within(app, calling(resilience.breaker("ledger")(nothing)))


def _made_each_time(_: ExitStack) -> Repeat:
    app, resilience = make_app()

    def loop(laps: Iterable[None]) -> None:
        for _ in laps:
            with resilience.breaker("ledger"):
                nothing()

    return within(app, timed(loop))


def _entering(breaker: Breaker) -> Repeat:
    def loop(laps: Iterable[None]) -> None:
        for _ in laps:
            with breaker:
                nothing()

    return timed(loop)
