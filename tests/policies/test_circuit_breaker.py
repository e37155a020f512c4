"""The rule book of the circuit: each step, and what holds over any steps."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_resilience import CircuitBreakerPolicy, ConfigurationError
from flask_resilience.policies.circuit import (
    Circuit,
    Control,
    Evidence,
    Mode,
    Permit,
    State,
    Tally,
    Trial,
)
from flask_resilience.policies.outcome import Outcome
from flask_resilience.policies.retention import time_to_live
from flask_resilience.policies.window import Bucket, Window

GOOD, BAD = Evidence(Outcome.SUCCESS), Evidence(Outcome.FAILURE, "503")
SLOW, IGNORED = Evidence(Outcome.SUCCESS, slow=True), Evidence(Outcome.IGNORED)
POLICY = CircuitBreakerPolicy(failure_threshold=2, recovery_timeout=60, success_threshold=2)
NOW = 1000.0
CLOSED = Circuit()
ONE_FAILURE = Circuit(failures=1, last_failure="503")
OPEN = Circuit(state=State.OPEN, generation=1, since=900.0, open_until=960.0, last_failure="503")
OPEN_STILL = replace(OPEN, open_until=NOW + 1)
HALF_OPEN = Circuit(
    state=State.HALF_OPEN,
    generation=2,
    since=970.0,
    open_until=960.0,
    trials=(Trial(1, NOW + 10),),
    trials_started=1,
    last_failure="503",
)
LATE = Permit(generation=0)
TRIAL = Permit(generation=2, trial=1)


def forced(mode, until=None, circuit=CLOSED):
    """Return a circuit as somebody decided it to be at ``NOW``."""
    return POLICY.force(circuit, Control(mode, "ana", "drill", until), NOW)


def recorded(policy, circuit, *evidence, now=NOW):
    """Return the circuit after one attempt for each piece of evidence."""
    for one in evidence:
        circuit, permit = policy.admit(circuit, now, 5.0)
        circuit = policy.record(circuit, permit, one, now)
        if circuit.state is State.OPEN:
            break
    return circuit


@pytest.mark.parametrize(
    ("before", "permit", "evidence", "state", "failures"),
    [
        pytest.param(CLOSED, LATE, BAD, State.CLOSED, 1, id="one failure counts"),
        pytest.param(ONE_FAILURE, LATE, BAD, State.OPEN, 2, id="threshold opens"),
        pytest.param(ONE_FAILURE, LATE, GOOD, State.CLOSED, 0, id="success starts anew"),
        pytest.param(ONE_FAILURE, LATE, IGNORED, State.CLOSED, 1, id="ignored changes nothing"),
        pytest.param(OPEN_STILL, LATE, GOOD, State.OPEN, 0, id="late success stays open"),
        pytest.param(OPEN_STILL, LATE, BAD, State.OPEN, 0, id="late failure counts no more"),
        pytest.param(HALF_OPEN, TRIAL, BAD, State.OPEN, 0, id="failed trial reopens"),
        pytest.param(HALF_OPEN, TRIAL, SLOW, State.OPEN, 0, id="slow trial reopens"),
        pytest.param(HALF_OPEN, TRIAL, GOOD, State.HALF_OPEN, 0, id="first of two successes"),
        pytest.param(
            replace(HALF_OPEN, successes=1), TRIAL, GOOD, State.CLOSED, 0, id="second closes"
        ),
        pytest.param(HALF_OPEN, TRIAL, IGNORED, State.HALF_OPEN, 0, id="ignored trial returns"),
        pytest.param(HALF_OPEN, LATE, BAD, State.HALF_OPEN, 0, id="old failure in half open"),
        pytest.param(
            HALF_OPEN, Permit(2), BAD, State.HALF_OPEN, 0, id="failure of no trial in half open"
        ),
        pytest.param(
            forced(Mode.DISABLED), Permit(1), BAD, State.DISABLED, 0, id="disabled counts nothing"
        ),
        pytest.param(
            forced(Mode.FORCED_OPEN), LATE, GOOD, State.FORCED_OPEN, 0, id="forced open stays"
        ),
    ],
)
def test_outcome_leads_to_one_circuit(before, permit, evidence, state, failures):
    """Each outcome leads to exactly one next state and count."""
    after = POLICY.record(before, permit, evidence, NOW)
    assert (after.state, after.failures) == (state, failures)


@pytest.mark.parametrize("evidence", [GOOD, IGNORED])
def test_finished_trial_makes_room(evidence):
    """A trial that did not fail is handed back, so that another one may go."""
    after = POLICY.record(HALF_OPEN, TRIAL, evidence, NOW)
    assert after.trials == ()
    assert POLICY.admit(after, NOW, 5.0)[1] == Permit(2, 2)


@pytest.mark.parametrize(
    ("before", "state", "permit"),
    [
        pytest.param(CLOSED, State.CLOSED, Permit(0), id="closed admits"),
        pytest.param(OPEN_STILL, State.OPEN, None, id="open rejects"),
        pytest.param(OPEN, State.HALF_OPEN, Permit(2, 1), id="recovered admits a trial"),
        pytest.param(HALF_OPEN, State.HALF_OPEN, None, id="a trial is out"),
        pytest.param(forced(Mode.FORCED_OPEN), State.FORCED_OPEN, None, id="forced open rejects"),
        pytest.param(forced(Mode.DISABLED), State.DISABLED, Permit(1), id="disabled admits"),
        pytest.param(
            replace(OPEN_STILL, control=Control(Mode.OBSERVE, "ana", "")),
            State.OPEN,
            Permit(1),
            id="observed open admits",
        ),
        pytest.param(
            replace(HALF_OPEN, control=Control(Mode.OBSERVE, "ana", "")),
            State.HALF_OPEN,
            Permit(2),
            id="observed half open admits beside the trial",
        ),
    ],
)
def test_admission(before, state, permit):
    """Each state admits exactly what it should."""
    after, given_permit = POLICY.admit(before, NOW, 5.0)
    assert (after.state, given_permit) == (state, permit)


def test_rejection_prolongs_no_lease():
    """A call that is turned away leaves the trial that is out as it was."""
    assert POLICY.admit(HALF_OPEN, NOW, 500.0)[0] == HALF_OPEN


RATES = CircuitBreakerPolicy(
    failure_threshold=100, failure_rate=0.5, minimum_calls=10, window=60, slow_call_duration=2,
    slow_call_rate=0.8,
)  # fmt: skip


@pytest.mark.parametrize(
    ("evidence", "opens_at"),
    [
        pytest.param([BAD] * 20, 10, id="all fail: at the minimum"),
        pytest.param([BAD] * 5 + [GOOD] * 15, 10, id="half fail: a success may complete it"),
        pytest.param([GOOD] * 10 + [BAD] * 20, 20, id="later failures reach the share"),
        pytest.param([GOOD, GOOD, BAD] * 7, None, id="a third fails: never"),
        pytest.param([SLOW] * 20, 10, id="all slow"),
        pytest.param([SLOW, SLOW, GOOD] * 7, None, id="two thirds slow: never"),
        pytest.param([Evidence(Outcome.FAILURE, "x", slow=True), GOOD] * 6, 10, id="slow failures"),
    ],
)
def test_share_opens(evidence, opens_at):
    """The circuit opens when the window holds the minimum and the share of it is reached."""
    circuit, opened = CLOSED, None
    for number, one in enumerate(evidence, 1):
        circuit = RATES.record(circuit, Permit(0), one, NOW)
        if circuit.state is State.OPEN:
            opened = number
            break
    assert opened == opens_at


def test_share_forgets_what_left_the_window():
    """Failures of more than a window ago are no part of the share."""
    circuit = recorded(RATES, CLOSED, *[BAD] * 9, now=NOW)
    assert recorded(RATES, circuit, BAD, now=NOW + 61).state is State.CLOSED
    assert recorded(RATES, circuit, BAD, now=NOW + 50).state is State.OPEN


@pytest.mark.parametrize(("before", "after"), [(60, 30), (30, 60), (60, 7), (7, 60)])
def test_window_may_be_changed_on_a_living_circuit(before, after):
    """Another length of the window, as after a deployment, neither freezes nor loses the share."""
    old = replace(RATES, window=before)
    new = replace(RATES, window=after)
    circuit = recorded(old, CLOSED, *[BAD] * 4)
    circuit = recorded(new, circuit, *[GOOD] * 6, now=NOW + 1)
    assert (new.recent(circuit, NOW + 1).calls, circuit.state) == (10, State.CLOSED)
    later = NOW + after + 1
    assert recorded(new, circuit, *[BAD] * 10, now=later).state is State.OPEN


def test_clock_that_was_set_back_does_not_freeze_the_window():
    """What a storage's clock that ran ahead left behind is dropped when it is right again."""
    circuit = recorded(RATES, CLOSED, *[GOOD] * 500, now=NOW + 3600)
    assert recorded(RATES, circuit, *[BAD] * 10).state is State.OPEN


