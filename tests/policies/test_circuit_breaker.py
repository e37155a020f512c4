"""The rule book of the circuit: each step, and what holds over any steps."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_resilience import CircuitBreakerPolicy, ConfigurationError
from flask_resilience.policies.circuit_breaker import Circuit, Permit, State, Trial
from flask_resilience.policies.outcome import Outcome

SUCCESS, FAILURE, IGNORED = Outcome.SUCCESS, Outcome.FAILURE, Outcome.IGNORED
POLICY = CircuitBreakerPolicy(failure_threshold=2, recovery_timeout=60, success_threshold=2)
NOW = 1000.0
CLOSED = Circuit()
ONE_FAILURE = Circuit(failures=1, last_failure="503")
OPEN = Circuit(
    state=State.OPEN, generation=1, failures=2, since=900.0, open_until=960.0, last_failure="503"
)
OPEN_STILL = replace(OPEN, open_until=NOW + 1)
HALF_OPEN = Circuit(
    state=State.HALF_OPEN,
    generation=2,
    failures=2,
    since=970.0,
    open_until=960.0,
    trials=(Trial(1, NOW + 10),),
    trials_started=1,
    last_failure="503",
)
LATE = Permit(generation=0)
TRIAL = Permit(generation=2, trial=1)


@pytest.mark.parametrize(
    ("before", "permit", "outcome", "state", "failures"),
    [
        pytest.param(CLOSED, LATE, FAILURE, State.CLOSED, 1, id="one failure counts"),
        pytest.param(ONE_FAILURE, LATE, FAILURE, State.OPEN, 2, id="threshold opens"),
        pytest.param(ONE_FAILURE, LATE, SUCCESS, State.CLOSED, 0, id="success starts anew"),
        pytest.param(ONE_FAILURE, LATE, IGNORED, State.CLOSED, 1, id="ignored changes nothing"),
        pytest.param(OPEN_STILL, LATE, SUCCESS, State.OPEN, 2, id="late success stays open"),
        pytest.param(OPEN_STILL, LATE, FAILURE, State.OPEN, 2, id="late failure counts no more"),
        pytest.param(HALF_OPEN, TRIAL, FAILURE, State.OPEN, 2, id="failed trial reopens"),
        pytest.param(HALF_OPEN, TRIAL, SUCCESS, State.HALF_OPEN, 2, id="first of two successes"),
        pytest.param(
            replace(HALF_OPEN, successes=1), TRIAL, SUCCESS, State.CLOSED, 0, id="second closes"
        ),
        pytest.param(HALF_OPEN, TRIAL, IGNORED, State.HALF_OPEN, 2, id="ignored trial returns"),
        pytest.param(HALF_OPEN, LATE, FAILURE, State.HALF_OPEN, 2, id="old failure in half open"),
    ],
)
def test_outcome_leads_to_one_circuit(before, permit, outcome, state, failures):
    """Each outcome leads to exactly one next state and count."""
    after = POLICY.record(before, permit, outcome, NOW, "503")
    assert (after.state, after.failures) == (state, failures)


@pytest.mark.parametrize("outcome", [SUCCESS, IGNORED])
def test_finished_trial_makes_room(outcome):
    """A trial that did not fail is handed back, so that another one may go."""
    after = POLICY.record(HALF_OPEN, TRIAL, outcome, NOW)
    assert after.trials == ()
    assert POLICY.admit(after, NOW, 5.0)[1] == Permit(2, 2)


@pytest.mark.parametrize(
    ("before", "state", "permit"),
    [
        pytest.param(CLOSED, State.CLOSED, Permit(0), id="closed admits"),
        pytest.param(OPEN_STILL, State.OPEN, None, id="open rejects"),
        pytest.param(OPEN, State.HALF_OPEN, Permit(2, 1), id="recovered admits a trial"),
        pytest.param(HALF_OPEN, State.HALF_OPEN, None, id="a trial is out"),
    ],
)
def test_admission(before, state, permit):
    """Each state admits exactly what it should."""
    after, given_permit = POLICY.admit(before, NOW, 5.0)
    assert (after.state, given_permit) == (state, permit)


def test_rejection_prolongs_no_lease():
    """A call that is turned away leaves the trial that is out as it was."""
    assert POLICY.admit(HALF_OPEN, NOW, 500.0)[0] == HALF_OPEN


def test_trial_of_a_killed_worker_counts_as_failed():
    """A lease that ends without an outcome reopens the circuit for one recovery time."""
    after = POLICY.tick(HALF_OPEN, NOW + 10)
    assert after.state is State.OPEN
    assert after.open_until == NOW + 10 + 60
    assert after.last_failure == "trial lease expired"


def test_every_transition_raises_the_generation():
    """Outcomes of an earlier generation can be told from those of the present one."""
    opened = POLICY.record(ONE_FAILURE, LATE, FAILURE, NOW, "503")
    probing, permit = POLICY.admit(opened, NOW + 60, 5.0)
    closed = POLICY.record(replace(probing, successes=1), permit, SUCCESS, NOW + 61)
    assert [one.generation for one in (opened, probing, closed)] == [1, 2, 3]
    assert closed == Circuit(
        generation=3, since=NOW + 61, open_until=NOW + 60, failures=0, last_failure=""
    )


@pytest.mark.parametrize(
    ("circuit", "seconds"),
    [
        pytest.param(OPEN_STILL, 1.0, id="open: until it recovers"),
        pytest.param(HALF_OPEN, 10.0, id="half open: until the trial's lease ends"),
        pytest.param(OPEN, 0.0, id="over: no time"),
    ],
)
def test_retry_after(circuit, seconds):
    """A rejected call learns when it is worth coming back."""
    assert POLICY.retry_after(circuit, NOW) == seconds


@pytest.mark.parametrize(
    ("field", "value"),
    [
        pytest.param("failure_threshold", 0, id="no failures"),
        pytest.param("failure_threshold", 2.5, id="half a failure"),
        pytest.param("failure_threshold", True, id="a bool"),
        pytest.param("recovery_timeout", 0, id="no time"),
        pytest.param("recovery_timeout", float("nan"), id="not a number"),
        pytest.param("success_threshold", 0, id="no successes"),
        pytest.param("trials", "1", id="text"),
    ],
)
def test_value_out_of_range_is_named(field, value):
    """A wrong value raises an error that names field, value and range."""
    with pytest.raises(ConfigurationError, match=f"CircuitBreakerPolicy.{field} is .*; it must be"):
        CircuitBreakerPolicy(**{field: value})


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("admit"), st.floats(0, 40)),
        st.tuples(st.sampled_from([SUCCESS, FAILURE, IGNORED]), st.integers(0, 5)),
        st.tuples(st.just("wait"), st.floats(0, 90)),
    ),
    max_size=60,
)


@given(steps=STEPS, trials=st.integers(1, 3), successes=st.integers(1, 3))
def test_invariants_hold_over_any_steps(steps, trials, successes):
    """Never too many trials, never closed to half open, no negative count, no lost generation."""
    policy = CircuitBreakerPolicy(
        failure_threshold=3, recovery_timeout=60, trials=trials, success_threshold=successes
    )
    circuit, now, permits = Circuit(), 0.0, []
    for kind, number in steps:
        before = circuit
        if kind == "wait":
            now += number
        elif kind == "admit":
            circuit, permit = policy.admit(circuit, now, number)
            permits += [permit] if permit else []
        elif permits:
            circuit = policy.record(circuit, permits.pop(number % len(permits)), kind, now)
        alive = [trial for trial in circuit.trials if trial.expires_at > now]
        assert len(alive) <= trials
        assert (before.state, circuit.state) != (State.CLOSED, State.HALF_OPEN)
        assert circuit.failures >= 0
        assert circuit.successes < successes
        assert circuit.generation >= before.generation
        assert circuit.state is before.state or circuit.generation > before.generation
        assert circuit.trials == () or circuit.state is State.HALF_OPEN


def test_lease_that_ended_long_ago_costs_nothing_more():
    """A killed worker's trial fails when its lease ends, whenever somebody looks at it next."""
    long_after = POLICY.tick(HALF_OPEN, NOW + 3600)
    step_by_step = POLICY.tick(POLICY.tick(HALF_OPEN, NOW + 10), NOW + 3600)
    assert long_after.state is step_by_step.state is State.HALF_OPEN
    assert POLICY.admit(HALF_OPEN, NOW + 3600, 5.0)[1] is not None
