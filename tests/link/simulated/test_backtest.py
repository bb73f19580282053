"""Bots in a backtest, as a user starts them: each run is a command of its own, and short."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

BOTS = Path(__file__).parent / "bots"
MARKET = ("--venue", "BitMEX=bitmex", "--subscribe", "bitmex:XBTUSD")

pytestmark = pytest.mark.skipif(sys.version_info >= (3, 14), reason="threads are made of other things there")


def command(bot: str, *options: str) -> list[str]:
    return [sys.executable, "-m", "mlthon", str(BOTS / f"{bot}.py"), *MARKET, *options]


def run(bot: str, *options: str, status: int = 0, **variables: str) -> tuple[dict[str, Any], str]:
    """The line of `--json` (empty where there is none) and what stood on standard error."""
    done = subprocess.run(
        command(bot, "--json", *options), capture_output=True, text=True, timeout=100, env={**os.environ, **variables}
    )
    assert done.returncode == status, done.stderr[-3000:]
    return (json.loads(done.stdout) if done.stdout else {}), done.stderr


def said(errors: str) -> list[dict[str, Any]]:
    """The lines of JSON that a bot printed."""
    return [json.loads(line) for line in errors.splitlines() if line.startswith("{")]


def test_the_same_file_data_and_seed_give_the_same_digest_whatever_the_hash_seed() -> None:
    options = ("--duration", "8s", "--seed", "3")
    first, first_said = run("trades", *options, PYTHONHASHSEED="1")
    second, second_said = run("trades", *options, PYTHONHASHSEED="2")
    assert first["orders"] >= 3
    assert first["errors"] == 0
    assert first["digest"] == second["digest"]
    assert said(first_said) == said(second_said)
    other, _ = run("trades", "--duration", "8s", "--seed", "4")
    assert other["digest"] != first["digest"]


def test_calls_take_their_latency_of_virtual_time(tmp_path: Path) -> None:
    report = tmp_path / "report"
    latency = "exchanges.BitMEX.entry_latency.ms=30", "exchanges.BitMEX.response_latency.ms=20"
    result, errors = run("trades", "--duration", "4s", *(f"--set={each}" for each in latency), "--report", str(report))
    *orders, last = said(errors)
    assert last["balances"] == pytest.approx(50, abs=1)
    assert orders
    assert all(each["took"] == pytest.approx(50, abs=1) for each in orders)
    assert result["orders"] == len(orders)
    assert last["seen"]["trades"] > 0
    assert (report / "summary.json").exists()
    assert (report / "orders.csv").read_text().count("\n") == len(orders) + 1


def test_an_endless_constructor_with_timers_loops_and_schedules_runs_and_ends() -> None:
    result, errors = run("endless", "--duration", "20s")
    refused, last = said(errors)
    assert "--allow-network" in refused["refused"]
    counts = last["counts"]
    assert counts["looks"] == pytest.approx(11, abs=1)
    assert counts["timer"] == pytest.approx(5, abs=1)
    assert counts["loop"] == pytest.approx(6, abs=1)
    assert counts["cron"] == pytest.approx(7, abs=1)
    # a callback takes 0.3 s, and quotes are conflated meanwhile
    assert 50 <= counts["quotes"] <= 70
    assert "backwards" not in errors
    assert last["order"] == 1000.0
    assert result["orders"] == 1
    assert result["cancels"] >= 1


@pytest.mark.slow
def test_a_bot_that_does_what_no_bot_should_changes_no_digest() -> None:
    options = ("--duration", "10s")
    first, first_said = run("chaos", *options)
    second, second_said = run("chaos", *options)
    assert first["digest"] == second["digest"]
    assert said(first_said) == said(second_said)


@pytest.mark.slow
def test_a_bot_that_does_what_no_bot_should_does_not_stop_the_run() -> None:
    _, errors = run("chaos", "--duration", "10s")
    assert said(errors)[-1]["total"] > 300
    assert "deadlock" in errors
    assert errors.count("chaos.py:") >= 3
    assert "neither sleeps nor reads a clock" in errors
    assert "never" not in errors


class Hello(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"hello")

    def log_message(self, *args: Any) -> None:
        """Silent."""


def test_a_bot_that_is_allowed_the_network_reaches_it_and_time_waits_for_the_answer() -> None:
    server = HTTPServer(("127.0.0.1", 0), Hello)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        url = f"http://127.0.0.1:{server.server_port}"
        _, errors = run("calls_out", "--duration", "3s", "--allow-network", TEST_URL=url)
    finally:
        server.shutdown()
    (answer,) = said(errors)
    assert answer["plain"] == "hello"
    assert answer["loop"] is True
    assert answer["took"] < 0.1


def test_a_bot_may_end_its_run_and_leaves_no_order() -> None:
    result, errors = run("ends", "--duration", "1h")
    assert "stopped at 2025-01-01T00:00:03" in errors
    assert result["orders"] == 1
    assert (result["cancels"], result["rejects"]) == (1, 0)
    assert result["events"] < 20_000  # of an hour's 300,000


def test_a_bot_that_cannot_be_constructed_is_told_with_its_line() -> None:
    result, errors = run("broken", status=2)
    assert result == {}
    assert "broken.py:9" in errors
    assert "ZeroDivisionError" in errors


def test_ctrl_c_stops_the_bot_properly_and_prints_the_summary() -> None:
    process = subprocess.Popen(
        command("trades", "--duration", "20h", "--json"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("{"):  # it trades
            break
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert json.loads(out)["orders"] > 0
    assert "seen" in said(errors)[-1]


def test_a_second_ctrl_c_ends_at_once() -> None:
    process = subprocess.Popen(
        command("trades", "--duration", "20h", "--json"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("{"):
            break
    process.send_signal(signal.SIGINT)
    time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (("--speed", "2"), "--speed"),
        (("--seed", "-1"), "--seed -1"),
        (("--duration", "soon"), "--duration soon"),
        (("--subscribe", "bitmex:NOPE"), "NOPE"),
    ],
)
def test_options_that_cannot_be_are_refused(options: tuple[str, ...], problem: str) -> None:
    _, errors = run("trades", *options, status=2)
    assert problem in errors


RAISES = """
import threading
from profitview import Link

