"""A ``requests.Session`` whose every call runs through the policies.

The call's own business lives here: its deadline, its idempotency key, its base URL and its finish
line. What belongs to one attempt of one hop lives in :mod:`flask_resilience.outbound.adapter`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import requests
from requests import PreparedRequest, Request, Response
from requests.adapters import BaseAdapter

from ..circuits.circuit_storage import CircuitStorage
from ..circuits.registry import BreakerRegistry
from ..clock import SYSTEM_CLOCK, Clock
from ..events import CallFinished, OnEvent, ignore_event, tell
from ..policies.call import Call
from ..policies.circuit_breaker import CircuitBreakerPolicy
from ..policies.client import SECONDS, ClientOptions
from ..policies.deadline import Deadline
from ..policies.retry import RetryPolicy
from ..rules import Instance, Whole, check
from ..storage.url import guarded_storage
from .adapter import Guard, GuardedAdapter
from .idempotency import IDEMPOTENCY_HEADER, header_value
from .transport import keep_deadlines

GetAdapter: TypeAlias = Callable[..., BaseAdapter]
ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
Verb: TypeAlias = Callable[..., Response]


@dataclass(frozen=True, slots=True)
class _Running:
    """The call a session is in the middle of."""

    session: ResilientSession
    call: Call
    idempotency_key: str | None


_running: ContextVar[_Running | None] = ContextVar("flask_resilience_call", default=None)


class ResilientSession(requests.Session):
    """Retry, break the circuit and keep the deadline of every call, whatever its verb.

    With nothing failing it behaves as ``requests.Session`` does. Adapters mounted by the user, and
    test doubles that replace ``get_adapter``, are guarded like the ones it brings.

    :param options: Name, base URL, headers, time limits and policies.
    :param retry: Instead of the policy of *options*.
    :param breaker: Instead of the policy of *options*.
    :param storage: Where its circuits live, as an object or a URL; by default in this session
        alone.
    :param breakers: Instead of a storage, circuit breakers shared with other sessions.
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
        clock: Clock = SYSTEM_CLOCK,
        on_event: OnEvent = ignore_event,
    ) -> None:
        super().__init__()
        options = check("options", options or ClientOptions(), Instance(ClientOptions))
        options = replace(options, retry=retry or options.retry, breaker=breaker or options.breaker)
        listener = partial(tell, on_event)
        if breakers is None:
            storage = guarded_storage("memory://" if storage is None else storage, clock, listener)
            breakers = BreakerRegistry(storage, clock, listener)
        self._guard = Guard(options, breakers, clock, listener)
        self._replaced_get_adapter: GetAdapter | None = None
        self.headers.update(options.headers)

    def request(
        self,
        method: str,
        url: str | bytes,
        *args: Any,
        deadline: float | None = None,
        idempotent: bool = False,
        idempotency_key: str | bool | None = None,
        retries: int | None = None,
        **kwargs: Any,
    ) -> Response:
        """Make a call; the other arguments are those of ``requests.Session.request``.

        :param url: Absolute, or put behind the client's ``base_url``.
        :param deadline: Total time of the call in seconds, instead of the setting.
        :param idempotent: Whether sending it twice does no harm, for POST and PATCH.
        :param idempotency_key: Sent as ``Idempotency-Key`` with every attempt; ``True`` mints one.
        :param retries: Attempts after the first, instead of the setting; 0 for none.
        :return: The last answer, good or bad.
        :raises requests.RequestException: The last attempt's, as ``requests`` raises it.
        :raises CircuitOpenError: If the circuit of the upstream is open; nothing was sent.
        :raises DeadlineExceededError: If the total time ran out.
        :raises ConfigurationError: If an argument is out of range.
        """
        call = self._new_call(deadline, retries, idempotent=idempotent)
        address = url.decode() if isinstance(url, bytes) else url
        with self._calling(_Running(self, call, header_value(idempotency_key))):
            response = super().request(method, self._absolute(address), *args, **kwargs)
        return self._finish(call, response)

    def send(self, request: PreparedRequest, **kwargs: Any) -> Response:
        """Send a prepared request, as a call of its own unless one is being made."""
        if self._running_call() is not None:
            return super().send(request, **kwargs)
        call = self._new_call()
        with self._calling(_Running(self, call, None)):
            response = super().send(request, **kwargs)
        return self._finish(call, response)

    def mount(self, prefix: str, adapter: BaseAdapter) -> None:
        """Use *adapter* for URLs that begin with *prefix*, and hold it to the deadlines."""
        keep_deadlines(adapter)
        super().mount(prefix, adapter)

    def prepare_request(self, request: Request) -> PreparedRequest:
        """Prepare *request* with the session's settings and the call's idempotency key."""
        prepared = super().prepare_request(request)
        running = self._running_call()
        if running is not None and running.idempotency_key is not None:
            prepared.headers.setdefault(IDEMPOTENCY_HEADER, running.idempotency_key)
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
        running = self._running_call()
        call = self._new_call() if running is None else running.call
        return GuardedAdapter(find(url=url), self._guard, call)

    def _running_call(self) -> _Running | None:
        running = _running.get()
        return running if running is not None and running.session is self else None

    def _new_call(
        self, deadline: float | None = None, retries: int | None = None, *, idempotent: bool = False
    ) -> Call:
        options, clock = self._guard.options, self._guard.clock
        seconds = options.deadline if deadline is None else check("deadline", deadline, SECONDS)
        retry = options.retry
        if retries is not None:
            retry = replace(retry, attempts=1 + check("retries", retries, Whole(0, 99)))
        return Call(
            retry=retry,
            deadline=Deadline.after(seconds, clock),
            started=clock.monotonic(),
            idempotent=idempotent,
        )

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "options": self._guard.options}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Come back in another process with circuits and a clock of its own, and no listener."""
        options = state.pop("options")
        self.__init__(options)  # type: ignore[misc]  # as for a new one
        super().__setstate__(state)
        for adapter in self.adapters.values():
            keep_deadlines(adapter)

    @contextmanager
    def _calling(self, running: _Running) -> Iterator[None]:
        """Make *running* the current call, and tell of it if it fails."""
        token = _running.set(running)
        try:
            yield
        except BaseException as error:
            call = running.call
            if call.close_body is not None:
                call.close_body()
            call.stop_reason = call.stop_reason or _stop_reason(error)
            self._tell(call)
            raise
        finally:
            _running.reset(token)

    def _finish(self, call: Call, response: Response) -> Response:
        """Tell of an answered call once its last byte was read."""
        if call.close_body is not None:
            call.on_read = partial(self._finish_streamed, call)
        else:
            self._tell(call)
        if self._guard.options.raise_for_status:
            response.raise_for_status()
        return response

    def _finish_streamed(self, call: Call, error: BaseException | None) -> None:
        if error is not None and not isinstance(error, GeneratorExit):  # to let go is to close
            call.stop_reason = "deadline" if call.deadline.over else _stop_reason(error)
        self._tell(call)

    def _tell(self, call: Call) -> None:
        if not call.upstream:
            return  # it failed before it was clear whom it was for
        self._guard.on_event(
            CallFinished(
                call_id=call.call_id,
                upstream=call.upstream,
                attempts=call.attempts,
                outcome=call.outcome,
                stop_reason=call.stop_reason,
                duration=self._guard.clock.monotonic() - call.started,
                waited=call.waited,
            )
        )

    def _absolute(self, url: str) -> str:
        base = self._guard.options.base_url
        if base is None or ABSOLUTE.match(url):
            return url
        if not url or url.startswith("?"):
            return base + url
        return f"{base.rstrip('/')}/{url.lstrip('/')}"

    if TYPE_CHECKING:
        # The keywords of request() hold for every verb, which the types of requests deny.
        get: Verb
        options: Verb
        head: Verb
        post: Verb
        put: Verb
        patch: Verb
        delete: Verb


def _stop_reason(error: BaseException) -> str:
    return "error" if isinstance(error, Exception) else "interrupted"
