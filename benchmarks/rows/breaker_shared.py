"""A breaker whose healthy circuit is shared with other processes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import TypeAlias

from flask_resilience.circuits.circuit_storage import CircuitStorage, Reading
from flask_resilience.policies.circuit import Circuit
from flask_resilience.storage.memory import MemoryStorage

from ..ours import make_breaker, make_storage
from ..peers import Guarded, nothing
from ..redis_server import redis_server, url_of
from ..row import MICROSECONDS, Budget, Figure, Measure, Prepare, Repeat, Row, Variant, waiting

CALLS_A_SECOND = 1_000
SECONDS = 4
OPERATIONS_A_SECOND = 10
"""How many operations of the storage one process and circuit may take."""
MEMORY = "ours, memory"
Guarding: TypeAlias = Callable[[ExitStack], Guarded]
"""Sets a breaker up, and returns a no-op behind it."""


def breaker_shared() -> Row:
    """Return the row of one call after the other, as many as there can be."""
    return Row(
        title="a breaker, shared and healthy, one call after the other",
        unit=MICROSECONDS,
        reference=MEMORY,
        variants=_variants(lambda guarding: lambda stack: waiting(guarding(stack))),
        budgets=(
            Budget("ours, SQLite", 0.4, Measure.DIFFERENCE, MEMORY),
            Budget("ours, Redis", 0.4, Measure.DIFFERENCE, MEMORY),
        ),
        batch_seconds=0.6,  # the storage is asked every quarter of a second, so that is in it
        figures={
            "storage operations, counted": _operations_counted,
            "storage operations, by Redis": _operations_by_redis,
        },
    )


def breaker_shared_steady() -> Row:
    """Return the row of calls at a steady rate, so that few pay for each operation of a storage."""
    return Row(
        title=f"a breaker, shared and healthy, {CALLS_A_SECOND:,} calls a second",
        unit=MICROSECONDS,
        reference=MEMORY,
        variants=_variants(lambda guarding: lambda stack: steadily(guarding(stack))),
        operations=CALLS_A_SECOND,
    )


def steadily(function: Guarded) -> Repeat:
    """Return what calls *function* at a steady rate, and times the calls alone."""

    def repeat(times: int) -> float:
        took = 0.0
        for _ in _paced(times):
            began = perf_counter()
            function()
            took += perf_counter() - began
        return took

    return repeat


class CountingStorage:
    """Count the operations that another storage is asked for.

    :param storage: Which one.
    """

    shared = True

    def __init__(self, storage: CircuitStorage) -> None:
        self._storage = storage
        self.name, self.address = storage.name, storage.address
        self.operations = 0

    def read(self, key: str) -> Reading:
        """Return what is held for *key*."""
        self.operations += 1
        return self._storage.read(key)

    def compare_and_set(
        self, key: str, version: str, circuit: Circuit, ttl: float
    ) -> tuple[bool, Reading]:
        """Write *circuit* if *key* is still at *version*."""
        self.operations += 1
        return self._storage.compare_and_set(key, version, circuit, ttl)


def _variants(repeating: Callable[[Guarding], Prepare]) -> tuple[Variant, ...]:
    guarded: dict[str, Guarding] = {
        MEMORY: lambda _: make_breaker()(nothing),
        "ours, SQLite": _on_sqlite,
        "ours, Redis": _on_redis,
        "pybreaker, Redis": _pybreaker_on_redis,
    }
    return tuple(Variant(name, repeating(one)) for name, one in guarded.items())


def _on_sqlite(stack: ExitStack) -> Guarded:
    folder = stack.enter_context(TemporaryDirectory())
    storage = make_storage(f"sqlite:///{Path(folder, 'circuits.db')}")
    return make_breaker(storage)(nothing)


def _on_redis(stack: ExitStack) -> Guarded:
    client = stack.enter_context(redis_server())
    return make_breaker(make_storage(url_of(client)))(nothing)


def _pybreaker_on_redis(stack: ExitStack) -> Guarded:
    package, client = import_module("pybreaker"), stack.enter_context(redis_server())
    storage = package.CircuitRedisStorage(package.STATE_CLOSED, client)
    guarded: Guarded = package.CircuitBreaker(state_storage=storage)(nothing)
    return guarded


def _operations_counted() -> Figure:
    storage = CountingStorage(MemoryStorage())
    guarded = make_breaker(storage)(nothing)
    for _ in _paced(SECONDS * CALLS_A_SECOND):
        guarded()
    return _operations(storage.operations)


def _operations_by_redis() -> Figure:
    with redis_server() as client:
        guarded = make_breaker(make_storage(url_of(client)))(nothing)
        client.config_resetstat()
        for _ in _paced(SECONDS * CALLS_A_SECOND):
            guarded()
        asked = client.info("commandstats")
    scripts = sum(asked.get(f"cmdstat_{one}", {}).get("calls", 0) for one in ("evalsha", "eval"))
    return _operations(scripts)


def _operations(operations: int) -> Figure:
    return Figure(operations / SECONDS, "a second", OPERATIONS_A_SECOND)


def _paced(times: int) -> Iterator[None]:
    """Yield so many times, :data:`CALLS_A_SECOND` in a second, catching up after a pause."""
    began = time.monotonic()
    for number in range(times):
        time.sleep(max(0.0, began + number / CALLS_A_SECOND - time.monotonic()))
        yield
