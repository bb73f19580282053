"""Strategies in the style of public ones, played on made and recorded markets, with the orders that they must give."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlthon.arsenal.market import iso
from mlthon.arsenal.orders import OrderStatus
from mlthon.config import ArsenalConfig
from mlthon.data.rows import Kind, Stream
from mlthon.data.sources import open_sources
from mlthon.live.state_files import FileState
from tests.arsenal.kit import BTC, MINUTE, START, minutes, play, settings
from tests.backtest.play import SPOT

FREE = {"Bybit": settings()}
FREE_SPOT = {"Binance": settings(balances={"USDT": 10_000.0, "BTC": 0.0})}
HEAD = """
class Strategy(StrategyBase):
    def __init__(self):
        self.period = 60
        self.subscribed_books = {}
        self.options = {}
        self.seen = []
"""


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
                           child_conditional_orders=[{'action': 'open_long', 'percent': '50'}])
        else:
            CA.place_order(exchange, pair, action='openLong', percent=50)
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


def test_orders_change_before_they_are_told_of(tmp_path: Path) -> None:
    code = (
        HEAD
        + """
    def trade(self, candles):
        if not self.seen:
            CA.open_long('Bybit', 'BTC-USDT', '0.5', CA.OrderType.LIMIT, '99.5')
            self.seen.append('sent')
    def on_order_state_change(self, order):
        self.seen.append((str(order.status), order['price'], order.amount, order.amount_filled, order.action))
        if order.status == CA.OrderStatus.FILLED:
            self.held = CA.get_position('bybit', 'btc-usdt', 'LONG')
    """
    )
    tape = minutes([100.0, 100.0, 99.0, 99.0])
    played = play(code, tape, tmp_path, exchanges=FREE)
    assert played.trader.user.seen == [
        "sent",
        ("NEW", 99.5, 0.5, 0.0, "open_long"),
        ("FILLED", 99.5, 0.5, 0.5, "open_long"),
    ]
    held = played.trader.user.held
    assert (held.total_size, held.available_size, held.entry_price, held.position_side) == (0.5, 0.5, 99.5, "LONG")
    assert held.margin == pytest.approx(49.75)


def test_balances_and_positions_are_frozen_in_a_callback(tmp_path: Path) -> None:
    code = (
        HEAD
        + """
    def look(self):
        held = CA.get_position('Bybit', 'BTC-USDT', CA.PositionSide.LONG)
        return CA.get_balance('Bybit', 'USDT').available, held and held.available_size, len(CA.get_orders())
    def trade(self, candles):
        before = self.look()
        if len(self.seen) < 2:
            CA.place_order(action='open_long', percent=50)
            CA.place_order(action='open_long', percent=50)
        else:
            CA.place_order(action='close_long', percent=50)
            CA.place_order(action='close_long', percent=50)
        self.seen.append((before, self.look()))
    """
    )
    played = play(code, minutes([100.0] * 5), tmp_path, exchanges=FREE)
    user = played.trader.user
    assert all(before == after for before, after in user.seen)
    assert user.seen[0][0] == (10_000.0, None, 0)
    assert user.seen[1][0][0] < 100
    half = played.orders[0][3]
    assert [order[3] for order in played.orders[:2]] == [half, half]
    assert [order[1] for order in played.orders[-2:]] == ["sell", "sell"]
    assert played.trader.holdings[played.trader.pairs[0]].net == 0


def test_storage_outlives_the_run_where_it_is_kept(tmp_path: Path) -> None:
    code = (
        HEAD
        + """
        CA.log('kept ' + str(CA.storage('count')))
    def trade(self, candles):
        CA.storage('count', (CA.storage('count') or 0) + 1)
        CA.storage('note', {'last': candles['Bybit']['BTC-USDT'][0]['close']})
    """
    )
    file = tmp_path / "state" / "it.arsenal"
    first = play(code, minutes([100.0] * 4), tmp_path, exchanges=FREE, state=FileState(file))
    again = play(code, minutes([100.0] * 4), tmp_path, exchanges=FREE, state=FileState(file))
    assert first.said("kept None")
    assert again.said("kept 3")
    state = FileState(file)
    assert state.get("storage/count") == "6"
    assert [key for key, _ in state.items("storage/")] == ["storage/count", "storage/note"]


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


def test_options_are_texts_and_missing_ones_are_empty(tmp_path: Path) -> None:
    code = """
    class Strategy(StrategyBase):
        def __init__(self):
            self.period = 60
            self.early = self['size']
            self.options = {'size': '1', 'own': '7'}
            CA.log('debug line', CA.LogType.DEBUG)
        def trade(self, candles):
            self.got = [self[name] for name in ('size', 'own', 'none', 'leverage', 'exchange_fee')]
            self.leverage = CA.get_leverage()
    """
    played = play(code, minutes([100.0] * 3), tmp_path, exchanges=FREE, params={"size": 5, "leverage": 3})
    assert played.trader.user.early == "5"
    assert played.trader.user.got == ["5", "7", "", "3", "0.001"]
    assert played.trader.user.leverage == 3.0
    assert not played.said("debug line")
    loud = play(code, minutes([100.0] * 3), tmp_path, exchanges=FREE, params={"IS_DEBUG": True})
    assert loud.said("debug line")


def test_fee_spread_and_leverage_are_the_embedded_exchange_s(tmp_path: Path) -> None:
    code = (
        HEAD
        + """
    def trade(self, candles):
        if not self.seen:
            self.seen.append(CA.place_order(action='open_long', amount=1))
    """
    )
    params = {"exchange_fee": "0.002", "spread": "0.001", "leverage": "4"}
    played = play(code, minutes([100.0] * 3), tmp_path, params=params)
    config = played.arsenals.configured(data=True).exchanges["Bybit"]
    assert (config.maker_fee, config.taker_fee, config.margin.leverage) == (0.002, 0.0025, 4.0)
    assert config.balances == {"USDT": 10_000.0}
    assert played.result.fees == {"USDT": 250_250_000_000_000_000}


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        ("CA.place_order(action='fly')", "action"),
        ("CA.place_order(action='buy')", "action"),
        ("CA.place_order('Kraken', 'BTC-USDT', 'open_long')", "exchange"),
        ("CA.place_order('Bybit', 'XRP-USDT', 'open_long')", "pair"),
        ("CA.place_order(action='open_long', amount='many')", "amount"),
        ("CA.place_order(action='open_long', percent=101)", "percent"),
        ("CA.place_order(action='open_long', limit=-1)", "limit"),
        ("CA.place_order(action='close_long', notional=5)", "notional"),
        ("CA.place_order(action='close_long', profit=5)", "profit"),
        ("CA.place_order(action='open_long', profit=90, loss=95)", "profit"),
        ("CA.place_order(action='open_long', conditional_order_type='OCO')", "conditional_order_type"),
        ("CA.place_order(action='open_long', child_conditional_orders=[{}])", "conditional_order_type"),
        (
            "CA.place_order(action='open_long', conditional_order_type='OTO', child_conditional_orders=[{'side': 1}])",
            "child_conditional_orders[0].side",
        ),
        (
            (
                "CA.place_order(action='open_long', conditional_order_type='OTO',"
                " child_conditional_orders=[{'action': 'close_long', 'percent': 0}])"
            ),
            "child_conditional_orders[0].percent",
        ),
        ("CA.open_long('Bybit', 'BTC-USDT', None)", "amount"),
        ("CA.open_long('Bybit', 'BTC-USDT', 1, 'STOP')", "order_type"),
        ("CA.open_long('Bybit', 'BTC-USDT', 1, CA.OrderType.LIMIT)", "price"),
        ("CA.get_position('Bybit', 'BTC-USDT', 'UP')", "position_side"),
        ("CA.get_balance('Bybit')", "currency"),
        ("CA.cancel_order_by_client_order_id('nobody')", "client_order_id"),
        ("CA.cancel_order(None)", "order"),
        ("CA.get_orders('OPEN')", "status"),
        ("CA.storage(5)", "key"),
        ("CA.storage('key', object())", "value"),
    ],
)
def test_a_wrong_argument_is_named_to_the_strategy_and_in_the_log(tmp_path: Path, call: str, argument: str) -> None:
    code = (
        HEAD
        + f"""
    def trade(self, candles):
        try:
            {call}
        except ValueError as error:
            self.seen.append((error.argument, str(error)))
    """
    )
    played = play(code, minutes([100.0] * 2), tmp_path, exchanges=FREE)
    ((found, text),) = played.trader.user.seen
    assert found == argument
    assert text.startswith(f"{argument}: ")
    assert played.said(text)
    assert played.orders == []


def test_more_than_500_orders_a_period_are_refused(tmp_path: Path) -> None:
    code = (
        HEAD
        + """
    def trade(self, candles):
        for number in range(501):
            CA.place_order(action='open_long', limit=50, amount='0.001')
    """
    )
    played = play(code, minutes([100.0] * 3), tmp_path, exchanges=FREE)
    assert len(played.orders) == 1000
    assert played.result.errors == 2
    assert played.said("more than 500 orders in one period")


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("class Strategy(StrategyBase):\n    def __init__(self):\n        1 / 0\n", "strategy.py:3: ZeroDivisionError"),
        ("class Strategy(StrategyBase):\n    period = 30\n    def trade(self, candles): pass\n", "period is 30"),
        ("class Strategy(StrategyBase):\n    def trade(self, candles): pass\n", "period is None"),
        ("import nothing_like_it\nclass Strategy(StrategyBase):\n    period = 60\n", "nothing_like_it"),
    ],
)
def test_what_cannot_be_run_is_told_and_ends_the_run(tmp_path: Path, code: str, text: str) -> None:
    played = play(code, minutes([100.0] * 30), tmp_path, exchanges=FREE)
    (failure,) = played.arsenals.failures
    assert text in str(failure)


def test_the_older_form_returns_its_orders(tmp_path: Path) -> None:
    code = """
    class Strategy():
        def __setitem__(self, key, value):
            self.options[key] = value
        def __getitem__(self, key):
            return self.options.get(key, '')
        def __init__(self):
            self.subscribedBooks = {'Binance': {'pairs': ['BTC-USDT']}}
            self.period = 60
            self.options = {}
            self.turn = 0
            self.told = []
        def on_order_state_change(self, order):
            self.told.append((order['status'], order['price'], order['amount']))
        def trade(self, information):
            exchange = list(information['candles'])[0]
            pair = list(information['candles'][exchange])[0]
            close = information['candles'][exchange][pair][0]['close']
            self.turn += 1
            Log('turn ' + str(self.turn) + ' ' + str(self['assets'][exchange]['BTC']) + self['size'])
            if self.turn == 1:
                return [{'exchange': exchange, 'amount': 2, 'price': -1, 'type': 'MARKET', 'pair': pair},
                        {'exchange': exchange, 'amount': 1, 'price': close - 5, 'type': 'LIMIT', 'pair': pair}]
            if self.turn == 2:
                self.last = GetLastOrderSnapshot()
                CancelOrder(information['orders'][0])
                CAStorage('turn', self.turn)
                return [{'exchange': exchange, 'amount': -self['assets'][exchange]['BTC'], 'price': 0, 'type': 'MARKET',
                         'pair': pair}]
            return []
    """
    played = play(code, minutes([100.0] * 4, SPOT), tmp_path, exchanges=FREE_SPOT, params={"size": "!"})
    assert played.orders == [
        (1, "buy", "Market", 2.0, None),
        (1, "buy", "Limit", 1.0, 95.0),
        (2, "sell", "Market", 2.0, None),
    ]
    user = played.trader.user
    assert user.last == {"exchange": "Binance", "pair": "BTC-USDT", "amount": 1.0, "price": 95.0, "type": "LIMIT"}
    assert ("CANCELED", 95.0, 1.0) in user.told
    assert ("FILLED", 100.0, -2.0) in user.told
    assert played.said("turn 3 0.0!")
    assert played.trader.state.get("storage/turn") == "2"


def test_signals_go_to_the_strategy_unchanged(tmp_path: Path) -> None:
    code = (
        HEAD
        + """
    def trade(self, candles):
        pass
    def on_tradingview_signal(self, signal, candles):
        exchange, pair, base, quote = CA.get_exchange_pair()
        self.seen.append((dict(signal), len(candles[exchange][pair])))
        action = signal.get('action')
        if action == 'cancelAll' or action == 'cancel_all':
            CA.cancel_all()
        elif action:
            CA.place_order(exchange, pair, action, signal.get('limit'), signal.get('fixed'), signal.get('percent'),
                           signal.get('clientOrderId'), signal.get('profit'), signal.get('loss'))
    """
    )
    first = {"action": "openLong", "percent": "50", "log": "go", "connectorToken": "secret", "connectorName": "tv"}
    sync = {"entryOrder": "x", "position": "long"}
    signals: dict[float, dict[str, Any]] = {90: first, 130: sync, 150: {"action": "closeLong", "percent": "100"}}
    played = play(code, minutes([100.0] * 4), tmp_path, exchanges=FREE, signals=signals)
    assert played.trader.user.seen[0] == ({"action": "openLong", "percent": "50", "log": "go"}, 1)
    assert played.trader.user.seen[1] == (sync, 2)
    assert [order[:3] for order in played.orders] == [(1, "buy", "Market"), (2, "sell", "Market")]
    assert not played.said("secret")
    rules = play(
        code, minutes([100.0] * 4), tmp_path, exchanges=FREE, signals=signals, arsenal=ArsenalConfig(signals="rules")
    )
    assert [each[0] for each in rules.trader.user.seen] == [sync]
    assert [order[:3] for order in rules.orders] == [(1, "buy", "Market"), (2, "sell", "Market")]


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


def test_an_order_has_a_number_and_a_balance_its_currency(tmp_path: Path) -> None:
    code = (
        HEAD
        + """
    def trade(self, candles):
        if not self.seen:
            first = CA.open_long('Bybit', 'BTC-USDT', '0.5', CA.OrderType.LIMIT, '90')
            CA.open_long('Bybit', 'BTC-USDT', '0.6', CA.OrderType.LIMIT, '90')
            self.seen.append((first.order_id, CA.get_balance('bybit', 'usdt')))
        else:
            self.newest = self.newest if len(self.seen) > 1 else CA.get_orders(CA.OrderStatus.NEW, 1)
            self.seen.append(CA.cancel_order(self.seen[0][0]))
    """
    )
    played = play(code, minutes([100.0] * 4), tmp_path, exchanges=FREE)
    (number, balance), newest = played.trader.user.seen[0], played.trader.user.newest[0]
    assert isinstance(number, int)
    assert (newest.amount, newest.order_id) == (0.6, number + 1)
    assert (balance.exchange, balance.currency, balance.total) == ("Bybit", "USDT", 10_000.0)
    assert played.trader.tickets.of_number(number).status is OrderStatus.CANCELED


def test_what_numpy_gives_can_be_stored(tmp_path: Path) -> None:
    code = (
        HEAD
        + """
    def trade(self, candles):
        kept = {'count': np.int64(3), 'mean': np.float64(0.5), 'on': np.bool_(True), 'all': np.array([1.0, 2.0])}
        CA.storage('kept', kept)
        self.seen.append(CA.storage('kept'))
    """
    )
    played = play(code, minutes([100.0] * 3), tmp_path, exchanges=FREE)
    assert played.trader.user.seen[0] == {"count": 3, "mean": 0.5, "on": True, "all": [1.0, 2.0]}


def test_a_position_that_is_being_closed_is_not_closed_twice(tmp_path: Path) -> None:
    """Beside a short position a second close of the long one would not be reduce-only, and grow the short one."""
    code = (
        HEAD
        + """
    def trade(self, candles):
        self.seen.append(1)
        if len(self.seen) == 1:
            CA.place_order(action='open_long', amount=3)
            CA.place_order(action='open_short', amount=5)
        elif len(self.seen) == 2:
            CA.place_order(action='close_long', percent=60)
            CA.place_order(action='close_long', percent=60)
            CA.place_order(action='close_long')
    """
    )
    played = play(code, minutes([100.0] * 4), tmp_path, exchanges=FREE)
    held = played.trader.holdings[played.trader.pairs[0]]
    assert (held.lots(1), held.lots(-1)) == (0, 5000)
    assert [order[3] for order in played.orders] == [3.0, 5.0, 1.8, 1.2]
    assert played.said("all of the position is being closed already")


OLDER = """
class Strategy():
    def __setitem__(self, key, value):
        self.options[key] = value
    def __getitem__(self, key):
        return self.options.get(key, '')
    def __init__(self):
        self.subscribedBooks = {'Binance': {'pairs': ['BTC-USDT']}}
        self.period = 60
        self.options = {}
        self.seen = []
