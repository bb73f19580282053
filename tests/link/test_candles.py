"""Bars: what TA-Lib takes, and how trades roll them, checked against a naive model and recorded BitMEX bars."""

import gzip
import json
import math
import random
import time as clock
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlthon.link.candles import BARS, Bars, Series
from mlthon.link.levels import LENGTHS, MINUTE, candle_bin

T0 = 1_678_320_000_000
"""2023-03-09 00:00 UTC."""
NAMES = ("open", "high", "low", "close", "volume")


def row(time: int, *values: float) -> dict[str, Any]:
    return dict(zip(NAMES, values, strict=True), time=time)


def columns(bars: Bars) -> tuple[np.ndarray[Any, Any], ...]:
    return bars.opens, bars.highs, bars.lows, bars.closes, bars.volumes, bars.times


def test_bars_are_float_arrays_of_360_with_nan_before_the_first_candle() -> None:
    bars = Series("bitmex", "XBTUSD", "1m").bars
    assert not bars
    series = Series("bitmex", "XBTUSD", "1m", [row(T0, 5, 7, 4, 6, 100), row(T0 + MINUTE, 6, 6, 5, 5, 10)])
    bars = series.bars
    assert bars
    assert len(bars) == BARS
    for column in columns(bars):
        assert column.dtype == np.float64
        assert column.shape == (BARS,)
    assert bars.closes[-3:].tolist()[1:] == [6.0, 5.0]
    assert np.isnan(bars.closes[:-2]).all()
    assert bars[-1] == {"time": T0 + MINUTE, "open": 6.0, "high": 6.0, "low": 5.0, "close": 5.0, "volume": 10.0}
    assert type(bars[-1]["time"]) is int
    assert bars[0]["time"] == T0 + MINUTE - 359 * MINUTE
    assert math.isnan(bars[0]["close"])
    assert [each["close"] for each in bars[-2:]] == [6.0, 5.0]
    with pytest.raises(IndexError):
        bars[360]


def test_talib_takes_the_bars_as_they_are() -> None:
    talib = pytest.importorskip("talib")
    rows = [row(T0 + n * MINUTE, *[100 + math.sin(n)] * 4, 1) for n in range(400)]
    series = Series("woo", "PERP_BTC_USDT", "1m", rows)
    assert 0 < talib.RSI(series.bars.closes, timeperiod=14)[-1] < 100
    series.trade(101.0, 1.0, T0 + 1000 * MINUTE)
    assert 0 < talib.RSI(series.bars.closes, timeperiod=14)[-1] <= 100
    short = Series("woo", "PERP_BTC_USDT", "1m", rows[:100])
    assert 0 < talib.RSI(short.bars.closes[-100:], timeperiod=14)[-1] < 100


def test_the_documented_promises_of_a_trade_inside_and_past_a_candle() -> None:
    series = Series("woo", "X", "1m", [row(T0, 5, 7, 4, 6, 100)])
    bars = series.bars
    series.trade(6.5, 2.0, T0 + 1000)
    assert bars[-1] == row(T0, 5, 7, 4, 6.5, 102)
    series.trade(8.0, 1.0, T0 + 2000)
    series.trade(3.0, 1.0, T0 + 59_999)
    assert bars[-1] == row(T0, 5, 8, 3, 3, 104)
    before = bars.closes
    series.trade(3.5, 5.0, T0 + 3 * MINUTE)
    assert bars[-1] == row(T0 + 3 * MINUTE, 3.5, 3.5, 3.5, 3.5, 5)
    assert bars[-2] == row(T0 + 2 * MINUTE, 3, 3, 3, 3, 0)
    assert bars[-3] == row(T0 + MINUTE, 3, 3, 3, 3, 0)
    assert before[-1] == 3.0
    assert bars.closes is not before


def test_a_candle_of_bitmex_opens_at_the_close_before_and_its_range_is_that_of_its_trades() -> None:
    series = Series("bitmex", "XBTUSD", "1m", [row(T0, 5, 7, 4, 6, 100), row(T0 + MINUTE, 6, 6, 6, 6, 0)])
    series.trade(8.0, 1.0, T0 + MINUTE + 5)
    assert series.bars[-1] == row(T0 + MINUTE, 6, 8, 8, 8, 1)
    series.trade(9.0, 1.0, T0 + 2 * MINUTE)
    series.trade(8.5, 1.0, T0 + 2 * MINUTE)
    assert series.bars[-1] == row(T0 + 2 * MINUTE, 8, 9, 8.5, 8.5, 2)


