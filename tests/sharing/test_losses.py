"""Storages that lose what they held: who knows of an open circuit puts it back."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.sharing import faults
from tests.sharing.fleet import ask_all, told, wait_until

SETTINGS = {"breaker_failure_threshold": 3, "breaker_recovery_timeout": 600}
OPENED = [503, 503, 503, "rejected"]


@pytest.fixture
def path(tmp_path):
    """Return where the SQLite file is."""
    return tmp_path / "state" / "shop.sqlite3"


@pytest.fixture
def lose(place, path, redis_server):
    """Return what lets the storage forget everything."""

    def forget():
        if place.startswith("sqlite"):
            path.unlink()
        else:
            with redis_server.client() as client:
                client.flushall()

    return forget


def see_it_open_again(fleet, place, knowing, upstream):
    """Wait until the open circuit is back in the storage: a new process is rejected at once."""
    ask_all(knowing, "begin", url=upstream.good)
    (looking,) = fleet.start(1, place, **SETTINGS)
    wait_until(lambda: looking.ask("look", name=upstream.url)["state"] == "open")
    (new,) = fleet.start(1, place, **SETTINGS)
    assert new.call(upstream.good) == ["rejected"]
    ask_all(knowing, "stop")
    assert {outcome for one in ask_all(knowing, "told") for _, outcome in one} == {"rejected"}


def test_open_circuit_that_was_lost_is_put_back(fleet, place, upstream, lose):
    """A flush, or a deleted file, is no outage: those who were turned away still are, and all."""
    workers = fleet.start(2, place, **SETTINGS)
    assert workers[0].call(upstream.bad, 4) == OPENED
    assert workers[1].call(upstream.good) == ["rejected"]
    lose()
    see_it_open_again(fleet, place, workers, upstream)
    assert told(workers, "storage.degraded") == [0, 0]
    assert sum(map(len, ask_all(workers, "transitions"))) == 1


def test_old_knowledge_does_not_close_what_opened_after_a_loss(fleet, place, upstream, lose):
    """Who knows the circuit from long ago, through more changes, asks first and is rejected."""
    old, new = fleet.start(2, place, **SETTINGS)
    old.ask("decide", name=upstream.url, decision="open")
    old.ask("decide", name=upstream.url, decision="close")
    assert old.call(upstream.good) == [200]
    lose()
    assert new.call(upstream.bad, 4) == OPENED
    wait_until(lambda: old.call(upstream.good) == ["rejected"])
    assert new.call(upstream.good) == ["rejected"]


def test_lost_script_is_sent_again(fleet, redis_url, redis_server, upstream):
    """``SCRIPT FLUSH`` is no outage, and costs no call."""
    workers = fleet.start(2, redis_url, **SETTINGS)
    assert ask_all(workers, "call", url=upstream.bad) == [[503], [503]]
    with redis_server.client() as client:
        client.script_flush()
    assert workers[0].call(upstream.bad, 2) == [503, "rejected"]
    assert workers[1].call(upstream.bad, 2)[-1] == "rejected"
    assert told(workers, "storage.degraded") == [0, 0]


@pytest.mark.parametrize("end", ["", "-wal"], ids=["the file", "its log"])
def test_corrupt_file_makes_way_for_a_new_one(fleet, sqlite_url, path, upstream, end):
    """Garbage over it costs each worker one short outage at most; what they know is put back."""
    workers = fleet.start(2, sqlite_url, **SETTINGS)
    assert workers[0].call(upstream.bad, 4) == OPENED
    assert workers[1].call(upstream.good) == ["rejected"]
    faults.garbage(Path(f"{path}{end}"))
    see_it_open_again(fleet, sqlite_url, workers, upstream)
    wait_until(lambda: told(workers, "storage.degraded") == told(workers, "storage.recovered"))
    assert max(told(workers, "storage.degraded")) <= 1
