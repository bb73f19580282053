"""Our positions held against the exchange's, at every answer about the account.

Fills may be under way while the exchange answers. So a difference counts only when it lasts: at the very start at once;
where no order is open, when two answers in a row say so; beside orders that protect for `SETTLED`, beside other open
orders for `UNDER_WAY`. Then the exchange is right: a position was changed by hand, or by another program.
"""

import logging
from typing import TYPE_CHECKING, Final

from mlthon.arsenal.account import Detail
from mlthon.arsenal.market import Pair
from mlthon.arsenal.orders import Purpose
from mlthon.engine.clock import SECOND

if TYPE_CHECKING:
    from mlthon.arsenal.trader import Trader

SETTLED: Final = 5 * SECOND
UNDER_WAY: Final = 60 * SECOND


class Comparison:
    """One trader's. `moved`: to be called whenever an order changes."""

    def __init__(self, trader: "Trader") -> None:
        self._trader = trader
        self._moves = 0
        self._moves_asked = 0
        self._known: set[Pair] = set()
        self._looks_again = False
        self._since: dict[Pair, tuple[int, int]] = {}
        """By pair the difference in lots, and since when (ns) it is the same."""

    def moved(self) -> None:
        self._moves += 1

    def asking(self) -> None:
        """The exchange is about to be asked."""
        self._moves_asked = self._moves

    def hold(self, pair: Pair, detail: Detail) -> None:
        """Hold the exchange's position against ours."""
        trader = self._trader
        held = trader.holdings[pair]
        difference = detail.lots - held.net
        if not difference:
            self._known.add(pair)
            self._since.pop(pair, None)
            return
        if self._moves != self._moves_asked:  # orders changed while it answered: that may explain it
            self._since.pop(pair, None)
            self._look_again()
            return
        first = pair not in self._known
        self._known.add(pair)
        known, since = self._since.get(pair, (0, trader.now))
        if known != difference and not first:
            self._since[pair] = (difference, trader.now)
            trader.session.clock.call_at(trader.now + self._patience(pair), trader.look)
            return
        if not first and trader.now - since < self._patience(pair):
            return
        self._since.pop(pair, None)
        trader.say(
            f"{pair.name}: the exchange holds {detail.lots} lots where our fills add up to {held.net}: "
            "taken as the exchange says",
            logging.WARNING if held.net else logging.INFO,
        )
        held.adopt(detail.lots, detail.entry)
        trader.keep(pair)
        trader.protection.fit(pair)

    def _look_again(self) -> None:
        if not self._looks_again:
            self._looks_again = True
            self._trader.session.clock.call_at(self._trader.now + SECOND, self._look)

    def _look(self) -> None:
        self._looks_again = False
        self._trader.look()

    def _patience(self, pair: Pair) -> int:
        opened = self._trader.tickets.open_of(pair)
        if any(each.purpose is Purpose.WISH for each in opened):
            return UNDER_WAY
        return SETTLED if opened else 0
