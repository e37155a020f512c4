"""Counters in memory: what a claim costs, how much a client weighs, and when it is forgotten."""

from __future__ import annotations

import gc
import sys
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_resilience.policies.quota import Claim, Quota, Strategy
from flask_resilience.storage.memory_counters import MemoryCounters
from flask_resilience.testing import FakeClock
from tests.servers import run_python

QUOTAS = (Quota(5, 10), Quota(100, 60))
WINDOW = 60
CLIENTS = 10_000
FORK = """
import os, threading, warnings
from flask_resilience.clock import SystemClock
from flask_resilience.policies.quota import Claim, Quota, Strategy
from flask_resilience.storage.memory_counters import MemoryCounters

inside, forked = threading.Event(), threading.Event()

class Slow(SystemClock):
    def monotonic(self):
        if threading.current_thread() is not threading.main_thread():
            inside.set()
            forked.wait(20)
        return super().monotonic()

counters = MemoryCounters(Slow())
claim = Claim(Strategy.MOVING_WINDOW, "a", (Quota(5, 3600),))
for _ in range(3):
    counters.take(claim)
thread = threading.Thread(target=counters.take, args=[claim])
thread.start()
inside.wait(20)
warnings.simplefilter("ignore")  # a fork beside a thread is what this is about
if os.fork() == 0:
    before = len(counters)
    os._exit(10 * before + counters.take(claim).standings[0].used)
print(os.waitstatus_to_exitcode(os.wait()[1]))
forked.set()
thread.join()
print(counters.take(claim).standings[0].used)
"""


@pytest.fixture(params=[pytest.param(one, id=one.value) for one in Strategy])
def strategy(request):
    """Return each strategy in turn."""
    return request.param


@pytest.fixture
def counters(clock):
    """Return counters that nobody used."""
    return MemoryCounters(clock)


def claim_of(strategy, client, quotas=QUOTAS):
    """Return one client's claim."""
    return Claim(strategy, f"client {client}", quotas)


def count_calls(function, *arguments):
    """Return how many functions are called, those written in C too."""
    calls = 0

    def note(frame, event, argument):
        nonlocal calls
        calls += event in ("call", "c_call")

    gc.disable()  # a collection may call what others have asked it to
    sys.setprofile(note)
    try:
        function(*arguments)
    finally:
        sys.setprofile(None)
        gc.enable()
    return calls


@pytest.mark.parametrize("quota", [1, 100])
def test_claim_costs_the_same_for_any_number_of_clients(strategy, clock, quota):
    """With 20,000 other clients a claim calls as many functions as with ten, granted or not."""
    counts = []
    for others in (10, 20_000):
        counters = MemoryCounters(clock)
        for number in range(others):
            counters.take(claim_of(strategy, number))
        claim = claim_of(strategy, "new", (Quota(quota, 10), Quota(100, WINDOW)))
        counters.take(claim)
        counts.append(count_calls(counters.take, claim))
    assert counts[0] == counts[1] > 0


def test_forgetting_costs_the_same_for_any_number_of_clients(strategy, clock):
    """The claim at which thousands are forgotten calls no more functions than any other."""
    counts = []
    for others in (10, 20_000):
        counters = MemoryCounters(clock)
        for number in range(others):
            counters.take(claim_of(strategy, number))
        for _ in range(2):
            clock.advance(2 * WINDOW)
            counts.append(count_calls(counters.take, claim_of(strategy, "new")))
        assert len(counters) == 1
    assert counts[:2] == counts[2:]


@given(
    strategy=st.sampled_from(list(Strategy)),
    pauses=st.lists(st.sampled_from([0.5, 7.0, 59.0, 60.0, 119.0, 120.0, 200.0, 241.0])),
)
def test_client_is_kept_for_two_windows_and_not_for_more_than_four(strategy, pauses):
    """Whoever else comes when, a client is held for two windows, and after four it is gone."""
    clock = FakeClock()
    counters = MemoryCounters(clock)
    came = {}
    for number, pause in enumerate([0.0, *pauses]):
        clock.advance(pause)
        counters.take(claim_of(strategy, number))
        came[number] = clock.now
        ages = [clock.now - at for at in came.values()]
        assert sum(age < 2 * WINDOW for age in ages) <= len(counters)
        assert len(counters) <= sum(age < 4 * WINDOW for age in ages)


def test_window_before_is_remembered_to_its_end(counters, clock):
    """A sliding window still counts a client whom nobody else counted for as long as it may."""
    quotas = (Quota(100, WINDOW),)
    claim = Claim(Strategy.SLIDING_WINDOW_COUNTER, "a", quotas, cost=60)
    clock.advance(2 * WINDOW - 0.25)
    counters.take(claim)
    clock.advance(WINDOW + 6)
    assert counters.look(claim).standings[0].used == 53


def test_unused_counters_hold_nothing(counters, strategy):
    """Who only looks, is refused, is cleared or gives back what is gone leaves nothing behind."""
    claim = claim_of(strategy, "a")
    counters.look(claim)
    counters.take(claim._replace(cost=6))
    counters.give_back(claim, 0.0)
    counters.clear("client a")
    assert len(counters) == 0


@pytest.mark.parametrize("forget", ["clear", "reset"])
def test_forgotten_is_gone_at_once(counters, clock, strategy, forget):
    """What is cleared or reset is held no longer, in whichever shelf it lay."""
    for quotas in (QUOTAS, (Quota(5, 1),)):
        counters.take(claim_of(strategy, "a", quotas))
    clock.advance(2 * WINDOW)
    counters.take(claim_of(strategy, "a"))
    counters.clear("client a") if forget == "clear" else counters.reset()
    assert len(counters) == 0


def test_client_weighs_less_than_half_a_kilobyte(strategy, clock):
    """Ten thousand clients with two quotas take up five megabytes at most."""
    counters = MemoryCounters(clock)
    gc.collect()
    tracemalloc.start()
    try:
        for number in range(CLIENTS):
            clock.advance(1 / 1024)
            counters.take(claim_of(strategy, number))
        gc.collect()
        weight = tracemalloc.get_traced_memory()[0] / CLIENTS
    finally:
        tracemalloc.stop()
    assert len(counters) == CLIENTS
    assert 0 < weight <= 500


def test_time_looks_like_the_wall_clocks(clock, strategy):
    """The time begins as the wall clock's and goes on as the monotonic one's."""
    clock.wall = lambda: 1_700_000_000.0
    counters = MemoryCounters(clock)
    clock.wall = lambda: 0.0
    clock.advance(3)
    assert counters.take(claim_of(strategy, "a")).at == 1_700_000_003.0


def test_forked_process_begins_with_none():
    """A fork counts from nothing, whatever lock a thread held, and the parent goes on."""
    assert run_python(FORK, timeout=30) == "1\n5\n"
