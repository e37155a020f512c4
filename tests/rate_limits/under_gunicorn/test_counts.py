"""Limits under several workers: exactly as many requests are let in as a limit allows."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.rate_limits.under_gunicorn.serving import limited

STRATEGIES = ["fixed-window", "sliding-window-counter", "moving-window"]
IN_A_ROW = {
    f"{strategy}-{where}": {"rate_limit_strategy": strategy, "rate_limit": "", **limit}
    for strategy in STRATEGIES
    for where, limit in {
        "app": {"rate_limit": "5 per minute"},
        "view": {"view_limit": "5 per minute"},
    }.items()
}
AT_ONCE = {
    "sliding-5": {"rate_limit": "5 per minute"},
    "sliding-100": {"rate_limit": "100 per minute"},
    "fixed-100": {"rate_limit": "100 per minute", "rate_limit_strategy": "fixed-window"},
    "moving-100": {"rate_limit": "100 per minute", "rate_limit_strategy": "moving-window"},
}
KINDS = [
    pytest.param(["-w", "4", "--threads", "4"], id="threads"),
    pytest.param(["-w", "2", "-k", "gevent"], id="gevent"),
]


@pytest.fixture(params=["file", "redis"])
def place(request):
    """Return the setting that chooses a place where nothing was counted, if one is needed."""
    if request.param == "file":
        return {}
    server = request.getfixturevalue("redis_server")
    with server.client() as client:
        client.flushall()
    return {"storage_url": server.patient_url}


def apps_at(place, apps):
    """Return *apps* with the setting of a place."""
    return {name: {**settings, **place} for name, settings in apps.items()}


@pytest.mark.parametrize("options", KINDS)
def test_of_200_requests_at_once_exactly_those_are_let_in_that_a_limit_allows(
    tmp_path, place, options
):
    """It holds for each strategy, and for a file that the first of them have yet to make."""
    with limited(tmp_path, apps_at(place, AT_ONCE), *options) as server:
        server.workers(int(options[1]))
        found = {name: Counter(server.statuses_at_once(f"/{name}/", 200)) for name in AT_ONCE}
        assert server.outages() == []
    amounts = {name: int(name.rpartition("-")[2]) for name in AT_ONCE}
    assert found == {name: {200: amount, 429: 200 - amount} for name, amount in amounts.items()}


def test_of_30_requests_in_a_row_the_first_5_are_let_in(tmp_path, place):
    """Two workers count as one, by each strategy, for all routes together and for one view."""
    with limited(tmp_path, apps_at(place, IN_A_ROW), "-w", "2") as server:
        server.workers(2)
        found = {name: server.statuses_in_a_row(f"/{name}/view", 30) for name in IN_A_ROW}
    assert found == dict.fromkeys(IN_A_ROW, [200] * 5 + [429] * 25)


def test_what_was_counted_before_workers_were_forked_counts(tmp_path, place):
    """Of a limit of 100, a preloaded app that was asked twice leaves exactly 98 to its workers."""
    apps = apps_at(place, {"shop": {"rate_limit": "100 per minute", "ask_before": 2}})
    with limited(tmp_path, apps, "-w", "4", "--threads", "4", "--preload") as server:
        server.workers(4)
        assert Counter(server.statuses_at_once("/shop/", 200)) == {200: 98, 429: 102}
