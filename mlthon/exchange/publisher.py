"""What a market publishes when it is itself the source of the market: quotes, trades, levels and, when asked, orders.

Level and trade events go out as they happen, in the order in which they happen; the quote follows once the operation
that changed the touch is over. Levels have no ids of their own. Single orders cost as much as all the rest, so they go
out from `show_orders` on.
"""

from mlthon.engine.clock import Clock
from mlthon.engine.faces import LIVE, ORDER_ASK, ORDER_BID, RESET, SET_ASK, SET_BID, MarketEvents
from mlthon.exchange.book import BookSide, Resting


class Publisher:
    """Publishes one market to one receiver."""

    __slots__ = ("_by_order", "_clock", "_events", "_trades")

    def __init__(self, events: MarketEvents, clock: Clock) -> None:
        self._events = events
        self._clock = clock
        self._by_order = False
        self._trades = 0

    def show_orders(self, bids: BookSide, asks: BookSide) -> None:
        """From now on publish every order too. Where orders rest already, the book goes out anew as a snapshot, because
        its receiver has not heard of them."""
        self._by_order = True
        if not (bids.levels or asks.levels):
            return
        now = self._clock.now
        self._events.book(RESET, 0, 0, 0, now, now)
        for side in (bids, asks):
            for price, level in side.levels.items():
                self.level(side.sign, price, level.qty)
                for order in level.orders.values():
                    self.order(order)
        self._events.book(LIVE, 0, 0, 0, now, now)

    def level(self, side: int, price: int, qty: int) -> None:
        """A level's quantity is now this; 0: it is gone."""
        now = self._clock.now
        self._events.book(SET_BID if side > 0 else SET_ASK, price, qty, 0, now, now)

    def order(self, order: Resting) -> None:
        """An order rests with what it has left; 0: it is gone."""
        if self._by_order:
            now = self._clock.now
            op = ORDER_BID if order.side > 0 else ORDER_ASK
            self._events.book(op, order.price, order.leaves, order.order_id, now, now)

    def gone(self, order: Resting) -> None:
        """An order was taken out with something left."""
        if self._by_order:
            now = self._clock.now
            self._events.book(ORDER_BID if order.side > 0 else ORDER_ASK, order.price, 0, order.order_id, now, now)

    def trade(self, price: int, qty: int, side: int) -> None:
        """A taker of this side traded so much at the price."""
        self._trades += 1
        now = self._clock.now
        self._events.trade(price, qty, side, self._trades, now, now)

    def quote(self, bid: int, bid_qty: int, ask: int, ask_qty: int) -> None:
        """The touch is now this."""
        now = self._clock.now
        self._events.quote(bid, bid_qty, ask, ask_qty, now, now)
