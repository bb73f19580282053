"""Counts of how long things took, cheap enough for the way of an order: one search in a short list an observation."""

from bisect import bisect_left
from collections.abc import Sequence
from typing import Final

US: Final = 1_000
LATENCIES_NS: Final = tuple(
    number * unit * US for unit in (1, 10, 100, 1_000, 10_000, 100_000) for number in (10, 25, 50)
)
"""From 10 µs to 5 s, three bounds a decade."""


class Histogram:
    """`counts[i]`: observations (ns) over `bounds[i - 1]` and up to `bounds[i]`; the last: those over all bounds."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[int] = LATENCIES_NS) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.total = 0

    def observe(self, value: int) -> None:
        """One more; what is below 0 (two clocks) counts as 0."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += max(value, 0)

    @property
    def count(self) -> int:
        """How many observations there were."""
        return sum(self.counts)
