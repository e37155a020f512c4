"""SQLite: a file that comes and goes, breaks, fills up and outlives workers and restarts."""

from __future__ import annotations

import fcntl
import gc
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from flask_resilience.circuits.circuit_storage import ABSENT
from flask_resilience.clock import SystemClock
from flask_resilience.errors import StorageError
from flask_resilience.policies.circuit import Circuit
from flask_resilience.storage import sqlite_file
from flask_resilience.storage.sqlite import SQLiteStorage
from flask_resilience.testing import FakeClock
from tests.servers import run_python

TTL = 3600.0
ONE, TWO = Circuit(failures=1), Circuit(failures=2)
GENEROUS = 1.0
"""Seconds that no failing operation may take, on the slowest machine; it is meant to take 0.15."""

KILLED = """
import os, signal, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
connection.execute("UPDATE circuits SET circuit = 'half a wri'")
os.kill(os.getpid(), signal.SIGKILL)
"""
FORK = """
import os, sys
import psutil
from flask_resilience.storage.sqlite import SQLiteStorage

storage = SQLiteStorage(sys.argv[1])
storage.read("a")

def open_files():
    return [one.path for one in psutil.Process().open_files()]

assert any(one.startswith(sys.argv[1]) for one in open_files())
if os.fork() == 0:
    os._exit(any(one.startswith(sys.argv[1]) for one in open_files()))
print(os.waitstatus_to_exitcode(os.wait()[1]))
storage.close()
"""
FORK_IN_C = """
import ctypes, os, sys
import psutil
from flask_resilience.policies.circuit import Circuit
from flask_resilience.storage.sqlite import SQLiteStorage

storage = SQLiteStorage(sys.argv[1])
storage.read("a")

def logs():
    return sum(one.path.endswith("-wal") for one in psutil.Process().open_files())

inherited = logs()
if ctypes.CDLL(None).fork() == 0:
    storage.compare_and_set("a", "", Circuit(), 60.0)
    os._exit(logs() - inherited)
print(os.waitstatus_to_exitcode(os.wait()[1]))
storage.close()
"""
LIMITED = """
import resource, sys, time
from flask_resilience.errors import StorageError
from flask_resilience.policies.circuit import Circuit
from flask_resilience.storage.sqlite import SQLiteStorage

storage = SQLiteStorage(sys.argv[1])
storage.compare_and_set("a", "", Circuit(failures=1), 60.0)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
for turn in range(3):
    began = time.monotonic()
    try:
        storage.compare_and_set("b", "", Circuit(last_failure="x" * 9000), 60.0)
    except StorageError as error:
        assert time.monotonic() - began < 1.0
        print(type(error).__name__)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
print(storage.read("a").circuit.failures, storage.compare_and_set("b", "", Circuit(), 60.0)[0])
storage.close()
"""
READ_ONLY = """
import os, sys, tempfile, time
import urllib.parse  # pathlib imports it late, and then by somebody who may not read it
from flask_resilience.errors import StorageError
from flask_resilience.policies.circuit import Circuit
from flask_resilience.storage.sqlite import SQLiteStorage

if os.geteuid() == 0:  # whom no mode stops
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
folder = tempfile.mkdtemp()
path = os.path.join(folder, "shop.sqlite3")
storage = SQLiteStorage(path)
if sys.argv[1] == "file":
    storage.compare_and_set("a", "", Circuit(), 60.0)
    storage.close()
    os.chmod(path, 0o400)
else:
    os.chmod(folder, 0o500)
began = time.monotonic()
try:
    storage.compare_and_set("b", "", Circuit(), 60.0)
except StorageError as error:
    print(type(error).__name__, time.monotonic() - began < 1.0)
storage.close()
os.chmod(folder, 0o700)
for name in os.listdir(folder):
    os.unlink(os.path.join(folder, name))
os.rmdir(folder)
"""


@pytest.fixture
def path(tmp_path):
    """Return where the file is, in a folder that is not there yet."""
    return tmp_path / "state" / "shop.sqlite3"


@pytest.fixture
def storage(make_sqlite, path):
    """Return a storage in *path*."""
    return make_sqlite(path)


def put(storage, key, circuit, ttl=TTL):
    """Write *circuit* over what is held, and return the reading of it."""
    accepted, held = storage.compare_and_set(key, storage.read(key).version, circuit, ttl)
    assert accepted
    return held


def query(path, text, *values):
    """Return what a connection of its own reads, or does."""
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        return connection.execute(text, values).fetchall()
    finally:
        connection.close()


