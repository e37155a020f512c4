"""Cookies of a session that serves many users: kept for one request, or else for one thread.

A session remembers the cookies it is sent. That of an app makes calls for everybody, so those that
one user's request brought must not go along with another's.
"""

from __future__ import annotations

import threading
from collections.abc import MutableMapping
from typing import Any
from weakref import WeakKeyDictionary

from requests.cookies import RequestsCookieJar

from ..context import current_request


class CookiesOfRequest:
    """A session's attribute that holds another jar in each request, or outside one in each thread.

    A thread that carries the request's context has the request's jar.
    """

    def __get__(self, session: Any, kind: Any = None) -> Any:
        """Return the jar of the request being served, an empty one at first."""
        if session is None:
            return self
        jars = _jars()
        found = jars.get(session)
        return jars.setdefault(session, RequestsCookieJar()) if found is None else found

    def __set__(self, session: Any, jar: Any) -> None:
        """Have another jar until the request is over."""
        _jars()[session] = jar


class _JarsOfThread(threading.local):
    def __init__(self) -> None:
        self.by_session: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()


_of_thread = _JarsOfThread()


def _jars() -> MutableMapping[Any, Any]:
    request = current_request()
    return _of_thread.by_session if request is None else request.jars
