"""What one limit says, checked as soon as it is said."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias

import limits
from flask import Response, request

from ..errors import ConfigurationError
from ..policies.quota import Quota
from ..rules import RATE_LIMIT_ON_STORAGE_ERROR, Flag, Function, Maybe, Rule, Text, Whole, check

Key: TypeAlias = "str | int | bytes | tuple[Any, ...] | None"
"""What is counted by; the parts of a tuple stay apart."""

LARGEST_AMOUNT = 1_000_000_000
LARGEST_COST = 100_000
LONGEST_WINDOW = 10 * 366 * 24 * 3600
SCOPE = Text(r"[ !#-\[\]-~]{1,100}", "1 to 100 characters of ASCII without quotes and backslashes")


class Verbs:
    """The rule of ``methods``: a collection of verbs, and not the text of one."""

    def accept(self, value: object) -> frozenset[str]:
        """Return *value* as a frozen set of capital words."""
        if isinstance(value, str) or not isinstance(value, Collection):
            raise ValueError
        if not all(isinstance(verb, str) and verb.isalpha() for verb in value):
            raise ValueError
        verbs = frozenset(verb.upper() for verb in value)
        if verbs <= {"HEAD", "OPTIONS"}:  # which would never hold
            raise ValueError
        return verbs

    def __str__(self) -> str:
        return "a list of verbs, as ['POST'], and not of HEAD or OPTIONS alone"


class Parsed(NamedTuple):
    """A limit that was read: its quotas, the shortest window first.

    :param items: The same as the ``limits`` library has them.
    :param texts: The same for people, as in ``"10 per 1 minute"``.
    :param suffix: What names the quotas in a key.
    """

    quotas: tuple[Quota, ...]
    items: tuple[limits.RateLimitItem, ...]
    texts: tuple[str, ...]
    suffix: str


@lru_cache(maxsize=1024)
def parse_limit(text: str) -> Parsed:
    """Return the quotas of *text*, as in ``"1/second;10 per hour"``.

    Of two for one length of window the smaller one holds.

    :raises ValueError: If it cannot be read.

    >>> parse_limit("100 per hour; 5/minute").quotas
    (Quota(amount=5, window=60), Quota(amount=100, window=3600))
    """
    smallest: dict[int, limits.RateLimitItem] = {}
    for item in limits.parse_many(text):
        window = item.get_expiry()
        if not 1 <= item.amount <= LARGEST_AMOUNT or window > LONGEST_WINDOW:
            raise ValueError(text)
        if window not in smallest or item.amount < smallest[window].amount:
            smallest[window] = item
    items = tuple(smallest[window] for window in sorted(smallest))
    quotas = tuple(Quota(item.amount, item.get_expiry()) for item in items)
    suffix = ",".join(f"{amount}:{window}" for amount, window in quotas)
    return Parsed(quotas, items, tuple(str(item) for item in items), suffix)


def check_limit(name: str, limit: object) -> Parsed:
    """Return the quotas of *limit*, held to the notation of the ``limits`` library.

    :raises ConfigurationError: If it cannot be read, or lets nothing through.
    """
    try:
        if isinstance(limit, str):
            return parse_limit(limit)
    except ValueError:
        pass
    raise ConfigurationError(
        f"{name} is {limit!r}; it must be limits like '10 per minute' or '5/second', of 1 to "
        f"{LARGEST_AMOUNT} in at most ten years, several of them separated by ';'.",
        key=name,
        value=limit,
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LimitRule:
    """One ``@limit``.

    :param limit: As in ``"5/minute"`` or ``"1/second;10 per hour"``, or what gives it.
    :param key: Gives what is counted, instead of the client's address.
    :param cost: What one request takes from each quota, or what gives it; given as 0, the limit is
        left out.
    :param methods: The verbs it holds for, of which GET includes HEAD; ``None`` for all.
    :param per_method: Whether each verb has a quota of its own; HEAD shares that of GET.
    :param scope: All that have the same one count together; ``None`` for this view alone.
    :param exempt_when: Says of a request that the limit does not hold.
    :param deduct_when: Says of a response that the request counts. It counts from the beginning,
        and is given back after a response that does not.
    :param on_storage_error: ``fallback``, ``open`` or ``closed``; ``None`` for the app's.
    :raises ConfigurationError: If the limit cannot be read, or another value is wrong.
    """

    limit: str | Callable[[], str]
    key: Callable[[], Key] | None = None
    cost: int | Callable[[], int] = 1
    methods: Collection[str] | None = None
    per_method: bool = False
    scope: str | None = None
    exempt_when: Callable[[], bool] | None = None
    deduct_when: Callable[[Response], bool] | None = None
    on_storage_error: str | None = None

    def __post_init__(self) -> None:
        for name, rule in _RULES.items():
            object.__setattr__(self, name, check(name, getattr(self, name), rule))
        if not callable(self.cost):
            check("cost", self.cost, Whole(1, LARGEST_COST))
        if not callable(self.limit):
            self._check_room(check_limit("limit", self.limit))

    @property
    def is_plain(self) -> bool:
        """Say whether it holds for every request alike, without asking the app's functions."""
        asked = (self.limit, self.key, self.cost, self.exempt_when)
        return not any(callable(one) for one in asked)

    def holds(self) -> bool:
        """Say whether it holds for the request being served."""
        if self.methods is not None and verb_of(request.method) not in self.methods:
            return False
        return self.exempt_when is None or not self.exempt_when()

    def parsed(self) -> Parsed:
        """Return the quotas for the request being served.

        :raises ConfigurationError: If what a function gave cannot be read.
        """
        if isinstance(self.limit, str):
            return parse_limit(self.limit)
        return check_limit("limit", self.limit())

    def price(self) -> int:
        """Return what the request being served costs.

        :raises ConfigurationError: If what a function gave is no whole number.
        """
        if isinstance(self.cost, int):
            return self.cost
        return int(check("cost", self.cost(), Whole(0, LARGEST_COST)))

    def _check_room(self, parsed: Parsed) -> None:
        smallest = min(quota.amount for quota in parsed.quotas)
        if not callable(self.cost) and self.cost > smallest:
            raise ConfigurationError(
                f"cost is {self.cost} and limit is {self.limit!r}; a request that costs more than "
                "the limit would never pass. Raise the limit, or lower the cost.",
                key="cost",
                contradicts="limit",
            )


def verb_of(method: str) -> str:
    """Return the verb that *method* counts as; Flask answers HEAD by the view for GET."""
    return "GET" if method == "HEAD" else method


_RULES: dict[str, Rule] = {
    "key": Maybe(Function()),
    "methods": Maybe(Verbs()),
    "per_method": Flag(),
    "scope": Maybe(SCOPE),
    "exempt_when": Maybe(Function()),
    "deduct_when": Maybe(Function()),
    "on_storage_error": Maybe(RATE_LIMIT_ON_STORAGE_ERROR),
}
