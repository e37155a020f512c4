"""The ways to serve one request that a limit over all routes counts: ours, and those by hand.

Ours counts in its default strategy, a sliding window; Flask-Limiter in its own, a fixed one. Both
tell the client how the limit stands.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeAlias

from flask import Flask
from flask_limiter import Limiter
from flask_limiter.util import get_remote_address

from .redis_server import redis_server, url_of
from .servers import Server, asking, bare_flask, glued, ours
from .surroundings import silenced

MEMORY = "memory://"
NEVER_REACHED = "1000000000 per minute"
TWO_QUOTAS = "100000000 per minute;1000000000 per hour"
"""As many as the default has."""
REACHED = "1 per day"

Limited: TypeAlias = Callable[[ExitStack, str, str], Flask]
"""Sets up an app that counts by a limit, in the storage of a URL."""


def glued_limited(stack: ExitStack, rate_limit: str, storage_url: str) -> Flask:
    """Serve as an app does that logs by hand and has Flask-Limiter."""
    app = glued(stack)
    Limiter(
        get_remote_address,
        app=app,
        application_limits=[rate_limit],
        headers_enabled=True,
        storage_uri=storage_url,
    )
    return app


def in_memory(limited: Limited, rate_limit: str = NEVER_REACHED) -> Server:
    """Return what counts in the memory of its process."""
    return lambda stack: limited(stack, rate_limit, MEMORY)


def on_sqlite(stack: ExitStack) -> Flask:
    """Serve by ours, with the counters in a file."""
    return ours(stack, NEVER_REACHED, sqlite_url(stack))


def on_redis(limited: Limited) -> Server:
    """Return what counts in a server of its own."""

    def server(stack: ExitStack) -> Flask:
        return limited(stack, NEVER_REACHED, url_of(stack.enter_context(redis_server())))

    return server


def flooded(limited: Limited) -> Server:
    """Return what counts in memory, with nothing left of the limit."""

    def server(stack: ExitStack) -> Flask:
        app = limited(stack, REACHED, MEMORY)
        with silenced():
            asking(app)()
        return app

    return server


def sqlite_url(stack: ExitStack) -> str:
    """Return the URL of a file that is gone at the end."""
    folder = stack.enter_context(TemporaryDirectory())
    return f"sqlite:///{Path(folder, 'limits.db')}"


def until_the_end(name: str, storage_url: str = MEMORY) -> Flask:
    """Return the app of that name, for a server that serves it until its process ends."""
    return _KINDS[name](ExitStack(), storage_url)


_KINDS: dict[str, Callable[[ExitStack, str], Flask]] = {
    "bare": lambda stack, _: bare_flask(stack),
    "glued": lambda stack, storage_url: glued_limited(stack, NEVER_REACHED, storage_url),
    "ours": lambda stack, storage_url: ours(stack, NEVER_REACHED, storage_url),
}
