"""Counters in Redis or Valkey, shared by many hosts: each claim is one round trip."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..policies.moving_window import Held
from ..policies.quota import Claim, Decision, Standing, Strategy
from ..policies.window_counter import CountedWindows, WindowCounter
from .redis_scripts import GIVE_BACK_COUNTED, GIVE_BACK_MOVING, TAKE_COUNTED, TAKE_MOVING
from .redis_server import Argument, Client, InRedis, place, places, primaries

TIMEOUT = 0.1
"""Seconds to wait for an answer: more than circuits do, since each request waits for one, and 200
threads that ask at once on busy processors were at times given up after 50 ms."""

SLACK = 10
"""Milliseconds that a counter lives longer than it counts: Redis reckons lives in whole ones."""

BATCH = 1000
"""About how many keys one round trip looks at when all are forgotten."""


class RedisCounters(InRedis):
    """A hash for each key whose windows are counted, a list of times for each whose windows move.

    The server decides, in its own time, by a small script for each kind.
    """

    timeout = TIMEOUT

    def take(self, claim: Claim) -> Decision:
        """Grant *claim* if every quota has room for it, else take nothing.

        :raises StorageError: If the server cannot be asked in time, or cannot write.
        """
        return self._decide(claim, takes=True)

    def look(self, claim: Claim) -> Decision:
        """Return what :meth:`take` would, and take nothing.

        :raises StorageError: If the server cannot be asked in time.
        """
        return self._decide(claim, takes=False)

    def give_back(self, claim: Claim, at: float) -> None:
        """Take *claim* back, which was granted *at* that time of the server.

        :raises StorageError: If the server cannot be asked in time, or cannot write.
        """
        kind = KINDS[claim.strategy]
        where, arguments = self._place(claim.key, kind.name), kind.given_back(claim, at)
        self._server.ask(lambda client: kind.give_back.run(client, where, *arguments))

    def clear(self, key: str) -> None:
        """Forget what was counted for *key*.

        :raises StorageError: If the server cannot be asked in time, or cannot write.
        """
        where = [self._place(key, name) for name in NAMES]
        self._server.ask(lambda client: client.execute_command("UNLINK", *where))

    def reset(self) -> None:
        """Forget all counters of this namespace, on all nodes of a Cluster.

        It looks at every key that the servers hold, in many round trips; each ends in time.

        :raises StorageError: If a server cannot be asked in time, or cannot write.
        """
        self._server.ask(self._forget)

    def _decide(self, claim: Claim, *, takes: bool) -> Decision:
        kind = KINDS[claim.strategy]
        where, arguments = self._place(claim.key, kind.name), kind.asked(claim, takes)
        return self._server.ask(
            lambda client: kind.decision(claim, kind.take.run(client, where, *arguments))
        )

    def _place(self, key: str, name: str) -> str:
        return place(self._namespace, key, name)

    def _forget(self, client: Client) -> None:
        pattern, endings = places(self._namespace), tuple(f":{name}".encode() for name in NAMES)
        for server in primaries(client):
            cursor = None
            while cursor != 0:
                cursor, found = server.scan(cursor or 0, match=pattern, count=BATCH)
                pipeline = server.pipeline(transaction=False)
                for one in found:
                    if one.endswith(endings):
                        pipeline.unlink(one)  # alone: others may lie in other slots
                pipeline.execute()


@dataclass(frozen=True, slots=True)
class _Counted:
    """Fixed and sliding windows: the script tells the counters, and the rule how they stand."""

    rule: CountedWindows
    name = "counter"
    take, give_back = TAKE_COUNTED, GIVE_BACK_COUNTED

    def asked(self, claim: Claim, takes: bool) -> list[Argument]:
        life = 2000 * claim.longest_window + SLACK
        return [int(takes), claim.cost, life, int(self.rule.slides), *_amounts_and_windows(claim)]

    def given_back(self, claim: Claim, at: float) -> list[Argument]:
        return [claim.cost, at, *[quota.window for quota in claim.quotas]]

    def decision(self, claim: Claim, answer: Any) -> Decision:
        granted, seconds, microseconds, *held = answer
        now = int(seconds) + int(microseconds) / 1e6
        counters = tuple([_counter(one) for one in held])
        return _decision(claim, granted, self.rule.standings(counters, claim, now), now)


class _Moving:
    """Moving windows: the script tells of each quota which units matter, in microseconds."""

    name = "units"
    take, give_back = TAKE_MOVING, GIVE_BACK_MOVING

    def asked(self, claim: Claim, takes: bool) -> list[Argument]:
        life = 1000 * claim.longest_window + SLACK
        return [int(takes), claim.cost, life, *_amounts_and_windows(claim)]

    def given_back(self, claim: Claim, at: float) -> list[Argument]:
        return [claim.cost, round(at * 1e6)]

    def decision(self, claim: Claim, answer: Any) -> Decision:
        granted, microseconds, *told = answer
        now = _seconds(microseconds)
        each = zip(claim.quotas, told[::3], told[1::3], told[2::3], strict=True)
        standings = tuple(
            [
                Held(used, _seconds(oldest), _seconds(blocking)).standing(quota, claim.cost, now)
                for quota, used, oldest, blocking in each
            ]
        )
        return _decision(claim, granted, standings, now)


KINDS: dict[Strategy, _Counted | _Moving] = {
    Strategy.FIXED_WINDOW: _Counted(CountedWindows(slides=False)),
    Strategy.SLIDING_WINDOW_COUNTER: _Counted(CountedWindows(slides=True)),
    Strategy.MOVING_WINDOW: _Moving(),
}
NAMES = _Counted.name, _Moving.name


def _amounts_and_windows(claim: Claim) -> list[int]:
    quotas = claim.quotas
    return [quota.amount for quota in quotas] + [quota.window for quota in quotas]


def _counter(text: bytes) -> WindowCounter:
    start, previous, current = str(text, "ascii").split()
    return WindowCounter(float(start), int(previous), int(current))


def _decision(claim: Claim, granted: int, standings: tuple[Standing, ...], now: float) -> Decision:
    """Return what the server decided, whatever the standings would say."""
    if not granted:
        return Decision(False, standings, now)
    free = tuple([Standing(used, reset, 0.0) for used, reset, _ in standings])
    return Decision.on(claim, free, now)


def _seconds(microseconds: int) -> float:
    whole, rest = divmod(microseconds, 1_000_000)
    return whole + rest / 1e6
