"""A circuit shared by several processes: in step, cheap while healthy, calm in an outage."""

from __future__ import annotations

import gc
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest

from flask_resilience import CircuitBreakerPolicy, CircuitOpenError, StorageError
from flask_resilience.circuits.breaker import CircuitBreaker
from flask_resilience.circuits.guarded_code import Breaker
from flask_resilience.circuits.view import SYNC_SECONDS
from flask_resilience.policies.circuit import Mode, State
from tests.circuits.attempts import BAD, GOOD, attempt, changes, rejected, trip


def test_new_process_rejects_its_first_call(make_breaker):
    """Who never asked before asks first: an open circuit is met at once."""
    trip(make_breaker())
    assert rejected(make_breaker())


def test_process_that_paused_asks_first(make_breaker, clock):
    """After a pause, what was known before it is not gone by."""
    idle = make_breaker()
    attempt(idle)
    trip(make_breaker())
    clock.advance(SYNC_SECONDS)
    assert rejected(idle)


def test_failures_of_all_add_up(make_breaker, events, clock):
    """Two processes with one failure each make two in a row, told of once."""
    one, other = make_breaker(), make_breaker()
    attempt(one)
    attempt(other)
    clock.advance(0.01)
    attempt(one, BAD)
    attempt(other, BAD)
    assert changes(events) == [("closed", "open")]
    assert rejected(other)


def test_success_ends_the_run_of_all(make_breaker, clock):
    """A success after another process's failure is told at once, so that the run has ended."""
    one, other = make_breaker(), make_breaker()
    attempt(one, BAD)
    attempt(other)
    attempt(one, BAD)
    assert other.state is State.CLOSED
    clock.advance(SYNC_SECONDS)
    assert other.snapshot()["failures_in_a_row"] == 1


def test_gathered_success_ends_a_run_it_did_not_know_of(make_breaker, clock):
    """A success that came after another process's failure ends its run when it is told."""
    one, other = make_breaker(), make_breaker()
    attempt(one)
    attempt(other, BAD)
    clock.advance(0.01)
    attempt(one)
    clock.advance(SYNC_SECONDS)
    attempt(one)
    assert other.snapshot()["failures_in_a_row"] == 0


def test_success_that_completes_the_minimum_opens(make_breaker):
    """Half of ten calls failed: the tenth call opens the circuit, though it succeeded."""
    breaker = make_breaker(failure_threshold=100)
    for verdict in [BAD, GOOD] * 5:
        assert breaker.state is State.CLOSED
        attempt(breaker, verdict)
    assert breaker.state is State.OPEN


def test_one_trial_over_all_processes(make_breaker, clock, events):
    """When the recovery time is over, one of eight processes may try; the rest are rejected."""
    breakers = [make_breaker() for _ in range(8)]
    trip(breakers[0])
    clock.advance(66)
    permits = []
    for breaker in breakers * 3:
        try:
            permits.append((breaker, breaker.admit(15.0)))
        except CircuitOpenError:
            continue
    assert len(permits) == 1
    permits[0][0].record(permits[0][1], GOOD)
    clock.advance(SYNC_SECONDS)
    assert not any(rejected(breaker) for breaker in breakers)
    assert changes(events)[1:] == [("open", "half_open"), ("half_open", "closed")]


def test_trial_of_a_lost_worker_costs_one_lease(make_breaker, clock):
    """A trial nobody tells of fails when its lease ends, and a recovery time later there is one."""
    breaker, lost = make_breaker(), make_breaker()
    trip(breaker)
    clock.advance(66)
    lost.admit(15.0)
    clock.advance(16)
    assert breaker.state is State.OPEN
    clock.advance(66)
    assert not rejected(breaker)


def test_healthy_traffic_asks_four_times_a_second(make_breaker, clock, storage):
    """10,000 good calls in 10 s cost at most 45 storage operations, and all are counted."""
    breaker = make_breaker()
    for _ in range(10_000):
        attempt(breaker)
        clock.advance(0.001)
    assert len(storage.operations) <= 45
    assert breaker.snapshot()["calls"] == 10_000


def test_healthy_traffic_of_many_threads_asks_no_more(make_breaker, clock, storage):
    """Of 8 threads that find it time to ask, one does."""
    breaker = make_breaker()
    attempt(breaker)
    ready = threading.Barrier(8, action=lambda: clock.advance(SYNC_SECONDS))

    def call(_):
        for _ in range(10):
            ready.wait()
            attempt(breaker)
            ready.wait()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(call, range(8)))
    assert len(storage.operations) <= 1 + 2 * 20


