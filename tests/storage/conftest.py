"""The storages under test, each as a place that several storages can share."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from flask_resilience.clock import Clock
from flask_resilience.counters.counter_storage import CounterStorage
from flask_resilience.storage.memory import MemoryStorage
from flask_resilience.storage.redis import RedisStorage
from flask_resilience.storage.sqlite import SQLiteStorage
from flask_resilience.storage.url import open_all
from flask_resilience.testing import FakeClock
from tests.servers import RedisCluster, RedisServer

MakeSQLite = Callable[..., SQLiteStorage]
MakeRedis = Callable[..., RedisStorage]


class Place:
    """Where circuits or counters lie: what makes a storage there, and lets time pass in it.

    :param url: What other processes find it by.
    :param make: Makes a storage of a namespace; takes ``clock`` where the time is the tests'.
    :param wait: Lets seconds of its time pass.
    """

    def __init__(self, url: str, make: Callable[..., Any], wait: Callable[[float], None]) -> None:
        self.url, self.make, self.wait = url, make, wait


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Return a server that all tests share; a test that harms it starts its own."""
    with RedisServer(tmp_path_factory.mktemp("redis"), password="s3cret") as server:
        yield server


@pytest.fixture
def make_redis(redis_server: RedisServer) -> Iterator[MakeRedis]:
    """Return what makes a storage at the shared server, or at another URL; all are closed."""
    with redis_server.client() as client, ExitStack() as stack:
        client.flushall()

        def make(url: str = redis_server.patient_url, namespace: str = "shop") -> RedisStorage:
            storage = RedisStorage(url, namespace=namespace)
            stack.callback(storage.close)
            return storage

        yield make


@pytest.fixture
def make_sqlite(tmp_path: Path, clock: FakeClock) -> Iterator[MakeSQLite]:
    """Return what makes a storage in one file, with the tests' clock; all are closed."""
    with ExitStack() as stack:

        def make(
            path: str | Path = tmp_path / "shop.sqlite3",
            namespace: str = "shop",
            clock: Clock = clock,
            **options: Any,
        ) -> SQLiteStorage:
            storage = SQLiteStorage(path, namespace=namespace, clock=clock, **options)
            stack.callback(storage.close)
            return storage

        yield make


@pytest.fixture
def memory_place(clock: FakeClock) -> Place:
    """Return memory: each storage is a place of its own."""

    def make(namespace: str = "shop", clock: Clock = clock) -> MemoryStorage:
        return MemoryStorage(clock)

    return Place("memory://", make, clock.advance)


@pytest.fixture
def sqlite_place(make_sqlite: MakeSQLite, tmp_path: Path, clock: FakeClock) -> Place:
    """Return a SQLite file."""
    return Place(f"sqlite:///{tmp_path / 'shop.sqlite3'}", make_sqlite, clock.advance)


@pytest.fixture
def redis_place(make_redis: MakeRedis, redis_server: RedisServer) -> Place:
    """Return a Redis server, whose time is real."""

    def make(namespace: str = "shop", clock: Clock | None = None) -> RedisStorage:
        return make_redis(namespace=namespace)

    return Place(redis_server.patient_url, make, time.sleep)


@pytest.fixture(scope="session")
def redis_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisCluster]:
    """Return a Cluster of three servers that all tests share."""
    with RedisCluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.fixture
def cluster_place(make_redis: MakeRedis, redis_cluster: RedisCluster) -> Place:
    """Return a Cluster of Redis servers, whose time is real."""
    redis_cluster.execute("FLUSHALL")

    def make(namespace: str = "shop", clock: Clock | None = None) -> RedisStorage:
        return make_redis(redis_cluster.url, namespace)

    return Place(redis_cluster.url, make, time.sleep)


@pytest.fixture(params=["memory", "sqlite", "redis", "cluster"])
def place(request: pytest.FixtureRequest) -> Place:
    """Return each place in turn."""
    return request.getfixturevalue(f"{request.param}_place")


@pytest.fixture(params=["sqlite", "redis", "cluster"])
def shared_place(request: pytest.FixtureRequest) -> Place:
    """Return each place that processes share."""
    return request.getfixturevalue(f"{request.param}_place")


@pytest.fixture(params=["memory", "sqlite", "redis", "cluster"])
def counter_place(request: pytest.FixtureRequest, clock: FakeClock) -> Iterator[Place]:
    """Return each place in turn, for counters; memory and SQLite have the tests' clock."""
    place = request.getfixturevalue(f"{request.param}_place")
    with ExitStack() as stack:

        def make(namespace: str = "shop") -> CounterStorage:
            opened = open_all(place.url, namespace=namespace, clock=clock)
            for one in (opened.circuits, opened.counters):
                stack.callback(getattr(one, "close", lambda: None))
            return opened.counters

        yield Place(place.url, make, place.wait)