def test_a_trade_that_comes_late_counts_in_its_own_candle_but_closes_none() -> None:
    series = Series("woo", "X", "1m", [row(T0, 5, 7, 4, 6, 100), row(T0 + MINUTE, 6, 6, 6, 6, 1)])
    series.trade(9.0, 10.0, T0 + 30_000)
    assert series.bars[-2] == row(T0, 5, 9, 4, 6, 110)
    assert series.bars[-1] == row(T0 + MINUTE, 6, 6, 6, 6, 1)
    series.trade(1.0, 10.0, T0 - 400 * MINUTE)
    series.trade(1.0, 10.0, T0 - MINUTE)
    assert series.bars[-2] == row(T0, 5, 9, 4, 6, 110)


def test_a_silence_longer_than_the_window_costs_no_more_than_the_window() -> None:
    series = Series("woo", "X", "1m", [row(T0, 5, 7, 4, 6, 100)])
    began = clock.perf_counter()
    series.trade(7.0, 1.0, T0 + 10_000_000 * MINUTE)
    assert clock.perf_counter() - began < 0.5
    assert series.bars.closes.tolist() == [6.0] * 359 + [7.0]
    assert np.diff(series.bars.times).tolist() == [MINUTE] * 359


def test_holes_in_history_are_filled_and_rows_that_go_back_are_left_out() -> None:
    series = Series(
        "woo", "X", "1m", [row(T0, 1, 1, 1, 2, 1), row(T0, 9, 9, 9, 9, 9), row(T0 + 3 * MINUTE, 3, 3, 3, 3, 1)]
    )
    assert series.bars.closes[-4:].tolist() == [2, 2, 2, 3]
    assert series.bars.volumes[-4:].tolist() == [1, 0, 0, 1]


@pytest.mark.parametrize("level", list(LENGTHS))
def test_rolling_equals_a_naive_model(level: str) -> None:
    draw = random.Random(level)
    series, length = Series("woo", "X", level), LENGTHS[level]
    candles: list[dict[str, Any]] = []
    time = T0
    for _ in range(6000):
        time += draw.choice((0, 1, length // 3, length // 3, length, 4 * length))
        price, size = float(draw.randrange(90, 110)), float(draw.randrange(1, 9))
        start = candle_bin(time, level)
        while candles and candles[-1]["time"] + length < start:
            candles.append(row(candles[-1]["time"] + length, *[candles[-1]["close"]] * 4, 0.0))
        if not candles or candles[-1]["time"] < start:
            candles.append(row(start, price, price, price, price, 0.0))
        last = candles[-1]
        last.update(
            high=max(last["high"], price), low=min(last["low"], price), close=price, volume=last["volume"] + size
        )
        series.trade(price, size, time)
        assert series.bars[-1] == last
    assert len(candles) > 2 * (BARS + 1024)
    assert series.bars[:] == candles[-BARS:]


def test_the_arrays_a_bot_kept_from_before_do_not_change_when_buffers_are_renewed() -> None:
    series = Series("woo", "X", "1m")
    kept = []
    for n in range(5000):
        series.trade(float(n + 1), 1.0, T0 + n * MINUTE)
        if n % 97 == 0:
            kept.append((series.bars.closes, series.bars.closes.copy()))
    for view, copy in kept:
        np.testing.assert_array_equal(view, copy)


def test_rolled_bars_are_those_that_bitmex_recorded(shared: Path) -> None:
    """Each recorded minute, played as trades at its low, high and close, gives its candle back: opens included."""
    path = shared / "exchange-data/bitmex/codler-bitmex-data/XBTUSD-1m-2021-05.jsonl.gz"
    with gzip.open(path, "rt") as lines:
        recorded = [json.loads(next(lines)) for _ in range(3000)]
    rows = [
        row(round(datetime.fromisoformat(each["timestamp"]).timestamp() * 1000), *(float(each[name]) for name in NAMES))
        for each in recorded
    ]
    series = Series("bitmex", "XBTUSD", "1m", rows[:360])
    assert series.bars[:] == rows[:360]
    for each in rows[360:]:
        if each["volume"]:
            for price, size in ((each["low"], 0.25), (each["high"], 0.25), (each["close"], each["volume"] - 0.5)):
                series.trade(price, size, each["time"] + 100)
    assert series.bars[:] == rows[-BARS:]
