"""Fleets of worker processes, the places where their circuits meet, and what they call."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import RedisServer
from tests.sharing.fleet import Fleet
from tests.sharing.upstream import SwitchedUpstream


@pytest.fixture(scope="session")
def _fleet_of_the_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    fleet = Fleet(tmp_path_factory.mktemp("fleet"))
    yield fleet
    fleet.close()


@pytest.fixture
def fleet(_fleet_of_the_run: Fleet) -> Iterator[Fleet]:
    """Return what starts workers; they end with the test."""
    yield _fleet_of_the_run
    _fleet_of_the_run.end_workers()


@pytest.fixture
def upstream() -> Iterator[SwitchedUpstream]:
    """Return an upstream that is well."""
    with SwitchedUpstream() as upstream:
        yield upstream
        upstream.let_go()


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Return a server that all tests share; a test that harms it starts its own."""
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """Return the URL of an empty Redis, with time enough for a machine that is busy with tests."""
    with redis_server.client() as client:
        client.flushall()
    return f"{redis_server.url}?socket_connect_timeout=5&socket_timeout=5"


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """Return the URL of a file that is not there yet."""
    return f"sqlite:///{tmp_path / 'state' / 'shop.sqlite3'}"


@pytest.fixture(params=["sqlite", "redis"])
def place(request: pytest.FixtureRequest) -> str:
    """Return the URL of each place where processes meet."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url
