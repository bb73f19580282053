"""Wall times: when "every day at 16:30" is next, in a time zone with daylight saving.

A local time that daylight saving skips (02:30 on a spring night) is taken as the same distance after the change; one
that it repeats is taken the first time.
"""

import re
from datetime import UTC, datetime, time, timedelta, tzinfo

from attrs import frozen

from mlthon.engine.clock import SECOND

_FORM = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}))?")


@frozen
class DailyTime:
    """A time of day; `zone` None means the system's own zone."""

    at: time
    zone: tzinfo | None = UTC

    @classmethod
    def parse(cls, text: str, zone: tzinfo | None) -> "DailyTime":
        """`HH:mm:ss` (seconds may be left out); ValueError for anything else."""
        match = _FORM.fullmatch(text.strip()) if isinstance(text, str) else None
        try:
            if match is None:
                raise ValueError
            return cls(time(int(match[1]), int(match[2]), int(match[3] or 0)), zone)
        except ValueError:
            raise ValueError(f"{text!r} is no time of day; write HH:mm:ss, for instance 16:30:00") from None

    def next_after(self, now: int) -> int:
        """The first time (ns) strictly after `now` (ns) at which the clock on the wall shows this."""
        local = datetime.fromtimestamp(now // SECOND, UTC).astimezone(self.zone)
        day = local.date()
        while True:
            ts = self._on(day.year, day.month, day.day)
            if ts > now:
                return ts
            day += timedelta(days=1)

    def _on(self, year: int, month: int, day: int) -> int:
        wall = datetime(year, month, day, self.at.hour, self.at.minute, self.at.second, tzinfo=self.zone)
        return round(wall.timestamp()) * SECOND
