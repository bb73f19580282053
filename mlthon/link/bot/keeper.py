"""The keeper of a bot's process: sees to it that the bot, and whatever it started, ends.

    python -m mlthon.link.bot.keeper NICE SOCKET

A bot may sit in a call that holds Python's global lock for ever: none of its threads runs any more then, so nothing
inside can notice that its engine has died. The keeper is a process of its own around it, small (it forks before
anything is imported) and without a lock that a bot could hold:

    engine ── stdin pipe ── keeper ── fork ── bot, in a process group of its own ── whatever the bot starts

- The pipe closes when the engine ends, however it ends. The bot hears that by its socket and has `GRACE` seconds for
  its `on_stop`; a second later it is killed.
- SIGTERM, the engine's wish that the bot ends, is passed on; a bot that is still there after `TERM_S` is killed.
- When the bot has ended, its group is killed, and on Linux every process that descends from it, in a group or session
  of its own or not. Then the keeper ends as the bot did: with its status, or by the same signal.
- A keeper that is killed itself takes the bot along (Linux alone has a way to say so).

The bot, not the keeper, steps back behind the engine, in three ways:

- Its niceness grows by `NICE`. Keeper and bot stay in the engine's session for that: Linux shares processor time out
  between sessions first, so that in one of its own no niceness would count beside the engine.
- Its slices are long (`SLICE_NS`). Once a task runs Linux leaves it alone for some ms, whatever its niceness; but a
  task with shorter slices, as the engine has, interrupts it as soon as it wakes (from Linux 6.12 on).
- What computes without end becomes idle work (SCHED_IDLE), which anything that wakes interrupts at once, other bots and
  the bot's own callbacks included. The keeper looks at what the bot uses: has that been more than `BUSY` of a core for
  some looks, its threads are made idle work, the heaviest first, until what the others use is little (`LEFT`): one that
  burns, or a hundred that burn together. Linux lets nobody but root take that back.

This module imports next to nothing, because each bot costs a process of it.
"""

import os
import resource
import select
import signal
import struct
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, NoReturn

GRACE: Final = 5.0
"""Seconds that `on_stop` may take once the engine has gone."""
MARGIN: Final = 1.0
"""Seconds beyond `GRACE` before the bot is killed: one that ends in order leaves by itself."""
TERM_S: Final = 2.0
"""Seconds between SIGTERM and SIGKILL."""
SWEEP_S: Final = 1.0
"""How long, in seconds, processes that a bot has left behind are looked for."""
ENDS_WITHIN_S: Final = GRACE + MARGIN + SWEEP_S
"""So many seconds after the end of its engine nothing is left of a bot."""

LOOK_S: Final = 0.5
"""Seconds between two looks at what a bot uses."""
PATIENCE: Final = 4
"""So many looks a bot may be busy: it has to import its libraries."""
BUSY: Final = 0.25
"""Of a core, between two looks: a bot that uses more computes without end."""
LEFT: Final = 0.1
"""Of a core: so much the threads of a busy bot use together that are not made idle work."""
SLICE_NS: Final = 10_000_000
"""So long (ns) are a bot's slices; usual are some ms."""

_SCHED_SETATTR: Final = {"x86_64": 314, "aarch64": 274}
"""The number of Linux's sched_setattr(2), for which C libraries have no function, by machine."""
_SCHED_ATTR: Final = struct.Struct("=IIQiIQQQ")
"""Its size, policy, flags, niceness, priority, slice (ns), and what deadlines need."""
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_CHILD_SUBREAPER: Final = 36
"""prctl(2)."""
_RETRY_S: Final = 0.02
_TICKS: Final = os.sysconf("SC_CLK_TCK")


