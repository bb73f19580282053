"""Locks that can never be had: threads that wait for each other in a circle, told with the line where each waits."""

import logging
import os
import sys
from types import FrameType
from typing import Final

from mlthon.link.simulated.places import is_ours, place
from mlthon.link.simulated.primitives import on_blocked
from mlthon.link.simulated.threads import Thread, threads

log = logging.getLogger("mlthon.link")

HERE: Final = os.path.dirname(os.path.abspath(__file__)) + os.sep


class Deadlocks:
    """Looks, each time a thread starts to wait for a lock without a limit, whether it waits for itself."""

    def __init__(self) -> None:
        self.found: Final[list[str]] = []

    def install(self) -> None:
        on_blocked.append(self.blocked)

    def blocked(self, me: Thread) -> None:
        frame = sys._getframe(1)
        if _is_signal(frame):
            return
        circle = [me]
        while True:
            lock = circle[-1].blocked_on
            holder = lock.holder if lock is not None else None
            if holder is None or holder is threads.hub:
                return
            if holder is me:
                break
            if holder in circle or _is_signal(_frame_of(holder)):
                return
            circle.append(holder)
        told = "; ".join(f"{_name(each)} waits at {place(_frame_of(each, frame, me))}" for each in circle)
        text = (
            f"deadlock: {told} for a lock that it holds itself"
            if len(circle) == 1
            else f"deadlock: {told}; each for a lock that the next one holds"
        )
        self.found.append(text)
        log.error("%s", text)


def _frame_of(thread: Thread, frame: FrameType | None = None, running: Thread | None = None) -> FrameType | None:
    """The innermost frame of a thread: `frame` of the one that is running."""
    if thread is running:
        return frame
    found: FrameType | None = thread.greenlet.gr_frame
    return found


def _is_signal(frame: FrameType | None) -> bool:
    """Whether a lock is waited for that is there to be released by somebody else: a Condition's, or one of our own."""
    import threading

    while frame is not None and frame.f_code.co_filename.startswith(HERE):
        frame = frame.f_back
    return frame is not None and (
        frame.f_code is threading.Condition.wait.__code__ or is_ours(frame.f_code.co_filename)
    )


def _name(thread: Thread) -> str:
    """The thread's name as `threading` knows it."""
    import threading

    known = threading._active.get(thread.ident)  # type: ignore[attr-defined]
    return known.name if known is not None else thread.name
