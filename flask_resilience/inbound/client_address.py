"""The address a request comes from, where proxies stand in front of the app.

Each proxy adds to ``X-Forwarded-For`` the address it was asked from. The last entries are theirs;
anybody may have made up the ones before.
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_WITH_PORT = re.compile(r"(?P<v4>[\d.]+):\d+|\[(?P<v6>[^\]]+)\](?::\d+)?")


def client_address(environ: WSGIEnvironment, proxies: int) -> str | None:
    """Return what the outermost trusted proxy was asked from, else the address of the peer.

    :param proxies: How many proxies are trusted.
    """
    forwarded = forwarded_address(environ, proxies) if proxies else None
    peer = environ.get("REMOTE_ADDR")
    return forwarded or (peer and _without_port(peer))


def forwarded_address(environ: WSGIEnvironment, proxies: int) -> str | None:
    """Return what the outermost trusted proxy was asked from, without a port.

    :param proxies: How many proxies are trusted.
    :return: ``None`` if the request has not come through them all, or the entry is no address.

    >>> forwarded_address({"HTTP_X_FORWARDED_FOR": "6.6.6.6, 192.0.2.7, 10.0.0.1"}, 2)
    '192.0.2.7'
    """
    addresses = environ.get("HTTP_X_FORWARDED_FOR", "").split(",") if proxies else ()
    if len(addresses) < max(proxies, 1):
        return None
    found = addresses[-proxies].strip()
    try:
        return str(ip_address(_without_port(found)))
    except ValueError:
        return None


def _without_port(address: str) -> str:
    """Return *address* alone; some proxies, and servers behind ``ProxyFix``, add the port."""
    with_port = _WITH_PORT.fullmatch(address)
    return address if with_port is None else with_port["v4"] or with_port["v6"]