def test_healthy_guarded_call_asks_nobody(breaker, monkeypatch):
    """While the circuit is closed and known to be, a call passes without being asked about."""
    guard = Breaker(lambda: breaker)
    guard.call(int)
    monkeypatch.delattr(type(breaker), "admit")
    assert guard.call(lambda: 5) == 5


def test_one_of_many_successes_carries_the_rest(make_breaker, clock, storage):
    """Of eight calls that end when it is time to ask, one asks, and all are counted."""
    breaker = make_breaker()
    permits = [breaker.admit(15.0) for _ in range(8)]
    clock.advance(SYNC_SECONDS)
    before = len(storage.operations)
    for permit in permits:
        breaker.record(permit, GOOD)
    assert len(storage.operations) - before == 1
    assert breaker.snapshot()["calls"] == 8


def test_nobody_else_asks_while_somebody_does(breaker, clock, storage, monkeypatch):
    """A call that comes while another one is asking goes by what is known."""
    attempt(breaker)
    clock.advance(SYNC_SECONDS)
    write, asked = storage.compare_and_set, []

    def write_while_others_call(*arguments):
        asked.append(arguments)
        attempt(breaker)
        return write(*arguments)

    attempt(breaker)
    monkeypatch.setattr(storage, "compare_and_set", write_while_others_call)
    clock.advance(SYNC_SECONDS)
    attempt(breaker)
    assert len(asked) == 1


def test_recovery_is_not_put_off_until_the_storage_is_asked(make_breaker, clock):
    """An open circuit lets its trial through on time, however lately the storage was asked."""
    breaker = make_breaker(recovery_timeout=SYNC_SECONDS / 2)
    trip(breaker)
    assert rejected(breaker)
    clock.advance(SYNC_SECONDS / 2 * 1.1)
    assert not rejected(breaker)


def test_rejections_cost_the_storage_nothing(breaker, clock, storage):
    """While the circuit is open, calls are turned away unasked; they are counted all the same."""
    trip(breaker)
    before = len(storage.operations)
    for _ in range(1000):
        assert rejected(breaker)
        clock.advance(0.001)
    assert len(storage.operations) - before <= 5
    assert breaker.snapshot()["rejected_total"] == 1000


def test_rejections_beside_a_trial_cost_the_storage_nothing(breaker, clock, storage):
    """While a trial is out, the rest are turned away unasked."""
    trip(breaker)
    clock.advance(66)
    breaker.admit(15.0)
    before = len(storage.operations)
    assert all(rejected(breaker) for _ in range(100))
    assert len(storage.operations) == before


