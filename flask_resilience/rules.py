"""What a setting may be: small rules that check one value and can say themselves in words.

A dataclass that holds settings gives each field its rule with :func:`setting` and checks itself
with :func:`check_fields`; the loader of ``app.config`` and the tables in the documentation read
the same rules, so a default and a range stand in one place.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from .errors import ConfigurationError


class Rule(Protocol):
    """Accept a value, perhaps in its final type, or raise ``ValueError``."""

    def accept(self, value: object) -> object:
        """Return the value to keep; raise ``ValueError`` if it breaks the rule."""

    def __str__(self) -> str:
        """Return the rule in words, to follow "must be"."""


@dataclass(frozen=True, slots=True)
class Number:
    """A finite number from *low* to *high*; not a bool, not text."""

    low: float
    high: float
    unit: str = ""

    def accept(self, value: object) -> float:
        """Return *value* as a float."""
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ValueError
        number = float(value)
        if not math.isfinite(number) or not self.low <= number <= self.high:
            raise ValueError
        return number

    def __str__(self) -> str:
        of_unit = f" of {self.unit}" if self.unit else ""
        return f"a number{of_unit} from {self.low:.15g} to {self.high:.15g}"


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number from *low* to *high*."""

    low: int
    high: int

    def accept(self, value: object) -> int:
        """Return *value* unchanged."""
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError
        if not self.low <= value <= self.high:
            raise ValueError
        return value

    def __str__(self) -> str:
        return f"a whole number from {self.low} to {self.high}"


@dataclass(frozen=True, slots=True)
class Flag:
    """``True`` or ``False``, and nothing that merely looks like it."""

    def accept(self, value: object) -> bool:
        """Return *value* unchanged."""
        if not isinstance(value, bool):
            raise ValueError
        return value

    def __str__(self) -> str:
        return "True or False"


class OneOf:
    """One of a few words."""

    def __init__(self, *words: str) -> None:
        self.words = words

    def accept(self, value: object) -> str:
        """Return *value* unchanged."""
        if not isinstance(value, str) or value not in self.words:
            raise ValueError
        return value

    def __str__(self) -> str:
        return "one of " + ", ".join(repr(word) for word in self.words)


@dataclass(frozen=True, slots=True)
class Text:
    """Text that matches *pattern* as a whole; *words* say the pattern."""

    pattern: str
    words: str

    def accept(self, value: object) -> str:
        """Return *value* unchanged."""
        if not isinstance(value, str) or not re.fullmatch(self.pattern, value):
            raise ValueError
        return value

    def __str__(self) -> str:
        return self.words


@dataclass(frozen=True, slots=True)
class Maybe:
    """``None``, or what another rule accepts."""

    rule: Rule

    def accept(self, value: object) -> object:
        """Return *value* or ``None``."""
        return None if value is None else self.rule.accept(value)

    def __str__(self) -> str:
        return f"None or {self.rule}"


@dataclass(frozen=True, slots=True)
class Statuses:
    """A collection of HTTP status codes."""

    def accept(self, value: object) -> frozenset[int]:
        """Return *value* as a frozen set."""
        if not isinstance(value, (list, tuple, set, frozenset)):
            raise ValueError
        return frozenset(Whole(100, 599).accept(status) for status in value)

    def __str__(self) -> str:
        return "a list of HTTP statuses from 100 to 599"


@dataclass(frozen=True, slots=True)
class Instance:
    """An object of one *kind*."""

    kind: type[Any]

    def accept(self, value: object) -> object:
        """Return *value* unchanged."""
        if not isinstance(value, self.kind):
            raise ValueError
        return value

    def __str__(self) -> str:
        return f"a {self.kind.__name__}"


@dataclass(frozen=True, slots=True)
class Named:
    """A mapping of names to values of one *kind*; the values may be secret and are not shown."""

    kind: type[Any]
    words: str

    def accept(self, value: object) -> dict[str, Any]:
        """Return *value* as a dict of its own."""
        if not isinstance(value, Mapping):
            raise ValueError
        for name, item in value.items():
            if not isinstance(name, str) or not isinstance(item, self.kind):
                raise ValueError(f", where {name!r} has a {type(item).__name__}")
        return dict(value)

    def __str__(self) -> str:
        return self.words


@dataclass(frozen=True, slots=True)
class Exceptions:
    """A tuple or list of exception classes, each a subclass of *kind*."""

    kind: type[BaseException] = BaseException

    def accept(self, value: object) -> tuple[type[BaseException], ...]:
        """Return *value* as a tuple."""
        if not isinstance(value, (tuple, list)):
            raise ValueError
        if not all(isinstance(one, type) and issubclass(one, self.kind) for one in value):
            raise ValueError
        return tuple(value)

    def __str__(self) -> str:
        return f"a tuple of subclasses of {self.kind.__name__}"


