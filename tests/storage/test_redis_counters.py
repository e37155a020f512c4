"""Counters in Redis: scripts that reckon as the rules do, and servers that forget and hang."""

from __future__ import annotations

import random
import re
import time
import traceback
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from flask_resilience.errors import ConfigurationError, StorageError
from flask_resilience.policies.circuit import Circuit
from flask_resilience.policies.quota import Claim, Decision, Quota, Strategy
from flask_resilience.policies.window_counter import WindowCounter
from flask_resilience.storage import redis_counters
from flask_resilience.storage.memory_counters import RULES
from flask_resilience.storage.redis_counters import RedisCounters
from flask_resilience.storage.redis_server import Script
from tests.servers import PATIENCE, RedisServer, free_port
from tests.storage.test_redis import listener

FIXED, MOVING, SLIDING = (
    Strategy.FIXED_WINDOW,
    Strategy.MOVING_WINDOW,
    Strategy.SLIDING_WINDOW_COUNTER,
)
QUOTAS = (Quota(10, 60), Quota(100, 3600))
EACH = [pytest.param(one, id=one.value) for one in Strategy]
PLACES = {
    FIXED: "flask-resilience:{shop:a}:counter",
    SLIDING: "flask-resilience:{shop:a}:counter",
    MOVING: "flask-resilience:{shop:a}:units",
}
WITHIN_SCRIPTS = {
    *("time", "hmget", "hset", "pexpire", "llen", "lindex", "ltrim", "rpush", "type", "lrem")
}
NOW = 1_800_000_000_123_457
"""A time, in microseconds, at which tests stop the server's."""

GENEROUS = 0.5
"""Seconds that no failing operation may take, on the slowest machine; it is meant to take 0.2."""

OF_STRATEGY = {
    "take": lambda counters, one: counters.take(one),
    "look": lambda counters, one: counters.look(one),
    "give_back": lambda counters, one: counters.give_back(one, 100.0),
}
OPERATIONS = {
    "take": lambda counters: counters.take(claim()),
    "look": lambda counters: counters.look(claim()),
    "give_back": lambda counters: counters.give_back(claim(), 100.0),
    "clear": lambda counters: counters.clear("a"),
    "reset": lambda counters: counters.reset(),
}


def claim(strategy=FIXED, key="a", quotas=QUOTAS, cost=1):
    """Return a claim."""
    return Claim(strategy, key, quotas, cost)


@pytest.fixture
def make(redis_server) -> Iterator:
    """Return what makes counters at the shared server, or at another URL; all are closed."""
    with redis_server.client() as client, ExitStack() as stack:
        client.flushall()

        def make(url: str = redis_server.patient_url, namespace: str = "shop") -> RedisCounters:
            counters = RedisCounters(url, namespace=namespace)
            stack.callback(counters.close)
            return counters

        yield make


@pytest.fixture
def counters(make):
    """Return counters at the server that all tests share."""
    return make()


@pytest.fixture
def client(redis_server):
    """Return a client to look into that server."""
    with redis_server.client() as client:
        yield client


@pytest.fixture
def start(tmp_path) -> Iterator:
    """Return what starts a server of the test's own."""
    with ExitStack() as stack:
        yield lambda *config, **options: stack.enter_context(
            RedisServer(tmp_path, *config, **options)
        )


def used(decision):
    """Return what counts against each quota."""
    return [one.used for one in decision.standings]


def calls(client):
    """Return how often the server did each command since its figures were last reset."""
    stats = client.info("commandstats")
    found = {name.removeprefix("cmdstat_"): one["calls"] for name, one in stats.items()}
    return {name: n for name, n in found.items() if name not in ("config|resetstat", "info")}


def failure(counters, operation="take"):
    """Return the error of an operation, which came in time."""
    began = time.monotonic()
    with pytest.raises(StorageError) as caught:
        OPERATIONS[operation](counters)
    assert time.monotonic() - began < GENEROUS
    return caught.value


