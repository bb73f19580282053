"""What Python's threads are made of, by greenlets: locks, thread starts, identities, thread-local values.

`install` puts them into `_thread` (and `_queue` out of the way, whose `SimpleQueue` waits in C) before `threading`,
`queue`, `concurrent.futures`, `logging` or anything else is imported, so that all of these are built from them. Modules
which Python loads before any program (`functools`, `reprlib`) are mended where they stand.

A lock is handed to the thread that has waited longest. The hub never waits: where the engine needs a lock that a thread
of the bot holds (logging's), it passes, which is safe because it does not yield while it is in there.
"""

import sys
from collections import deque
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Final

from mlthon.engine.clock import SECOND
from mlthon.link.simulated.threads import MAIN, CannotWait, Thread, threads

TIMEOUT_MAX: Final = 9_223_372_036.0
"""The longest timeout (s), as on Linux."""

on_blocked: list[Callable[[Thread], None]] = []
"""Are told of a thread that is about to wait for a lock without a limit."""


class _Base:
    """What both kinds of lock share: the holder, who waits, and how the hub passes."""

    __slots__ = ("__weakref__", "_holder", "_passed", "_waiting")

    def __init__(self) -> None:
        self._holder: Thread | None = None
        self._waiting: deque[Thread] | None = None
        self._passed = 0

    @property
    def holder(self) -> Thread | None:
        return self._holder

    @holder.setter
    def holder(self, thread: Thread) -> None:
        """Have a thread that has not run yet hold it."""
        self._holder = thread

    def _wait(self, blocking: bool, timeout: float) -> bool:
        """Wait until the lock is handed over, for `timeout` seconds at most (-1: without a limit)."""
        limit = _checked(blocking, timeout)
        if not blocking or limit == 0:
            return False
        me = threads.current
        if me is threads.hub:
            if self._holder is me:
                raise CannotWait("the engine would wait for a lock that it holds itself")
            self._passed += 1
            return True
        if self._waiting is None:
            self._waiting = deque()
        self._waiting.append(me)
        if limit is None:
            me.blocked_on = self
            for told in on_blocked:
                told(me)
        got = threads.park(None if limit is None else threads.clock.now + limit)
        me.blocked_on = None
        if not got:
            self._waiting.remove(me)
        return got

    def _hand_over(self) -> None:
        """Give the lock to whoever has waited longest, or to nobody."""
        if self._waiting:
            self._holder = heir = self._waiting.popleft()
            threads.unpark(heir)
        else:
            self._holder = None

    def _at_fork_reinit(self) -> None:
        self._holder = None
        self._waiting = None
        self._passed = 0


class Lock(_Base):
    """`threading.Lock`: whoever asks first gets it first; any thread may release it."""

    __slots__ = ()

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        if self._holder is None:
            if timeout != -1:
                _checked(blocking, timeout)
            self._holder = threads.current
            return True
        return self._wait(blocking, timeout)

    def release(self) -> None:
        if self._passed and threads.current is threads.hub:
            self._passed -= 1
        elif self._holder is None:
            raise RuntimeError("release unlocked lock")
        elif self._waiting:
            self._hand_over()
        else:
            self._holder = None

    def locked(self) -> bool:
        return self._holder is not None

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    acquire_lock = acquire
    release_lock = release
    locked_lock = locked

    def __repr__(self) -> str:
        return f"<{'locked' if self.locked() else 'unlocked'} _thread.lock object at {id(self):#x}>"


class RLock(_Base):
    """`threading.RLock`: its owner may take it again, and gives it back as often."""

    __slots__ = ("_count",)

    def __init__(self) -> None:
        super().__init__()
        self._count = 0

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        me = threads.current
        if self._holder is None:
            self._holder = me
            self._count = 1
            return True
        if self._holder is me:
            self._count += 1
            return True
        if not self._wait(blocking, timeout):
            return False
        if self._holder is me:
            self._count = 1
        return True

    def release(self) -> None:
        me = threads.current
        if self._holder is not me:
            if self._passed and me is threads.hub:
                self._passed -= 1
                return
            raise RuntimeError("cannot release un-acquired lock")
        self._count -= 1
        if not self._count:
            self._hand_over()

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    # what threading.Condition asks of a lock that can be taken more than once

    def _is_owned(self) -> bool:
        me = threads.current
        return self._holder is me or bool(self._passed and me is threads.hub)

    def _recursion_count(self) -> int:
        return self._count if self._holder is threads.current else 0

    def _release_save(self) -> tuple[int, int]:
        if self._holder is not threads.current:
            raise RuntimeError("cannot release un-acquired lock")
        count = self._count
        self._count = 0
        self._hand_over()
        return count, MAIN_OWNER

    def _acquire_restore(self, state: tuple[int, int]) -> None:
        self.acquire()
        self._count = state[0]

    def _at_fork_reinit(self) -> None:
        super()._at_fork_reinit()
        self._count = 0

    def __repr__(self) -> str:
        owner = self._holder.ident if self._holder is not None else 0
        state = "locked" if self._holder is not None else "unlocked"
        return f"<{state} _thread.RLock object owner={owner} count={self._count} at {id(self):#x}>"


