"""What every storage must do with counters: grant whole claims, and never one too many."""

from __future__ import annotations

import math
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flask_resilience.errors import StorageError
from flask_resilience.policies.quota import GRACE, Claim, Quota, Strategy
from flask_resilience.storage.memory_counters import MemoryCounters
from tests.servers import run_python

HOUR = 3600
QUOTAS = (Quota(5, 60), Quota(10, HOUR))
HUNDRED = (Quota(100, HOUR),)
SHARED = pytest.mark.parametrize("counter_place", ["sqlite", "redis", "cluster"], indirect=True)
CLOCKED = pytest.mark.parametrize("counter_place", ["memory", "sqlite"], indirect=True)
SERVED = pytest.mark.parametrize("counter_place", ["redis", "cluster"], indirect=True)
ROUNDS = {"memory": 30}
FEW_ROUNDS = 3
PAUSES = st.sampled_from([0.0, 0.0, 0.25, 0.5, 0.5, 1.0, 2.0, 7.0, 20.0])
STEPS = st.tuples(
    st.sampled_from(["take", "take", "take", "look", "give_back", "clear"]),
    st.sampled_from("ab"),
    st.integers(1, 4),
    PAUSES,
)
SEVERAL_QUOTAS = st.sampled_from(
    [
        (Quota(1, 1),),
        (Quota(5, 7),),
        (Quota(2, 1), Quota(4, 20)),
        (Quota(6, 2), Quota(12, 20)),
        (Quota(4, 1), Quota(9, 7), Quota(20, 60)),
    ]
)
SCRIPT = [
    *[("take", "a", 2, 0.0), ("take", "b", 1, 0.0), ("look", "a", 3, 0.0), ("take", "a", 3, 0.0)],
    *[("take", "a", 1, 0.0), ("give_back", "a", 2, 0.0), ("take", "a", 3, 0.0)],
    *[("take", "a", 1, 0.0), ("take", "a", 1, 0.0), ("give_back", "b", 1, 0.0)],
    *[("look", "b", 5, 0.0), ("take", "b", 5, 0.0), ("take", "b", 1, 0.0), ("clear", "a", 1, 0.0)],
    *[("take", "a", 4, 0.0), ("take", "a", 2, 0.0), ("give_back", "b", 3, 0.0)],
    *[("take", "b", 4, 0.0), ("take", "b", 4, 0.0), ("look", "a", 1, 0.0), ("take", "a", 9, 0.0)],
]
RACE = """
import os, sys
from flask_resilience.errors import StorageError
from flask_resilience.policies.quota import Claim, Quota, Strategy
from flask_resilience.storage.url import open_all

counters = open_all(sys.argv[1], namespace="shop").counters
claim = Claim(Strategy(sys.argv[2]), "race", (Quota(100, 3600), Quota(1000, 7200)))
counters.look(claim)

def granted():
    while True:
        try:
            return counters.take(claim).granted
        except StorageError as error:  # a file that is locked for longer, on a slow machine
            assert "locked" in str(error), error

pids = []
for _ in range(8):
    pid = os.fork()
    if pid == 0:
        os._exit(sum(granted() for _ in range(50)))
    pids.append(pid)
print(sum(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids))
counters.close()
"""
GREENLETS = """
from gevent import monkey; monkey.patch_all()
import sys, gevent
from flask_resilience.policies.quota import Claim, Quota, Strategy
from flask_resilience.storage.url import open_all

counters = open_all(sys.argv[1], namespace="shop").counters
claim = Claim(Strategy(sys.argv[2]), "race", (Quota(20, 3600),))
tries = [gevent.spawn(counters.take, claim) for _ in range(40)]
gevent.joinall(tries, raise_error=True)
print(sum(one.value.granted for one in tries))
counters.close()
"""


@pytest.fixture(params=[pytest.param(one, id=one.value) for one in Strategy])
def strategy(request):
    """Return each strategy in turn."""
    return request.param


@pytest.fixture
def counters(counter_place):
    """Return empty counters of each kind."""
    return counter_place.make()


@pytest.fixture
def claim(strategy):
    """Return what makes a claim of each kind."""

    def make(cost=1, key="a", quotas=QUOTAS):
        return Claim(strategy, key, quotas, cost)

    return make


