"""How much memory something takes that stays."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable


def growth(function: Callable[[], object]) -> int:
    """Return how many bytes more are allocated after *function*, what it returns included."""
    tracemalloc.start()
    try:
        before = _allocated()
        kept = function()
        grown = _allocated() - before
        del kept
    finally:
        tracemalloc.stop()
    return grown


def _allocated() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]
