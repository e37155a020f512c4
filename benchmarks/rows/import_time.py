"""What importing the package costs, beside what an app that calls upstreams imports anyway."""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack

from ..row import MILLISECONDS, Budget, Figure, Measure, Prepare, Repeat, Row, Variant

WITHOUT = "import flask, requests"
OPTIONAL = ("cryptography", "orjson", "prometheus_client", "redis", "rich", "sqlite3")
TIMED = """
import time
began = time.perf_counter()
{code}
print(time.perf_counter() - began)
"""
LOOKED_FOR = """
import sys

class Recorder:
    def find_spec(self, name, path=None, target=None):
        if name in {optional}:
            frame = sys._getframe(1)
            while frame.f_globals["__name__"].startswith("importlib."):
                frame = frame.f_back
            print(name + " by " + frame.f_globals["__name__"])

sys.meta_path.insert(0, Recorder())
from flask_resilience import *
"""


def import_time() -> Row:
    """Return the row: new interpreters, one after the other."""
    ours = "from flask_resilience import *"
    return Row(
        title="import in a new interpreter",
        unit=MILLISECONDS,
        reference=WITHOUT,
        variants=(Variant(WITHOUT, _importing(WITHOUT)), Variant(ours, _importing(ours))),
        budgets=(Budget(ours, 1.15, Measure.RATIO, WITHOUT),),
        figures={"optional packages looked for": _optional_packages},
    )


def _importing(code: str) -> Prepare:
    def prepare(_: ExitStack) -> Repeat:
        return lambda times: sum(float(run(TIMED.format(code=code))) for _ in range(times))

    return prepare


def _optional_packages() -> Figure:
    """Count the optional packages that are looked for, whether or not they are installed here."""
    found = sorted(set(run(LOOKED_FOR.format(optional=OPTIONAL)).splitlines()))
    packages = {line.split()[0] for line in found}
    return Figure(len(packages), "", limit=0, note=", ".join(found))


def run(code: str) -> str:
    """Run *code* in a new interpreter, and return what it wrote."""
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout  # noqa: S603  # ours
