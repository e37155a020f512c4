"""``Resilience``: the one object an app is given, and what it wires together."""

from __future__ import annotations

from collections.abc import Callable, Collection
from concurrent.futures import Executor
from types import TracebackType
from typing import Any, ParamSpec, TypeAlias, TypeVar

from flask import Flask, Response, has_app_context, request
from flask.logging import default_handler
from flask_limiter import Limiter

from .circuits.guarded_code import Breaker
from .circuits.registry import BreakerRegistry
from .clock import SYSTEM_CLOCK, Clock
from .errors import ConfigurationError
from .events import OnEvent, RequestFailed
from .inbound.middleware import RequestIDMiddleware
from .inbound.problems import register_problems
from .inbound.served import ERROR_TYPE_KEY
from .inbound.worker_timeout import WorkerTimeoutCheck
from .outbound.errors import ESCAPING, problem_code, problem_headers
from .outbound.session import AppSession, ResilientSession
from .policies.client import SECONDS, ClientOptions
from .policies.retry_budget import RetryBudgets
from .rate_limits.limits import LimitOptions, Limits
from .rate_limits.marks import exempt, limited
from .rate_limits.rule import Key, LimitRule
from .rules import UPSTREAM, Exceptions, Maybe, check
from .settings import Settings, load_settings
from .state import EXTENSION, State, current_state, of_current_app
from .storage.default import app_storage
from .storage.url import guarded_all
from .telemetry.dispatch import Dispatcher
from .telemetry.logging import EventLog, configure_logging
from .telemetry.signals import Signals
from .threads import ContextExecutor, wrap

P = ParamSpec("P")
T = TypeVar("T")
View = TypeVar("View", bound=Callable[..., Any])
ExcInfo: TypeAlias = (
    tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None]
)


class Resilience:
    """Give Flask apps request identity, limits, resilient outbound calls and JSON logs.

    One object may serve several apps, which then share nothing but their decorated views.

    :param app: An app to initialise at once.
    :param clock: Where deadlines, waits and circuits take the time from.
    :param defaults: Settings by lower-case name, as ``retry_attempts=3``; ``app.config`` overrides
        them.
    :raises ConfigurationError: If *app* is given and one of its settings is wrong.
    """

    def __init__(
        self, app: Flask | None = None, *, clock: Clock = SYSTEM_CLOCK, **defaults: Any
    ) -> None:
        self._clock, self._defaults = clock, defaults
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Wire everything into *app*.

        :raises ConfigurationError: If a ``RESILIENCE_*`` setting is unknown, wrong or contradicts
            another.
        :raises RuntimeError: If the app was initialised before.
        """
        if EXTENSION in app.extensions:
            raise RuntimeError(
                f"The app {app.import_name!r} already has flask-resilience; call init_app once."
            )
        settings = load_settings(app.config, self._defaults, app.import_name)
        on_event = _start_telemetry(app, settings)
        app.extensions[EXTENSION] = self._make_state(app, settings, on_event)
        if settings.handle_errors:
            register_problems(app, ESCAPING, problem_code, problem_headers)
        _log_exceptions_as_events(app, on_event)
        _put_middleware(app, settings, on_event, self._clock)

    @property
    def session(self) -> ResilientSession:
        """Return the current app's session for calls to anywhere."""
        return current_state().session

    def client(self, name: str) -> ResilientSession:
        """Return the session that ``RESILIENCE_CLIENTS`` configures under *name*.

        :raises ConfigurationError: If there is none.
        """
        clients = current_state().clients
        if name not in clients:
            raise ConfigurationError(
                f"RESILIENCE_CLIENTS has no client {name!r}; it has {sorted(clients)}.",
                code="CFG-001",
                key=name,
            )
        return clients[name]

    @property
    def limiter(self) -> Limiter:
        """Return the current app's Flask-Limiter, for what :meth:`limit` does not cover.

        It counts in the app's storage. From the first time it is asked for, it looks at each
        request by itself, too.
        """
        return current_state().limits.ask_limiter()

    def limit(
        self,
        limit: str | Callable[[], str],
        *,
        key: Callable[[], Key] | None = None,
        cost: int | Callable[[], int] = 1,
        methods: Collection[str] | None = None,
        per_method: bool = False,
        scope: str | None = None,
        exempt_when: Callable[[], bool] | None = None,
        deduct_when: Callable[[Response], bool] | None = None,
        on_storage_error: str | None = None,
    ) -> Callable[[View], View]:
        """Limit a view, a class of views or a blueprint, beside what ``RATE_LIMIT`` says.

        Goes under ``@app.route``. On a blueprint it holds for each of its views by itself.

        :param limit: As in ``"5/minute"`` or ``"1/second;10 per hour"``, or a function of no
            arguments that gives it.
        :param key: Gives what is counted, instead of the client's address; of a tuple, the parts
            stay apart.
        :param cost: What one request takes from the quota, at least 1, or a function that gives
            it; given as 0, the limit is left out.
        :param methods: The verbs it holds for, of which GET includes HEAD; ``None`` for all.
        :param per_method: Whether each verb has a quota of its own; HEAD shares that of GET.
        :param scope: Limits of one scope that allow the same count together, wherever they stand;
            ``None`` for this view alone.
        :param exempt_when: Says of a request, without arguments, that the limit does not hold.
        :param deduct_when: Says of a response that its request counts. Until there is one it
            counts, so that no number of requests at once gets past the limit.
        :param on_storage_error: While the storage is down: ``fallback``, this process counts alone;
            ``open``, all are let in; ``closed``, none are. ``None`` for
            ``RESILIENCE_RATE_LIMIT_ON_STORAGE_ERROR``.
        :raises ConfigurationError: If the limit cannot be read, another value is wrong, or the view
            is exempt.
        """
        rule = LimitRule(
            limit=limit,
            key=key,
            cost=cost,
            methods=methods,
            per_method=per_method,
            scope=scope,
            exempt_when=exempt_when,
            deduct_when=deduct_when,
            on_storage_error=on_storage_error,
        )
        return lambda view: limited(view, rule, lambda: current_state().limits)

    def breaker(
        self,
        name: str,
        *,
        ignore: tuple[type[BaseException], ...] = (),
        timeout: float | None = None,
    ) -> Breaker:
        """Return the circuit breaker before upstream *name*, to guard any code with.

        It is that of the current app; made outside an app's context, as for a decorator, it is
        each time that of the app that is serving. A client of that name shares its circuit.

        :param ignore: Exceptions that are no failures of the upstream.
        :param timeout: The longest the guarded code may take, in seconds; bounds how long a trial
            may be out. ``None`` for ``RESILIENCE_TIMEOUT``, or the client's.
        :raises ConfigurationError: If *name*, *ignore* or *timeout* is wrong.
        """
        check("name", name, UPSTREAM)
        check("timeout", timeout, Maybe(SECONDS))
        check("ignore", ignore, Exceptions())
        if has_app_context():
            found = current_state().breaker(name)
            return Breaker(lambda: found, ignore=ignore, timeout=timeout)
        return Breaker(of_current_app(name), ignore=ignore, timeout=timeout)

    def exempt(self, view: View) -> View:
        """Free a view, a class of views or a blueprint from limits; goes under ``@app.route``.

        Views of a blueprint that have limits of their own keep those.

        :raises ConfigurationError: If the view has a limit of its own.
        """
        return exempt(view)

    def wrap(self, function: Callable[P, T]) -> Callable[P, T]:
        """Return *function* so that in another thread it still belongs to the present request.

        Its log lines carry the request's ID, its calls the ID, the trace and the deadline. Wrap it
        where the thread is started: what is wrapped outside a request belongs to none.
        """
        return wrap(function)

    def executor(self, max_workers: int = 8) -> Executor:
        """Return a pool of threads whose every task belongs to the request that submitted it.

        :param max_workers: Tasks that run at once, at least 1.
        :raises ValueError: If *max_workers* is less.
        """
        return ContextExecutor(max_workers)

    def _make_state(self, app: Flask, settings: Settings, on_event: Dispatcher) -> State:
        find = app_storage(
            settings.storage_url,
            namespace=settings.namespace or app.import_name,
            salt="" if settings.namespace else app.root_path,
            clock=self._clock,
            alone=lambda: app.testing or app.debug or self._clock is not SYSTEM_CLOCK,
        )
        storage = guarded_all(find, self._clock, on_event)
        breakers = BreakerRegistry(storage.circuits, self._clock, on_event)
        budgets = RetryBudgets(self._clock)

        def session(options: ClientOptions) -> ResilientSession:
            return AppSession(
                options,
                breakers=breakers,
                budgets=budgets,
                clock=self._clock,
                on_event=on_event,
            )

        return State(
            settings=settings,
            on_event=on_event,
            breakers=breakers,
            limits=Limits(app, _limit_options(settings), storage.counting, self._clock, on_event),
            session=session(settings.call),
            clients={name: session(options) for name, options in settings.clients.items()},
        )


