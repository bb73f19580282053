"""Strategies in the style of public ones on a recorded month of bars: they order what the bars of the file say that
they must, computed here without any of this project's candles."""

import gzip
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlthon.config import ArsenalConfig
from mlthon.data.rows import Source
from mlthon.data.sources import open_sources
from tests.arsenal.kit import Played, play

FILE = "exchange-data/bitmex/codler-bitmex-data/XBTUSD-1m-2019-06.jsonl.gz"
DAYS = 4
BEGIN = """
class Strategy(StrategyBase):
    def __init__(self):
        self.period = 30 * 60
        self.subscribed_books = {}
        self.options = {}
        self.side = None
    def trade(self, candles):
        exchange, pair, base, quote = CA.get_exchange_pair()
        close = np.array([row['close'] for row in candles[exchange][pair]])[::-1]
        held = CA.get_position(exchange, pair, CA.PositionSide.LONG)
        if len(close) < 30:
            return
"""
EMA = """
        side = 'long' if talib.EMA(close, 9)[-1] > talib.EMA(close, 26)[-1] else 'short'
        if side != self.side:
            if self.side:
                CA.place_order(exchange, pair, action='close_' + self.side)
            CA.place_order(exchange, pair, action='open_' + side, amount=0.01)
            self.side = side
"""
RSI = """
        rsi = talib.RSI(close, 14)[-1]
        if rsi < 45 and not held:
            CA.open_long(exchange, pair, 0.02, CA.OrderType.MARKET)
        elif rsi > 55 and held:
            CA.close_long(exchange, pair, held.available_size, CA.OrderType.MARKET)
"""
BOLLINGER = """
        upper, middle, lower = talib.BBANDS(close, 20, 1.5, 1.5)
        if close[-1] < lower[-1] and not held:
            CA.place_order(exchange, pair, 'openLong', None, '0.01')
        elif close[-1] > upper[-1] and held:
            CA.place_order(exchange, pair, 'closeLong', percent=100)
"""
COMPOUNDING = """
        side = 'long' if talib.EMA(close, 9)[-1] > talib.EMA(close, 26)[-1] else 'short'
        size = {'percent': 5 * CA.get_leverage()}
        if self.side is None:
            CA.place_order(exchange, pair, action='open_' + side, **size)
        elif side != self.side:
            CA.place_order(exchange, pair, action='close_' + self.side, conditional_order_type='OTO',
                           child_conditional_orders=[{'action': 'open_' + side, **size}])
        self.side = side
"""
Expected = list[tuple[int, str]]
"""Minute of the run, and the side of an order."""


def closes(file: Path) -> np.ndarray[Any, Any]:
    """Of the half hours: a bar of the file is named after its end."""
    with gzip.open(file) as lines:
        named = {row["timestamp"]: row["close"] for row in map(json.loads, lines)}
    ends = (datetime(2019, 6, 1, tzinfo=UTC) + timedelta(minutes=30 * (n + 1)) for n in range(DAYS * 48 - 1))
    return np.array([named[f"{end:%Y-%m-%dT%H:%M}:00.000Z"] for end in ends], float)


def moments(close: np.ndarray[Any, Any]) -> Iterator[tuple[int, np.ndarray[Any, Any]]]:
    """When `trade` is called (minute of the run, which begins with the first bar, a minute before the half hours do),
    and what is known then."""
    for known in range(30, len(close) + 1):
        yield 30 * known + 1, close[:known]


def crossings(close: np.ndarray[Any, Any], talib: Any) -> Expected:
    found: Expected = []
    before = 0
    for minute, known in moments(close):
        side = 1 if talib.EMA(known, 9)[-1] > talib.EMA(known, 26)[-1] else -1
        if side != before:
            found += [(minute, "buy" if side > 0 else "sell")] * (2 if before else 1)
        before = side
    return found


def swings(is_low: Callable[[Any], bool], is_high: Callable[[Any], bool], close: np.ndarray[Any, Any]) -> Expected:
    found: Expected = []
    held = False
    for minute, known in moments(close):
        if not held and is_low(known):
            found.append((minute, "buy"))
            held = True
        elif held and is_high(known):
            found.append((minute, "sell"))
            held = False
    return found


def oversold(close: np.ndarray[Any, Any], talib: Any) -> Expected:
    return swings(lambda known: talib.RSI(known, 14)[-1] < 45, lambda known: talib.RSI(known, 14)[-1] > 55, close)


