"""A book's levels on their way to one who reads them.

What tells a level is a function made once an instrument, with all it needs at hand: several levels come with each
message of a book, and nothing else that a live run does is done more often.
"""

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from mlthon.api.istrat_env import MDSub
from mlthon.basics.defs import Side
from mlthon.basics.instrument import Instrument
from mlthon.engine.faces import SET_ASK

if TYPE_CHECKING:
    from mlthon.engine.feed import Subscription
    from mlthon.engine.session import Session


class BookHearer:
    """Who hears of one instrument's book, and how: by prices, by the ids of levels, by single orders. It says the truth
    after each change of subscriptions, so whoever unsubscribes in the midst of a delivery hears no more of it."""

    __slots__ = ("by_id", "by_order", "by_price", "subscription")

    def __init__(self, subscription: "Subscription") -> None:
        self.subscription = subscription
        self.read(frozenset())

    def read(self, kinds: Collection[MDSub]) -> "BookHearer":
        self.by_price = MDSub.PriceLevelBook in kinds
        self.by_id = MDSub.LevelBook in kinds
        self.by_order = MDSub.OrderBook in kinds
        return self


LevelWay = Callable[[BookHearer, int, int, int, int, bool, int], None]
"""To one who reads the book: side (SET_BID, SET_ASK), price, quantity, level id or 0, whether it is new, time (ms)."""


IdWay = Callable[["Session", Side, int, int, int, bool, int], None]
"""To a strategy, of a level or order by its id: side, price, quantity, id, whether it is new, time (ms)."""


def id_way(instrument: Instrument) -> IdWay:
    """What tells a strategy of this instrument's levels, or orders, by their ids."""
    exchange, number = instrument.venue, instrument.number
    prices, qtys = instrument.price_scale.values, instrument.qty_scale.values

    def deliver(session: "Session", side: Side, price: int, qty: int, level_id: int, new: bool, recv_ms: int) -> None:
        call = session.call
        if not qty:
            call("on_delete_level", exchange, number, side, level_id, recv_ms)
        elif new:
            call("on_add_level", exchange, number, side, level_id, prices[price], qtys[qty], recv_ms)
        else:
            call("on_modify_level", exchange, number, side, level_id, qtys[qty], recv_ms)

    return deliver


def level_way(instrument: Instrument) -> LevelWay:
    """What tells of this instrument's levels whoever reads them by price, by id or both."""
    exchange, number, all_prices = instrument.venue, instrument.number, instrument.price_scale.values
    prices, ladder, climb = all_prices.known, instrument.qty_scale.ladder, instrument.qty_scale.climb
    deliver_by_id = id_way(instrument)
    buy, sell = Side.Buy, Side.Sell

    def deliver(hearer: BookHearer, op: int, price: int, qty: int, level_id: int, new: bool, recv_ms: int) -> None:
        side = sell if op == SET_ASK else buy
        session = hearer.subscription.session
        if hearer.by_price:
            try:
                at, shown = prices[price], ladder[qty]
            except LookupError:
                at, shown = all_prices[price], climb(qty)
            strategy = session.strategy
            try:
                if not qty:
                    callback = "on_delete_price_level"
                    strategy.on_delete_price_level(exchange, number, side, at, recv_ms)
                elif new:
                    callback = "on_add_price_level"
                    strategy.on_add_price_level(exchange, number, side, at, shown, recv_ms)
                else:
                    callback = "on_modify_price_level"
                    strategy.on_modify_price_level(exchange, number, side, at, shown, recv_ms)
            except Exception as error:  # noqa: BLE001 - a strategy's own error must not stop the engine
                session.failed(callback, error)
        if hearer.by_id:
            # A price may change sides before its old level is deleted, so a derived id says the side too.
            derived = 2 * price + (op == SET_ASK)
            deliver_by_id(session, side, price, qty, level_id or derived, new, recv_ms)

    return deliver