def _limit_options(settings: Settings) -> LimitOptions:
    return LimitOptions(
        rate_limit=settings.rate_limit,
        strategy=settings.rate_limit_strategy,
        on_storage_error=settings.rate_limit_on_storage_error,
        headers=settings.rate_limit_headers,
        trusted_proxies=settings.trusted_proxies,
    )


def _start_telemetry(app: Flask, settings: Settings) -> Dispatcher:
    """Set the process's logging up, and return what turns this app's events into lines."""
    configure_logging(
        settings.log_format, settings.log_level, settings.service_name, settings.log_preset
    )
    if settings.log_format != "off" and "logger" in vars(app):  # it was used before
        app.logger.removeHandler(default_handler)
    return Dispatcher(EventLog(settings.log_level, settings.service_name), Signals(app))


def _log_exceptions_as_events(app: Flask, on_event: OnEvent) -> None:
    """Let the one line of ours take the place of Flask's, unless the app brings its own way."""
    if type(app).log_exception is not Flask.log_exception:
        return

    def log_exception(exc_info: ExcInfo) -> None:
        if exc_info[1] is not None:
            request.environ[ERROR_TYPE_KEY] = type(exc_info[1]).__name__
            on_event(RequestFailed(error=exc_info[1]))

    app.log_exception = log_exception  # type: ignore[method-assign]  # Flask's hook for this


def _put_middleware(app: Flask, settings: Settings, on_event: OnEvent, clock: Clock) -> None:
    def propagates() -> bool:
        wanted = app.config["PROPAGATE_EXCEPTIONS"]
        return bool(app.testing or app.debug if wanted is None else wanted)

    deadlines = {"RESILIENCE_DEADLINE": settings.call.deadline}
    for name, client in settings.clients.items():
        deadlines[f"RESILIENCE_CLIENTS[{name!r}]['deadline']"] = client.deadline
    identified = RequestIDMiddleware(
        app.wsgi_app,
        header=settings.request_id_header,
        service=settings.service_name,
        on_event=on_event,
        clock=clock,
        propagate_errors=propagates,
        trust=settings.request_id_trust,
        trusted_proxies=settings.trusted_proxies,
    )
    app.wsgi_app = WorkerTimeoutCheck(  # type: ignore[method-assign]  # Flask's hook for this
        identified, deadlines=deadlines, on_event=on_event
    )
