"""A live run on a local exchange, operated from outside: asked, commanded, measured, and killed while it hangs."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlthon.errors import UserError
from mlthon.ops.client import NoAnswer, ask_once
from mlthon.ops.contract import GetFigures, GetOrders, GetStatus, RunCommand, Status
from mlthon.ops.place import living_runs
from tests.live.test_live_runs import BTC, COMMAND, exchange
from tests.ops.prometheus import families, faults

__all__ = ["exchange"]

STRATEGY = f'''
import time
from mlthon.api.istrategy import IStrategy
from mlthon.basics.defs import Exchange, Side


class Quiet(IStrategy):
    """One order far from the market, and a command that never ends."""

    def __init__(self, params=None):
        pass

    def on_framework_connected(self, env):
        self.env = env
        env.login("quiet")

    def on_start(self, params):
        self.env.add_cmd_hook("hang", lambda words: time.sleep(120))
        self.env.add_cmd_hook("buy", self.buy)
        self.env.request_execution_connection(Exchange.Bybit, ["{BTC}"])
        self.env.publish_telegram("started")

    def buy(self, words):
        self.env.send_new_order(None, Exchange.Bybit, "{BTC}", Side.Buy, words[0], "0.01")

    def on_stop(self, params):
        self.env.send_stop_ack()
'''


class Live:
    """A live run of `STRATEGY`."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        (folder / "quiet.py").write_text(STRATEGY, "utf-8")
        words = ["quiet.py", "--mode", "live", "--exchange", "bybit", "--url", url, "--duration", "90s", "-q"]
        settings = [f"live.journal={folder / 'run.journal'}", f"ops.state={folder}", "live.heartbeat_s=60"]
        more = [word for each in settings for word in ("--set", each)]
        self.process = subprocess.Popen([*COMMAND, *words, *more], cwd=folder, start_new_session=True)

    def ask(self, what: Any, timeout_s: float = 3.0) -> Any:
        return ask_once(self.folder / "run" / "quiet.sock", what, "test", timeout_s)

    def until(self, condition: Any, seconds: float = 30) -> None:
        over = time.monotonic() + seconds
        while time.monotonic() < over:
            try:
                if condition():
                    return
            except UserError:
                assert self.process.poll() is None, "the run has ended"
            time.sleep(0.1)
        raise AssertionError("it did not come about")

    def ready(self) -> bool:
        status: Status = self.ask(GetStatus())
        return status.links[0].status == "ReadyToTrade" and status.strategies[0].phase == "running"


@pytest.fixture
def run(exchange: str, tmp_path: Path) -> Iterator[Live]:
    found = Live(tmp_path, exchange)
    yield found
    if found.process.poll() is None:
        os.killpg(found.process.pid, signal.SIGKILL)
    found.process.wait()


@pytest.mark.slow
def test_a_live_run_is_asked_and_killed_while_it_hangs(run: Live) -> None:
    run.until(run.ready)
    run.ask(RunCommand("quiet", "buy", ["1000"]))
    run.until(lambda: [each.state for each in run.ask(GetOrders())] == ["New"])
    figures = run.ask(GetFigures())
    assert 'mlthon_tick_to_order_seconds_count{exchange="Bybit",account="main"} 1' in figures
    assert 'mlthon_order_round_trip_seconds_count{exchange="Bybit",account="main"} 1' in figures
    assert 'mlthon_reconnects_total{exchange="Bybit",use="orders"} 0' in figures
    assert faults(figures) == []
    wanted = "feed_latency batch order_round_trip tick_to_order"
    assert {f"mlthon_{each}_seconds" for each in wanted.split()} <= set(families(figures))
    wanted = (
        "market_events order_flow callback_errors book_gaps reconnects journal_waiting queued_calls requests_waiting"
    )
    assert {f"mlthon_{each}" for each in wanted.split()} <= set(families(figures))
    info = living_runs(run.folder / "run")["quiet"]
    assert info.guard == f"{run.folder / 'run.journal'}.guard.pid"
    with pytest.raises(NoAnswer):
        run.ask(RunCommand("quiet", "hang"), 0.5)
    assert "busy or hangs" in ctl(run.folder, "status").stderr
    killed = ctl(run.folder, "kill", "--yes")
    assert "its guard" in killed.stdout, killed.stderr
    assert "1 order was cancelled; nothing is open any more." in killed.stdout
    log = Path(f"{run.folder / 'run.journal'}.guard.log")
    run.until(lambda: "cancelled" in log.read_text("utf-8"), 20)
    assert run.process.poll() is None


def ctl(state: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    command = [*COMMAND, "ctl", *words, "--state", str(state)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