@dataclass(frozen=True, slots=True)
class Function:
    """Something that can be called."""

    def accept(self, value: object) -> object:
        """Return *value* unchanged."""
        if not callable(value):
            raise ValueError
        return value

    def __str__(self) -> str:
        return "a function"


_USER = r"(?:[^\s/?#]*@)?"
_HOST = r"(?:[^\s@/?#,:\[\]]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?"
_OPTIONS = r"(?:\?[^\s#]*)?"
_STORAGE_URL = re.compile(
    r"memory://"
    r"|sqlite:///(?!:memory:)[^\x00-\x1f?#]*[^\x00-\x1f?#/]"
    rf"|(?:rediss?|valkeys?)://{_USER}{_HOST}(?:/\d*)?{_OPTIONS}"
    rf"|(?:rediss?|valkeys?)\+sentinel://{_USER}{_HOST}(?:,{_HOST})*/[^\s/?#]+(?:/\d+)?{_OPTIONS}"
    rf"|(?:rediss?|valkeys?)\+cluster://{_USER}{_HOST}(?:,{_HOST})*/?{_OPTIONS}"
)


@dataclass(frozen=True, slots=True)
class StorageURL:
    """Where circuits and counters live: in memory, in a SQLite file, or in Redis or Valkey."""

    def accept(self, value: object) -> str:
        """Return *value* unchanged."""
        if not isinstance(value, str) or not _STORAGE_URL.fullmatch(value):
            raise ValueError
        return value

    def __str__(self) -> str:
        return (
            "memory://, sqlite:///path/of/a/file, redis://host:port/db, "
            "redis+sentinel://host:port,host:port/service or redis+cluster://host:port,host:port "
            "(rediss for TLS; valkey and valkeys mean the same)"
        )


LONGEST_SHOWN = 200
"""Characters of a wrong value that its error shows."""
LOG_FORMAT = OneOf("json", "console", "off")
REQUEST_ID_TRUST = OneOf("any", "proxy", "never")
TRUSTED_PROXIES = Whole(0, 100)
LOG_PRESET = OneOf("structlog", "otel", "ecs", "gcp", "datadog")
LOG_LEVEL = OneOf("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
RATE_LIMIT_STRATEGY = OneOf("fixed-window", "moving-window", "sliding-window-counter")
RATE_LIMIT_ON_STORAGE_ERROR = OneOf("fallback", "open", "closed")
RATE_LIMIT_HEADERS = OneOf("draft", "legacy", "both", "off")
NAMESPACE = Text(r"[^\r\n]{1,255}", "1 to 255 characters on one line")
UPSTREAM = Text(r"[^\r\n]{1,255}", "a name of 1 to 255 characters on one line")
SERVICE_NAME = Text(r"[^\r\n]{1,255}", "1 to 255 characters on one line")


def setting(default: Any, rule: Rule, meaning: str) -> Any:
    """Return a dataclass field that knows its rule and its meaning."""
    metadata = {"rule": rule, "meaning": meaning}
    if isinstance(default, dict):
        return dataclasses.field(default_factory=default.copy, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def check(name: str, value: object, rule: Rule) -> Any:
    """Return *value* as *rule* keeps it.

    :raises ConfigurationError: If the rule does not accept it.
    """
    try:
        return rule.accept(value)
    except (ValueError, OverflowError) as error:
        shown = _without_secrets(value, rule, error)
        raise ConfigurationError(
            f"{name} is {shown}; it must be {rule}.", key=name, value=shown, rule=str(rule)
        ) from None


def _without_secrets(value: object, rule: Rule, error: Exception) -> str:
    """Return *value* as it may be shown: no mapping's values, no user or query of a URL."""
    if isinstance(rule, Named):
        return f"a {type(value).__name__}{error}"
    shown = re.sub(r"(['\"](?:\w[\w+.-]*:/*)?).*@", r"\1[redacted]@", repr(value))
    shown = re.sub(r"\?\S*(?=['\"]$)", "?[redacted]", shown)
    return shown if len(shown) <= LONGEST_SHOWN else f"{shown[:LONGEST_SHOWN]}…"


def check_fields(values: Any) -> None:
    """Hold every field of a frozen dataclass made with :func:`setting` to its rule.

    :raises ConfigurationError: If a field breaks its rule.
    """
    for field in dataclasses.fields(values):
        rule = field.metadata.get("rule")
        if rule is not None:
            name = f"{type(values).__name__}.{field.name}"
            kept = check(name, getattr(values, field.name), rule)
            object.__setattr__(values, field.name, kept)
