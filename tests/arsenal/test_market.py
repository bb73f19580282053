"""The candles that strategies are given."""

from pathlib import Path

import numpy as np
import pytest

from mlthon.arsenal.market import iso
from mlthon.config import ArsenalConfig
from mlthon.data.rows import Kind, Stream
from mlthon.data.sources import open_sources
from tests.arsenal.kit import BTC, FREE, HEAD, MINUTE, START, minutes, play


def test_candles_are_the_closed_ones_newest_first_and_each_call_has_its_own(tmp_path: Path) -> None:
    code = (
        HEAD
        + """
    def trade(self, candles):
        exchange, pair, base, quote = CA.get_exchange_pair()
        rows = candles[exchange][pair]
        self.seen.append([row['close'] for row in rows])
        self.last = rows[0]
        rows[0]['close'] = 0
        del rows[1:]
    """
    )
    played = play(code, minutes([100.0, 101.0, 102.5, 103.0]), tmp_path, exchanges=FREE)
    user = played.trader.user
    assert user.seen == [[100.0], [101.0, 100.0], [102.5, 101.0, 100.0]]
    flat = {"open": 102.5, "high": 102.5, "low": 102.5, "volume": 1.0}
    assert user.last == {**flat, "close": 0, "time": "2025-01-01T00:02:00.000Z"}


def test_at_most_500_candles_and_values_as_text(tmp_path: Path) -> None:
    code = (
        HEAD
        + """
    def trade(self, candles):
        self.rows = candles['Bybit']['BTC-USDT']
    """
    )
    arsenal = ArsenalConfig(candle_values="text")
    played = play(code, minutes(100.0 + n % 7 for n in range(505)), tmp_path, exchanges=FREE, arsenal=arsenal)
    assert len(played.trader.user.rows) == 500
    assert played.trader.user.rows[0]["close"] == str(100.0 + 503 % 7)


def test_a_candle_whose_beginning_was_missed_is_none(tmp_path: Path) -> None:
    code = (
        HEAD.replace("60", "5 * 60")
        + """
    def trade(self, candles):
        self.seen.append([row['time'] for row in candles['Bybit']['BTC-USDT']])
    """
    )
    played = play(code, minutes([100.0] * 17), tmp_path, exchanges=FREE, start=START + 120 * 10**9)
    assert played.trader.user.seen[-1] == [iso(START + n * 300 * 10**9) for n in (2, 1, 0)]  # with what was before
    tape = minutes([100.0] * 17)
    for rows in tape.rows.values():
        del rows[:2]
    played = play(code, tape, tmp_path, exchanges=FREE)
    assert played.trader.user.seen[-1] == [iso(START + n * 300 * 10**9) for n in (2, 1)]


def test_history_is_there_in_init_alone(tmp_path: Path) -> None:
    code = (
        HEAD
        + """
        history = CA.get_history_candles(3, 120)
        self.history = [row['close'] for row in history['Bybit']['BTC-USDT']]
        self.newest = CA.get_history_candles(2, 60, True)['Bybit']['BTC-USDT'][0]['close']
    def trade(self, candles):
        self.seen.append(len(candles['Bybit']['BTC-USDT']))
        CA.get_history_candles(3, 60)
    """
    )
    tape = minutes([100.0 + n for n in range(14)])
    played = play(code, tape, tmp_path, exchanges=FREE, start=START + 600 * 10**9)
    assert played.trader.user.history == [105.0, 107.0, 109.0]
    assert played.trader.user.newest == 109.0
    assert played.trader.user.seen == [11, 12, 13]
    assert played.result.errors == 3
    assert played.said("get_history_candles: only in __init__")


def test_pair_of_the_data_is_found_by_its_name(tmp_path: Path) -> None:
    code = HEAD + "    def trade(self, candles):\n        self.seen.append(list(candles))\n"
    played = play(code, minutes([100.0] * 3), tmp_path, exchanges=FREE, pairs=["bybit:BTC-USDT"])
    assert played.trader.pairs[0].instrument is BTC
    assert played.trader.user.seen == [["Bybit"], ["Bybit"]]


def test_recorded_trades_become_candles(shared: Path, tmp_path: Path) -> None:
    code = (
        HEAD
        + """
    def trade(self, candles):
        exchange, pair, base, quote = CA.get_exchange_pair()
        row = candles[exchange][pair][0]
        self.seen.append((row['time'], row['open'], row['high'], row['low'], row['close'], round(row['volume'], 5)))
        if len(self.seen) == 1:
            CA.place_order(exchange, pair, 'buy', percent='50')
        elif len(self.seen) == 3:
            CA.place_order(exchange, pair, 'sell')
    """
    )
    (recorded,), _ = open_sources([shared / "exchange-data/binance/hftbacktest/btcusdt_20240808.gz"])
    played = play(code, recorded, tmp_path)
    (pair,) = played.trader.pairs
    assert (pair.exchange, pair.name, pair.spot) == ("Binance", "BTC-USDT", True)
    trades = np.concatenate(
        [np.stack([each.exch_ts, each.a, each.b]) for each in recorded.chunks(Stream(pair.instrument, Kind.TRADE))],
        axis=1,
    )
    seen = played.trader.user.seen
    assert [row[0] for row in seen] == [f"2024-08-08T23:{minute}:00.000Z" for minute in range(55, 60)]
    begin = 1_723_161_300 * 10**9  # 23:55
    for number, row in enumerate(seen[:3]):
        there = (trades[0] >= begin + number * MINUTE) & (trades[0] < begin + (number + 1) * MINUTE)
        prices, lots = trades[1][there] / 100, trades[2][there]
        assert row[2:4] == (prices.max(), prices.min())
        assert row[5] == pytest.approx(lots.sum() / 100_000, rel=0.01)
    assert [order[1:3] for order in played.orders] == [("buy", "Market"), ("sell", "Market")]
    assert sum(fill[1] for fill in played.flow.fills) == pytest.approx(0, abs=1e-9)
    assert played.result.errors == 0
