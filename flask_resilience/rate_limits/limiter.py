"""The app's Flask-Limiter, which counts where ``@limit`` counts.

What it does around each request by itself takes longer than all of ours, and is needed only for
limits that were set through it. So its hooks are put in place once somebody asks for it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from flask import Flask, Response
from flask_limiter import Limiter, RequestLimit

from ..counters.counting import Counting
from ..counters.limits_storage import SCHEME
from ..inbound.problems import problem_response
from ..policies.quota import Strategy
from .rejection import RATE_LIMIT_EXCEEDED

CurrentLimits = Callable[[], Sequence[RequestLimit]]


class AppLimiter(Limiter):
    """Flask-Limiter, of which a filter and the present limits are those of ``@limit``, too.

    :param key: Gives what its limits count by if they do not say.
    :param current: Gives what ``@limit`` counted for the request being served.
    """

    def __init__(
        self,
        key: Callable[[], str],
        counting: Counting,
        strategy: Strategy,
        current: CurrentLimits,
    ) -> None:
        options: dict[str, Any] = {"counting": counting}
        super().__init__(
            key,
            storage_uri=f"{SCHEME}://",
            storage_options=options,
            strategy=strategy.value,
            headers_enabled=False,  # it takes offence at a view's own Retry-After
            on_breach=_answer_breach,
        )
        self.filters: list[Callable[[], bool]] = []
        self._current = current
        self._hooks: list[tuple[list[Any], list[Any]]] = []

    def init_app(self, app: Flask) -> None:
        """Be the limiter of *app*, with nothing to do yet."""
        tables = (app.before_request_funcs, app.after_request_funcs, app.teardown_request_funcs)
        lists: list[list[Any]] = [table.setdefault(None, []) for table in tables]
        lengths = [len(one) for one in lists]
        super().init_app(app)
        self._hooks = [(one, one[old:]) for one, old in zip(lists, lengths, strict=True)]
        for one, old in zip(lists, lengths, strict=True):
            del one[old:]

    def take_part(self) -> None:
        """Have its own hooks run for each request from now on."""
        hooks, self._hooks = self._hooks, []
        for functions, own in hooks:
            functions.extend(own)

    def request_filter(self, fn: Callable[[], bool]) -> Callable[[], bool]:
        """Free the requests of which *fn* returns ``True`` from all limits."""
        self.filters.append(fn)
        return super().request_filter(fn)

    @property
    def current_limits(self) -> list[RequestLimit]:
        """Return what was counted for the request being served, the shortest window first."""
        both = [*self._current(), *super().current_limits]
        return sorted(both, key=lambda one: one.limit.get_expiry())

    @property
    def current_limit(self) -> RequestLimit | None:
        """Return the limit that was exceeded, or else the one of which the least is left."""
        limits = self.current_limits
        breached = [one for one in limits if one.breached]
        return min(breached or limits, key=lambda one: one.remaining, default=None)


def _answer_breach(breached: RequestLimit) -> Response:
    return problem_response(RATE_LIMIT_EXCEEDED, breached.window.reset_time - time.time())
