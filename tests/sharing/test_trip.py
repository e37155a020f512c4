"""Eight processes open one circuit together, and none of them is late to know."""

from __future__ import annotations

import pytest

from tests.sharing.fleet import ask_all, wait_until, wait_until_all_reject

PROCESSES = 8
MOST_FAILING_CALLS = 18
BY_RATE = {"breaker_failure_threshold": 10_000, "breaker_minimum_calls": 10}
BY_RUN = {"breaker_failure_threshold": 10}
DEFAULTS = {}
FIRST_FAILURE = {**BY_RATE, "breaker_failure_rate": 0.001, "breaker_recovery_timeout": 600}


@pytest.mark.parametrize(
    "settings",
    [pytest.param(BY_RATE, id="by the rate"), pytest.param(DEFAULTS, id="default settings")],
)
def test_ten_failing_calls_and_one_in_flight_for_each(fleet, place, upstream, settings):
    """An upstream that fails from the start sees at most 18 calls before all eight reject."""
    workers = fleet.start(PROCESSES, place, **settings)
    upstream.status = 503
    ask_all(workers, "begin", url=upstream.url)
    wait_until_all_reject(workers)
    ask_all(workers, "stop")
    assert 5 <= len(upstream.requests) <= MOST_FAILING_CALLS


@pytest.mark.parametrize(
    "settings",
    [pytest.param(BY_RUN, id="ten in a row"), pytest.param(DEFAULTS, id="default settings")],
)
def test_healthy_traffic_just_before_hides_no_failure(fleet, place, upstream, settings):
    """After many good calls of all eight, at most 18 fail before all eight reject."""
    workers = fleet.start(PROCESSES, place, **settings)
    ask_all(workers, "begin", url=upstream.url)
    wait_until(lambda: upstream.answers[200] >= 20 * PROCESSES)
    ask_all(workers, "stop")  # a success in flight would end the run, and rightly so
    upstream.status = 503
    ask_all(workers, "begin", url=upstream.url)
    wait_until_all_reject(workers)
    ask_all(workers, "stop")
    assert 5 <= upstream.answers[503] <= MOST_FAILING_CALLS


def test_good_calls_that_were_not_told_yet_count(fleet, place, upstream):
    """One good call of each of eight, then failures alone: at most 18 until half have failed."""
    workers = fleet.start(PROCESSES, place, **BY_RATE)
    assert ask_all(workers, "call", url=upstream.good) == [[200]] * PROCESSES
    upstream.status = 503
    ask_all(workers, "begin", url=upstream.url)
    wait_until_all_reject(workers)
    ask_all(workers, "stop")
    assert 5 <= upstream.answers[503] <= MOST_FAILING_CALLS


def test_process_that_sees_no_failure_rejects_within_half_a_second(fleet, place, upstream):
    """Seven processes with good calls alone reject 0.5 s after the eighth opened the circuit.

    The better of two rounds counts: a busy machine may be late by itself.
    """
    workers = fleet.start(PROCESSES, place, **FIRST_FAILURE)
    one, others = workers[0], workers[1:]
    ask_all(others, "begin", url=upstream.good)
    lateness = []
    for turn in range(1, 3):
        wait_until(lambda: one.ask("look", name=upstream.url)["calls"] >= 20)
        assert one.call(upstream.bad) == [503]
        tripped = next(at for at, *_, after, _ in one.ask("transitions")[-1:] if after == "open")
        lateness.append(max(wait_until_all_reject(others, since=tripped)) - tripped)
        one.ask("decide", name=upstream.url, decision="close", actor="test")
        assert upstream.answers[503] == turn
    ask_all(others, "stop")
    assert min(lateness) <= 0.5
