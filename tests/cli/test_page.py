"""The page on the command line shows what the commands print."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys

import pytest

from flask_resilience.cli.commands import resilience
from tests.cli.conftest import ROOT
from tests.test_readme import blocks

PAGE = ROOT / "docs" / "command-line.rst"


def shown():
    """Yield each command of the page, and the output it shows."""
    for _, code in blocks(PAGE, "console"):
        for part in re.split(r"^\$ ", code, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            yield pytest.param(command, output.strip("\n"), id=command)


@pytest.mark.parametrize(("command", "output"), list(shown()))
def test_shown_output_is_real(shop, billing, tmp_path, command, output):
    """Each command of the page prints what the page shows."""
    done = subprocess.run(
        ["/bin/sh", "-c", command.replace("python -m", f"{shlex.quote(sys.executable)} -m")],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode().strip("\n") == output


def test_every_option_of_logs_is_named():
    """The page names every option, and none that is not there."""
    there = {
        name
        for command in resilience.commands.values()
        for option in command.params
        for name in option.opts
        if name.startswith("--")
    }
    named = set(re.findall(r"``(--[a-z-]+)", PAGE.read_text()))
    assert named == there - {"--preset"}
