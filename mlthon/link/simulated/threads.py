"""Threads as greenlets: who runs, who waits, and for what.

The hub is the process's first greenlet, in which the run's loop plays the market. Everything else is a thread of the
bot. Exactly one runs at a time; it runs until it blocks, then the hub goes on. A blocked thread is woken by a call on
the engine's clock: at the time it waits for, or at once when another thread or the hub wakes it. So the order in which
threads run is the order of the clock's queue, and the same in every run.

`current` says as whom the running code acts. While the engine works on a thread's behalf (a request it makes is carried
out on that thread's stack) it is the hub: engine code never yields.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from greenlet import getcurrent, greenlet  # type: ignore[import-untyped]

from mlthon.engine.clock import MS, SECOND, US, Clock

if TYPE_CHECKING:
    from threading import ExceptHookArgs  # `threading` comes when `_thread` has been replaced

MAIN: Final = 1
"""The identity of the main thread; the hub shares it, because the modules that the hub imports take it for the main."""
READS: Final = 1_000
"""So many clock reads in one go are a loop that waits for time to pass."""
READS_ON: Final = 10
"""So many more each time it goes on reading."""
FIRST_PAUSE: Final = 100 * US
LONGEST_PAUSE: Final = 100 * MS
IDLE_PAUSE: Final = 10 * SECOND


class Thread:
    """One thread: the greenlet it is resumed in, what it waits for, and what belongs to it alone."""

    __slots__ = (
        "__weakref__",
        "blocked_on",
        "greenlet",
        "ident",
        "idle_pause",
        "loop",
        "name",
        "owner",
        "pause",
        "reads",
        "sentinel",
        "ticket",
        "woken",
    )

    def __init__(self, ident: int, name: str) -> None:
        self.ident = ident
        self.name = name
        self.owner: Callable[[ExceptHookArgs], None] | None = None
        """Is told what is raised in it, as `threading.excepthook`; threads that it starts have the same."""
        self.greenlet: Any = None
        self.loop: object = None
        """asyncio's running loop in this thread."""
        self.blocked_on: Any = None
        """The lock it waits for without a limit."""
        self.sentinel: Any = None
        """A lock that is released when the thread ends (`threading` joins by it)."""
        self.ticket = 0
        """Grows each time it waits: two looks that find the same number saw one and the same go."""
        self.woken = False
        self.reads = 0
        self.pause = FIRST_PAUSE
        self.idle_pause = MS

    def calm(self) -> None:
        """It has really waited: what it read of clocks before is forgotten."""
        self.reads = 0
        self.pause = FIRST_PAUSE

    def __repr__(self) -> str:
        return f"<Thread {self.ident} {self.name}>"


class CannotWait(RuntimeError):
    """The engine itself would wait for something, for ever."""


