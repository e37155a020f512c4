"""The counters as the ``limits`` library uses them: its strategies work on them unchanged."""

from __future__ import annotations

import time

import pytest
from limits import RateLimitItemPerMinute, RateLimitItemPerSecond, parse
from limits.storage import storage_from_string
from limits.strategies import STRATEGIES

from flask_resilience import StorageError
from flask_resilience.counters.counting import Counting
from flask_resilience.counters.limits_storage import SCHEME, CountersStorage
from flask_resilience.policies.quota import Claim, Quota, Strategy
from flask_resilience.storage.memory_counters import MemoryCounters

ITEM = RateLimitItemPerMinute(5)


@pytest.fixture
def counters(clock):
    """Return counters in memory."""
    return MemoryCounters(clock)


@pytest.fixture
def storage(counters, clock):
    """Return the counters as a storage of the library."""
    return CountersStorage(counting=Counting(counters, MemoryCounters(clock)))


@pytest.fixture(params=["fixed-window", "moving-window", "sliding-window-counter"])
def limiter(request, storage):
    """Return each of the library's strategies."""
    return STRATEGIES[request.param](storage)


def test_library_finds_it_by_its_scheme(counters):
    """``storage_from_string`` makes it like any other."""
    made = storage_from_string(f"{SCHEME}://", counting=Counting(counters, counters))
    assert isinstance(made, CountersStorage)
    assert made.check()


def test_as_many_hits_as_the_limit(limiter):
    """A limit of five lets five in, for each key."""
    assert [limiter.hit(ITEM, "a") for _ in range(6)] == [True] * 5 + [False]
    assert limiter.hit(ITEM, "b")


def test_cost_is_taken(limiter):
    """A hit of two takes two, and one that does not fit takes nothing it would keep others from."""
    assert [limiter.hit(ITEM, "a", cost=2) for _ in range(2)] == [True, True]
    assert limiter.hit(ITEM, "a", cost=1)
    assert not limiter.hit(ITEM, "a", cost=1)


def test_test_takes_nothing(limiter):
    """Testing says whether a hit would do, and leaves the count."""
    assert all(limiter.test(ITEM, "a") for _ in range(10))
    for _ in range(5):
        limiter.hit(ITEM, "a")
    assert not limiter.test(ITEM, "a")


@pytest.mark.parametrize("cost", [1, 3, 5])
def test_test_and_hit_agree(limiter, cost):
    """Whatever testing says of a cost comes true."""
    for _ in range(7):
        assert limiter.test(ITEM, "a", cost=cost) == limiter.hit(ITEM, "a", cost=cost)


def test_room_comes_back(limiter, clock):
    """After two windows nothing is left of what was counted."""
    for _ in range(6):
        limiter.hit(ITEM, "a")
    clock.advance(120)
    assert [limiter.hit(ITEM, "a") for _ in range(6)] == [True] * 5 + [False]


def test_window_statistics(limiter, clock):
    """What is left counts down, and the reset is within the window."""
    left = []
    for _ in range(5):
        limiter.hit(ITEM, "a")
        left.append(limiter.get_window_stats(ITEM, "a").remaining)
    assert left == [4, 3, 2, 1, 0]
    clock.advance(1)  # at the very beginning the library takes a sliding window for over
    assert 50 < limiter.get_window_stats(ITEM, "a").reset_time - time.time() < 61


def test_statistics_of_what_was_never_counted(limiter):
    """All is left of it."""
    assert limiter.get_window_stats(ITEM, "nobody").remaining == 5


def test_statistics_count_nothing(limiter):
    """Asking how things stand takes nothing."""
    for _ in range(9):
        limiter.get_window_stats(ITEM, "a")
    assert limiter.get_window_stats(ITEM, "a").remaining == 5


def test_clear_forgets_one_key(limiter):
    """A cleared key has all its room, and the others have what they had."""
    for key in ("a", "b"):
        for _ in range(5):
            limiter.hit(ITEM, key)
    limiter.clear(ITEM, "a")
    assert (limiter.test(ITEM, "a"), limiter.test(ITEM, "b")) == (True, False)


def test_its_keys_are_none_of_our_own(storage, counters):
    """What is cleared or counted through it is nothing that ``@limit`` counts, whatever the key."""
    claim = Claim(Strategy.FIXED_WINDOW, "a", (Quota(5, 60),))
    for _ in range(2):
        counters.take(claim)
    storage.clear("a")
    storage.incr("a", 60)
    assert counters.look(claim).standings[0].used == 3


def test_reset_forgets_all_keys(limiter, storage):
    """After a reset every key has all its room."""
    for key in ("a", "b"):
        for _ in range(5):
            limiter.hit(ITEM, key)
    storage.reset()
    assert limiter.test(ITEM, "a")
    assert limiter.test(ITEM, "b")


@pytest.mark.parametrize("text", ["2 per 3 minutes", "2/second", "2 per 2 days", "2/year"])
def test_window_is_read_from_the_key(limiter, text, clock):
    """Whatever the unit, a limit lasts for its window and is gone after two."""
    item = parse(text)
    assert [limiter.hit(item, "a") for _ in range(3)] == [True, True, False]
    clock.advance(item.get_expiry() / 2)
    assert not limiter.test(item, "a")
    clock.advance(item.get_expiry() * 1.5)
    assert limiter.test(item, "a")


def test_limits_of_one_key_are_apart(limiter):
    """Two limits that differ in their window count by themselves for one key."""
    other = RateLimitItemPerSecond(5)
    for _ in range(5):
        limiter.hit(ITEM, "a")
    assert limiter.hit(other, "a")


def test_counting_goes_on_while_the_storage_is_down(clock):
    """Nothing is raised into Flask-Limiter: the process counts alone."""

    class Down(MemoryCounters):
        def take(self, claim):
            raise StorageError("memory://", "it is down")

        look = take

    down = CountersStorage(counting=Counting(Down(clock), MemoryCounters(clock)))
    for strategy in STRATEGIES.values():
        limiter = strategy(down)
        assert [limiter.hit(ITEM, strategy.__name__) for _ in range(6)] == [True] * 5 + [False]
        assert limiter.get_window_stats(ITEM, strategy.__name__).remaining == 0