def open_files(path):
    """Return the names of the files beginning with *path* that this process has open."""
    opened = [one.path for one in psutil.Process().open_files()]
    return [one for one in opened if one.startswith(str(path))]


def contents(folder):
    """Return what is in a folder: each file's name and bytes."""
    return {one.name: one.read_bytes() for one in folder.iterdir()}


def damage(path, offset=0):
    """Overwrite the file in its place, and let no connection go by what it has seen of it."""
    query(path, "PRAGMA wal_checkpoint(TRUNCATE)")
    length = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(b"\xa5" * (length - offset))


def test_constructing_opens_nothing(path):
    """A storage makes neither file nor folder before it is used."""
    SQLiteStorage(path)
    assert not path.parent.exists()


def test_files_are_for_this_user_alone(storage, path):
    """The file and those beside it have mode 0600, the folder 0700, whatever the umask."""
    before = os.umask(0)
    try:
        put(storage, "a", ONE)
    finally:
        os.umask(before)
    modes = {one.name: one.stat().st_mode & 0o777 for one in path.parent.iterdir()}
    assert modes == {f"shop.sqlite3{end}": 0o600 for end in ("", "-wal", "-shm")}
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_relative_path_stays_where_it_was(make_sqlite, tmp_path, monkeypatch):
    """A change of the working directory does not move the file."""
    monkeypatch.chdir(tmp_path)
    storage = make_sqlite("shop.sqlite3")
    monkeypatch.chdir("/")
    put(storage, "a", ONE)
    assert (tmp_path / "shop.sqlite3").exists()
    assert storage.address == f"sqlite:///{tmp_path}/shop.sqlite3"


@pytest.mark.parametrize(
    "left",
    [
        pytest.param((), id="with the files beside it"),
        pytest.param(("-wal", "-shm"), id="alone"),
        pytest.param(("-shm",), id="with the log"),
    ],
)
def test_deleted_file_is_made_anew(make_sqlite, path, left):
    """After the file is deleted, every storage that had it open meets in a new one."""
    first, second = make_sqlite(path), make_sqlite(path)
    old = put(first, "a", ONE)
    second.read("a")
    for end in {"", "-wal", "-shm"} - set(left):
        Path(f"{path}{end}").unlink()
    assert second.read("a").circuit is None
    assert not second.compare_and_set("a", old.version, TWO, TTL)[0]
    put(second, "a", TWO)
    assert first.read("a").circuit == TWO
    put(first, "a", ONE)
    assert second.read("a").circuit == ONE
    assert query(path, "PRAGMA integrity_check") == [("ok",)]


def test_time_goes_on_when_the_file_is_deleted(storage, path, clock):
    """A new file takes the time over from the one before, though the wall clock was set."""
    before = storage.read("a").now
    clock.wall = lambda: before - 5000
    path.unlink()
    assert storage.read("a").now == before


def test_emptied_file_is_made_anew(storage, path):
    """A file of no bytes is nobody's, and becomes ours."""
    path.parent.mkdir()
    path.touch()
    put(storage, "a", ONE)
    assert storage.read("a").circuit == ONE


def test_replaced_file_is_noticed(make_sqlite, path, tmp_path):
    """When another file of ours is put in its place, that one is read."""
    storage, other = make_sqlite(path), make_sqlite(tmp_path / "other.sqlite3")
    put(storage, "a", ONE)
    put(other, "a", TWO)
    other.close()
    for end in ("-wal", "-shm"):
        Path(f"{path}{end}").unlink()
    (tmp_path / "other.sqlite3").replace(path)
    assert storage.read("a").circuit == TWO


@pytest.mark.parametrize(
    "offset", [pytest.param(0, id="header too"), pytest.param(100, id="all but the header")]
)
def test_corrupt_file_is_moved_aside(make_sqlite, path, offset):
    """A file of ours that is found corrupt fails once, and lies beside the new one from then on."""
    storage = make_sqlite(path)
    put(storage, "a", ONE)
    damage(path, offset)
    with pytest.raises(StorageError, match=r"malformed|not a database"):
        storage.read("a")
    assert storage.read("a").circuit is None
    put(storage, "a", TWO)
    assert make_sqlite(path).read("a").circuit == TWO
    assert path.with_name("shop.sqlite3.corrupt").read_bytes()[-4:] == b"\xa5" * 4


