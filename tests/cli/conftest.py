"""The command line as people use it: a process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli import story

ROOT = Path(__file__).parent.parent.parent
COMMAND = [sys.executable, "-m", "flask_resilience"]

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run() -> Run:
    """Return what runs a command to its end."""

    def run_command(*arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*COMMAND, *arguments],
            input=stdin,
            capture_output=True,
            cwd=ROOT,
            timeout=60,
            check=False,
        )
        texts = (done.stdout.decode(), done.stderr.decode())
        return subprocess.CompletedProcess(arguments, done.returncode, *texts)

    return run_command


@pytest.fixture
def shop(tmp_path: Path) -> str:
    """Return the log of the service that users see."""
    return story.write(tmp_path / "shop.log", story.SHOP_LINES)


@pytest.fixture
def billing(tmp_path: Path) -> str:
    """Return the log of the service behind it."""
    return story.write(tmp_path / "billing.log", story.BILLING_LINES)