@contextmanager
def hasty_switching():
    """Have threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def used(decision):
    """Return what counts against each quota."""
    return [one.used for one in decision.standings]


def taken(counters, claim):
    """Return what is taken by now, as a look tells it, which counts its own cost if granted."""
    looked = counters.look(claim)
    return [one - claim.cost if looked.granted else one for one in used(looked)]


def granted(counters, claim):
    """Say whether *claim* is granted; who finds a file locked tries again."""
    while True:
        try:
            return counters.take(claim).granted
        except StorageError as error:
            if "locked" not in str(error):
                raise


def exhausted(place, counters, claim):
    """Take until no quota has room for *claim*, and return how it stands then."""
    for _ in range(200):
        decision = counters.take(claim)
        if all(one.wait for one in decision.standings):
            return decision
        if not decision.granted:
            place.wait(0.25)
    raise AssertionError(decision)


def play(counters, clock, strategy, quotas, steps):
    """Do the steps, and return what each decided; each claim is given back at most once."""
    decisions, done = [], {"a": [], "b": []}
    for number, (step, key, cost, pause) in enumerate(steps):
        clock.advance(pause)
        claim = Claim(strategy, key, quotas, cost)
        if step == "clear":
            counters.clear(key)
            done[key].clear()
        elif step == "give_back" and done[key]:
            counters.give_back(*done[key].pop(number % len(done[key])))
        else:
            decision = (counters.take if step == "take" else counters.look)(claim)
            decisions.append(decision)
            if step == "take" and decision.granted:
                done[key].append((claim, decision.at))
    return decisions


def in_figures(decision):
    """Return what was decided, and how each quota stands."""
    return decision.granted, [tuple(one) for one in decision.standings]


def nearly(decision):
    """Return a decision that equals another's figures whose times differ by rounding."""
    return decision.granted, [pytest.approx(tuple(one), abs=1e-5) for one in decision.standings]


def test_unknown_key_has_room_for_the_whole_amount(counters, claim):
    """What nobody counted yet grants as much as the smallest quota is for, and no more."""
    assert not counters.look(claim(6)).granted
    decision = counters.take(claim(5))
    assert (decision.granted, used(decision), decision.wait) == (True, [5, 5], 0.0)


def test_claims_add_up(counters, claim):
    """What was granted counts against every quota, by its cost."""
    assert [used(counters.take(claim(cost))) for cost in (1, 3, 1)] == [[1, 1], [4, 4], [5, 5]]
    decision = counters.take(claim())
    assert (decision.granted, used(decision)) == (False, [5, 5])


def test_refused_claim_takes_of_no_quota(counters, claim):
    """If one quota has no room, nothing is taken of the others, whichever it is."""
    first_is_full = [Quota(5, 60), Quota(100, HOUR)]
    last_is_full = [Quota(100, 60), Quota(5, HOUR)]
    for key, quotas in (("a", first_is_full), ("b", last_is_full)):
        small, large = claim(3, key, tuple(quotas)), claim(2, key, tuple(quotas))
        assert counters.take(small).granted
        assert [counters.take(small).granted for _ in range(5)] == [False] * 5
        assert used(counters.take(large)) == [5, 5]


def test_only_the_quota_without_room_has_a_wait(counters, claim):
    """A refused claim is told which quota it waits for."""
    quotas = (Quota(100, 60), Quota(5, HOUR))
    counters.take(claim(5, quotas=quotas))
    waits = [one.wait for one in counters.take(claim(quotas=quotas)).standings]
    assert waits[0] == 0.0 < waits[1]


def test_claim_for_more_than_a_quota_waits_forever(counters, claim):
    """What can never be granted has an infinite wait, and takes nothing."""
    decision = counters.take(claim(6))
    assert [one.wait for one in decision.standings] == [math.inf, 0.0]
    assert (decision.granted, decision.wait) == (False, math.inf)
    assert taken(counters, claim()) == [0, 0]


@pytest.mark.parametrize("before", [0, 3, 5])
@pytest.mark.parametrize("cost", [1, 3, 6])
def test_look_is_what_a_claim_comes_to(counters, claim, before, cost):
    """Looking tells what taking would, and changes nothing."""
    for _ in range(before):
        counters.take(claim())
    looks = [counters.look(claim(cost)) for _ in range(3)]
    took = counters.take(claim(cost))
    assert [(one.granted, used(one)) for one in looks] == [(took.granted, used(took))] * 3


