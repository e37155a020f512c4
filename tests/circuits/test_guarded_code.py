"""A circuit breaker before any code: call, with and decorator, sync and async."""

from __future__ import annotations

import asyncio
import gc
import inspect
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from flask_resilience import CircuitOpenError
from flask_resilience.circuits.breaker import trials
from flask_resilience.circuits.guarded_code import Breaker, _entered
from flask_resilience.policies.circuit import State


class LedgerError(Exception):
    """What the guarded code raises."""


@pytest.fixture
def guard(breaker):
    """Return the guard under test, which opens at the second failure."""
    return Breaker(lambda: breaker, ignore=(KeyError,))


def give(value, *, error=None):
    """Return *value*, or raise *error*."""
    if error is not None:
        raise error
    return value


async def give_later(value, *, error=None):
    """Return *value*, or raise *error*, after a turn of the event loop."""
    await asyncio.sleep(0)
    return give(value, error=error)


def generator():
    """Yield nothing of use."""
    yield 1


async def async_generator():
    """Yield nothing of use."""
    yield 1


def by_call(guard, value, **options):
    """Run guarded code through ``call``."""
    return guard.call(give, value, **options)


def by_with(guard, value, **options):
    """Run guarded code in a ``with`` block."""
    with guard:
        return give(value, **options)


def by_decorator(guard, value, **options):
    """Run a decorated function."""
    return guard(give)(value, **options)


def by_async_call(guard, value, **options):
    """Await what ``call`` makes of a coroutine function."""

    async def run():
        return await guard.call(give_later, value, **options)

    return asyncio.run(run())


def by_async_with(guard, value, **options):
    """Run guarded code in an ``async with`` block."""

    async def run():
        async with guard:
            return await give_later(value, **options)

    return asyncio.run(run())


def by_async_decorator(guard, value, **options):
    """Await a decorated coroutine function."""
    return asyncio.run(guard(give_later)(value, **options))


WAYS = [
    pytest.param(way, id=way.__name__.replace("_", " "))
    for way in (by_call, by_with, by_decorator, by_async_call, by_async_with, by_async_decorator)
]


@pytest.mark.parametrize("way", WAYS)
def test_result_and_count_come_through(guard, way):
    """Guarded code returns what it returns, and is counted as a success."""
    assert way(guard, 5) == 5
    told = guard.snapshot()
    assert (told["calls"], told["failure_count"]) == (1, 0)


@pytest.mark.parametrize("way", WAYS)
def test_exceptions_come_through_and_open(guard, way):
    """Guarded code raises what it raises; two failures open, and the code is not run any more."""
    for _ in range(2):
        with pytest.raises(LedgerError, match="no"):
            way(guard, 5, error=LedgerError("no"))
    with pytest.raises(CircuitOpenError) as raised:
        way(guard, 5, error=LedgerError("no"))
    assert raised.value.last_failure == "LedgerError"
    assert guard.state == "open"
    assert guard.snapshot()["failure_count"] == 2


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "error",
    [
        pytest.param(KeyError("k"), id="told to ignore"),
        pytest.param(CircuitOpenError("other", 1.0, "503"), id="another guard's rejection"),
        pytest.param(SystemExit(3), id="the end of the process"),
        pytest.param(asyncio.CancelledError(), id="a cancelled task"),
    ],
)
def test_ignored_exception_hands_the_trial_back(guard, breaker, clock, way, error):
    """What says nothing of the upstream comes through, counts nothing and leaves room."""
    for _ in range(2):
        with pytest.raises(LedgerError):
            guard.call(give, 5, error=LedgerError())
    clock.advance(66)
    with pytest.raises(type(error)):
        way(guard, 5, error=error)
    assert breaker.state is State.HALF_OPEN
    assert way(guard, 5) == 5
    assert breaker.state is State.CLOSED


