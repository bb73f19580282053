"""Waiting for files and sockets: `select.select`, `poll` and `epoll`, which asyncio's loop waits in.

What is ready now is asked of the real thing, without waiting. If nothing is, the thread waits on the virtual clock, and
looks again when another thread has written to a socket or a pipe (asyncio wakes its loop that way). Where a bot may use
the network, a wait first gives the world outside some real time to answer.
"""

import select
from collections.abc import Callable
from typing import Any, Final

from mlthon.engine.clock import MS, SECOND
from mlthon.link.simulated.threads import Thread, threads

PATIENCE_S: Final = 5.0
"""How long (s, real) a wait stays for an answer from outside before virtual time goes on."""


class Waits:
    """All waits for files, and who is in one."""

    def __init__(self) -> None:
        self.outside = False
        """Whether the bot has connections to the world outside."""
        self._waiting: list[Thread] = []

    def wait(self, poll: Callable[[float], Any], timeout: float | None) -> Any:
        """What `poll(0)` gives as soon as it gives something, at the latest after `timeout` s (None: no limit).
        `poll` takes how long (s) it may really wait."""
        ready = poll(0)
        if any_ready(ready) or (timeout is not None and timeout <= 0):
            return ready
        me = threads.current
        if me is threads.hub:
            return poll(-1 if timeout is None else timeout)
        if self.outside:
            ready = poll(PATIENCE_S if timeout is None else min(timeout, PATIENCE_S))
            if any_ready(ready):
                return ready
        until = None if timeout is None else threads.clock.now + max(round(timeout * SECOND), 1)
        while True:
            self._waiting.append(me)
            try:
                woken = threads.park(until)
            finally:
                self._waiting.remove(me)
            ready = poll(0)
            if any_ready(ready) or not woken:
                return ready

    def written(self) -> None:
        """Something was written or closed: whoever waits looks again."""
        for thread in self._waiting:
            threads.unpark(thread)


def any_ready(ready: Any) -> bool:
    """Whether a poll (a list of events, or `select`'s three lists) has found something."""
    return any(ready)


waits: Final = Waits()


class Epoll:
    """`select.epoll`."""

    _make: Any = select.epoll

    def __init__(self, sizehint: int = -1, flags: int = 0) -> None:
        self._real = self._make(sizehint, flags)

    @classmethod
    def fromfd(cls, fd: int) -> "Epoll":
        self = cls.__new__(cls)
        self._real = cls._make.fromfd(fd)
        return self

    def poll(self, timeout: float | None = None, maxevents: int = -1) -> Any:
        if timeout is not None and timeout < 0:
            timeout = None
        return waits.wait(lambda longest: self._real.poll(longest, maxevents), timeout)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def __enter__(self) -> "Epoll":
        return self

    def __exit__(self, *error: object) -> None:
        self._real.close()


class Poll:
    """`select.poll`; its timeouts are milliseconds."""

    _make: Any = select.poll

    def __init__(self) -> None:
        self._real = self._make()

    def poll(self, timeout: float | None = None) -> Any:
        limit = None if timeout is None or timeout < 0 else timeout * MS / SECOND
        return waits.wait(lambda longest: self._real.poll(None if longest < 0 else longest * SECOND / MS), limit)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


class Functions:
    """`select.select`, and the writing functions that others may wait for."""

    def __init__(self) -> None:
        import os

        self._select = select.select
        self._os_write = os.write

    def select(self, rlist: Any, wlist: Any, xlist: Any, timeout: float | None = None, /) -> Any:
        if timeout is not None and timeout < 0:
            raise ValueError("timeout must be non-negative")
        rlist, wlist, xlist = list(rlist), list(wlist), list(xlist)
        return waits.wait(lambda longest: self._select(rlist, wlist, xlist, None if longest < 0 else longest), timeout)

    def os_write(self, fd: int, data: Any, /) -> int:
        written: int = self._os_write(fd, data)
        waits.written()
        return written


def install() -> None:
    """Replace what is in `select` and `os`; before `selectors` and `socket` are imported."""
    import os

    functions = Functions()
    ours = {"select": functions.select, "poll": Poll, "epoll": Epoll}
    for name, function in ours.items():
        setattr(select, name, function)
    os.write = functions.os_write


def install_sockets() -> None:
    """Have the sockets of this process say when something was written to them or they were closed."""
    import socket

    class_ = socket.socket
    for name in ("send", "sendall", "sendmsg", "close", "shutdown"):
        setattr(class_, name, _telling(getattr(class_, name)))


def _telling(method: Callable[..., Any]) -> Callable[..., Any]:
    def tell(self: Any, *args: Any, **kwargs: Any) -> Any:
        result = method(self, *args, **kwargs)
        waits.written()
        return result

    tell.__name__ = getattr(method, "__name__", "method")
    return tell