def test_standings_tell_the_time_that_is_left(counters, claim):
    """The first window ends its length after the first claim, however long ago that was."""
    first = counters.take(claim(3))
    assert [one.reset for one in first.standings] == pytest.approx([60, HOUR], abs=1e-5)
    second = counters.take(claim(3))
    left = first.at + 60 - second.at
    assert [one.reset for one in second.standings] == pytest.approx(
        [left, left + HOUR - 60], abs=1e-5
    )
    assert second.wait == pytest.approx(left, abs=2 * GRACE)


def test_each_strategy_has_its_own_wait(counter_place, counters, claim, strategy):
    """A claim waits for its window to end, for units of the last one to fade, or for them to leave.

    Of five a minute, two were taken first and three after them: for four, all but one must go.
    """
    first = counters.take(claim(2))
    counter_place.wait(0.01)
    second = counters.take(claim(3))
    counter_place.wait(0.01)
    decision = counters.take(claim(4))
    left = first.at + 60 - decision.at
    waits = {
        Strategy.FIXED_WINDOW: left,
        Strategy.SLIDING_WINDOW_COUNTER: left + 60 * (1 - 2 / 5),
        Strategy.MOVING_WINDOW: left + second.at - first.at,
    }
    assert (decision.granted, used(decision)) == (False, [5, 5])
    assert [one.reset for one in decision.standings] == pytest.approx([left, left + HOUR - 60])
    assert decision.wait == pytest.approx(waits[strategy], abs=1e-5)


def test_giving_back_makes_room_again(counters, claim):
    """What was given back can be taken again, of every quota."""
    first, second = counters.take(claim(2)), counters.take(claim(3))
    counters.give_back(claim(3), second.at)
    assert taken(counters, claim()) == [2, 2]
    counters.give_back(claim(2), first.at)
    assert taken(counters, claim()) == [0, 0]
    assert used(counters.take(claim(5))) == [5, 5]


@CLOCKED
def test_giving_back_leaves_later_windows_alone(counter_place, counters, claim, strategy):
    """What has left its window by now is not taken out of another one, nor of the one before."""
    old = counters.take(claim(3)).at
    counter_place.wait(121)
    counters.take(claim(2))
    counters.give_back(claim(3), old)
    assert taken(counters, claim())[0] == 2
    counter_place.wait(60)
    counters.take(claim())
    counters.give_back(claim(3), old)
    slides = strategy is Strategy.SLIDING_WINDOW_COUNTER
    assert taken(counters, claim())[0] == (2 if slides else 1)


def test_giving_back_twice_never_falls_below_nothing(counters, claim):
    """A second time gives no more room than the quotas have."""
    decision = counters.take(claim(2))
    for _ in range(3):
        counters.give_back(claim(2), decision.at)
    assert taken(counters, claim()) == [0, 0]
    assert not counters.take(claim(6)).granted


@pytest.mark.parametrize("forget", ["clear", "reset"])
def test_giving_back_what_was_forgotten_is_harmless(counters, claim, forget):
    """Who gives back after the counter was forgotten changes nothing."""
    decision = counters.take(claim(2))
    counters.clear("a") if forget == "clear" else counters.reset()
    counters.give_back(claim(2), decision.at)
    counters.give_back(claim(2, key="nobody"), decision.at)
    assert taken(counters, claim()) == [0, 0]
    assert used(counters.take(claim(5))) == [5, 5]


@pytest.mark.parametrize(
    "other",
    [
        pytest.param("b", id="another"),
        pytest.param("", id="empty"),
        pytest.param("A", id="capital"),
        pytest.param("a/b:c", id="slash and colon"),
        pytest.param("{a}", id="braces"),
        pytest.param("%61", id="percent"),
        pytest.param("a\x00", id="NUL"),
        pytest.param("ä\ud800\U0001f600", id="any character"),
        pytest.param("a" * 5000, id="long"),
        pytest.param("a*[?", id="pattern"),
    ],
)
def test_keys_are_apart(counters, claim, other):
    """Any text is a key, and what happens to one leaves the others as they were."""
    counters.take(claim(5))
    first = counters.take(claim(2, other))
    assert used(first) == [2, 2]
    counters.give_back(claim(2, other), first.at)
    assert used(counters.take(claim(3, other))) == [3, 3]
    counters.clear(other)
    assert [taken(counters, claim(key=key)) for key in ("a", other)] == [[5, 5], [0, 0]]


