"""One call of a session, from its first attempt to what its caller gets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

import requests
from requests import Response

from ..errors import CallRejectedError, DeadlineExceededError
from ..events import CallFinished
from ..policies.call import Call
from ..policies.fallback import Fallback
from ..policies.report import CallReport
from .adapter import Guard
from .outcome import is_failure_status, is_upstream_failure

NOTE = "flask-resilience: "

if TYPE_CHECKING:

    class ReportedResponse(Response):
        """An answer that says how its call went."""

        resilience: CallReport
else:
    ReportedResponse = Response


@dataclass(frozen=True, slots=True)
class Running:
    """The call that *session* is in the middle of.

    :param headers: Sent with whatever the call prepares, unless its maker set them otherwise.
    :param fallback: What is given instead of a failure, if anything is.
    """

    session: requests.Session
    guard: Guard
    call: Call
    headers: Mapping[str, str] = field(default_factory=dict)
    fallback: Fallback | None = None

    @staticmethod
    def of(session: requests.Session) -> Running | None:
        """Return the call that *session* is in the middle of, in this context."""
        running = _running.get()
        return running if running is not None and running.session is session else None

    def make(self, send: Callable[[], Response]) -> ReportedResponse:
        """Return what *send* does; if that is a failure, what the fallback gives, of any type."""
        if self.call.counts is not None:
            self.call.counts.begin(self.call)
        try:
            response = self._send(send)
        except Exception as error:
            fallback = self.fallback if self._is_failure(error) else None
            self._end(error, replaced=fallback is not None)
            if fallback is None:
                raise
            return cast("ReportedResponse", fallback.result(error))
        except BaseException as error:
            self._end(error)
            raise
        return self._answer(cast("ReportedResponse", response))

    def _send(self, send: Callable[[], Response]) -> Response:
        token = _running.set(self)
        try:
            return send()
        finally:
            _running.reset(token)

    def _end(self, error: BaseException, *, replaced: bool = False) -> None:
        call = self.call
        if call.close_body is not None:
            call.close_body()
        call.stop_reason = call.stop_reason or _stop_reason(error)
        self._tell(replaced=replaced)
        if call.upstream and self._is_failure(error):
            _explain(error, call.report(), noted=call.retry.attempts > 1)

    def _answer(self, response: ReportedResponse) -> ReportedResponse:
        call = self.call
        fallback = None if call.stop_reason is None else self.fallback
        if call.close_body is not None:
            call.on_read = self._end_of_stream
        else:
            self._tell(replaced=fallback is not None)
        report = call.report()
        if call.upstream or not hasattr(response, "resilience"):  # else it comes out of a cache
            response.resilience = report
        if fallback is not None:
            response.close()
            reason = f"{response.status_code} of {call.upstream}"
            instead = fallback.result(requests.HTTPError(reason, response=response))
            return cast("ReportedResponse", instead)
        if self.guard.options.raise_for_status:
            _raise_for_status(response, report)
        return response

    def _end_of_stream(self, error: BaseException | None) -> None:
        if error is not None and not isinstance(error, GeneratorExit):  # to let go is to close
            self.call.stop_reason = "deadline" if self.call.deadline.over else _stop_reason(error)
        self._tell()

    def _is_failure(self, error: BaseException) -> bool:
        """Say whether *error* is how a call fails, and no mistake of whoever made it."""
        if isinstance(error, (CallRejectedError, DeadlineExceededError)):
            return True
        if isinstance(error, requests.HTTPError):  # of a hook that raises for a status
            return is_failure_status(error.response, self.call.retry)
        return is_upstream_failure(error, self.call.retry)

    def _tell(self, *, replaced: bool = False) -> None:
        call = self.call
        if call.counts is not None:
            call.counts.end(call)
        if not call.upstream:
            return  # it failed before it was clear whom it was for
        self.guard.on_event(
            CallFinished(
                call_id=call.call_id,
                upstream=call.upstream,
                attempts=call.attempts,
                outcome=call.outcome,
                stop_reason=call.stop_reason,
                duration=self.guard.clock.monotonic() - call.started,
                waited=sum(call.waits),
                fallback=replaced,
                span=call.span,
            )
        )


_running: ContextVar[Running | None] = ContextVar("flask_resilience_call", default=None)


def _raise_for_status(response: Response, report: CallReport) -> None:
    try:
        response.raise_for_status()
    except requests.HTTPError as error:
        _explain(error, report, noted=report.attempts > 1)
        raise


def _explain(error: BaseException, report: CallReport, *, noted: bool) -> None:
    """Leave the report with an exception, and a note for whoever reads its traceback."""
    facts = vars(error)
    facts["resilience"] = report
    if noted and report.attempts:
        others = [note for note in facts.get("__notes__") or () if not note.startswith(NOTE)]
        facts["__notes__"] = [*others, f"{NOTE}{report}"]


def _stop_reason(error: BaseException) -> str:
    return "error" if isinstance(error, Exception) else "interrupted"
