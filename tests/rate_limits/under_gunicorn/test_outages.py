"""Limits while their Redis is in trouble: clients wait for nothing, and each process tells once."""

from __future__ import annotations

import pytest

from tests.rate_limits.under_gunicorn.serving import limited
from tests.servers import RedisServer
from tests.sharing.fleet import wait_until

LONGEST_WAIT = 0.5
QUICK = 0.05
TWO_WORKERS = ["-w", "2", "--preload", "--timeout", "2"]
KINDS = [
    pytest.param(["-k", "sync"], id="sync"),
    pytest.param(["--threads", "4"], id="threads"),
    pytest.param(["-k", "gevent"], id="gevent"),
]
SHOP = {"rate_limit": "5 per minute"}
VIEWS = {"rate_limit": "", "view_limit": "5 per minute"}


class TooSlowError(Exception):
    """Nothing was wrong but how long it took."""


@pytest.fixture
def redis_server(tmp_path):
    """Return a Redis that the test may harm."""
    (tmp_path / "redis").mkdir()
    with RedisServer(tmp_path / "redis") as server:
        yield server


@pytest.fixture
def in_time(tmp_path, redis_server):
    """Return what tries a scenario in a folder, and once more if it only took too long."""

    def run(scenario):
        try:
            scenario(tmp_path / "first")
        except TooSlowError:
            with redis_server.client() as client:
                client.flushall()
            scenario(tmp_path / "second")

    return run


def hold_to_time(answers):
    """Raise if one of them took too long."""
    slowest = max(one.seconds for one in answers)
    if slowest > LONGEST_WAIT:
        raise TooSlowError(f"an answer took {slowest:.3f} s")


def ask_until(server, path, condition):
    """Ask in a row until *condition* is true of all answers; return them."""
    answers = []

    def is_true():
        answers.append(server.ask(path))
        return condition(answers)

    wait_until(is_true)
    return answers


def each_rejected(workers):
    """Return the condition that each of some workers has rejected."""
    return lambda answers: {one.worker for one in answers if one.status == 429} >= workers


def test_killed_redis_costs_no_answer_and_each_process_tells_of_it_once(redis_server, in_time):
    """From its death on each process counts alone, and from its return on all together."""

    def scenario(folder):
        apps = {"shop": {**SHOP, "storage_url": redis_server.patient_url}}
        with limited(folder, apps, "-w", "2", "--threads", "4") as server:
            workers = server.workers(2)
            before = [server.ask("/shop/") for _ in range(2)]
            redis_server.stop()
            meanwhile = server.answers_at_once("/shop/", 16)
            meanwhile += ask_until(server, "/shop/", each_rejected(workers))
            degraded = server.pids_that_told("storage.degraded")
            redis_server.start()
            after = ask_until(
                server,
                "/shop/",
                lambda _: server.pids_that_told("storage.recovered") == sorted(workers),
            )
            after += [server.ask("/shop/") for _ in range(10)]
            assert degraded == server.pids_that_told("storage.degraded") == sorted(workers)
            assert server.pids_that_told("storage.recovered") == sorted(workers)
            assert {line["level"] for line in server.told("storage.degraded")} == {"warning"}
        let_in = [[one.status for one in part].count(200) for part in (before, meanwhile, after)]
        assert let_in == [2, 2 * 5, 5]
        assert {one.status for one in before + meanwhile + after} == {200, 429}
        hold_to_time(before + meanwhile + after)

    in_time(scenario)


@pytest.mark.parametrize("kind", KINDS)
def test_hanging_redis_costs_the_first_answers_half_a_second(redis_server, in_time, kind):
    """All that meet it at once wait once, later ones do not, and no worker is taken for dead."""

    def scenario(folder):
        apps = {"shop": {**SHOP, "storage_url": redis_server.url}}
        with limited(folder, apps, *TWO_WORKERS, *kind) as server:
            workers = server.workers(2)
            with redis_server.paused():
                first = server.answers_at_once("/shop/", 16)
                first += ask_until(server, "/shop/", each_rejected(workers))
                later = [server.ask("/shop/") for _ in range(100)]
            assert server.pids_that_told("storage.degraded") == sorted(workers)
            assert server.workers(2) == workers
        assert {one.status for one in first + later} == {200, 429}
        hold_to_time(first)
        seconds = sorted(one.seconds for one in later)
        if seconds[94] > QUICK or sum(seconds) > 50 * QUICK:
            raise TooSlowError(f"the slowest took {seconds[90:]}")

    in_time(scenario)


def test_view_without_a_limit_never_asks_the_storage(redis_server, tmp_path):
    """Without one for all routes, an app whose Redis hangs does not notice until a limit holds."""
    apps = {"shop": {**VIEWS, "storage_url": redis_server.url}}
    with limited(tmp_path, apps, *TWO_WORKERS) as server:
        workers = server.workers(2)
        with redis_server.paused():
            ask_until(server, "/shop/", lambda all_: {one.worker for one in all_} == workers)
            assert server.statuses_in_a_row("/shop/", 100) == [200] * 100
            assert server.outages() == []
            assert server.ask("/shop/view").status == 200
            assert len(server.outages()) == 1
