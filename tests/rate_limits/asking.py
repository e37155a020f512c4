"""Requests of one client or another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Flask
from werkzeug.test import TestResponse


def ask(
    app: Flask, path: str = "/", *, method: str = "GET", address: str = "192.0.2.1", **options: Any
) -> TestResponse:
    """Return the answer to a request from *address*.

    :param options: As Werkzeug's test client takes them.
    """
    environ = {"REMOTE_ADDR": address}
    return app.test_client().open(path, method=method, environ_base=environ, **options)


def statuses(app: Flask, paths: list[str], **options: Any) -> list[int]:
    """Return the statuses of requests in a row."""
    return [ask(app, path, **options).status_code for path in paths]


def calling(function: Callable[[], Any]) -> Callable[[], Any]:
    """Return a view that calls *function* and does not say so."""

    def view() -> Any:
        return function()

    return view


def exhaust(app: Flask, path: str = "/", **options: Any) -> TestResponse:
    """Ask until a request is rejected, and return that answer."""
    for _ in range(1000):
        answer = ask(app, path, **options)
        if answer.status_code == 429:
            return answer
    raise AssertionError("a thousand requests were let in")
