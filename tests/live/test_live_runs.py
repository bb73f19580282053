"""Live, paper and recording from the command line, against a local exchange over real sockets."""

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlthon.backtest.result import Result
from mlthon.data.rows import Kind, Stream
from mlthon.data.store import Store
from mlthon.engine.faces import RESET, SET_ASK
from mlthon.live.recorder import raw_messages
from mlthon.live.run import LiveResult
from tests.processes import COMMAND, local_exchange

BTC = "byt:perp:btc-usdt"


@pytest.fixture(scope="module")
def exchange() -> Iterator[str]:
    """The address of a local Bybit."""
    with local_exchange("bybit", "--instruments", BTC) as url:
        yield url


def start(folder: Path, *arguments: str) -> "subprocess.Popen[str]":
    pipe = subprocess.PIPE
    return subprocess.Popen([*COMMAND, *arguments], cwd=folder, stdout=pipe, stderr=pipe, text=True)


def done(process: "subprocess.Popen[str]", status: int = 0) -> dict[str, Any]:
    out, told = process.communicate(timeout=60)
    assert process.returncode == status, told
    line: dict[str, Any] = json.loads(out)
    return line


def live(folder: Path, url: str, *more: str) -> "subprocess.Popen[str]":
    journal = f"live.journal={folder / 'run.journal'}"
    arguments = ("--mode", "live", "--exchange", "bybit", "--url", url, "--set", journal, "--json")
    return start(folder, "demo_strat", *arguments, *more)


def test_live_paper_and_recording_at_once(exchange: str, tmp_path: Path) -> None:
    """Fills reconcile with the account to the last digit, and recorded books are what the frames say."""
    to = str(tmp_path / "store")
    run = live(tmp_path, exchange, "--duration", "5s")
    recording = start(
        tmp_path,
        "record",
        "--exchange",
        "bybit",
        "--instruments",
        BTC,
        "--url",
        exchange,
        "--to",
        to,
        "--duration",
        "4s",
    )
    paper = start(
        tmp_path,
        "demo_strat",
        "--mode",
        "paper",
        "--exchange",
        "bybit",
        "--url",
        exchange,
        "--duration",
        "4s",
        "--json",
    )
    result, on_paper = done(run), done(paper)
    _, told = recording.communicate(timeout=60)
    assert recording.returncode == 0, told
    assert (result["mode"], on_paper["mode"]) == ("live", "paper")
    assert result["orders"] > 0
    assert on_paper["orders"] > 0
    assert result["errors"] == on_paper["errors"] == 0
    assert result["open_orders"] == []
    for each in result["positions"]:
        assert sum(map(float, each["strategies"].values())) == pytest.approx(float(each["at_exchange"]))
    assert_books_are_as_heard(tmp_path / "store")
    verified = subprocess.run([*COMMAND, "journal", "verify", "run.journal"], cwd=tmp_path, check=False)
    assert verified.returncode == 0


def assert_books_are_as_heard(path: Path) -> None:
    """The book after all rows is the one that a naive reader makes of the raw messages."""
    store = Store(path)
    (instrument,) = store.instruments
    stored: tuple[dict[int, int], dict[int, int]] = ({}, {})
    for columns in store.chunks(Stream(instrument, Kind.BOOK)):
        for op, price, qty in zip(columns.a.tolist(), columns.b.tolist(), columns.c.tolist(), strict=True):
            if op == RESET:
                stored[0].clear()
                stored[1].clear()
            elif op <= SET_ASK:
                stored[op][price] = qty
    heard: tuple[dict[int, int], dict[int, int]] = ({}, {})
    (raw,) = (path / "raw" / "exchange=Bybit").iterdir()
    frames = [json.loads(each["data"]) for each in raw_messages(raw) if "data" in each]
    for frame in (each for each in frames if each.get("topic", "").startswith("orderbook.50.")):
        for side, key in enumerate("ba"):
            if frame["type"] == "snapshot":
                heard[side].clear()
            for price, qty in frame["data"][key]:
                heard[side][instrument.price_scale.steps(price)] = instrument.qty_scale.steps(qty)
    whole = [{price: qty for price, qty in side.items() if qty} for side in heard]
    assert whole[0]
    assert whole[1]
    assert [{price: qty for price, qty in side.items() if qty} for side in stored] == whole


def test_a_stop_by_signal_is_clean_and_quick(exchange: str, tmp_path: Path) -> None:
    run = live(tmp_path, exchange)
    assert run.stderr is not None
    while "limits:" not in (line := run.stderr.readline()):
        assert line, "it ended before it began"
    time.sleep(1.5)
    began = time.monotonic()
    run.send_signal(signal.SIGTERM)
    result = done(run, 130)
    assert time.monotonic() - began < 15  # what it takes by itself is tested where no other program has a part
    assert result["open_orders"] == []


def test_a_place_where_nobody_listens(tmp_path: Path) -> None:
    run = live(tmp_path, "http://127.0.0.1:9")
    _, told = run.communicate(timeout=60)
    assert run.returncode == 2
    assert "no answer when asked for its time" in told
    assert "Traceback" not in told


def test_wrong_keys(exchange: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLTHON_BYBIT_MAIN_KEY", "test-key")
    monkeypatch.setenv("MLTHON_BYBIT_MAIN_SECRET", "not-the-secret")
    run = live(tmp_path, exchange)
    _, told = run.communicate(timeout=60)
    assert run.returncode == 2
    assert "Bybit refused to tell account main" in told
    assert "not-the-secret" not in told


def test_a_result_tells_positions_beside_one_another() -> None:
    counts: dict[str, Any] = dict.fromkeys(("events", "orders", "acks", "rejects", "cancels", "fills", "errors"), 0)
    amounts: dict[str, Any] = {name: {} for name in ("volume", "fees", "pnl", "position")}
    told = Result(strategy="s", mode="live", elapsed_s=1.0, digest=None, **counts, **amounts)
    found = LiveResult(result=told, open_orders=("m1-7",))
    assert json.loads(found.to_json())["open_orders"] == ["m1-7"]
    assert "m1-7: not seen to end" in found.text()
