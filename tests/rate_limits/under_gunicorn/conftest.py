"""Where workers count together: a Redis for all tests, or the file that is there by default."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers import RedisServer


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Return a server that all tests share; a test that harms it starts its own."""
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server
