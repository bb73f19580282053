"""Strategies in the style of public ones, played on made and recorded markets, with the orders that they must give."""

from pathlib import Path

import numpy as np
import pytest

from mlthon.data.sources import open_sources
from tests.arsenal.kit import FREE, FREE_SPOT, HEAD, minutes, play
from tests.backtest.play import SPOT


def test_ema_cross_opens_and_turns_by_oto(tmp_path: Path) -> None:
    code = (
        HEAD
        + """
        self.side = None
    def trade(self, candles):
        exchange, pair, base, quote = CA.get_exchange_pair()
        close = np.array([float(row['close']) for row in candles[exchange][pair]][::-1])
        if len(close) < 6:
            return []
        fast, slow = talib.EMA(close, timeperiod=2)[-1], talib.EMA(close, timeperiod=5)[-1]
        side = 'long' if fast > slow else 'short'
        if side == self.side:
            return
        if self.side is None:
            CA.place_order(exchange, pair, action='open_' + side, notional=1000)
        else:
            CA.place_order(exchange, pair, action='close_' + self.side, conditional_order_type='OTO',
                           child_conditional_orders=[{'action': 'open_' + side, 'notional': 1000}])
        self.side = side
    """
    )
    talib = pytest.importorskip("talib")
    prices = [100.0 + n for n in range(8)] + [106.0 - 2 * n for n in range(6)] + [98.0 + 3 * n for n in range(6)]
    played = play(code, minutes(prices), tmp_path, exchanges=FREE)
    above = [talib.EMA(np.array(prices[:n]), 2)[-1] > talib.EMA(np.array(prices[:n]), 5)[-1] for n in range(6, 20)]
    down = 6 + above.index(False)
    up = down + above[down - 6 :].index(True)
    assert [(minute, side, kind) for minute, side, kind, *_ in played.orders] == [
        (6, "buy", "Market"),
        (down, "sell", "Market"),
        (down, "sell", "Market"),
        (up, "buy", "Market"),
        (up, "buy", "Market"),
    ]
    lots = [int(1000 / at * 1000) / 1000 for at in (prices[5] + 0.1, prices[down - 1], prices[up - 1] + 0.1)]
    assert [order[3] for order in played.orders] == [lots[0], lots[0], lots[1], lots[1], lots[2]]
    assert played.trader.holdings[played.trader.pairs[0]].lots(1) == round(played.orders[-1][3] * 1000)
    assert played.trader.holdings[played.trader.pairs[0]].lots(-1) == 0
    assert played.result.errors == 0


def test_rsi_on_spot_buys_with_what_is_there_and_sells_all(tmp_path: Path) -> None:
    talib = pytest.importorskip("talib")
    code = (
        HEAD
        + """
        self.last_type = 'sell'
    def trade(self, candles):
        exchange, pair, base, quote = CA.get_exchange_pair()
        close = np.array([row['close'] for row in candles[exchange][pair]])[::-1]
        if len(close) < 6:
            return
        rsi = talib.RSI(close, 5)[-1]
        if rsi < 30 and self.last_type == 'sell':
            self.last_type = 'buy'
            amount = np.floor(CA.get_balance(exchange, quote).available / close[-1] * 100 * 0.9) / 100
            CA.buy(exchange, pair, amount, CA.OrderType.MARKET)
        elif rsi > 70 and self.last_type == 'buy':
            self.last_type = 'sell'
            CA.sell(exchange, pair, CA.get_balance(exchange, base).available, CA.OrderType.LIMIT, close[-1])
    """
    )
    prices = [100.0 - n for n in range(8)] + [93.0 + 2 * n for n in range(8)]
    played = play(code, minutes(prices, SPOT), tmp_path, exchanges=FREE_SPOT)
    up = next(n for n in range(7, 17) if talib.RSI(np.array(prices[:n]), 5)[-1] > 70)
    assert played.orders == [(6, "buy", "Market", 94.73, None), (up, "sell", "Limit", 94.73, prices[up - 1])]
    assert [fill[1] for fill in played.flow.fills] == [94.73, -94.73]


