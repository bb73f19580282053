"""The wall clock, and the engine's clock moved by it.

`WallTime` reads the system's time of day once and counts on from there by the monotonic clock, so that time never
jumps; nothing else asks for the time of day. `Driver` is the one who moves the engine's `Clock`: whoever brings
something in from outside (a message, an answer) calls `deliver`, which first makes the queued calls whose time has come
and then the call itself; the task `run` makes queued calls when nothing comes in. It sleeps until the earliest is due,
and is woken when a delivery has queued an earlier one.

An exception of what is called is logged and goes no further. Only `TimeStuck` does: then the engine cannot go on.
"""

import logging
import time
from collections.abc import Callable
from typing import Any, Final

import trio

from mlthon.engine.clock import SECOND, Clock, TimeStuck

log = logging.getLogger("mlthon.live")

LONGEST_SLEEP_S: Final = 0.5
"""How long it sleeps at most: so late is a call that was queued outside every delivery."""


READINGS: Final = 5
"""How often both clocks are read at the start."""


def _offset(monotonic: Callable[[], int], time_of_day: Callable[[], int]) -> int:
    """The time of day less the monotonic time. On a busy machine seconds may pass between one reading and the next, and
    the clock would be wrong by as much for ever: the pair counts that was read the fastest."""
    found = []
    for _ in range(READINGS):
        before, now, after = monotonic(), time_of_day(), monotonic()
        found.append((after - before, now - (before + after) // 2))
    return min(found)[1]


class WallTime:
    """Nanoseconds since 1970 UTC that never go back."""

    __slots__ = ("_monotonic", "_offset")

    def __init__(
        self,
        start: int | None = None,
        monotonic: Callable[[], int] = time.monotonic_ns,
        time_of_day: Callable[[], int] = time.time_ns,
    ) -> None:
        """`start`: the time now, otherwise the time of day."""
        self._monotonic = monotonic
        self._offset = _offset(monotonic, time_of_day) if start is None else start - monotonic()

    def now(self) -> int:
        return self._monotonic() + self._offset


class Driver:
    """See the module. `failures`: how many calls have raised."""

    def __init__(self, clock: Clock, wall: WallTime) -> None:
        self.clock = clock
        self.wall = wall
        self.failures = 0
        self._planned = 0
        self._wake = trio.Event()

    def advance(self, ts: int) -> None:
        """Make the queued calls that are due at `ts` (ns), each of them, whatever one raises."""
        clock = self.clock
        while True:
            try:
                clock.run_until(ts)
            except TimeStuck:
                raise
            except Exception:
                self.failures += 1
                log.exception("a queued call raised; the rest goes on")
            else:
                return

    def deliver(self, call: Callable[..., object], *args: Any) -> bool:
        """Move the clock to the present and make the call and what it has queued for now; False if it raised."""
        clock = self.clock
        self.advance(self.wall.now())
        try:
            call(*args)
        except Exception:
            self.failures += 1
            log.exception("%s raised; the rest goes on", getattr(call, "__qualname__", call))
            return False
        finally:
            if clock.due <= clock.now:
                self.advance(clock.now)
            self.look()
        return True

    def look(self) -> None:
        """Something may have been queued: see to it that the driver wakes in time."""
        if self.clock.due < self._planned:
            self._wake.set()

    async def run(self) -> None:
        """Make queued calls at their times, for ever."""
        while True:
            self._wake = trio.Event()
            now = self.wall.now()
            self.advance(now)
            longest = now + round(LONGEST_SLEEP_S * SECOND)
            self._planned = due = min(self.clock.due, longest)
            with trio.move_on_after(max(due - self.wall.now(), 0) / SECOND):
                await self._wake.wait()