"""


def test_the_older_form_sees_a_futures_position_as_what_it_holds(tmp_path: Path) -> None:
    code = (
        OLDER
        + """
    def trade(self, information):
        held = self['assets']['Binance']['BTC']
        self.seen.append(held)
        amount = [2, -held, -1, 1][len(self.seen) - 1] if len(self.seen) <= 4 else -held
        return [{'exchange': 'Binance', 'amount': amount, 'price': -1, 'type': 'MARKET', 'pair': 'BTC-USDT'}]
    """
    )
    played = play(code, minutes([100.0] * 6), tmp_path, exchanges=FREE, pairs=["bybit:BTC-USDT"])
    assert played.trader.user.seen == [0.0, 2.0, 0.0, -1.0, 0.0]
    assert [fill[1] for fill in played.flow.fills] == [2.0, -2.0, -1.0, 1.0]
    assert played.result.errors == 0


def test_a_row_that_cannot_be_used_leaves_the_others_alone(tmp_path: Path) -> None:
    code = (
        OLDER
        + """
    def trade(self, information):
        if self.seen:
            return []
        self.seen.append(1)
        row = {'exchange': 'Binance', 'pair': 'BTC-USDT', 'type': 'MARKET', 'price': -1}
        return [{**row, 'amount': 'much'}, {**row, 'amount': -0.0}, {**row, 'amount': 1}]
    """
    )
    played = play(code, minutes([100.0] * 3), tmp_path, exchanges=FREE, pairs=["bybit:BTC-USDT"])
    assert [order[3] for order in played.orders] == [1.0]
    assert played.result.errors == 1
    assert played.said("amount: 'much' is no number")
