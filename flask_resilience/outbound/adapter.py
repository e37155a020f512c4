"""One hop of a call: an exchange with one upstream, through its pipeline, on any transport.

A redirect is a new hop with an upstream, a circuit and attempts of its own, which is why retries
live here and not around ``Session.send``: there they would multiply.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from requests import PreparedRequest, Response
from requests.adapters import BaseAdapter

from ..clock import Clock
from ..context import current_request_id
from ..errors import CircuitOpenError, DeadlineExceededError
from ..events import OnEvent
from ..policies.breaker import CircuitBreaker, CircuitStorage
from ..policies.call import Call
from ..policies.client import ClientOptions
from ..policies.deadline import Deadline
from ..policies.outcome import Verdict
from ..policies.pipeline import Answer, Pipeline, Settle
from .body import watch_body
from .errors import as_requests_error
from .outcome import judge_error, judge_response, refusal
from .replay import Replay
from .transport import attempt_deadline

RETRY_HEADER = "X-Retry-Attempt"


@dataclass(frozen=True, slots=True)
class Guard:
    """What a session gives to each of its hops."""

    options: ClientOptions
    storage: CircuitStorage
    clock: Clock
    on_event: OnEvent

    def upstream(self, url: str) -> str:
        """Return whom *url* belongs to: the client's name, else scheme, host and port."""
        origin = origin_of(url)
        name, base = self.options.name, self.options.base_url
        return name if name and base and origin == origin_of(base) else origin

    def breaker(self, upstream: str) -> CircuitBreaker:
        """Return the circuit breaker before *upstream*."""
        return CircuitBreaker(upstream, self.options.breaker, self.storage, self.on_event)


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
        send = partial(
            self._transport.send, stream=stream, verify=verify, cert=cert, proxies=proxies
        )
        limits = TimeLimits.of(timeout, self._guard.options)
        exchange = _Exchange(self._guard, self._call, request, send, limits, stream)
        self._call.upstream = self._guard.upstream(request.url or "")
        self._call.streaming = stream
        pipeline = Pipeline(
            call=self._call,
            breaker=self._guard.breaker(self._call.upstream),
            clock=self._guard.clock,
            on_event=self._guard.on_event,
            timeout=min(limits.attempt, self._call.deadline.left()),
            exchange=exchange,
        )
        try:
            return pipeline.run()
        except (CircuitOpenError, DeadlineExceededError) as error:
            raise as_requests_error(error, request) from error.__cause__

    def close(self) -> None:
        """Close the transport."""
        self._transport.close()


@dataclass(frozen=True, slots=True)
class TimeLimits:
    """The longest connect and the longest attempt, in seconds."""

    connect: float
    attempt: float

    @classmethod
    def of(cls, timeout: Any, options: ClientOptions) -> TimeLimits:
        """Return the limits that a ``timeout=`` of ``requests`` asks for.

        :param timeout: ``None`` for the settings; a number for the whole attempt; a pair of a
            connect and an attempt limit, each perhaps ``None``.
        """
        connect, attempt = timeout if isinstance(timeout, tuple) else (None, timeout)
        attempt = options.timeout if attempt is None else attempt
        return cls(min(options.connect_timeout, attempt) if connect is None else connect, attempt)


class _Exchange:
    """Make one attempt of a hop: send, read the body, judge."""

    def __init__(
        self,
        guard: Guard,
        call: Call,
        request: PreparedRequest,
        send: Callable[..., Response],
        limits: TimeLimits,
        stream: bool,
    ) -> None:
        self._guard, self._call, self._request = guard, call, request
        self._send, self._limits, self._stream = send, limits, stream
        self._replay = Replay(request.body)
        self._refusal = refusal(
            request,
            call.retry,
            idempotent=call.idempotent,
            replayable=self._replay.possible,
        )

    def __call__(self, number: int) -> Answer[Response]:
        """Make attempt *number* and say what it came to."""
        deadline = self._call.deadline.within(self._limits.attempt)
        try:
            response = self._exchange(number, deadline)
        except Exception as error:
            return self._answer(self._judge_error(error), error=error)
        verdict = self._judge_response(response)
        if self._stream and not verdict.failed:
            return self._answer(verdict, value=response, defer=partial(self._defer, response))
        return self._answer(verdict, value=response)

    def _exchange(self, number: int, deadline: Deadline) -> Response:
        request = self._attempt_request(number)
        left = max(deadline.left(), 0.001)
        token = attempt_deadline.set(deadline)
        try:
            response = self._send(request, timeout=(min(self._limits.connect, left), left))
            if not self._stream:
                response.content  # noqa: B018  # the body is part of the attempt
        finally:
            attempt_deadline.reset(token)
        return response

    def _attempt_request(self, number: int) -> PreparedRequest:
        """Return the request as attempt *number* sends it; the user's own stays as it is."""
        request = self._request.copy()
        request_id = current_request_id()
        if request_id is not None:
            request.headers.setdefault(self._guard.options.request_id_header, request_id)
        if number > 1:
            request.headers[RETRY_HEADER] = str(number - 1)
            self._replay.rewind()
        return request

    def _defer(self, response: Response, settle: Settle) -> None:
        """Judge a streamed answer when its body has ended."""

        def end(error: Exception | None) -> Exception | None:
            settle(self._judge_response(response) if error is None else self._judge_error(error))
            if error is None or not self._call.deadline.over:
                return None
            late = DeadlineExceededError(
                self._call.upstream, self._call.deadline.seconds, self._call.attempts
            )
            return as_requests_error(late, self._request)

        watch_body(response, end)

    def _judge_response(self, response: Response) -> Verdict:
        now = self._guard.clock.wall()
        return judge_response(response, self._call.retry, self._refusal, now)

    def _judge_error(self, error: Exception) -> Verdict:
        return judge_error(error, self._call.retry, self._refusal)

    def _answer(self, verdict: Verdict, **facts: Any) -> Answer[Response]:
        request = self._request
        return Answer(verdict=verdict, method=request.method or "", url=request.url or "", **facts)


def origin_of(url: str) -> str:
    """Return ``scheme://host[:port]`` of *url*, in lower case, without user or default port.

    >>> origin_of("HTTPS://user:pw@API.example:443/v1")
    'https://api.example'
    """
    parts = urlsplit(url)
    default = {"http": 80, "https": 443}.get(parts.scheme)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    port = "" if parts.port in (None, default) else f":{parts.port}"
    return f"{parts.scheme}://{host}{port}"
