"""Candle levels, and the grid of time they stand for: milliseconds since 1970 UTC.

A candle begins at a whole multiple of its level since 1970, but for weeks: those begin on Monday (UTC) as on charts and
exchanges, while 1970 began on a Thursday.
"""

import math
from typing import Any, Final

from mlthon.errors import near

MINUTE: Final = 60_000
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR
WEEK: Final = 7 * DAY

LENGTHS: Final = {
    "1m": MINUTE,
    "3m": 3 * MINUTE,
    "5m": 5 * MINUTE,
    "15m": 15 * MINUTE,
    "30m": 30 * MINUTE,
    "1h": HOUR,
    "2h": 2 * HOUR,
    "3h": 3 * HOUR,
    "4h": 4 * HOUR,
    "6h": 6 * HOUR,
    "12h": 12 * HOUR,
    "1d": DAY,
    "1w": WEEK,
}
"""Level → its length in milliseconds."""

FIRST_MONDAY: Final = 4 * DAY
"""1970-01-05, the first Monday."""


def length_of(level: str) -> int:
    """A level's length in milliseconds. Raises `ValueError` for what is none."""
    length = LENGTHS.get(level) if isinstance(level, str) else None
    if length is None:
        guess = near(level, LENGTHS) if isinstance(level, str) else ""
        raise ValueError(f"{level!r} is no candle level{guess or ': use one of ' + ', '.join(LENGTHS)}")
    return length


def offset_of(level: str) -> int:
    """By how much the candles of a level begin after whole multiples of its length."""
    return FIRST_MONDAY if level == "1w" else 0


def candle_bin(value: float, level: str, ceil: bool = False) -> int:
    """The beginning of the candle that the time `value` (ms) falls into; with `ceil` the first beginning that is not
    before `value`. Raises `ValueError`, `TypeError`."""
    length, offset = length_of(level), offset_of(level)
    since = _milliseconds(value) - offset
    return -(-since // length) * length + offset if ceil else since // length * length + offset


def time_range(start: float, end: float, level: str, include_start: bool = True) -> list[int]:
    """The beginnings of the candles that lie between two times (ms): from that of the candle `start` falls into, left
    out unless `include_start`, to that of the candle `end` falls into."""
    length = length_of(level)
    first = candle_bin(start, level) + (0 if include_start else length)
    return list(range(first, candle_bin(end, level) + 1, length))


def _milliseconds(value: Any) -> int:
    if isinstance(value, bool):
        raise TypeError("a time is a number of milliseconds since 1970, not a bool")
    try:
        whole: int = math.floor(value)
    except (TypeError, ValueError, OverflowError):
        raise TypeError(f"a time is a number of milliseconds since 1970, not {value!r}") from None
    return whole
