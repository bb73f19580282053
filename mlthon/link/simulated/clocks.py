"""Every clock a bot can read shows the engine's time, and every sleep passes on it.

`time.time`, `datetime.now` and their like are C functions that libraries take hold of early; time-machine replaces them
in place, and asks the last of its `traveller_stack` for the time: an object of ours, which asks the engine's clock. So
moving time costs nothing, and a read less than a microsecond. The monotonic clocks and `sleep` are replaced in the
module `time`, and in modules that have taken them already.

The engine's own needs (how long a run took) keep the clock they had: what it took before `install` stays.
"""

import sys
import time
from typing import Any, Final

from mlthon.engine.clock import SECOND
from mlthon.link.simulated.primitives import mend
from mlthon.link.simulated.threads import threads

BOOTED: Final = 1_000 * SECOND
"""What the monotonic clocks show at the start of a run (ns)."""


class Traveller:
    """time-machine's idea of where in time we are."""

    def time_ns(self) -> int:
        threads.count_read()
        return threads.clock.now


class Clocks:
    """The functions of `time` that are replaced, as bound methods: as class attributes they behave like built-ins."""

    def __init__(self, start: int) -> None:
        self._offset = BOOTED - start
        self._real_sleep = time.sleep
        self._real_clock = time.clock_gettime_ns
        self._real_ctime = time.ctime
        self._real_asctime = time.asctime

    def monotonic_ns(self) -> int:
        threads.count_read()
        return threads.clock.now + self._offset

    def monotonic(self) -> float:
        threads.count_read()
        return (threads.clock.now + self._offset) / SECOND

    def clock_gettime_ns(self, clk_id: int, /) -> int:
        if clk_id == time.CLOCK_REALTIME:
            return time.time_ns()
        self._real_clock(clk_id)  # raises for a clock that there is not
        return self.monotonic_ns()

    def clock_gettime(self, clk_id: int, /) -> float:
        return self.clock_gettime_ns(clk_id) / SECOND

    def ctime(self, seconds: float | None = None, /) -> str:
        return self._real_ctime(time.time() if seconds is None else seconds)

    def asctime(self, *parts: Any) -> str:
        return self._real_asctime(*(parts or (time.localtime(),)))

    def sleep(self, seconds: float, /) -> None:
        if not (hasattr(seconds, "__float__") or hasattr(seconds, "__index__")):
            raise TypeError(f"'{type(seconds).__name__}' object cannot be interpreted as an integer")
        if seconds != seconds:
            raise ValueError("Invalid value NaN (not a number)")
        if seconds < 0:
            raise ValueError("sleep length must be non-negative")
        if threads.current is threads.hub:
            self._real_sleep(seconds)
        else:
            threads.sleep(round(seconds * SECOND))


def install(start: int) -> None:
    """Have all clocks show the engine's time, which begins at `start` (ns)."""
    machine = _time_machine()
    clocks = Clocks(start)
    ours: dict[str, Any] = {
        "sleep": clocks.sleep,
        "monotonic": clocks.monotonic,
        "monotonic_ns": clocks.monotonic_ns,
        "clock_gettime": clocks.clock_gettime,
        "clock_gettime_ns": clocks.clock_gettime_ns,
        # time-machine leaves these two as they are
        "ctime": clocks.ctime,
        "asctime": clocks.asctime,
    }
    for name in ("perf_counter", "process_time", "thread_time"):
        ours[name] = clocks.monotonic
        ours[f"{name}_ns"] = clocks.monotonic_ns
    theirs = {name: getattr(time, name) for name in ours}
    machine.travel(start / SECOND, tick=False).start()
    machine.traveller_stack[-1] = Traveller()
    for name, function in ours.items():
        setattr(time, name, function)
    mend({id(old): ours[name] for name, old in theirs.items()})


def uninstall() -> None:
    """Let the wall clock rule again where a library is asked for the date (a report's)."""
    machine = _time_machine()
    if machine.traveller_stack:
        import _time_machine as patches  # type: ignore[import-not-found]

        machine.traveller_stack.clear()
        patches.unpatch()


def _time_machine() -> Any:
    """The module, without pytest, which it would load for its plug-in if it is there."""
    loaded = sys.modules.get("time_machine")
    if loaded is not None:
        return loaded
    absent = object()
    before: Any = sys.modules.get("pytest", absent)
    sys.modules["pytest"] = None  # type: ignore[assignment]
    try:
        import time_machine
    finally:
        if before is absent:
            del sys.modules["pytest"]
        else:
            sys.modules["pytest"] = before
    return time_machine
