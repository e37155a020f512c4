"""How long to wait before the next attempt: three curves and five kinds of jitter.

With *d* the initial delay and *n* the number of the attempt that failed, from 1::

    fixed        d
    linear       d + increment * (n - 1)
    exponential  d * multiplier ** (n - 1)

each cut at the longest delay, then spread by the jitter::

    none          delay
    proportional  delay * (0.8 … 1.2)
    full          0 … delay
    equal         delay / 2 … delay
    decorrelated  d … 3 * the wait before, cut at the longest delay; the curve is not used

Sources: gRPC proposal A6 (proportional); M. Brooker, "Exponential Backoff And Jitter", AWS
Architecture Blog, 2015 (full, equal, decorrelated).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

Random: TypeAlias = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Backoff:
    """The numbers behind the formulae of this module; delays in seconds."""

    curve: str
    jitter: str
    initial_delay: float
    multiplier: float
    increment: float
    max_delay: float

    def wait(self, attempt: int, previous: float, random: Random) -> float:
        """Return the pause after failed attempt number *attempt*, in seconds.

        :param attempt: Number of the attempt that failed, from 1.
        :param previous: The wait before that attempt; zero if there was none.
        :param random: Gives a number from 0 up to 1.
        """
        if self.jitter == "decorrelated":
            longest = max(self.initial_delay, 3 * previous)
            return min(self.max_delay, _between(self.initial_delay, longest, random))
        delay = min(self.max_delay, CURVES[self.curve](self, attempt - 1))
        low, high = SPREADS[self.jitter]
        return _between(low * delay, high * delay, random)


def _fixed(backoff: Backoff, retry: int) -> float:
    return backoff.initial_delay


def _linear(backoff: Backoff, retry: int) -> float:
    return backoff.initial_delay + backoff.increment * retry


def _exponential(backoff: Backoff, retry: int) -> float:
    try:
        return backoff.initial_delay * backoff.multiplier**retry
    except OverflowError:
        return backoff.max_delay


def _between(low: float, high: float, random: Random) -> float:
    return low + (high - low) * random()


CURVES: Mapping[str, Callable[[Backoff, int], float]] = MappingProxyType(
    {"fixed": _fixed, "linear": _linear, "exponential": _exponential}
)
SPREADS: Mapping[str, tuple[float, float]] = MappingProxyType(
    {"none": (1.0, 1.0), "proportional": (0.8, 1.2), "full": (0.0, 1.0), "equal": (0.5, 1.0)}
)
JITTERS = (*SPREADS, "decorrelated")
