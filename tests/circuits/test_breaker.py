"""A circuit breaker in use: leave for attempts, what they came to, what people decide."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from flask_resilience import CircuitOpenError, ConfigurationError
from flask_resilience.circuits.guarded_code import Breaker
from flask_resilience.policies.circuit import Mode, State
from flask_resilience.policies.outcome import RELEASED
from tests.circuits.attempts import (
    BAD,
    GOOD,
    LET_GO,
    NO_DNS,
    TOO_MANY,
    attempt,
    changes,
    rejected,
    trip,
)


def test_open_circuit_rejects_and_says_why(breaker, clock):
    """A rejection names the upstream, the time to wait and the last failure."""
    trip(breaker)
    clock.advance(10)
    with pytest.raises(CircuitOpenError) as raised:
        breaker.admit(15.0)
    assert raised.value.upstream == "billing"
    assert 50 <= raised.value.retry_after <= 56
    assert raised.value.last_failure == "503"
    assert breaker.rejects()


def test_each_transition_is_told_once(breaker, clock, events):
    """Opening, probing and closing each make one event, and nothing else does."""
    trip(breaker)
    clock.advance(66)
    attempt(breaker)
    attempt(breaker)
    told = [(one.from_state, one.to_state, one.reason, one.failures) for one in events]
    assert told == [
        ("closed", "open", "503", 2),
        ("open", "half_open", "recovery timeout over", 2),
        ("half_open", "closed", "trials succeeded", 2),
    ]
    assert 60 <= events[0].open_for <= 66
    assert {one.storage for one in events} == {"watched"}


def test_state_shows_that_time_has_passed(breaker, clock):
    """What is asked for is the state that a call would meet now."""
    trip(breaker)
    states = [breaker.state]
    clock.advance(66)
    assert [*states, breaker.state] == [State.OPEN, State.HALF_OPEN]


def test_too_many_requests_fails_a_trial_only(breaker, clock):
    """429 is a success while closed, and a failed trial while half open."""
    for _ in range(5):
        attempt(breaker, TOO_MANY)
    assert breaker.state is State.CLOSED
    trip(breaker)
    clock.advance(66)
    attempt(breaker, TOO_MANY)
    assert breaker.state is State.OPEN


def test_slow_calls_open(make_breaker):
    """Calls that take longer than they may open the circuit, though they succeed."""
    breaker = make_breaker(slow_call_duration=1.0, minimum_calls=4)
    for _ in range(3):
        attempt(breaker, duration=1.5)
    assert breaker.state is State.CLOSED
    attempt(breaker, duration=1.5)
    assert breaker.state is State.OPEN


def test_late_success_leaves_the_circuit_open(breaker):
    """A success that was let out before the circuit opened changes nothing."""
    early = breaker.admit(15.0)
    trip(breaker)
    breaker.record(early, GOOD)
    assert breaker.state is State.OPEN


@pytest.mark.parametrize(
    "verdict",
    [pytest.param(RELEASED, id="released"), pytest.param(LET_GO, id="let go by everybody")],
)
def test_ignored_trial_leaves_room(breaker, clock, verdict):
    """A trial that came to nothing is handed back: the next call is the next trial."""
    trip(breaker)
    clock.advance(66)
    breaker.record(breaker.admit(15.0), verdict)
    clock.advance(0.25)
    assert breaker.admit(15.0).trial == 2


def test_abandoned_attempt_does_no_work_where_it_is_told(breaker, clock, storage):
    """What a garbage collection tells is kept for the next call, without asking the storage."""
    trip(breaker)
    clock.advance(66)
    permit = breaker.admit(15.0)
    before = len(storage.operations)
    breaker.record(permit, LET_GO)
    assert len(storage.operations) == before


def test_one_trial_over_many_threads(breaker, clock):
    """When the recovery time is over, exactly one of 16 callers at once gets through."""
    trip(breaker)
    clock.advance(66)
    ready = threading.Barrier(16)

    def call(_):
        ready.wait()
        try:
            return breaker.admit(15.0)
        except CircuitOpenError:
            return None

    with ThreadPoolExecutor(16) as pool:
        permits = [one for one in pool.map(call, range(16)) if one]
    assert len(permits) == 1


def test_no_failure_is_lost_between_threads(make_breaker, events):
    """400 failures from 8 threads at once are counted as 400, and open the circuit once."""
    breaker = make_breaker(failure_threshold=400, minimum_calls=1000)
    permits = [breaker.admit(15.0) for _ in range(400)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda permit: breaker.record(permit, BAD), permits))
    assert [(one.to_state, one.failures) for one in events] == [("open", 400)]


class TestPeople:
    """What somebody decides holds for everybody."""

    def test_forced_open_rejects_and_says_who(self, make_breaker, clock, events):
        """Another process rejects too, and names who decided it and why."""
        one, other = make_breaker(), make_breaker()
        attempt(other)
        one.force(Mode.FORCED_OPEN, actor="ana", reason="migration", seconds=30)
        clock.advance(0.25)
        with pytest.raises(CircuitOpenError) as raised:
            other.admit(15.0)
        assert raised.value.last_failure == "forced open by ana: migration"
        assert raised.value.retry_after == pytest.approx(29.75)
        assert (events[-1].to_state, events[-1].actor) == ("forced_open", "ana")
        assert events[-1].reason == "forced_open: migration"
        clock.advance(30)
        assert not rejected(other)

    def test_disabled_lets_all_through_and_counts_nothing(self, breaker):
        """A disabled circuit never opens."""
        breaker.force(Mode.DISABLED, actor="ana", reason="")
        trip(breaker)
        assert breaker.state is State.DISABLED
        assert breaker.snapshot()["failure_count"] == 0

    def test_observed_circuit_opens_and_rejects_nobody(self, breaker, events):
        """Looking on, the circuit tells of its states and lets every call pass."""
        breaker.force(Mode.OBSERVE, actor="ana", reason="")
        trip(breaker)
        assert not rejected(breaker)
        assert changes(events) == [("closed", "closed"), ("closed", "open")]

    def test_closing_ends_an_open_circuit(self, breaker, events):
        """Somebody who knows better closes it at once, with nothing counted."""
        trip(breaker)
        breaker.close(actor="bob", reason="")
        assert not rejected(breaker)
        assert (events[-1].to_state, events[-1].actor) == ("closed", "bob")
        attempt(breaker, BAD)
        assert breaker.state is State.CLOSED

    def test_reset_forgets(self, breaker):
        """After a reset the snapshot shows nothing but the history, and the reset in it."""
        trip(breaker)
        breaker.reset(actor="bob", reason="new host")
        told = breaker.snapshot()
        assert (told["calls"], told["last_failure"], told["rejected_total"]) == (0, None, 0)
        assert [one["reason"] for one in told["transitions"]] == ["503", "new host"]

    def test_mode_of_the_settings_disables(self, make_breaker, storage):
        """A breaker disabled by its settings asks no storage, and nobody can open it."""
        breaker = make_breaker(mode="disabled")
        trip(breaker)
        assert breaker.state is State.DISABLED
        assert breaker.snapshot()["state"] == "disabled"
        assert storage.operations == []
        with pytest.raises(ConfigurationError, match="disabled by its settings"):
            breaker.force(Mode.FORCED_OPEN, actor="ana", reason="")

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            pytest.param("actor", None, id="nobody"),
            pytest.param("actor", "", id="no name"),
            pytest.param("actor", 7, id="a number"),
            pytest.param("reason", None, id="no reason"),
            pytest.param("reason", b"y", id="bytes"),
            pytest.param("reason", "a" * 256, id="a long one"),
            pytest.param("reason", "a\nb", id="two lines"),
        ],
    )
    def test_who_and_why_are_text(self, breaker, name, value):
        """Who decides and why must be text that every worker can read."""
        decision = {"actor": "ana", "reason": "drill", name: value}
        for decide in (breaker.close, breaker.reset):
            with pytest.raises(ConfigurationError, match=f"{name} is .*; it must be"):
                decide(**decision)
        with pytest.raises(ConfigurationError, match=f"{name} is .*; it must be"):
            breaker.force(Mode.FORCED_OPEN, **decision)
        assert breaker.state is State.CLOSED

    @pytest.mark.parametrize("seconds", [0, -1, float("nan"), "5"])
    def test_end_that_is_none_is_refused(self, breaker, seconds):
        """A wrong end is named, and changes nothing."""
        with pytest.raises(ConfigurationError, match="seconds is"):
            breaker.force(Mode.FORCED_OPEN, actor="ana", reason="", seconds=seconds)
        assert breaker.state is State.CLOSED


class TestHostFaults:
    """Faults of this host open the circuit here, and nowhere else."""

    def test_others_are_spared(self, make_breaker, events):
        """A host without DNS rejects its own calls; the shared circuit stays closed."""
        sick, healthy = make_breaker(), make_breaker()
        trip(sick, NO_DNS)
        assert sick.state is State.OPEN
        assert rejected(sick)
        assert not rejected(healthy)
        assert [(one.to_state, one.storage) for one in events] == [("open", "process")]

    def test_code_is_not_run_on_a_sick_host(self, make_breaker):
        """Guarded code meets the host's circuit, too, though the shared one is healthy."""
        breaker = make_breaker()
        attempt(breaker)
        trip(breaker, NO_DNS)
        with pytest.raises(CircuitOpenError) as raised:
            Breaker(lambda: breaker).call(pytest.fail, "the code was run")
        assert raised.value.last_failure == "gaierror"
        assert raised.value.retry_after >= 60

    def test_people_mean_every_process(self, make_breaker, clock):
        """What somebody decides holds on a sick host, too, which counts nothing meanwhile."""
        sick, other = make_breaker(), make_breaker()
        trip(sick, NO_DNS)
        other.force(Mode.DISABLED, actor="ana", reason="")
        clock.advance(1)
        assert not rejected(sick)
        assert sick.state is State.DISABLED
        trip(sick, NO_DNS)
        assert not rejected(sick)

    def test_host_recovers_by_a_trial(self, make_breaker, clock, events):
        """After the recovery time a trial that reaches the upstream closes it here."""
        breaker = make_breaker()
        trip(breaker, NO_DNS)
        clock.advance(66)
        assert not breaker.rejects()
        attempt(breaker)
        assert breaker.state is State.CLOSED
        assert [one.to_state for one in events] == ["open", "half_open", "closed"]

    def test_recovered_host_costs_nothing_more(self, make_breaker, clock):
        """Once the host is well, healthy calls pass unasked again."""
        breaker = make_breaker()
        trip(breaker, NO_DNS)
        clock.advance(66)
        attempt(breaker)
        assert breaker.circuit.view.passes_until > clock.monotonic()

    def test_fault_of_the_upstream_tells_that_it_was_reached(self, make_breaker, clock):
        """A 503 closes the host's circuit, for it was answered, and counts in the shared one."""
        breaker = make_breaker()
        trip(breaker, NO_DNS)
        clock.advance(66)
        attempt(breaker, BAD)
        assert breaker.state is State.CLOSED
        attempt(breaker, BAD)
        assert breaker.state is State.OPEN

    def test_rejection_by_the_shared_circuit_returns_the_hosts_trial(self, make_breaker, clock):
        """Who may try by the host's circuit but not by the shared one leaves room for the next."""
        breaker, other = make_breaker(), make_breaker()
        trip(breaker, NO_DNS)
        clock.advance(66)
        trip(other)
        assert rejected(breaker)
        clock.advance(66)
        assert not rejected(breaker)

    def test_host_and_shared_trials_are_both_handed_back(self, make_breaker, clock):
        """An ignored attempt returns the trial of either circuit."""
        breaker, other = make_breaker(), make_breaker()
        trip(other)
        trip(breaker, NO_DNS) if not rejected(breaker) else None
        clock.advance(66)
        breaker.release(breaker.admit(15.0))
        assert not rejected(breaker)

    def test_storage_that_nobody_shares_needs_no_second_circuit(self, make_breaker, storage):
        """In a process of its own a host's fault counts like any other."""
        storage.shared = False
        breaker = make_breaker()
        trip(breaker, NO_DNS)
        assert breaker.snapshot()["state"] == "open"


def test_snapshot_is_json_of_what_is_known(breaker, clock):
    """The snapshot names counts, times, settings and the last transitions."""
    attempt(breaker)
    trip(breaker)
    assert rejected(breaker)
    told = json.loads(json.dumps(breaker.snapshot()))
    assert (told["name"], told["state"], told["calls"], told["failure_count"]) == (
        "billing",
        "open",
        3,
        2,
    )
    assert told["open_until"] - told["since"] == pytest.approx(told["transitions"][0]["open_for"])
    assert (told["rejected_total"], told["last_failure"]) == (1, "503")
    assert told["last_failure_time"] == told["opened_at"] == clock.now
    assert told["config"]["failure_threshold"] == told["failure_threshold"] == 2
    assert told["transitions"][0]["to_state"] == "open"
