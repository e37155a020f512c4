"""A circuit breaker before any code: as a call, a ``with`` block or a decorator, sync and async."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from contextvars import ContextVar
from functools import wraps
from inspect import isasyncgenfunction, iscoroutinefunction, isgeneratorfunction
from types import AsyncGeneratorType, CoroutineType, GeneratorType, TracebackType
from typing import Any, NamedTuple, ParamSpec, TypeVar, cast

from ..errors import CallRejectedError, CircuitOpenError
from ..policies.circuit import Mode, Permit
from ..policies.outcome import RELEASED, Outcome, Verdict
from .breaker import CircuitBreaker, begin_trial, end_trial, trials
from .view import View

P = ParamSpec("P")
T = TypeVar("T")


UNFINISHED = frozenset({AsyncGeneratorType, CoroutineType, GeneratorType})


class _Entered(NamedTuple):
    """A ``with`` block that is being run, within the one around it."""

    owner: Breaker
    breaker: CircuitBreaker
    view: View
    permit: Permit
    started: float
    around: _Entered | None


_entered: ContextVar[_Entered | None] = ContextVar("flask_resilience_entered", default=None)


class Breaker:
    """Guard any code with the circuit of an upstream; made by ``resilience.breaker(name)``.

    ::

        breaker = resilience.breaker("ledger")

        breaker.call(post, entry)

        with breaker:
            post(entry)

        @breaker
        def post(entry): ...

    An exception is a failure, unless it is one of *ignore*, a rejection by another guard, or no
    ``Exception`` at all (``SystemExit``, a cancelled task): those say nothing of the upstream. The
    code raises what it raises. While the circuit is open, it is not run.

    :param find: Returns the circuit breaker to use: that of the app that is serving.
    :param ignore: Exceptions that are no failures of the upstream.
    :param timeout: The longest the code may take, in seconds; a trial that is out longer (and one
        second) counts as failed. Nothing is ended by it. ``None`` for the setting of that name.
    """

    def __init__(
        self,
        find: Callable[[], CircuitBreaker],
        *,
        ignore: tuple[type[BaseException], ...] = (),
        timeout: float | None = None,
    ) -> None:
        self._find, self._timeout = find, timeout
        self._ignored: tuple[type[BaseException], ...] = (CallRejectedError, *ignore)

    def call(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what *function* returns; of a coroutine function, a coroutine to await.

        :raises CircuitOpenError: If the circuit is open; *function* was not called.
        :raises TypeError: If it cannot be called, or returns a generator, of which nothing has been
            done yet.
        """
        return self._run(function, args, kwargs)

    def __call__(self, function: Callable[P, T]) -> Callable[P, T]:
        """Return *function* guarded, for use as a decorator.

        :raises TypeError: If it cannot be called, as a ``classmethod`` cannot before its class is
            there, or is a generator function, which returns before it has done anything.
        """
        if not callable(function):
            raise TypeError(
                f"{function!r} cannot be called; put the breaker below @classmethod or @property, "
                "next to the function."
            )
        if isgeneratorfunction(function) or isasyncgenfunction(function):
            name = getattr(function, "__qualname__", function)
            raise TypeError(
                f"{name} is a generator function, which returns before it has done anything; "
                "guard what it calls, or use the breaker as a with block inside it."
            )
        run = self._run
        if iscoroutinefunction(function):

            @wraps(function)
            async def guarded_async(*args: P.args, **kwargs: P.kwargs) -> Any:
                return await cast("Any", run(function, args, kwargs))

            return cast("Callable[P, T]", guarded_async)

        @wraps(function)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> T:
            return run(function, args, kwargs)

        return guarded

    def __enter__(self) -> Breaker:
        """Ask leave for the block.

        :raises CircuitOpenError: If the circuit is open.
        """
        breaker = self._find()
        view, started = breaker.circuit.view, breaker.circuit.monotonic()
        passes = started < view.passes_until
        permit = view.permit if passes else self._ask(breaker, view, started)
        if permit.trial is not None:
            begin_trial(breaker.circuit, permit)
        _entered.set(_Entered(self, breaker, view, permit, started, _entered.get()))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let the circuit learn what the block came to."""
        entered = _leave(self)
        if entered is None:
            return  # left in another context than entered; a trial's lease will end
        _, breaker, view, permit, started, _ = entered
        if permit.trial is not None:
            end_trial(permit)
        if error is None:
            breaker.succeed(view, permit, started)
        else:
            duration = breaker.circuit.monotonic() - started
            breaker.record(permit, self._judge(error), duration)

    async def __aenter__(self) -> Breaker:
        """Ask leave for the block, as ``with`` does."""
        return self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let the circuit learn what the block came to."""
        self.__exit__(kind, error, trace)

    @property
    def state(self) -> str:
        """Return what a call would meet now.

        ``closed``, ``open``, ``half_open``, ``forced_open`` or ``disabled``.
        """
        return self._find().state.value

    def open(
        self, *, actor: str = "application", reason: str = "", seconds: float | None = None
    ) -> None:
        """Reject every call, over all workers, whatever the rules say.

        :param actor: Who decides so; stands in the log.
        :param reason: Why; stands in the log and in what rejected calls raise.
        :param seconds: After which the rules hold again; ``None`` until somebody says so.
        :raises ConfigurationError: If the breaker is disabled by its settings, or an argument
            is wrong.
        :raises StorageError: If the storage is down, so that other workers would not hear of it;
            then nothing has changed.
        """
        self._find().force(Mode.FORCED_OPEN, actor=actor, reason=reason, seconds=seconds)

    def disable(
        self, *, actor: str = "application", reason: str = "", seconds: float | None = None
    ) -> None:
        """Let every call through and count nothing, over all workers; else as :meth:`open`."""
        self._find().force(Mode.DISABLED, actor=actor, reason=reason, seconds=seconds)

    def observe(
        self, *, actor: str = "application", reason: str = "", seconds: float | None = None
    ) -> None:
        """Count and report but reject nothing, over all workers; else as :meth:`open`."""
        self._find().force(Mode.OBSERVE, actor=actor, reason=reason, seconds=seconds)

    def close(self, *, actor: str = "application", reason: str = "") -> None:
        """Close the circuit, by the rules again and with nothing counted; else as :meth:`open`."""
        self._find().close(actor=actor, reason=reason)

    def reset(self, *, actor: str = "application", reason: str = "") -> None:
        """Forget all that is known, as if there had never been a call; else as :meth:`open`."""
        self._find().reset(actor=actor, reason=reason)

    def snapshot(self) -> dict[str, Any]:
        """Return what all workers know of the upstream, as JSON-ready values."""
        return self._find().snapshot()

    def _run(self, function: Callable[..., T], args: tuple[Any, ...], kwargs: dict[str, Any]) -> T:
        """Call *function*; its arguments come packed, for to pass them on costs as much as this."""
        breaker = self._find()
        view, started = breaker.circuit.view, breaker.circuit.monotonic()
        passes = started < view.passes_until
        permit = view.permit if passes else self._ask(breaker, view, started)
        try:
            if permit.trial is None:
                result = function(*args, **kwargs)
            else:
                with breaker.within(permit):
                    result = function(*args, **kwargs)
        except BaseException as error:
            duration = breaker.circuit.monotonic() - started
            breaker.record(permit, self._judge(error, function), duration)
            raise
        if result.__class__ in UNFINISHED or hasattr(result, "__await__"):
            breaker.release(permit)  # nothing has come of it yet, and perhaps never will
            return cast("T", self._finished_later(result))
        breaker.succeed(view, permit, started)
        return result

    def _ask(self, breaker: CircuitBreaker, view: View, now: float) -> Permit:
        if now < view.rejects_until and not trials.get():
            breaker.circuit.count_rejection()
            raise CircuitOpenError(breaker.upstream, view.retry_at - now, view.why_rejected)
        return breaker.admit(self._timeout)

    def _judge(self, error: BaseException, function: object = type) -> Verdict:
        if not isinstance(error, Exception) or isinstance(error, self._ignored):
            return RELEASED
        if not callable(function):
            return RELEASED  # a mistake of the caller, as in call(f(x)) for call(f, x)
        return Verdict(outcome=Outcome.FAILURE, failed=True, error_type=type(error).__name__)

    def _finished_later(self, result: Any) -> Any:
        if isinstance(result, (GeneratorType, AsyncGeneratorType)):
            raise TypeError(
                f"{result.__qualname__} is a generator, of which nothing has been done yet; guard "
                "what it calls, or use the breaker as a with block inside it."
            )
        return self._awaited(result)

    async def _awaited(self, waiting: Awaitable[Any]) -> Any:
        try:
            async with self:
                return await waiting
        finally:
            if isinstance(waiting, Coroutine):
                waiting.close()


def _leave(owner: Breaker) -> _Entered | None:
    """Take out the innermost block of *owner*, which generators may leave out of order."""
    inner: list[_Entered] = []
    entered = _entered.get()
    while entered is not None and entered.owner is not owner:
        inner.append(entered)
        entered = entered.around
    if entered is not None:
        around = entered.around
        for one in reversed(inner):
            around = one._replace(around=around)
        _entered.set(around)
    return entered
