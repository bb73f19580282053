"""The command line as a user meets it: what it prints where, and with which exit status it ends."""

import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlthon.cli import INTERRUPTED, USER_ERROR, main

ROOT = Path(__file__).resolve().parents[2]

QUIET = """
from mlthon.api.istrategy import IStrategy

class Quiet(IStrategy):
    def on_framework_connected(self, env):
        self.env = env
        env.login("quiet")

    def on_stop(self, params):
        print("on_stop was called", flush=True)
        self.env.send_stop_ack()
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working folder with some strategies; logging is put back as it was."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    before, handlers, level = set(sys.modules), logging.getLogger().handlers[:], logging.getLogger().level
    (tmp_path / "quiet_one.py").write_text(QUIET)
    (tmp_path / "leaver.py").write_text(QUIET.replace("        self.env = env", "        raise SystemExit(0)"))
    (tmp_path / "broken_one.py").write_text("def on_start(:\n")
    (tmp_path / "no_strategy.py").write_text("class Nothing: pass\n")
    (tmp_path / "wrong.toml").write_text("[engine]\nsed = 1\n")
    (tmp_path / "two.toml").write_text(
        "[strategies.left]\nstrategy = 'quiet_one'\n[strategies.right]\nstrategy = 'quiet_one'\n"
    )
    yield tmp_path
    logging.getLogger().handlers[:] = handlers
    logging.getLogger().setLevel(level)
    for name in set(sys.modules) - before:
        if str(tmp_path) in (getattr(sys.modules[name], "__file__", None) or ""):
            del sys.modules[name]


ERRORS = [
    ("quiet_one --synthetic --data x", "--data and --synthetic: a run is on one of them"),
    ("quiet_one --mode live --exchange bybit --synthetic", "--synthetic: not with live market data"),
    ("", "no strategy: name one"),
    ("quiet_won", "no such strategy: there is no module quiet_won; did you mean 'quiet_one'?"),
    ("nowhere.py", "no such strategy: there is no file nowhere.py"),
    ("quiet_one:Loud", "quiet_one has no class 'Loud'"),
    ("no_strategy", "no_strategy holds no strategy: no class in it derives from IStrategy"),
    ("leaver", "leaver.py:6: the strategy ended the program (sys.exit) in a callback"),
    ("no_strategy:Nothing", "the class does not derive from IStrategy"),
    ("broken_one.py", "broken_one.py:1: syntax error"),
    ("quiet_one --config nowhere.toml", "nowhere.toml: no such configuration file"),
    ("quiet_one --config wrong.toml", "wrong.toml: engine has no key 'sed'; did you mean 'seed'?"),
    ("quiet_one --config two.toml extra", "too many arguments: extra"),
    ("demo_strat --config two.toml", "'demo_strat' is none of the strategies of two.toml"),
    ("quiet_one --set nothing", "--set nothing: not of the form key=value"),
    ("quiet_one --set engine.seed=x", "--set engine.seed=x: engine.seed: needs a whole number"),
    ("--config two.toml --set qty=3", "--set qty=3: no strategy has this parameter"),
    ("--config two.toml --set lef.qty=3", "--set lef.qty=3: no strategy has this parameter; did you mean 'left'?"),
    ("--config two.toml --set params.qty=3", "Write --set NAME.KEY=VALUE, NAME being one of left, right."),
    ("quiet_one --data nowhere", "nowhere: no such file or folder"),
    ("quiet_one --data quiet_one.py", "quiet_one.py: nothing here can be read"),
    ("quiet_one --mode live", "which exchange?"),
    ("quiet_one --exchange bybit", "--exchange is for --mode live or paper"),
    ("quiet_one --mode paper --url testnet", "--url: nothing here is live"),
    ("quiet_one --mode live --exchange bibit", "--exchange bibit: there is no such exchange; did you mean 'Bybit'?"),
    ("quiet_one --mode live --exchange binance-usdm", "where is BinanceUsdm? A live run has to be told"),
    ("quiet_one --mode live --exchange binance-usdm --url main", "cost real money"),
    ("quiet_one --mode live --exchange binance-usdm --url mian", "has no environment 'mian'; did you mean 'main'?"),
    ("quiet_one --mode live --exchange binance-usdm --start 2024-01-01", "--start: not with live market data"),
    ("record --exchange bibit --instruments x --to s", "did you mean 'Bybit'?"),
    ("record --exchange bybit --instruments x --to s --kinds qoute", "--kinds qoute: not recorded here"),
    ("quiet_one --sed 1", "Unknown option: --sed. Did you mean --seed?"),
    ("quiet_one --seed x", "Invalid value for --seed"),
    ("quiet_one --seed 1.5", "Invalid value for --seed: '1.5' is no whole number"),
    ("quiet_one --data", "--data: no path"),
    ("quiet_one --seed -1", "--seed -1: below 0"),
    ("quiet_one --speed 2", "--speed is for --mode paper"),
    ("quiet_one --mode paper --speed 0", "--speed 0.0: not a number over 0"),
    ("quiet_one --mode paper --speed nan", "--speed nan: not a number over 0"),
    ("quiet_one --duration 1x", "--duration 1x: not a duration"),
    ("quiet_one --duration 0s", "--duration 0s: too short"),
    ("quiet_one --start yesterday", "--start yesterday: not a time"),
    ("quiet_one --end 1969-01-01", "--end 1969-01-01: out of range"),
    ("quiet_one --start 2025-01-02 --end 2025-01-01", "the end of the run is not after its start"),
    ("quiet_one --start 2025-01-02 --end 2025-01-02", "the end of the run is not after its start"),
    ("quiet_one --report quiet_one.py", "--report quiet_one.py: not a folder"),
    ("quiet_one --report quiet_one.py/out", "--report quiet_one.py/out: quiet_one.py/out: Not a directory"),
    ("quiet_one --set exchanges.Bybit.instruments=['nope']", "nope"),
    ("instruments Bibit", "no exchange 'Bibit'; did you mean 'Bybit'"),
    ("data imprt", 'Unknown command "imprt". Did you mean "import"?'),
    ("data import", "FILES"),
    ("data import quiet_one.py", "--to"),
    ("data import nowhere --to store", "nowhere: no such file or folder"),
    ("data import quiet_one.py --to quiet_one.py", "--to quiet_one.py: not a folder"),
    ("data info nowhere", "nowhere"),
    ("data info quiet_one.py", "quiet_one.py"),
]


@pytest.mark.parametrize(("arguments", "told"), ERRORS)
def test_what_the_user_can_mend_is_told_once_without_a_traceback(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: str, told: str
) -> None:
    assert main(arguments.split()) == USER_ERROR
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("mlthon: error: ")
    assert told in err
    assert "Traceback" not in err
    assert err.count("mlthon: error:") == 1


KEYS = """
strategy mode events orders acks rejects cancels fills volume fees pnl position errors elapsed_s events_per_s digest
"""


def test_json_is_one_line_and_nothing_else_even_when_the_strategy_prints(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["quiet_one.py", "--duration", "2s", "--json"]) == 0
    out, err = capsys.readouterr()
    line = json.loads(out)
    assert out.count("\n") == 1
    assert " ".join(line) == KEYS.strip()
    assert (line["strategy"], line["mode"], line["orders"]) == ("quiet_one", "backtest", 0)
    assert line["events"] > 0
    assert len(line["digest"]) == 64
    assert err == "on_stop was called\n"


def test_the_summary_says_what_was_done(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["quiet_one", "--duration", "1s", "--report", "out/report", "-q"]) == 0
    out, err = capsys.readouterr()
    assert "quiet_one, backtest" in out
    assert "no order was sent" in out
    assert err == ""
    assert sorted(path.name for path in (folder / "out" / "report").iterdir()) == [
        "equity.csv",
        "equity.parquet",
        "fills.csv",
        "fills.parquet",
        "orders.csv",
        "orders.parquet",
        "summary.html",
        "summary.json",
        "summary.txt",
    ]


@pytest.mark.parametrize(
    ("arguments", "name"),
    [("--config two.toml", "left, right"), ("right --config two.toml", "right"), ("quiet_one:Quiet", "Quiet")],
)
def test_which_strategies_are_run(folder: Path, capsys: pytest.CaptureFixture[str], arguments: str, name: str) -> None:
    assert main([*arguments.split(), "--duration", "1s", "-q"]) == 0
    assert f"{name}, backtest" in capsys.readouterr().out


def test_the_same_seed_gives_the_same_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    digests = []
    for seed in ("3", "3", "4"):
        assert main(["quiet_one", "--duration", "1s", "--json", "-q", "--seed", seed]) == 0
        digests.append(json.loads(capsys.readouterr().out.splitlines()[-1])["digest"])
    assert digests[0] == digests[1] != digests[2]


def test_a_synthetic_market_is_traded_whatever_data_are_configured(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "data.toml").write_text("[engine]\ndata = ['nowhere']\n")
    arguments = ["quiet_one", "--config", "data.toml", "--duration", "1s", "--json", "-q"]
    assert main(arguments) == USER_ERROR
    assert "nowhere" in capsys.readouterr().err
    assert main([*arguments, "--synthetic"]) == 0
    assert json.loads(capsys.readouterr().out)["events"] > 0


def test_instruments(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["instruments", "byt"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0].split() == ["id", "name", "symbol", "settles", "in", "tick", "lot", "minimum"]
    assert out[1].split() == ["30000000000", "byt:perp:btc-usd", "BTCUSD", "BTC", "0.5", "1", "1"]
    assert main(["instruments", "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {line["exchange"] for line in lines} >= {"Bybit", "Binance", "BinanceUsdm"}
    assert lines[0].keys() >= {"id", "name", "tick", "lot"}


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["--version"], ["data", "--help"]])
def test_help_and_version(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    assert main(arguments) == 0
    assert "mlthon" in capsys.readouterr().out


def start(folder: Path, *arguments: str) -> "subprocess.Popen[str]":
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "mlthon", *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=pipe, stderr=pipe, text=True)


def test_a_process_of_its_own_ends_with_status_2(folder: Path) -> None:
    process = start(folder, "quiet_won")
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (2, "")
    assert err.startswith("mlthon: error: no such strategy")


ANNOUNCES = QUIET.replace(
    "        env.login", '        import sys; print("connected", file=sys.stderr, flush=True)\n        env.login'
)


def interrupted(folder: Path, strategy: str, times: int) -> tuple[int, str, str]:
    """Run on paper, and send SIGINT so many times once the strategy is connected."""
    (folder / "talking.py").write_text(strategy)
    process = start(folder, "talking.py", "--mode", "paper", "--duration", "1h")
    assert process.stderr is not None
    before = ""
    while "connected" not in before:
        line = process.stderr.readline()
        assert line, before
        before += line
    for _ in range(times):
        time.sleep(0.4)
        process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, before + err


def test_ctrl_c_stops_the_strategy_properly(folder: Path) -> None:
    status, out, err = interrupted(folder, ANNOUNCES, 1)
    assert status == INTERRUPTED
    assert "on_stop was called" in out
    assert "stopped by Ctrl-C" in out
    assert "stopping the strategy; Ctrl-C again ends at once" in err
    assert "Traceback" not in err


def test_ctrl_c_twice_ends_at_once(folder: Path) -> None:
    """The strategy hangs in `on_stop`, so only the second one can end it."""
    hangs = ANNOUNCES.replace("        self.env.send_stop_ack()", "        import time; time.sleep(50)")
    began = time.monotonic()
    status, out, err = interrupted(folder, hangs, 2)
    assert status == INTERRUPTED
    assert time.monotonic() - began < 30
    assert "paper" not in out
    assert "Traceback" not in err
    assert "interrupted" in err


def test_a_reader_that_goes_away_is_no_fault(folder: Path) -> None:
    process = start(folder, "instruments")
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait(timeout=60) in (0, USER_ERROR)
    assert process.stderr is not None
    assert "Traceback" not in process.stderr.read()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_is_told_without_a_traceback(folder: Path) -> None:
    command = [sys.executable, "-m", "mlthon", "instruments"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            command, cwd=folder, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False
        )
    assert done.returncode == USER_ERROR
    assert done.stderr.startswith("mlthon: error: the output: No space left on device\n")
    assert "Traceback" not in done.stderr
