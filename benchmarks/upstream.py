"""An upstream in another process, which ends with the benchmarks."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from . import upstream_server
from .row import UnavailableError


@contextmanager
def upstream(delay: float = 0.0) -> Iterator[int]:
    """Run an upstream on a free port of the loopback, and yield the port.

    :param delay: How long each answer takes, in seconds.
    :raises UnavailableError: If it does not start.
    """
    command = [sys.executable, upstream_server.__file__, str(delay)]
    # Leaving the block closes the pipes, at which it ends, and waits for that.
    with subprocess.Popen(  # noqa: S603  # ours
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        port = process.stdout.readline() if process.stdout else ""
        if not port:
            raise UnavailableError("the upstream does not start")
        yield int(port)
