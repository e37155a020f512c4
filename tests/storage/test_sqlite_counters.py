"""Counters in SQLite: what lies in the file, who waits for whom, and what is swept out."""

from __future__ import annotations

import gc
import os
import sqlite3
import subprocess
import sys
import time
from functools import partial

import psutil
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from flask_resilience.errors import StorageError
from flask_resilience.policies.quota import Claim, Quota, Strategy
from flask_resilience.policies.window_counter import CountedWindows, WindowCounter
from flask_resilience.storage import sqlite_counters, sqlite_file
from flask_resilience.storage.sqlite_connections import Connections
from flask_resilience.storage.sqlite_counters import ROWS_BETWEEN_SWEEPS, ROWS_SWEPT, SQLiteCounters
from flask_resilience.storage.sqlite_file import execute
from flask_resilience.storage.sqlite_windows import WindowTable
from flask_resilience.testing import FakeClock
from tests.servers import run_python

FIXED, SLIDING, MOVING = (
    Strategy.FIXED_WINDOW,
    Strategy.SLIDING_WINDOW_COUNTER,
    Strategy.MOVING_WINDOW,
)
HOUR = 3600
QUOTAS = (Quota(5, 60), Quota(10, HOUR))
GENEROUS = 1.5
"""Seconds that no failing operation may take, on the slowest machine; it is meant to take 0.25."""

COUNT = """
SELECT (SELECT count(*) FROM counters WHERE namespace = ?)
    + (SELECT count(*) FROM units WHERE namespace = ?)
"""
FILL = {
    "counters": """
WITH RECURSIVE one(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM one WHERE n < ?)
INSERT INTO counters SELECT ?, n, 60, 1.0, 0, 1, 1.0, ? FROM one
""",
    "units": """
WITH RECURSIVE one(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM one WHERE n < ?)
INSERT INTO units SELECT ?, n, 1.0, 1, ? FROM one
""",
}
KILLED = """
import os, signal, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
connection.execute("UPDATE counters SET current = 999")
connection.execute("UPDATE units SET cost = 999")
os.kill(os.getpid(), signal.SIGKILL)
"""
FORK = """
import os, sys
import psutil
from flask_resilience.policies.quota import Claim, Quota, Strategy
from flask_resilience.storage.sqlite_counters import SQLiteCounters

counters = SQLiteCounters(sys.argv[1])
claim = Claim(Strategy.FIXED_WINDOW, "a", (Quota(5, 3600),))
counters.take(claim)
if os.fork() == 0:
    inherited = any(one.path.startswith(sys.argv[1]) for one in psutil.Process().open_files())
    counters.take(claim)
    os._exit(inherited)
print(os.waitstatus_to_exitcode(os.wait()[1]), counters.take(claim).standings[0].used)
counters.close()
"""


@pytest.fixture
def path(tmp_path):
    """Return where the file is."""
    return tmp_path / "shop.sqlite3"


@pytest.fixture
def make(path, clock):
    """Return what makes counters in *path*, with the tests' clock; all are closed."""
    made = []

    def make(namespace="shop", clock=clock):
        made.append(SQLiteCounters(path, namespace=namespace, clock=clock))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def counters(make):
    """Return counters in *path*."""
    return make()


@pytest.fixture(params=[pytest.param(one, id=one.value) for one in Strategy])
def strategy(request):
    """Return each strategy in turn."""
    return request.param


def used(decision):
    """Return what counts against each quota."""
    return [one.used for one in decision.standings]


def query(path, text, *values):
    """Return what a connection of its own reads, or does."""
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        return connection.execute(text, values).fetchall()
    finally:
        connection.close()


def rows(path, namespace):
    """Return how many rows a namespace has, for counted and for moving windows together."""
    return query(path, COUNT, namespace, namespace)[0][0]


def fill(path, table, number, namespace="old", expires_at=1.0):
    """Put so many rows into a table."""
    query(path, FILL[table], number, namespace, expires_at)


def test_constructing_opens_nothing(tmp_path):
    """Counters make neither file nor folder before they are used."""
    SQLiteCounters(tmp_path / "state" / "shop.sqlite3")
    assert list(tmp_path.iterdir()) == []


def test_file_without_the_tables_gets_them(make, make_sqlite, path, strategy):
    """In a file of before there were counters they count, and its circuits stay."""
    circuits = make_sqlite(path)
    circuits.read("a")
    query(path, "DROP TABLE counters")
    query(path, "DROP TABLE units")
    claim = Claim(strategy, "a", QUOTAS)
    assert [used(make().take(claim)) for _ in range(2)] == [[1, 1], [2, 2]]
    assert circuits.read("a").circuit is None


def test_circuits_and_counters_share_a_file(make, make_sqlite, path):
    """One file holds both, and nobody takes it for another's."""
    make().take(Claim(FIXED, "a", QUOTAS))
    assert make_sqlite(path).read("a").circuit is None
    assert used(make().take(Claim(FIXED, "a", QUOTAS))) == [2, 2]


