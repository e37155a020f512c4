"""References to environment variables, ``${NAME}``, in the text of settings.

What a variable holds may be secret, so it shows in no ``repr`` and thereby in no error.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .errors import ConfigurationError
from .rules import Flag, Maybe, Named, Number, Rule, Statuses, Whole, check

_REFERENCE = re.compile(r"(?P<escape>\$)?\$\{(?:(?P<name>[A-Za-z_][A-Za-z0-9_]*)\})?")
_READ_AS_JSON = (Number, Whole, Flag, Statuses)


class ExpandedText(str):
    """Text whose references were replaced, and which shows as it was written.

    :param written: The text before that.
    """

    __slots__ = ("written",)
    written: str

    def __new__(cls, text: str, written: str) -> ExpandedText:
        """Return *text*, to be shown as *written*."""
        made = super().__new__(cls, text)
        made.written = written
        return made

    def __repr__(self) -> str:
        return repr(self.written)

    def __reduce__(self) -> tuple[Any, ...]:
        return ExpandedText, (str(self), self.written)

    def literal(self) -> object:
        """Return what it is as JSON in any case, if it was one reference and is JSON; else itself.

        Source: ``flask.Config.from_prefixed_env``, which reads variables as JSON.
        """
        if not _REFERENCE.fullmatch(self.written):
            return self
        try:
            return json.loads(self.lower())
        except (ValueError, RecursionError):
            return self


@dataclass(frozen=True, slots=True)
class _Expanded:
    """Another rule, for text whose references were replaced."""

    rule: Rule

    def accept(self, value: object) -> object:
        """Return what the other rule makes of *value*, which may be a number written as text."""
        inner = self.rule.rule if isinstance(self.rule, Maybe) else self.rule
        if isinstance(value, ExpandedText) and isinstance(inner, _READ_AS_JSON):
            value = value.literal()
        return self.rule.accept(value)

    def __str__(self) -> str:
        return f"{self.rule}, once its variables are put in"


def expand(value: Any, key: str, environment: Mapping[str, str]) -> Any:
    """Return *value* with the references in all its texts replaced; it is not changed itself.

    ``$${`` stands for a literal ``${``. Names of mappings, and replacements, are not expanded.

    :param value: Text, or mappings, lists, tuples and sets that may hold some.
    :param key: What errors call the value.
    :raises ConfigurationError: If a variable is not set, or a reference has no end or no name.
    """
    if isinstance(value, str):
        return _expand_text(value, key, environment)
    if isinstance(value, Mapping):
        return {name: expand(item, f"{key}[{name!r}]", environment) for name, item in value.items()}
    if type(value) in (list, tuple):
        items = enumerate(value)
        return type(value)(expand(item, f"{key}[{place}]", environment) for place, item in items)
    if type(value) in (set, frozenset):
        return type(value)(expand(item, key, environment) for item in value)
    return value


def check_expanded(key: str, value: object, rule: Rule) -> Any:
    """Return *value* as *rule* keeps it; one whole reference may stand for a number or a flag.

    :raises ConfigurationError: If the rule does not accept it.
    """
    if not isinstance(value, ExpandedText):
        return check(key, value, rule)
    if isinstance(rule, Named):
        return check(key, str(value), rule)  # shows nothing but the type
    return check(key, value, _Expanded(rule))


def _expand_text(text: str, key: str, environment: Mapping[str, str]) -> str:
    def replacement(found: re.Match[str]) -> str:
        name = found["name"]
        if found["escape"]:
            return found[0][1:]
        if name is None:
            raise _wrong_reference(key)
        if name not in environment:
            raise _missing_variable(key, name)
        return environment[name]

    expanded, count = _REFERENCE.subn(replacement, text)
    return ExpandedText(expanded, text) if count else text


def _wrong_reference(key: str) -> ConfigurationError:
    rule = "${NAME}, with a name of ASCII letters, digits and '_' that begins with no digit"
    return ConfigurationError(
        f"{key} holds a '${{' that begins no reference; it must be {rule}. "
        "For a literal '${' write '$${'.",
        key=key,
        rule=rule,
    )


def _missing_variable(key: str, name: str) -> ConfigurationError:
    return ConfigurationError(
        f"{key} refers to the environment variable {name}, which is not set. "
        f"Set it, or for a literal ${{{name}}} write $${{{name}}}.",
        code="CFG-003",
        key=key,
        variable=name,
    )