class Keeper:
    """Keeps one bot. `engine`: the pipe that closes with the engine; `signals`: where arriving signals are told;
    `path`: the engine's socket, removed if it dies."""

    def __init__(self, bot: int, engine: int, signals: int, path: str) -> None:
        self._bot = bot
        self._path = path
        self._engine = engine
        self._signals = signals
        self._kill_at = float("inf")
        self._usage = Usage(Path(f"/proc/{bot}"), time.monotonic()) if hasattr(os, "SCHED_IDLE") else None
        self.terminated = False
        """SIGTERM has come."""

    def keep(self) -> int:
        """Wait for the end of the bot and of all that it started; the bot's wait status."""
        poll = select.poll()
        for each in (self._engine, self._signals):
            poll.register(each, select.POLLIN | select.POLLHUP)
        while (status := self._reaped()) is None:
            ready = {each for each, _ in poll.poll(self._timeout_ms())}
            if self._signals in ready:
                os.read(self._signals, 4096)
            if self._engine in ready and not os.read(self._engine, 4096):
                poll.unregister(self._engine)
                self._end_within(GRACE + MARGIN)
                with suppress(OSError):  # it did that itself
                    os.unlink(self._path)
                    os.rmdir(os.path.dirname(self._path))
            if self.terminated:
                self.terminated = False
                self._signal(signal.SIGTERM)
                self._end_within(TERM_S)
            now = time.monotonic()
            if now >= self._kill_at:
                self._signal(signal.SIGKILL)
                self._kill_at = now + _RETRY_S
            if self._usage is not None and now >= self._usage.due:
                self._usage.look(now)
        self._sweep()
        return status

    def _end_within(self, seconds: float) -> None:
        self._kill_at = min(self._kill_at, time.monotonic() + seconds)

    def _timeout_ms(self) -> float | None:
        at = self._kill_at if self._usage is None else min(self._kill_at, self._usage.due)
        return None if at == float("inf") else max(at - time.monotonic(), 0.0) * 1000 + 1

    def _reaped(self) -> int | None:
        """The bot's wait status once it has ended. Others that end are orphans of the bot's."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return 0
            if pid == self._bot:
                return status
            if not pid:
                return None

    def _signal(self, number: int) -> None:
        """Send a signal to the bot, which may have left its group, and to its group."""
        for send in (os.killpg, os.kill):
            with suppress(ProcessLookupError, PermissionError):
                send(self._bot, number)

    def _sweep(self) -> None:
        """The bot has ended: end its group, and what descends from it, level by level."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._bot, signal.SIGKILL)
        over = time.monotonic() + SWEEP_S
        while self._has_children() and time.monotonic() < over:
            for each in _children():
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(each, signal.SIGKILL)
            time.sleep(_RETRY_S)

    def _has_children(self) -> bool:
        """Whether any process is left; those that have ended are reaped."""
        while True:
            try:
                if not os.waitpid(-1, os.WNOHANG)[0]:
                    return True
            except ChildProcessError:
                return False


class Usage:
    """What a process and its threads use of the processors, by Linux's `/proc`. `due`: when the next look is."""

    def __init__(self, folder: Path, now: float) -> None:
        """`folder`: the process's."""
        self._folder = folder
        self._looked = now
        self.due = self._looked + LOOK_S
        self._process = 0.0
        self._busy = 0
        """So many looks it has been busy without a break, or since its threads were last judged."""
        self._since = now
        self._threads: dict[str, float] = {}
        """What its threads had used by the first of these looks, and when that was."""
        self._idle: set[str] = set()
        """Those that are idle work."""

    def look(self, now: float) -> None:
        """Have threads that compute without end run as idle work."""
        passed = now - self._looked
        self._looked, self.due = now, now + LOOK_S
        with suppress(OSError):  # the process has ended
            before, self._process = self._process, _used(self._folder)
            self._busy = self._busy + 1 if self._process - before > BUSY * passed else 0
            if self._busy > PATIENCE:
                self._judge(now)
                self._busy = 1
            if self._busy == 1:
                self._since, self._threads = now, self._used_by_threads()

    def _judge(self, now: float) -> None:
        """Make threads idle work, the heaviest first, until the others use little together."""
        used = self._used_by_threads()
        self._idle &= used.keys()
        share = {each: used[each] - self._threads.get(each, 0.0) for each in used.keys() - self._idle}
        left = sum(share.values())
        for thread in sorted(share, key=share.__getitem__, reverse=True):
            if left <= LEFT * (now - self._since):
                break
            left -= share[thread]
            with suppress(ProcessLookupError):  # it has ended
                os.sched_setscheduler(int(thread), os.SCHED_IDLE, os.sched_param(0))
                self._idle.add(thread)

    def _used_by_threads(self) -> dict[str, float]:
        """Seconds by thread."""
        used: dict[str, float] = {}
        for thread in (self._folder / "task").iterdir():
            with suppress(OSError):  # it has ended
                used[thread.name] = _used(thread)
        return used