def test_blocks_may_be_nested_and_shared(guard, make_breaker):
    """Blocks of one guard and of others within each other each tell their own outcome."""
    shared = make_breaker("mail")
    other = Breaker(lambda: shared)
    with guard, other, guard, pytest.raises(LedgerError), other:
        raise LedgerError
    assert (guard.snapshot()["calls"], guard.snapshot()["failure_count"]) == (2, 0)
    assert (other.snapshot()["calls"], other.snapshot()["failure_count"]) == (2, 1)


def test_threads_in_blocks_do_not_mix(guard):
    """200 blocks over 8 threads, half of which fail alternately, are told one by one."""

    def run(number):
        try:
            with guard:
                give(number, error=KeyError() if number % 2 else None)
        except KeyError:
            return 0
        return 1

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(run, range(200))) == 100
    assert guard.snapshot()["calls"] == 100


def test_tasks_in_blocks_do_not_mix(guard, breaker, clock):
    """Of two tasks in blocks at once, the one that fails does not take the other's trial."""
    for _ in range(2):
        with pytest.raises(LedgerError):
            guard.call(give, 5, error=LedgerError())
    clock.advance(66)

    async def trial(turns):
        async with guard:
            for _ in range(turns):
                await asyncio.sleep(0)

    async def both():
        return await asyncio.gather(trial(5), trial(1), return_exceptions=True)

    first, second = asyncio.run(both())
    assert first is None
    assert isinstance(second, CircuitOpenError)
    assert breaker.state is State.CLOSED


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")
def test_task_that_never_ran_takes_no_trial(guard, breaker, clock):
    """Leave is asked for when a coroutine is awaited, not when it is made."""
    for _ in range(2):
        with pytest.raises(LedgerError):
            guard.call(give, 5, error=LedgerError())
    clock.advance(66)
    made = guard.call(give_later, 5)
    made.close()
    del made
    gc.collect()  # what Python says of a coroutine that never ran is expected here, and only here
    assert guard.call(give, 5) == 5
    assert breaker.state is State.CLOSED


def test_generators_leave_blocks_out_of_order(make_breaker):
    """Blocks of two guards that are left crosswise each tell their own outcome."""
    breakers = [make_breaker("a", failure_threshold=50), make_breaker("b", failure_threshold=50)]

    def work(guard, error):
        with guard:
            yield
            if error is not None:
                raise error

    for _ in range(10):
        first = work(Breaker(lambda: breakers[0]), LedgerError())
        second = work(Breaker(lambda: breakers[1]), None)
        next(first)
        next(second)
        with pytest.raises(LedgerError):
            next(first)
        assert list(second) == []
    counts = [(one.snapshot()["calls"], one.snapshot()["failure_count"]) for one in breakers]
    assert counts == [(10, 10), (10, 0)]
    assert _entered.get() is None


def test_future_is_judged_when_it_is_awaited(guard):
    """What is awaited is guarded, too, if it is no coroutine."""

    async def run():
        loop = asyncio.get_running_loop()
        return await guard.call(loop.run_in_executor, None, give, 5)

    async def fail():
        loop = asyncio.get_running_loop()
        raised = loop.create_future()
        raised.set_exception(LedgerError())
        await guard.call(lambda: raised)

    assert asyncio.run(run()) == 5
    with pytest.raises(LedgerError):
        asyncio.run(fail())
    assert (guard.snapshot()["calls"], guard.snapshot()["failure_count"]) == (2, 1)


@pytest.mark.parametrize("way", WAYS)
def test_guard_within_itself_is_one_trial(guard, breaker, clock, way):
    """Code that is guarded twice by one circuit passes in a trial, and closes it."""
    for _ in range(2):
        with pytest.raises(LedgerError):
            guard.call(give, 5, error=LedgerError())
    clock.advance(66)
    with guard:
        assert way(guard, 5) == 5
        assert breaker.state is State.HALF_OPEN
    assert breaker.state is State.CLOSED


def test_trial_opens_no_way_for_others(guard, clock):
    """Who is not within the trial is rejected while it is out."""
    for _ in range(2):
        with pytest.raises(LedgerError):
            guard.call(give, 5, error=LedgerError())
    clock.advance(66)
    with guard, ThreadPoolExecutor(1) as pool, pytest.raises(CircuitOpenError):
        pool.submit(guard.call, give, 5).result()


