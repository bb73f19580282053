"""Trading hours: from one time of day to another, UTC, over midnight where the first is the later one."""

import re
from typing import Final

from attrs import frozen

from mlthon.engine.clock import SECOND

DAY_S: Final = 86_400
_TIME: Final = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}))?")


def parse_time(text: str) -> int:
    """`09:30`, `9:30` or `09:30:15` as the second of the day; `24:00` is its end. Raises ValueError."""
    found = _TIME.fullmatch(text.strip())
    if found is not None:
        hours, minutes, seconds = (int(part or 0) for part in found.groups())
        second = 3600 * hours + 60 * minutes + seconds
        if minutes < 60 and seconds < 60 and second <= DAY_S:
            return second
    raise ValueError(f"{text!r} is no time of day; write it like 09:30 (UTC)")


@frozen
class TradingHours:
    """Seconds of the day: from `start` on, until just before `stop`."""

    start: int
    stop: int

    @classmethod
    def between(cls, start: str | None, stop: str | None) -> "TradingHours":
        """One that is not given is midnight. Raises ValueError where both are the same."""
        first = 0 if start is None else parse_time(start) % DAY_S
        last = DAY_S if stop is None else parse_time(stop)
        if start is not None and first == last:
            raise ValueError(
                f"trading_start_time and trading_stop_time are both {start}: leave both out to trade around the clock"
            )
        last = last or DAY_S
        return cls(first, last)

    def open(self, now: int) -> bool:
        """Whether it is trading time (ns)."""
        second = now // SECOND % DAY_S
        if self.start < self.stop:
            return self.start <= second < self.stop
        return second >= self.start or second < self.stop

    def next_change(self, now: int) -> int:
        """When (ns) trading next begins or ends."""
        day = DAY_S * SECOND
        midnight = now - now % day
        times = sorted(
            {midnight + each % DAY_S * SECOND + days * day for each in (self.start, self.stop) for days in (0, 1)}
        )
        return next(each for each in times if each > now)