class Threads:
    """All threads of the process, and the switches between them."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.hub = Thread(MAIN, "hub")
        self.hub.greenlet = getcurrent()
        self.to_hub = self.hub.greenlet.switch
        self.current = self.hub
        self.alive: dict[int, Thread] = {}
        """By identity, the main thread of the bot under its own key 0 until it ends."""
        self.visiting = False
        """A thread of the bot carries out what it asked of the engine."""
        self.set_loop: Callable[[object], None] | None = None
        """asyncio's own `_set_running_loop`, once asyncio is here."""
        self.on_spin: Callable[[Thread], None] | None = None
        """Is told of a thread that waits by reading the clock."""
        self.on_resume: Callable[[Thread], None] | None = None
        """Is told before a thread is resumed, while somebody cares."""
        self.on_interrupt: Callable[[], None] | None = None
        self._idents = MAIN

    # -- for the hub ---------------------------------------------------------------------------------------------------

    def spawn(self, run: Callable[[], object], name: str = "", *, main: bool = False) -> Thread:
        """A new thread, not yet resumed; `main`: it is the bot's main thread."""
        if main:
            ident = MAIN
        else:
            self._idents += 1
            ident = self._idents
        thread = Thread(ident, name or f"thread-{ident}")
        thread.owner = self.current.owner
        thread.greenlet = greenlet(lambda: self._run(thread, run), self.hub.greenlet)
        self.alive[id(thread)] = thread
        return thread

    def start(self, thread: Thread) -> None:
        """Have a new thread run as soon as whoever runs now blocks; where the hub starts it, at once."""
        thread.ticket += 1
        if self.current is self.hub and getcurrent() is self.hub.greenlet:
            self.resume(thread)
        else:
            self.clock.call_soon(self._resume, thread, thread.ticket)

    def resume(self, thread: Thread) -> None:
        """Let a thread go on until it blocks, from the hub."""
        self.current = thread
        loop = thread.loop
        if loop is not None:
            self.set_loop(loop)  # type: ignore[misc]
        if self.on_resume is not None:
            self.on_resume(thread)
        thread.greenlet.switch()
        if loop is not None or thread.loop is not None:
            self.leave_loop()

    @property
    def in_hub(self) -> bool:
        """Whether the hub itself runs, and no thread is below it on the stack: threads may be resumed."""
        return getcurrent() is self.hub.greenlet

    # -- for a thread --------------------------------------------------------------------------------------------------

    def leave_loop(self) -> None:
        """The hub runs no loop of asyncio: the thread that has just blocked does."""
        if self.set_loop is not None:
            self.set_loop(None)

    def park(self, until: int | None = None) -> bool:
        """Wait to be woken, at most until the clock shows `until` (ns); whether it was woken."""
        me = self.current
        if me is self.hub:
            raise CannotWait("the engine would wait for a thread of the bot")
        me.calm()
        return self._wait(me, until)

    def unpark(self, thread: Thread) -> None:
        """Wake a waiting thread: it goes on as soon as whoever runs now blocks."""
        if not thread.woken:
            thread.woken = True
            self.clock.call_soon(self._resume, thread, thread.ticket)

    def sleep(self, length: int) -> None:
        """Let `length` ns pass for the running thread."""
        if length < US:
            self.spin()
        else:
            self.park(self.clock.now + length)

    def count_read(self) -> None:
        """The running thread has read a clock: one that does nothing else is waiting for time to pass, so it does."""
        me = self.current
        if me is not self.hub:
            me.reads += 1
            if me.reads > READS:
                self.spin()

    def spin(self) -> None:
        """The running thread waits without saying so: let some time pass, more each time until it really blocks."""
        me = self.current
        if me is self.hub:
            return
        if me.pause == LONGEST_PAUSE and self.on_spin is not None:
            self.on_spin(me)
        self._wait(me, self.clock.now + me.pause)
        me.reads = READS - READS_ON
        me.pause = min(2 * me.pause, LONGEST_PAUSE)

    def interrupt_idle(self) -> None:
        """The running thread burns the processor and reads no clock: let time pass, more each time."""
        me = self.current
        self._wait(me, self.clock.now + me.idle_pause)
        me.idle_pause = min(2 * me.idle_pause, IDLE_PAUSE)

    def stop_here(self) -> None:
        """Leave the running thread for good."""
        me = self.current
        me.ticket += 1
        me.greenlet = getcurrent()
        self.current = self.hub
        self.to_hub()

    # -- inside --------------------------------------------------------------------------------------------------------

    def _wait(self, me: Thread, until: int | None) -> bool:
        me.ticket = ticket = me.ticket + 1
        me.woken = False
        me.greenlet = getcurrent()
        self.current = self.hub
        if until is None:
            self.to_hub()
        else:
            handle = self.clock.schedule(until, self._resume, me, ticket)
            self.to_hub()
            handle.cancel()
        woken = me.woken
        me.woken = True
        return woken

    def _resume(self, thread: Thread, ticket: int) -> None:
        if thread.ticket == ticket:
            self.resume(thread)

    def _run(self, thread: Thread, run: Callable[[], object]) -> None:
        try:
            run()
        finally:
            self.alive.pop(id(thread), None)
            thread.ticket += 1
            thread.loop = None
            sentinel = thread.sentinel
            if sentinel is not None and sentinel.locked():
                sentinel.release()
            self.current = self.hub


threads: Final = Threads()
"""The process has one clock and one set of threads, as it has one `_thread`."""
