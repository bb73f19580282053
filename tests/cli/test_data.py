"""`data import` and `data info` on a real recording that is cut off in the middle."""

import gzip
import json
from itertools import islice
from pathlib import Path

import pytest

from mlthon.cli import USER_ERROR, main

CUT = 200_000
"""Bytes of the recording that are kept."""


@pytest.fixture(scope="module")
def recording(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    whole = shared / "exchange-data" / "binance-usdm" / "hftbacktest" / "ethusdt_20240718.gz"
    file = tmp_path_factory.mktemp("recording") / whole.name
    with whole.open("rb") as source:
        file.write_bytes(source.read(CUT))
    return file


def test_import_tells_what_is_lost_and_keeps_the_rest(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = tmp_path / "store"
    assert main(["data", "import", str(recording), "--to", str(store)]) == 0
    first = capsys.readouterr()
    assert first.err.startswith(f"left out: {recording}, line ")
    assert "byte" in first.err
    assert "3 written" in first.out
    assert main(["data", "import", str(recording), "--to", str(store)]) == 0
    assert "0 written, 3 there already" in capsys.readouterr().out

    assert main(["data", "info", str(store), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {stream["kind"] for stream in found["streams"]} == {"quote", "trade", "book"}
    rows = sum(stream["rows"] for stream in found["streams"])
    assert f"{rows:,} rows of 1 file;" in first.out
    assert main(["data", "info", str(store)]) == 0
    assert f"{rows:,} rows, " in capsys.readouterr().out

    assert main(["data", "import", str(store), "--to", str(tmp_path / "other")]) == USER_ERROR
    assert "cannot be imported into a store" in capsys.readouterr().err


def test_import_tells_where_a_book_lost_its_thread(
    shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = shared / "exchange-data" / "binance" / "hftbacktest" / "btcusdt_20240808.gz"
    with gzip.open(whole, "rt") as source:
        lines = list(islice(source, 3000))
    diffs = [number for number, line in enumerate(lines) if "@depth" in line]
    for name, dropped in (("whole", []), ("holed", diffs[100:101])):
        file = tmp_path / "binance" / name
        file.parent.mkdir(exist_ok=True)
        file.write_text("".join(line for number, line in enumerate(lines) if number not in dropped))
        assert main(["data", "import", str(file), "--to", str(tmp_path / "store" / name)]) == 0
        told = capsys.readouterr().err
        assert told == (
            "gap: bin:spot:btc-usdt, 2024-08-08 23:54:24: no book until the next snapshot\n" if dropped else ""
        )


def test_a_run_says_what_of_its_data_is_lost(recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["demo_strat", "--data", str(recording), "--set", "symbol=eth-usdt", "--json"]
    assert main(arguments) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["events"] > 0
    assert f"data not taken as it is: {recording}, line " in err
