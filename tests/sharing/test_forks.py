"""Forked processes count for themselves: nothing is lost, and nothing counted twice."""

from __future__ import annotations

import pytest

from tests.servers import run_python

BEGIN = """
import multiprocessing, os, sys
from flask import Flask
from flask_resilience import Resilience

app = Flask("shop")
resilience = Resilience(
    app, storage_url=sys.argv[1], log_level="CRITICAL", breaker_failure_threshold=100,
    breaker_minimum_calls=1000,
)

def fail():
    raise ValueError

def use(good, bad):
    with app.app_context():
        breaker = resilience.breaker("ledger")
        for _ in range(good):
            breaker.call(int)
        for _ in range(bad):
            try:
                breaker.call(fail)
            except ValueError:
                pass

def told():
    with app.app_context():
        return resilience.breaker("ledger").snapshot()

def show():
    found = told()
    print(found["calls"], found["failure_count"])
"""
FORK = """
use(7, 0)
for turn in range(3):
    pid = os.fork()
    if pid == 0:
        use(10, 1)
        told()
        os._exit(0)
    use(5, 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
show()
"""
MULTIPROCESSING = """
use(7, 0)
context = multiprocessing.get_context("fork")

def child():
    use(10, 1)
    told()

children = [context.Process(target=child) for _ in range(3)]
for child in children:
    child.start()
    use(5, 1)
for child in children:
    child.join()
    assert child.exitcode == 0
show()
"""
FORK_OF_A_FORK = """
use(7, 0)
if os.fork() == 0:
    use(10, 1)
    if os.fork() == 0:
        use(20, 2)
        told()
        os._exit(0)
    use(5, 0)
    told()
    os._exit(os.waitstatus_to_exitcode(os.wait()[1]))
assert os.waitstatus_to_exitcode(os.wait()[1]) == 0
use(0, 1)
show()
"""
OPEN = """
use(0, 99)
if os.fork() == 0:
    use(0, 1)
    os._exit(0)
os.wait()
found = told()
print(found["state"], found["failures_in_a_row"], len(found["transitions"]))
"""


@pytest.mark.parametrize(
    ("program", "calls", "failures"),
    [
        pytest.param(FORK, 7 + 3 * 17, 6, id="os.fork"),
        pytest.param(MULTIPROCESSING, 7 + 3 * 17, 6, id="multiprocessing"),
        pytest.param(FORK_OF_A_FORK, 7 + 11 + 22 + 5 + 1, 4, id="a fork of a fork"),
    ],
)
def test_calls_of_parent_and_children_add_up(place, program, calls, failures):
    """Each call before and after a fork is counted once, whoever made it, gathered or told."""
    assert run_python(BEGIN + program, place) == f"{calls} {failures}\n"


def test_failures_of_parent_and_child_open_one_circuit(place):
    """Ninety-nine failures before a fork and one after it make a hundred, and one transition."""
    assert run_python(BEGIN + OPEN, place) == "open 100 1\n"


OUTLIVE = """
use(0, 1)
end, other = os.pipe()
if os.fork() == 0:
    os.close(other)
    use(0, 1)
    os.read(end, 1)
    use(0, 1)
    os._exit(0)
"""


def test_child_that_outlives_its_parent_is_heard_of(place):
    """What a forked process counts after its parent has ended reaches all."""
    run_python(BEGIN + OUTLIVE, place)
    assert run_python(BEGIN + "show()", place) == "3 3\n"


DURING = """
import signal, threading

stop = threading.Event()

def traffic(number):
    turn = 0
    with app.app_context():
        while not stop.is_set():
            turn += 1
            resilience.breaker(f"host-{number}-{turn % 40}").call(int)

threads = [
    threading.Thread(target=traffic, args=(number,), daemon=True) for number in range(4)
]
for thread in threads:
    thread.start()
for turn in range(25):
    pid = os.fork()
    if pid == 0:
        signal.alarm(10)  # ends one that hangs
        use(1, 1)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
stop.set()
for thread in threads:
    thread.join()
print("all have ended")
"""


def test_fork_in_the_middle_of_traffic_hangs_nobody(place):
    """Twenty-five forks while four threads call: each child makes its calls and ends."""
    assert run_python(BEGIN + DURING, place) == "all have ended\n"
