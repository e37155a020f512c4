"""One GET while the environment is small, and while it is that of a large cluster."""

from __future__ import annotations

from contextlib import ExitStack

from ..callers import Caller, bare_requests, ours
from ..row import MICROSECONDS, Budget, Measure, Prepare, Repeat, Row, Variant, waiting
from ..surroundings import VARIABLES, contained
from ..upstream import upstream

MORE = VARIABLES + 1_000
FLAT = 1.1


def session_environment() -> Row:
    """Return the row: ours and bare requests, each with few variables and with many.

    requests looks for proxies in every variable on each call.
    """
    reference = _named("ours", VARIABLES)
    return Row(
        title="session.get, by the number of environment variables",
        unit=MICROSECONDS,
        reference=reference,
        variants=tuple(
            Variant(_named(name, variables), _calling(caller, variables))
            for name, caller in (("ours", ours), ("bare requests", bare_requests))
            for variables in (VARIABLES, MORE)
        ),
        budgets=(Budget(_named("ours", MORE), FLAT, Measure.RATIO, reference),),
        batch_seconds=0.1,
    )


def _named(name: str, variables: int) -> str:
    return f"{name}, {variables:,} variables"


def _calling(caller: Caller, variables: int) -> Prepare:
    def prepare(stack: ExitStack) -> Repeat:
        port = stack.enter_context(upstream())
        return contained(caller(stack, port, waiting), variables)

    return prepare
