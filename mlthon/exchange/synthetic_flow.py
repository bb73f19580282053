"""Carries the rows of the synthetic order flow (`mlthon.data.synthetic`) out on a market of the embedded exchange.

The rows say what somebody wants relative to the market; here it becomes orders in the one book in which strategies
trade too. The flow knows the fair value (where its bids are; its asks are one tick above), and its own resting orders
by price. It never locks the book: an order that would reach the other side rests one tick short of it.

A MOVE is a taker order with consequences: makers withdraw what the new fair value has left on the wrong side of it, and
what others (strategies) have there is taken. What a strategy takes off a level comes back with the following orders; a
price pushed away from the fair value comes back to it.
"""

from collections.abc import Callable
from typing import Final, Protocol

DEPTH: Final = 1_500
"""The flow's orders further behind the fair value than this many ticks are withdrawn."""


class FlowMarket(Protocol):
    """What the flow needs of a market: `mlthon.exchange.market.Market` is one."""

    bid: int
    """The best price (`NO_BID` without bids)."""
    bid_qty: int
    ask: int
    """The best price (`NO_ASK` without asks)."""
    ask_qty: int

    def add(self, side: int, price: int, qty: int) -> int:
        """A limit order; returns its id."""

    def take(self, side: int, qty: int) -> int:
        """A market order; returns what it traded."""

    def remove(self, order_id: int) -> bool:
        """Cancel an order; False when it is not there any more."""


class SyntheticFlow:
    """The anonymous participants of one market."""

    __slots__ = ("_levels", "_market", "_ops", "_origin", "fair")

    def __init__(self, market: FlowMarket, start_price: int) -> None:
        self._market = market
        self._origin = start_price
        self.fair = start_price
        # Ids of own orders in time priority, by price: [1] the bids, [-1] the asks. Those taken meanwhile are still
        # there; all of them are at the front.
        self._levels: tuple[dict[int, list[int]], dict[int, list[int]], dict[int, list[int]]] = ({}, {}, {})
        self._ops: tuple[Callable[[int, int, int], None], ...] = (self._limit, self._cancel, self._take, self._move)

    def shift(self, price: int) -> None:
        """Move the fair value to `price` (ticks), and all that follows with it."""
        new = max(1, price)
        if new == self.fair:
            return
        side = 1 if new > self.fair else -1
        offset = self.fair - self._origin
        self._origin = new - offset
        self._move(side, offset, 1)

    def on_row(self, op: int, side: int, x: int, y: int) -> None:
        """Carry out one row of `mlthon.data.synthetic.generator`."""
        self._ops[op](side, x, y)

    def _limit(self, side: int, distance: int, qty: int) -> None:
        market = self._market
        if side > 0:
            price = self.fair - distance
            if price >= market.ask:
                price = market.ask - 1
        else:
            price = self.fair + 1 + distance
            if price <= market.bid:
                price = market.bid + 1
        if price < 1:
            return
        order_id = market.add(side, price, qty)
        levels = self._levels[side]
        if price in levels:
            levels[price].append(order_id)
        else:
            levels[price] = [order_id]

    def _cancel(self, side: int, distance: int, place: int) -> None:
        market = self._market
        price = market.bid - distance if side > 0 else market.ask + distance
        ids = self._levels[side].get(price)
        if ids is None or place >= len(ids) or (distance == 0 and len(ids) == 1):
            return
        if not market.remove(ids.pop(place)):
            del ids[:place]
        if not ids:
            del self._levels[side][price]

    def _take(self, side: int, _: int, qty: int) -> None:
        self._market.take(side, qty)

    def _move(self, side: int, offset: int, qty: int) -> None:
        market = self._market
        market.take(side, qty)
        old = self.fair
        new = self.fair = self._origin + offset
        # The makers on the side that gives way quote anew before they withdraw: the side is never empty.
        self._limit(-side, 0, qty)
        if side > 0:
            self._withdraw(-1, range(new, old, -1))
            while market.ask <= new:
                market.take(1, market.ask_qty)
            self._withdraw(1, range(old - DEPTH, new - DEPTH))
        else:
            self._withdraw(1, range(new + 1, old + 1))
            while market.bid > new:
                market.take(-1, market.bid_qty)
            self._withdraw(-1, range(old + 1 + DEPTH, new + 1 + DEPTH, -1))

    def _withdraw(self, side: int, prices: range) -> None:
        levels = self._levels[side]
        remove = self._market.remove
        for price in prices:
            for order_id in reversed(levels.pop(price, ())):
                remove(order_id)
