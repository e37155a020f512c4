"""What a ``timeout=`` of ``requests`` means here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from urllib3 import Timeout

from ..policies.client import SECONDS, ClientOptions
from ..rules import Maybe, check


@dataclass(frozen=True, slots=True)
class TimeLimits:
    """The longest connect and the longest attempt, in seconds."""

    connect: float
    attempt: float

    @classmethod
    def of(cls, timeout: Any, options: ClientOptions) -> TimeLimits:
        """Return the limits that a ``timeout=`` asks for.

        :param timeout: ``None`` for the settings; a number for the whole attempt; a pair of a
            connect and an attempt limit, each perhaps ``None``; or a ``urllib3.Timeout``.
        :raises ConfigurationError: If a limit is no number of seconds.
        """
        if timeout is None:
            return cls(options.connect_timeout, options.timeout)
        if isinstance(timeout, Timeout):
            given = (timeout.connect_timeout, timeout.read_timeout)
            timeout = tuple(one if isinstance(one, (int, float)) else None for one in given)
        pair = timeout if isinstance(timeout, tuple) and len(timeout) == 2 else (None, timeout)
        connect, attempt = (check("timeout", one, Maybe(SECONDS)) for one in pair)
        return cls(
            options.connect_timeout if connect is None else connect,
            options.timeout if attempt is None else attempt,
        )