@SHARED
@pytest.mark.parametrize(
    ("namespaces", "keys"),
    [
        pytest.param(("shop", "desk"), ("a", "a"), id="same key"),
        pytest.param(("shop", "shop:a"), ("a:b", "b"), id="colon in the namespace"),
        pytest.param(("", "é"), ("éa", "a"), id="empty"),
        pytest.param(("sho*", "shop"), ("a", "a"), id="pattern in the namespace"),
    ],
)
def test_namespaces_are_apart(counter_place, claim, namespaces, keys):
    """Two namespaces in one place share nothing, and one is reset without the other."""
    first, second = (counter_place.make(one) for one in namespaces)
    first.take(claim(5, keys[0]))
    assert used(second.take(claim(2, keys[1]))) == [2, 2]
    first.reset()
    assert taken(first, claim(key=keys[0])) == [0, 0]
    assert taken(second, claim(key=keys[1])) == [2, 2]


def test_clear_forgets_one_key(counters, claim):
    """A key that was cleared counts from nothing; clearing an unknown one is harmless."""
    counters.take(claim(5, "a"))
    counters.take(claim(4, "b"))
    counters.clear("a")
    counters.clear("nobody")
    assert [taken(counters, claim(key=key)) for key in "ab"] == [[0, 0], [4, 4]]


def test_reset_forgets_all_keys(counters, claim):
    """After a reset every key counts from nothing, however many there were."""
    keys = [f"client {number}" for number in range(50)]
    for key in keys:
        counters.take(claim(5, key))
    counters.reset()
    assert [taken(counters, claim(key=key)) for key in keys] == [[0, 0]] * 50


@SHARED
def test_two_storages_count_together(counter_place, claim):
    """What one storage grants counts for another one in the same place, and is theirs to return."""
    first, second = counter_place.make(), counter_place.make()
    decision = first.take(claim(2))
    assert used(second.take(claim(3))) == [5, 5]
    assert not first.take(claim()).granted
    second.give_back(claim(2), decision.at)
    assert used(first.take(claim())) == [4, 4]
    second.clear("a")
    assert taken(first, claim()) == [0, 0]


def test_billion_is_counted(counters, claim):
    """Large amounts are counted to the unit."""
    quotas = (Quota(10**9, 60), Quota(10**9 + 1, 365 * 86_400))
    assert used(counters.take(claim(2501, quotas=quotas))) == [2501] * 2
    assert counters.look(claim(10**9 - 2501, quotas=quotas)).granted
    decision = counters.look(claim(10**9 - 2500, quotas=quotas))
    assert (decision.granted, used(decision)) == (False, [2501] * 2)
    assert [bool(one.wait) for one in decision.standings] == [True, False]


def test_decision_names_its_moment(counter_place, counters, claim):
    """Each decision is made at the storage's time, which goes on."""
    first = counters.take(claim())
    counter_place.wait(0.01)
    assert counters.look(claim()).at - first.at > 0.009


@CLOCKED
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(quotas=SEVERAL_QUOTAS, steps=st.lists(STEPS, max_size=30))
def test_decides_as_the_rules_do(counters, strategy, clock, quotas, steps):
    """Over any steps and pauses a storage decides as the rules do in a dictionary."""
    counters.reset()
    begin, reference = clock.now, MemoryCounters(clock)
    got = play(counters, clock, strategy, quotas, steps)
    clock.now = begin
    expected = play(reference, clock, strategy, quotas, steps)
    assert [in_figures(one) for one in got] == [nearly(one) for one in expected]
    clock.now = begin + 100  # whatever is left of this one ends: time never goes back far


@SERVED
def test_server_decides_as_the_rules_do(counters, strategy, clock):
    """Over a script that takes no time a server decides as the rules do in a dictionary."""
    got = play(counters, clock, strategy, QUOTAS, SCRIPT)
    expected = play(MemoryCounters(clock), clock, strategy, QUOTAS, SCRIPT)
    assert [(one.granted, used(one)) for one in got] == [
        (one.granted, used(one)) for one in expected
    ]