def test_reason_says_which_rule_opened():
    """A run names its last failure, a share itself."""
    reasons = [
        recorded(POLICY, CLOSED, BAD, BAD).transitions[-1].reason,
        recorded(RATES, CLOSED, *[BAD] * 10).transitions[-1].reason,
        recorded(RATES, CLOSED, *[SLOW] * 10).transitions[-1].reason,
    ]
    assert reasons == ["503", "failure rate", "slow calls"]


def test_transition_remembers_the_counts():
    """What the window held is told with the transition."""
    told = recorded(RATES, CLOSED, *[GOOD] * 4, *[BAD] * 6).transitions[-1]
    assert (told.calls, told.failures, told.failure_rate, told.slow_rate) == (10, 6, 0.6, 0.0)
    assert (told.from_state, told.to_state, told.at) == (State.CLOSED, State.OPEN, NOW)


def test_gathered_successes_count_when_they_were_gathered():
    """A tally goes into the bucket of the time at which gathering began, and ends the run."""
    circuit = replace(ONE_FAILURE, window=Window((Bucket(960.0, failures=1),)))
    after = RATES.absorb(circuit, Tally(0, NOW - 6, NOW, successes=4, rejected=2), NOW)
    assert after.window == Window((Bucket(960.0, failures=1), Bucket(990.0, successes=4)))
    assert (after.failures, after.rejected) == (0, 2)


