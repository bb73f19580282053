"""Time and what is due: one integer clock and one queue of calls.

Everything that happens later (timers, requests on their way to an exchange, responses on their way back) is a call in
one queue, ordered by time and then by the order in which it was asked for. Nothing in here reads a system clock: a
driver moves `now` forward (the backtest loop to the time of the next market event, the live edge to the wall clock)
and calls `run_until`, which is the only place where queued calls are made. A response therefore never arrives inside
the call that caused it, whatever the latency, zero included.
"""

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any, Final

NEVER: Final = 1 << 63
"""A time after every other (ns)."""

NS: Final = 1
US: Final = 1_000
MS: Final = 1_000_000
SECOND: Final = 1_000_000_000

MAX_CALLS_AT_ONE_TIME: Final = 1_000_000


Send = Callable[..., None]
"""`send(call, *args)`: have it called later."""


class TimeStuck(RuntimeError):
    """A million calls ran without time moving on: two parties answer each other for ever at zero latency."""


class Handle:
    """A queued call; `cancel()` makes it a no-op."""

    __slots__ = ("args", "call", "ts")

    def __init__(self, ts: int, call: Callable[..., object] | None, args: tuple[Any, ...]) -> None:
        self.ts = ts
        self.call = call
        self.args = args

    def cancel(self) -> None:
        self.call = None


class Clock:
    """Integer nanoseconds since 1970-01-01 UTC, and the calls that wait for their time.

    `now`: the present. `due`: the time of the earliest queued call, `NEVER` if there is none; the driver compares it
    with the time of its next event, so an event that nothing waits for costs one comparison.
    """

    __slots__ = ("_queue", "_seq", "due", "now")

    def __init__(self, now: int = 0) -> None:
        self.now = now
        self.due = NEVER
        self._queue: list[tuple[int, int, Callable[..., object] | None, tuple[Any, ...] | Handle]] = []
        self._seq = 0

    @property
    def queued(self) -> int:
        """How many calls wait for their time."""
        return len(self._queue)

    def call_at(self, ts: int, call: Callable[..., object], *args: Any) -> None:
        """Queue `call(*args)` for time `ts` (ns); a time in the past means as soon as the present event is over."""
        if ts < self.now:
            ts = self.now
        self._seq = seq = self._seq + 1
        heappush(self._queue, (ts, seq, call, args))
        if ts < self.due:
            self.due = ts

    def after(self, delay: int) -> Send:
        """A function that queues a call for `delay` ns (0 or more) after the moment it is given it."""
        queue = self._queue

        def send(call: Callable[..., object], *args: Any) -> None:
            self._seq = seq = self._seq + 1
            ts = self.now + delay
            heappush(queue, (ts, seq, call, args))
            if ts < self.due:
                self.due = ts

        return send

    def call_soon(self, call: Callable[..., object], *args: Any) -> None:
        """Queue `call(*args)` for as soon as the present event is over."""
        self.call_at(self.now, call, *args)

    def schedule(self, ts: int, call: Callable[..., object], *args: Any) -> Handle:
        """Like `call_at`, for a call that may be cancelled."""
        handle = Handle(ts, call, args)
        if ts < self.now:
            ts = self.now
        self._seq = seq = self._seq + 1
        heappush(self._queue, (ts, seq, None, handle))
        if ts < self.due:
            self.due = ts
        return handle

    def wake(self) -> None:
        """Have the driver come by before its next event although nothing is due: what it goes by has changed."""
        if self.now < self.due:
            self.due = self.now

    def run_until(self, ts: int) -> None:
        """Make every call that is due at or before `ts`, in order, and set `now` to `ts`."""
        queue = self._queue
        while queue and queue[0][0] <= ts:
            at = queue[0][0]
            if at > self.now:
                self.now = at
            for _ in range(MAX_CALLS_AT_ONE_TIME):
                _, _, call, args = heappop(queue)
                self.due = queue[0][0] if queue else NEVER
                if call is not None:
                    call(*args)  # type: ignore[misc]
                elif (cancellable := args.call) is not None:  # type: ignore[union-attr]
                    cancellable(*args.args)  # type: ignore[union-attr]
                if not queue or queue[0][0] != at:
                    break
            else:
                raise TimeStuck(
                    f"{MAX_CALLS_AT_ONE_TIME} calls at time {at} ns without time moving on; give some latency"
                )
        self.due = queue[0][0] if queue else NEVER
        if ts > self.now:
            self.now = ts

    def leap(self, length: int) -> None:
        """Move the present, and everything queued, `length` ns ahead: as if the time between had not been."""
        self._queue[:] = [(ts + length, seq, call, args) for ts, seq, call, args in self._queue]
        for _, _, call, args in self._queue:
            if call is None:
                args.ts += length  # type: ignore[union-attr]
        self.now += length
        if self._queue:
            self.due += length
