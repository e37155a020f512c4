"""What the page on retries says of the load in an outage, and the picture of it, are played."""

from __future__ import annotations

import importlib.util
import random
from pathlib import Path

import pytest

DOCS = Path(__file__).parent.parent / "docs"
ASKED = {
    "no retries": 600,
    "retries alone": 2346,
    "retries with a budget": 794,
    "with a budget and a circuit breaker": 6,
}
"""How often the page says that the upstream is asked while it fails."""


@pytest.fixture(scope="module")
def load():
    """Return the script that draws the picture."""
    spec = importlib.util.spec_from_file_location("load", DOCS / "load.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return script


@pytest.fixture(scope="module")
def loads(load):
    """Return when the upstream was asked, by each session."""
    state = random.getstate()
    try:
        return load.play_all()
    finally:
        random.setstate(state)


@pytest.mark.parametrize(("name", "asked"), ASKED.items())
def test_page_tells_the_load_of_an_outage(load, loads, name, asked):
    """The page has the number of requests that each session makes while the upstream fails."""
    assert load.in_outage(loads[name]) == asked
    assert f"- {asked:,} times" in (DOCS / "retry.rst").read_text(encoding="utf-8")


def test_page_tells_of_the_trials(load, loads):
    """Five failures open the circuit, one trial fails, the next comes 7 s after the outage."""
    times = loads["with a budget and a circuit breaker"]
    during = [time for time in times if time >= load.OUTAGE.start]
    assert [int(time) for time in during[:7]] == [60, 60, 60, 60, 60, 124, 187]
    assert round(during[6] - load.OUTAGE.stop) == 7


def test_budget_bounds_the_load_at_its_share(load, loads):
    """Once what was saved is spent, retries add a fifth, where they would add three times."""
    late = range(120, 180)

    def asked(name):
        return sum(late.start <= time < late.stop for time in loads[name]) / len(late) / load.RATE

    assert asked("retries alone") == pytest.approx(4.0, abs=0.1)
    assert asked("retries with a budget") == pytest.approx(1.2, abs=0.02)


def test_picture_is_what_was_played(load, loads):
    """The picture beside the page is what the script draws."""
    same = (DOCS / "load.svg").read_text(encoding="utf-8") == load.picture(loads)
    assert same, "run docs/load.py, and look at what it draws"
