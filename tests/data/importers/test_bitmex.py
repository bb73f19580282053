"""BitMEX bars as ticks."""

import gzip
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlthon.basics.defs import Exchange
from mlthon.data.importers.bitmex import MINUTE, Bar, MinuteBars, _decode, _instrument
from mlthon.data.recordings import Recording
from mlthon.data.rows import Columns, Kind, RowLists, Stream
from mlthon.data.sources import open_recordings
from tests.data.made import write

END = 1_559_347_260_000_000_000
"""2019-06-01T00:01."""
SECOND = 10**9
INSTRUMENT = _instrument("XBTUSD")


def text(minute: int = 1, **changes: object) -> bytes:
    bar: dict[str, object] = {"timestamp": f"2019-06-01T00:{minute:02}:00.000Z", "symbol": "XBTUSD", "open": 8546}
    bar |= {"high": 8546.5, "low": 8543.5, "close": 8544, "trades": 705, "volume": 103, "vwap": 1, "lastSize": 1}
    return json.dumps(bar | changes).encode()


def made(*bars: Bar) -> dict[Kind, Columns]:
    rows = RowLists()
    ticks = MinuteBars(INSTRUMENT, rows)
    for bar in bars:
        ticks.bar(bar)
    return rows.take()


def test_the_lot_of_the_time() -> None:
    assert INSTRUMENT.exchange is Exchange.BitMEX
    assert INSTRUMENT.qty_scale.step.to_str() == "1"
    assert INSTRUMENT.instrument_id == 7 * 10**10
    assert _instrument("ETHUSD").symbol == "ETHUSD"


def test_a_falling_bar_goes_up_first() -> None:
    rows = made(_decode(text()))
    trades, quotes = rows[Kind.TRADE], rows[Kind.QUOTE]
    times = [END - MINUTE, END - MINUTE + 20 * SECOND, END - MINUTE + 40 * SECOND, END - 10**6]
    assert trades.exch_ts.tolist() == times
    assert trades.recv_ts.tolist() == times
    assert trades.a.tolist() == [17092, 17093, 17087, 17088]
    assert trades.b.tolist() == [25, 25, 25, 28]
    assert trades.c.tolist() == [1, 1, -1, 1]
    assert quotes.exch_ts.tolist() == times
    assert quotes.a.tolist() == [17091, 17092, 17087, 17087]
    assert quotes.c.tolist() == [17092, 17093, 17088, 17088]
    assert quotes.b.tolist() == quotes.d.tolist() == [25, 25, 25, 28]


def test_a_rising_bar_goes_down_first() -> None:
    trades = made(_decode(text(close=8546.5)))[Kind.TRADE]
    assert trades.a.tolist() == [17092, 17087, 17093, 17093]
    assert trades.c.tolist() == [1, -1, 1, 1]


def test_an_open_outside_the_bar_did_not_trade() -> None:
    assert made(_decode(text(open=9000)))[Kind.TRADE].a.tolist() == [17093, 17093, 17087, 17088]


def test_a_bar_without_trades_and_one_without_prices() -> None:
    flat = text(2, open=8544, high=8544, low=8544, close=8544, volume=0)
    rows = made(_decode(text(1, volume=2)), _decode(flat), _decode(text(3, open=None, close=None)))
    assert rows[Kind.TRADE].b.tolist() == [2]
    assert len(rows[Kind.QUOTE]) == 8
    assert rows[Kind.QUOTE].b.min() == 1


@given(st.lists(st.integers(1, 100_000), min_size=4, max_size=4), st.integers(0, 10**9))
def test_volume_adds_up_and_both_extremes_are_touched(half_points: list[int], volume: int) -> None:
    low, *inner, high = sorted(half_points)
    prices = {"open": inner[0] / 2, "close": inner[1] / 2, "high": high / 2, "low": low / 2}
    rows = made(_decode(text(volume=volume, **prices)))
    quotes = rows[Kind.QUOTE]
    assert (quotes.a < quotes.c).all()
    trades = rows.get(Kind.TRADE, Columns.empty())
    assert int(trades.b.sum()) == volume
    if volume >= 4:
        assert (int(trades.a.min()), int(trades.a.max())) == (low, high)
    assert (np.diff(quotes.exch_ts) > 0).all()


@pytest.mark.parametrize(
    ("bad", "what"),
    [
        (text(2, symbol="ETHUSD"), "a bar of ETHUSD in a file of XBTUSD"),
        (text(2, high=8543), "contradicts itself"),
        (text(2, low=8545), "contradicts itself"),
        (text(2, close=8544.3), "8544.3 is not a multiple of 0.5"),
        (text(2, volume=1.5), "1.5 is not a multiple of 1"),
        (text(1), "does not come after the one before"),
        (text(2)[:-5], "truncated"),
        (b"{}", "missing required field"),
    ],
)
def test_bad_bars_are_reported_and_the_rest_is_read(tmp_path: Path, bad: bytes, what: str) -> None:
    path = write(tmp_path / "bars.jsonl", [text(1), bad, text(3)])
    recordings, _ = open_recordings([path])
    trades = Columns.concat(list(recordings[0].chunks(Stream(INSTRUMENT, Kind.TRADE))))
    assert len(trades) == 8
    assert [(problem.line, problem.byte) for problem in recordings[0].problems] == [(2, len(text(1)) + 1)]
    assert what in recordings[0].problems[0].what


def test_reference_data(shared: Path) -> None:
    """Volume is that of the bars, to the contract; `open` is the close before in every bar but the first."""
    path = shared / "exchange-data" / "bitmex" / "codler-bitmex-data" / "XBTUSD-1m-2019-06.jsonl.gz"
    bars = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
    recordings, problems = open_recordings([path])
    recording: Recording = recordings[0]
    trades = Columns.concat(list(recording.chunks(Stream(recording.instrument, Kind.TRADE))))
    assert not problems
    assert not (recording.problems)
    assert int(trades.b.sum()) == sum(bar["volume"] for bar in bars)
    assert all(bar["open"] == before["close"] for before, bar in itertools.pairwise(bars))
    assert int(trades.a.max()) == max(bar["high"] for bar in bars) * 2
    assert int(trades.a.min()) == min(bar["low"] for bar in bars) * 2
