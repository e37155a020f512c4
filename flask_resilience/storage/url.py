"""From a URL to the storage it names; :class:`~flask_resilience.rules.StorageURL` is its rule."""

from __future__ import annotations

from importlib import import_module

from ..circuits.circuit_storage import CircuitStorage
from ..clock import SYSTEM_CLOCK, Clock
from ..errors import ConfigurationError
from ..events import OnEvent
from ..rules import StorageURL, check
from .memory import MemoryStorage
from .outage import OutageGuard

SETTING = "RESILIENCE_STORAGE_URL"


def open_storage(
    url: str, *, namespace: str, clock: Clock = SYSTEM_CLOCK, label: str = SETTING
) -> CircuitStorage:
    """Return the storage that *url* names, which connects to nothing before it is used.

    The modules of SQLite and Redis are imported here, so that nobody needs what only others use.

    :param url: As :class:`~flask_resilience.rules.StorageURL` accepts it.
    :param namespace: Whose circuits they are; those of another one are apart.
    :param clock: Where memory and SQLite take the time from; Redis has its own.
    :param label: Where the URL was set, for the error.
    :raises ConfigurationError: If a package is missing for it.
    """
    scheme, _, rest = url.partition("://")
    storage: CircuitStorage
    if scheme == "memory":
        storage = MemoryStorage(clock)
    elif scheme == "sqlite":
        path = rest.removeprefix("/")
        module = import_module(".sqlite", __package__)
        storage = module.SQLiteStorage(path, namespace=namespace, clock=clock)
    else:
        try:
            module = import_module(".redis", __package__)
        except ModuleNotFoundError as error:
            raise ConfigurationError(
                f"{label} asks for {scheme}, which needs an extra: "
                "pip install flask-resilience[redis]",
                key=label,
            ) from error
        try:
            storage = module.RedisStorage(url, namespace=namespace)
        except ConfigurationError as error:
            raise ConfigurationError(f"{label}: {error}", key=label) from None
    return storage


def guarded_storage(
    storage: CircuitStorage | str, clock: Clock, on_event: OnEvent
) -> CircuitStorage:
    """Return *storage*, or the one that a URL names, so that its outages cost nobody anything.

    :raises ConfigurationError: If it is text and no such URL, or a package is missing for it.
    """
    if isinstance(storage, str):
        url = check("storage", storage, StorageURL())
        storage = open_storage(url, namespace="", clock=clock, label="storage")
    return OutageGuard(storage, clock, on_event)
