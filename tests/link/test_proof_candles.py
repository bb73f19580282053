"""Candles agree: those that roll (`candle_update`), those that are asked for (`fetch_candles`, `get_bars`, BitMEX's own
`trade/bucketed`), and the bars that BitMEX recorded."""

import gzip
import json
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.link.bots.kit import place, run

START = "2021-05-03T10:00:00"
MINUTES = 70
Candle = dict[str, Any]


def begin_of(row: Candle) -> int:
    """A recorded bar has the time of its end."""
    return round(datetime.fromisoformat(row["timestamp"]).timestamp() * 1000) - 60_000


@pytest.fixture(scope="module")
def recorded(shared: Path) -> dict[int, Candle]:
    """The recorded minutes, by their beginnings (ms), as a bot is told of them."""
    file = shared / "exchange-data" / "bitmex" / "codler-bitmex-data" / "XBTUSD-1m-2021-05.jsonl.gz"
    with gzip.open(file, "rt") as lines:
        rows = [json.loads(line) for line in lines]
    keys = ("open", "high", "low", "close", "volume")
    return {begin_of(row): {**{key: float(row[key]) for key in keys}, "time": begin_of(row)} for row in rows}


@pytest.fixture(scope="module")
def told(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("candles")
    data = shared / "exchange-data" / "bitmex" / "codler-bitmex-data" / "XBTUSD-1m-2021-05.jsonl.gz"
    options = ("--data", str(data), "--subscribe=bitmex:XBTUSD", f"--start={START}", f"--duration={MINUTES}m")
    return run(folder, place(folder, "candles"), [], "--venue=BitMEX=bitmex", *options).said[-1]


def joined(minutes: list[Candle]) -> Candle:
    return {
        "open": minutes[0]["open"],
        "high": max(each["high"] for each in minutes),
        "low": min(each["low"] for each in minutes),
        "close": minutes[-1]["close"],
        "volume": sum(each["volume"] for each in minutes),
        "time": minutes[0]["time"],
    }


def of_level(recorded: dict[int, Candle], time: int, minutes: int) -> Candle:
    return joined([recorded[time + minute * 60_000] for minute in range(minutes)])


def four_trades(recorded: dict[int, Candle], time: int, minutes: int) -> bool:
    """Whether each minute had the contracts for the four trades that a bar is replayed as: its high or low is not
    reached with fewer."""
    return all(recorded[time + minute * 60_000]["volume"] >= 4 for minute in range(minutes))


LEVELS = {"1m": 1, "5m": 5, "1h": 60}


@pytest.mark.parametrize("level", LEVELS)
def test_fetched_candles_are_the_recorded_ones(told: Any, recorded: dict[int, Candle], level: str) -> None:
    rows = told["fetched"][level]
    # the last one has just begun, and the last trade of the one before it is heard after the run
    *whole, _, _ = rows
    assert len(whole) >= {"1m": 998, "5m": 500, "1h": 50}[level]
    steps = {b["time"] - a["time"] for a, b in pairwise(rows)}
    assert steps == {LEVELS[level] * 60_000}
    # what lies before the recording is not known, nor then the first candle's open
    thin = [row["time"] for row in whole[1:] if not four_trades(recorded, row["time"], LEVELS[level])]
    assert len(thin) < 10
    for row in whole[1:]:
        if row["time"] not in thin:
            assert row == of_level(recorded, row["time"], LEVELS[level])


@pytest.mark.parametrize("level", ["1m", "5m"])
def test_candles_that_rolled_are_the_recorded_ones(told: Any, recorded: dict[int, Candle], level: str) -> None:
    closed = told["closed"][level]
    assert len(closed) >= MINUTES // LEVELS[level] - 1
    for row in closed:
        assert row == of_level(recorded, row["time"], LEVELS[level])


@pytest.mark.parametrize("level", LEVELS)
def test_bars_and_fetched_candles_are_the_same(told: Any, level: str) -> None:
    bars, rows = told["bars"][level], told["fetched"][level]
    assert len(bars) == 360
    asked = {row["time"]: row for row in rows}
    # bars are rolled by trades, and so may not know of the minute that has just begun
    both = [bar for bar in bars if bar["time"] in asked and bar["open"] == bar["open"]]
    assert len(both) >= {"1m": 359, "5m": 359, "1h": 50}[level]
    assert both[-1]["time"] >= rows[-2]["time"]
    assert both == [asked[bar["time"]] for bar in both]


def test_candles_since_a_time_begin_after_it(told: Any) -> None:
    rows = told["fetched"]["1m"]
    assert told["since"] == rows[101:]


def test_bitmexs_own_buckets_are_the_same_with_the_time_of_their_end(told: Any) -> None:
    rows = {row["time"]: row for row in told["fetched"]["1m"]}
    assert len(told["endpoint"]) == 50
    for bucket in told["endpoint"]:
        row = rows[begin_of(bucket)]
        assert [bucket[key] for key in ("open", "high", "low", "close", "volume")] == [
            row[key] for key in ("open", "high", "low", "close", "volume")
        ]