def take_in_time(counters):
    """Take something as soon as the machine is quick enough for the timeouts."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        with suppress(StorageError):
            return counters.take(claim())
    raise AssertionError("the server never answered in time")


def by_the_rules(held, one, now):
    """Return the decision that the rules take, and what is held after it."""
    rule = RULES[one.strategy]
    rolled = rule.at(list(held) if isinstance(held, list) else held, one, now)
    decision = Decision.on(one, rule.standings(rolled, one, now), now)
    return decision, rule.taken(rolled, one, now) if decision.granted else held


def some_quotas(chance):
    """Return one to three quotas with windows from a second to an hour."""
    windows = sorted(chance.sample([1, 2, 7, 60, 61, 3600], chance.randint(1, 3)))
    return tuple(Quota(chance.randint(1, 12) * (index + 1), w) for index, w in enumerate(windows))


def some_counters(chance, one, now):
    """Return counters that may be held for a claim: also too old ones, and just turning ones."""
    ages = [-0.3, 0, 0.3, 0.99, 1, 1.5, 1.999, 2, 5]
    return tuple(
        WindowCounter(
            now - chance.choice(ages) * quota.window,
            chance.randint(0, quota.amount),
            chance.randint(0, quota.amount),
        )
        for quota in one.quotas
    )


def some_units(chance, one):
    """Return when units may have been taken: also before the window, and just as it began."""
    longest = one.longest_window * 1_000_000
    ages = [round(chance.random() ** 3 * 1.3 * longest) for _ in range(chance.randint(1, 18))]
    ages += [quota.window * 1_000_000 for quota in one.quotas] * chance.randint(0, 2)
    return sorted(NOW - age for age in ages)


def fields(one, held):
    """Return what the hash of a claim's counters has in it."""
    each = zip(one.quotas, held, strict=True)
    return {q.window: f"{c.start:.17g} {c.previous} {c.current}" for q, c in each}


def put(client, one, held):
    """Let counters be held for a claim."""
    client.hset(f"flask-resilience:{{shop:{one.key}}}:counter", mapping=fields(one, held))


@pytest.fixture
def stop_time(monkeypatch):
    """Return what lets the scripts find the same time again and again, given in microseconds."""
    scripts = {type(kind): kind.take for kind in redis_counters.KINDS.values()}

    def stop(microseconds: int) -> float:
        whole, rest = divmod(microseconds, 1_000_000)
        for owner, script in scripts.items():
            text = script.text.replace("redis.call('TIME')", f"{{'{whole}', '{rest}'}}")
            monkeypatch.setattr(owner, "take", Script(text))
        return whole + rest / 1e6

    return stop


@pytest.mark.parametrize("strategy", [FIXED, SLIDING])
def test_script_reckons_counted_windows_as_the_rules_do(counters, client, stop_time, strategy):
    """From whatever was held, server and rules come to the same decision, to the last bit."""
    chance, granted = random.Random(7), 0  # noqa: S311
    now = stop_time(NOW)
    for number in range(400):
        one = claim(strategy, str(number), some_quotas(chance), chance.randint(1, 4))
        held = some_counters(chance, one, now)
        put(client, one, held)
        expected, after = by_the_rules(held, one, now)
        assert counters.look(one) == counters.take(one) == expected
        assert counters.look(one) == by_the_rules(after, one, now)[0]
        granted += expected.granted
    assert 100 < granted < 300


