"""Work in other threads that still belongs to whoever asked for it.

A new thread begins with an empty context: it knows no request, so its lines carry no ID and its
calls begin traces of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from functools import wraps
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def wrap(function: Callable[P, T]) -> Callable[P, T]:
    """Return *function* so that it runs in the present context, in whatever thread it is called.

    Each call has a copy of its own, so that several may run at once.
    """
    context = copy_context()

    @wraps(function)
    def carried(*args: P.args, **kwargs: P.kwargs) -> T:
        return context.copy().run(function, *args, **kwargs)

    return carried


class ContextExecutor(ThreadPoolExecutor):
    """A pool of threads whose every task runs in the context of who submitted it."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Have a thread call *fn*; ``map`` comes this way, too."""
        return super().submit(wrap(fn), *args, **kwargs)
