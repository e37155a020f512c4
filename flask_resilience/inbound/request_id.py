"""Which IDs a request may bring along."""

from __future__ import annotations

import re

ENVIRON_KEY = "flask_resilience.request_id"

_ACCEPTED = re.compile(r"\A[A-Za-z0-9._:@=+-]{1,128}\Z")


def accept_request_id(value: str | None) -> str | None:
    """Return the client's ID unchanged if it is well formed, else ``None``.

    :param value: The header as WSGI gives it, ``None`` if there was none. One that is repeated
        arrives joined by commas, which no accepted ID holds.

    >>> accept_request_id(" checkout-7 ")
    'checkout-7'
    >>> accept_request_id("two,headers") is None
    True
    """
    candidate = (value or "").strip(" \t")
    return candidate if _ACCEPTED.match(candidate) else None


def environ_name(header: str) -> str:
    """Return the WSGI name of a header.

    >>> environ_name("X-Request-ID")
    'HTTP_X_REQUEST_ID'
    """
    return "HTTP_" + header.upper().replace("-", "_")