def test_script_reckons_moving_windows_as_the_rules_do(counters, client, stop_time):
    """From whatever was held, server and rules come to the same decision, to the last bit."""
    chance, granted = random.Random(7), 0  # noqa: S311
    now = stop_time(NOW)
    for number in range(400):
        one = claim(MOVING, str(number), some_quotas(chance), chance.randint(1, 4))
        units = some_units(chance, one)
        client.rpush(f"flask-resilience:{{shop:{number}}}:units", *units)
        held = [unit // 1_000_000 + unit % 1_000_000 / 1e6 for unit in units]
        expected, after = by_the_rules(held, one, now)
        assert counters.look(one) == counters.take(one) == expected
        assert counters.look(one) == by_the_rules(after, one, now)[0]
        granted += expected.granted
    assert 100 < granted < 300


@pytest.mark.parametrize("strategy", EACH)
def test_giving_back_undoes_as_the_rules_do(counters, strategy):
    """What was taken at each of two times is given back by that time, once."""
    rule, one = RULES[strategy], claim(strategy, cost=2)
    first, second = counters.take(one), counters.take(one)
    held = by_the_rules(by_the_rules(None, one, first.at)[1], one, second.at)[1]
    for at in (second.at, first.at, first.at):
        counters.give_back(one, at)
        held = rule.given_back(held, one, at)
        look = counters.look(one)
        assert look == by_the_rules(held, one, look.at)[0]


def test_giving_back_to_any_window_undoes_as_the_rules_do(counters, client):
    """It goes to the window of that time if that is still counted, and never below nothing."""
    chance = random.Random(7)  # noqa: S311
    for number in range(200):
        one = claim(FIXED, str(number), some_quotas(chance), chance.randint(1, 4))
        held = some_counters(chance, one, NOW / 1e6)
        put(client, one, held)
        counter, quota = chance.choice(list(zip(held, one.quotas, strict=True)))
        at = counter.start + chance.choice([-1.5, -1, -0.5, 0, 0.5]) * quota.window
        counters.give_back(one, at)
        after = RULES[FIXED].given_back(held, one, at)
        found = client.hgetall(f"flask-resilience:{{shop:{number}}}:counter")
        assert found == {str(w).encode(): text.encode() for w, text in fields(one, after).items()}


def test_decision_names_its_units_to_the_microsecond(counters, client, stop_time):
    """Whenever something was taken, the time in its decision is enough to give it back."""
    chance = random.Random(7)  # noqa: S311
    for _ in range(200):
        stop_time(NOW + chance.randrange(10**15))
        counters.give_back(claim(MOVING), counters.take(claim(MOVING)).at)
        assert client.dbsize() == 0


def test_unit_is_given_back_by_its_microsecond(counters, client):
    """Only units of exactly that time are taken out, and no more than the claim cost."""
    counters.take(claim(MOVING, cost=3))
    (unit,) = {int(one) for one in client.lrange(PLACES[MOVING], 0, -1)}
    client.rpush(PLACES[MOVING], unit + 1)
    counters.give_back(claim(MOVING, cost=2), (unit + 2) / 1e6)
    assert client.llen(PLACES[MOVING]) == 4
    counters.give_back(claim(MOVING, cost=2), unit / 1e6)
    assert [int(one) for one in client.lrange(PLACES[MOVING], 0, -1)] == [unit, unit + 1]


@pytest.mark.parametrize("cost", [1, 999, 1000, 1001, 10_000])
def test_claim_of_any_cost_takes_as_many_units(counters, client, cost):
    """What costs more than a script may push at once is taken whole."""
    assert counters.take(claim(MOVING, quotas=(Quota(10_000, 60),), cost=cost)).granted
    assert client.llen(PLACES[MOVING]) == cost


@pytest.mark.parametrize("operation", ["take", "look", "give_back"])
@pytest.mark.parametrize("strategy", EACH)
def test_operation_is_one_round_trip(counters, client, strategy, operation):
    """With two quotas, granted or refused, the server is asked once."""
    for one in (claim(strategy), claim(strategy, cost=11)):
        at = counters.take(one).at
        counters.give_back(one, at)
        client.config_resetstat()
        getattr(counters, operation)(*((one, at) if operation == "give_back" else (one,)))
        done = calls(client)
        assert done.pop("evalsha") == 1
        assert set(done) <= WITHIN_SCRIPTS


def test_scripts_are_told_once(counters, client):
    """A server that lost the scripts is told each once more, unnoticed."""
    for _ in range(2):
        client.script_flush()
        client.config_resetstat()
        for strategy in Strategy:
            for _ in range(3):
                one = claim(strategy)
                counters.give_back(one, counters.take(one).at)
        assert calls(client)["eval"] == 4


@pytest.mark.parametrize("strategy", EACH)
def test_refusal_and_look_write_nothing(counters, client, strategy):
    """What grants nothing changes nothing, not even a time to live."""

    def changes():
        return client.info("persistence")["rdb_changes_since_last_save"]

    before = changes()
    counters.look(claim(strategy))
    assert changes() == before
    counters.take(claim(strategy, cost=10))
    client.pexpire(PLACES[strategy], 30_000)
    before = changes()
    assert not counters.take(claim(strategy)).granted
    assert changes() == before
    assert client.pttl(PLACES[strategy]) <= 30_000


@pytest.mark.parametrize(
    ("strategy", "kind", "life"),
    [
        pytest.param(FIXED, b"hash", 7200, id="fixed"),
        pytest.param(SLIDING, b"hash", 7200, id="sliding"),
        pytest.param(MOVING, b"list", 3600, id="moving"),
    ],
)
def test_each_claim_is_one_key(counters, client, strategy, kind, life):
    """A counter is one key, which lives as long as it counts, and whose name keeps it on a node."""
    counters.take(claim(strategy, "10.0.0.1/a:b", cost=3))
    (key,) = client.keys()
    name = b"counter" if kind == b"hash" else b"units"
    assert key == b"flask-resilience:{shop:10.0.0.1%2Fa%3Ab}:" + name
    assert client.type(key) == kind
    assert life - 30 < client.pttl(key) / 1000 <= life + 0.01


@pytest.mark.parametrize("strategy", EACH)
def test_giving_back_keeps_the_time_to_live(counters, client, strategy):
    """A counter lives neither longer nor for ever by what is given back."""
    decision = counters.take(claim(strategy, cost=3))
    client.pexpire(PLACES[strategy], 30_000)
    counters.give_back(claim(strategy), decision.at)
    assert 0 < client.pttl(PLACES[strategy]) <= 30_000
    assert used(counters.look(claim(strategy))) == [3, 3]


def test_units_that_left_all_windows_are_let_go(counters, client):
    """A list holds what the longest window does, not all that was ever taken."""
    long_ago = int(client.time()[0] - 4000) * 1_000_000
    client.rpush(PLACES[MOVING], *range(long_ago, long_ago + 3000))
    assert used(counters.take(claim(MOVING))) == [1, 1]
    assert client.llen(PLACES[MOVING]) == 1


def test_moving_window_is_searched_not_read(counters, client):
    """Ten times the units cost no more than a few looks into the list."""
    looks = []
    now = int(client.time()[0]) * 1_000_000
    for number in (1000, 10_000):
        client.delete(PLACES[MOVING])
        step = 3_000_000_000 // number
        client.rpush(PLACES[MOVING], *range(now - 3_000_000_000, now, step))
        client.config_resetstat()
        counters.look(claim(MOVING, quotas=(Quota(1000, 60), Quota(100_000, 3600))))
        looks.append(calls(client)["lindex"])
    assert looks[1] <= looks[0] + 5 < 25


def test_clients_count_together(make):
    """What one process took is gone for the other one, and the other way round."""
    one, two = make(), make()
    for _ in range(5):
        assert one.take(claim()).granted
        assert two.take(claim()).granted
    assert not one.take(claim()).granted
    assert not two.take(claim()).granted


def test_forgetting_takes_the_counters_of_the_namespace_alone(make, make_redis, client):
    """Others' counters, the namespace's circuits and what else lies there stay."""
    odd = ["shop", "shop2", "", "*", "s[h]op", "shop:a", "{shop}"]
    each = [make(namespace=one) for one in odd]
    for one in each:
        for strategy in Strategy:
            one.take(claim(strategy, "x:counter"))
    client.set("flask-resilience:{shop:a}:other", "mine")
    make_redis().compare_and_set("a", "", Circuit(failures=1), 60.0)
    for gone, one in enumerate(each):
        one.reset()
        left = [used(other.look(claim(MOVING, "x:counter")))[0] - 1 for other in each]
        assert left == [0] * (gone + 1) + [1] * (len(each) - gone - 1)
        assert client.dbsize() == 2 + 2 * (len(each) - gone - 1)


def test_forgetting_goes_in_batches(counters, client, monkeypatch):
    """All counters go, with a round trip for so many keys and no command that reads them all."""
    monkeypatch.setattr(redis_counters, "BATCH", 100)
    for number in range(1000):
        client.hset(f"flask-resilience:{{shop:{number}}}:counter", "60", "1 0 0")
    client.config_resetstat()
    counters.reset()
    assert client.dbsize() == 0
    done = calls(client)
    assert done["unlink"] == 1000
    assert 5 <= done["scan"] <= 25
    assert "keys" not in done


def test_clearing_takes_both_kinds_of_a_key(counters, client):
    """A key is forgotten however it was counted, in one round trip."""
    for strategy in Strategy:
        counters.take(claim(strategy))
        counters.take(claim(strategy, "b"))
    client.config_resetstat()
    counters.clear("a")
    assert calls(client) == {"unlink": 1}
    assert used(counters.take(claim(MOVING))) == [1, 1]
    assert used(counters.take(claim(MOVING, "b"))) == [2, 2]


@pytest.mark.parametrize("strategy", EACH)
def test_cluster_counts_clears_and_forgets_on_all_nodes(make, redis_cluster, strategy):
    """Counters lie on all nodes of a Cluster, and are told, cleared and forgotten on each."""
    redis_cluster.execute("FLUSHALL")
    redis_cluster.execute("SCRIPT", "FLUSH")
    counters, other = make(redis_cluster.url), make(redis_cluster.url, "other")
    for _ in range(2):
        for number in range(30):
            assert counters.take(claim(strategy, f"client {number}")).granted
    assert all(redis_cluster.execute("DBSIZE"))
    assert used(counters.look(claim(strategy, "client 7"))) == [3, 3]
    other.take(claim(strategy))
    counters.clear("client 7")
    assert sum(redis_cluster.execute("DBSIZE")) == 30
    counters.reset()
    assert sum(redis_cluster.execute("DBSIZE")) == 1


@pytest.mark.parametrize("strategy", EACH)
def test_flushed_counters_begin_anew(counters, client, strategy):
    """What was flushed is gone, and giving it back makes nothing of it."""
    decision = counters.take(claim(strategy, cost=10))
    client.flushall()
    counters.give_back(claim(strategy, cost=10), decision.at)
    assert client.dbsize() == 0
    assert used(counters.take(claim(strategy))) == [1, 1]


@pytest.mark.parametrize("strategy", EACH)
def test_key_of_another_type_is_no_outage(counters, client, strategy):
    """What somebody put in a counter's place counts as none, until it is written over."""
    client.set(PLACES[strategy], "mine")
    assert used(counters.look(claim(strategy))) == [1, 1]
    counters.give_back(claim(strategy), 100.0)
    assert not counters.take(claim(strategy, cost=11)).granted
    assert client.get(PLACES[strategy]) == b"mine"
    assert used(counters.take(claim(strategy))) == [1, 1]
    assert used(counters.take(claim(strategy))) == [2, 2]


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("", id="nothing"),
        pytest.param("five", id="word"),
        pytest.param("1 2", id="too few"),
        pytest.param("1 2 3 4", id="too many"),
        pytest.param("nan 0 1", id="no time"),
        pytest.param("1e400 0 1", id="endless"),
        pytest.param("1 -2 -3", id="negative"),
        pytest.param(b"\xff\x00 1 1", id="no text"),
    ],
)
@pytest.mark.parametrize("strategy", [FIXED, SLIDING])
def test_field_that_is_no_counter_is_written_over(counters, client, strategy, value):
    """Garbage in one window's field counts as nothing, and the other window goes on."""
    counters.take(claim(strategy))
    client.hset(PLACES[strategy], "60", value)
    counters.give_back(claim(strategy), 100.0)
    assert used(counters.take(claim(strategy))) == [1, 2]
    assert used(counters.take(claim(strategy))) == [2, 3]


