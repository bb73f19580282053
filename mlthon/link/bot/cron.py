"""`@cron.run(every=|on=|expr=)`: methods of a bot on a schedule, in UTC, each in a thread of its own.

A job runs at once when it is started and then by its schedule: `every` on a grid of seconds that begins with the first
run, `on` at the beginning of each candle of a level, `expr` by a cron expression. A job that is still running when it
is due again does not pile up: what it missed is left out, and the next run is the next that the schedule names.

A method that is an `async def` is run to its end in an event loop of its own.

Jobs start when the bot's constructor has returned, before `on_start`; with `cron.options['auto_start'] = False` when
the bot calls `cron.start()`.
"""

import asyncio
import inspect
import math
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from cronsim import CronSim, CronSimError

from mlthon.errors import UserError
from mlthon.link.levels import candle_bin, length_of

Method = TypeVar("Method", bound=Callable[..., Any])
Schedule = Callable[[float, float], float | None]
"""(when the job was started, now) → when it is due next, after now; seconds since 1970, None: never again."""

_MARK: Final = "__profitview_cron__"
_OPTIONS: Final = "Exactly one: @cron.run(every=60), @cron.run(on='1m') or @cron.run(expr='0 0 * * *')."
_LONGEST_WAIT: Final = 3600.0
"""Seconds: after so long the clock is read again, for somebody may have set it."""


class Cron:
    """What `cron` is in a bot."""

    def __init__(self) -> None:
        self.options: dict[str, Any] = {"auto_start": True}
        self._starter: Callable[[bool], None] | None = None

    def run(
        self, *wrong: Any, every: float | None = None, on: str | None = None, expr: str | None = None
    ) -> Callable[[Method], Method]:
        """Put a method on a schedule. Raises `UserError` for anything but one option, for a bad one, and for a method
        that takes arguments."""
        given = {name: value for name, value in (("every", every), ("on", on), ("expr", expr)) if value is not None}
        if wrong or len(given) != 1:
            said = ", ".join(given) or "none"
            raise UserError(f"@cron.run needs exactly one option by name, and has {said}", _OPTIONS)
        schedule = _schedule(**given)

        def decorate(method: Method) -> Method:
            if len(inspect.signature(method).parameters) != 1:
                raise UserError(
                    f"@cron.run on {method.__name__}{inspect.signature(method)}: nobody can give it its arguments",
                    f"A scheduled method takes only self: def {method.__name__}(self):",
                )
            setattr(method, _MARK, schedule)
            return method

        return decorate

    def start(self, run_now: bool = True) -> None:
        """Start all jobs that are not running yet: with `run_now` each runs at once, otherwise first when it is due."""
        if self._starter is None:
            raise RuntimeError("cron.start() before the bot is constructed: call it from on_start")
        self._starter(run_now)

    def bind(self, starter: Callable[[bool], None]) -> None:
        """Say who starts the jobs."""
        self._starter = starter


def jobs_of(cls: type) -> dict[str, Schedule]:
    """The scheduled methods of a class."""
    return {each: getattr(getattr(cls, each), _MARK) for each in dir(cls) if hasattr(getattr(cls, each), _MARK)}


def carry_out(method: Callable[[], Any]) -> None:
    """Run a scheduled method: an `async def` in an event loop of its own."""
    result = method()
    if inspect.iscoroutine(result):
        asyncio.run(result)


class Job:
    """One scheduled method: `call` is made by `schedule` in a thread until `stop`."""

    def __init__(self, name: str, schedule: Schedule, call: Callable[[], None]) -> None:
        self._schedule = schedule
        self._call = call
        self._stopped = threading.Event()
        self._run_now = True
        self._thread = threading.Thread(target=self._run, name=f"cron-{name}", daemon=True)

    def start(self, run_now: bool) -> None:
        self._run_now = run_now
        self._thread.start()

    def stop(self) -> None:
        """No further run begins. One that is under way goes on."""
        self._stopped.set()

    def _run(self) -> None:
        started = time.time()
        if self._run_now:
            self._call()
        while not self._stopped.is_set():
            due = self._schedule(started, time.time())
            if due is None or not self._wait(due):
                return
            self._call()

    def _wait(self, due: float) -> bool:
        """Wait until `due`; False when the job is stopped before."""
        while (left := due - time.time()) > 0:
            if self._stopped.wait(min(left, _LONGEST_WAIT)):
                return False
        return not self._stopped.is_set()


def _schedule(every: Any = None, on: Any = None, expr: Any = None) -> Schedule:
    if every is not None:
        return _every(every)
    return _on(on) if on is not None else _expr(expr)


def _every(seconds: Any) -> Schedule:
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds < math.inf:
        raise UserError(f"@cron.run(every={seconds!r}): not a positive number of seconds", _OPTIONS)

    def following(started: float, now: float) -> float:
        steps = math.floor((now - started) / seconds) + 1
        # of a moment that is due itself floats may say that it is still to come
        due: float = started + steps * seconds
        return due if due > now else started + (steps + 1) * seconds

    return following


def _on(level: Any) -> Schedule:
    try:
        length = length_of(level)
    except ValueError as error:
        raise UserError(f"@cron.run(on={level!r}): {error}", _OPTIONS) from None

    def following(_started: float, now: float) -> float:
        return (candle_bin(now * 1000, level) + length) / 1000

    return following


def _expr(expr: Any) -> Schedule:
    if not isinstance(expr, str):
        raise UserError(f"@cron.run(expr={expr!r}): not a text", _OPTIONS)
    try:
        CronSim(expr, datetime.fromtimestamp(0, UTC))
    except CronSimError as error:
        raise UserError(
            f"@cron.run(expr={expr!r}): {error}", "Five fields, UTC: minute hour day-of-month month day-of-week."
        ) from None

    def following(_started: float, now: float) -> float | None:
        found = next(CronSim(expr, datetime.fromtimestamp(now, UTC)), None)
        return found.timestamp() if found else None

    return following