def outside(close: np.ndarray[Any, Any], talib: Any) -> Expected:
    def bands(known: np.ndarray[Any, Any]) -> tuple[float, float]:
        upper, _, lower = talib.BBANDS(known, 20, 1.5, 1.5)
        return lower[-1], upper[-1]

    return swings(lambda known: known[-1] < bands(known)[0], lambda known: known[-1] > bands(known)[1], close)


@pytest.fixture(scope="module")
def recorded(shared: Path) -> Source:
    (found,), _ = open_sources([shared / FILE])
    return found


def traded(code: str, recorded: Source, folder: Path) -> Played:
    return play(BEGIN + code, recorded, folder, seconds=DAYS * 86_400, params={"leverage": 2})


@pytest.mark.parametrize(
    ("code", "expected", "amount"), [(EMA, crossings, 0.01), (RSI, oversold, 0.02), (BOLLINGER, outside, 0.01)]
)
def test_orders_are_those_that_the_bars_of_the_file_ask_for(
    recorded: Source, shared: Path, tmp_path: Path, code: str, expected: Callable[..., Expected], amount: float
) -> None:
    talib = pytest.importorskip("talib")
    close = closes(shared / FILE)
    played = traded(code, recorded, tmp_path)
    wanted = expected(close, talib)
    assert len(wanted) >= 3
    assert [(minute, side) for minute, side, *_ in played.orders] == wanted
    opened = 0.0
    for minute, _, kind, lots, _ in played.orders:
        now = close[(minute - 1) // 30 - 1]
        assert kind == "Market"
        assert lots == pytest.approx(now * amount, abs=2) or lots == opened  # contracts of a dollar; closes are of all
        opened = lots
    assert played.result.errors == 0


def test_what_is_earned_is_traded_too(recorded: Source, shared: Path, tmp_path: Path) -> None:
    talib = pytest.importorskip("talib")
    close = closes(shared / FILE)
    played = traded(COMPOUNDING, recorded, tmp_path)
    assert [(minute, side) for minute, side, *_ in played.orders] == crossings(close, talib)
    opens = played.orders[:1] + played.orders[2::2]
    closed = played.orders[1::2]
    assert [order[3] for order in closed] == [order[3] for order in opens[: len(closed)]]
    money = 10.0  # of the coin, and 5 percent of it at a leverage of 2
    room = 1.002 * (1 + 2 * 0.001)
    before = 0.0
    for number, (minute, _, _, lots, _) in enumerate(opens):
        now = close[(minute - 1) // 30 - 1]
        if number:
            was = opens[number - 1]
            sign = 1 if was[1] == "buy" else -1
            money += sign * was[3] * (1 / before - 1 / now) - 0.001 * was[3] * (1 / before + 1 / now)
        assert lots == pytest.approx(money * 0.1 * now / room, rel=2e-3)
        before = now
    assert money != 10.0
    assert played.result.errors == 0


def test_signals_trade_the_recorded_bars(recorded: Source, shared: Path, tmp_path: Path) -> None:
    close = closes(shared / FILE)
    signals: dict[float, dict[str, Any]] = {
        3661.0: {"action": "openLong", "fixed": "0.05", "loss": str(close[1] * 0.5), "log": "in"},
        7261.0: {"action": "closeLong", "percent": "50"},
        10_861.0: {"action": "closeLong"},
        14_461.0: {"action": "openShort", "percent": "10", "limit": str(close[7] + 500), "clientOrderId": "far"},
        18_061.0: {"action": "cancel", "clientOrderId": "far"},
    }
    more: Any = {"arsenal": ArsenalConfig(), "signals": signals, "seconds": 86_400}
    played = play(None, recorded, tmp_path, **more)
    size = pytest.approx(0.05 * close[1], rel=0.01)
    assert [order[:3] for order in played.orders] == [
        (61, "buy", "Market"),
        (61, "sell", "Stop"),
        (121, "sell", "Market"),
        (121, "sell", "Stop"),
        (181, "sell", "Market"),
        (241, "sell", "Limit"),
    ]
    assert played.orders[0][3] == played.orders[1][3] == size
    assert played.orders[2][3] == int(played.orders[0][3] / 2)
    assert played.orders[3][3] == played.orders[4][3] == played.orders[0][3] - played.orders[2][3]
    assert [ended[0] for ended in played.flow.ended].count("cancelled") == 3
    assert played.trader.holdings[played.trader.pairs[0]].net == 0
