"""From a wish to an order: what may be ordered at all, how much of it, and how often.

wish → suits the pair, id not used → lots (`sizing`) → no more than is left to close → `Trader.send`
"""

import logging
from typing import TYPE_CHECKING, Final

from mlthon.arsenal.market import Pair
from mlthon.arsenal.orders import Purpose, Ticket
from mlthon.arsenal.sizing import Funds, NothingToDo, lots_of, ticks_of
from mlthon.arsenal.wishes import ArgumentError, Wish
from mlthon.engine.candles import MINUTE

if TYPE_CHECKING:
    from mlthon.arsenal.trader import Trader

MOST_ORDERS: Final = 500
"""Orders that a strategy may place in a period (documented)."""


class TooManyOrders(RuntimeError):
    """More orders in a period than the platform allows."""


class Placing:
    """One trader's. `period`: the time (ns) in which there may be `MOST_ORDERS`."""

    def __init__(self, trader: "Trader") -> None:
        self._trader = trader
        self.period = MINUTE
        self._counted = (0, 0)

    def place(self, wish: Wish, funds: Funds | None = None) -> Ticket | None:
        """Order what is wished; None, with a line in the log, where it comes to nothing. `funds`: as frozen when the
        callback began. Raises `ArgumentError` and `TooManyOrders`."""
        pair = self._trader.find_pair(wish.exchange, wish.pair)
        self._suits(wish, pair)
        if wish.client_order_id is not None and self.is_used(wish.client_order_id):
            raise ArgumentError("client_order_id", f"{wish.client_order_id} was used before")
        try:
            lots = self._still_there(wish, pair, lots_of(wish, pair, funds or self._trader.funds(pair)))
        except NothingToDo as nothing:
            self._trader.say(f"{wish.action.value} {pair.name}: no order: {nothing}", logging.WARNING)
            return None
        ticks = 0 if wish.limit is None else ticks_of(pair, wish.limit, wish.action.side)
        self._count()
        client_id = wish.client_order_id or self._trader.session.new_client_id()
        return self._trader.send(Ticket(client_id, pair, wish.action, lots, ticks, self._trader.now, wish))

    def _still_there(self, wish: Wish, pair: Pair, lots: int) -> int:
        """A close is of no more than what is left by now: what was frozen does not show what this callback has closed,
        and beside the other position a second close would open one. Raises `NothingToDo`."""
        if wish.action.spot or wish.action.opens:
            return lots
        left = self.closable(pair, wish.action.leg)
        if not left:
            raise NothingToDo("all of the position is being closed already")
        return min(lots, left)

    def _count(self) -> None:
        """Raises `TooManyOrders`."""
        period, placed = self._counted
        now = self._trader.now // self.period
        placed = placed if period == now else 0
        if placed >= MOST_ORDERS:
            raise TooManyOrders(f"more than {MOST_ORDERS} orders in one period")
        self._counted = (now, placed + 1)

    def is_used(self, client_order_id: str) -> bool:
        """Whether an order had this id already."""
        return client_order_id in self._trader.session.orders or self._trader.tickets.find(client_order_id) is not None

    def check(self, wish: Wish) -> None:
        """Raises `ArgumentError` for a wish that can be no order here, whatever there is on the account."""
        self._suits(wish, self._trader.find_pair(wish.exchange, wish.pair))

    def _suits(self, wish: Wish, pair: Pair) -> None:
        if wish.action.spot != pair.spot:
            kind, actions = ("spot", "buy and sell") if pair.spot else ("futures", "open_long, close_long and the like")
            raise ArgumentError(
                "action", f"{wish.action.value} is not for {pair.exchange} {pair.name}, which is {kind}: {actions}"
            )
        for child in wish.children:
            self._suits(child, self._trader.find_pair(child.exchange, child.pair))

    def closable(self, pair: Pair, leg: int) -> int:
        """Lots of a position that no open order closes."""
        mine = [each for each in self._trader.tickets.open_of(pair) if each.closes and each.purpose is Purpose.WISH]
        closing = sum(each.leaves for each in mine if each.action.leg == leg)
        return max(0, self._trader.holdings[pair].lots(leg) - closing)
