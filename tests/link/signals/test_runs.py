"""Signal scripts and the bots that follow them, in a backtest and on paper, as a user starts them."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from datetime import UTC, datetime
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import pytest

from mlthon.cli import INTERRUPTED, main
from mlthon.engine.clock import SECOND

SCRIPTS = Path(__file__).parent / "scripts"
COMMAND = [sys.executable, "-m", "mlthon", "--config", "run.toml", "--json", "--report", "report"]
Rows = list[dict[str, str]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for file in SCRIPTS.iterdir():
        if file.is_file():
            shutil.copy(file, tmp_path)
    script = tmp_path / "rsi.py"
    # tabs and spaces mixed, as in two thirds of the scripts there are
    script.write_text(script.read_text("utf-8").replace("    said =", "\tsaid =").replace("    def", "\tdef"), "utf-8")
    return tmp_path


def table(folder: Path, name: str, strategy: str) -> Rows:
    with (folder / "report" / f"{name}.csv").open(newline="") as file:
        return [row for row in csv.DictReader(file) if row["strategy"] == strategy]


def seconds(text: str) -> float:
    return datetime.fromisoformat(text[:26]).replace(tzinfo=UTC).timestamp()


def targets(errors: str) -> list[tuple[float, float]]:
    """(seconds, size) of each signal of the RSI script that differed from the one before it."""
    rows = [json.loads(line[line.index("{") :]) for line in errors.splitlines() if '{"size"' in line]
    return [(row["time"] / 1000, row["size"]) for row in rows]


def check_position_bot(folder: Path, errors: str, end: float, within: float) -> None:
    """Each signal led to the position that it asks for, at once, and nothing else did."""
    said = targets(errors)
    assert len(said) >= 2
    orders = table(folder, "orders", "bot.follow")
    assert {row["type"] for row in orders} == {"Market"}
    held: list[float] = []
    fills = table(folder, "fills", "bot.follow")
    for (begun, size), (over, _) in pairwise([*said, (end, 0.0)]):
        inside = [row for row in fills if begun - 0.005 <= seconds(row["ts"]) < over - 0.005]
        if over - begun < 2 * within:
            continue
        assert inside, f"the signal {size} at {begun} led to no fill"
        assert seconds(inside[-1]["ts"]) - begun < within
        held.append(float(inside[-1]["position"]))
        assert held[-1] == size * 1000
    assert held


def check_maker(folder: Path) -> None:
    orders = table(folder, "orders", "bot.make")
    assert {row["exec_instr"] for row in orders} == {"PostOnly"}
    assert {row["side"] for row in orders} == {"Buy", "Sell"}
    fills = table(folder, "fills", "bot.make")
    assert {row["maker"] for row in fills} == {"1"}
    positions = [float(row["position"]) for row in fills]
    assert {min(positions), max(positions)} == {-500.0, 500.0}
    for row in orders:
        # the size that an order has after modifications counts what it has filled as well
        assert float(row["sent_qty"]) <= 1000


def test_in_a_backtest_bots_do_what_scripts_signal(folder: Path) -> None:
    done = subprocess.run(
        [*COMMAND, "--duration", "4m"], cwd=folder, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    assert (result["errors"], result["rejects"]) == (0, 0)
    check_position_bot(folder, done.stderr, 1_735_689_600 + 239, within=0.1)
    assert float(table(folder, "fills", "bot.follow")[-1]["position"]) == 0, "closed on stop"
    check_maker(folder)
    shown = [line for line in done.stderr.splitlines() if "ETHUSD" in line]
    assert "ETHUSD without market data" in shown.pop(0), "before it begins"
    assert len(shown) == 2, "once when it happens and once at the end"
    assert "no bot executes it" in shown[0]
    assert "had no bot to execute them; the last one of the market: mid=1" in shown[1]
    again = subprocess.run(
        [*COMMAND, "--duration", "4m"], cwd=folder, capture_output=True, text=True, timeout=100, check=False
    )
    assert json.loads(again.stdout)["digest"] == result["digest"]


@pytest.mark.slow
def test_on_paper_bots_do_what_scripts_signal_and_are_switched_off_meanwhile(folder: Path) -> None:
    process = subprocess.Popen(
        [*COMMAND, "--mode", "paper", "--speed", "40", "--duration", "2h"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stderr is not None
    lines: list[str] = []
    signals = 0
    for line in process.stderr:
        lines.append(line)
        signals += '{"size"' in line
        if signals == 3:
            assert main(["bots", "stop", "make", "--config", str(folder / "run.toml")]) == 0
            signals += 1
        if "bot.make: switched off" in line:
            process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    errors = "".join(lines)
    assert process.returncode == INTERRUPTED, errors
    result = json.loads(out)
    assert result["errors"] == 0, errors
    off = [line for line in lines if "bot.make: switched off" in line]
    assert len(off) == 1, errors
    check_maker(folder)
    orders = table(folder, "orders", "bot.make")
    assert all(row["state"] in ("filled", "cancelled") for row in orders)
    last = max(seconds(row["ts"]) for row in orders)
    follow = table(folder, "orders", "bot.follow")
    sides = [row["side"] for row in follow]
    assert len(sides) >= 3
    assert all(len(list(each)) <= 2 for _, each in groupby(sides)), "from one side to the other and back"
    assert float(table(folder, "fills", "bot.follow")[-1]["position"]) == 0, "closed on stop"
    assert last * SECOND > 0
