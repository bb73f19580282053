"""However a run ends, nothing is left of its bots, whatever they are doing."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mlthon.config import load_config
from mlthon.engine.clock import SECOND
from mlthon.engine.session import Phase
from mlthon.link.bot.keeper import ENDS_WITHIN_S
from mlthon.link.host.assembly import LinkedRun, link_run
from mlthon.live.bots import BotProcesses
from mlthon.live.checks import run_trio
from mlthon.live.paced import go_paced

ACTS = {
    "ordinary": "self.held = []",
    "regex": "re.match('(a+)+$', 'a' * 60 + 'b')",
    "endless": "collections.deque(itertools.repeat(0), maxlen=0)",
    "deadlock": "held = threading.Lock(); held.acquire(); held.acquire()",
    "deaf": "signal.signal(signal.SIGTERM, signal.SIG_IGN); threading.Event().wait()",
}
BOT = """
from profitview import Link
import collections, itertools, os, re, signal, subprocess, threading

class Trading(Link):
    def on_start(self):
        with open({pids!r}, 'a') as file:
            for pid in os.getpid(), os.getppid(), subprocess.Popen(['sleep', '600']).pid:
                file.write(f'{{pid}}\\n')
        {act}

    def on_stop(self):
        open({farewell!r}, 'w').close()
"""
EACH = 3
"""Processes that a bot tells of: itself, its keeper, and one that it has started."""


def linked(folder: Path) -> LinkedRun:
    files = {}
    for name, act in ACTS.items():
        files[name] = folder / f"{name}.py"
        text = BOT.format(pids=str(folder / "pids"), farewell=str(folder / f"{name}.farewell"), act=act)
        files[name].write_text(text, "utf-8")
    config = load_config(None, ["engine.stop_ack_timeout_s=0.5"])
    venues, markets = ["Mine=bitmex"], ["bitmex:XBTUSD"]
    return link_run(config, files, None, None, venues=venues, subscribe=markets, mode="paper", duration=60 * SECOND)


def play(folder: Path, stop: Callable[[LinkedRun], bool] = lambda run: False) -> None:
    run = linked(folder)
    services = [BotProcesses(run.bots.hosts, run.bots.config.link)]
    run_trio(lambda: go_paced(run.run, 1.0, None, lambda: stop(run), None, services))


def told(folder: Path) -> list[int]:
    """The processes that the bots have told of; empty until all have."""
    path = folder / "pids"
    pids = [int(each) for each in path.read_text("ascii").split()] if path.exists() else []
    return pids if len(pids) == EACH * len(ACTS) else []


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.slow
def test_nothing_is_left_of_bots_when_their_engine_is_killed(tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; from tests.live.test_bot_ends import play; play(Path(sys.argv[1]))"
    engine = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stderr=subprocess.DEVNULL)
    try:
        over = time.monotonic() + 40
        while not (pids := told(tmp_path)):
            assert engine.poll() is None
            assert time.monotonic() < over, "the bots have not started"
            time.sleep(0.05)
        assert all(alive(each) for each in pids)
    finally:
        engine.send_signal(signal.SIGKILL)
        engine.wait()
    over = time.monotonic() + ENDS_WITHIN_S + 10
    while left := [each for each in pids if alive(each)]:
        assert time.monotonic() < over, f"{left} are left of {pids}"
        time.sleep(0.05)
    assert (tmp_path / "ordinary.farewell").exists()


def kill(run: LinkedRun) -> None:
    """What `ctl kill` does to strategies."""
    for session in run.run.assembly.engine.sessions.values():
        if session.phase is Phase.RUNNING:
            session.stop("killed")


@pytest.mark.parametrize("ending", ["stop", "kill"])
def test_nothing_is_left_of_bots_when_their_run_is_ended(tmp_path: Path, ending: str) -> None:
    pids: list[int] = []

    def stop(run: LinkedRun) -> bool:
        if not pids:
            pids.extend(told(tmp_path))
            if pids and ending == "kill":
                kill(run)
        return run.bots.over if ending == "kill" else bool(pids)

    play(tmp_path, stop)
    assert len(pids) == EACH * len(ACTS)
    assert not any(alive(each) for each in pids)
    assert (tmp_path / "ordinary.farewell").exists()
