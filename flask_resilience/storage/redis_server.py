"""Redis or Valkey as circuits and counters both need it: alone, behind Sentinel or in a Cluster."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias, TypeVar
from urllib.parse import quote, unquote, urlsplit

import redis
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode
from redis.connection import parse_url
from redis.exceptions import NoScriptError, RedisClusterException
from redis.retry import Retry
from redis.sentinel import MasterNotFoundError, Sentinel

from ..errors import ConfigurationError, StorageError
from ..forks import PerProcess
from ..rules import StorageURL, check

CONNECT_TIMEOUT = 0.1
TIMEOUT = 0.05
PORT, SENTINEL_PORT = 6379, 26379

FAILURES = (
    *(redis.RedisError, RedisClusterException, OSError),
    *(ValueError, TypeError, OverflowError, LookupError, AttributeError),
)
"""What an operation may raise; those below come of answers that are none, and of odd ports."""

# redis-py has types in part, and in another part in each release.
_Sentinel: Callable[..., Any] = Sentinel
_Cluster: Callable[..., Any] = redis.RedisCluster
_ClusterNode: Callable[..., Any] = ClusterNode
_parse_url: Callable[[str], dict[str, Any]] = parse_url

_SILENT = (
    {"driver_info": None}
    if "driver_info" in inspect.signature(redis.Redis).parameters
    else {"lib_name": None, "lib_version": None}
)
"""Keeps a new connection from telling the server the client's name, in two round trips."""

_OLD_CLUSTER = (
    {"cluster_error_retry_attempts": 0} if int(redis.__version__.split(".")[0]) < 6 else {}
)
"""Before redis-py 6 the retries of a Cluster were counted by themselves."""

Argument: TypeAlias = str | bytes | int | float
T = TypeVar("T")


class Client(Protocol):
    """What is needed of redis-py's clients."""

    def execute_command(self, *arguments: object) -> Any:
        """Return the answer to a command."""

    def close(self) -> None:
        """Close the connections."""


@dataclass(frozen=True, slots=True)
class Script:
    """What the server runs for us in one step, of which it is told the whole text once."""

    text: str
    sha: str = field(init=False)

    def __post_init__(self) -> None:
        sha = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()
        object.__setattr__(self, "sha", sha)

    def run(self, client: Client, place: str, *arguments: Argument) -> Any:
        """Return its answer about the key at *place*."""
        try:
            return client.execute_command("EVALSHA", self.sha, 1, place, *arguments)
        except NoScriptError:
            return client.execute_command("EVAL", self.text, 1, place, *arguments)


class Server:
    """What a URL leads to, asked over one client a process.

    :param url: As :class:`~flask_resilience.rules.StorageURL` accepts it; options of redis-py in
        its query override ours.
    :param timeout: Seconds to wait for an answer.
    :raises ConfigurationError: If the URL is none of Redis.
    """

    def __init__(self, url: str, timeout: float) -> None:
        self._target = Target.of(check("url", url, StorageURL()), timeout)
        self._client = PerProcess(self._target.connect)

    @property
    def address(self) -> str:
        """Return where it is, as a URL without user, password and options."""
        return self._target.address

    def ask(self, operation: Callable[[Client], T]) -> T:
        """Return what *operation* does with the client.

        Errors are told anew, since those of redis-py may hold a password.

        :raises StorageError: If the server cannot be asked in time, or its answer is none.
        """
        try:
            return operation(self._client.get())
        except FAILURES as error:
            kind = type(error).__name__
            failure = StorageError(self.address, self._target.reason(error), kind)
        raise failure

    def close(self) -> None:
        """Close this process's connections; the next use opens them again."""
        if (client := self._client.made) is not None:
            client.close()


class InRedis:
    """What circuits and counters there have in common.

    :param url: As :class:`~flask_resilience.rules.StorageURL` accepts it; options of redis-py in
        its query override ours, so ``socket_timeout=0.2`` gives a far server more time.
    :param namespace: Whose they are.
    :raises ConfigurationError: If the URL is none of Redis.
    """

    name = "redis"
    shared = True
    timeout = TIMEOUT

    def __init__(self, url: str, *, namespace: str = "") -> None:
        self._server = Server(url, self.timeout)
        self._namespace = namespace

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.address!r}, namespace={self._namespace!r})"

    @property
    def address(self) -> str:
        """Return where it is, as a URL without user, password and options."""
        return self._server.address

    def close(self) -> None:
        """Close this process's connections; the next use opens them again."""
        self._server.close()


def place(namespace: str, key: str, kind: str) -> str:
    """Return the name in Redis: its part in braces decides the node of a Cluster.

    >>> place("shop", "a/b", "circuit")
    'flask-resilience:{shop:a%2Fb}:circuit'
    """
    return f"flask-resilience:{{{_quoted(namespace)}:{_quoted(key)}}}:{kind}"


