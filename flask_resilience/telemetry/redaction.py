"""Take secrets out of what is about to be logged.

Redacted are the user part of URLs, and the value of anything whose name looks secret: fields of
the line, query parameters, headers, and ``name=value`` or ``"name": "value"`` in text, also where
it was escaped or percent-encoded on the way.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Mapping
from functools import lru_cache
from itertools import pairwise
from typing import Any
from urllib.parse import unquote

from .encoding import describe

REDACTED = "[redacted]"
DEEPEST = 8
"""Levels of a nested value that are looked into; what lies below is told as text."""

SECRET_WORDS = frozenset(
    {"password", "passwd", "passphrase", "pwd", "secret", "token", "apikey", "auth"}
    | {"authorization", "session", "sessionid", "sid", "cookie", "credential", "credentials"}
    | {"signature", "sig", "jwt"}
)
SECRET_PAIRS = frozenset({("api", "key"), ("access", "key"), ("private", "key"), ("x", "amz")})
SECRET_ENDINGS = ("password", "secret", "token", "apikey", "cookie", "signature", "credential")
TYPE_NAMES = frozenset({"str", "int", "float", "bool", "bytes", "dict", "list", "object", "None"})
"""What stands behind ``password:`` in the source lines of a stack trace."""

LONGEST_REMEMBERED = 128
"""Characters of a name that is remembered: clients may choose names, and how many."""
_STEMS = (
    *("pass", "pwd", "secret", "token", "key", "auth", "session", "sid", "cookie", "credential"),
    *("sig", "jwt", "amz"),
)
"""At least one is in every secret name, so that most text need not be searched for names."""

_WORD = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])")
_USER_INFO = re.compile(r"(?<=://)[^/?#\s'\"<>]{1,4096}(?=@)")
_HEADER = re.compile(
    r"\b((?:proxy-)?authorization|(?:set-)?cookie)(?P<mark>\\*['\"]?\s*[:=]\s*)"
    r"(?:\\*b?(?P<quote>['\"])(?:(?!(?P=quote))[^\\\r\n]|\\+(?!\\|(?P=quote)))+|[^\s'\"][^\r\n]*)",
    re.IGNORECASE,
)
_NAMED = re.compile(
    r"(?<![\w%-])(?P<name>[\w%-]{2,128})"
    r"(?P<mark>\\*['\"]?\s*(?:=(?!=)|:|%3[ad]|,(?=\s*b?['\"]))\s*"
    r"(?:(?!\[redacted\])[\[({])*(?P<escape>\\*)(?:b?(?P<quote>['\"]))?)",
    re.ASCII | re.IGNORECASE,
)
_BARE_VALUE = re.compile(r"(?:(?:Bearer|Basic|Digest|Token|ApiKey)\s+)?[^\s&;,'\"<>(){}\[\]]+")
_QUERY_VALUE = re.compile(r"[^\s&#\"<>]+")
_PRIVATE_KEY = re.compile(
    r"(?P<head>-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----).*?(?:-----END[^\n]*|\Z)", re.DOTALL
)
_SCHEME = re.compile(r"\b(?P<scheme>Bearer|Basic)\s+(?P<value>[A-Za-z0-9._~+/=-]{8,})")


def is_secret_name(name: str) -> bool:
    """Say whether a field, header or query parameter of this name holds a secret.

    >>> [is_secret_name(name) for name in ("X-Api-Key", "accessToken", "author", "tokens")]
    [True, True, False, False]
    """
    return _is_remembered_secret(name) if len(name) <= LONGEST_REMEMBERED else _is_secret(name)


def _is_secret(name: str) -> bool:
    words = [word.lower() for word in _WORD.findall(name)]
    return any(word in SECRET_WORDS or word.endswith(SECRET_ENDINGS) for word in words) or any(
        pair in SECRET_PAIRS for pair in pairwise(words)
    )


_is_remembered_secret = lru_cache(maxsize=4096)(_is_secret)


def redact(value: Any, name: str = "", depth: int = 0) -> Any:
    """Return *value*, found under *name*, with every secret in it replaced.

    What JSON has no word for, and what lies too deep, becomes text.
    """
    if name and is_secret_name(name):
        return REDACTED
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, str):
        return redact_text(value)
    if depth < DEEPEST and isinstance(value, Mapping):
        named = [(describe(key, str), item) for key, item in list(value.items())]
        return {key: redact(item, key, depth + 1) for key, item in named}
    if depth < DEEPEST and isinstance(value, (list, tuple)):
        if len(value) == 2 and isinstance(value[0], str) and is_secret_name(value[0]):
            return [value[0], REDACTED]  # one of a list of headers
        return [redact(item, "", depth + 1) for item in value]
    return redact_text(describe(value))


def redact_text(text: str) -> str:
    """Return *text* with every secret it shows replaced.

    >>> redact_text("GET http://user:pw@host/v1?api_key=abc&x=1")
    'GET http://[redacted]@host/v1?api_key=[redacted]&x=1'
    """
    if "@" in text:
        text = _USER_INFO.sub(REDACTED, text)
    if _may_name_a_secret(text):
        text = _HEADER.sub(lambda found: _hide(found, found["quote"]), text)
        text = _redact_named(text)
    if "PRIVATE KEY" in text:
        text = _PRIVATE_KEY.sub(rf"\g<head>{REDACTED}", text)
    if "Bearer" in text or "Basic" in text:
        text = _SCHEME.sub(_redact_scheme, text)
    return text


def _may_name_a_secret(text: str) -> bool:
    """Say whether *text* has something behind a name, and what the name of a secret is made of."""
    named = "=" in text or ":" in text or "%3" in text or "'," in text or '",' in text
    if not named or "%" in text or "\\" in text:  # escaped, a name might be anything
        return named
    return any(map(text.lower().__contains__, _STEMS))


def _hide(found: re.Match[str], quote: str | None) -> str:
    return f"{found[1]}{found['mark']}{quote or ''}{REDACTED}"


def _redact_named(text: str) -> str:
    """Replace the value behind every secret name, wherever it stands within another value."""
    kept: list[str] = []
    done = 0
    for named in _NAMED.finditer(text):
        if named.start() < done or not is_secret_name(unquote(named["name"])):
            continue
        end = _end_of_value(text, named)
        if end > named.end():
            kept += [text[done : named.end()], REDACTED]
            done = end
    return "".join([*kept, text[done:]])


def _end_of_value(text: str, named: re.Match[str]) -> int:
    """Return where the value behind a name ends; where it begins, if it is no secret."""
    start, quote = named.end(), named["quote"]
    if quote is not None:
        escape = named["escape"]
        closing = re.escape(escape + quote) if escape else rf"(?<!\\){quote}"
        end = re.compile(closing).search(text, start)
        return len(text) if end is None else end.start()
    in_query = text[max(0, named.start() - 1) : named.start()] in ("?", "&")
    value = (_QUERY_VALUE if in_query else _BARE_VALUE).match(text, start)
    return start if value is None or value[0] in TYPE_NAMES else value.end()


def _redact_scheme(found: re.Match[str]) -> str:
    """Replace a credential that stands alone, and leave prose about one."""
    value = found["value"]
    if found["scheme"] == "Basic":
        try:
            secret = b":" in b64decode(value, validate=True)
        except ValueError:
            secret = False
    else:
        secret = any(character.isdigit() for character in value)
    return f"{found['scheme']} {REDACTED}" if secret else found[0]