@pytest.mark.parametrize("value", ["", "five", b"\xff\x00", "-1"])
def test_unit_that_is_none_left_long_ago(counters, client, value):
    """Garbage in a list counts as what no window holds, and is let go with the next claim."""
    client.rpush(PLACES[MOVING], value, value)
    assert used(counters.look(claim(MOVING))) == [1, 1]
    counters.give_back(claim(MOVING), 100.0)
    assert used(counters.take(claim(MOVING))) == [1, 1]
    assert client.llen(PLACES[MOVING]) == 1


def test_windows_of_other_lengths_count_apart(counters):
    """A quota that came with a new release begins with nothing, beside those that stay."""
    counters.take(claim(quotas=(Quota(10, 60), Quota(100, 3600)), cost=4))
    assert used(counters.take(claim(quotas=(Quota(50, 300), Quota(100, 3600))))) == [1, 5]


@pytest.mark.parametrize("strategy", EACH)
def test_replica_can_be_looked_at(start, make, strategy):
    """A read-only replica refuses what writes, and still tells how quotas stand."""
    main = start()
    replica = start("--replicaof", "127.0.0.1", str(main.port))
    counters = make(replica.patient_url)
    with pytest.raises(StorageError, match="read only"):
        counters.take(claim(strategy))
    assert counters.look(claim(strategy)).granted
    with pytest.raises(StorageError, match="read only"):
        counters.clear("a")


