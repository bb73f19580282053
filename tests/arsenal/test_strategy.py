"""The life of a strategy file: its options, callbacks and failures."""

from pathlib import Path
from typing import Any

import pytest

from mlthon.config import ArsenalConfig
from mlthon.errors import UserError
from tests.arsenal.kit import FREE, HEAD, minutes, play


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


DECLARED = """
class Strategy(StrategyBase):
    def __init__(self):
        self.period = 60
        self.size = '0.002'
        self.options = {'leverage': 5, 'IS_DEBUG': True, 'exchange_fee': self.size, 'own': 'x'}
        CA.log('debug line', CA.LogType.DEBUG)
    def trade(self, candles):
        self.got = CA.get_leverage(), self['leverage'], self['IS_DEBUG'], self['exchange_fee'], self['own']
"""


def test_the_platform_s_options_count_where_the_strategy_declares_them(tmp_path: Path) -> None:
    played = play(DECLARED, minutes([100.0] * 3), tmp_path)
    assert played.trader.user.got == (5, "5", "true", "0.002", "x")
    config = played.arsenals.configured(data=True).exchanges["Bybit"]
    assert (config.margin.leverage, config.taker_fee) == (5.0, 0.002)
    assert played.said("debug line")
    outside = play(DECLARED, minutes([100.0] * 3), tmp_path, params={"leverage": 2, "IS_DEBUG": False})
    assert outside.trader.user.got == (2, "2", "false", "0.002", "x")
    assert not outside.said("debug line")


def test_it_is_told_when_they_come_too_late(tmp_path: Path) -> None:
    code = """
    class Strategy(StrategyBase):
        def __init__(self):
            self.period = 60
            declared = {'leverage': 5, 'IS_DEBUG': 'true'}
            self.options = declared
            self['spread'] = 0.1
        def trade(self, candles):
            self.got = CA.get_leverage(), self['leverage'], self['IS_DEBUG'], self['spread']
            CA.log('debug line', CA.LogType.DEBUG)
    """
    played = play(code, minutes([100.0] * 3), tmp_path, exchanges=FREE)
    assert played.trader.user.got == (1, "1", "true", 0.1)
    assert played.said("leverage is 1 in this run, not 5: set it with --set leverage=5")
    assert played.said("spread is 0 in this run, not 0.1: set it with --set spread=0.1")
    assert played.said("debug line")
    outside = play(code, minutes([100.0] * 3), tmp_path, exchanges=FREE, params={"leverage": 2, "IS_DEBUG": "false"})
    assert outside.trader.user.got == (2, "2", "false", 0.1)
    assert not outside.said("leverage is")


def test_an_option_that_cannot_be_is_told_wherever_it_is_from(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="leverage = '0' is not"):
        play(DECLARED.replace("'leverage': 5", "'leverage': 0"), minutes([100.0] * 3), tmp_path)


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