class Trading(Link):
    def on_start(self):
        thread = threading.Thread(target=lambda: 1 / 0, name="NAME-first")
        thread.start()
        thread.join()

    def on_stop(self):
        threading.Thread(target=lambda: [][1], name="NAME-last").start()
"""


def test_what_threads_of_several_bots_raise_is_told_of_the_bot_that_started_them(tmp_path: Path) -> None:
    settings = ["[venues.BitMEX]\nsrc = 'bitmex'\n[link]\nsubscribe = ['bitmex:XBTUSD']\n"]
    for name in ("one", "other"):
        (tmp_path / f"{name}.py").write_text(RAISES.replace("NAME", name))
        settings.append(f"[strategies.{name}]\nstrategy = '{name}.py'\n")
    (tmp_path / "run.toml").write_text("".join(settings))
    done = subprocess.run(
        [sys.executable, "-m", "mlthon", "--config", "run.toml", "--duration", "2s", "--json"],
        capture_output=True,
        text=True,
        timeout=100,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    for name in ("one", "other"):
        assert f"{name}: thread {name}-first raised ZeroDivisionError" in done.stderr
        assert f"{name}: thread {name}-last raised IndexError" in done.stderr
    assert done.stderr.count(" raised ") == 4


def test_a_bot_that_computes_for_longer_than_the_configured_patience_is_ended(tmp_path: Path) -> None:
    bot = tmp_path / "busy.py"
    bot.write_text(
        "from profitview import Link\nclass Trading(Link):\n    def on_start(self):\n        count = 0\n"
        "        while True:\n            count += 1\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "mlthon", str(bot), *MARKET, "--duration", "2s", "--set", "link.patience_s=1.5"],
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 2
    assert "computed for 1.5 s" in done.stderr
    assert "busy.py:" in done.stderr
