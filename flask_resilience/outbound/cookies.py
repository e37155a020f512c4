"""Cookies of a session that serves many users: kept for one request, and for one thread.

A session remembers the cookies it is sent. That of an app makes calls for everybody, so those that
one user's request brought must not go along with another's.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any
from weakref import WeakKeyDictionary

from requests.cookies import RequestsCookieJar

from ..context import RequestContext, current_request


class CookiesOfRequest:
    """A session's attribute that holds another jar in each request, or outside one in each context.

    A thread that carries the request's context has the request's jar.
    """

    def __get__(self, session: Any, kind: Any = None) -> Any:
        """Return the jar of the request being served, an empty one at first."""
        if session is None:
            return self
        jars = _jars_of_request()
        found = jars.get(session)
        if found is None:
            found = jars[session] = RequestsCookieJar()
        return found

    def __set__(self, session: Any, jar: Any) -> None:
        """Have another jar until the request is over."""
        _jars_of_request()[session] = jar


def _jars_of_request() -> WeakKeyDictionary[Any, Any]:
    request = current_request()
    owner, jars = _jars.get()
    if jars is None or owner is not request:
        jars = WeakKeyDictionary()
        _jars.set((request, jars))
    return jars


_jars: ContextVar[tuple[RequestContext | None, WeakKeyDictionary[Any, Any] | None]] = ContextVar(
    "flask_resilience_cookies", default=(None, None)
)
