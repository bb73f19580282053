"""What a strategy holds in a pair, in the platform's form: a long and a short position side by side.

Each fill counts for the position that its order was about. An exchange that nets holds the difference; so closing one
of two positions may mean that the exchange's own grows. Entry prices are those of our fills.
"""

import json
from collections.abc import Mapping, Sequence
from copy import copy

from attrs import frozen

from mlthon.arsenal.account import Frozen
from mlthon.arsenal.market import Pair
from mlthon.arsenal.orders import OrderView
from mlthon.exchange.contracts import Position


class Holdings:
    """See the module. `long` has lots of 0 or more, `short` of 0 or less."""

    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        self.long = Position(pair.contract)
        self.short = Position(pair.contract)

    @property
    def net(self) -> int:
        """What an exchange that nets holds."""
        return self.long.lots + self.short.lots

    def lots(self, leg: int) -> int:
        """The size of a position, never negative."""
        return self.long.lots if leg > 0 else -self.short.lots

    def position(self, leg: int) -> Position:
        return self.long if leg > 0 else self.short

    def entry(self, leg: int) -> int:
        """The entry price of a position in whole ticks; 0 where there is none."""
        position = self.position(leg)
        return round(position.entry_price / self.pair.price(1)) if position.lots else 0

    def fill(self, leg: int, side: int, lots: int, price: int) -> None:
        """A fill of an order about a position. Of a close what is more than the position opens the other one: the
        exchange holds it, whatever was meant."""
        unit = self.pair.contract.unit_value(price)
        if side == leg:
            self.position(leg).trade(side * lots, unit)
            return
        closed = min(lots, self.lots(leg))
        if closed:
            self.position(leg).trade(side * closed, unit)
        if lots > closed:
            self.position(side).trade(side * (lots - closed), unit)

    def foreign(self, side: int, lots: int, price: int) -> None:
        """A fill of an order that is not ours, such as a liquidation: it closes before it opens."""
        self.fill(-side, side, lots, price)

    def adopt(self, net: int, entry: float) -> None:
        """Hold what the exchange says, as one position, at its entry price (the mark where it has none)."""
        self.long, self.short = Position(self.pair.contract), Position(self.pair.contract)
        ticks = round(entry / self.pair.price(1)) if entry > 0 else self.pair.mark()
        if net and ticks > 0:
            (self.long if net > 0 else self.short).trade(net, self.pair.contract.unit_value(ticks))

    def copy(self) -> "Holdings":
        """The same, which stays as it is."""
        found = Holdings(self.pair)
        found.long, found.short = copy(self.long), copy(self.short)
        return found

    def dump(self) -> str | None:
        """As text; None when flat."""
        if not self.long.lots and not self.short.lots:
            return None
        return json.dumps([self.long.lots, str(self.long.cost), self.short.lots, str(self.short.cost)])

    def load(self, text: str) -> None:
        """What `dump` gave."""
        long_lots, long_cost, short_lots, short_cost = json.loads(text)
        self.long.lots, self.long.cost = long_lots, int(long_cost)
        self.short.lots, self.short.cost = short_lots, int(short_cost)


@frozen
class Moment:
    """The account as a callback sees it, and `orders`, the newest first, without those that it placed."""

    frozen: Frozen
    holdings: Mapping[Pair, Holdings]
    orders: Sequence[OrderView] = ()
