"""How long the caller of an inbound request will still wait, as its header says.

The time is relative to the arrival of the request, so no two clocks have to agree.
"""

from __future__ import annotations

import re

ENVIRON_NAME = "HTTP_X_REQUEST_TIMEOUT_MS"
LONGEST = 86_400.0
"""Seconds that any longer wait is taken for."""

_ACCEPTED = re.compile(r"\A[0-9]+\Z")


def parse_request_timeout(value: str | None) -> float | None:
    """Return what ``X-Request-Timeout-Ms`` says, in seconds.

    :param value: Milliseconds in whole decimal digits, as WSGI gives the header; ``None`` if there
        was none. One that is repeated arrives joined by commas, and is ignored like any other that
        is no number.
    :return: From 0, for a caller who waits no longer, to 86,400; ``None`` if there is nothing to
        go by.

    >>> parse_request_timeout(" 1500 ")
    1.5
    >>> parse_request_timeout("1.5") is None
    True
    >>> parse_request_timeout("9" * 400)
    86400.0
    """
    digits = (value or "").strip(" \t")
    if not _ACCEPTED.match(digits):
        return None
    digits = digits.lstrip("0")
    if len(digits) > len("86400000"):  # int() refuses text of several thousand digits
        return LONGEST
    return min(int(digits or "0") / 1000, LONGEST)