def test_successes_from_before_a_failure_do_not_end_its_run():
    """What was gathered before others failed, but is told after, leaves their run as it is."""
    circuit = replace(ONE_FAILURE, last_failure_at=NOW)
    assert RATES.absorb(circuit, Tally(0, NOW - 1, NOW - 0.1, successes=4), NOW).failures == 1
    assert RATES.absorb(circuit, Tally(0, NOW - 1, NOW + 0.1, successes=4), NOW).failures == 0


@pytest.mark.parametrize(
    ("circuit", "generation"),
    [
        pytest.param(replace(CLOSED, generation=2), 0, id="of an older generation"),
        pytest.param(OPEN_STILL, 1, id="while open"),
        pytest.param(HALF_OPEN, 2, id="while half open"),
    ],
)
def test_successes_out_of_place_change_nothing(circuit, generation):
    """Successes gathered in another state neither count nor close."""
    assert POLICY.absorb(circuit, Tally(generation, NOW, NOW, successes=9), NOW) == circuit


@pytest.mark.parametrize(
    ("circuit", "gathers"),
    [
        pytest.param(CLOSED, True, id="new"),
        pytest.param(ONE_FAILURE, False, id="a run to end"),
        pytest.param(Circuit(window=Window((Bucket(1, 3, 1),))), False, id="a share to tip"),
        pytest.param(Circuit(window=Window((Bucket(1, 30, 1),))), True, id="many calls"),
        pytest.param(OPEN, False, id="open"),
        pytest.param(HALF_OPEN, False, id="half open"),
        pytest.param(forced(Mode.DISABLED), True, id="disabled"),
    ],
)
def test_success_waits_only_where_it_decides_nothing(circuit, gathers):
    """A success is gathered where it ends no run and completes no minimum."""
    assert POLICY.gathers(circuit) is gathers


