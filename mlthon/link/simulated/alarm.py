"""Threads that neither block nor read a clock: caught by an alarm, and told by file and line.

Four times a second of processor time a signal looks at who runs. A thread that has not blocked since the last looks is
one of two kinds:

- It **waits**: the same functions, with the same values in all their variables, over and over (`while self.x is None:
  pass`). After a second it is made to give way, as a real thread would be, and time moves on: more each time, since
  only time can end its wait. It is looked at again after a few milliseconds. The run stays the same on every machine,
  because such a loop does nothing that counts.
- It **works**: values change. It is never interrupted, since how far it has come depends on the machine. It is named
  after `TELL_S`; after `patience` the run ends with an error, because it may never end.
"""

import logging
import signal
import sys
from collections.abc import Callable
from time import process_time  # the real one: this module is imported before it is replaced
from types import CodeType, FrameType
from typing import Final

from mlthon.link.simulated.places import is_ours, place
from mlthon.link.simulated.threads import Thread, threads

LOOK_S: Final = 0.25
SHORT_S: Final = 0.004
WAITING_LOOKS: Final = 4
TELL_S: Final = 10.0
PATIENCE_S: Final = 60.0

log = logging.getLogger("mlthon.link")

Look = tuple[tuple[int, CodeType, tuple[int, ...]], ...]
"""A stack from its root: each frame, its code, and the identities of its variables' values."""


class Alarm:
    """Looks at the thread that runs. `stuck` is what ended the run, once something has."""

    def __init__(self, patience_s: float = PATIENCE_S, alive: Callable[[], None] | None = None) -> None:
        """`alive` is called at each look at a thread of the bot."""
        self.stuck: str | None = None
        self._alive = alive
        self._patience = patience_s
        self._seen: tuple[Thread, int] | None = None
        self._began = 0.0
        self._told_work = False
        self._same = 0
        self._look: Look = ()
        self._waiters: set[int] = set()
        self._told: set[str] = set()

    def install(self) -> None:
        signal.signal(signal.SIGVTALRM, self._ring)
        signal.setitimer(signal.ITIMER_VIRTUAL, LOOK_S, LOOK_S)
        threads.on_spin = self._spins

    def uninstall(self) -> None:
        """Before Python ends, and takes the handler away before the alarm."""
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)

    def _resumed(self, thread: Thread) -> None:
        if self._waiters and id(thread) in self._waiters:
            signal.setitimer(signal.ITIMER_VIRTUAL, SHORT_S, LOOK_S)

    def _ring(self, number: int, frame: FrameType | None) -> None:
        me = threads.current
        if frame is None or me is threads.hub:
            return
        if is_ours(frame.f_code.co_filename):
            return  # in the middle of a switch or a lock: the next look will do
        if self._alive is not None:
            self._alive()
        now = process_time()
        if self._seen != (me, me.ticket):
            self._seen = (me, me.ticket)
            self._began = now
            self._told_work = False
            self._same = 0
            self._look = look(frame)
            if id(me) in self._waiters:
                self._look_again(me, frame)
            return
        seen = look(frame)
        self._same = self._same + 1 if waits(self._look, seen) else 0
        self._look = seen
        if self._same >= WAITING_LOOKS:
            self._give_way(me, frame)
        elif now - self._began >= self._patience:
            self.stuck = (
                f"{place(frame)}: the bot has computed for {self._patience:g} s without a pause, "
                "so time stood still for all else"
            )
            threads.stop_here()
        elif now - self._began >= TELL_S and not self._told_work:
            self._told_work = True
            log.warning("%s: has computed for %.0f s; time stands still meanwhile", place(frame), TELL_S)

    def _look_again(self, me: Thread, frame: FrameType) -> None:
        """A thread that was caught waiting: does it still wait where it did?"""
        self._waiters.discard(id(me))
        if not self._waiters:
            threads.on_resume = None
        if place(frame) in self._told:
            self._give_way(me, frame)

    def _give_way(self, me: Thread, frame: FrameType) -> None:
        where = place(frame)
        if where not in self._told:
            self._told.add(where)
            log.warning("%s: waits in a loop that neither sleeps nor reads a clock; time is moved on for it", where)
        self._waiters.add(id(me))
        threads.on_resume = self._resumed
        self._seen = None
        threads.interrupt_idle()

    def _spins(self, me: Thread) -> None:
        """A thread waits by reading the clock: say so once for each place."""
        where = place(sys._getframe())
        if where not in self._told:
            self._told.add(where)
            log.info("%s: waits by reading the clock; time is moved on for it", where)


def look(frame: FrameType | None) -> Look:
    """A stack and what its variables hold now; frames of ours are left out."""
    frames = []
    while frame is not None:
        if not is_ours(frame.f_code.co_filename):
            frames.append((id(frame), frame.f_code, _values(frame)))
        frame = frame.f_back
    return tuple(reversed(frames))


def _values(frame: FrameType) -> tuple[int, ...]:
    held = frame.f_locals
    own = getattr(held.get("self"), "__dict__", {})
    return (*map(id, held.values()), *map(id, own.values()))


def waits(before: Look, now: Look) -> bool:
    """Whether nothing has changed in the functions that both looks found running."""
    common = 0
    for (old, old_code, old_values), (new, new_code, new_values) in zip(before, now, strict=False):
        if old != new or old_code is not new_code:
            break
        if old_values != new_values:
            return False
        common += 1
    return common > 0