def test_counts_outlive_their_process(make, strategy):
    """What was counted counts on after all connections were closed."""
    first = make()
    first.take(Claim(strategy, "a", QUOTAS, 3))
    first.close()
    assert not make().take(Claim(strategy, "a", QUOTAS, 3)).granted


def test_refused_claim_waits_for_nobody_who_writes(counters, path, strategy):
    """While somebody holds the file locked, refusals and looks are answered all the same."""
    claim = Claim(strategy, "a", QUOTAS, 5)
    counters.take(claim)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        assert not counters.take(claim).granted
        assert not counters.take(claim._replace(cost=3)).granted
        assert not counters.look(claim).granted
    finally:
        other.close()


def test_locked_file_costs_a_claim_little(counters, path, strategy):
    """A claim that could be granted gives up soon if the file stays locked; the next one counts."""
    claim = Claim(strategy, "a", QUOTAS)
    counters.take(claim)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    began = time.monotonic()
    with pytest.raises(StorageError, match="locked"):
        counters.take(claim)
    took = time.monotonic() - began
    other.close()
    assert 0.15 < took < GENEROUS
    assert used(counters.take(claim)) == [2, 2]


def test_worker_killed_in_a_write_leaves_what_was(counters, path, strategy):
    """The half of a write that a killed worker left is nothing, and its lock is gone."""
    claim = Claim(strategy, "a", QUOTAS)
    counters.take(claim)
    subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
    assert used(counters.take(claim)) == [2, 2]


@pytest.mark.parametrize("before", [0, 2], ids=["new window", "window that lasts"])
@pytest.mark.parametrize("quotas", [QUOTAS[:1], QUOTAS], ids=["one quota", "two quotas"])
def test_room_is_looked_at_again_when_it_is_written(
    counters, path, clock, strategy, before, quotas
):
    """Who read that there was room gets none if another one was faster."""
    other = Claim(strategy, "a", quotas, 2 if before else 3)  # two of them are one too many
    if before:
        counters.take(other._replace(cost=before))
    table, row = sqlite_counters.TABLES[strategy], ("shop", "a")
    connections = Connections(path, clock)

    def come_second(file):
        run, now = partial(execute, file.connection), connections.now(file)
        decision, held = table.read(run, row, other, now)
        assert decision.granted
        assert counters.take(other).granted
        return table.grant(run, row, other, now, held)

    assert connections.use(come_second) == 0
    connections.close()
    assert used(counters.look(other)) == [before + other.cost] * len(quotas)