@CLOCKED
@pytest.mark.parametrize(
    ("cost", "quotas"),
    [
        pytest.param(1, (Quota(2, 1), Quota(4, 20)), id="cost 1"),
        pytest.param(3, (Quota(6, 1), Quota(12, 20)), id="cost 3"),
    ],
)
def test_claim_is_granted_after_its_wait(counter_place, counters, claim, cost, quotas):
    """With both quotas used up, whole seconds that cover the wait are enough, and not too many."""
    wait = exhausted(counter_place, counters, claim(cost, quotas=quotas)).wait
    counter_place.wait(wait - 0.01)
    assert not counters.take(claim(cost, quotas=quotas)).granted
    counter_place.wait(math.ceil(wait) - wait + 0.01)
    assert counters.take(claim(cost, quotas=quotas)).granted


@SERVED
def test_claim_is_granted_after_its_wait_in_real_time(counter_place, counters, claim):
    """Who sleeps for the wait that a server told is granted the claim."""
    quotas = (Quota(2, 1),)
    counter_place.wait(exhausted(counter_place, counters, claim(quotas=quotas)).wait)
    assert counters.take(claim(quotas=quotas)).granted


@SERVED
def test_window_turns_in_real_time(counter_place, counters, claim, strategy):
    """When a server's window is over, only one that slides still counts it, by the share left."""
    quotas = (Quota(1000, 1),)
    first, second = (counters.take(claim(500, quotas=quotas)) for _ in range(2))
    counter_place.wait(second.at + 1.02 - first.at)
    for kept in (1000, 500):
        decision = counters.look(claim(1001, quotas=quotas))
        slides = strategy is Strategy.SLIDING_WINDOW_COUNTER and decision.at < first.at + 2
        share = kept * decision.standings[0].reset if slides else 0
        assert used(decision) == [pytest.approx(share, abs=1)]
        counters.give_back(claim(500, quotas=quotas), first.at)


@SERVED
def test_window_before_is_given_back_in_real_time(counter_place, counters, claim):
    """What a server granted in the window before is given back to it, not to the one that is."""
    quotas = (Quota(1000, 1),)
    first = counters.take(claim(900, quotas=quotas))
    counter_place.wait(1.02)
    counters.take(claim(90, quotas=quotas))
    counters.give_back(claim(900, quotas=quotas), first.at)
    decision = counters.look(claim(1001, quotas=quotas))
    assert used(decision) == [90] or decision.at > first.at + 2  # on a machine that slept


def test_threads_are_granted_exactly_the_amount(counter_place, counters, claim):
    """Of 640 claims in 16 threads that switch as often as they can, exactly 100 are granted."""
    place = counter_place.url.partition(":")[0]
    with ThreadPoolExecutor(16) as pool, hasty_switching():
        for number in range(ROUNDS.get(place, FEW_ROUNDS)):
            one, start = claim(1, f"round {number}", HUNDRED), threading.Barrier(16)

            def hammer(_, one=one, start=start):
                start.wait(20)
                return sum(granted(counters, one) for _ in range(40))

            assert sum(pool.map(hammer, range(16))) == 100


def test_threads_that_give_back_leave_what_was_kept(counters, claim):
    """Of claims that 8 threads take and give back at once, those that were kept count."""
    start = threading.Barrier(8)

    def take_and_return(number):
        start.wait(20)
        for turn in range(10):
            one = claim(number + 1, quotas=(Quota(10_000, HOUR),))
            decision = counters.take(one)
            if turn:
                counters.give_back(one, decision.at)

    with ThreadPoolExecutor(8) as pool, hasty_switching():
        list(pool.map(take_and_return, range(8)))
    assert taken(counters, claim(quotas=(Quota(10_000, HOUR),))) == [sum(range(1, 9))]


@SHARED
def test_processes_are_granted_exactly_the_amount(counter_place, strategy):
    """Of 400 claims in 8 forked processes exactly 100 are granted."""
    assert run_python(RACE, counter_place.url, strategy.value) == "100\n"


@SHARED
def test_greenlets_are_granted_exactly_the_amount(counter_place, strategy):
    """Of 40 claims in as many greenlets exactly 20 are granted."""
    assert run_python(GREENLETS, counter_place.url, strategy.value) == "20\n"


def test_counters_say_what_they_are(counters):
    """Counters tell their kind, their address without a password, and whether they are shared."""
    assert counters.address.partition("://")[0].partition("+")[0] == counters.name
    assert "s3cret" not in counters.address
    assert counters.shared is (counters.name != "memory")