def test_file_that_is_corrupt_from_the_start_is_moved_aside(make_sqlite, path):
    """A new worker knows a corrupt file by its header."""
    storage = make_sqlite(path)
    put(storage, "a", ONE)
    storage.close()
    damage(path, 100)
    fresh = make_sqlite(path)
    with pytest.raises(StorageError):
        fresh.read("a")
    assert fresh.read("a").circuit is None


def write_text(path):
    """Make a text file."""
    path.write_text("Dear diary,\n" * 1000)


def write_database(path):
    """Make somebody's database, much like ours, as a crash left it, with a write-ahead log."""
    owner = sqlite3.connect(path.with_name("owner"), isolation_level=None)
    owner.executescript(sqlite_file.SCHEMA + "COMMIT")
    owner.execute("PRAGMA application_id = 77")
    owner.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    owner.execute("INSERT INTO clock VALUES ('', 0)")
    for end in ("", "-wal"):
        shutil.copy(path.with_name(f"owner{end}"), f"{path}{end}")
    owner.close()
    path.with_name("owner").unlink()


@pytest.mark.parametrize("write", [write_text, write_database])
@pytest.mark.parametrize("used", [True, False], ids=["had ours before", "never had ours"])
def test_foreign_file_is_not_touched(storage, path, write, used):
    """What was never ours stays as it is, byte for byte, and nothing is put beside it."""
    path.parent.mkdir()
    if used:
        put(storage, "a", ONE)
        for one in path.parent.iterdir():
            one.unlink()
    write(path)
    before = contents(path.parent)
    for _ in range(3):
        with pytest.raises(StorageError):
            storage.compare_and_set("a", ABSENT, ONE, TTL)
        with pytest.raises(StorageError):
            storage.read("a")
    assert contents(path.parent) == before


def test_file_that_just_grows_is_known_as_ours(storage, path):
    """A file whose header is written already, and its last pages not yet, is not corrupt."""
    put(storage, "a", ONE)
    storage.close()
    content = bytearray(path.read_bytes())
    content[28:32] = (len(content) // 4096 + 5).to_bytes(4, "big")
    path.write_bytes(content)
    sqlite_file.check_ours(str(path))


@pytest.mark.parametrize("planted", ["folder", "file"])
def test_planted_file_is_refused(make_sqlite, tmp_path, monkeypatch, planted):
    """Where all may make files, another user's file or folder is not used."""
    (tmp_path / "tmp").mkdir()
    (tmp_path / "tmp").chmod(0o1777)
    path = tmp_path / "tmp" / ("ours/shop.sqlite3" if planted == "folder" else "shop.sqlite3")
    storage = make_sqlite(path)
    put(storage, "a", ONE)
    storage.close()
    if os.geteuid() == 0:
        os.chown(path.parent if planted == "folder" else path, 12345, 12345)
    else:  # who may not give a file away becomes somebody else
        monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with pytest.raises(StorageError, match="another user's"):
        storage.read("a")


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda folder: Path("/proc/nothing/shop.sqlite3"), id="no folder can be made"),
        pytest.param(lambda folder: folder, id="a folder"),
        pytest.param(lambda folder: Path(__file__, "shop.sqlite3"), id="in a file"),
        pytest.param(lambda folder: folder / ("x" * 300), id="a name too long"),
    ],
)
def test_impossible_place_is_an_error_of_the_storage(make_sqlite, tmp_path, make):
    """Wherever no file can be, each operation says so at once."""
    storage = make_sqlite(make(tmp_path))
    began = time.monotonic()
    with pytest.raises(StorageError) as caught:
        storage.compare_and_set("a", ABSENT, ONE, TTL)
    assert time.monotonic() - began < GENEROUS
    assert caught.value.storage == storage.address


@pytest.mark.parametrize("what", ["file", "folder"])
def test_read_only_place_is_an_error_of_the_storage(what):
    """Where nothing can be written, a write says so at once."""
    assert run_python(READ_ONLY, what) == "StorageError True\n"


def test_full_disk_is_an_error_of_the_storage(tmp_path):
    """While nothing can be added each write says so at once; then all goes on as before."""
    output = run_python(LIMITED, str(tmp_path / "shop.sqlite3"))
    assert output == "StorageError\n" * 3 + "1 True\n"


def test_full_disk_leaves_no_draft(tmp_path):
    """A file that could not be made leaves nothing behind."""
    code = LIMITED.partition("storage.compare")[0] + (
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))\n"
        "try:\n    storage.read('a')\nexcept StorageError:\n    print('full')\n"
    )
    assert run_python(code, str(tmp_path / "shop.sqlite3")) == "full\n"
    assert contents(tmp_path) == {}


