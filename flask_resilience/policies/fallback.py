"""What a call gives instead of its failure."""

from __future__ import annotations

import inspect
from dataclasses import dataclass

from ..errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Fallback:
    """A substitute for the result of a call that failed.

    :param substitute: The result to give; or a function that makes it, of one argument: what the
        call would have raised.
    :raises ConfigurationError: If it is a function that does not take one argument.
    """

    substitute: object

    def __post_init__(self) -> None:
        if callable(self.substitute) and not _takes_one(self.substitute):
            name = getattr(self.substitute, "__qualname__", repr(self.substitute))
            raise ConfigurationError(
                f"fallback is {name}, which cannot be called with one argument; it must be a "
                "value to give instead, or a function that takes the exception and returns one.",
                key="fallback",
            )

    def result(self, error: Exception) -> object:
        """Return what to give instead of raising *error*."""
        return self.substitute(error) if callable(self.substitute) else self.substitute


def _takes_one(function: object) -> bool:
    try:
        signature = inspect.signature(function)  # type: ignore[arg-type]  # it was seen callable
    except ValueError:  # some of those written in C do not tell
        return True
    try:
        signature.bind(None)
    except TypeError:
        return False
    return True
