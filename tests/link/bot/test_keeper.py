"""The keeper of a bot: whatever a bot does, it and all that it has started end, and the keeper says how."""

import ctypes
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mlthon.link import wire
from mlthon.link.bot.keeper import ENDS_WITHIN_S, LOOK_S, PATIENCE, SLICE_NS, TERM_S, Usage
from mlthon.link.contract import Hello
from tests.link.bot.kit import INSTRUMENTS, MARKETS, VENUES, write

ENDLESS = {
    "a regular expression": "re.match('(a+)+$', 'a' * 60 + 'b')",
    "a call that keeps the lock": "collections.deque(itertools.repeat(0), maxlen=0)",
    "a deadlock": "held = threading.Lock(); held.acquire(); held.acquire()",
    "deaf to signals": "signal.signal(signal.SIGTERM, signal.SIG_IGN); threading.Event().wait()",
    "stopped": "os.kill(os.getpid(), signal.SIGSTOP)",
}
BOT = """
    from profitview import Link
    import collections, itertools, os, re, signal, subprocess, sys, threading, time

    def note(pid):
        with open({pids!r}, 'a') as file:
            file.write(f'{{pid}}\\n')

    class Trading(Link):
        def on_start(self):
            note(os.getpid())
            {starts}
            open({done!r}, 'w').close()
            {act}
"""
DAEMON = """
            if not (pid := os.fork()):
                os.setsid()
                if not os.fork():
                    note(os.getpid())
                    signal.signal(signal.SIGTERM, signal.SIG_IGN)
                    signal.pause()
                os._exit(0)
            os.waitpid(pid, 0)
            note(subprocess.Popen(['sleep', '600']).pid)
            note(subprocess.Popen(['sleep', '600'], start_new_session=True).pid)
            while len(open({pids!r}).readlines()) < 4:
                time.sleep(0.01)
"""


def until(true: Callable[[], object], seconds: float = 30.0) -> float:
    """Wait until it holds; how long that took."""
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < seconds, "it never came"
        time.sleep(0.02)
    return time.monotonic() - began


def alive(pid: int) -> bool:
    """Whether a process runs; one that waits for its parent to hear of its end does not."""
    try:
        os.kill(pid, 0)
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] != b"Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


