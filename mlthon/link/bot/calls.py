"""Calls that block until the host has answered, from any thread. Answers come straight here, past the mailbox.

Where there are lines for calls (`mlthon.link.bot.lines`), whoever asks reads its answer from one of them. Answers that
must keep their place among market data, and those for which no line is free, are told by whoever hears the host.
"""

import threading
from collections.abc import Callable, Mapping
from itertools import count
from typing import Any

from mlthon.link.bot.lines import AllBusy, CallLines
from mlthon.link.contract import Call, HostFace
from mlthon.link.errors import LinkClosed


class _Waiter:
    """A thread that waits: its lock is held until the answer has come."""

    __slots__ = ("answer", "lock", "mark", "market")

    def __init__(self, market: int | None) -> None:
        self.lock = threading.Lock()
        self.lock.acquire()
        self.answer: Mapping[str, Any] | None = None
        self.market = market
        self.mark = 0


class Calls:
    """All calls of one bot. `posted(market)` says how many trades of a market have come so far."""

    def __init__(self, host: HostFace, posted: Callable[[int], int], lines: CallLines | None = None) -> None:
        self._host = host
        self._posted = posted
        self._lines = lines
        self._lock = threading.Lock()
        self._waiters: dict[int, _Waiter] = {}
        self._numbers = count(1)
        self._closed = False

    def ask(self, name: str, given: Mapping[str, Any], market: int | None = None) -> tuple[Mapping[str, Any], int]:
        """The envelope of the answer, and how many trades of `market` had come when it came. Raises `LinkClosed`."""
        call = Call(next(self._numbers), name, given)
        if market is not None or self._lines is None:
            return self._told(call, market)
        try:
            answer = self._lines.ask(call)
        except AllBusy:
            return self._told(call, None)
        if answer is None:
            raise _closed(name)
        return answer, 0

    def _told(self, call: Call, market: int | None) -> tuple[Mapping[str, Any], int]:
        """Have the call answered by whoever hears the host."""
        waiter = _Waiter(market)
        with self._lock:
            closed = self._closed
            if not closed:
                self._waiters[call.call] = waiter
        if not closed:
            self._host.tell(call)
            waiter.lock.acquire()
        if waiter.answer is None:
            raise _closed(call.name)
        return waiter.answer, waiter.mark

    def answer(self, call: int, envelope: Mapping[str, Any] | None) -> None:
        """The host has answered (None: it never will)."""
        waiter = self._waiters.pop(call, None)
        if waiter is None:
            return
        waiter.answer = envelope
        if waiter.market is not None:
            waiter.mark = self._posted(waiter.market)
        waiter.lock.release()

    def close(self) -> None:
        """Nobody is answered any more: calls under way and to come raise `LinkClosed`."""
        with self._lock:
            self._closed = True
            left = list(self._waiters)
        for call in left:
            self.answer(call, None)
        if self._lines is not None:
            self._lines.close()

    def forked(self) -> None:
        """This is a process that the bot has forked, without the threads that wait or answer: calls raise."""
        self._lock = threading.Lock()
        self._closed = True
        self._waiters.clear()
        if self._lines is not None:
            self._lines.forked()


def _closed(name: str) -> LinkClosed:
    return LinkClosed(f"{name} is not answered any more: the bot is being ended")
