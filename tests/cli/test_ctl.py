"""`ctl`: finds the run, shows what it says, does what it is told, and reaches the guard of a run that hangs."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from mlthon.cli import USER_ERROR, ctl, main
from mlthon.live.guard_process import MODULE
from mlthon.live.guard_report import GuardReport, report_path, write_report
from mlthon.ops.audit import AuditEntry, AuditLog
from mlthon.ops.contract import (
    GetOrders,
    GetPositions,
    GetProfit,
    GetStatus,
    Link,
    OrderRow,
    Position,
    Profit,
    RunCommand,
    StartStrategy,
    Status,
    StopStrategy,
    StrategyState,
    Told,
)
from mlthon.ops.place import Place, RunInfo, control_folder
from mlthon.ops.service import ControlService
from tests.ops.test_service import Engine

STATUS = Status(
    name="grid",
    mode="paper",
    started=0,
    now=3_725 * 10**9,
    events=12_345,
    orders=7,
    fills=3,
    errors=0,
    profit={"USDT": "-1.5"},
    strategies=[StrategyState("grid", "running", 2, 0, ["Bybit main"])],
    links=[Link("feed Bybit", "Live")],
    since_event_s=0.25,
)


class Run:
    """A run that lives in this process, its socket served by a thread."""

    def __init__(self, state: Path, name: str, guard: str | None = None) -> None:
        self.engine = Engine()
        self.place = Place(control_folder(state), name)
        self.place.tell(RunInfo(name, os.getpid(), "live" if guard else "paper", 1, guard))
        self._started = threading.Event()
        self._token: Any = None
        self._scope = trio.CancelScope()
        self._thread = threading.Thread(target=trio.run, args=(self._serve,))
        self._thread.start()
        self._started.wait(5)

    async def _serve(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        with self._scope:
            async with trio.open_nursery() as nursery:
                await nursery.start(ControlService(self.place.socket, self.engine.answer).serve, self.engine.host)
                self._started.set()

    def close(self) -> None:
        self._token.run_sync_soon(self._scope.cancel)
        self._thread.join(5)
        self.place.close()


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def run(state: Path) -> Iterator[Run]:
    found = Run(state, "grid")
    yield found
    found.close()


class Ctl:
    """The command line, and what it printed."""

    def __init__(self, state: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._state = state
        self._capsys = capsys
        self.status = 0
        self.error = ""

    def __call__(self, *words: str) -> str:
        self.status = main(["ctl", *words, "--state", str(self._state)])
        told = self._capsys.readouterr()
        self.error = told.err
        return told.out


@pytest.fixture
def command(state: Path, capsys: pytest.CaptureFixture[str]) -> Ctl:
    return Ctl(state, capsys)


def test_the_status_is_a_page_for_people_and_a_line_for_programs(run: Run, command: Ctl) -> None:
    run.engine.replies[GetStatus] = STATUS
    told = command("status")
    assert "grid (paper), for 1 h 2 min" in told
    assert "12,345 events, the last 0.2 s ago" in told
    assert "-1.5 USDT" in told
    assert "feed Bybit" in told
    assert json.loads(command("status", "--json"))["strategies"][0]["open_orders"] == 2


def test_tables_show_what_is_there_and_say_where_nothing_is(run: Run, command: Ctl) -> None:
    replies = run.engine.replies
    replies[GetOrders] = [
        OrderRow("grid", "Bybit", "main", "byt:perp:btc-usdt", "[red]1", "Buy", None, "0.010", "0.010", "New", 61.0)
    ]
    replies[GetPositions] = [Position("grid", "Bybit", "main", "byt:perp:btc-usdt", "-0.5", "65000", None)]
    replies[GetProfit] = [Profit("grid", "USDT", "1.25", None, "0.5", "1000")]
    orders = command("orders", "grid")
    assert "[red]1" in orders
    assert "1 min 1 s" in orders
    assert "market" in orders
    assert "not said" in command("positions")
    assert "not known" in command("profit") == command("pnl"), "as Telegram calls it"
    assert json.loads(command("orders", "--json"))[0]["price"] is None
    replies[GetOrders] = []
    assert command("orders") == "no open orders\n"


def test_what_is_told_reaches_the_run_and_its_answer_is_shown(run: Run, command: Ctl) -> None:
    assert command("stop", "grid", "for lunch") == "StopStrategy\n"
    assert json.loads(command("start", "grid", "--json")) == "StartStrategy"
    command("hook", "grid", "size", "0.5", "-1")
    command("cancel-all", "grid")
    asked = [each.what for each in run.engine.asked]
    assert asked[:3] == [
        StopStrategy("grid", "for lunch"),
        StartStrategy("grid", ""),
        RunCommand("grid", "size", ["0.5", "-1"]),
    ]
    assert "ctl" in run.engine.asked[0].who


def test_what_the_run_refuses_is_an_error(run: Run, command: Ctl) -> None:
    run.engine.replies[StopStrategy] = Told(1, None, "no strategy 'gird'; did you mean 'grid'?", "There are grid.")
    assert command("stop", "gird") == ""
    assert command.status == USER_ERROR
    assert "did you mean 'grid'?" in command.error
    assert "There are grid." in command.error


def test_which_run_is_meant_has_to_be_clear(run: Run, state: Path, command: Ctl) -> None:
    other = Run(state, "other")
    try:
        run.engine.replies[GetStatus] = STATUS
        command("status")
        assert "2 runs live: say which one" in command.error
        assert "other" in command.error
        assert "grid (paper)" in command("status", "--run", "grid")
        command("status", "--run", "gird")
        assert "did you mean 'grid'?" in command.error
    finally:
        other.close()


def test_without_a_run_it_says_where_it_looked(command: Ctl, state: Path) -> None:
    command("status")
    assert "no run lives" in command.error
    assert str(state) in command.error


def test_kill_asks_first(run: Run, command: Ctl) -> None:
    command("kill")
    assert "nothing was done" in command.error
    assert run.engine.asked == []
    assert command("kill", "--yes", "--wait", "0") == "Kill\n"


def test_kill_says_what_came_of_it(run: Run, command: Ctl) -> None:
    run.engine.replies[GetStatus] = STATUS
    assert command("kill", "--yes", "--wait", "0.1").splitlines() == [
        "Kill",
        "2 MAY STILL BE OPEN; what came of the rest is not known yet: look at the exchange itself",
    ]
    assert command.status == USER_ERROR
    closed = [msgspec.structs.replace(STATUS.strategies[0], open_orders=0)]
    run.engine.replies[GetStatus] = msgspec.structs.replace(STATUS, strategies=closed)
    assert command("kill", "--yes") == "Kill\nnothing is open any more.\n"
    assert command.status == 0
    assert json.loads(command("kill", "--yes", "--json")) == "Kill nothing is open any more."


def test_the_log_shows_who_had_what_done(state: Path, command: Ctl) -> None:
    assert command("log") == "nothing yet\n"
    log = AuditLog(control_folder(state) / "audit.db")
    log.write(AuditEntry(0, "grid", "anna[1] ctl anna", "StopStrategy", "grid for lunch", "grid is stopping"))
    log.close()
    assert "anna[1] ctl anna" in command("log")
    assert json.loads(command("log", "5", "--json"))[0]["outcome"] == "grid is stopping"


@pytest.fixture
def hanging(state: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Place, Path]]:
    """A run whose engine takes connections and never answers, and the file with its guard's id."""
    monkeypatch.setattr(ctl, "WAIT_S", 0.2)
    place = Place(control_folder(state), "grid")
    pid_file = state / "grid.guard.pid"
    place.tell(RunInfo("grid", os.getpid(), "live", 1, str(pid_file)))
    with socket.socket(socket.AF_UNIX) as deaf:
        deaf.bind(os.fspath(place.socket))
        deaf.listen(8)
        yield place, pid_file
    place.close()


