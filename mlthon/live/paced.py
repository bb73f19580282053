"""A run played by the wall clock: paper trading on a recording or on the synthetic market.

The run's time starts where the run does and moves `speed` times as fast as the wall clock; holes in the data are
passed over at once. Rows and queued calls are played when their time has come. In between the task sleeps, and it
yields once a batch, so that other tasks of the process get their turn.
"""

import math
from bisect import bisect_right
from collections.abc import Callable

import trio

from mlthon.backtest.result import Progress, Result
from mlthon.backtest.run import PROGRESS_EVERY_S, Run
from mlthon.data.replay import Gap
from mlthon.engine.clock import SECOND

LONGEST_SLEEP_S = 0.25
"""How long it sleeps at most, so that a stop is noticed and progress told."""
MOST_ROWS_AT_ONCE = 4096
LOOK_EVERY_S = 1.0


async def go_paced(
    run: Run,
    speed: float = 1.0,
    on_progress: Callable[[Progress], None] | None = None,
    stop: Callable[[], bool] | None = None,
    look: Callable[[], None] | None = None,
) -> Result:
    """Play the run by the wall clock and return its result. `stop` is asked several times a second whether to end
    early; `look` is called about once a second between rows (to look at files and the like)."""
    if not 0 < speed < math.inf:
        raise ValueError(f"the speed of a paced run must be a number over 0, not {speed}")
    return await _Player(run, speed, on_progress, stop, look).play()


class _Player:
    def __init__(
        self,
        run: Run,
        speed: float,
        on_progress: Callable[[Progress], None] | None,
        stop: Callable[[], bool] | None,
        look: Callable[[], None] | None,
    ) -> None:
        self._run = run
        self._speed = speed
        self._on_progress = on_progress
        self._stop = stop
        self._look = look
        self._began = self._told = self._looked = trio.current_time()
        self._start = run.start

    def _now(self) -> int:
        """The run's time (ns) at this moment of the wall clock."""
        return self._start + round((trio.current_time() - self._began) * self._speed * SECOND)

    async def play(self) -> Result:
        self._run.begin()
        return self._run.finish(self._run.plan.ending if await self._play_rows() else "it was stopped")

    async def _play_rows(self) -> bool:
        """Play everything; False when asked to stop before the end."""
        run = self._run
        for item in run.plan.items:
            if isinstance(item, Gap):
                run.play(item)
                self._start += item.end - item.start
                continue
            first = 0
            while first < len(item):
                if not await self._wait_for(item.ts[first]):
                    return False
                last = min(bisect_right(item.ts, self._now(), first), first + MOST_ROWS_AT_ONCE)
                run.play_rows(item, first, last)
                first = last
                await trio.lowlevel.checkpoint()
        return run.end is None or await self._wait_for(run.end)

    async def _wait_for(self, ts: int) -> bool:
        """Sleep until the run's time is `ts`, making the calls that fall due meanwhile; False when asked to stop."""
        clock = self._run.assembly.clock
        while True:
            if self._stop is not None and self._stop():
                return False
            self._look_around()
            now = self._now()
            if now >= ts:
                return True
            if clock.due <= now:
                clock.run_until(now)
            ahead = (min(ts, clock.due) - now) / SECOND / self._speed
            await trio.sleep(min(max(ahead, 0.0), LONGEST_SLEEP_S))

    def _look_around(self) -> None:
        now = trio.current_time()
        if self._on_progress is not None and now - self._told >= PROGRESS_EVERY_S:
            self._told = now
            self._on_progress(self._run.progress())
        if self._look is not None and now - self._looked >= LOOK_EVERY_S:
            self._looked = now
            self._look()
