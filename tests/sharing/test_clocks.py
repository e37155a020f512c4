"""A worker whose wall clock is wrong keeps the circuit's time all the same."""

from __future__ import annotations

import pytest

from tests.sharing.fleet import ask_all, wait_until

HOUR = 3600.0
SETTINGS = {"breaker_failure_threshold": 2, "breaker_recovery_timeout": 0.5}
NEAR = 0.25
"""Seconds by which two moments differ on a machine that is busy; an hour is what is looked for."""


@pytest.fixture
def make_workers(fleet, place):
    """Return what starts a worker whose wall clock is off from the beginning, and a right one.

    The right one has used the storage: in SQLite the first to do so says what time it is.
    """

    def make(seconds):
        (right,) = fleet.start(1, place, **SETTINGS)
        right.ask("look", name="another")
        return fleet.start_with_clock_off(seconds, place, **SETTINGS), right

    return make


@pytest.mark.parametrize(
    ("seconds", "wrong_is_first"),
    [
        pytest.param(HOUR, True, id="opened by one an hour ahead"),
        pytest.param(-HOUR, False, id="opened by the right one, other an hour behind"),
    ],
)
def test_circuit_opens_and_closes_at_the_same_moments(
    make_workers, upstream, seconds, wrong_is_first
):
    """Either opens it: both reject, both see it half open at one time, and it closes for both."""
    workers = make_workers(seconds)
    first, second = workers if wrong_is_first else reversed(workers)
    assert first.call(upstream.bad, 3) == [503, 503, "rejected"]
    assert second.call(upstream.good) == ["rejected"]
    changed = ask_all(workers, "change_of", name=upstream.url, state="open", seconds=10)
    assert changed[0] == pytest.approx(changed[1], abs=NEAR)
    assert second.call(upstream.good) == [200]
    wait_until(lambda: first.call(upstream.good) == [200])
    looks = ask_all(workers, "look", name=upstream.url)
    assert [one["state"] for one in looks] == ["closed", "closed"]
    assert looks[0]["transitions"] == looks[1]["transitions"]


def test_decision_of_a_worker_that_did_nothing_before_ends_in_time(make_workers):
    """What a worker with a wrong clock decides for half a second, first of all, ends then."""
    wrong, right = make_workers(HOUR)
    wrong.ask("decide", name="ledger", decision="open", seconds=0.5)
    begun = wrong.ask("transitions")[0][0]
    changed = ask_all([wrong, right], "change_of", name="ledger", state="forced_open", seconds=5)
    assert [one - begun for one in changed] == [pytest.approx(0.5, abs=NEAR)] * 2
