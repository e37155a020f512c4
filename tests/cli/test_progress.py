"""How far a scan is."""

from __future__ import annotations

import pytest

from flask_resilience.cli import progress
from flask_resilience.cli.progress import Progress


@pytest.fixture
def now(monkeypatch):
    """Return a time that only the test turns."""
    time = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: time[0])
    return time


def test_a_long_scan_says_how_far_it_is(capsys, now):
    """After a second the percentage is shown, now and then, and taken away in the end."""
    shown = Progress(is_shown=True)
    shown.total = 200
    for seconds, expected in [(0.5, ""), (1.5, "\r 50 % read"), (1.6, ""), (1.8, "\r100 % read")]:
        now[0] = seconds
        shown.read(50)
        assert capsys.readouterr().err == expected
    shown.clear()
    assert capsys.readouterr().err.strip() == ""


@pytest.mark.parametrize(("is_shown", "total"), [(False, 100), (None, 100), (True, 0)])
def test_nothing_is_shown_to_nobody(capsys, now, is_shown, total):
    """Nothing is shown where there is no terminal, or where nobody knows how much there is."""
    shown = Progress(is_shown=is_shown)
    shown.total = total
    now[0] = 10.0
    shown.read(50)
    shown.clear()
    assert capsys.readouterr().err == ""