class TestOutage:
    """While the storage cannot be asked, the circuit goes on in this process."""

    def test_own_failures_open_it(self, breaker, storage, events):
        """No error of the storage reaches a caller, and the rules hold."""
        storage.failing = True
        trip(breaker)
        assert rejected(breaker)
        assert [(one.to_state, one.storage) for one in events] == [("open", "process")]

    def test_open_circuit_stays_open(self, breaker, storage, clock):
        """What was known before the outage is gone by."""
        trip(breaker)
        storage.failing = True
        clock.advance(30)
        assert rejected(breaker)
        clock.advance(36)
        assert not rejected(breaker)

    def test_shared_circuit_holds_again(self, make_breaker, storage, clock, events):
        """What one process went through alone ends when the storage is back, and is told."""
        one, other = make_breaker(), make_breaker()
        attempt(other, BAD)
        storage.failing = True
        trip(one)
        assert rejected(one)
        storage.failing = False
        clock.advance(1)
        assert not rejected(one)
        assert not rejected(other)
        assert changes(events) == [("closed", "open"), ("open", "closed")]
        assert (events[-1].reason, events[-1].storage) == ("storage is back", "process")

    def test_host_that_was_cut_off_opens_nobodys_circuit(self, make_breaker, storage, clock):
        """Though nobody wrote meanwhile, the shared circuit is not what one went through alone."""
        one, other = make_breaker(), make_breaker()
        attempt(other, BAD)
        attempt(one)
        clock.advance(SYNC_SECONDS)
        one.snapshot()
        storage.failing = True
        clock.advance(1)
        trip(one)
        storage.failing = False
        clock.advance(1)
        assert not rejected(one)
        assert not rejected(other)

    def test_trial_taken_alone_proves_nothing_to_others(self, make_breaker, storage, clock):
        """What came of a trial that nobody else knew of settles no other of that number."""
        one, other = make_breaker(), make_breaker()
        trip(other)
        assert rejected(one)
        storage.failing = True
        clock.advance(66)
        alone = one.admit(15.0)
        storage.failing = False
        shared = other.admit(15.0)
        assert (alone.generation, alone.trial) == (shared.generation, shared.trial)
        one.record(alone, GOOD)
        assert other.snapshot()["state"] == "half_open"
        other.record(shared, BAD)
        assert other.state is State.OPEN

    @pytest.mark.parametrize("hours", [-1, 1])
    def test_outage_from_the_start_leaves_right_times(self, make_breaker, storage, clock, hours):
        """What opened before the storage's clock was known is open for its time and no longer."""
        storage._offset += hours * 3600  # noqa: SLF001  # as another host's clock
        storage.failing = True
        one, other = make_breaker(), make_breaker()
        trip(one)
        storage.failing = False
        clock.advance(10)
        assert rejected(one)
        assert rejected(other)
        clock.advance(45)
        assert rejected(other)
        clock.advance(20)
        assert not rejected(other)

    @pytest.mark.parametrize("hours", [-1, 1])
    def test_decision_as_first_contact_ends_on_time(self, make_breaker, storage, clock, hours):
        """Somebody who decides before any call is understood on the storage's clock."""
        storage._offset += hours * 3600  # noqa: SLF001  # as another host's clock
        one, other = make_breaker(), make_breaker()
        one.force(Mode.FORCED_OPEN, actor="ana", reason="", seconds=60)
        clock.advance(59)
        assert rejected(other)
        clock.advance(1)
        assert not rejected(other)

    def test_storage_that_lost_all_is_given_what_is_known(self, make_breaker, storage, clock):
        """A circuit that opened in the outage of a storage that forgot it is open for all."""
        one, other = make_breaker(), make_breaker()
        attempt(one)
        storage.failing = True
        trip(one)
        storage.failing = False
        clock.advance(1)
        assert rejected(one)
        assert rejected(other)

    def test_flushed_storage_is_filled_again(self, make_breaker, storage, clock):
        """Who knows of an open circuit puts it back where it was lost."""
        one, new = make_breaker(), make_breaker()
        trip(one)
        storage._entries.clear()  # noqa: SLF001  # as FLUSHALL does
        clock.advance(1)
        assert rejected(one)
        assert rejected(new)

    def test_successes_are_not_lost(self, breaker, storage, clock):
        """What was gathered when the storage failed is in the circuit that goes on here."""
        for _ in range(5):
            attempt(breaker)
        storage.failing = True
        clock.advance(1)
        attempt(breaker)
        assert breaker.snapshot()["calls"] == 6

    def test_refused_decision_loses_no_count(self, breaker, storage, clock):
        """What was gathered before a decision that could not be told is not lost with it."""
        for _ in range(5):
            attempt(breaker)
        storage.failing = True
        with pytest.raises(StorageError):
            breaker.force(Mode.FORCED_OPEN, actor="ana", reason="")
        assert breaker.snapshot()["calls"] == 5

    def test_decision_of_people_is_for_all_or_none(self, make_breaker, storage, clock):
        """What others would not hear of is refused, and nothing has changed."""
        one, other = make_breaker(), make_breaker()
        attempt(one)
        one.force(Mode.OBSERVE, actor="ana", reason="")
        storage.failing = True
        with pytest.raises(StorageError):
            one.force(Mode.FORCED_OPEN, actor="ana", reason="")
        assert not rejected(one)
        trip(one)
        storage.failing = False
        clock.advance(1)
        assert not rejected(one)
        assert one.snapshot()["control"] == other.snapshot()["control"]
        assert one.snapshot()["control"]["mode"] == "observe"


def test_writer_that_never_wins_goes_on_alone(breaker, storage, clock, monkeypatch):
    """A storage in which others always write first ends in a local step, not in a hang."""
    read = storage.read

    def lose(key, version, circuit, ttl):
        storage._note("write")  # noqa: SLF001  # its own count
        return False, read(key)

    monkeypatch.setattr(storage, "compare_and_set", lose)
    trip(breaker)
    assert rejected(breaker)
    assert len(storage.operations) < 300


def test_stale_reading_never_hides_an_opening(make_breaker, storage, clock):
    """A thread whose reading was overtaken does not take the opened circuit back."""
    breaker = make_breaker()
    old = storage.read("billing")
    clock.advance(0.01)
    trip(breaker)
    breaker.circuit._learn(old, begun=old.now)  # noqa: SLF001  # as a slow thread would
    assert rejected(breaker)


