"""The count that many threads add to."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from flask_resilience.circuits.counter import Counter


def test_take_returns_what_is_new():
    """Each taking returns what was added since the last one."""
    counter = Counter()
    taken = [counter.take()]
    for additions in (3, 0, 2):
        for _ in range(additions):
            counter.add()
        taken.append(counter.take())
    assert taken == [0, 3, 0, 2]


def test_no_addition_of_any_thread_is_lost():
    """40,000 additions by 8 threads, taken from meanwhile, add up to 40,000."""
    counter, taken = Counter(), []

    def add(_):
        for _ in range(5_000):
            counter.add()

    with ThreadPoolExecutor(8) as pool:
        running = [pool.submit(add, number) for number in range(8)]
        while not all(one.done() for one in running):
            taken.append(counter.take())
    assert sum(taken) + counter.take() == 40_000
