"""Take secrets out of what is about to be logged.

Redacted are the user part of URLs, and the value of anything whose name looks secret: query
parameters, ``name=value`` and ``name: value`` in text, and fields of the line itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Any
from urllib.parse import unquote

REDACTED = "[redacted]"

SECRET_WORDS = frozenset(
    {"password", "passwd", "passphrase", "pwd", "secret", "token", "apikey", "auth"}
    | {"authorization", "session", "sessionid", "sid", "cookie", "credential", "credentials"}
    | {"signature", "sig", "jwt"}
)
SECRET_PAIRS = frozenset({("api", "key"), ("access", "key"), ("private", "key"), ("x", "amz")})
SECRET_ENDINGS = ("password", "secret", "token", "apikey", "cookie", "signature", "credential")

_USER_INFO = re.compile(r"(?<=://)[^/\s@?#'\"]+(?=@)")
_NAMED = re.compile(r"(?P<name>[A-Za-z0-9_.%\-]{2,64})['\"]?\s*[=:]\s*['\"]?")
_VALUE = re.compile(r"(?:(?:Bearer|Basic|Digest)\s+)?[^\s&;,'\"<>(){}\[\]]+", re.IGNORECASE)
_BEARER = re.compile(r"\b(Bearer|Basic)\s+[A-Za-z0-9._~+/=-]{6,}")
_WORD = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])")


def is_secret_name(name: str) -> bool:
    """Say whether a field, header or query parameter of this name holds a secret.

    >>> [is_secret_name(name) for name in ("X-Api-Key", "accessToken", "author", "tokens")]
    [True, True, False, False]
    """
    words = [word.lower() for word in _WORD.findall(name)]
    return any(word in SECRET_WORDS or word.endswith(SECRET_ENDINGS) for word in words) or any(
        pair in SECRET_PAIRS for pair in pairwise(words)
    )


def redact_text(text: str) -> str:
    """Return *text* with every secret it shows replaced.

    >>> redact_text("GET http://user:pw@host/v1?api_key=abc&x=1")
    'GET http://[redacted]@host/v1?api_key=[redacted]&x=1'
    """
    if "@" in text:
        text = _USER_INFO.sub(REDACTED, text)
    if "=" in text or ":" in text:
        text = _redact_named(text)
    return _BEARER.sub(rf"\1 {REDACTED}", text)


def redact(value: Any, name: str = "") -> Any:
    """Return *value*, found under *name*, with every secret in it replaced."""
    if name and is_secret_name(name):
        return REDACTED
    if isinstance(value, str):
        return redact_text(value)
    if isinstance(value, Mapping):
        return {key: redact(item, str(key)) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [redact(item) for item in value]
    return value


def _redact_named(text: str) -> str:
    """Replace the value behind every secret name, wherever it stands within another value."""
    kept: list[str] = []
    done = 0
    for named in _NAMED.finditer(text):
        if named.start() < done or not is_secret_name(unquote(named["name"])):
            continue
        value = _VALUE.match(text, named.end())
        if value is not None:
            kept += [text[done : value.start()], REDACTED]
            done = value.end()
    return "".join([*kept, text[done:]])
