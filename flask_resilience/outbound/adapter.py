"""One hop of a call: an exchange with one upstream, through its pipeline, on any transport.

A redirect is a new hop with an upstream, a circuit and attempts of its own, which is why retries
live here and not around ``Session.send``: there they would multiply.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any
from urllib.parse import urlsplit

from requests import PreparedRequest, Response
from requests.adapters import BaseAdapter

from ..circuits.breaker import CircuitBreaker
from ..circuits.registry import BreakerRegistry
from ..clock import Clock
from ..errors import CircuitOpenError, DeadlineExceededError
from ..events import OnEvent
from ..policies.call import Call
from ..policies.client import ClientOptions
from ..policies.pipeline import Pipeline
from ..policies.retry_budget import RetryBudgets
from .errors import as_requests_error
from .exchange import Exchange
from .time_limits import TimeLimits


@dataclass(frozen=True, slots=True)
class Guard:
    """What a session gives to each of its hops."""

    options: ClientOptions
    breakers: BreakerRegistry
    budgets: RetryBudgets
    clock: Clock
    on_event: OnEvent

    def upstream(self, url: str) -> str:
        """Return whom *url* belongs to: the client's name, else scheme, host and port."""
        origin = origin_of(url)
        name, base = self.options.name, self.options.base_url
        return name if name and base and origin == origin_of(base) else origin

    def breaker(self, upstream: str) -> CircuitBreaker:
        """Return the circuit breaker before *upstream*."""
        return self.breakers.breaker(upstream, self.options.breaker, self.options.timeout)


class GuardedAdapter(BaseAdapter):
    """Stand before a transport adapter and make its exchange an attempt of a call."""

    def __init__(self, transport: BaseAdapter, guard: Guard, call: Call) -> None:
        super().__init__()
        self._transport, self._guard, self._call = transport, guard, call

    def send(
        self,
        request: PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: Any = True,
        cert: Any = None,
        proxies: Any = None,
    ) -> Response:
        """Send *request* until it is answered well or the policies say stop.

        :return: The last answer, good or bad.
        :raises requests.RequestException: The last attempt's, as the transport raised it.
        :raises CircuitOpenError: If the upstream's circuit is open.
        :raises DeadlineExceededError: If the call's time is over.
        """
        call, guard = self._call, self._guard
        call.upstream = guard.upstream(request.url or "")
        limits = TimeLimits.of(timeout, guard.options)
        exchange = Exchange(
            call=call,
            request=request,
            send=partial(
                self._transport.send, stream=stream, verify=verify, cert=cert, proxies=proxies
            ),
            adapter=self,
            streaming=stream,
            limits=limits,
            options=guard.options,
            clock=guard.clock,
        )
        try:
            return self._pipeline(exchange).run()
        except BaseException as error:
            exchange.close()
            if not isinstance(error, (CircuitOpenError, DeadlineExceededError)):
                raise
            raise as_requests_error(error, request) from error.__cause__

    def _pipeline(self, exchange: Exchange) -> Pipeline[Response]:
        call, guard = self._call, self._guard
        return Pipeline(
            call=call,
            breaker=guard.breaker(call.upstream),
            budget=guard.budgets.budget(call.upstream),
            clock=guard.clock,
            on_event=guard.on_event,
            timeout=exchange.limits.attempt,
            exchange=exchange,
        )

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # of one that is being copied, nothing is there yet
            raise AttributeError(name)
        return getattr(self._transport, name)

    def close(self) -> None:
        """Close the transport."""
        self._transport.close()


def origin_of(url: str) -> str:
    """Return ``scheme://host[:port]`` of *url*, in lower case, without user or default port.

    What only a user's own adapter can read is left as it stands.

    >>> origin_of("HTTPS://user:pw@API.example:443/v1")
    'https://api.example'
    """
    parts = urlsplit(url)
    return _origin(parts.scheme, parts.netloc.rpartition("@")[2])


@lru_cache(maxsize=1024)
def _origin(scheme: str, address: str) -> str:
    parts = urlsplit(f"{scheme}://{address}")
    try:
        port = parts.port
    except ValueError:
        return f"{scheme}://{address}"
    default = {"http": 80, "https": 443}.get(scheme)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
    return f"{scheme}://{host}" if port in (None, default) else f"{scheme}://{host}:{port}"