def _used(task: Path) -> float:
    """Seconds of processor time that a process or thread has used."""
    return sum(map(int, _stat(task / "stat")[11:13])) / _TICKS


def _stat(path: Path) -> list[str]:
    """The fields of a `/proc/PID/stat` that follow the name, which stands in parentheses and may hold anything."""
    return path.read_text("utf-8", "replace").rpartition(")")[2].split()


def _children() -> Iterator[int]:
    """The processes whose parent this one is, by Linux's `/proc`."""
    own = os.getpid()
    for each in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError, ValueError, IndexError):  # it has ended meanwhile
            if int(_stat(each)[1]) == own:
                yield int(each.parent.name)


def main(path: str, nice: int) -> NoReturn:
    """Start the bot whose engine listens at `path`, keep it, and end as it did. `nice`: added to the bot's niceness."""
    engine = os.dup(0)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.close(null)
    # SIGHUP and SIGINT are for the engine, which then has its bots stop
    for each in (signal.SIGHUP, signal.SIGINT):
        signal.signal(each, signal.SIG_IGN)
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    told, tell = os.pipe()
    os.set_blocking(tell, False)
    signal.set_wakeup_fd(tell, warn_on_full_buffer=False)
    both = (signal.SIGCHLD, signal.SIGTERM)
    signal.pthread_sigmask(signal.SIG_BLOCK, both)
    keeper_pid = os.getpid()
    bot = os.fork()
    if bot == 0:
        signal.set_wakeup_fd(-1)
        for descriptor in (engine, told, tell):
            os.close(descriptor)
        _be_bot(path, nice, keeper_pid, both)
    with suppress(ProcessLookupError, PermissionError):
        os.setpgid(bot, bot)  # so does the bot; whoever comes first
    keeper = Keeper(bot, engine, told, path)

    def terminate(*_: object) -> None:
        keeper.terminated = True

    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGTERM, terminate)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, both)
    _end_as(os.waitstatus_to_exitcode(keeper.keep()))


def _be_bot(path: str, nice: int, keeper: int, blocked: tuple[signal.Signals, ...]) -> NoReturn:
    """In the forked process: become the bot."""
    try:
        os.setpgid(0, 0)
        _step_back(nice)
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != keeper:
            os._exit(1)  # it died before it could be watched
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        # who reads from a terminal in the background would be stopped for ever
        for each in (signal.SIGTTIN, signal.SIGTTOU):
            signal.signal(each, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, blocked)
        from mlthon.link.bot.child import main as bot

        bot(path)
    except BaseException:  # noqa: BLE001 - told, and never returned into the keeper
        sys.excepthook(*sys.exc_info())
        sys.stderr.flush()
    os._exit(1)


def _step_back(nice: int) -> None:
    """Run behind the engine: see the module."""
    niceness = os.nice(nice)
    number = _SCHED_SETATTR.get(os.uname().machine) if sys.platform == "linux" else None
    if number is not None:
        import ctypes

        attributes = _SCHED_ATTR.pack(_SCHED_ATTR.size, os.SCHED_OTHER, 0, niceness, 0, SLICE_NS, 0, 0)
        # where it is forbidden the bot does without
        ctypes.CDLL(None).syscall(number, 0, attributes, 0)


def _prctl(option: int, value: int) -> None:
    """Linux's prctl; elsewhere nothing."""
    if sys.platform == "linux":
        import ctypes

        if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0):
            raise OSError(ctypes.get_errno(), f"prctl({option})")


def _end_as(status: int) -> NoReturn:
    """End with a status, or by the signal whose negative number it is."""
    if status < 0:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # the bot has left its own
        with suppress(OSError, ValueError):  # of SIGKILL nothing can be set
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    os._exit(status if status >= 0 else 1)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python -m mlthon.link.bot.keeper NICE SOCKET (the engine starts it)")
    main(sys.argv[2], int(sys.argv[1]))