MAIN_OWNER: Final = 0
"""Stands where CPython keeps the owner in what `_release_save` gives."""


def _checked(blocking: bool, timeout: float) -> int | None:
    """The longest wait in ns, None for no limit; raises what CPython raises."""
    if timeout == -1:
        return None
    if not blocking:
        raise ValueError("can't specify a timeout for a non-blocking call")
    if timeout < 0:
        raise ValueError("timeout value must be a non-negative number")
    if timeout > TIMEOUT_MAX:
        raise OverflowError("timeout value is too large")
    return round(timeout * SECOND)


class Local:
    """`threading.local`: the attributes of one object, other ones for each thread.

    The object's `__dict__` is that of the thread which used it last; another one's is put in its place when that
    thread comes.
    """

    __slots__ = ("__dict__", "__weakref__", "_local_arguments", "_local_dicts", "_local_thread")

    def __new__(cls, /, *args: Any, **kwargs: Any) -> "Local":
        if (args or kwargs) and cls.__init__ is object.__init__:
            raise TypeError("Initialization arguments are not supported")
        self = object.__new__(cls)
        me = threads.current
        set_ = object.__setattr__
        set_(self, "_local_arguments", (args, kwargs))
        set_(self, "_local_thread", me)
        set_(self, "_local_dicts", _by_thread())
        object.__getattribute__(self, "_local_dicts")[me] = object.__getattribute__(self, "__dict__")
        return self

    def __getattribute__(self, name: str) -> Any:
        get = object.__getattribute__
        if get(self, "_local_thread") is not threads.current:
            _move_in(self)
        return get(self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "__dict__":
            raise AttributeError(f"{type(self).__name__!r} object attribute '__dict__' is read-only")
        if object.__getattribute__(self, "_local_thread") is not threads.current:
            _move_in(self)
        object.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        if name == "__dict__":
            raise AttributeError(f"{type(self).__name__!r} object attribute '__dict__' is read-only")
        if object.__getattribute__(self, "_local_thread") is not threads.current:
            _move_in(self)
        object.__delattr__(self, name)


def _by_thread() -> Any:
    from weakref import WeakKeyDictionary  # not before `install`: it is one of the modules to be mended

    return WeakKeyDictionary()


def _move_in(local: Local) -> None:
    get, set_ = object.__getattribute__, object.__setattr__
    me = threads.current
    dicts = get(local, "_local_dicts")
    mine = dicts.get(me)
    new = mine is None
    if new:
        mine = dicts[me] = {}
    set_(local, "__dict__", mine)
    set_(local, "_local_thread", me)
    if new:
        args, kwargs = get(local, "_local_arguments")
        type(local).__init__(local, *args, **kwargs)


class ThreadHandle:
    """What `threading.Thread` joins by since Python 3.13. `_ended` is held by the thread until it ends."""

    __slots__ = ("_ended", "_started", "ident")

    def __init__(self) -> None:
        self.ident = 0
        self._ended = Lock()
        self._started = False

    def begin(self, thread: Thread) -> None:
        """It is this thread's, which has not run yet."""
        if self._started:
            raise RuntimeError("thread already started")
        self._started = True
        self.ident = thread.ident
        self._ended.holder = thread
        thread.sentinel = self._ended

    def is_done(self) -> bool:
        return self._started and not self._ended.locked()

    def join(self, timeout: float | None = None) -> None:
        if not self._started:
            raise RuntimeError("thread not started")
        if self._ended.holder is threads.current:
            raise RuntimeError("Cannot join current thread")
        if self._ended.acquire(timeout=-1 if timeout is None or timeout < 0 else timeout):
            self._ended.release()

    def _set_done(self) -> None:
        if self._ended.locked():
            self._ended.release()


class Starts:
    """The functions of `_thread`, as bound methods: as class attributes they behave like the built-in ones."""

    def start_new_thread(
        self, function: Callable[..., object], args: tuple[Any, ...], kwargs: Mapping[str, Any] | None = None
    ) -> int:
        return self._start(function, args, kwargs, None).ident

    def _start(
        self,
        function: Callable[..., object],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any] | None,
        handle: ThreadHandle | None,
    ) -> Thread:
        if not callable(function):
            raise TypeError("first arg must be callable")
        if not isinstance(args, tuple):
            raise TypeError("2nd arg must be a tuple")
        if kwargs is not None and not isinstance(kwargs, dict):
            raise TypeError("optional 3rd arg must be a dictionary")
        given = {} if kwargs is None else kwargs

        def run() -> None:
            try:
                function(*args, **given)
            except SystemExit:
                return  # how `_thread.exit` ends a thread
            except Exception as error:  # noqa: BLE001  (a thread's end, whatever ended it, is told and no more)
                sys.excepthook(type(error), error, error.__traceback__)

        thread = threads.spawn(run, getattr(function, "__qualname__", ""))
        if handle is not None:
            handle.begin(thread)
        threads.start(thread)
        return thread

    def start_joinable_thread(
        self, function: Callable[..., object], handle: ThreadHandle | None = None, daemon: bool = True
    ) -> ThreadHandle:
        """As `threading` starts threads since Python 3.13."""
        handle = handle or ThreadHandle()
        self._start(function, (), None, handle)
        return handle

    def make_handle(self, ident: int) -> ThreadHandle:
        """The handle of a thread that nobody started here: the main thread's."""
        handle = ThreadHandle()
        handle.begin(threads.hub)
        threads.hub.sentinel = None
        handle.ident = ident
        return handle

    def main_ident(self) -> int:
        return MAIN

    def shut_down(self) -> None:
        """At the end of the process nobody is waited for."""

    def get_ident(self) -> int:
        return threads.current.ident

    def set_sentinel(self) -> Lock:
        lock = Lock()
        threads.current.sentinel = lock
        return lock

    def interrupt_main(self, signum: int = 2) -> None:
        """Ctrl-C for the main thread: here it ends the run."""
        if threads.on_interrupt is not None:
            threads.on_interrupt()

    def leave(self) -> None:
        raise SystemExit

    def count(self) -> int:
        return len(threads.alive)


