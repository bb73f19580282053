"""One instrument's book inside a feed handler: its levels, its best prices, and what is passed on of it.

An exchange's sequence rule stands in its feed handler, which says `start` for a snapshot, `change` for a message that
continues the book and `lose` for one that does not. Levels come as the exchange spells them, in text, and become ticks
and lots on the way into the book.

The best price of a side is kept beside its levels: most messages leave it alone, and when it is deleted the next one is
usually a few ticks away. A book whose best bid is not below its best ask is lost.

A receiver with a method `changes` (`mlthon.engine.faces.BookChanges`) gets the levels of a message in one call, any
other one call a level.
"""

from collections.abc import Iterable
from typing import Final, Protocol

from mlthon.engine.faces import LIVE, NO_ASK, NO_BID, RESET, SET_ASK, SET_BID, STALE, MarketEvents
from mlthon.protocols.decimals import Steps

Texts = Iterable[tuple[str, str]]
"""Levels: price and quantity; quantity 0 deletes."""

STEPS_TRIED: Final = 64
"""When the best level is deleted the next is looked for tick by tick, so many times; then among all levels."""


class BookCounts(Protocol):
    """How often books were crossed, and how often something was missing."""

    crossed: int
    gaps: int


class FeedBook:
    """See the module. `live`: whether the book is whole; while it is not nothing is passed on."""

    __slots__ = (
        "_asks",
        "_best_ask",
        "_best_bid",
        "_bids",
        "_changes",
        "_counts",
        "_events",
        "_known_lots",
        "_known_ticks",
        "_lots",
        "_ticks",
        "live",
    )

    def __init__(self, events: MarketEvents, counts: BookCounts, ticks: Steps, lots: Steps) -> None:
        self.live = False
        self._events = events
        self._changes = getattr(events, "changes", None) or self._one_by_one
        self._counts = counts
        self._ticks = ticks
        self._lots = lots
        self._known_ticks = ticks.known
        self._known_lots = lots.known
        self._bids: dict[int, int] = {}
        self._asks: dict[int, int] = {}
        self._best_bid = NO_BID
        self._best_ask = NO_ASK

    def start(self, bids: Texts, asks: Texts, exch_ts: int, recv_ts: int) -> None:
        """A snapshot replaces the book. Raises ValueError for a level that is no price and quantity of the instrument;
        the book is as it was then."""
        new_bids, new_asks = self._levels(bids), self._levels(asks)
        self._bids, self._asks = new_bids, new_asks
        self._best_bid = max(new_bids, default=NO_BID)
        self._best_ask = min(new_asks, default=NO_ASK)
        if self._best_bid >= self._best_ask:
            self._crossed(exch_ts, recv_ts)
            return
        self.live = True
        book = self._events.book
        book(RESET, 0, 0, 0, exch_ts, recv_ts)
        self._changes(list(new_bids.items()), list(new_asks.items()), exch_ts, recv_ts)
        book(LIVE, 0, 0, 0, exch_ts, recv_ts)

    def change(self, bids: Texts, asks: Texts, exch_ts: int, recv_ts: int) -> None:
        """The levels that a message changes. Raises ValueError as `start` does; the book must be lost then."""
        ticks, lots = self._known_ticks, self._known_lots
        changed_bids: list[tuple[int, int]] = []
        changed_asks: list[tuple[int, int]] = []
        bid, ask = self._best_bid, self._best_ask
        if bids:
            levels, lost = self._bids, False
            for price_text, qty_text in bids:
                try:
                    price = ticks[price_text]
                    qty = lots[qty_text]
                except KeyError:
                    price, qty = self._ticks[price_text], self._lots[qty_text]
                if qty:
                    levels[price] = qty
                    if price > bid:
                        bid = price
                elif price in levels:
                    del levels[price]
                    if price == bid:
                        lost = True
                changed_bids.append((price, qty))
            if lost and bid not in levels:
                bid = next_best(levels, bid, -1)
            self._best_bid = bid
        if asks:
            levels, lost = self._asks, False
            for price_text, qty_text in asks:
                try:
                    price = ticks[price_text]
                    qty = lots[qty_text]
                except KeyError:
                    price, qty = self._ticks[price_text], self._lots[qty_text]
                if qty:
                    levels[price] = qty
                    if price < ask:
                        ask = price
                elif price in levels:
                    del levels[price]
                    if price == ask:
                        lost = True
                changed_asks.append((price, qty))
            if lost and ask not in levels:
                ask = next_best(levels, ask, 1)
            self._best_ask = ask
        changes = self._changes
        changes(changed_bids, changed_asks, exch_ts, recv_ts)
        if bid >= ask:
            self._crossed(exch_ts, recv_ts)

    def miss(self, exch_ts: int, recv_ts: int) -> None:
        """A message does not continue the book."""
        self._counts.gaps += 1
        self.lose(exch_ts, recv_ts)

    def lose(self, exch_ts: int, recv_ts: int) -> None:
        """The book cannot be trusted until the next snapshot."""
        if self.live:
            self.live = False
            self._events.book(STALE, 0, 0, 0, exch_ts, recv_ts)

    def disconnected(self, recv_ts: int) -> None:
        """The connection is lost: what comes next continues nothing."""
        self.lose(0, recv_ts)

    def top(self) -> tuple[int, int, int, int]:
        """Best bid and its quantity, best ask and its quantity, as `MarketEvents.quote` has them."""
        bid, ask = self._best_bid, self._best_ask
        return bid, self._bids.get(bid, 0), ask, self._asks.get(ask, 0)

    def _levels(self, texts: Texts) -> dict[int, int]:
        ticks, lots = self._ticks, self._lots
        return {ticks[price]: qty for price, qty_text in texts if (qty := lots[qty_text])}

    def _crossed(self, exch_ts: int, recv_ts: int) -> None:
        self._counts.crossed += 1
        self.lose(exch_ts, recv_ts)

    def _one_by_one(self, bids: list[tuple[int, int]], asks: list[tuple[int, int]], exch_ts: int, recv_ts: int) -> None:
        book = self._events.book
        for price, qty in bids:
            book(SET_BID, price, qty, 0, exch_ts, recv_ts)
        for price, qty in asks:
            book(SET_ASK, price, qty, 0, exch_ts, recv_ts)


def next_best(levels: dict[int, int], best: int, step: int) -> int:
    """The best price of `levels` when `best`, better than or equal to all of them, is gone; `step` leads away from
    it."""
    if not levels:
        return NO_BID if step < 0 else NO_ASK
    for price in range(best + step, best + step * STEPS_TRIED, step):
        if price in levels:
            return price
    return max(levels) if step < 0 else min(levels)