@pytest.mark.parametrize("strategy", EACH)
def test_full_server_refuses_as_a_storage(start, make, strategy):
    """A server at its limit of memory can count nothing more, says so, and can be looked at."""
    server = start("--maxmemory-policy", "noeviction")
    counters = make(server.patient_url)
    counters.take(claim(strategy))
    with server.client() as client:
        client.config_set("maxmemory", 1)
    with pytest.raises(StorageError, match="memory"):
        counters.take(claim(strategy))
    assert used(counters.look(claim(strategy))) == [2, 2]


def test_restarted_server_is_used_at_once(start, make):
    """Connections to a server that was restarted meanwhile are noticed before they are used."""
    server = start()
    counters = make(server.patient_url)
    counters.take(claim())
    server.stop()
    server.start()
    assert used(counters.take(claim())) == [1, 1]


@pytest.mark.parametrize("operation", OPERATIONS)
def test_server_that_hangs_is_an_error(start, make, operation):
    """A stopped server is given up in time, on an old connection or a new one, and used again."""
    server = start()
    counters = make(server.url)
    take_in_time(counters)
    with server.paused():
        failure(counters, operation)
        failure(counters, operation)
    take_in_time(counters)


def test_counters_wait_longer_than_circuits(start, make):
    """An answer is waited for 0.1 seconds, or as long as the URL says."""
    server = start()
    for options, least in (("", 0.1), ("?socket_timeout=0.2", 0.2)):
        with server.paused():
            began = time.monotonic()
            failure(make(f"{server.url}{options}"))
            assert time.monotonic() - began >= least


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("scheme", ["redis", "redis+cluster"])
def test_server_that_is_not_there_is_an_error(make, scheme, operation):
    """A refused connection is an error of the storage, which names its address and no password."""
    counters = make(f"{scheme}://ana:s3cret@127.0.0.1:{free_port()}")
    error = failure(counters, operation)
    assert error.storage == counters.address
    assert error.__context__ is None
    texts = [counters.address, repr(counters), repr(vars(counters)), repr(vars(error))]
    texts += traceback.format_exception(error)
    assert not [text for text in texts if "s3cret" in text]


