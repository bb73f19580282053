"""The older form, which returns lists of orders."""

from pathlib import Path

from tests.arsenal.kit import FREE, FREE_SPOT, HEAD, minutes, play
from tests.backtest.play import SPOT


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


def test_a_short_sale_on_spot_is_refused_by_name(tmp_path: Path) -> None:
    """Some strategies that are written for `CA` return such rows."""
    code = (
        HEAD
        + """
    def trade(self, candles):
        exchange, pair, base, quote = CA.get_exchange_pair()
        self.seen.append(1)
        row = {'exchange': exchange, 'pair': pair, 'type': 'MARKET', 'price': -1, 'margin': True}
        return [{**row, 'amount': [0.5, -0.4, -0.2][len(self.seen) - 1]}]
    """
    )
    played = play(code, minutes([100.0] * 4, SPOT), tmp_path, exchanges=FREE_SPOT)
    assert [order[1:4] for order in played.orders] == [("buy", "Market", 0.5), ("sell", "Market", 0.4)]
    assert played.said("margin: selling short on borrowed coins is not possible here")
    assert played.result.errors == 1
