"""Half open over many processes: one trial at once, whatever becomes of who makes it."""

from __future__ import annotations

import os
import signal
import time

import pytest

from flask_resilience.circuits.shared_circuit import SYNC_SECONDS
from tests.sharing.fleet import ask_all, wait_until

RECOVERY = 0.3
LONGEST_RECOVERY = 1.1 * RECOVERY
LEASE = 0.2 + 1.0
SETTINGS = {
    "breaker_failure_threshold": 2,
    "breaker_recovery_timeout": RECOVERY,
    "connect_timeout": 0.2,
    "timeout": 0.2,
}
PATIENT = {**SETTINGS, "timeout": 20}
NO_PROXY = {"http": "http:///"}
"""Which requests refuses as an ``InvalidURL``, in the middle of an attempt."""


def open_and_recover(worker, upstream):
    """Open the circuit, and let its recovery time pass."""
    assert worker.call(upstream.bad, 3) == [503, 503, "rejected"]
    time.sleep(LONGEST_RECOVERY + 0.02)


def outcomes(workers):
    """Return what the traffic of all came to."""
    return [outcome for one in ask_all(workers, "told") for _, outcome in one]


def changes(workers):
    """Return the transitions that all told of, in their order."""
    found = [one for some in ask_all(workers, "transitions") for one in some]
    return [tuple(states) for _, *states, _ in sorted(found)]


def test_one_of_24_calls_of_eight_processes_is_the_trial(fleet, place, upstream):
    """Recovered, 8 processes call 3 times at once: one call is made, 23 are rejected meanwhile."""
    workers = fleet.start(8, place, **PATIENT)
    open_and_recover(workers[0], upstream)
    upstream.hold()
    ask_all(workers, "begin", url=upstream.good, threads=3, times=1)
    wait_until(lambda: len(outcomes(workers)) == 23)
    wait_until(lambda: upstream.answers[200])
    assert (set(outcomes(workers)), upstream.answers[200]) == ({"rejected"}, 1)
    upstream.let_go()
    wait_until(lambda: 200 in outcomes(workers))
    wait_until(lambda: ask_all(workers, "call", url=upstream.good) == [[200]] * 8)
    assert changes(workers)[-2:] == [("open", "half_open"), ("half_open", "closed")]


def test_failed_trial_lets_nobody_through(fleet, place, upstream):
    """A trial that fails opens the circuit again, for all: nothing more reaches the upstream."""
    workers = fleet.start(4, place, **PATIENT, breaker_recovery_multiplier=100)
    open_and_recover(workers[0], upstream)
    assert workers[1].call(upstream.bad) == [503]
    assert ask_all(workers, "call", url=upstream.good, times=3) == [["rejected"] * 3] * 4
    assert changes(workers)[-2:] == [("open", "half_open"), ("half_open", "open")]


def test_trial_of_a_killed_process_is_made_again(fleet, place, upstream):
    """A trial lost with its process is followed by another within its lease and one recovery.

    By the times in the circuit; what traffic adds, which comes every few milliseconds, is half a
    second on a busy machine.
    """
    workers = fleet.start(4, place, **SETTINGS)
    open_and_recover(workers[0], upstream)
    upstream.hold()
    lost, *others = workers
    lost.send("call", url=upstream.good)
    wait_until(lambda: upstream.answers[200])
    lost.kill()
    ask_all(others, "begin", url=upstream.good)
    wait_until(lambda: upstream.answers[200] == 2)
    upstream.let_go()
    circuit = others[0].ask("look", name=upstream.url)
    first, expired, second = [one["at"] for one in circuit["transitions"][1:4]]
    assert circuit["transitions"][2]["reason"] == "trial lease expired"
    assert expired - first == pytest.approx(LEASE, abs=0.25)
    assert second - first <= LEASE + LONGEST_RECOVERY + 0.5
    wait_until(lambda: others[0].ask("look", name=upstream.url)["state"] == "closed")
    wait_until(lambda: all(one.ask("told")[-1][1] == 200 for one in others))
    ask_all(others, "stop")
    assert changes(others)[-1] == ("half_open", "closed")


@pytest.mark.parametrize("pause", [0, 2 * SYNC_SECONDS], ids=["told later", "told at once"])
def test_slow_success_from_before_leaves_the_circuit_open(fleet, place, upstream, pause):
    """A call let through before the circuit opened may succeed afterwards; it stays open."""
    slow, other = fleet.start(2, place, **{**PATIENT, "breaker_recovery_timeout": 600})
    upstream.hold()
    slow.send("call", url=upstream.good)
    wait_until(lambda: upstream.answers[200])
    assert other.call(upstream.bad, 3) == [503, 503, "rejected"]
    time.sleep(pause)
    upstream.let_go()
    assert slow.receive() == [200]
    wait_until(lambda: slow.call(upstream.good) == ["rejected"])
    assert other.call(upstream.good) == ["rejected"]
    assert changes([slow, other]) == [("closed", "open")]


def test_trial_with_an_invalid_url_is_handed_back(fleet, place, upstream):
    """A trial that never went out, by the caller's mistake, is another process's at once."""
    one, other = fleet.start(2, place, **PATIENT)
    open_and_recover(one, upstream)
    assert one.call(upstream.good, proxies=NO_PROXY) == ["InvalidProxyURL"]
    assert other.call(upstream.good) == [200]
    assert upstream.answers[200] == 1


def test_trial_ended_by_sigterm_is_handed_back(fleet, place, upstream):
    """``SystemExit`` in the middle of a trial comes out as itself; the next process may try."""
    one, other = fleet.start(2, place, **PATIENT)
    one.ask("obey_sigterm")
    open_and_recover(one, upstream)
    upstream.hold()
    one.send("call", url=upstream.good)
    wait_until(lambda: upstream.answers[200])
    os.kill(one.pid, signal.SIGTERM)
    assert one.receive() == ["SystemExit"]
    upstream.let_go()
    assert other.call(upstream.good) == [200]
    assert changes([one, other])[-1] == ("half_open", "closed")