@pytest.mark.parametrize("strategy", EACH)
@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(None, id="nothing"),
        pytest.param(5, id="a number"),
        pytest.param([], id="empty"),
        pytest.param([1, b"x", b"y", b"1 2 3", b"1 2 3"], id="no time"),
        pytest.param([1, b"1", b"2", b"1 2", b"1 2 3"], id="no counter"),
        pytest.param([1, b"1", b"2", 3, 4, 5, 6, 7], id="numbers"),
        pytest.param([1, 2, 3, 4, None, None, None, None], id="nulls"),
        pytest.param([1, 2, 3, 4], id="too few"),
        pytest.param([1, b"1", b"2", b"1 0 1"], id="one quota"),
    ],
)
def test_answer_that_is_none_is_an_error(counters, monkeypatch, strategy, answer):
    """Whatever else answers there, its answers are errors of the storage."""
    monkeypatch.setattr(Script, "run", lambda *arguments: answer)
    with pytest.raises(StorageError):
        counters.take(claim(strategy))


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("scheme", ["redis", "redis+cluster"])
@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"HTTP/1.1 400 Bad Request\r\n\r\n", id="HTTP"),
        pytest.param(b"", id="nothing"),
        pytest.param(b"-MOVED x\r\n", id="moved to nowhere"),
        pytest.param(b"*2\r\n$1\r\nx\r\n*0\r\n", id="no cursor"),
        pytest.param(b"*2\r\n$1\r\n5\r\n*1\r\n:1\r\n", id="no key"),
    ],
)
def test_another_service_is_an_error(make, scheme, operation, answer):
    """Whatever listens at the address, no operation raises anything but a storage's error."""
    with listener(answer) as port, suppress(StorageError):
        OPERATIONS[operation](make(f"{scheme}://127.0.0.1:{port}"))


