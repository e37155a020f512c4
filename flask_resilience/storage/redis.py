"""Circuits in Redis or Valkey: alone, behind Sentinel or in a Cluster, shared by many hosts."""

from __future__ import annotations

import hashlib
import inspect
import math
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import quote, unquote, urlsplit

import redis
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode
from redis.connection import parse_url
from redis.exceptions import NoScriptError, RedisClusterException
from redis.retry import Retry
from redis.sentinel import MasterNotFoundError, Sentinel

from ..circuits.circuit_storage import Reading
from ..errors import ConfigurationError, StorageError
from ..forks import PerProcess
from ..policies.circuit import Circuit
from ..rules import StorageURL, check
from .encoding import decode, encode

CONNECT_TIMEOUT = 0.1
TIMEOUT = 0.05
PORT, SENTINEL_PORT = 6379, 26379

SCRIPT = """
-- KEYS[1]: where the circuit is
-- ARGV: the version it must be at, the new one, the circuit, its time to live; or nothing, to read
local now = redis.call('TIME')
local held = redis.pcall('HMGET', KEYS[1], 'version', 'circuit')
if held.err then
    redis.call('DEL', KEYS[1])
    held = {}
end
local version = held[1] or ''
if ARGV[1] ~= version then
    return {0, version, held[2] or '', now[1], now[2]}
end
redis.call('HSET', KEYS[1], 'version', ARGV[2], 'circuit', ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return {1, ARGV[2], '', now[1], now[2]}
"""
SHA = hashlib.sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest()

FAILURES = (redis.RedisError, RedisClusterException, OSError, ValueError, TypeError, OverflowError)
"""What an operation may raise; the last three come of answers that are none, and of odd ports."""

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


class Client(Protocol):
    """What is needed of redis-py's clients."""

    def execute_command(self, *arguments: object) -> Any:
        """Return the answer to a command."""

    def close(self) -> None:
        """Close the connections."""


class RedisStorage:
    """A hash for each circuit, written by one small script.

    Its time is the server's. A circuit's version is a new random word at each write, so that no
    flush, restart or expiry makes an old one right again.

    :param url: As :class:`~flask_resilience.rules.StorageURL` accepts it; options of redis-py in
        its query override ours, so ``socket_timeout=0.2`` gives a far server more time.
    :param namespace: Whose circuits they are.
    :raises ConfigurationError: If the URL is none of Redis.
    """

    name = "redis"
    shared = True

    def __init__(self, url: str, *, namespace: str = "") -> None:
        self._target = Target.of(check("url", url, StorageURL()))
        self._namespace = namespace
        self._client = PerProcess(self._target.connect)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.address!r}, namespace={self._namespace!r})"

    @property
    def address(self) -> str:
        """Return where it is, as a URL without user, password and options."""
        return self._target.address

    def read(self, key: str) -> Reading:
        """Return what is held for *key*.

        :raises StorageError: If the server cannot be asked in time.
        """
        return self._run(key)[1]

    def compare_and_set(
        self, key: str, version: str, circuit: Circuit, ttl: float
    ) -> tuple[bool, Reading]:
        """Write *circuit* if *key* is still at *version*.

        :raises StorageError: If the server cannot be asked in time, or cannot write.
        """
        milliseconds = max(1, math.ceil(ttl * 1000))
        accepted, held = self._run(
            key, _sent(version), secrets.token_hex(8), encode(circuit), milliseconds
        )
        return accepted, Reading(circuit, held.version, held.now) if accepted else held

    def close(self) -> None:
        """Close this process's connections; the next use opens them again."""
        if (client := self._client.made) is not None:
            client.close()

    def _run(self, key: str, *arguments: str | bytes | int) -> tuple[bool, Reading]:
        """Run the script; its errors are told anew, since redis-py's may hold a password."""
        try:
            accepted, version, circuit, seconds, microseconds = self._evaluate(key, *arguments)
            now = int(seconds) + int(microseconds) / 1e6
            return bool(accepted), Reading(_circuit(circuit), _received(version), now)
        except FAILURES as error:
            kind = type(error).__name__
            failure = StorageError(self.address, self._target.reason(error), kind)
        raise failure

    def _evaluate(self, key: str, *arguments: str | bytes | int) -> Any:
        execute, place = self._client.get().execute_command, self._place(key)
        try:
            return execute("EVALSHA", SHA, 1, place, *arguments)
        except NoScriptError:
            return execute("EVAL", SCRIPT, 1, place, *arguments)

    def _place(self, key: str) -> str:
        """Return the key in Redis: its part in braces decides the node of a Cluster."""
        namespace, key = (
            quote(one, safe="", errors="surrogatepass") for one in (self._namespace, key)
        )
        return f"flask-resilience:{{{namespace}:{key}}}:circuit"


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
    def of(cls, url: str) -> Target:
        """Read *url*.

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
            options, of_sentinels = _options(given, secure, 1 + servers.count(","))
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
    given: dict[str, Any], secure: bool, servers: int
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
    of_sentinels = {**ours, **_timeouts(servers), **sockets, **of_sentinels}
    options = {**ours, **_timeouts(1), **given, "decode_responses": False}
    for one in (options, of_sentinels):
        redis.Redis(**one).connection_pool.make_connection()  # refuses unknown options; no I/O
    return options, of_sentinels


def _timeouts(servers: int) -> dict[str, float]:
    return {
        "socket_connect_timeout": CONNECT_TIMEOUT / servers,
        "socket_timeout": TIMEOUT / servers,
    }


def _no_retry() -> Retry:
    return Retry(NoBackoff(), 0)


def _host(text: str, port: int) -> tuple[str, int]:
    parts = urlsplit(f"//{text}")
    return parts.hostname or "", parts.port or port


def _sent(version: str) -> bytes:
    return version.encode("utf-8", "surrogateescape")


def _received(version: bytes) -> str:
    return version.decode("utf-8", "surrogateescape")


def _circuit(text: bytes) -> Circuit | None:
    return decode(text) if text else None
