"""The processes of the example: each waited for until it answers, and ended by its own ID.

The app's socket is opened here and handed down, as POSIX allows: its port is known, and nobody else
can take it meanwhile.
"""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import requests

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS = 20.0
END_SECONDS = 10.0
POLL_SECONDS = 0.05


class StartError(Exception):
    """A process did not come up."""


@dataclass(frozen=True, slots=True)
class Running:
    """A process that answers at *url*."""

    process: subprocess.Popen[str]
    url: str


@contextmanager
def run_upstream() -> Iterator[Running]:
    """Run the scheduling service on a free port for as long as the block.

    :raises StartError: If it does not come up.
    """
    command = [sys.executable, "-m", "example_app.upstream"]
    with _running(command, stdout=subprocess.PIPE) as process:
        url = _announced_url(process)
        _wait_for_answer(process, f"{url}/control")
        yield Running(process, url)


@contextmanager
def run_app(
    upstream: str,
    *,
    port: int = 0,
    workers: int | None = None,
    output: IO[Any] | None = None,
    state: Path | None = None,
) -> Iterator[Running]:
    """Run the app for as long as the block.

    :param upstream: Address of the scheduling service.
    :param port: 0 for a free one.
    :param workers: Processes under gunicorn; ``None`` for one without it.
    :param output: Takes its log, instead of stdout, and its errors.
    :param state: Folder of the file that its workers share their circuits in; ``None`` for the
        user's, where what earlier runs learned still holds.
    :raises OSError: If the port is taken.
    :raises StartError: If the app does not come up.
    """
    with socket.create_server(("127.0.0.1", port)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with _running(
            _app_command(listener.fileno(), workers),
            pass_fds=(listener.fileno(),),
            env=_environment(upstream, state),
            stdout=output,
            stderr=output,
        ) as process:
            listener.close()  # the process has its own; once it has ended, nobody listens
            _wait_for_answer(process, f"{url}/health")
            yield Running(process, url)


def wait_until(condition: Callable[[], bool], seconds: float, pause: float = POLL_SECONDS) -> bool:
    """Return whether *condition* came true within so many *seconds*.

    :param pause: Before it is asked again, in seconds.
    """
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() >= end:
            return False
        time.sleep(pause)
    return True


@contextmanager
def _running(command: Sequence[str], **options: Any) -> Iterator[subprocess.Popen[str]]:
    """Run a process for as long as the block; then ask it to end, and make it in the end."""
    with subprocess.Popen(  # noqa: S603  # the commands are those of this module
        command, cwd=ROOT, text=True, **options
    ) as process:
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


def _environment(upstream: str, state: Path | None) -> dict[str, str]:
    environment = {**os.environ, "SCHEDULING_URL": upstream}
    if state is not None:
        environment.pop("STATE_DIRECTORY", None)  # which would go before the other one
        environment["XDG_STATE_HOME"] = str(state)
    return environment


def _app_command(descriptor: int, workers: int | None) -> list[str]:
    if workers is None:
        return [sys.executable, "-m", "example_app.server", str(descriptor)]
    gunicorn = [sys.executable, "-m", "gunicorn", "--log-level", "warning"]
    served = ["--bind", f"fd://{descriptor}", "--workers", str(workers)]
    return [*gunicorn, *served, "--graceful-timeout", "5", "example_app.app:create_app()"]


def _announced_url(process: subprocess.Popen[str]) -> str:
    """Return the URL in the line that the scheduling service writes first."""
    output = process.stdout
    line = ""
    if output is not None and select.select([output], [], [], START_SECONDS)[0]:
        line = output.readline()
    if not line:
        raise StartError(f"The scheduling service did not start (exit code {process.poll()})")
    return str(json.loads(line)["url"])


def _wait_for_answer(process: subprocess.Popen[str], url: str) -> None:
    def ended_or_answers() -> bool:
        return process.poll() is not None or _answers(url)

    if not wait_until(ended_or_answers, START_SECONDS):
        raise StartError(f"{url} did not answer within {START_SECONDS:g} s")
    if process.poll() is not None:
        raise StartError(f"The process behind {url} ended at once, with code {process.poll()}")


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=2).ok
    except requests.RequestException:
        return False
