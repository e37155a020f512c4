"""Limits on requests coming in, kept by one Flask-Limiter for each app.

A decorated view is marked with its rules and bound to an app's limiter by that app's first request
to it: the module that holds the view may serve several apps, each with counts of its own.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import wraps
from threading import Lock
from typing import Any, TypeVar, cast

import limits
from flask import Flask, Response, current_app, request
from flask_limiter import Limiter, RequestLimit
from flask_limiter.util import get_remote_address

from ..errors import ConfigurationError
from ..rules import Maybe, Whole, check
from .problems import problem_response

RATE_LIMIT_EXCEEDED = "LIM-001"

View = TypeVar("View", bound=Callable[..., Any])

_limiter_logger = logging.getLogger("flask-limiter")
if _limiter_logger.level == logging.NOTSET:
    # What it says of each rejection, with the client's address, the finish line says better.
    _limiter_logger.setLevel(logging.WARNING)


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitRule:
    """One ``@limit``.

    :param limit: As in ``"5/minute"`` or ``"1/second;10 per hour"``, or what gives it.
    :param key: Gives what is counted, instead of the client's address.
    :param cost: What one request takes from the quota, or what gives it.
    :param methods: The verbs it holds for; ``None`` for all.
    :raises ConfigurationError: If the limit cannot be read, or another value is wrong.
    """

    limit: str | Callable[[], str]
    key: Callable[[], str] | None = None
    cost: int | Callable[[], int] = 1
    methods: Sequence[str] | None = None

    def __post_init__(self) -> None:
        if not callable(self.limit):
            check_limit("limit", self.limit)
        if not callable(self.cost):
            check("cost", self.cost, Whole(1, 1_000_000))
        check("methods", self.methods, Maybe(Verbs()))
        if self.key is not None and not callable(self.key):
            raise ConfigurationError(f"key is {self.key!r}; it must be a function.", key="key")


class Verbs:
    """The rule of ``methods``: a collection of verbs, and not the text of one."""

    def accept(self, value: object) -> object:
        """Return *value* unchanged."""
        if isinstance(value, str) or not isinstance(value, Collection):
            raise ValueError
        if not all(isinstance(verb, str) and verb.isalpha() for verb in value):
            raise ValueError
        return value

    def __str__(self) -> str:
        return "a list of verbs, as ['POST']"


class Limits:
    """One app's limiter, and the views bound to it.

    :param rate_limit: Holds for each client over all routes together; ``""`` for none.
    :param strategy: How Flask-Limiter counts within a window.
    :raises ConfigurationError: If the limit cannot be read.
    """

    def __init__(self, app: Flask, *, rate_limit: str, strategy: str) -> None:
        if rate_limit:
            check_limit("RESILIENCE_RATE_LIMIT", rate_limit)
        self.limiter = Limiter(
            get_remote_address,
            application_limits=[rate_limit] if rate_limit else None,
            strategy=strategy,
            storage_uri="memory://",
            on_breach=_answer_breach,
        )
        self.limiter.request_filter(_does_not_count)
        self.limiter.init_app(app)
        self._lock = Lock()
        self._bound: dict[_LimitedView, Callable[..., Any]] = {}  # guarded by _lock

    def bound(self, view: _LimitedView) -> Callable[..., Any]:
        """Return *view* with its rules held by this app's limiter."""
        with self._lock:
            if view not in self._bound:
                limited = _named_apart(view.view, len(self._bound))
                for rule in view.rules:
                    limited = self._hold(rule)(limited)
                self._bound[view] = limited
            return self._bound[view]

    def _hold(self, rule: LimitRule) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        return self.limiter.limit(
            _checked(rule.limit),
            key_func=_never_empty(rule.key),
            cost=rule.cost,
            methods=None if rule.methods is None else list(rule.methods),
        )


@dataclass(frozen=True, slots=True, eq=False)
class _LimitedView:
    """A view and the rules of all its ``@limit`` decorators, the innermost first."""

    view: Callable[..., Any]
    rules: tuple[LimitRule, ...]


def limited(view: View, rule: LimitRule, find_limits: Callable[[], Limits]) -> View:
    """Return *view* held to *rule* by the limits of whichever app is serving.

    :raises ConfigurationError: If it is exempt.
    """
    if _is_exempt(view):
        raise _contradiction(view)
    inner: _LimitedView = getattr(view, "resilience_limited", _LimitedView(view, ()))
    mark = _LimitedView(inner.view, (*inner.rules, rule))

    @wraps(inner.view)
    def held(*args: Any, **kwargs: Any) -> Any:
        return find_limits().bound(mark)(*args, **kwargs)

    held.resilience_limited = mark  # type: ignore[attr-defined]
    return cast("View", held)


def exempt(view: View) -> View:
    """Return *view* marked as free of every limit.

    :raises ConfigurationError: If it has a limit of its own.
    """
    if hasattr(view, "resilience_limited"):
        raise _contradiction(view)
    view.resilience_exempt = True  # type: ignore[attr-defined]
    return view


def _checked(limit: str | Callable[[], str]) -> str | Callable[[], str]:
    """Return *limit*; one that is asked for at each request is held to its notation then.

    Flask-Limiter would leave out one that it cannot read, and so limit nothing.
    """
    if isinstance(limit, str):
        return limit

    def give() -> str:
        given = limit()
        check_limit("limit", given)
        return given

    return give


def _never_empty(key: Callable[[], str] | None) -> Callable[[], str] | None:
    """Return *key* so that an empty key is one to count by; Flask-Limiter would leave it out."""
    return None if key is None else lambda: f"key:{key()}"


def _named_apart(view: Callable[..., Any], number: int) -> Callable[..., Any]:
    """Return *view* under a name of its own: Flask-Limiter would lump equal names together."""

    @wraps(view)
    def apart(*args: Any, **kwargs: Any) -> Any:
        return current_app.ensure_sync(view)(*args, **kwargs)

    apart.__qualname__ += f"#{number}"
    return apart


def check_limit(name: str, limit: object) -> None:
    """Hold *limit* to the notation of the ``limits`` library.

    :raises ConfigurationError: If it cannot be read.
    """
    try:
        limits.parse_many(cast("str", limit))
    except (TypeError, ValueError):
        raise ConfigurationError(
            f"{name} is {limit!r}; it must be limits like '10 per minute' or '5/second', "
            "several of them separated by ';'.",
            key=name,
            value=limit,
        ) from None


def _does_not_count() -> bool:
    """Say whether the request being served is free of limits."""
    view = current_app.view_functions.get(request.endpoint or "")
    return request.method == "OPTIONS" or _is_exempt(view)


def _is_exempt(view: object) -> bool:
    return getattr(view, "resilience_exempt", False)


def _answer_breach(breached: RequestLimit) -> Response:
    return problem_response(RATE_LIMIT_EXCEEDED, breached.window.reset_time - time.time())


def _contradiction(view: Callable[..., Any]) -> ConfigurationError:
    name = getattr(view, "__qualname__", repr(view))
    return ConfigurationError(
        f"{name} is both limited and exempt; keep one of the two decorators.", key=name
    )