def test_storage_whose_clock_was_set_back_is_believed(make_breaker, storage, clock):
    """A reading of an hour ago, as after a failover, is no stale one."""
    breaker = make_breaker()
    attempt(breaker, BAD)
    storage._offset -= 3600  # noqa: SLF001  # as another server's clock
    clock.advance(1)
    attempt(breaker, BAD)
    assert rejected(breaker)
    assert make_breaker().rejects()


def test_circuits_nobody_uses_are_let_go(make_breaker):
    """What must be done after a fork keeps no circuit alive."""
    circuit = weakref.ref(make_breaker("once").circuit)
    gc.collect()
    assert circuit() is None


def test_forked_process_asks_first_and_repeats_nothing(breaker, clock, storage):
    """After a fork nothing gathered is told twice, and the storage is asked before a call."""
    for _ in range(3):
        attempt(breaker)
    breaker.circuit.begin_anew()  # as the hook after a fork does
    before = len(storage.operations)
    attempt(breaker)
    assert len(storage.operations) > before
    assert breaker.snapshot()["calls"] == 1


def test_success_gathered_while_another_thread_asks_is_counted(breaker, clock):
    """In a forked process a success may come before the storage was ever asked in it."""
    permit = breaker.admit(15.0)
    breaker.circuit.begin_anew()  # as the hook after a fork does
    breaker.circuit.claim(clock.monotonic())  # as a thread that is about to ask
    breaker.record(permit, GOOD)
    assert breaker.snapshot()["calls"] == 1


@pytest.mark.parametrize("seconds", [0.5, 2, 3600])
def test_clock_that_steps_back_costs_nothing(make_breaker, storage, clock, events, seconds):
    """After a step of the storage's clock an attempt asks as often as ever, and opens on time."""
    breaker, other = make_breaker(), make_breaker()
    attempt(other)
    attempt(breaker, BAD)
    storage._offset -= seconds  # noqa: SLF001  # as after a failover
    clock.advance(0.01)
    before = len(storage.operations)
    attempt(breaker, BAD)
    assert len(storage.operations) - before <= 2
    assert [one.storage for one in events] == ["watched"]
    clock.advance(1)
    assert rejected(other)
    clock.advance(66)
    assert not rejected(other)


def test_open_circuit_on_a_clock_set_back_opens_on_time(make_breaker, storage, clock):
    """A circuit that opened an hour ahead of the storage's clock recovers all the same."""
    breaker = make_breaker()
    trip(breaker)
    storage._offset -= 3600  # noqa: SLF001  # as after a failover
    for _ in range(2):
        clock.advance(1)
        assert rejected(breaker)
    clock.advance(67)
    assert not rejected(breaker)


def test_evidence_of_many_threads_is_written_by_one(make_breaker, storage, events):
    """640 failures of 32 threads at once are all counted, with few writes lost to each other."""
    breaker = make_breaker(failure_threshold=10_000, minimum_calls=10_000)
    permits = [breaker.admit(15.0) for _ in range(640)]
    with ThreadPoolExecutor(32) as pool:
        list(pool.map(lambda permit: breaker.record(permit, BAD), permits))
    assert breaker.snapshot()["failure_count"] == 640
    assert len(storage.operations) <= 2 * 640
    assert events == []


def test_interrupted_writer_leaves_its_work_to_the_next(breaker, storage, monkeypatch):
    """Evidence that was being written when its thread was interrupted is not lost."""
    permit = breaker.admit(15.0)

    def interrupt(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(storage, "compare_and_set", interrupt)
        with pytest.raises(KeyboardInterrupt):
            breaker.record(permit, BAD)
    attempt(breaker, BAD)
    assert breaker.state is State.OPEN


@pytest.mark.parametrize("step", [-3600.0, 3600.0])
def test_wall_clock_that_is_off_changes_nothing(storage, events, clock, step):
    """A process whose wall clock is an hour off opens and closes at the same moments."""

    class OffClock:
        sleep = clock.sleep
        monotonic = staticmethod(lambda: clock.now + 7)

        def wall(self):
            return clock.now + step

    policy = CircuitBreakerPolicy(failure_threshold=2)
    off = CircuitBreaker("billing", policy, storage, OffClock(), events.append)
    right = CircuitBreaker("billing", policy, storage, clock, events.append)
    trip(off)
    clock.advance(events[0].open_for - 0.01)
    assert rejected(off)
    assert rejected(right)
    clock.advance(0.02)
    assert [off.state, right.state] == [State.HALF_OPEN, State.HALF_OPEN]
