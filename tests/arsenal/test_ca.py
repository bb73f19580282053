"""`CA`: what a strategy may ask and order, and what it is told of wrong arguments."""

from pathlib import Path

import pytest

from mlthon.arsenal.ca import INSTEAD
from mlthon.arsenal.orders import OrderStatus
from mlthon.live.state_files import FileState
from tests.arsenal.kit import FREE, HEAD, minutes, play


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
        ("CA.place_order('Bybit', action='open_long', side='buy')", "side"),
        ("CA.place_order('Bybit', 'BTC-USDT', exchange='Bybit')", "exchange"),
        ("CA.cancel_all('Bybit')", "arguments"),
        ("CA.get_position('Bybit', 'BTC-USDT', 'LONG', 1)", "position_side"),
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


def test_what_is_an_object_in_the_documentation_is_one_and_a_text_too(tmp_path: Path) -> None:
    code = (
        HEAD
        + """
    def trade(self, candles):
        exchange, pair, base, quote = CA.get_exchange_pair()
        if not self.seen:
            order = CA.open_long(CA.get_exchange().name, pair, 1, CA.OrderType.LIMIT, 90)
            self.seen.append((CA.get_exchange(), exchange.name, CA.get_balance(exchange, quote).exchange.name))
            self.seen.append((order.exchange.name, order.type.name, order.status.name, str(order.type)))
            self.seen.append((len(candles[CA.get_exchange().name][pair]), order.type == CA.OrderType.LIMIT))
            self.seen.append((range(CA.get_leverage()), f'{CA.get_leverage()}'))
    """
    )
    played = play(code, minutes([100.0] * 3), tmp_path, exchanges=FREE, params={"leverage": "3"})
    assert played.trader.user.seen == [
        ("Bybit", "Bybit", "Bybit"),
        ("Bybit", "LIMIT", "NEW", "LIMIT"),
        (1, True),
        (range(3), "3"),
    ]
    half = play(code, minutes([100.0] * 3), tmp_path, exchanges=FREE, params={"leverage": "2.5"})
    assert half.trader.ca.get_leverage() == 2.5


def test_members_that_are_not_here_are_named_at_the_start_and_when_they_are_used(tmp_path: Path) -> None:
    code = (
        HEAD
        + """
    def trade(self, candles):
        for name in ('get_request', 'get_balances', 'log'):
            self.seen.append(hasattr(CA, name))
        CA.get_balances('Bybit')
    """
    )
    played = play(code, minutes([100.0] * 2), tmp_path, exchanges=FREE)
    assert played.trader.user.seen == [True, False, True]
    told = [line for line in played.arsenals.told if "is not here" in line]
    assert len(told) == 1
    assert "did you mean 'get_balance'?" in told[0]
    assert played.said("CA.get_balances is not here")
    assert played.result.errors == 1


def test_a_model_lies_beside_the_strategy_and_who_asks_for_it_elsewhere_is_told_so(tmp_path: Path) -> None:
    (tmp_path / "model.txt").write_text("42")
    code = (
        "from pathlib import Path\n"
        + HEAD
        + """
    def trade(self, candles):
        self.seen.append(Path(__file__).with_name('model.txt').read_text())
        CA.get_source('model')
    """
    )
    played = play(code, minutes([100.0] * 2), tmp_path, exchanges=FREE)
    assert played.trader.user.seen == ["42"]
    (told,) = [line for line in played.arsenals.told if "is not here" in line]
    assert told.endswith("CA.get_source is not here: " + INSTEAD["get_source"])
    assert played.said("Path(__file__).with_name(NAME)")
