"""Limits on requests coming in: when a request is counted, and what follows of it.

``RATE_LIMIT`` is counted before the app has looked at the request, the limits of a view as it is
called. A rejected request takes nothing: what it was counted by before is given back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import takewhile
from math import isfinite
from weakref import WeakKeyDictionary

from flask import Flask, Request, Response, request
from flask_limiter import RequestLimit

from ..clock import Clock
from ..counters.counting import Counting
from ..events import OnEvent
from ..inbound.problems import whole_seconds
from ..policies.quota import Strategy
from .admission import Admission
from .checks import Checks
from .headers import HEADERS
from .key import client_key
from .limiter import AppLimiter
from .marks import Mark, is_exempt, marks_of, method_marks
from .placed_rule import PlacedRule, PlacedRules, place
from .rejection import request_limits
from .rule import LimitRule, check_limit
from .suppression import Suppression
from .tally import Tally

REJECTED = (429, 503)
TALLY = "flask_resilience.limits"
"""Where a request's tally is in its environment; ``None`` if no limit holds for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitOptions:
    """What an app sets for all its limits.

    :param rate_limit: Holds for each client over all routes together; ``""`` for none.
    :param strategy: How requests are counted within a window.
    :param on_storage_error: ``fallback``, ``open`` or ``closed``.
    :param headers: ``draft``, ``legacy``, ``both`` or ``off``.
    :param trusted_proxies: Whose word is taken for where a request comes from.
    """

    rate_limit: str
    strategy: str
    on_storage_error: str
    headers: str
    trusted_proxies: int

    def common_rules(self) -> PlacedRules:
        """Return the rule for all routes together, if there is one.

        :raises ConfigurationError: If it cannot be read.
        """
        if not self.rate_limit:
            return ()
        check_limit("RESILIENCE_RATE_LIMIT", self.rate_limit)
        return (PlacedRule(LimitRule(limit=self.rate_limit), "app", "app"),)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is known of an endpoint beforehand.

    :param placed: The rules that stand on its view, its view's methods and its blueprints.
    :param ahead: Those that each of its requests will be counted by.
    :param common: Those for all routes together.
    """

    is_free: bool
    placed: Mapping[Mark, PlacedRules] = field(default_factory=dict)
    ahead: PlacedRules = ()
    common: PlacedRules = ()


class Limits:
    """The limits of one app.

    :raises ConfigurationError: If the limit for all routes cannot be read.
    """

    def __init__(
        self, app: Flask, options: LimitOptions, counting: Counting, clock: Clock, on_event: OnEvent
    ) -> None:
        self._app, self._options = app, options
        self._common = options.common_rules()
        self._headers = HEADERS[options.headers]
        self._suppression = Suppression(clock, on_event)
        strategy = Strategy(options.strategy)
        self._admission = Admission(counting, strategy, options.on_storage_error, self._suppression)
        self._plans: dict[str | None, Plan] = {None: Plan(is_free=True)}
        self._elsewhere: WeakKeyDictionary[Mark, dict[str, PlacedRules]] = WeakKeyDictionary()
        self._checks = Checks(
            app, lambda: counting.storage.shared, options.trusted_proxies, on_event
        )
        self._key = f"{TALLY}.{id(self)}"  # an app may be served within another's request
        app.before_request(self._enter)
        app.after_request(self._leave)
        self.limiter = AppLimiter(
            lambda: self._client(_request()), counting, strategy, self._current_limits
        )
        self.limiter.init_app(app)

    def hold(self, mark: Mark) -> None:
        """Count the request being served by the rules of *mark*, or reject it.

        :raises RateLimitExceeded: If one of them has no room for it.
        :raises ServiceUnavailable: If one that is closed then cannot be counted.
        """
        this = _request()
        if self._key not in this.environ:  # the view is called by something else than Flask
            this.environ[self._key] = Tally(self._client(this), ())
        tally = this.environ[self._key]
        if tally is None:
            return
        rules = self._plan(this).placed.get(mark)
        if rules is None:
            self._admission.admit(this, tally, self._rules_elsewhere(mark, this), begun=True)
        else:
            self._admission.admit(this, tally, rules)

    def ask_limiter(self) -> AppLimiter:
        """Return the app's Flask-Limiter, which takes part in each request from now on."""
        self.limiter.take_part()
        return self.limiter

    def _enter(self) -> None:
        """Begin to count the request that has come."""
        this = _request()
        self._checks.look(this.environ)
        self._suppression.tell_due()
        plan = self._plan(this)
        if self._is_free(this, plan):
            this.environ[self._key] = None
            return
        this.environ[self._key] = tally = Tally(self._client(this), plan.ahead)
        self._admission.admit(this, tally, plan.common)

    def _leave(self, response: Response) -> Response:
        """Settle what was counted of the request, and tell its client how things stand."""
        tally: Tally | None = _request().environ.get(self._key)
        if tally is None or not tally.entries:
            return response
        tally.settle(response)
        told = tally.told()
        if told:
            for name, value in self._headers(told).items():
                response.headers.set(name, value)
        retry_after = tally.retry_after
        if retry_after is not None and response.status_code in REJECTED and isfinite(retry_after):
            response.headers.setdefault("Retry-After", str(whole_seconds(retry_after)))
        return response

    def _current_limits(self) -> list[RequestLimit]:
        tally: Tally | None = _request().environ.get(self._key)
        return [] if tally is None else request_limits(self.limiter, tally.entries)

    def _client(self, this: Request) -> str:
        return client_key(this.environ, self._options.trusted_proxies)

    def _is_free(self, this: Request, plan: Plan) -> bool:
        return (
            plan.is_free
            or this.method == "OPTIONS"
            or not self.limiter.enabled
            or (bool(self.limiter.filters) and any(free() for free in self.limiter.filters))
        )

    def _plan(self, this: Request) -> Plan:
        endpoint = this.endpoint
        plan = self._plans.get(endpoint)
        if plan is None:
            plan = self._plans[endpoint] = self._make_plan(endpoint or "", this.blueprints)
        return plan

    def _make_plan(self, endpoint: str, blueprints: Iterable[str]) -> Plan:
        known = self._app.blueprints  # an endpoint may have a dot and no blueprint
        around = [known[name] for name in blueprints if name in known]
        view = self._app.view_functions.get(endpoint)
        if is_exempt(view) or self._is_static(endpoint):
            return Plan(is_free=True)
        within = list(takewhile(lambda one: not is_exempt(one), around))  # the innermost first
        kept = tuple(mark for one in within for mark in marks_of(one))
        own, common = marks_of(view), self._common if within == around else ()
        held = {mark: place(mark, endpoint) for mark in (*kept, *own, *method_marks(view))}
        lifted = {mark: () for one in around[len(within) :] for mark in marks_of(one)}
        ahead = tuple(rule for mark in (*kept, *own) for rule in held[mark])
        return Plan(within != around and not held, held | lifted, ahead, common)

    def _is_static(self, endpoint: str) -> bool:
        """Say whether Flask serves files there, and no view of the app's."""
        blueprint, _, name = endpoint.rpartition(".")
        owner = self._app.blueprints.get(blueprint) if blueprint else self._app
        return name == "static" and owner is not None and owner.has_static_folder

    def _rules_elsewhere(self, mark: Mark, this: Request) -> PlacedRules:
        """Return the rules of a function that a view calls; they hold for each endpoint apart."""
        endpoint = this.endpoint or ""
        rules = self._elsewhere.setdefault(mark, {})
        if endpoint not in rules:
            rules[endpoint] = place(mark, endpoint)
        return rules[endpoint]


def _request() -> Request:
    return request._get_current_object()  # type: ignore[attr-defined,no-any-return]  # noqa: SLF001  # documented
