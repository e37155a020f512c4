"""Circuits in Redis or Valkey, shared by many hosts."""

from __future__ import annotations

import math
import secrets
from typing import Any

import redis  # noqa: F401  # whoever imports this is told at once if the extra is missing

from ..circuits.circuit_storage import Reading
from ..policies.circuit import Circuit
from .encoding import decode, encode
from .redis_server import Argument, InRedis, Script, place

SCRIPT = Script("""
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
""")


class RedisStorage(InRedis):
    """A hash for each circuit, written by one small script.

    Its time is the server's. A circuit's version is a new random word at each write, so that no
    flush, restart or expiry makes an old one right again.
    """

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

    def _run(self, key: str, *arguments: Argument) -> tuple[bool, Reading]:
        where = place(self._namespace, key, "circuit")
        return self._server.ask(lambda client: _read(SCRIPT.run(client, where, *arguments)))


def _read(answer: Any) -> tuple[bool, Reading]:
    accepted, version, circuit, seconds, microseconds = answer
    now = int(seconds) + int(microseconds) / 1e6
    return bool(accepted), Reading(_circuit(circuit), _received(version), now)


def _sent(version: str) -> bytes:
    return version.encode("utf-8", "surrogateescape")


def _received(version: bytes) -> str:
    return version.decode("utf-8", "surrogateescape")


def _circuit(text: bytes) -> Circuit | None:
    return decode(text) if text else None
