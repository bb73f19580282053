"""Single orders of the synthetic market: whoever reads them sees the same book as whoever reads its prices."""

from typing import Any

import pytest

from mlthon.api.istrategy import IStrategy
from mlthon.basics.defs import ExecInstructions, FeedHandlerStatus, Side
from mlthon.data.timing import FeedModel, FeedTiming
from mlthon.engine.clock import SECOND
from mlthon.order.books.order_book import OrderBook
from mlthon.order.books.price_level_book import PriceLevelBook
from tests.backtest.play import BTC, configured, play

X, ID = BTC.venue, BTC.number


class Prices(IStrategy):
    """Keeps the book by price."""

    def __init__(self) -> None:
        self.book = PriceLevelBook()

    def on_framework_connected(self, env: Any) -> None:
        self.env = env
        env.login("prices")
        env.subscribe_to_market_data(X, [BTC], ["PriceLevelBook"])

    def on_add_price_level(self, exchange: Any, instrument_id: int, side: Side, *level: Any) -> None:
        self.book.add_lvl(side, level[0], level[1])

    def on_modify_price_level(self, exchange: Any, instrument_id: int, side: Side, *level: Any) -> None:
        assert self.book.modify_lvl_qty(side, level[0], level[1])

    def on_delete_price_level(self, exchange: Any, instrument_id: int, side: Side, price: Any, recv_ts: int) -> None:
        assert self.book.delete_lvl(side, price)

    def on_feed_handler_status(self, exchange: Any, status: FeedHandlerStatus, detail: str) -> None:
        if status is FeedHandlerStatus.Disconnected:
            self.book.clear()


class Orders(IStrategy):
    """Keeps the book by order, from a while after the login, rests an order of its own, and compares."""

    def __init__(self, prices: Prices, after_ms: float) -> None:
        self.prices = prices
        self.after_ms = after_ms
        self.book = OrderBook()
        self.statuses: list[str] = []
        self.compared = self.changed = 0
        self.own = False

    def on_framework_connected(self, env: Any) -> None:
        self.env = env
        env.login("orders")
        env.setup_timer(self.after_ms, self.subscribe)

    def subscribe(self) -> None:
        self.env.subscribe_to_market_data(X, [BTC], ["OrderBook"])
        self.env.setup_timer(250, self.compare)
        self.env.send_new_order("mine", X, ID, Side.Buy, "64000", "7.77", ExecInstructions.PostOnly)

    def on_feed_handler_status(self, exchange: Any, status: FeedHandlerStatus, detail: str) -> None:
        self.statuses.append(status.name)
        if status is FeedHandlerStatus.Disconnected:
            self.book.clear()

    def on_add_level(self, exchange: Any, instrument_id: int, side: Side, level_id: int, *order: Any) -> None:
        assert self.book.get_order(level_id) is None
        self.book.add_order(level_id, side, order[0], order[1])

    def on_modify_level(self, exchange: Any, instrument_id: int, side: Side, level_id: int, *order: Any) -> None:
        assert self.book.modify_order_qty(level_id, order[0])
        self.changed += 1

    def on_delete_level(self, exchange: Any, instrument_id: int, side: Side, level_id: int, recv_ts: int) -> None:
        assert self.book.delete_order(level_id)

    def compare(self) -> bool:
        for mine, theirs in (
            (self.book.get_bid_lvls(), self.prices.book.get_bid_lvls()),
            (self.book.get_ask_lvls(), self.prices.book.get_ask_lvls()),
        ):
            assert [(each.get_price(), each.get_qty()) for each in mine] == [
                (each.get_price(), each.get_qty()) for each in theirs
            ]
        self.compared += len(mine) > 3
        self.own |= any(each.get_qty().to_str() == "7.77" for each in self.book.get_bid_lvls())
        return True


@pytest.mark.parametrize("after_ms", [0.001, 2_000], ids=["from the start", "later"])
@pytest.mark.parametrize("feed_ms", [0, 5], ids=["at once", "delayed"])
def test_single_orders_add_up_to_the_levels(after_ms: float, feed_ms: float) -> None:
    prices = Prices()
    orders = Orders(prices, after_ms)
    config = configured()
    if feed_ms:
        config = configured(timing=FeedTiming(model=FeedModel.CONSTANT, constant_ms=feed_ms))
    played = play([prices, orders], None, config, duration=6 * SECOND)
    assert played.result.errors == 0
    assert orders.compared > 10
    assert orders.changed > 10
    assert orders.own
    assert orders.statuses[-1] == "SnapshotEnd"
    assert "Disconnected" not in orders.statuses[-2:]
