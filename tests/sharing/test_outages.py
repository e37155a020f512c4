"""Storages in trouble under traffic: callers see nothing of it, and sharing goes on afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.servers import RedisServer
from tests.sharing import faults
from tests.sharing.fleet import ask_all, told, wait_until

SETTINGS = {"breaker_failure_threshold": 3, "breaker_recovery_timeout": 600}
LONGEST_WAIT = 0.15
REDIS_FAULTS = [
    pytest.param(faults.killed, id="killed"),
    pytest.param(faults.hanging, id="hanging"),
    pytest.param(faults.read_only, id="read-only"),
    pytest.param(faults.other_password, id="wrong password"),
    pytest.param(faults.out_of_memory, id="out of memory"),
]
FILE_FAULTS = [
    pytest.param(faults.folder_in_its_place, id="a folder in its place"),
    pytest.param(faults.no_folder_to_write_in, id="nowhere to write"),
    pytest.param(faults.full_disk, id="full disk"),
    pytest.param(faults.locked, id="locked by a process that hangs"),
]


@pytest.fixture
def server(tmp_path):
    """Return a Redis that the test may harm."""
    with RedisServer(tmp_path, password=faults.PASSWORD) as server:
        yield server


@pytest.fixture
def path(sqlite_url):
    """Return where the SQLite file is, or will be."""
    return Path(sqlite_url.removeprefix("sqlite:///"))


def failed_operations(workers):
    """Return how long each storage operation took that failed a caller, by worker."""
    return [[took for took, failed in one if failed] for one in ask_all(workers, "operated")]


def go_through_outage(workers, upstream):
    """Call in an outage: it costs each worker one operation, and the circuit is its own."""
    assert ask_all(workers, "call", url=upstream.bad) == [[503], [503]]
    waits = failed_operations(workers)
    assert [len(one) for one in waits] == [1, 1]
    assert min(waits)[0] <= LONGEST_WAIT  # the best of two: a busy machine adds to either
    before = ask_all(workers, "operated")
    assert ask_all(workers, "call", url=upstream.good, times=100) == [[200] * 100] * 2
    assert ask_all(workers, "operated") == before
    local = [503, 503, 503, "rejected"]
    assert ask_all(workers, "call", url=upstream.bad, times=4) == [local] * 2
    assert [one[0][1:] for one in ask_all(workers, "transitions")] == [
        ["closed", "open", "process"]
    ] * 2
    see_it_last(workers, upstream)


def see_it_last(workers, upstream):
    """Call until each worker has asked in vain whether the outage is over; it told of one."""
    ask_all(workers, "begin", url=upstream.good)
    wait_until(lambda: min(ask_all(workers, "probed")) >= 2)
    ask_all(workers, "stop")
    assert told(workers, "storage.degraded") == [1, 1]
    assert told(workers, "storage.recovered") == [0, 0]


def come_back(fleet, workers, upstream, url):
    """Call after an outage: each worker tells of its end once, and circuits are shared again."""
    ask_all(workers, "begin", url=upstream.good)
    wait_until(lambda: told(workers, "storage.recovered") == [1, 1])
    (new,) = fleet.start(1, url, **SETTINGS)
    for decision, outcome in [("open", "rejected"), ("close", 200)]:
        new.ask("decide", name=upstream.url, decision=decision)
        wait_until(lambda now=outcome: {one.ask("told")[-1][1] for one in workers} == {now})
    ask_all(workers, "stop")
    assert told(workers, "storage.degraded") == [1, 1]
    assert told(workers, "storage.recovered") == [1, 1]


@pytest.mark.parametrize("fault", REDIS_FAULTS)
def test_outage_of_redis(fleet, server, upstream, fault):
    """One operation waits, then the circuit is the process's; when mended it is all workers'."""
    workers = fleet.start(2, server.url, **SETTINGS)
    assert ask_all(workers, "call", url=upstream.good) == [[200], [200]]
    with fault(server):
        go_through_outage(workers, upstream)
    come_back(fleet, workers, upstream, server.url)


def test_redis_that_is_not_there_yet(fleet, server, upstream):
    """Workers that start before their Redis share as soon as it is there."""
    with faults.killed(server):
        workers = fleet.start(2, server.url, **SETTINGS)
        go_through_outage(workers, upstream)
    come_back(fleet, workers, upstream, server.url)


@pytest.mark.parametrize("fault", FILE_FAULTS)
def test_outage_of_a_file(fleet, sqlite_url, path, upstream, fault):
    """One operation waits, then the circuit is the process's; when mended it is all workers'."""
    workers = fleet.start(2, sqlite_url, **SETTINGS)
    assert ask_all(workers, "call", url=upstream.good) == [[200], [200]]
    with fault(path, workers):
        go_through_outage(workers, upstream)
    come_back(fleet, workers, upstream, sqlite_url)


def test_outage_that_many_threads_meet_is_told_once(fleet, server, upstream):
    """Of eight threads whose operations hang together, one tells."""
    (worker,) = fleet.start(
        1, server.url, breaker_failure_threshold=10_000, breaker_minimum_calls=10_000
    )
    worker.ask("begin", url=upstream.bad, threads=8)
    wait_until(lambda: upstream.answers[503] >= 40)
    with faults.hanging(server):
        wait_until(lambda: told([worker], "storage.degraded") != [0])
        begun = upstream.answers[503]
        wait_until(lambda: upstream.answers[503] >= begun + 40)
        assert told([worker], "storage.degraded") == [1]
        worker.ask("stop")
