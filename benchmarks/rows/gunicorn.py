"""Requests a second that two workers of gunicorn serve to sixteen connections."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

from ..gunicorn_server import CONNECTIONS, WORKERS, asking_much
from ..gunicorn_server import gunicorn as serve
from ..limited_servers import MEMORY, sqlite_url
from ..row import Budget, Measure, Prepare, Repeat, Row, Unit, Variant
from .inbound import BARE

REQUESTS_A_SECOND = Unit("requests/s", "requests a second", lambda seconds: 1 / seconds)
APPS: dict[str, tuple[str, Callable[[ExitStack], str]]] = {
    BARE: ("bare", lambda _: MEMORY),
    "glued by hand, memory": ("glued", lambda _: MEMORY),
    "ours, memory": ("ours", lambda _: MEMORY),
    "ours, SQLite": ("ours", sqlite_url),
}
SHARE = 0.8


def gunicorn() -> Row:
    """Return the row: all servers stand ready, and wrk asks one at a time.

    The limit is one that nobody reaches; the lines go to the null device.
    """
    return Row(
        title=f"gunicorn -w {WORKERS}, wrk -c{CONNECTIONS}",
        unit=REQUESTS_A_SECOND,
        reference=BARE,
        variants=tuple(Variant(name, _asking(*one)) for name, one in APPS.items()),
        budgets=tuple(
            Budget(name, SHARE, Measure.RATIO, BARE, at_least=True)
            for name in ("ours, memory", "ours, SQLite")
        ),
        operations=1,
    )


def _asking(app: str, place: Callable[[ExitStack], str]) -> Prepare:
    def prepare(stack: ExitStack) -> Repeat:
        factory = f"benchmarks.limited_servers:until_the_end({app!r}, {place(stack)!r})"
        repeat = asking_much(stack.enter_context(serve(factory)))
        repeat(1)
        return repeat

    return prepare