def install() -> None:
    """Put the primitives into `_thread`, and into modules that have taken theirs already."""
    import _thread

    starts = Starts()
    ours: dict[str, Any] = {
        "allocate_lock": Lock,
        "allocate": Lock,
        "LockType": Lock,
        "RLock": RLock,
        "start_new_thread": starts.start_new_thread,
        "start_new": starts.start_new_thread,
        "start_joinable_thread": starts.start_joinable_thread,
        "_ThreadHandle": ThreadHandle,
        "_make_thread_handle": starts.make_handle,
        "_get_main_thread_ident": starts.main_ident,
        "_shutdown": starts.shut_down,
        "lock": Lock,
        "get_ident": starts.get_ident,
        "get_native_id": starts.get_ident,
        "_set_sentinel": starts.set_sentinel,
        "_local": Local,
        "interrupt_main": starts.interrupt_main,
        "exit": starts.leave,
        "exit_thread": starts.leave,
        "_count": starts.count,
        "TIMEOUT_MAX": TIMEOUT_MAX,
    }
    theirs = {name: getattr(_thread, name) for name in ours if hasattr(_thread, name)}
    for name in theirs:
        setattr(_thread, name, ours[name])
    mend({id(old): ours[name] for name, old in theirs.items() if name != "TIMEOUT_MAX"})
    sys.modules["_queue"] = None  # type: ignore[assignment]


def mend(replaced: Mapping[int, Any]) -> None:
    """Replace, in every module loaded so far, what was taken from a module before it was replaced (by `id`)."""
    for name, module in list(sys.modules.items()):
        if module is None or name.startswith("mlthon"):
            continue
        for attribute, value in list(vars(module).items()):
            ours = replaced.get(id(value))
            if ours is not None:
                setattr(module, attribute, ours)
