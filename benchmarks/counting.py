"""Counts calls of functions: unlike times they are the same again on any machine."""

from __future__ import annotations

import sys
from collections.abc import Callable
from statistics import median
from types import FrameType

from .row import Repeat

Noted = Callable[[FrameType, str], bool]
OFTEN = 9


def calls(frame: FrameType, event: str) -> bool:
    """Say whether *event* is a call of a function, be it of Python or not."""
    return event in ("call", "c_call")


def calls_into(package: str) -> Noted:
    """Return what says whether a call is one of a Python function in *package*."""

    def noted(frame: FrameType, event: str) -> bool:
        return event == "call" and frame.f_globals.get("__name__", "").split(".")[0] == package

    return noted


def counting(function: Callable[[], object], noted: Noted = calls) -> Repeat:
    """Return what counts calls within *function*, itself included, instead of timing it."""

    def counted(times: int) -> int:
        count = 0

        def note(frame: FrameType, event: str, argument: object) -> None:
            nonlocal count
            count += noted(frame, event)

        before, laps = sys.getprofile(), range(times)
        sys.setprofile(note)
        try:
            for _ in laps:
                function()
        finally:
            sys.setprofile(before)
        return count

    # Some interpreters count the call that ends the counting, others do not.
    return lambda times: counted(times) - counted(0)


def usual(repeat: Repeat) -> float:
    """Return the median of single runs: now and then one does what others need not do."""
    repeat(1)
    return median(repeat(1) for _ in range(OFTEN))