class Kept:
    """A bot with its keeper, and the pipe and socket of its engine."""

    def __init__(self, folder: Path, process: "subprocess.Popen[bytes]", line: socket.socket) -> None:
        self.process = process
        self.line = line
        self._folder = folder

    def begun(self) -> list[int]:
        """The processes that the bot has told of, once it is about to do what it does."""
        until((self._folder / "done").exists)
        return [int(each) for each in (self._folder / "pids").read_text().split()]

    def engine_dies(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.line.close()


@contextmanager
def kept(folder: Path, act: str = "", starts: str = "") -> Iterator[Kept]:
    names = {"pids": str(folder / "pids"), "done": str(folder / "done")}
    path = write(folder, BOT.format(act=act, starts=starts.strip().format(**names), **names))
    with tempfile.TemporaryDirectory(prefix="bot") as place, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{place}/s")
        listener.listen()
        listener.settimeout(30)
        process = subprocess.Popen(
            [sys.executable, "-m", "mlthon.link.bot.keeper", "3", f"{place}/s"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            process_group=0,
        )
        try:
            line, _ = listener.accept()
            with line:
                line.sendall(wire.frame([wire.encode(Hello("test", str(path), VENUES, MARKETS, INSTRUMENTS))]))
                yield Kept(folder, process, line)
        finally:
            process.kill()
            process.communicate()


@pytest.mark.parametrize(
    "what", [pytest.param(each, marks=pytest.mark.slow) if number else each for number, each in enumerate(ENDLESS)]
)
def test_a_bot_that_cannot_hear_ends_all_the_same_when_its_engine_dies(tmp_path: Path, what: str) -> None:
    with kept(tmp_path, ENDLESS[what]) as bot:
        (pid,) = bot.begun()
        assert alive(pid)
        bot.engine_dies()
        bot.process.wait(ENDS_WITHIN_S + 10)
        assert not alive(pid)


@pytest.mark.parametrize("what", ENDLESS)
def test_a_bot_that_cannot_hear_ends_when_it_is_asked_to(tmp_path: Path, what: str) -> None:
    with kept(tmp_path, ENDLESS[what]) as bot:
        (pid,) = bot.begun()
        bot.process.terminate()
        bot.process.wait(TERM_S + 10)
        assert not alive(pid)
        assert bot.process.returncode in (-signal.SIGTERM, -signal.SIGKILL)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not say who descends from whom")
@pytest.mark.parametrize("ending", ["engine", "asked", "itself", "killed"])
def test_what_a_bot_has_started_ends_with_it(tmp_path: Path, ending: str) -> None:
    with kept(tmp_path, "os._exit(7)" if ending == "itself" else "time.sleep(600)", DAEMON) as bot:
        pids = bot.begun()
        assert len(pids) == 4
        if ending == "engine":
            bot.engine_dies()
        elif ending == "asked":
            bot.process.terminate()
        elif ending == "killed":
            os.kill(pids[0], signal.SIGKILL)
        bot.process.wait(ENDS_WITHIN_S + 10)
        assert [alive(each) for each in pids] == [False] * 4
        expected = {"engine": 1, "asked": -signal.SIGTERM, "itself": 7, "killed": -signal.SIGKILL}
        assert bot.process.returncode == expected[ending]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no word for it")
def test_a_bot_ends_with_its_keeper(tmp_path: Path) -> None:
    with kept(tmp_path, ENDLESS["a regular expression"]) as bot:
        (pid,) = bot.begun()
        bot.process.kill()
        until(lambda: not alive(pid))


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT, signal.SIGUSR1])
def test_a_keeper_ends_by_the_signal_that_its_bot_ended_by(tmp_path: Path, number: signal.Signals) -> None:
    quiet = f"resource.setrlimit(resource.RLIMIT_CORE, {(0, 0)})"
    with kept(tmp_path, f"import resource; {quiet}; os.kill(os.getpid(), {int(number)}); time.sleep(600)") as bot:
        bot.begun()
        bot.process.wait(20)
        assert bot.process.returncode == -number


def test_an_ordinary_bot_has_its_on_stop_when_its_engine_dies(tmp_path: Path) -> None:
    mark = tmp_path / "farewell"
    stops = f"\n\n        def on_stop(self):\n            time.sleep(0.5)\n            open({str(mark)!r}, 'w').close()"
    with kept(tmp_path, "pass" + stops) as bot:
        bot.begun()
        bot.engine_dies()
        bot.process.wait(ENDS_WITHIN_S + 10)
        assert mark.exists()
        assert bot.process.returncode == 1


def test_a_bot_steps_back_behind_its_engine_in_the_same_session(tmp_path: Path) -> None:
    with kept(tmp_path) as bot:
        (pid,) = bot.begun()
        priorities = [os.getpriority(os.PRIO_PROCESS, each) for each in (pid, bot.process.pid)]
        assert priorities == [min(os.nice(0) + 3, 19), os.nice(0)]
        assert os.getsid(pid) == os.getsid(0)
        assert os.getpgid(pid) == pid != bot.process.pid == os.getpgid(bot.process.pid)


@pytest.mark.skipif(os.uname().machine != "x86_64" or sys.platform != "linux", reason="it asks Linux by a number")
def test_a_bots_slices_are_longer_than_its_engines(tmp_path: Path) -> None:
    def slice_of(pid: int) -> int:
        given = ctypes.create_string_buffer(48)
        if ctypes.CDLL(None).syscall(315, pid, given, 48, 0):
            pytest.skip("sched_getattr is forbidden here")
        return int.from_bytes(given.raw[24:32], sys.byteorder)

    if not slice_of(0):
        pytest.skip("a Linux that gives no task slices of its own")
    with kept(tmp_path) as bot:
        (pid,) = bot.begun()
        assert slice_of(pid) == SLICE_NS > slice_of(0)