def test_trial_that_is_over_opens_no_way(guard, breaker, clock):
    """After a trial that failed, the same thread is rejected like any other."""
    for _ in range(2):
        with pytest.raises(LedgerError):
            guard.call(give, 5, error=LedgerError())
    clock.advance(66)
    with pytest.raises(LedgerError), guard:
        raise LedgerError
    assert trials.get() == ()
    with pytest.raises(CircuitOpenError):
        guard.call(give, 5)


@pytest.mark.parametrize("function", [generator, async_generator])
def test_generator_cannot_be_called_through_a_guard(guard, function):
    """A call that has done nothing yet is refused, and counts nothing."""
    with pytest.raises(TypeError, match="is a generator"):
        guard.call(function)
    assert guard.snapshot()["calls"] == 0


def test_result_given_for_a_function_is_no_failure_of_the_upstream(guard):
    """``call(f(x))`` for ``call(f, x)`` raises, and does not open the circuit."""
    for _ in range(5):
        with pytest.raises(TypeError, match="not callable"):
            guard.call(give(None))
    assert guard.snapshot()["failure_count"] == 0


def test_what_cannot_be_called_is_refused(guard):
    """A decorator in the wrong order is a mistake that is told when it is made."""
    with pytest.raises(TypeError, match="below @classmethod"):
        guard(classmethod(give))


def test_block_left_in_another_context_breaks_nothing(guard):
    """A block that is left where it was not entered ends quietly."""
    guard.__exit__(None, None, None)
    assert guard.call(give, 5) == 5


def test_slow_code_counts_as_slow(make_breaker, clock):
    """How long the code took is measured, to its end."""
    breaker = make_breaker(slow_call_duration=1.0, minimum_calls=1)
    guard = Breaker(lambda: breaker)
    guard.call(clock.advance, 0.5)
    assert guard.state == "closed"
    guard.call(clock.advance, 1.5)
    assert guard.snapshot()["slow_count"] == 1


def test_trial_lease_follows_the_timeout(breaker, clock):
    """A trial that is out longer than the timeout and a second counts as failed."""
    guard = Breaker(lambda: breaker, timeout=5)
    for _ in range(2):
        with pytest.raises(LedgerError):
            guard.call(give, 5, error=LedgerError())
    clock.advance(66)
    with guard:
        clock.advance(5.9)
        assert guard.state == "half_open"
        clock.advance(0.2)
        assert guard.state == "open"


def test_decorated_function_keeps_its_face(guard):
    """Name, documentation and kind of a decorated function stay."""
    assert guard(give).__name__ == "give"
    assert guard(give).__doc__ == give.__doc__
    assert inspect.iscoroutinefunction(guard(give_later))
    assert not inspect.iscoroutinefunction(guard(give))


@pytest.mark.parametrize("function", [generator, async_generator])
def test_generator_function_is_refused(guard, function):
    """What returns before it has done anything cannot be guarded, and the error says so."""
    with pytest.raises(TypeError, match=f"{function.__name__} is a generator function"):
        guard(function)


def test_people_decide_through_the_guard(guard):
    """Each decision leads to its state."""
    seen = []
    for decide in (guard.open, guard.disable, guard.observe, guard.open, guard.close, guard.reset):
        decide(actor="ana", reason="drill")
        seen.append(guard.state)
    assert seen == ["forced_open", "disabled", "closed", "forced_open", "closed", "closed"]
    assert {one["actor"] for one in guard.snapshot()["transitions"]} == {"ana"}


def test_no_lock_is_held_while_code_runs(guard):
    """Ten threads are in the guarded code at the same time."""
    together = threading.Barrier(10, timeout=20)
    with ThreadPoolExecutor(10) as pool:
        list(pool.map(lambda _: guard.call(together.wait), range(10)))
    assert guard.snapshot()["calls"] == 10
