"""A run played by the wall clock: paper trading on a recording or on the synthetic market.

The run's time starts where the run does and moves `speed` times as fast as the wall clock. A run that starts at the
present is played by the very time of the wall clock, what its setting up took included: bots in processes of their own
compare the times of what they hear with it. Holes in the data are passed over at once. Rows and queued calls are played
when their time has come. In between the task sleeps, and it yields once a batch, so that other tasks of the process get
their turn: services (`mlthon.live.services`), which bring in what they have by `deliver`. Where there are any,
strategies are stopped by the wall clock too.
"""

import logging
import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from time import perf_counter_ns, time_ns

import trio

from mlthon.backtest.result import Progress, Result
from mlthon.backtest.run import PROGRESS_EVERY_S, Run
from mlthon.data.replay import Gap
from mlthon.engine.clock import NEVER, SECOND, TimeStuck
from mlthon.engine.garbage import LATENCY, rare_collections
from mlthon.live.histogram import Histogram
from mlthon.live.services import Host, Service, serving

log = logging.getLogger("mlthon.live")

LONGEST_SLEEP_S = 0.25
"""How long it sleeps at most, so that a stop is noticed and progress told."""
SETTING_UP_S = 60.0
"""A run that starts no longer ago than this, at the wall clock's own speed, is one of the present."""
MOST_ROWS_AT_ONCE = 4096
LOOK_EVERY_S = 1.0


async def go_paced(
    run: Run,
    speed: float = 1.0,
    on_progress: Callable[[Progress], None] | None = None,
    stop: Callable[[], bool] | None = None,
    look: Callable[[], None] | None = None,
    services: Sequence[Service] = (),
) -> Result:
    """Play the run by the wall clock and return its result. `stop` is asked several times a second whether to end
    early; `look` is called about once a second between rows (to look at files and the like)."""
    if not 0 < speed < math.inf:
        raise ValueError(f"the speed of a paced run must be a number over 0, not {speed}")
    player = _Player(run, speed, on_progress, stop, look)
    async with serving(services, Host(player.deliver, player.now, player.batches)):
        with rare_collections(LATENCY):
            ended = await player.play()
            if services:
                await player.wind_down()
        return run.finish(ended)


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
        """`_began`: when by trio's clock the run's time was that of its start."""
        self._start = run.start
        late = (time_ns() - run.start) / SECOND
        if speed == 1.0 and 0 < late < SETTING_UP_S:
            self._began -= late
        self._next = run.start
        """The time of the row that is played next: nothing may move the clock past it. Before the run begins that is
        its start: services that take long to start must not have it miss what is to be done in its first seconds."""
        self._planned = 0
        self._wake = trio.Event()
        self.batches = Histogram()

    def now(self) -> int:
        """The run's time (ns) at this moment of the wall clock."""
        return self._start + round((trio.current_time() - self._began) * self._speed * SECOND)

    def deliver(self, call: Callable[..., object], *args: object) -> bool:
        """Move the clock to the present, but not past rows that are still to be played, and make the call and what it
        has queued for now; False if it raised."""
        clock = self._run.assembly.clock
        clock.run_until(max(clock.now, min(self.now(), self._next)))
        try:
            call(*args)
        except TimeStuck:
            raise
        except Exception:
            log.exception("%s raised; the rest goes on", getattr(call, "__qualname__", call))
            return False
        finally:
            if clock.due <= clock.now:
                clock.run_until(clock.now)
            if clock.due < self._planned:
                self._wake.set()
        return True

    async def play(self) -> str:
        """Play everything; why it ended."""
        self._run.begin()
        self._next = NEVER
        return self._run.plan.ending if await self._play_rows() else "it was stopped"

    async def wind_down(self) -> None:
        """Have strategies stop, and give them the time of the wall clock to say that they have."""
        engine = self._run.assembly.engine
        self._next = NEVER
        self.deliver(engine.stop)
        over = trio.current_time() + engine.settings.stop_ack_timeout_s + LONGEST_SLEEP_S
        while engine.stopping and trio.current_time() < over:
            if self._stop is not None:
                # who asks a second time does not want to wait
                self._stop()
            await self._sleep(self.now() + round(LONGEST_SLEEP_S * SECOND))
            self.deliver(_nothing)

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
                self._next = item.ts[first]
                if not await self._wait_for(item.ts[first]):
                    return False
                last = min(bisect_right(item.ts, self.now(), first), first + MOST_ROWS_AT_ONCE)
                began = perf_counter_ns()
                run.play_rows(item, first, last)
                self.batches.observe(perf_counter_ns() - began)
                first = last
                self._next = item.ts[first] if first < len(item) else self._run.assembly.clock.now
                await trio.lowlevel.checkpoint()
        self._next = NEVER
        return run.end is None or await self._wait_for(run.end)

    async def _wait_for(self, ts: int) -> bool:
        """Sleep until the run's time is `ts`, making the calls that fall due meanwhile; False when asked to stop."""
        clock = self._run.assembly.clock
        while True:
            if self._stop is not None and self._stop():
                return False
            self._look_around()
            now = self.now()
            if now >= ts:
                return True
            if clock.due <= now:
                clock.run_until(now)
            await self._sleep(min(ts, clock.due))

    async def _sleep(self, until: int) -> None:
        """Sleep until the run's time is `until`, `LONGEST_SLEEP_S` at most; a delivery that has queued something
        earlier ends it."""
        self._wake = trio.Event()
        self._planned = until
        ahead = (until - self.now()) / SECOND / self._speed
        with trio.move_on_after(min(max(ahead, 0.0), LONGEST_SLEEP_S)):
            await self._wake.wait()

    def _look_around(self) -> None:
        now = trio.current_time()
        if self._on_progress is not None and now - self._told >= PROGRESS_EVERY_S:
            self._told = now
            self._on_progress(self._run.progress())
        if self._look is not None and now - self._looked >= LOOK_EVERY_S:
            self._looked = now
            self._look()


def _nothing() -> None:
    """The clock has moved; that was all."""
