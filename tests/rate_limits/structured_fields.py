"""A strict reader of the structured fields that tests expect: lists of strings with integers.

Source: RFC 9651, section 4.2. What this does not need of it, as tokens and inner lists, it refuses.
"""

from __future__ import annotations

import re

STRING = re.compile(r'"((?:[ !#-\[\]-~]|\\["\\])*)"')
KEY = re.compile(r"[a-z*][a-z0-9_.*-]*")
INTEGER = re.compile(r"-?[0-9]{1,15}(?![0-9.])")
COMMA = re.compile(r"[ \t]*,[ \t]*")
Member = tuple[str, dict[str, int]]


def parse_list(text: str) -> list[Member]:
    """Return the members of a list, each a string and its parameters.

    :raises ValueError: If it is none.
    """
    reader = _Reader(text.strip(" "))
    members = [reader.member()]
    while not reader.ended:
        reader.read(COMMA)
        members.append(reader.member())
    return members


class _Reader:
    """Reads one field from its beginning to its end."""

    def __init__(self, text: str) -> None:
        self._text, self._place = text, 0

    @property
    def ended(self) -> bool:
        return self._place == len(self._text)

    def read(self, pattern: re.Pattern[str]) -> re.Match[str]:
        """Read what *pattern* says must come next."""
        found = pattern.match(self._text, self._place)
        if found is None:
            raise ValueError(f"{self._text!r} has no {pattern.pattern} at {self._place}")
        self._place = found.end()
        return found

    def member(self) -> Member:
        """Read a string and its parameters."""
        name = re.sub(r"\\(.)", r"\1", self.read(STRING)[1])
        parameters = {}
        while self._text.startswith(";", self._place):
            self.read(re.compile(";[ ]*"))
            key = self.read(KEY)[0]
            self.read(re.compile("="))
            parameters[key] = int(self.read(INTEGER)[0])
        return name, parameters
