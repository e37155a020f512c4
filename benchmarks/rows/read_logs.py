"""Reading a large log: a process for each command, from its start to its end.

Beside ours stands what anybody writes in a minute: a script that decodes each line.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from importlib.util import find_spec
from time import perf_counter

from ..log_file import LINES_OF_A_REQUEST, log_file, request_id_of
from ..row import Budget, Figure, Prepare, Repeat, Row, UnavailableError, Unit, Variant

LINES = 200_000
MOST_MEGABYTES = 100
SECONDS = Unit("s", "s", lambda seconds: seconds)
BY_HAND = "5xx, json.loads by hand"
TRACE, LOGS, STATS = "trace ID", "logs --status 5xx", "stats"
SCRIPT = """
import json, sys
with open(sys.argv[1], encoding="utf-8") as log:
    for line in log:
        if json.loads(line).get("http_response_status_code", 0) >= 500:
            sys.stdout.write(line)
"""
# A process that a large one starts has the large one's peak for its own; hence one in between.
PEAK = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def read_logs(lines: int = LINES) -> Row:
    """Return the row: the commands, each over the same log of a third as many requests.

    An operation is a whole run, so rounds take seconds.
    """
    commands = _commands(lines)
    return Row(
        title=f"reading a log of {lines:,} lines",
        unit=SECONDS,
        reference=BY_HAND,
        variants=tuple(Variant(name, _reading(one, lines)) for name, one in commands.items()),
        budgets=(Budget(TRACE, 1.0), Budget(LOGS, 3.0)),
        operations=1,
        figures={
            f"peak memory, {name}": _peak(one, lines)
            for name, one in commands.items()
            if name != BY_HAND
        },
    )


def _commands(lines: int) -> dict[str, list[str]]:
    """Return each command by its name; the path of the log is to follow."""
    ours = [sys.executable, "-m", "flask_resilience"]
    asked_for = request_id_of(lines // LINES_OF_A_REQUEST // 2)
    return {
        BY_HAND: [sys.executable, "-c", SCRIPT],
        TRACE: [*ours, "trace", asked_for],
        LOGS: [*ours, "logs", "--status", "5xx"],
        STATS: [*ours, "stats"],
    }


def _reading(command: list[str], lines: int) -> Prepare:
    def prepare(_: ExitStack) -> Repeat:
        whole = [*command, str(log_file(lines))]

        def repeat(times: int) -> float:
            began = perf_counter()
            for _ in range(times):
                subprocess.run(whole, stdout=subprocess.DEVNULL, check=True)  # noqa: S603  # ours
            return perf_counter() - began

        return repeat

    return prepare


def peak_memory(command: list[str]) -> float:
    """Return the most memory that *command* took, in megabytes.

    :raises UnavailableError: If this system does not tell.
    """
    if find_spec("resource") is None:
        raise UnavailableError("this system does not tell what memory a process took")
    whole = [sys.executable, "-c", PEAK, *command]
    told = subprocess.run(whole, capture_output=True, text=True, check=True)  # noqa: S603  # ours
    return int(told.stdout) * (1 if sys.platform == "darwin" else 1024) / 1e6


def _peak(command: list[str], lines: int) -> Callable[[], Figure]:
    return lambda: Figure(peak_memory([*command, str(log_file(lines))]), "MB", MOST_MEGABYTES)
