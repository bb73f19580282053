"""The guard against engines that hang or die, a journal that cannot be read and an exchange that is slow to believe."""

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from mlthon.basics.defs import OrderStatus
from mlthon.engine.clock import MS
from mlthon.errors import UserError
from mlthon.live import guard as guards
from mlthon.live.guard import Guard
from mlthon.live.guard_process import GuardedAccount, GuardProcess, GuardSpec
from mlthon.live.guard_report import read_report, report_path
from mlthon.live.heartbeat import Heartbeat, read_beat
from mlthon.live.journal_store import SqliteJournal
from tests.live.test_journal_store import entry, new, standing

ROOT = Path(__file__).parents[2]
SECRET = "hunter2-of-the-test"


class StubExchange:
    """Takes cancels; answers by `answers` (wire id -> what to say, first to last), else accepts."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.keys: set[str | None] = set()
        self.times: list[int] = []
        """How far ahead of this machine's clock (ms) each request was signed."""
        self.ahead_ms = 0
        self.tells_time = True
        self.answers: dict[str, list[dict[str, Any]]] = {}
        stub = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                wire_id = self.path.partition("id=")[2].partition("&")[0]
                if wire_id == "time":
                    self._answer({"time_ms": time.time_ns() // MS + stub.ahead_ms}, 200 if stub.tells_time else 503)
                    return
                stub.asked.append(wire_id)
                stub.keys.add(self.headers["X-Key"])
                stub.times.append(int(self.headers["X-Time"]) - time.time_ns() // MS)
                waiting = stub.answers.get(wire_id)
                self._answer(waiting.pop(0) if waiting else {"accepted": True}, 200)

            def _answer(self, said: dict[str, Any], status: int) -> None:
                body = json.dumps(said).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def wait_for(self, count: int, limit_s: float = 10.0) -> list[str]:
        until = time.monotonic() + limit_s
        while len(self.asked) < count and time.monotonic() < until:
            time.sleep(0.02)
        return sorted(self.asked)


@pytest.fixture
def exchange() -> Iterator[StubExchange]:
    stub = StubExchange()
    yield stub
    stub.server.shutdown()
    stub.server.server_close()


def spec(folder: Path, url: str, **changes: Any) -> GuardSpec:
    account = GuardedAccount(
        exchange="Bybit",
        account="main",
        environment="local",
        urls={"rest": url},
        real_money=False,
        key="key-of-the-test",
        secret=SECRET,
        module="tests.live.guard_stub",
        options=changes.pop("options", {}),
    )
    made: dict[str, Any] = {
        "journal": str(folder / "journal.db"),
        "heartbeat": str(folder / "heartbeat"),
        "log": str(folder / "guard.log"),
        "timeout_s": 0.4,
        "accounts": [account],
    }
    return GuardSpec(**made | changes)


def write_journal(folder: Path) -> SqliteJournal:
    """Two open orders of ours, one that is over, one that is somebody else's."""
    journal = SqliteJournal(folder / "journal.db", now=time.time_ns())
    for number in (1, 2, 3):
        journal.commit([new(f"mab3f1-{number}", created=time.time_ns())])
    journal.commit([entry("cancelled", "mab3f1-3", standing=standing(OrderStatus.Cancelled))])
    foreign = new("web-1")
    journal.commit([entry("foreign", "web-1", sent=foreign.sent, standing=foreign.standing)])
    return journal


ENGINE = """
import re, sys, time
from pathlib import Path
from tests.live.test_guard import GuardProcess, Heartbeat, spec, write_journal

folder, url, how = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
journal = write_journal(folder)
heartbeat = Heartbeat(folder / "heartbeat")
# where the heartbeat is not what is tested, a machine that is busy for a while must not count as one that hangs
timeout_s = 0.4 if how in ("sleep", "spin", "regex") else 60.0
guard = GuardProcess(spec(folder, url, timeout_s=timeout_s)).started()
for _ in range(40):
    heartbeat.beat()
    time.sleep(0.02)
print(guard.pid, flush=True)
if how == "sleep":
    time.sleep(60)
elif how == "spin":
    while True:
        pass
elif how == "regex":
    re.match("(a+)+$", "a" * 60 + "b")
elif how == "finish":
    guard.finish()
    journal.close()
elif how == "bye":
    status = guard.goodbye()
    journal.close()
    sys.exit(status)
else:
    while True:
        heartbeat.beat()
        time.sleep(0.02)
"""


def start(folder: Path, url: str, how: str) -> tuple["subprocess.Popen[str]", int]:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    engine = subprocess.Popen(
        [sys.executable, "-c", ENGINE, str(folder), url, how],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
        cwd=ROOT,
    )
    assert engine.stdout is not None
    return engine, int(engine.stdout.readline())


def ended(pid: int, limit_s: float = 10.0) -> bool:
    until = time.monotonic() + limit_s
    while time.monotonic() < until:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return True
        if state == "Z":
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize("how", ["sleep", "spin", "regex", "kill"])
def test_our_open_orders_and_no_others_are_cancelled_when_the_engine_hangs_or_dies(
    how: str, exchange: StubExchange, tmp_path: Path
) -> None:
    engine, guard_pid = start(tmp_path, exchange.url, how)
    try:
        if how == "kill":
            time.sleep(0.2)
            assert exchange.asked == []
            engine.send_signal(signal.SIGKILL)
        assert exchange.wait_for(2) == ["mab3f1-1", "mab3f1-2"]
    finally:
        engine.kill()
        engine.wait()
        assert engine.stdout is not None
        engine.stdout.close()
    assert ended(guard_pid)
    assert sorted(exchange.asked) == ["mab3f1-1", "mab3f1-2"]
    assert exchange.keys == {"key-of-the-test"}
    log = (tmp_path / "guard.log").read_text()
    assert ("NO HEARTBEAT" in log) is (how != "kill")
    assert "THE ENGINE IS GONE" in log
    assert SECRET not in log
    assert "key-of-the-test" not in log


def test_a_run_that_ends_in_order_keeps_its_orders(exchange: StubExchange, tmp_path: Path) -> None:
    engine, guard_pid = start(tmp_path, exchange.url, "bye")
    assert engine.wait(10) == 0
    assert engine.stdout is not None
    engine.stdout.close()
    assert ended(guard_pid)
    assert exchange.asked == []


def test_what_a_run_leaves_open_is_cancelled_after_it_for_as_long_as_it_takes(
    exchange: StubExchange, tmp_path: Path
) -> None:
    exchange.answers["mab3f1-1"] = [{"accepted": False, "reason": "too many requests"}]
    engine, guard_pid = start(tmp_path, exchange.url, "finish")
    assert engine.wait(10) == 0
    assert engine.stdout is not None
    engine.stdout.close()
    assert exchange.wait_for(3) == ["mab3f1-1", "mab3f1-1", "mab3f1-2"]
    assert ended(guard_pid)
    assert "LEFT OPEN AT THE END OF THE RUN: cancelling our open orders: 2" in (tmp_path / "guard.log").read_text()


def test_after_a_refusal_for_the_rate_the_whole_account_is_left_alone_for_as_long_as_it_says(
    exchange: StubExchange, tmp_path: Path
) -> None:
    exchange.answers["mab3f1-1"] = [{"limited": True, "reason": "too many", "retry_after_s": 1.2}]
    with write_journal(tmp_path):
        Heartbeat(tmp_path / "heartbeat").close()
        guard = Guard(spec(tmp_path, exchange.url))
        guard.finish()
        guard.turn()
        guard.turn()
        assert exchange.asked == ["mab3f1-1"]
        time.sleep(1.25)
        guard.turn()
    assert sorted(exchange.asked) == ["mab3f1-1", "mab3f1-1", "mab3f1-2"]
    assert guard.idle


def test_orders_of_a_later_run_with_the_same_journal_are_not_touched(exchange: StubExchange, tmp_path: Path) -> None:
    """The heartbeat is silent and the journal grows, but the guard has its list."""
    with write_journal(tmp_path) as journal:
        Heartbeat(tmp_path / "heartbeat").close()
        guard = Guard(spec(tmp_path, exchange.url, timeout_s=0.05))
        guard.finish()
        journal.commit([new("mab3f2-1", created=time.time_ns())])
        time.sleep(0.1)
        guard.turn()
        guard.turn()
    assert sorted(exchange.asked) == ["mab3f1-1", "mab3f1-2"]
    assert guard.idle


def test_commands_and_signals_cancel_and_no_secret_can_be_seen_from_outside(
    exchange: StubExchange, tmp_path: Path
) -> None:
    journal = write_journal(tmp_path)
    heartbeat = Heartbeat(tmp_path / "heartbeat")
    guard = GuardProcess(spec(tmp_path, exchange.url, timeout_s=60.0), os.environ | {"PYTHONPATH": str(ROOT)})
    assert guard.started().ready
    for name in ("cmdline", "environ"):
        assert SECRET.encode() not in Path(f"/proc/{guard.pid}/{name}").read_bytes()
    guard.cancel()
    assert exchange.wait_for(2) == ["mab3f1-1", "mab3f1-2"]
    journal.commit([new("mab3f1-9", created=time.time_ns())])
    os.kill(guard.pid, signal.SIGUSR1)
    assert exchange.wait_for(3) == ["mab3f1-1", "mab3f1-2", "mab3f1-9"]
    assert guard.alive
    os.kill(guard.pid, signal.SIGINT)
    assert guard.goodbye() == 0
    heartbeat.close()
    journal.close()


def test_a_guard_that_was_killed_is_not_ready_and_may_be_told_and_let_go(
    exchange: StubExchange, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_journal(tmp_path).close()
    guard = GuardProcess(spec(tmp_path, exchange.url), os.environ | {"PYTHONPATH": str(ROOT)})
    until = time.monotonic() + 20
    while not guard.ready and time.monotonic() < until:
        time.sleep(0.02)
    assert guard.ready
    os.kill(guard.pid, signal.SIGKILL)
    assert ended(guard.pid)
    assert not guard.ready
    guard.cancel()
    assert guard.goodbye(1.0) == -signal.SIGKILL
    assert "is gone" in caplog.text


def test_a_guard_that_cannot_guard_does_not_start(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    wrong = spec(tmp_path, "http://127.0.0.1:1")
    wrong.accounts[0].module = "tests.live.no_such_module"
    with pytest.raises(UserError, match="guard process does not start"):
        GuardProcess(wrong, os.environ | {"PYTHONPATH": str(ROOT)}).started()
    assert "no_such_module" in capfd.readouterr().err


# -- in this process -----------------------------------------------------------------------------------------------


@pytest.fixture
def watched(exchange: StubExchange, tmp_path: Path) -> Iterator[Guard]:
    journal = write_journal(tmp_path)
    heartbeat = Heartbeat(tmp_path / "heartbeat")
    yield Guard(spec(tmp_path, exchange.url, timeout_s=30.0))
    heartbeat.close()
    journal.close()


def test_a_living_engine_is_left_alone(watched: Guard, exchange: StubExchange) -> None:
    watched.turn()
    assert (exchange.asked, watched.idle) == ([], True)


def test_what_is_refused_or_not_understood_is_tried_again(
    watched: Guard, exchange: StubExchange, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(guards, "RETRY_S", 0.0)
    exchange.answers["mab3f1-1"] = [{"reason": "busy"}, {"unknown": True}, {"nonsense": 1}]
    watched.fire("a test")
    for _ in range(4):
        watched.turn()
    assert watched.idle
    assert exchange.asked.count("mab3f1-1") == 4
    assert exchange.asked.count("mab3f1-2") == 1
    assert "NOT cancelled: refused: busy" in caplog.text


def test_after_a_refusal_the_exchanges_clock_is_asked_for(
    watched: Guard, exchange: StubExchange, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A machine whose clock is set, or goes wrong slowly, while a run goes on for days."""
    monkeypatch.setattr(guards, "RETRY_S", 0.0)
    exchange.ahead_ms = 60_000
    exchange.answers["mab3f1-1"] = [{"reason": "invalid timestamp"}] * 2
    exchange.tells_time = False
    watched.fire("a test")
    watched.turn()
    assert "its time is not known: Refused" in caplog.text
    exchange.tells_time = True
    watched.turn()
    watched.turn()
    assert watched.idle
    first, *_, last = exchange.times
    assert first < 30_000
    assert abs(last - 60_000) < 30_000
    assert "its clock is +" in caplog.text


def test_a_limit_is_waited_out(watched: Guard, exchange: StubExchange) -> None:
    exchange.answers["mab3f1-1"] = [{"limited": True, "retry_after_s": 60.0}]
    watched.fire("a test")
    watched.turn()
    watched.turn()
    assert exchange.asked.count("mab3f1-1") == 1
    assert not watched.idle


def test_an_order_that_is_not_there_is_believed_only_when_it_can_no_longer_arrive(
    watched: Guard, exchange: StubExchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guards, "RETRY_S", 0.0)
    exchange.answers["mab3f1-1"] = [{"missing": True}] * 3
    watched.fire("a test")
    watched.turn()
    assert not watched.idle
    real = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: real() + 11 * 10**9)
    watched.turn()
    assert watched.idle
    assert exchange.asked.count("mab3f1-1") == 2


def test_what_the_engine_itself_ends_meanwhile_is_not_asked_for_again(
    exchange: StubExchange, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A kill of an engine that lives: its strategy cancels its order too, and whoever comes second finds none."""
    journal = write_journal(tmp_path)
    heartbeat = Heartbeat(tmp_path / "heartbeat")
    guard = Guard(spec(tmp_path, exchange.url, timeout_s=30.0))
    exchange.answers["mab3f1-1"] = [{"missing": True}] * 3
    guard.fire("a test")
    guard.turn()
    assert not guard.idle
    journal.commit([entry("cancelled", "mab3f1-1", standing=standing(OrderStatus.Cancelled))])
    guard.turn()
    assert guard.idle
    assert exchange.asked.count("mab3f1-1") == 1
    told = read_report(report_path(tmp_path / "guard.log"), 0)
    assert told is not None
    assert (told.cancelled, told.gone, told.left) == (1, 1, 0)
    assert "order mab3f1-1 is over by the journal" in caplog.text
    heartbeat.close()
    journal.close()


def test_ids_known_before_are_used_when_the_journal_cannot_be_read(
    watched: Guard, exchange: StubExchange, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    watched.turn()

    def unreadable(*_: Any) -> Any:
        raise UserError("the disk is gone")

    assert watched._orders._journal is not None
    watched._orders._journal.rows = unreadable  # type: ignore[method-assign]
    (tmp_path / "journal.db").rename(tmp_path / "elsewhere.db")
    with caplog.at_level(logging.WARNING, "mlthon.guard"):
        watched.fire("a test")
        watched.turn()
        watched.turn()
    assert sorted(exchange.asked) == ["mab3f1-1", "mab3f1-2"]
    assert "THE JOURNAL CANNOT BE READ, 2 orders known from before are used: the disk is gone" in caplog.text
    (tmp_path / "elsewhere.db").rename(tmp_path / "journal.db")
    watched.turn()
    assert "the journal can be read again" in caplog.text


def test_a_heartbeat_that_cannot_be_read_counts_as_none(
    watched: Guard, exchange: StubExchange, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "heartbeat").write_bytes(b"nonsense")
    watched.turn()
    assert exchange.asked == []
    watched.spec.timeout_s = 0.0
    watched.turn()
    assert sorted(exchange.asked) == ["mab3f1-1", "mab3f1-2"]
    assert "is no heartbeat file" in caplog.text


def test_an_engine_that_comes_back_is_watched_on(
    watched: Guard, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    watched.spec.timeout_s = 0.0
    watched.turn()
    watched.spec.timeout_s = 30.0
    watched.turn()
    assert "the engine is back" in caplog.text


def test_a_gateway_over_websockets_alone_is_told(
    exchange: StubExchange, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_journal(tmp_path).close()
    guard = Guard(spec(tmp_path, exchange.url, options={"websocket": True}))
    guard.fire("a test")
    guard.turn()
    assert "the gateway wants to send it over a websocket" in caplog.text
    assert not guard.idle


def test_an_exchange_that_does_not_answer_is_told_without_its_address(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_journal(tmp_path).close()
    guard = Guard(spec(tmp_path, "http://127.0.0.1:9"))
    guard.fire("a test")
    guard.turn()
    assert "no answer: ConnectError" in caplog.text
    assert "id=mab3f1" not in caplog.text


def test_beats_tell_whose_they_are_and_count(tmp_path: Path) -> None:
    heartbeat = Heartbeat(tmp_path / "beat")
    first = read_beat(tmp_path / "beat")
    heartbeat.beat()
    second = read_beat(tmp_path / "beat")
    heartbeat.close()
    assert (first.pid, first.count, second.count) == (os.getpid(), 1, 2)
    assert second.at >= first.at


def test_the_keys_are_in_no_repr(tmp_path: Path) -> None:
    assert SECRET not in repr(spec(tmp_path, "http://x"))
