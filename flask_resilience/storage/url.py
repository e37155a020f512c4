"""From a URL to the storage it names; :class:`~flask_resilience.rules.StorageURL` is its rule."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from ..circuits.circuit_storage import CircuitStorage
from ..clock import SYSTEM_CLOCK, Clock
from ..counters.counter_storage import CounterStorage
from ..counters.counting import Counting
from ..errors import ConfigurationError
from ..events import OnEvent
from ..rules import StorageURL, check
from .guarded import GuardedCircuits, GuardedCounters
from .memory import MemoryStorage
from .memory_counters import MemoryCounters
from .outage import Outage

SETTING = "RESILIENCE_STORAGE_URL"


@dataclass(frozen=True, slots=True)
class Opened:
    """All that lies in one storage."""

    circuits: CircuitStorage
    counters: CounterStorage


@dataclass(frozen=True, slots=True)
class Guarded:
    """All that lies in one storage, of which an outage costs nobody anything."""

    circuits: GuardedCircuits
    counting: Counting


def open_all(
    url: str, *, namespace: str, clock: Clock = SYSTEM_CLOCK, label: str = SETTING
) -> Opened:
    """Return what lies in the storage that *url* names; nothing is connected to before it is used.

    The modules of SQLite and Redis are imported here, so that nobody needs what only others use.

    :param url: As :class:`~flask_resilience.rules.StorageURL` accepts it.
    :param namespace: Whose circuits and counters they are; those of another one are apart.
    :param clock: Where memory and SQLite take the time from; Redis has its own.
    :param label: Where the URL was set, for the error.
    :raises ConfigurationError: If a package is missing for it.
    """
    scheme, _, rest = url.partition("://")
    if scheme == "memory":
        return Opened(MemoryStorage(clock), MemoryCounters(clock))
    if scheme == "sqlite":
        path = rest.removeprefix("/")
        return Opened(
            _module("sqlite").SQLiteStorage(path, namespace=namespace, clock=clock),
            _module("sqlite_counters").SQLiteCounters(path, namespace=namespace, clock=clock),
        )
    try:
        return Opened(
            _module("redis").RedisStorage(url, namespace=namespace),
            _module("redis_counters").RedisCounters(url, namespace=namespace),
        )
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"{label} asks for {scheme}, which needs an extra: pip install flask-resilience[redis]",
            key=label,
        ) from error
    except ConfigurationError as error:
        raise ConfigurationError(f"{label}: {error}", key=label) from None


def open_storage(
    url: str, *, namespace: str, clock: Clock = SYSTEM_CLOCK, label: str = SETTING
) -> CircuitStorage:
    """Return the circuits in the storage that *url* names; see :func:`open_all`.

    :raises ConfigurationError: If a package is missing for it.
    """
    return open_all(url, namespace=namespace, clock=clock, label=label).circuits


def guarded_storage(
    storage: CircuitStorage | str, clock: Clock, on_event: OnEvent
) -> GuardedCircuits:
    """Return *storage*, or the one that a URL names, so that its outages cost nobody anything.

    :raises ConfigurationError: If it is text and no such URL, or a package is missing for it.
    """
    if isinstance(storage, str):
        url = check("storage", storage, StorageURL())
        storage = open_storage(url, namespace="", clock=clock, label="storage")
    circuits = storage
    return GuardedCircuits(lambda: circuits, Outage(lambda: circuits, clock, on_event))


def guarded_all(find: Callable[[], Opened], clock: Clock, on_event: OnEvent) -> Guarded:
    """Return all that lies in one storage; its outages are told of once.

    :param find: Gives the storage.
    """

    def circuits() -> CircuitStorage:
        return find().circuits

    outage = Outage(circuits, clock, on_event, used_for="circuits and limits")
    counters = GuardedCounters(lambda: find().counters, outage)
    counting = Counting(counters, MemoryCounters(clock), lambda: outage.next_probe_in)
    return Guarded(GuardedCircuits(circuits, outage), counting)


def _module(name: str) -> Any:
    return import_module(f".{name}", __package__)
