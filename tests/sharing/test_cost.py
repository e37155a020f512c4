"""What sharing costs: next to no storage operations while healthy, and nobody's waiting."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from flask import Flask

from flask_resilience import Resilience
from tests.sharing.fleet import ask_all

SECONDS, RATE = 10, 1000
MOST_OPERATIONS = 45


def test_healthy_traffic_asks_four_times_a_second(fleet, sqlite_url, redis_url, redis_server):
    """1,000 good calls a second for 10 s cost one process at most 45 operations, in either place.

    Counted where they are made, and by the Redis itself. Both processes run at once.
    """
    workers = [*fleet.start(1, sqlite_url), *fleet.start(1, redis_url)]
    with redis_server.client() as client:
        client.config_resetstat()
        assert ask_all(workers, "guard", name="ledger", rate=RATE, seconds=SECONDS) == [10_000] * 2
        commands = client.info("commandstats")
    scripts = [commands[name]["calls"] for name in commands if name.startswith("cmdstat_eval")]
    assert 0 < sum(scripts) <= MOST_OPERATIONS
    assert max(len(one) for one in ask_all(workers, "operated")) <= MOST_OPERATIONS
    counted = [one["calls"] for one in ask_all(workers, "look", name="ledger")]
    assert counted == [SECONDS * RATE] * 2


@pytest.mark.parametrize("kind", ["memory", "sqlite", "redis"])
def test_threads_do_not_wait_for_each_other(request, kind):
    """Ten threads that each guard code of 0.2 s are done within 0.4 s; the best of three counts."""
    url = "memory://" if kind == "memory" else request.getfixturevalue(f"{kind}_url")
    app = Flask("shop")
    breaker_of = Resilience(app, storage_url=url, log_format="off").breaker
    took = []
    with app.app_context(), ThreadPoolExecutor(10) as pool:
        guard = breaker_of("ledger").call
        for _ in range(3):
            begin = time.monotonic()
            list(pool.map(lambda _: guard(time.sleep, 0.2), range(10)))
            took.append(time.monotonic() - begin)
    assert min(took) < 0.4
