"""Limits on requests coming in: when a request is counted, and what follows of it.

``RATE_LIMIT`` is counted before the app has looked at the request, the limits of a view as it is
called. A rejected request takes nothing: what it was counted by before is given back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
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
        app.before_request(self._enter)
        app.after_request(self._leave)
        self.limiter = AppLimiter(
            lambda: self._client(_request()), counting, strategy, _current_limits
        )
        self.limiter.init_app(app)

    def hold(self, mark: Mark) -> None:
        """Count the request being served by the rules of *mark*, or reject it.

        :raises RateLimitExceeded: If one of them has no room for it.
        :raises ServiceUnavailable: If one that is closed then cannot be counted.
        """
        this = _request()
        if TALLY not in this.environ:  # the view is called by something else than Flask
            this.environ[TALLY] = Tally(self._client(this), ())
        tally = this.environ[TALLY]
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
            this.environ[TALLY] = None
            return
        this.environ[TALLY] = tally = Tally(self._client(this), plan.ahead)
        self._admission.admit(this, tally, plan.common)

    def _leave(self, response: Response) -> Response:
        """Settle what was counted of the request, and tell its client how things stand."""
        tally: Tally | None = _request().environ.get(TALLY)
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
        view = self._app.view_functions.get(endpoint)
        around = [self._app.blueprints[name] for name in blueprints]
        own = (*marks_of(view), *method_marks(view))
        freed = endpoint.rpartition(".")[2] == "static" or is_exempt(*around)
        if is_exempt(view) or (freed and not own):
            return Plan(is_free=True)
        of_blueprints = tuple(mark for one in around for mark in marks_of(one))
        placed = {mark: place(mark, endpoint) for mark in (*of_blueprints, *own)}
        if freed:  # its own limits hold all the same
            placed |= dict.fromkeys(of_blueprints, ())
        always = (*of_blueprints, *marks_of(view))
        ahead = tuple(rule for mark in always for rule in placed[mark])
        return Plan(False, placed, ahead, () if freed else self._common)

    def _rules_elsewhere(self, mark: Mark, this: Request) -> PlacedRules:
        """Return the rules of a function that a view calls; they hold for each endpoint apart."""
        endpoint = this.endpoint or ""
        rules = self._elsewhere.setdefault(mark, {})
        if endpoint not in rules:
            rules[endpoint] = place(mark, endpoint)
        return rules[endpoint]


def _request() -> Request:
    return request._get_current_object()  # type: ignore[attr-defined,no-any-return]  # noqa: SLF001  # documented


def _current_limits(limiter: AppLimiter) -> list[RequestLimit]:
    tally = request.environ.get(TALLY)
    return [] if tally is None else request_limits(limiter, tally.entries)
