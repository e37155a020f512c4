"""Idempotency keys: how a caller tells an upstream that two requests are one.

Source: IETF draft-ietf-httpapi-idempotency-key-header.
"""

from __future__ import annotations

import secrets

from ..rules import Text, check

IDEMPOTENCY_HEADER = "Idempotency-Key"
KEY = Text(r"[\x21-\x7e]{1,255}", "True, or 1 to 255 printable ASCII characters without spaces")


def header_value(wanted: str | bool | None) -> str | None:
    """Return the key to send with every attempt of a call, or ``None`` for none.

    :param wanted: A key, or ``True`` to mint one.
    :raises ConfigurationError: If the key is no header value.
    """
    if wanted is None or wanted is False:
        return None
    if wanted is True:
        return secrets.token_hex(16)
    return str(check("idempotency_key", wanted, KEY))