def test_trial_of_a_killed_worker_counts_as_failed():
    """A lease that ends without an outcome reopens the circuit for one recovery time."""
    after = POLICY.tick(HALF_OPEN, NOW + 10)
    assert after.state is State.OPEN
    assert NOW + 70 <= after.open_until <= NOW + 76
    assert after.last_failure == "trial lease expired"


def test_lease_that_ended_long_ago_costs_nothing_more():
    """A killed worker's trial fails when its lease ends, whenever somebody looks at it next."""
    long_after = POLICY.tick(HALF_OPEN, NOW + 3600)
    assert [one.to_state for one in long_after.transitions] == [State.OPEN, State.HALF_OPEN]
    assert POLICY.admit(HALF_OPEN, NOW + 3600, 5.0)[1] is not None


def test_recovery_time_is_stretched_by_at_most_a_tenth():
    """The jitter spreads recovery times over [60, 66] seconds, from the circuit's own history."""
    times = []
    for moment in range(200):
        opened = recorded(POLICY, CLOSED, BAD, BAD, now=float(moment))
        assert opened == recorded(POLICY, CLOSED, BAD, BAD, now=float(moment))
        times.append(opened.open_until - moment)
    assert 60 <= min(times) < 61
    assert 65 < max(times) <= 66


@pytest.mark.parametrize(
    ("multiplier", "longest", "times"),
    [
        pytest.param(1, 300, [60, 60, 60, 60, 60], id="no growth"),
        pytest.param(2, 300, [60, 120, 240, 300, 300], id="doubled, to the cap"),
        pytest.param(3, 30, [60, 60, 60, 60, 60], id="a cap below the start gives way to it"),
    ],
)
def test_recovery_time_grows_with_each_failed_trial(multiplier, longest, times):
    """A trial that fails multiplies the next time open; closing begins anew."""
    policy = CircuitBreakerPolicy(
        failure_threshold=1, recovery_multiplier=multiplier, recovery_max=longest
    )
    circuit, now, seen = CLOSED, NOW, []
    for _ in times:
        circuit = recorded(policy, circuit, BAD, now=now)
        seen.append(circuit.transitions[-1].open_for)
        now = circuit.open_until
    for time, spread in zip(times, seen, strict=True):
        assert time <= spread <= time * 1.1
    closed = recorded(policy, circuit, GOOD, now=now)
    assert recorded(policy, closed, BAD, now=now).transitions[-1].open_for <= 66


def test_growth_without_end_is_no_error():
    """However often trials fail, the time open stays the longest allowed."""
    policy = CircuitBreakerPolicy(recovery_multiplier=100, recovery_max=300)
    reopened = policy.record(replace(HALF_OPEN, reopened=10**6), TRIAL, BAD, NOW)
    assert 300 <= reopened.open_until - NOW <= 330


def test_every_transition_raises_the_generation():
    """Outcomes of an earlier generation can be told from those of the present one."""
    opened = POLICY.record(ONE_FAILURE, LATE, BAD, NOW)
    probing, permit = POLICY.admit(opened, NOW + 66, 5.0)
    closed = POLICY.record(replace(probing, successes=1), permit, GOOD, NOW + 67)
    assert [one.generation for one in (opened, probing, closed)] == [1, 2, 3]
    assert closed.window == Window()
    assert (closed.failures, closed.last_failure, closed.trials) == (0, "", ())


def test_last_twenty_transitions_are_remembered():
    """The history of a circuit that goes to and fro does not grow without end."""
    circuit = CLOSED
    for number in range(30):
        circuit = POLICY.force(circuit, Control(Mode.FORCED_OPEN, "ana", str(number)), NOW)
    assert [one.generation for one in circuit.transitions] == list(range(11, 31))


@pytest.mark.parametrize(
    ("circuit", "seconds"),
    [
        pytest.param(OPEN_STILL, 1.0, id="open: until it recovers"),
        pytest.param(HALF_OPEN, 10.0, id="half open: until the trial's lease ends"),
        pytest.param(OPEN, 0.0, id="over: no time"),
        pytest.param(forced(Mode.FORCED_OPEN, NOW + 7), 7.0, id="forced: until its end"),
        pytest.param(forced(Mode.FORCED_OPEN), 60.0, id="forced without end: a recovery time"),
    ],
)
def test_retry_after(circuit, seconds):
    """A rejected call learns when it is worth coming back."""
    assert POLICY.retry_after(circuit, NOW) == seconds