def test_an_engine_that_hangs_is_said_to_and_its_guard_is_reached(hanging: tuple[Place, Path], command: Ctl) -> None:
    pid_file = hanging[1]
    command("status")
    assert "busy or hangs" in command.error
    assert "ctl kill" in command.error
    program = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGUSR1, lambda *_: sys.exit(7)); print(1, flush=True); time.sleep(30)"
    )
    with subprocess.Popen([sys.executable, "-c", program, MODULE], stdout=subprocess.PIPE) as guard:
        assert guard.stdout is not None
        guard.stdout.readline()
        pid_file.write_text(f"{guard.pid}\n")
        write_report(report_path(pid_file), GuardReport(time.time_ns() + 10**10, "told to", 3, 1, 0))
        told = command("kill", "--yes")
        assert "its guard" in told
        assert "3 orders were cancelled (1 were over already); nothing is open any more." in told
        assert command.status == 0
        assert guard.wait(10) == 7


def test_a_guard_that_is_gone_is_never_taken_for_another_process(hanging: tuple[Place, Path], command: Ctl) -> None:
    pid_file = hanging[1]
    with subprocess.Popen(["sleep", "30"]) as other:
        pid_file.write_text(f"{other.pid}\n")
        command("kill", "--yes")
        assert "no guard process lives" in command.error
        assert command.status == USER_ERROR
        time.sleep(0.05)
        assert other.poll() is None
        other.send_signal(signal.SIGKILL)
    pid_file.write_text("not a number")
    command("kill", "--yes")
    assert "no guard process lives" in command.error


def test_a_run_on_paper_can_be_asked_and_stopped(state: Path, command: Ctl) -> None:
    words = ["demo_strat", "--mode", "paper", "--duration", "60s", "-q", "--set", f"ops.state={state}"]
    with subprocess.Popen([sys.executable, "-m", "mlthon", *words], stdout=subprocess.PIPE, text=True) as process:
        until = time.monotonic() + 30
        while not command("status", "--json") and time.monotonic() < until:
            time.sleep(0.1)
        assert json.loads(command("status", "--json"))["strategies"][0]["name"] == "demo_strat"
        assert "mlthon_market_events_total" in _figures(state)
        assert command("stop", "demo_strat", "enough") == "demo_strat is stopping\n"
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    assert [each["action"] for each in json.loads(command("log", "--json"))] == ["StopStrategy"]
    assert list((state / "run").glob("*.sock")) == []


def _figures(state: Path) -> str:
    from mlthon.ops.client import ask_once
    from mlthon.ops.contract import GetFigures

    return str(ask_once(state / "run" / "demo_strat-paper.sock", GetFigures(), "test"))