def test_bollinger_holds_limits_and_cancels_them(tmp_path: Path) -> None:
    pytest.importorskip("talib")
    code = (
        HEAD
        + """
        self.period = 120
    def trade(self, candles):
        exchange, pair, base, quote = CA.get_exchange_pair()
        close = np.array([row['close'] for row in candles[exchange][pair]])[::-1]
        if len(close) < 5:
            return
        CA.cancel_all()
        upper, middle, lower = talib.BBANDS(close, timeperiod=5)
        CA.place_order(exchange, pair, 'open_long', round(lower[-1], 1), 1)
        if CA.get_position(exchange, pair, CA.PositionSide.LONG):
            CA.place_order(exchange, pair, 'close_long', round(upper[-1], 1), None, 100)
        self.seen.append([o.status.name for o in CA.get_orders(CA.OrderStatus.NEW, 10)])
    """
    )
    prices = [100.0 + (n % 4) for n in range(14)] + [90.0, 90.0, 90.0, 90.0]
    played = play(code, minutes(prices), tmp_path, exchanges=FREE)
    assert [order[:4] for order in played.orders][:3] == [
        (10, "buy", "Limit", 1.0),
        (12, "buy", "Limit", 1.0),
        (14, "buy", "Limit", 1.0),
    ]
    assert all(at < 102 for _, side, _, _, at in played.orders if side == "buy")
    assert played.flow.ended[0][0] == "cancelled"
    assert played.trader.user.seen[:2] == [[], ["NEW"]]  # orders are frozen: a new one shows from the next call on
    assert played.flow.fills[0][1] == 1.0
    assert ("sell", "Limit") in [order[1:3] for order in played.orders]


def test_compounding_futures_grow_with_what_they_earn(tmp_path: Path) -> None:
    code = (
        HEAD
        + """
        exchange, pair, base, quote = CA.get_exchange_pair()
        self.begin = CA.get_balance(exchange, quote).available
        CA.log('begins with ' + str(self.begin))
    def trade(self, candles):
        exchange, pair, base, quote = CA.get_exchange_pair()
        if CA.get_position(exchange, pair, CA.PositionSide.LONG):
            CA.place_order(exchange, pair, action='close_long', percent='100', conditional_order_type='OTO',
                           child_conditional_orders=[{'action': 'open_long', 'percent': str(50 * CA.get_leverage())}])
        else:
            CA.place_order(exchange, pair, action='openLong', percent=50 * CA.get_leverage())
    """
    )
    played = play(code, minutes([100.0, 110.0, 120.0, 130.0]), tmp_path, exchanges=FREE, params={"leverage": 2})
    assert played.said("begins with 10000.0")
    room, lots = 1.002, []
    money, held, paid = 10_000.0, 0.0, 0.0
    for price in (100.0, 110.0, 120.0):
        money += held * (price - paid)
        paid = price + 0.1
        held = int(money * 0.5 / (paid * room * (0.5 + 0.001)) * 1000) / 1000
        lots.append(held)
    assert [order[3] for order in played.orders] == pytest.approx([lots[0], lots[0], lots[1], lots[1], lots[2]])


def test_a_month_of_recorded_bars_is_traded(shared: Path, tmp_path: Path) -> None:
    pytest.importorskip("talib")
    code = """
    class Strategy(StrategyBase):
        def __init__(self):
            self.period = 30 * 60
            self.subscribed_books = {}
            self.options = {}
            self.side = None
        def trade(self, candles):
            exchange, pair, base, quote = CA.get_exchange_pair()
            close = np.array([row['close'] for row in candles[exchange][pair]])[::-1]
            if len(close) < 26:
                return
            fast, slow = talib.EMA(close, 9)[-1], talib.EMA(close, 26)[-1]
            side = 'long' if fast > slow else 'short'
            if side != self.side:
                if self.side:
                    CA.place_order(exchange, pair, action='close_' + self.side)
                CA.place_order(exchange, pair, action='open_' + side, amount=0.01)
                self.side = side
    """
    file = shared / "exchange-data/bitmex/codler-bitmex-data/XBTUSD-1m-2019-06.jsonl.gz"
    (recorded,), _ = open_sources([file])
    played = play(code, recorded, tmp_path, seconds=2 * 86_400)
    assert played.trader.pairs[0].name == "BTC-USD"
    assert played.result.errors == 0
    assert len(played.flow.fills) >= 5
    assert all(order[0] % 30 == 1 for order in played.orders)  # the first bar begins a minute before the hour
    opens = [order for order in played.orders if 80 <= order[3] <= 90]  # 0.01 BTC in contracts of a dollar
    assert len(opens) == len(played.orders)
    net = sum(lots for _, lots, _ in played.flow.fills)
    assert net == played.trader.holdings[played.trader.pairs[0]].net
    assert abs(net) in {order[3] for order in played.orders}