@pytest.mark.parametrize(
    ("mode", "state"),
    [
        pytest.param(Mode.FORCED_OPEN, State.FORCED_OPEN, id="forced open"),
        pytest.param(Mode.DISABLED, State.DISABLED, id="disabled"),
        pytest.param(Mode.OBSERVE, State.CLOSED, id="observed"),
    ],
)
def test_decision_ends_by_itself(mode, state):
    """What somebody decided for a time holds that long, says who and why, and leaves it closed."""
    circuit = forced(mode, NOW + 30, OPEN_STILL)
    assert POLICY.tick(circuit, NOW + 29).state is state
    assert (circuit.transitions[-1].actor, circuit.control.reason) == ("ana", "drill")
    lifted = POLICY.tick(circuit, NOW + 30)
    assert (lifted.state, lifted.control) == (State.CLOSED, None)


def test_decision_without_end_stays():
    """What somebody decided without an end holds until somebody decides otherwise."""
    circuit = forced(Mode.FORCED_OPEN)
    assert POLICY.tick(circuit, NOW + 10**9).state is State.FORCED_OPEN
    closed = POLICY.close(circuit, NOW, "bob", "")
    assert (closed.state, closed.control, closed.transitions[-1].actor) == (
        State.CLOSED,
        None,
        "bob",
    )


def test_reset_forgets_all_but_the_generation():
    """A reset circuit is as new, and outcomes from before it change nothing."""
    reset = POLICY.reset(HALF_OPEN, NOW, "bob", "")
    assert reset == replace(CLOSED, generation=3, since=NOW, transitions=reset.transitions)
    assert [one.reason for one in reset.transitions] == ["reset"]
    assert POLICY.record(reset, TRIAL, BAD, NOW) == reset


def test_reset_tells_what_time_did_before():
    """A circuit whose time was over when it was reset tells of both transitions."""
    circuit = POLICY.reset(forced(Mode.FORCED_OPEN, NOW + 30), NOW + 40, "bob", "")
    told = [(one.to_state, one.reason) for one in circuit.transitions]
    assert told == [
        (State.FORCED_OPEN, "forced_open: drill"),
        (State.CLOSED, "forced_open ended"),
        (State.CLOSED, "reset"),
    ]


def test_observed_circuit_goes_through_its_states():
    """Looking on, a circuit opens, probes and closes as it would, and turns nobody away."""
    policy = CircuitBreakerPolicy(failure_threshold=2, mode="observe")
    circuit, now, states = CLOSED, NOW, []
    for evidence in (BAD, BAD, BAD, GOOD):
        circuit, permit = policy.admit(circuit, now, 5.0)
        assert permit is not None
        circuit = policy.record(circuit, permit, evidence, now)
        states.append(circuit.state)
        now += 66 if len(states) == 3 else 1
    assert states == [State.CLOSED, State.OPEN, State.OPEN, State.CLOSED]


def test_circuit_that_opened_is_kept_longer():
    """A healthy circuit is forgotten with its window, one that opened past what it speaks of."""
    assert time_to_live(CLOSED, POLICY, NOW) == 120
    assert time_to_live(OPEN_STILL, POLICY, NOW) == 120 + 1 + 3600
    assert time_to_live(forced(Mode.FORCED_OPEN), POLICY, NOW) >= 365 * 86400
    slow = CircuitBreakerPolicy(recovery_timeout=1000)
    assert time_to_live(OPEN, slow, NOW) == 120 + 10_000


