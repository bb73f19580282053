"""Child orders (OTO): placed when their parent is wholly filled, with the balances of that moment.

What a filled parent owes is kept from the moment of its last fill until its children are sent, so that a program that
dies between the two places them in its next life. It is forgotten before they are sent: sent twice is worse than not
at all.
"""

import json
import logging
from functools import partial
from typing import TYPE_CHECKING, Final

from mlthon.arsenal.orders import OVER, OrderStatus, Ticket
from mlthon.arsenal.placing import TooManyOrders
from mlthon.arsenal.wishes import ArgumentError, loaded

if TYPE_CHECKING:
    from mlthon.arsenal.trader import Trader

_KEY: Final = "children/"


class Children:
    """One trader's."""

    def __init__(self, trader: "Trader") -> None:
        self._trader = trader
        self._waiting: set[str] = set()

    def changed(self, ticket: Ticket) -> None:
        """An order has changed, of which nothing more is kept if it is over."""
        children = ticket.wish.children if ticket.wish is not None else ()
        if not children or ticket.status not in OVER:
            return
        if ticket.status is not OrderStatus.FILLED:
            text = f"order {ticket.client_id} was not filled: its child orders are not placed"
            self._trader.say(text, logging.WARNING)
            return
        key = _KEY + ticket.client_id
        self._trader.state.put(key, json.dumps([each.dump() for each in children]))
        self._await(key)

    def resume(self) -> None:
        """Place what an earlier run owed."""
        for key, _ in self._trader.state.items(_KEY):
            if key not in self._waiting:
                self._await(key)

    def suspend(self) -> None:
        """The trader is stopped: what waits is placed when it is started again."""
        self._waiting.clear()

    def _await(self, key: str) -> None:
        if not self._trader.is_stopped:
            self._waiting.add(key)
            self._trader.turn("child orders", partial(self._place, key))

    def _place(self, key: str) -> None:
        trader = self._trader
        self._waiting.discard(key)
        text = trader.state.get(key)
        trader.state.put(key, None)
        for each in () if text is None else json.loads(text):
            try:
                trader.placing.place(loaded(each))
            except (ArgumentError, TooManyOrders) as error:
                trader.say(f"child order: {error}", logging.ERROR)