def test_claim_that_always_comes_late_is_an_error(counters, monkeypatch):
    """A claim that others overtake each time, though it looks free, is not tried for ever."""

    class Unlucky(WindowTable):
        def grant(self, run, row, claim, now, held):
            return 0

    monkeypatch.setitem(sqlite_counters.TABLES, FIXED, Unlucky(CountedWindows(slides=False)))
    with pytest.raises(StorageError, match="again and again"):
        counters.take(Claim(FIXED, "a", QUOTAS))


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    start=st.floats(1e9, 2e9),
    age=st.floats(-0.01, 59.999),
    previous=st.integers(0, 10**6),
    current=st.integers(0, 100),
)
@example(start=1e9 + 0.1, age=20.0, previous=3, current=0)
@example(start=1e9, age=-0.01, previous=10**6, current=0)
def test_sliding_room_is_the_rules_to_the_unit(counters, path, start, age, previous, current):
    """The file grants exactly up to what the rule counts, whatever the times are."""
    now, row = start + age, ("shop", "a")
    holds = WindowCounter(start, previous, current)
    count = holds.used(now, 60, slides=True)
    counters.look(Claim(SLIDING, "a", QUOTAS))
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("DELETE FROM counters")
    values = (*row, 60, *holds, start, start + 120)
    connection.execute("INSERT INTO counters VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)

    def granted(amount):
        claim = Claim(SLIDING, "a", (Quota(amount, 60),))
        table = WindowTable(CountedWindows(slides=True))
        return table.grant(lambda text, *v: connection.execute(text, v), row, claim, now, (holds,))

    written = [granted(count), granted(count + 1)]
    connection.close()
    assert written == [0, 1]


def test_claims_of_one_moment_are_given_back_one_by_one(counters, path):
    """In a moving window what was taken at the same time is apart, and goes when all is back."""
    quotas = (Quota(10, 60),)
    at = [counters.take(Claim(MOVING, "a", quotas, cost)).at for cost in (1, 3, 1)]
    assert len(set(at)) == 1
    counters.give_back(Claim(MOVING, "a", quotas, 3), at[0])
    assert used(counters.look(Claim(MOVING, "a", quotas))) == [3]
    for moment in at[1:]:
        counters.give_back(Claim(MOVING, "a", quotas), moment)
    assert rows(path, "shop") == 0


def test_give_back_after_a_restart_finds_its_moment(make):
    """A moment is the same after it was written to the file and read from it."""
    first = make(clock=FakeClock(1_700_000_000.123456789))
    claim = Claim(MOVING, "a", QUOTAS, 5)
    at = first.take(claim).at
    first.close()
    second = make(clock=FakeClock(1_700_000_001.987654321))
    second.give_back(claim, at)
    assert used(second.take(claim)) == [5, 5]


@pytest.mark.parametrize("table", ["counters", "units"])
def test_expired_rows_are_swept_a_few_at_a_time(counters, path, strategy, table):
    """The first new row sweeps out some of what expired, anybody's, and those after it the rest."""
    counters.look(Claim(strategy, "a", QUOTAS))
    fill(path, table, 2 * ROWS_SWEPT + 10)
    counters.take(Claim(strategy, "a", QUOTAS))
    assert rows(path, "old") == ROWS_SWEPT + 10
    for number in range(2 * ROWS_BETWEEN_SWEEPS + 2):
        counters.take(Claim(strategy, f"client {number}", QUOTAS[:1]))
    assert rows(path, "old") == 0


def test_what_still_counts_is_not_swept(counters, path, clock, strategy):
    """A row stays while any of its time may still count, and goes when none does."""
    for number in range(3):
        counters.take(Claim(strategy, f"{number}", (Quota(5, 60),)))
    clock.advance(59.9 if strategy is MOVING else 119.9)
    counters.take(Claim(strategy, "new", (Quota(5, HOUR),)))
    sweep(counters, strategy)
    assert rows(path, "shop") == 4 + 60
    clock.advance(0.2)
    sweep(counters, strategy)
    assert rows(path, "shop") == 1 + 120


def sweep(counters, strategy):
    """Count what makes 60 rows that last, and so sweeps once."""
    for _ in range(60):
        key = f"{strategy.value} {time.monotonic_ns()}"
        counters.take(Claim(strategy, key, (Quota(5, 10 * HOUR),)))


@pytest.mark.parametrize("table", ["counters", "units"])
def test_reset_forgets_any_number_of_rows(counters, path, table):
    """However many rows a namespace has, all are forgotten, and no other's."""
    counters.look(Claim(FIXED, "a", QUOTAS))
    fill(path, table, 2500, "shop", 1e12)
    fill(path, table, 3, "desk", 1e12)
    counters.reset()
    assert [rows(path, one) for one in ("shop", "desk")] == [0, 3]


def test_corrupt_file_is_moved_aside(counters, path):
    """A file that is found corrupt fails one claim, and lies beside the new one from then on."""
    claim = Claim(FIXED, "a", QUOTAS)
    counters.take(claim)
    query(path, "PRAGMA wal_checkpoint(TRUNCATE)")
    length = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(100)
        file.write(b"\xa5" * (length - 100))
    with pytest.raises(StorageError, match=r"malformed|not a database"):
        counters.take(claim)
    assert used(counters.take(claim)) == [1, 1]
    assert path.with_name("shop.sqlite3.corrupt").exists()


def test_number_that_no_file_holds_is_an_error_of_the_storage(counters, strategy):
    """A claim beyond 64 bits fails as all else does."""
    with pytest.raises(StorageError, match="OverflowError"):
        counters.take(Claim(strategy, "a", (Quota(2**70, 60),), 2**70))


@pytest.mark.parametrize("boot", ["second", ""], ids=["named", "not named by the system"])
def test_time_after_a_restart_of_the_host(make, monkeypatch, strategy, boot):
    """After the host started again time is never behind what was counted before."""
    monkeypatch.setattr(sqlite_file, "boot_id", lambda: boot and "first")
    before = make(clock=FakeClock(2_000_000.0)).take(Claim(strategy, "a", QUOTAS))
    monkeypatch.setattr(sqlite_file, "boot_id", lambda: boot)
    restarted = FakeClock(7.0)
    restarted.wall = lambda: 100.0
    after = make(clock=restarted).take(Claim(strategy, "a", QUOTAS))
    assert after.at == pytest.approx(before.at)
    assert used(after) == [2, 2]


def test_no_connection_is_inherited(path):
    """A forked process has no connection of its parent's open, and counts on with its own."""
    assert run_python(FORK, str(path)) == "0 3\n"


def test_counters_let_go_close_their_connections(path):
    """Counters that nobody holds any more leave nothing open."""
    counters = SQLiteCounters(path)
    counters.look(Claim(FIXED, "a", QUOTAS))

    def opened():
        files = [one.path for one in psutil.Process().open_files()]
        return [one for one in files if one.startswith(os.fspath(path))]

    assert opened()
    del counters
    gc.collect()
    assert opened() == []
