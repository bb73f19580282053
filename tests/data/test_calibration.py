"""The measure itself, on markets whose figures are known, and on the recordings."""

from pathlib import Path

import attrs
import numpy as np
import pytest

from mlthon.basics.catalogue import resolve
from mlthon.basics.defs import Exchange
from mlthon.data.calibration import TooLittle, calibrate, calibrate_source, main, taker_orders
from mlthon.data.rows import Columns, Kind, MemorySource, Stream
from mlthon.data.sources import open_sources
from mlthon.data.synthetic.recorded import RECORDED

SECOND = 10**9
FILES = {"btc-2023": "btcusdt_2023*", "btc-2024": "btcusdt_2024*", "eth-2024": "ethusdt_2024*"}


def columns(ts: np.ndarray, a: object, b: object, c: object, d: object) -> Columns:
    full = [np.broadcast_to(np.asarray(values, np.int64), ts.shape).copy() for values in (a, b, c, d)]
    return Columns(ts, ts, *full)


def steady() -> tuple[Columns, Columns]:
    """100 s: a quote every 0.1 s that changes its size; a buy and a sell in turn every 0.5 s; the bid goes up one tick
    for good in the middle, the ask half a second later."""
    ts = np.arange(1001, dtype=np.int64) * (SECOND // 10)
    bid = 1000 + (ts >= 50 * SECOND)
    ask = 1002 + (ts >= 50 * SECOND + SECOND // 2)
    quotes = columns(ts, bid, 5 + np.arange(1001) % 2, ask, 7)
    at = np.arange(201, dtype=np.int64) * (SECOND // 2)
    trades = columns(at, 1000, 4, 1 - 2 * (np.arange(201) % 2), np.arange(201))
    return quotes, trades


def test_figures_of_a_market_made_by_hand() -> None:
    figures = calibrate(*steady())
    assert figures.seconds == 100
    assert figures.spread_mean == pytest.approx((99.5 * 2 + 0.5 * 1) / 100)
    assert figures.spread_median == 2
    assert figures.spread_one_tick == pytest.approx(0.005)
    assert figures.touch_median == 6
    assert figures.quote_rate == pytest.approx(10, rel=0.01)
    assert figures.taker_rate == pytest.approx(2, rel=0.01)
    assert figures.print_rate == figures.taker_rate
    assert figures.taker_cv == pytest.approx(0, abs=1e-6)
    assert figures.taker_fano == pytest.approx(0, abs=0.02)
    assert (figures.size_mean, figures.size_median, figures.size_95) == (4, 4, 4)
    assert figures.sign_autocorrelation == pytest.approx(-1, abs=0.02)
    assert figures.move_rate == pytest.approx(0.02)
    # two seconds of a hundred have half a tick each
    assert figures.volatility_1s == pytest.approx(1e4 / 1001.5 * (2 * 0.5**2 / 99) ** 0.5, rel=0.01)


def test_prints_of_one_side_in_one_millisecond_are_one_taker_order() -> None:
    ts = np.array([5_000_000, 5_000_400, 5_900_000, 5_950_000, 7_000_000], np.int64)
    trades = columns(ts, 100, [1, 2, 3, 4, 5], [1, 1, -1, 1, 1], 0)
    at, side, size = taker_orders(trades)
    assert at.tolist() == [5_000_000, 5_000_000, 5_000_000, 7_000_000]
    assert side.tolist() == [1, -1, 1, 1]
    assert size.tolist() == [3, 3, 4, 5]


def test_markout_is_what_the_maker_loses() -> None:
    """After each buy the mid goes up by 2 ticks, and down by 2 after each sell, 0.1 s later."""
    at = (np.arange(40, dtype=np.int64) * 3 + 2) * SECOND
    side = 1 - 2 * (np.arange(40) % 2)
    ts = np.sort(np.concatenate((np.arange(0, 125, dtype=np.int64) * SECOND, at + SECOND // 10)))
    up = np.searchsorted(at + SECOND // 10, ts, side="right") % 2
    quotes = columns(ts, 10_000 + 2 * up, 1, 10_001 + 2 * up, 1)
    assert calibrate(quotes, columns(at, 10_000, 1, side, 0)).markout_1s == pytest.approx(2.0, rel=0.01)


def test_rows_out_of_order_are_sorted_by_exchange_time() -> None:
    quotes, trades = steady()
    mixed = Columns(*(values[::-1].copy() for values in quotes.arrays()))
    assert calibrate(mixed, trades) == calibrate(quotes, trades)


@pytest.mark.parametrize(("quotes", "trades"), [(0, 201), (50, 201), (1001, 5), (150, 201)])
def test_too_little_to_measure_is_said(quotes: int, trades: int) -> None:
    some_quotes, some_trades = steady()
    with pytest.raises(TooLittle, match="needed to measure"):
        calibrate(some_quotes[:quotes], some_trades[:trades])


def test_a_source_is_measured_by_instrument() -> None:
    instrument = resolve(Exchange.Bybit, "byt:perp:btc-usdt")
    quotes, trades = steady()
    source = MemorySource({Stream(instrument, Kind.QUOTE): quotes, Stream(instrument, Kind.TRADE): trades}, 97)
    assert calibrate_source(source, instrument) == calibrate(quotes, trades)
    with pytest.raises(TooLittle, match="0 quotes"):
        calibrate_source(source, resolve(Exchange.Bybit, "byt:perp:eth-usdt"))


@pytest.mark.parametrize("name", RECORDED)
def test_the_recorded_figures_are_what_the_recordings_measure(name: str, shared: Path) -> None:
    files = sorted((shared / "exchange-data/binance-usdm/hftbacktest").glob(FILES[name]))
    (source,), problems = open_sources(files)
    assert not problems
    measured = attrs.asdict(calibrate_source(source, source.instruments[0]))
    for figure, stated in attrs.asdict(RECORDED[name]).items():
        assert measured[figure] == pytest.approx(stated, rel=1e-3), figure


@pytest.mark.parametrize("paths", [[], ["no/such/file"]])
def test_the_command_says_what_is_wrong(paths: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(paths) == 2
    assert capsys.readouterr().err
