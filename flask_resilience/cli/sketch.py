"""Percentiles of any number of values in little memory."""

from __future__ import annotations

import math
from collections import Counter

RELATIVE_ERROR = 0.01
"""How far a percentile may be from the true one."""
_GROWTH = (1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR)
_LOG_GROWTH = math.log(_GROWTH)
_SMALLEST, _LARGEST = 1e-6, 1e12


class Sketch:
    """How many values fell into each of some buckets, which grow by a constant factor.

    What lies beyond 1e-6 and 1e12 counts as these, so there are at most some 2,100 buckets.

    Source: C. Masson, J. E. Rim, H. K. Lee, "DDSketch: a fast and fully-mergeable quantile sketch
    with relative-error guarantees", PVLDB 12 (12), 2019.
    """

    def __init__(self) -> None:
        self.count = 0
        self._buckets: Counter[int] = Counter()

    def add(self, value: float) -> None:
        """Count one value; what is no number is left out."""
        if math.isnan(value):
            return
        self.count += 1
        bounded = min(max(value, _SMALLEST), _LARGEST)
        self._buckets[math.ceil(math.log(bounded) / _LOG_GROWTH)] += 1

    def percentile(self, share: float) -> float | None:
        """Return the value below which *share* of all values lie, by nearest rank.

        :param share: From 0 to 1.
        :return: Within 1 % of the true one; ``None`` if there are no values.
        """
        rank = max(1, math.ceil(share * self.count))
        for bucket in sorted(self._buckets):
            rank -= self._buckets[bucket]
            if rank <= 0:
                return 2 * _GROWTH**bucket / (_GROWTH + 1)
        return None