class Processes:
    """A process's folder in `/proc`, made up."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._used: dict[int, float] = {}

    def use(self, **seconds: float) -> None:
        """Its threads (`t1`, `t2`, ...) compute for so long."""
        for name, each in seconds.items():
            thread = int(name[1:])
            self._used[thread] = self._used.get(thread, 0.0) + each
            self._write(self.folder / "task" / str(thread), self._used[thread])
        self._write(self.folder, sum(self._used.values()))

    def _write(self, folder: Path, seconds: float) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        ticks = round(seconds * os.sysconf("SC_CLK_TCK"))
        (folder / "stat").write_text(f"7 (odd ) name) R {'0 ' * 10}{ticks - ticks // 3} {ticks // 3} 0 0\n", "utf-8")


@pytest.fixture
def idle(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The threads that are made idle work."""
    if not hasattr(os, "SCHED_IDLE"):
        pytest.skip("other systems know no idle work")
    found: list[int] = []
    monkeypatch.setattr(os, "sched_setscheduler", lambda thread, policy, param: found.append(thread))
    return found


def test_threads_that_compute_without_end_are_run_as_idle_work_and_the_others_are_not(
    tmp_path: Path, idle: list[int]
) -> None:
    process = Processes(tmp_path)
    process.use(t1=40.0, t2=0.0)
    usage = Usage(tmp_path, 0.0)
    usage.look(LOOK_S)  # forty seconds in half of one: what it has used before
    for number in range(2, PATIENCE + 1):
        process.use(t1=0.01, t2=0.1, t3=0.1)
        usage.look(number * LOOK_S)
    assert idle == []
    process.use(t1=0.01, t2=0.1, t4=0.3)
    usage.look((PATIENCE + 1) * LOOK_S)
    assert sorted(idle) == [2, 3, 4]
    assert usage.due == (PATIENCE + 2) * LOOK_S
    for number in range(PATIENCE + 2, 3 * PATIENCE):
        process.use(t1=0.01, t2=0.2)
        usage.look(number * LOOK_S)
    assert sorted(idle) == [2, 3, 4], "what they go on using is none of the others"
    for number in range(3 * PATIENCE, 5 * PATIENCE):
        process.use(t1=0.01, t2=0.2, t5=0.2)
        usage.look(number * LOOK_S)
    assert sorted(idle) == [2, 3, 4, 5], "one that begins later"


def test_many_threads_that_each_use_little_are_idle_work_as_one_that_uses_much(tmp_path: Path, idle: list[int]) -> None:
    process = Processes(tmp_path)
    usage = Usage(tmp_path, 0.0)
    threads = {f"t{number}": 0.01 for number in range(2, 102)}
    for number in range(1, PATIENCE + 3):
        process.use(t1=0.01, **threads)
        usage.look(number * LOOK_S)
    assert len(idle) > 90
    assert len(set(idle)) == len(idle)


def test_a_busy_moment_is_no_endless_computation(tmp_path: Path, idle: list[int]) -> None:
    process = Processes(tmp_path)
    usage = Usage(tmp_path, 0.0)
    usage.look(LOOK_S)  # it has not begun
    for number in range(2, 40):
        process.use(t1=0.0 if number % PATIENCE == 0 else LOOK_S)
        usage.look(number * LOOK_S)
    assert idle == []


@pytest.mark.skipif(sys.platform != "linux", reason="it reads Linux's /proc")
def test_a_keeper_is_small(tmp_path: Path) -> None:
    with kept(tmp_path) as bot:
        bot.begun()
        with open(f"/proc/{bot.process.pid}/statm") as file:
            resident, shared = (int(each) * resource.getpagesize() for each in file.read().split()[1:3])
        assert resident - shared < 12 << 20
