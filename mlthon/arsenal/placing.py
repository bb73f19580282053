"""From a wish to an order: what may be ordered at all, how much of it, and how often.

wish → suits the pair, id not used → lots (`sizing`) → no more than is left to close → `Trader.send`
"""

import logging
from typing import TYPE_CHECKING, Final

from attrs import evolve

from mlthon.arsenal.market import Pair
from mlthon.arsenal.orders import Purpose, Ticket
from mlthon.arsenal.sizing import NothingToDo, lots_of, most_percent, ticks_of
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

    def place(self, wish: Wish) -> Ticket | None:
        """Order what is wished; None, with a line in the log, where it comes to nothing. Raises `ArgumentError` and
        `TooManyOrders`."""
        try:
            return self.order(wish)
        except NothingToDo as nothing:
            pair = self._trader.find_pair(wish.exchange, wish.pair)
            self._trader.say(f"{wish.action.value} {pair.name}: no order: {nothing}", logging.WARNING)
            return None

    def order(self, wish: Wish, *, signalled: bool = False) -> Ticket:
        """Order what is wished. `signalled`: a signal asks for it, which is carried out by the rules. Raises
        `ArgumentError`, `TooManyOrders`, and `NothingToDo` where it comes to nothing."""
        pair = self._trader.find_pair(wish.exchange, wish.pair)
        of_margin = self._is_of_margin(signalled)
        self._suits(wish, pair, of_margin)
        if wish.client_order_id is not None and self.is_used(wish.client_order_id):
            raise ArgumentError("client_order_id", f"{wish.client_order_id} was used before")
        funds = evolve(self._trader.funds(pair), of_margin=of_margin)
        lots = self._still_there(wish, pair, lots_of(wish, pair, funds))
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

    def check(self, wish: Wish, *, signalled: bool = False) -> None:
        """Raises `ArgumentError` for a wish that can be no order here, whatever there is on the account."""
        self._suits(wish, self._trader.find_pair(wish.exchange, wish.pair), self._is_of_margin(signalled))

    def _is_of_margin(self, signalled: bool) -> bool:
        """What a percentage of an open is of. By the vendor's documentation a strategy multiplies it by the leverage
        itself; and so does the vendor's own strategy for signals, in whose place the rules stand."""
        chosen = self._trader.settings.of_margin
        return signalled if chosen is None else chosen

    def _suits(self, wish: Wish, pair: Pair, of_margin: bool, where: str = "") -> None:
        if wish.action.spot != pair.spot:
            kind, actions = ("spot", "buy and sell") if pair.spot else ("futures", "open_long, close_long and the like")
            raise ArgumentError(
                f"{where}action",
                f"{wish.action.value} is not for {pair.exchange} {pair.name}, which is {kind}: {actions}",
            )
        if not pair.spot and wish.action.opens and wish.percent is not None:
            leverage = self._trader.settings.leverage
            if wish.percent > most_percent(leverage, of_margin):
                most = "100" if of_margin else f"100 times the leverage, which is {float(leverage):g}"
                raise ArgumentError(f"{where}percent", f"{wish.percent} is above {most}")
        for place, child in enumerate(wish.children):
            there = f"{where}child_conditional_orders[{place}]."
            self._suits(child, self._child_pair(child, there), of_margin, there)

    def _child_pair(self, child: Wish, where: str) -> Pair:
        try:
            return self._trader.find_pair(child.exchange, child.pair)
        except ArgumentError as error:
            raise ArgumentError(f"{where}{error.argument}", error.text) from None

    def closable(self, pair: Pair, leg: int) -> int:
        """Lots of a position that no open order closes."""
        mine = [each for each in self._trader.tickets.open_of(pair) if each.closes and each.purpose is Purpose.WISH]
        closing = sum(each.leaves for each in mine if each.action.leg == leg)
        return max(0, self._trader.holdings[pair].lots(leg) - closing)