def test_locked_file_costs_a_writer_little(storage, path):
    """A writer that meets a lock held for long gives up soon; readers are not kept waiting."""
    put(storage, "a", ONE)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    began = time.monotonic()
    with pytest.raises(StorageError, match="locked"):
        storage.compare_and_set("b", ABSENT, ONE, TTL)
    took = time.monotonic() - began
    assert storage.read("a").circuit == ONE
    other.close()
    assert 0.05 < took < GENEROUS
    put(storage, "b", TWO)


def test_thread_that_came_late_tries_all_the_same(storage, path, monkeypatch):
    """Time that passed before a lock was met, on a busy machine, does not count against it."""
    put(storage, "a", ONE)
    pauses = []

    def pause(seconds):
        pauses.append(seconds)
        if len(pauses) == 5:
            other.execute("COMMIT")

    with (
        closing(sqlite3.connect(path, isolation_level=None)) as other,
        closing(sqlite3.connect(path, isolation_level=None, timeout=0)) as late,
    ):
        other.execute("BEGIN IMMEDIATE")
        monkeypatch.setattr(time, "sleep", pause)
        sqlite_file.execute(late, "DELETE FROM circuits", end=time.monotonic() - 1.0)
    assert len(pauses) == 5
    assert storage.read("a").circuit is None


def test_writer_is_woken_soon_after_a_short_lock(storage, path):
    """SQLite itself waits a little: one of many writers finds the moment between two others."""
    storage.read("a")
    identity = sqlite_file.identify(str(path))
    opened = sqlite_file.open_file(str(path), identity, SystemClock())
    with closing(opened.connection) as connection:
        ((milliseconds,),) = connection.execute("PRAGMA busy_timeout").fetchall()
    assert 1 <= milliseconds <= 10


def test_file_is_made_by_who_came_late_all_the_same(storage, path, monkeypatch):
    """Time that passed while another process made a file here does not count alone, either."""
    path.parent.mkdir(mode=0o700)
    pauses, folder = [], os.open(path.parent, os.O_RDONLY)

    def pause(seconds):
        pauses.append(seconds)
        if len(pauses) == 5:
            os.close(folder)

    fcntl.flock(folder, fcntl.LOCK_EX)
    monkeypatch.setattr(sqlite_file, "BUSY_TIMEOUT", 0.0)
    monkeypatch.setattr(time, "sleep", pause)
    assert storage.read("a").circuit is None
    assert len(pauses) == 5


def test_worker_killed_in_a_write_leaves_what_was(storage, path):
    """The half of a write that a killed worker left is nothing, and its lock is gone."""
    put(storage, "a", ONE)
    subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
    assert storage.read("a").circuit == ONE
    put(storage, "a", TWO)


def test_interrupted_operation_leaves_no_lock(storage, clock):
    """What is raised into an operation ends it whole; the next one works."""
    version = put(storage, "a", ONE).version

    def interrupt():
        raise KeyboardInterrupt

    clock.monotonic, before = interrupt, clock.monotonic
    with pytest.raises(KeyboardInterrupt):
        storage.compare_and_set("a", version, TWO, TTL)
    clock.monotonic = before
    assert storage.read("a").circuit == ONE
    put(storage, "a", TWO)


def test_keys_are_apart_from_their_escaped_selves(storage):
    """What stands for a character in the file is a key of its own."""
    put(storage, "ä", ONE)
    assert storage.read(r"\xe4").circuit is None


def test_garbage_in_a_row_is_no_circuit(storage, path):
    """A row that holds no circuit reads as nothing, and can be written over."""
    put(storage, "a", ONE)
    query(path, "UPDATE circuits SET circuit = '[1,'")
    assert storage.read("a").circuit is None
    put(storage, "a", TWO)
    assert storage.read("a").circuit == TWO


def test_expired_rows_are_swept(make_sqlite, path, clock):
    """A new key sweeps out what expired, even that of a namespace nobody uses any more."""
    put(make_sqlite(path, namespace="gone"), "a", ONE, 10.0)
    put(make_sqlite(path), "a", ONE, 10.0)
    clock.advance(11)
    put(make_sqlite(path), "b", ONE)
    assert query(path, "SELECT namespace, key FROM circuits") == [("shop", "b")]


