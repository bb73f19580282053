"""The orders of a strategy: open ones and the last that are over. What an open one needs is kept in the state."""

import json
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from mlthon.arsenal.market import Pair
from mlthon.arsenal.orders import OVER, OrderStatus, OrderView, Purpose, Ticket
from mlthon.arsenal.wishes import Action, ArgumentError, action_of, loaded
from mlthon.basics.defs import Side
from mlthon.engine.clock import MS
from mlthon.engine.state import State

KEPT: Final = 1000
"""Orders that are over are remembered up to this number."""
_KEY: Final = "order/"


class Tickets:
    """See the module. `find_pair`: by exchange and pair."""

    def __init__(self, state: State, find_pair: Callable[[str, str], Pair]) -> None:
        self._state = state
        self._find_pair = find_pair
        self._open: dict[str, Ticket] = {}
        self._over: dict[str, Ticket] = {}
        self._oldest: deque[str] = deque()
        self._last = 0
        self._earlier: dict[str, Ticket] = {}
        """What an earlier run left open, as far as it is not known yet what became of it."""
        for key, text in state.items(_KEY):
            kept = json.loads(text)
            if self._is_traded(kept):
                ticket = _loaded(key.removeprefix(_KEY), find_pair(kept["exchange"], kept["pair"]), kept)
                self._earlier[ticket.client_id] = ticket

    def add(self, ticket: Ticket) -> None:
        self._numbered(ticket)
        self._open[ticket.client_id] = ticket
        self._state.put(_KEY + ticket.client_id, ticket.dump())

    def _numbered(self, ticket: Ticket) -> None:
        """Its number is the time in ms, as the platform's are, or the next one."""
        ticket.number = ticket.number or max(self._last + 1, ticket.created // MS)
        self._last = max(self._last, ticket.number)

    def of_number(self, number: int) -> Ticket | None:
        """The order whose `order_id` this is."""
        return next((each for each in (*self._open.values(), *self._over.values()) if each.number == number), None)

    def find(self, client_id: str) -> Ticket | None:
        return self._open.get(client_id) or self._over.get(client_id) or self._earlier.get(client_id)

    def knows(self, client_id: str) -> bool:
        """Whether it is an order of this run, or has been adopted."""
        return client_id in self._open or client_id in self._over

    def open(self) -> list[Ticket]:
        return list(self._open.values())

    def open_of(self, pair: Pair) -> list[Ticket]:
        return [each for each in self._open.values() if each.pair is pair]

    def keep(self, ticket: Ticket, *, remember: bool = False) -> None:
        """It has changed. `remember`: although it is over, the next run shall know of it."""
        if ticket.status not in OVER or remember:
            self._state.put(_KEY + ticket.client_id, ticket.dump())
        else:
            self._state.put(_KEY + ticket.client_id, None)
        if ticket.status not in OVER:
            return
        earlier = self._earlier.pop(ticket.client_id, None)
        if (self._open.pop(ticket.client_id, None) or earlier) is not None:
            self._over[ticket.client_id] = ticket
            self._oldest.append(ticket.client_id)
            if len(self._oldest) > KEPT:
                del self._over[self._oldest.popleft()]

    def views(self, status: OrderStatus | None, limit: int) -> list[OrderView]:
        """Orders of this status (None: any), the newest first."""
        every = [*self._open.values(), *self._over.values()]
        found = [each for each in every if status is None or each.status is status]
        found.sort(key=lambda each: each.number, reverse=True)
        return [each.view() for each in found[:limit]]

    # -- after a restart ---------------------------------------------------------------------------------------------

    def adopt(self, order: Any, pair: Pair, now: int) -> None:
        """Go on with an open order of an earlier run: `order` is the engine's. One of which nothing was kept counts as
        an open, or on spot as a buy or sell."""
        client_id = str(order.get_client_id())
        earlier = self._earlier.pop(client_id, None)
        scale = pair.instrument.qty_scale
        lots, leaves = scale.steps(order.get_qty()), scale.steps(order.get_leaves_qty())
        ticket = earlier or _guessed(order, pair, lots, now)
        ticket.lots = lots
        ticket.filled = lots - leaves
        ticket.status = OrderStatus.PARTIALLY_FILLED if ticket.filled else OrderStatus.NEW
        ticket.accepted = True
        self._numbered(ticket)
        self._open[client_id] = ticket

    def lost(self) -> list[Ticket]:
        """What was kept of orders of an earlier run that are not open any more; it is kept no longer."""
        found = []
        for key, text in list(self._state.items(_KEY)):
            client_id, kept = key.removeprefix(_KEY), json.loads(text)
            if client_id not in self._open:
                self._state.put(key, None)
                self._earlier.pop(client_id, None)
                if self._is_traded(kept):
                    found.append(_loaded(client_id, self._find_pair(kept["exchange"], kept["pair"]), kept))
        return found

    def _is_traded(self, kept: dict[str, Any]) -> bool:
        try:
            self._find_pair(kept["exchange"], kept["pair"])
        except ArgumentError:
            return False
        return True

    def __iter__(self) -> Iterator[Ticket]:
        return iter(self.open())


def _loaded(client_id: str, pair: Pair, kept: dict[str, Any]) -> Ticket:
    ticket = Ticket(
        client_id,
        pair,
        action_of(kept["action"]),
        kept["lots"],
        kept["ticks"],
        kept["created"],
        None if kept["wish"] is None else loaded(kept["wish"]),
        Purpose(kept["purpose"]),
        kept["trigger"],
    )
    ticket.cost = kept["cost"]
    ticket.filled = kept["filled"]
    ticket.status = OrderStatus.PARTIALLY_FILLED if ticket.filled else OrderStatus.NEW
    ticket.protected = kept.get("protected", 0)
    ticket.number = kept.get("number", 0)
    return ticket


def _guessed(order: Any, pair: Pair, lots: int, now: int) -> Ticket:
    actions: Sequence[Action] = (Action.BUY, Action.SELL) if pair.spot else (Action.OPEN_LONG, Action.OPEN_SHORT)
    action = actions[0] if order.get_side() is Side.Buy else actions[1]
    price = order.get_price()
    ticks = pair.instrument.price_scale.steps(price) if price else 0
    return Ticket(str(order.get_client_id()), pair, action, lots, ticks, now)
