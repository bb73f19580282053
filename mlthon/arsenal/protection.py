"""Take-profit and stop-loss orders: they belong to a position, and go when it goes.

They are placed when the order that opened the position is over, for what it filled. Whatever makes the position smaller
(a close, the other of the two, a liquidation) makes them smaller too, the oldest first. One that the exchange refuses
because its price has been passed already is carried out at market at once; refused for another reason it is tried again
every second for as long as there is a position.
"""

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from mlthon.arsenal.market import Pair
from mlthon.arsenal.orders import OVER, OrderStatus, Purpose, Ticket
from mlthon.arsenal.sizing import ticks_of
from mlthon.arsenal.wishes import Action
from mlthon.basics.defs import GtwRejectCode
from mlthon.engine.clock import SECOND

if TYPE_CHECKING:
    from mlthon.arsenal.trader import Trader

AGAIN: Final = SECOND
"""How long (ns) after a refusal it is tried again."""
_CLOSES: Final = {1: Action.CLOSE_LONG, -1: Action.CLOSE_SHORT}
_BOTH: Final = (Purpose.PROFIT, Purpose.LOSS)


class Protection:
    """One trader's. `_leaving`: ids of those whose cancel is under way."""

    def __init__(self, trader: "Trader") -> None:
        self._trader = trader
        self._leaving: set[str] = set()

    def over(self, ticket: Ticket) -> None:
        """An order is over: protect what it opened. One that protects and is cancelled unasked has to come back."""
        if ticket.purpose is not Purpose.WISH and ticket.client_id not in self._leaving:
            if ticket.status is OrderStatus.CANCELED and ticket.accepted:
                self._again(ticket)
            return
        self._leaving.discard(ticket.client_id)
        wish = ticket.wish
        if wish is None or not ticket.filled or ticket.purpose is not Purpose.WISH:
            return
        for purpose, price in ((Purpose.PROFIT, wish.profit), (Purpose.LOSS, wish.loss)):
            if price is not None:
                self._place(ticket.pair, ticket.action.leg, purpose, ticks_of(ticket.pair, price, 0), ticket.filled)

    def _place(self, pair: Pair, leg: int, purpose: Purpose, trigger: int, lots: int) -> None:
        trader = self._trader
        lots = min(lots, trader.holdings[pair].lots(leg) - self._covered(pair, leg, purpose))
        if lots <= 0 or trader.is_stopped:
            return
        client_id = trader.session.new_client_id()
        trader.send(Ticket(client_id, pair, _CLOSES[leg], lots, 0, trader.now, None, purpose, trigger))

    def _of(self, pair: Pair, leg: int, purpose: Purpose) -> list[Ticket]:
        return [
            each
            for each in self._trader.tickets.open_of(pair)
            if each.purpose is purpose and each.action.leg == leg and each.client_id not in self._leaving
        ]

    def _covered(self, pair: Pair, leg: int, purpose: Purpose) -> int:
        return sum(each.leaves for each in self._of(pair, leg, purpose))

    def fit(self, pair: Pair) -> None:
        """A position has changed: what protects more than there is goes."""
        for leg in _CLOSES:
            held = self._trader.holdings[pair].lots(leg)
            for purpose in _BOTH:
                self._fit(pair, leg, purpose, self._covered(pair, leg, purpose) - held)

    def leave(self, ticket: Ticket) -> None:
        """Its cancel is asked for: it is not to come back."""
        if ticket.purpose is not Purpose.WISH:
            self._leaving.add(ticket.client_id)

    def _fit(self, pair: Pair, leg: int, purpose: Purpose, excess: int) -> None:
        for each in self._of(pair, leg, purpose):
            if excess <= 0:
                return
            leaves = each.leaves
            self._trader.cancel(each)
            kept = leaves - excess
            excess -= leaves
            if kept > 0:
                self._place(pair, leg, purpose, each.trigger, kept)

    def resume(self, lost: Iterable[Ticket]) -> None:
        """Protect anew what an earlier run protected: its stop, or the guard, has cancelled these orders."""
        for each in lost:
            if each.purpose is not Purpose.WISH:
                self._place(each.pair, each.action.leg, each.purpose, each.trigger, each.lots - each.filled)

    def refused(self, ticket: Ticket, code: GtwRejectCode) -> None:
        """The exchange refused an order; if it was to protect a position, that still has to be."""
        if ticket.purpose is Purpose.WISH or ticket.status not in OVER:
            return
        trader, pair, leg = self._trader, ticket.pair, ticket.action.leg
        lots = min(ticket.lots, trader.holdings[pair].lots(leg))
        if lots <= 0 or trader.is_stopped:
            return
        if code is GtwRejectCode.StopWouldTrigger:
            trader.say(
                f"{pair.name}: the price of the {ticket.purpose.value} order has been passed: closed at market",
                logging.WARNING,
            )
            client_id = trader.session.new_client_id()
            trader.send(Ticket(client_id, pair, _CLOSES[leg], lots, 0, trader.now))
            return
        self._again(ticket)

    def _again(self, ticket: Ticket) -> None:
        trader = self._trader
        again = (ticket.pair, ticket.action.leg, ticket.purpose, ticket.trigger, ticket.lots)
        trader.session.clock.call_at(trader.now + AGAIN, self._place, *again)