def test_first_to_expire_goes_first(make_sqlite, path):
    """Past its capacity a namespace loses what expires first, and no other one anything."""
    put(make_sqlite(path, namespace="other"), "a", ONE, 1.0)
    storage = make_sqlite(path, capacity=3)
    for key, ttl in (("a", 40.0), ("b", 20.0), ("c", 30.0), ("d", 10.0), ("e", 50.0)):
        put(storage, key, ONE, ttl)
    found = query(path, "SELECT namespace, key FROM circuits ORDER BY 1, 2")
    assert found == [("other", "a"), ("shop", "a"), ("shop", "c"), ("shop", "e")]


@pytest.fixture
def boots(monkeypatch):
    """Return what lets the host start again; its clocks go by the caller's."""

    def boot(name):
        monkeypatch.setattr(sqlite_file, "boot_id", lambda: name)

    boot("first")
    return boot


@pytest.mark.parametrize("name", ["second", ""], ids=["named", "not named by the system"])
@pytest.mark.parametrize(
    ("wall", "expected"),
    [
        pytest.param(2_000_500.0, 2_000_500.0, id="right clock"),
        pytest.param(100.0, 2_000_000.0, id="clock that went back"),
    ],
)
def test_time_after_a_restart_of_the_host(make_sqlite, path, boots, name, wall, expected):
    """Time is the wall clock's again, but never behind what was written before."""
    boots("" if name == "" else "first")
    clock = FakeClock(2_000_000.0)
    put(make_sqlite(path, clock=clock), "a", ONE, 1e9)
    boots(name)
    restarted = FakeClock(7.0)
    restarted.wall = lambda: wall + restarted.now - 7.0
    storage = make_sqlite(path, clock=restarted)
    assert storage.read("a").now == pytest.approx(expected)
    restarted.advance(3)
    assert make_sqlite(path, clock=restarted).read("a").now == pytest.approx(expected + 3)


def test_restart_is_known_by_its_name(make_sqlite, path, boots):
    """A host that is up for longer than before it started again is not taken for still up."""
    put(make_sqlite(path, clock=FakeClock(2_000_000.0)), "a", ONE)
    boots("second")
    restarted = FakeClock(3_000_000.0)
    restarted.wall = lambda: 9_000_000.0
    assert make_sqlite(path, clock=restarted).read("a").now == pytest.approx(9_000_000.0)


def test_restart_of_the_host_is_settled_once(make_sqlite, path, boots):
    """Only the first worker after a restart goes by its wall clock."""
    put(make_sqlite(path, clock=FakeClock(2_000_000.0)), "a", ONE)
    boots("second")
    right, wrong = FakeClock(7.0), FakeClock(7.0)
    right.wall, wrong.wall = lambda: 3_000_000.0, lambda: 4_000_000.0
    assert make_sqlite(path, clock=right).read("a").now == pytest.approx(3_000_000.0)
    assert make_sqlite(path, clock=wrong).read("a").now == pytest.approx(3_000_000.0)


def test_time_looks_like_the_wall_clocks(make_sqlite, path):
    """The first of all workers brings its wall clock's time."""
    storage = make_sqlite(path, clock=SystemClock())
    assert storage.read("a").now == pytest.approx(time.time(), abs=5)


def test_no_connection_is_inherited(tmp_path):
    """A forked process has no connection of its parent's open, not even unused."""
    assert run_python(FORK, str(tmp_path / "shop.sqlite3")) == "0\n"


def test_inherited_connection_is_not_used(tmp_path):
    """A process forked by a server in C, which asks nobody, opens a connection of its own."""
    assert run_python(FORK_IN_C, str(tmp_path / "shop.sqlite3")) == "1\n"


def test_few_idle_connections_are_kept(make_sqlite, path):
    """After 20 operations at once at most eight connections stay open."""
    together = threading.Barrier(20)

    class Meeting(SystemClock):
        def monotonic(self):
            if not together.broken:
                together.wait(20)
            return super().monotonic()

    put(make_sqlite(path, clock=SystemClock()), "a", ONE)
    storage = make_sqlite(path, clock=Meeting())
    with ThreadPoolExecutor(20) as pool:
        readings = list(pool.map(storage.read, ["a"] * 20))
    together.abort()
    assert len(readings) == 20
    assert len([one for one in open_files(path) if one.endswith("-wal")]) <= 8 + 1


def test_storage_let_go_closes_its_connections(path):
    """A storage nobody holds any more leaves nothing open."""
    storage = SQLiteStorage(path)
    storage.read("a")
    assert open_files(path)
    del storage
    gc.collect()
    assert open_files(path) == []
