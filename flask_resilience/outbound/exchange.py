"""One attempt of a hop: send the request, read the body, judge what came of it."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from contextvars import copy_context
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from time import monotonic
from typing import Any

from requests import PreparedRequest, Response
from requests.adapters import BaseAdapter
from requests.exceptions import ChunkedEncodingError, ContentDecodingError

from ..clock import Clock
from ..context import current_request_id
from ..errors import DeadlineExceededError
from ..policies.call import Call
from ..policies.client import ClientOptions
from ..policies.deadline import SHORTEST, Deadline
from ..policies.outcome import Outcome, Verdict
from ..policies.pipeline import Answer, Settle
from ..trace_context import Span
from .attempt_headers import added_headers, set_by_hand, span_of_attempt, with_headers
from .body import watch_body
from .errors import as_requests_error
from .outcome import judge_error, judge_response, refusal
from .replay import Replay
from .time_limits import TimeLimits
from .transport import attempt_deadline

TO_HEADERS = "_elapsed"
"""Where a response keeps the time to its headers, which ``Session.send`` measures to the end."""


def restore_elapsed(response: Response) -> Response:
    """Return *response* with ``elapsed`` as ``requests`` means it: to the headers.

    One that a hook has sent for has none there, and none here.
    """
    for one in (response, *response.history):
        if one.elapsed:
            one.elapsed = vars(one).get(TO_HEADERS, one.elapsed)
    return response


@dataclass(slots=True, kw_only=True)
class Exchange:
    """Make the attempts of one hop, each when it is called with its number.

    :param send: The transport's, with everything but the request and the timeout filled in.
    :param adapter: What follow-ups on the same connection go through, as a digest's second try.
    :param streaming: Whether the user reads the body later.
    """

    call: Call
    request: PreparedRequest
    send: Callable[..., Response]
    adapter: BaseAdapter
    streaming: bool
    limits: TimeLimits
    options: ClientOptions
    clock: Clock
    _replay: Replay = field(init=False)
    _refusal: str | None = field(init=False)
    _by_hand: str | None = field(init=False)
    _unread: Response | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self._by_hand = set_by_hand(self.request)
        self._replay = Replay(self.request.body)
        self._refusal = refusal(
            self.request,
            self.call.retry,
            idempotent=self.call.idempotent,
            replayable=self._replay.possible,
        )

    def __call__(self, number: int) -> Answer[Response]:
        """Make attempt *number* and say what it came to."""
        deadline = self.call.deadline.within(self.limits.attempt)
        span = span_of_attempt(self._by_hand, self.call.span)
        try:
            response = self._send(self._attempt_request(number, deadline, span), deadline)
        except Exception as error:  # whatever it is, it is judged and then raised
            return self._answer(self._judge_error(error), span, error=error)
        try:
            verdict = judge_response(response, self.call.retry, self._refusal, self.clock.wall())
        except BaseException:  # of the user's predicate
            response.close()
            raise
        defer = None
        if self.streaming and verdict.failed:
            self._unread = response
        elif self.streaming and response.raw is not None:
            defer = partial(self._defer, response, verdict)
        return self._answer(verdict, span, value=response, defer=defer)

    def close(self) -> None:
        """Close the answer that another attempt was to follow, if there is one."""
        if self._unread is not None:
            self._unread.close()  # else its connection would be lost to the pool
        self._unread = None

    def _attempt_request(self, number: int, deadline: Deadline, span: Span) -> PreparedRequest:
        """Return the request as attempt *number* sends it; the user's own stays as it is."""
        options, request_id = self.options, current_request_id()
        header, theirs = options.request_id_header, self.request.headers
        added = added_headers(
            number,
            None if request_id is None or header in theirs else (header, request_id),
            deadline.left() if options.internal else None,
        )
        if number > 1:
            self._replay.rewind()
        self.close()
        return with_headers(self.request, added, span if self._by_hand is None else None)

    def _send(self, request: PreparedRequest, deadline: Deadline) -> Response:
        left = max(deadline.left(), SHORTEST)
        token = attempt_deadline.set(deadline)
        try:
            started = monotonic()
            response = self.send(request, timeout=(min(self.limits.connect, left), left))
            vars(response)[TO_HEADERS] = timedelta(seconds=monotonic() - started)
            if not self.streaming:
                self._read(response)
        finally:
            attempt_deadline.reset(token)
        response.connection = self.adapter  # type: ignore[assignment]  # typed as the default one
        return response

    def _read(self, response: Response) -> None:
        """Read the body, which is part of the attempt; of a redirect that is followed, any will do.

        That is how ``requests`` has it.
        """
        try:
            response.content  # noqa: B018  # which reads it
        except (ChunkedEncodingError, ContentDecodingError):
            if not (response.is_redirect and self.call.follows_redirects):
                raise

    def _defer(self, response: Response, verdict: Verdict, settle: Settle) -> None:
        """Judge a streamed answer when its body has ended; *verdict* holds if it ends well."""
        call, reference = self.call, weakref.ref(response)

        def close() -> None:
            unread = reference()
            if unread is not None:
                unread.close()

        def end(error: BaseException | None) -> Exception | None:
            if isinstance(error, Exception):
                settle(self._judge_error(error))
            elif error is None:
                settle(verdict)
            else:
                let_go = isinstance(error, GeneratorExit)
                settle(replace(verdict, outcome=Outcome.IGNORED, abandoned=let_go))
            if call.close_body is close:  # else a hook has put another answer in its place
                call.read_to_its_end(error)
            if not isinstance(error, Exception) or not call.deadline.over:
                return None
            late = DeadlineExceededError(call.upstream, call.deadline.seconds, call.attempts)
            return as_requests_error(late, self.request)

        call.close_body = close
        context = copy_context()  # whoever lets go of the body may be serving another request
        watch_body(response, lambda error: context.run(end, error))

    def _judge_error(self, error: Exception) -> Verdict:
        return judge_error(error, self.call.retry, self._refusal)

    def _answer(self, verdict: Verdict, span: Span, **came: Any) -> Answer[Response]:
        method, url = self.request.method or "", self.request.url or ""
        return Answer(verdict=verdict, method=method, url=url, span=span, **came)