@pytest.mark.parametrize(
    ("field", "value"),
    [
        pytest.param("failure_threshold", 0, id="no failures"),
        pytest.param("failure_threshold", 2.5, id="half a failure"),
        pytest.param("failure_threshold", True, id="a bool"),
        pytest.param("failure_rate", 0, id="no share"),
        pytest.param("failure_rate", 1.5, id="more than all"),
        pytest.param("slow_call_rate", 1.5, id="more slow than all"),
        pytest.param("minimum_calls", 0, id="no calls"),
        pytest.param("window", 0, id="no window"),
        pytest.param("slow_call_duration", 0, id="slow at once"),
        pytest.param("recovery_timeout", 0, id="no time"),
        pytest.param("recovery_timeout", float("nan"), id="not a number"),
        pytest.param("recovery_multiplier", 0.5, id="shrinking"),
        pytest.param("success_threshold", 0, id="no successes"),
        pytest.param("trials", "1", id="text"),
        pytest.param("mode", "off", id="no such mode"),
    ],
)
def test_value_out_of_range_is_named(field, value):
    """A wrong value raises an error that names field, value and range."""
    with pytest.raises(ConfigurationError, match=f"CircuitBreakerPolicy.{field} is .*; it must be"):
        CircuitBreakerPolicy(**{field: value})


def test_more_trials_than_successes_needed_is_refused():
    """Trials that cannot matter any more are a mistake."""
    with pytest.raises(ConfigurationError, match="trials is 3 and success_threshold is 2"):
        CircuitBreakerPolicy(trials=3, success_threshold=2)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("admit"), st.floats(0, 40)),
        st.tuples(st.sampled_from([GOOD, BAD, SLOW, IGNORED]), st.integers(0, 5)),
        st.tuples(st.just("wait"), st.floats(0, 90)),
        st.tuples(st.just("tally"), st.integers(0, 20)),
        st.tuples(st.sampled_from(list(Mode)), st.floats(1, 50)),
        st.tuples(st.sampled_from(["close", "reset"]), st.just(0)),
    ),
    max_size=60,
)


@given(steps=STEPS, trials=st.integers(1, 3), mode=st.sampled_from(["enforce", "observe"]))
def test_invariants_hold_over_any_steps(steps, trials, mode):
    """Never too many trials, never closed to half open, no negative count, no lost generation."""
    policy = CircuitBreakerPolicy(
        failure_threshold=3, trials=trials, success_threshold=3, slow_call_duration=1, mode=mode,
        recovery_multiplier=2,
    )  # fmt: skip
    circuit, now, permits = Circuit(), 0.0, []
    for kind, number in steps:
        before = circuit
        now += number if kind == "wait" else 0
        if kind == "admit":
            circuit, permit = policy.admit(circuit, now, number)
            permits += [permit] if permit else []
        elif isinstance(kind, Evidence):
            permit = permits.pop(number % len(permits)) if permits else LATE
            circuit = policy.record(circuit, permit, kind, now)
        else:
            circuit = decided(policy, circuit, kind, number, now)
        check_invariants(policy, before, circuit, now)


def decided(policy, circuit, kind, number, now):
    """Return the circuit after what a person or another process did."""
    if isinstance(kind, Mode):
        return policy.force(circuit, Control(kind, "a", "", now + number), now)
    if kind == "tally":
        return policy.absorb(circuit, Tally(circuit.generation, now, now, number, number), now)
    if kind in ("close", "reset"):
        return getattr(policy, kind)(circuit, now, "a", "")
    return policy.tick(circuit, now)


def check_invariants(policy, before, circuit, now):
    """Hold what must be true after every step."""
    alive = [trial for trial in circuit.trials if trial.expires_at > now]
    assert len(alive) <= policy.trials
    for told in circuit.transitions:
        assert (told.from_state, told.to_state) != (State.CLOSED, State.HALF_OPEN)
    for bucket in circuit.window.buckets:
        assert min(bucket.successes, bucket.failures, bucket.slow) >= 0
    assert circuit.failures >= 0
    assert 0 <= circuit.successes < policy.success_threshold
    assert circuit.generation >= before.generation
    assert circuit.state is before.state or circuit.generation > before.generation
    assert circuit.trials == () or circuit.state is State.HALF_OPEN
    assert [one.generation for one in circuit.transitions] == list(
        range(circuit.generation - len(circuit.transitions) + 1, circuit.generation + 1)
    )
