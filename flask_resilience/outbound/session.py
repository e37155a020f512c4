"""A ``requests.Session`` whose every call runs through the policies.

The call's own business lives here and in :mod:`flask_resilience.outbound.running`: its deadline,
its idempotency key, its base URL, its fallback and its finish line. What belongs to one attempt of
one hop lives in :mod:`flask_resilience.outbound.adapter`.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any, TypeAlias

from requests import PreparedRequest, Request, Response
from requests.adapters import BaseAdapter

from ..circuits.circuit_storage import CircuitStorage
from ..circuits.registry import BreakerRegistry
from ..clock import SYSTEM_CLOCK, Clock
from ..context import current_request, current_request_id
from ..events import ConfigSuspicious, OnEvent, ignore_event, tell
from ..forks import begin_anew_when_forked
from ..open_telemetry import active_span
from ..policies.call import Call
from ..policies.circuit_breaker import CircuitBreakerPolicy
from ..policies.client import SECONDS, ClientOptions
from ..policies.deadline import Deadline
from ..policies.fallback import Fallback
from ..policies.retry import RetryPolicy
from ..policies.retry_budget import RetryBudgets
from ..rules import Instance, Whole, check
from ..storage.url import guarded_storage
from ..trace_context import begin_trace
from .adapter import Guard, GuardedAdapter
from .cookies import CookiesOfRequest
from .exchange import restore_elapsed
from .idempotency import IDEMPOTENCY_HEADER, header_value
from .remembering_session import RememberingSession
from .running import ReportedResponse, Running
from .transport import begin_anew, keep_deadlines, make_adapter, switch_off_retries

GetAdapter: TypeAlias = Callable[..., BaseAdapter]
ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
Verb: TypeAlias = Callable[..., ReportedResponse]


class ResilientSession(RememberingSession):
    """Retry, break the circuit and keep the deadline of every call, whatever its verb.

    With nothing failing it behaves as ``requests.Session`` does. Adapters mounted by the user, and
    test doubles that replace ``get_adapter``, are guarded like the ones it brings.

    :param options: Name, base URL, headers, time limits and policies.
    :param retry: Instead of the policy of *options*.
    :param breaker: Instead of the policy of *options*.
    :param storage: Where its circuits live, as an object or a URL; by default in this session
        alone.
    :param breakers: Instead of a storage, circuit breakers shared with other sessions.
    :param budgets: Retry budgets shared with other sessions.
    :param on_event: Told of attempts, waits, circuit changes and finished calls.
    """

    def __init__(
        self,
        options: ClientOptions | None = None,
        *,
        retry: RetryPolicy | None = None,
        breaker: CircuitBreakerPolicy | None = None,
        storage: CircuitStorage | str | None = None,
        breakers: BreakerRegistry | None = None,
        budgets: RetryBudgets | None = None,
        clock: Clock = SYSTEM_CLOCK,
        on_event: OnEvent = ignore_event,
    ) -> None:
        options = check("options", options or ClientOptions(), Instance(ClientOptions))
        options = replace(options, retry=retry or options.retry, breaker=breaker or options.breaker)
        listener = on_event if on_event is ignore_event else partial(tell, on_event)
        if breakers is None:
            storage = guarded_storage("memory://" if storage is None else storage, clock, listener)
            breakers = BreakerRegistry(storage, clock, listener)
        budgets = budgets or RetryBudgets(clock)
        self._guard = Guard(options, breakers, budgets, clock, listener)
        self._replaced_get_adapter: GetAdapter | None = None
        super().__init__()
        for scheme in ("https://", "http://"):
            super().mount(scheme, make_adapter(options.pool_size))
        self.headers.update(options.headers)
        begin_anew_when_forked(self)

    def request(
        self,
        method: str,
        url: str | bytes,
        *args: Any,
        deadline: float | None = None,
        idempotent: bool = False,
        idempotency_key: str | bool | None = None,
        retries: int | None = None,
        fallback: object = None,
        **kwargs: Any,
    ) -> ReportedResponse:
        """Make a call; the other arguments are those of ``requests.Session.request``.

        :param url: Absolute, or put behind the client's ``base_url``.
        :param deadline: Total time of the call in seconds, instead of the setting.
        :param idempotent: Whether sending it twice does no harm, for POST and PATCH.
        :param idempotency_key: Sent as ``Idempotency-Key`` with every attempt; ``True`` mints one.
        :param retries: Attempts after the first, instead of the setting; 0 for none.
        :param fallback: Given instead of a failure; or a function of the exception that makes what
            is given. An answer that was retried in vain comes to it as a ``requests.HTTPError``.
        :return: The last answer, good or bad, whose ``resilience`` is a
            :class:`~flask_resilience.CallReport`; or what *fallback* gives.
        :raises requests.RequestException: The last attempt's, as ``requests`` raises it; its
            ``resilience`` is the report, too.
        :raises CircuitOpenError: If the circuit of the upstream is open; nothing was sent.
        :raises DeadlineExceededError: If the total time ran out.
        :raises ConfigurationError: If an argument is out of range.
        """
        running = Running(
            self,
            self._guard,
            self._new_call(deadline, retries, idempotent=idempotent),
            self._call_headers(idempotency_key),
            None if fallback is None else Fallback(fallback),
        )
        address = self._absolute(url)
        ask = super().request
        return running.make(lambda: ask(method, address, *args, **kwargs))

    def send(self, request: PreparedRequest, **kwargs: Any) -> Response:
        """Send a prepared request, as a call of its own unless one is being made."""
        ask = super().send

        def send() -> Response:
            return restore_elapsed(ask(request, **kwargs))

        current = Running.of(self)
        running = current or Running(self, self._guard, self._new_call())
        running.call.follows_redirects = bool(kwargs.get("allow_redirects", True))
        return running.make(send) if current is None else send()

    def mount(self, prefix: str, adapter: BaseAdapter) -> None:
        """Use *adapter* for URLs that begin with *prefix*, and hold it to the deadlines.

        Retries of its own are switched off, with a warning, as they would multiply with those of
        the session.
        """
        keep_deadlines(adapter)
        super().mount(prefix, adapter)
        self._be_the_one_to_retry(self._guard.options.retry.attempts)

    def begin_anew(self) -> None:
        """Have no connection of the process that this one was forked from."""
        for adapter in self.adapters.values():
            begin_anew(adapter)

    def _be_the_one_to_retry(self, attempts: int) -> None:
        """Switch off the retries of adapters if the session makes more than one attempt itself."""
        for prefix, adapter in self.adapters.items():
            if attempts > 1 and switch_off_retries(adapter):
                self._warn(
                    "adapter_retries",
                    f"The adapter mounted on {prefix!r} brought retries of its own, which are "
                    f"switched off: they would multiply with the session's {attempts} attempts. "
                    "Leave out its max_retries, or set the attempts of the session's policy to 1.",
                )

    def _warn(self, check: str, hint: str) -> None:
        """Tell the listener, or else whoever reads Python's warnings."""
        if self._guard.on_event is ignore_event:
            warnings.warn(hint, stacklevel=4)
        else:
            self._guard.on_event(ConfigSuspicious(check=check, hint=hint))

    def prepare_request(self, request: Request) -> PreparedRequest:
        """Prepare *request* with the session's settings and the call's headers."""
        prepared = super().prepare_request(request)
        running = Running.of(self)
        for name, value in running.headers.items() if running is not None else ():
            prepared.headers.setdefault(name, value)
        return prepared

    @property
    def get_adapter(self) -> GetAdapter:
        """Return what finds the adapter for a URL and puts the policies before it."""
        return self._guarded_adapter

    @get_adapter.setter
    def get_adapter(self, replacement: GetAdapter) -> None:
        """Take another finder, as ``requests-mock`` does, without losing the policies."""
        ours = replacement == self._guarded_adapter
        self._replaced_get_adapter = None if ours else replacement

    @get_adapter.deleter
    def get_adapter(self) -> None:
        """Go back to the session's own finder, as ``unittest.mock`` does."""
        self._replaced_get_adapter = None

    def _guarded_adapter(self, url: str) -> BaseAdapter:
        find = self._replaced_get_adapter or super().get_adapter
        running = Running.of(self)
        call = self._new_call() if running is None else running.call
        return GuardedAdapter(find(url=url), self._guard, call)

    def _new_call(
        self, deadline: float | None = None, retries: int | None = None, *, idempotent: bool = False
    ) -> Call:
        options, clock = self._guard.options, self._guard.clock
        seconds = options.deadline if deadline is None else check("deadline", deadline, SECONDS)
        retry = options.retry
        if retries is not None:
            retry = replace(retry, attempts=1 + check("retries", retries, Whole(0, 99)))
            self._be_the_one_to_retry(retry.attempts)
        started, request = clock.monotonic(), current_request()
        left = (
            inf if request is None or request.expires_at is None else request.expires_at - started
        )
        return Call(
            retry=retry,
            deadline=Deadline.after(max(0.0, min(seconds, left)), clock),
            started=started,
            hurried=left < seconds,
            idempotent=idempotent,
            span=active_span() or (begin_trace() if request is None else request.span),
            counts=None if request is None else request.calls,
        )

    def __copy__(self) -> ResilientSession:
        """Return a session that shares all it has with this one, as a copy of any session does."""
        same = type(self).__new__(type(self))
        vars(same).update(vars(self))
        begin_anew_when_forked(same)
        return same

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "options": self._guard.options}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Come back in another process with circuits and a clock of its own, and no listener."""
        options = state.pop("options")
        ResilientSession.__init__(self, options)  # what a subclass adds, it brings back itself
        super().__setstate__(state)
        for adapter in self.adapters.values():
            keep_deadlines(adapter)

    def _call_headers(self, idempotency_key: str | bool | None) -> dict[str, str]:
        """Return the headers that are the same for every attempt of a call."""
        key, request_id = header_value(idempotency_key), current_request_id()
        headers = {} if key is None else {IDEMPOTENCY_HEADER: key}
        if request_id is not None:
            headers[self._guard.options.request_id_header] = request_id
        return headers

    def _absolute(self, url: Any) -> Any:
        base = self._guard.options.base_url
        if base is None:
            return url
        address = (url.decode() if isinstance(url, bytes) else str(url)).lstrip()
        if ABSOLUTE.match(address):
            return address
        if not address or address.startswith("?"):
            return base + address
        return f"{base.rstrip('/')}/{address.lstrip('/')}"

    if TYPE_CHECKING:
        # The keywords of request() hold for every verb, which the types of requests deny.
        get: Verb
        options: Verb
        head: Verb
        post: Verb
        put: Verb
        patch: Verb
        delete: Verb


class AppSession(ResilientSession):
    """The session of an app, which makes calls for many users: cookies last for one request."""

    cookies = CookiesOfRequest()
