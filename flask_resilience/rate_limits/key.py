"""What a limit counts by: parts that no client can make run into each other."""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from ipaddress import IPv6Address, ip_network
from typing import TYPE_CHECKING, Any

from ..errors import ConfigurationError
from ..inbound.client_address import client_address

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

LONGEST = 200
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+>")
"""How the text of an object ends that has none of its own, or is within it."""

_ESCAPES = str.maketrans({one: f"%{ord(one):02X}" for one in "%/(,)"})
"""What would look as if it stood between two parts."""
NOBODY = "unknown"
"""Counts all requests together whose address the server does not tell, as on a Unix socket."""


def client_key(environ: WSGIEnvironment, proxies: int) -> str:
    """Return what stands for the client: its address, of IPv6 the network.

    Whoever has one IPv6 address has a whole /64 to choose others from.

    :param proxies: How many proxies are trusted.

    >>> client_key({"REMOTE_ADDR": "2001:db8:1:2:3:4:5:6"}, 0)
    '2001:db8:1:2::/64'
    """
    address = client_address(environ, proxies)
    if not address:
        return NOBODY
    return _network(address) if ":" in address else address


@lru_cache(maxsize=4096)
def _network(address: str) -> str:
    try:
        one = IPv6Address(address)
    except ValueError:
        return address
    if one.ipv4_mapped is not None:
        return str(one.ipv4_mapped)
    return str(ip_network((int(one), 64), strict=False))


def joined(*parts: Any) -> str:
    """Return *parts* as one key; other parts make another key, wherever they are cut.

    A part may be a tuple of parts. What is long is hashed, so that nobody fills the storage.

    >>> joined("a/b", "c"), joined("a", "b/c")
    ('a%2Fb/c', 'a/b%2Fc')
    """
    key = "/".join(_text(part) for part in parts)
    if len(key) <= LONGEST:
        return key
    return "sha256:" + hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def _text(part: Any) -> str:
    if isinstance(part, tuple):
        return "(" + "".join(f"{_text(one)}," for one in part) + ")"
    if isinstance(part, bytes):
        part = part.decode("latin-1")
    text = "" if part is None else str(part)
    if not isinstance(part, str) and _ADDRESS.search(text):
        raise ConfigurationError(
            f"A limit's key has a part of type {type(part).__name__}, whose text is new for each "
            "object, so that nothing would be limited; give what names it, as its ID.",
            key="key",
        )
    return text.translate(_ESCAPES)