def places(namespace: str) -> str:
    """Return the pattern that all names of a namespace match, and no other."""
    return f"flask-resilience:{{{_quoted(namespace)}:*}}:*"


def primaries(client: Client) -> list[Any]:
    """Return a client for each server that holds a part of the keys: one, or a Cluster's."""
    if not isinstance(client, redis.RedisCluster):
        return [client]
    cluster: Any = client
    return [cluster.get_redis_connection(node) for node in cluster.get_primaries()]


def _quoted(text: str) -> str:
    return quote(text, safe="", errors="surrogatepass")


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Target:
    """What a URL says: where the servers are, how they stand together, and what to tell them.

    :param topology: ``sentinel``, ``cluster``, or empty for a single server.
    :param service: The master's name at its Sentinels.
    :param options: For redis-py's connections.
    :param of_sentinels: Those for the Sentinels, which share the time that one server has.
    """

    address: str
    topology: str
    hosts: tuple[tuple[str, int], ...]
    service: str
    options: dict[str, Any]
    of_sentinels: dict[str, Any]

    @classmethod
    def of(cls, url: str, timeout: float = TIMEOUT) -> Target:
        """Read *url*.

        :param timeout: Seconds to wait for an answer, if the URL does not say.
        :raises ConfigurationError: If it has an option that redis-py does not take.
        """
        scheme, _, rest = url.partition("://")
        family, _, topology = scheme.partition("+")
        rest, _, query = rest.partition("?")
        user, at, place = rest.rpartition("@")
        servers, _, path = place.partition("/")
        service, _, db = path.partition("/") if topology == "sentinel" else ("", "", path)
        address = f"{scheme}://{place}"
        try:
            given = _parse_url(f"redis://{user}{at}{servers.split(',')[0]}/{db}?{query}")
            secure = family in ("rediss", "valkeys")
            options, of_sentinels = _options(given, secure, timeout, 1 + servers.count(","))
            if topology == "cluster":  # asks its nodes in turn until one answers
                options["socket_connect_timeout"] /= 1 + servers.count(",")
        except (ValueError, TypeError, redis.RedisError) as error:
            raise ConfigurationError(f"The storage {address} cannot be used: {error}") from None
        return cls(
            address=address,
            topology=topology,
            hosts=tuple(
                _host(one, SENTINEL_PORT if service else PORT) for one in servers.split(",")
            ),
            service=unquote(service),
            options=options,
            of_sentinels=of_sentinels,
        )

    def connect(self) -> Client:
        """Return a client; that of a Cluster asks it at once for its nodes.

        :raises redis.RedisError: If the Cluster does not answer.
        """
        if self.topology == "sentinel":
            sentinel = _Sentinel(self.hosts, sentinel_kwargs=self.of_sentinels, **self.options)
            client: Client = sentinel.master_for(self.service)
        elif self.topology == "cluster":
            nodes = [_ClusterNode(host, port) for host, port in self.hosts]
            client = _Cluster(startup_nodes=nodes, **_OLD_CLUSTER, **self.options)
        else:
            ((host, port),) = self.hosts
            client = redis.Redis(host, port, **self.options)
        return client

    def reason(self, error: Exception) -> str:
        """Return what went wrong as text without a password."""
        text = str(error)
        if isinstance(error, MasterNotFoundError):
            text = text.partition(" : ")[0]  # what follows shows each Sentinel's options
        for name, secret in (*self.options.items(), *self.of_sentinels.items()):
            if "password" in name and secret:
                text = text.replace(secret, "[redacted]")
                text = text.replace(quote(secret, safe=""), "[redacted]")
        return f"{type(error).__name__}: {text}"


def _options(
    given: dict[str, Any], secure: bool, timeout: float, servers: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what is given filled up with ours: for the servers, and for their Sentinels."""
    for name in ("host", "port"):
        given.pop(name, None)
    of_sentinels = {
        name.removeprefix("sentinel_"): given.pop(name)
        for name in ("sentinel_username", "sentinel_password")
        if name in given
    }
    ours = {"retry": _no_retry(), "protocol": 2, "ssl": secure, **_SILENT}
    sockets = {name: one for name, one in given.items() if name.startswith(("socket_", "ssl_"))}
    of_sentinels = {**ours, **_timeouts(timeout, servers), **sockets, **of_sentinels}
    options = {**ours, **_timeouts(timeout, 1), **given, "decode_responses": False}
    for one in (options, of_sentinels):
        redis.Redis(**one).connection_pool.make_connection()  # refuses unknown options; no I/O
    return options, of_sentinels


def _timeouts(timeout: float, servers: int) -> dict[str, float]:
    return {
        "socket_connect_timeout": CONNECT_TIMEOUT / servers,
        "socket_timeout": timeout / servers,
    }


def _no_retry() -> Retry:
    return Retry(NoBackoff(), 0)


def _host(text: str, port: int) -> tuple[str, int]:
    parts = urlsplit(f"//{text}")
    return parts.hostname or "", parts.port or port