def test_wrong_password_is_an_error(make, redis_server):
    """Without the right password each operation fails, and says why without any."""
    counters = make(f"redis://:wr0ng@127.0.0.1:{redis_server.port}?{PATIENCE}")
    for operation in OPERATIONS:
        error = failure(counters, operation)
        assert "Authentication" in error.reason
        assert "wr0ng" not in str(error)


@pytest.fixture
def as_user(redis_server, client, make):
    """Return what makes counters of a user that may use those commands alone."""

    def make_as(*commands):
        rights = ["reset", "on", ">word", "~flask-resilience:*", *commands]
        client.execute_command("ACL", "SETUSER", "shop", *rights)
        return make(redis_server.patient_url.replace("redis://:s3cret@", "redis://shop:word@"))

    yield make_as
    client.execute_command("ACL", "DELUSER", "shop")


@pytest.mark.parametrize("operation", ["take", "look", "give_back"])
@pytest.mark.parametrize(
    ("strategy", "right"),
    [
        pytest.param(FIXED, "hmget", id="fixed"),
        pytest.param(SLIDING, "hmget", id="sliding"),
        pytest.param(MOVING, "llen", id="moving"),
    ],
)
def test_missing_right_is_no_absence_of_counters(as_user, strategy, right, operation):
    """Where the user may not read, nothing is granted in silence: the storage is unusable."""
    counters = as_user("+@all", f"-{right}", "-type")
    with pytest.raises(StorageError, match="can't run this command"):
        OF_STRATEGY[operation](counters, claim(strategy))


@pytest.mark.parametrize("strategy", EACH)
def test_documented_rights_are_enough(as_user, strategy):
    """The rights that the documentation asks for let every operation through."""
    text = Path(__file__).parents[2].joinpath("docs", "workers.rst").read_text(encoding="utf-8")
    rights = text.partition("ACL SETUSER")[2].split("Cluster")[0]
    counters = as_user(*re.findall(r"\+[a-z]+", rights))
    granted = counters.take(claim(strategy))
    counters.give_back(claim(strategy), granted.at)
    assert counters.look(claim(strategy)).granted
    counters.clear("a")
    counters.reset()


@pytest.mark.parametrize("url", ["http://127.0.0.1", "redis://", "redis://h?sockettimeout=1"])
def test_url_of_nothing_known_is_an_error_of_the_setting(url):
    """What is no URL of Redis is refused before anything is asked."""
    with pytest.raises(ConfigurationError):
        RedisCounters(url)
