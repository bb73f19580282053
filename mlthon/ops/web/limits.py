"""How often somebody may ask: a bucket of permits for each name, filled at a steady rate.

Names come from outside (addresses), so only so many are kept: of too many the one longest unheard of is forgotten, and
whoever is not known starts with a full bucket. Time is given by the caller (s).
"""

from collections import OrderedDict
from typing import Final

MOST: Final = 10_000
"""Names that are kept."""


class Rates:
    """`rate`: permits a second. `burst`: how many may be had at once."""

    def __init__(self, rate: float, burst: float, most: int = MOST) -> None:
        self._rate = rate
        self._burst = burst
        self._most = most
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """By name: permits left and when, the longest unheard of first."""

    def take(self, name: str, now: float, count: float = 1.0) -> float:
        """Take `count` permits: 0 if they were there, else how long (s) until they will be, and none is taken."""
        left = self._at(name, now)
        if left < count:
            self._keep(name, left, now)
            return (count - left) / self._rate
        self._keep(name, left - count, now)
        return 0.0

    def wait(self, name: str, now: float) -> float:
        """How long (s) until there is a permit; 0 if there is one. None is taken."""
        return max(0.0, (1.0 - self._at(name, now)) / self._rate)

    def _at(self, name: str, now: float) -> float:
        left, since = self._left.get(name, (self._burst, now))
        return min(self._burst, left + max(0.0, now - since) * self._rate)

    def _keep(self, name: str, left: float, now: float) -> None:
        self._left[name] = (left, now)
        self._left.move_to_end(name)
        if len(self._left) > self._most:
            self._left.popitem(last=False)

    def __len__(self) -> int:
        return len(self._left)
