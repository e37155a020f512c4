"""The page that follows a request shows what its commands print."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys

import pytest

from tests.cli.conftest import ROOT
from tests.test_readme import blocks

PAGE = ROOT / "docs" / "following-a-request.rst"
DIFFERS_EACH_RUN = re.compile(
    r"127\.0\.0\.1:\d+|\b[0-9a-f]{16,32}\b|(?<==)\S+(?=checkout\.py)|\d+\.\d+(?= ms)|^ +", re.M
)


def commands():
    """Return each command of the page with the output it shows, in order."""
    text = "".join(code for _, code in blocks(PAGE, "console"))
    parts = re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]
    return [part.partition("\n")[::2] for part in parts]


def settled(text):
    """Return an output without what differs from run to run."""
    if text.startswith("routes"):
        return re.sub(r"\d+\.\d+\s+\d+\.\d+\s+\d+\.\d+$", "…", re.sub(" +", " ", text), flags=re.M)
    return DIFFERS_EACH_RUN.sub("…", text)


@pytest.fixture(scope="module")
def printed(tmp_path_factory):
    """Return what each command printed, run one after the other beside the page's app."""
    folder = tmp_path_factory.mktemp("shop")
    code = "\n\n".join(code.strip("\n") for _, code in blocks(PAGE, "python"))
    (folder / "checkout.py").write_text(code)
    python = shlex.quote(sys.executable)
    done = {}
    for command, _ in commands():
        done[command] = subprocess.run(
            ["/bin/sh", "-c", re.sub(r"^python\b", lambda _: python, command)],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    return done


@pytest.mark.parametrize(
    ("command", "shown"), [pytest.param(*one, id=one[0]) for one in commands()]
)
def test_shown_output_is_real(printed, command, shown):
    """Each command of the page prints what the page shows, but for times and IDs."""
    done = printed[command]
    assert (done.returncode, done.stderr) == (0, "")
    assert settled(done.stdout.strip("\n")) == settled(shown.strip("\n"))
