"""Stop orders that wait for their price.

Stop and StopLimit orders wait for the price to move against them (a buy for a rise), TakeProfit orders for the
opposite. The price is the last trade's; where the data has no trades, the ask for a buy and the bid for a sell.
"""

from typing import Final

from mlthon.basics.defs import OrderType
from mlthon.engine.faces import NO_ASK, NO_BID
from mlthon.exchange.book import AccountOrder

NO_LOW: Final = NO_BID - 1
NO_HIGH: Final = NO_ASK + 1


def waits_for_rise(order: AccountOrder) -> bool:
    """Whether the order triggers at or above its stop price (else at or below)."""
    return (order.side > 0) != (order.order_type is OrderType.TakeProfit)


class Triggers:
    """The waiting orders of one market. `waiting`: how many; `low`: the highest stop price that a fall may reach;
    `high`: the lowest that a rise may."""

    __slots__ = ("_fallers", "_risers", "high", "low", "waiting")

    def __init__(self) -> None:
        self._risers: dict[int, AccountOrder] = {}
        self._fallers: dict[int, AccountOrder] = {}
        self.low = NO_LOW
        self.high = NO_HIGH
        self.waiting = 0

    def add(self, order: AccountOrder) -> None:
        """Let the order wait."""
        (self._risers if waits_for_rise(order) else self._fallers)[order.order_id] = order
        self._measure()

    def discard(self, order: AccountOrder) -> None:
        """The order waits no longer, if it did."""
        self._risers.pop(order.order_id, None)
        self._fallers.pop(order.order_id, None)
        self._measure()

    def due(self, last: int, bid: int, ask: int) -> list[AccountOrder]:
        """The orders that trigger now, oldest first. `last`: the last trade's price, -1 when the data has none."""
        waiting = sorted([*self._risers.values(), *self._fallers.values()], key=lambda order: order.order_id)
        return [order for order in waiting if triggered(order, last, bid, ask)]

    def _measure(self) -> None:
        self.waiting = len(self._risers) + len(self._fallers)
        self.low = max((order.stop_price or 0 for order in self._fallers.values()), default=NO_LOW)
        self.high = min((order.stop_price or 0 for order in self._risers.values()), default=NO_HIGH)


def triggered(order: AccountOrder, last: int, bid: int, ask: int) -> bool:
    """Whether the order triggers at these prices."""
    price = last
    if price < 0:
        price = ask if order.side > 0 else bid
        if price in (NO_ASK, NO_BID):
            return False
    stop = order.stop_price or 0
    return price >= stop if waits_for_rise(order) else price <= stop
