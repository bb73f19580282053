"""Take-profit and stop-loss orders: they belong to a position, and go when it goes.

They are placed for what the order that opens the position has filled: of a market order once it is over, of a limit
order, which may take its time, within `GATHERED` of a fill; they grow with it. Whatever makes the position smaller
(a close, the other of the two, a liquidation) makes them smaller too, the oldest first. One that the exchange refuses
because its price has been passed already is carried out at market at once; refused for another reason it is tried again
every second for as long as there is a position.
"""

import logging
from collections.abc import Iterable
from decimal import Decimal
from functools import partial
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
GATHERED: Final = SECOND
"""For how long (ns) the fills of a limit order are gathered."""
_CLOSES: Final = {1: Action.CLOSE_LONG, -1: Action.CLOSE_SHORT}
_BOTH: Final = (Purpose.PROFIT, Purpose.LOSS)


class Protection:
    """One trader's. `_leaving`: ids of those whose cancel is under way. `_gathering`: of orders whose fills are being
    gathered."""

    def __init__(self, trader: "Trader") -> None:
        self._trader = trader
        self._leaving: set[str] = set()
        self._gathering: set[str] = set()
        self._replaced: set[str] = set()

    def changed(self, ticket: Ticket) -> None:
        """An order has changed: protect what it opened. One that protects and is cancelled unasked has to come back."""
        if ticket.purpose is Purpose.WISH:
            if ticket.status in OVER:
                self._protect(ticket)
            elif ticket.ticks and ticket.filled > ticket.protected:
                self._gather(ticket)
        elif ticket.status in OVER:
            self._over(ticket)

    def is_replaced(self, ticket: Ticket) -> bool:
        """Whether it was cancelled for another one of its kind: nothing that a strategy has to know."""
        return ticket.status is OrderStatus.CANCELED and ticket.client_id in self._replaced

    def _over(self, ticket: Ticket) -> None:
        self._replaced.discard(ticket.client_id)
        if ticket.client_id in self._leaving:
            self._leaving.discard(ticket.client_id)
        elif ticket.status is OrderStatus.CANCELED and ticket.accepted:
            self._again(ticket)

    def _gather(self, ticket: Ticket) -> None:
        if ticket.client_id not in self._gathering and any(_prices(ticket)):
            self._gathering.add(ticket.client_id)
            self._trader.session.clock.call_at(self._trader.now + GATHERED, self._gathered, ticket)

    def _gathered(self, ticket: Ticket) -> None:
        self._gathering.discard(ticket.client_id)
        # less than the smallest order waits for more
        if ticket.filled - ticket.protected >= ticket.pair.instrument.min_lots:
            self._protect(ticket)

    def _protect(self, ticket: Ticket) -> None:
        """Protect what it filled since the last time. What protects the rest of it is made greater."""
        lots, before = ticket.filled - ticket.protected, ticket.protected
        if lots <= 0 or self._trader.is_stopped:
            return
        ticket.protected = ticket.filled
        if ticket.status not in OVER:
            self._trader.tickets.keep(ticket)
        for purpose, price in zip(_BOTH, _prices(ticket), strict=True):
            if price is not None:
                trigger = ticks_of(ticket.pair, price, 0)
                more = self._taken_back(ticket.pair, ticket.action.leg, purpose, trigger) if before else 0
                self._place(ticket.pair, ticket.action.leg, purpose, trigger, lots + more)

    def _taken_back(self, pair: Pair, leg: int, purpose: Purpose, trigger: int) -> int:
        """Cancel what protects at this price, to be placed anew; gives its lots. An order for each fill would be more
        than exchanges allow."""
        mine = [each for each in self._of(pair, leg, purpose) if each.trigger == trigger]
        lots = sum(each.leaves for each in mine)
        for each in mine:
            self._replaced.add(each.client_id)
            self._trader.cancel(each)
        return lots

    def _place(self, pair: Pair, leg: int, purpose: Purpose, trigger: int, lots: int) -> None:
        trader = self._trader
        if not trader.turns.open:  # an order of an earlier run was filled meanwhile
            trader.turn("protection", partial(self._place, pair, leg, purpose, trigger, lots))
            return
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

    def stays(self, ticket: Ticket) -> None:
        """Its cancel was refused: it protects still, and where that is too much, is cancelled again."""
        if ticket.client_id in self._leaving:
            self._leaving.discard(ticket.client_id)
            self._trader.session.clock.call_at(self._trader.now + AGAIN, self.fit, ticket.pair)

    def _fit(self, pair: Pair, leg: int, purpose: Purpose, excess: int) -> None:
        for each in self._of(pair, leg, purpose):
            if excess <= 0:
                return
            leaves = each.leaves
            self._trader.cancel(each)
            kept = leaves - excess
            excess -= leaves
            if kept > 0:
                self._replaced.add(each.client_id)
                self._place(pair, leg, purpose, each.trigger, kept)

    def resume(self, lost: Iterable[Ticket]) -> None:
        """Protect anew what an earlier run protected: its stop, or the guard, has cancelled these orders. And what its
        orders that are open still have filled meanwhile."""
        for each in lost:
            if each.purpose is not Purpose.WISH:
                self._place(each.pair, each.action.leg, each.purpose, each.trigger, each.lots - each.filled)
            elif each.wish is not None and (each.wish.children or any(_prices(each))):
                self._trader.say(
                    f"what became of order {each.client_id} of an earlier run is not known: "
                    "its child, take-profit and stop-loss orders are not placed",
                    logging.WARNING,
                )
        for each in self._trader.tickets.open():
            self.changed(each)
        for pair in self._trader.pairs:  # it may have become smaller before the orders were known
            if not pair.spot:
                self.fit(pair)

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


def _prices(ticket: Ticket) -> tuple[Decimal | None, Decimal | None]:
    """At what prices (take-profit, stop-loss) what the order opens is to be protected."""
    wish = ticket.wish
    return (None, None) if wish is None else (wish.profit, wish.loss)
