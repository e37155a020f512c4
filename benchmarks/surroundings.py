"""What a call is made in: a request that is served, an environment, and no place for lines."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TextIO
from unittest.mock import patch

from flask import Flask, request

from .row import Repeat

VARIABLES = 35
"""How many environment variables a container has, about."""


def null_device() -> TextIO:
    """Return the null device, opened to write lines to."""
    return Path(os.devnull).open("w", encoding="utf-8")


@contextmanager
def silenced() -> Iterator[None]:
    """Write standard output to the null device while the block runs."""
    with null_device() as nowhere, redirect_stdout(nowhere):
        yield


def served(app: Flask, repeat: Repeat) -> Repeat:
    """Return *repeat* within one request that *app* serves, which is not what is timed."""
    app.testing = True  # so that errors come out

    def view() -> str:
        return repr(repeat(int(request.args["times"])))

    app.add_url_rule("/", view_func=view)

    def in_request(times: int) -> float:
        return float(app.test_client().get("/", query_string={"times": times}).text)

    return in_request


def contained(repeat: Repeat, variables: int = VARIABLES) -> Repeat:
    """Return *repeat* in an environment of its own, with standard output thrown away.

    Before it is timed it runs once, since what is remembered of one environment is not so of
    another.

    :param variables: How many the environment has.
    """

    def in_environment(times: int) -> float:
        with patch.dict(os.environ, environment(variables), clear=True), silenced():
            repeat(1)
            return repeat(times)

    return in_environment


def environment(variables: int) -> dict[str, str]:
    """Return so many variables: those that paths are looked up with, and services in a cluster.

    >>> environment(3)["SERVICE_0_PORT"]
    'tcp://10.0.0.0:80'
    """
    kept = {"HOME": str(Path.home()), "PATH": os.defpath}
    services = range(variables - len(kept))
    return {**kept, **{f"SERVICE_{one}_PORT": f"tcp://10.0.0.{one % 256}:80" for one in services}}
