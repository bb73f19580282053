"""`Market`: one instrument of the embedded exchange; its market data, and the band outside which they matter.

**Market data** comes in through `on_quote`, `on_trade` and `on_book` at exchange time. The touch is what quotes say;
without any quote it is the best level of the depth, and without depth the last trade's price less and plus the
configured half spread (such a touch serves takers; resting orders then trade with trades alone).

**The watch band.** Between `watch_low` and `watch_high` nothing can happen: they are the nearest on either side of own
resting orders, stop triggers, liquidation bounds and levels that takers of ours took from. An event whose prices lie
strictly between them is stored and that is all.

What this does to resting orders is in `queueing`.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from mlthon.engine.faces import LIVE, NO_ASK, NO_BID, ORDER_ASK, ORDER_BID, RESET, SET_ASK, SET_BID, STALE
from mlthon.exchange.matching import NO_PRICE
from mlthon.exchange.queueing import Queueing

if TYPE_CHECKING:
    from mlthon.basics.instrument import Instrument
    from mlthon.engine.faces import MarketEvents
    from mlthon.exchange.exchange import EmbeddedExchange

NO_LOW: Final = NO_BID - 1
NO_HIGH: Final = NO_ASK + 1
# The widest watch band: small integers compare quicker. What lies beyond it is looked at in full, which is no error.
WIDEST_LOW: Final = 0
WIDEST_HIGH: Final = (1 << 30) - 1

Lane = Callable[[int, int, int, int, int, int], None]
"""Takes the four values of a row of market data and its two times."""

# Where the touch comes from, the better the higher.
NOTHING: Final = 0
TRADES: Final = 1
DEPTH: Final = 2
QUOTES: Final = 3


class Market(Queueing):
    """See the module text. Prices in ticks, quantities in lots, times in ns. `always_look` switches the watch band
    off, for tests that compare."""

    __slots__ = (
        "_bound_high",
        "_bound_low",
        "_set",
        "_singles",
        "_source",
        "_whole",
        "always_look",
        "watch_high",
        "watch_low",
    )

    def __init__(self, exchange: "EmbeddedExchange", instrument: "Instrument") -> None:
        super().__init__(exchange, instrument)
        self._source = NOTHING
        self._set = (NO_BID, 0, NO_ASK, 0)
        self._whole = True
        self._singles: dict[int, tuple[int, int, int]] = {}
        self.always_look = False
        self.watch_low = WIDEST_LOW
        self.watch_high = WIDEST_HIGH
        self._bound_low = NO_LOW
        self._bound_high = NO_HIGH

    # -- market data in ----------------------------------------------------------------------------------------------

    def on_quote(self, bid: int, bid_qty: int, ask: int, ask_qty: int, ts: int) -> None:
        """The best bid and ask are now these. A quantity of 0 at a price means a size that is not known."""
        self.bid = bid
        self.bid_qty = bid_qty
        self.ask = ask
        self.ask_qty = ask_qty
        # the last comparison is for crossed quotes, whose bid says nothing of their ask
        if bid <= self.watch_low or ask >= self.watch_high or ask <= bid:
            self._look()

    def quote_lane(self, hears: "MarketEvents") -> Lane:
        """`on_quote` and, in the same call, `hears.quote`: the way of most rows of a backtest, so it is kept short.
        What it calls is looked up for each row, because it changes with the subscriptions."""

        def quote(bid: int, bid_qty: int, ask: int, ask_qty: int, exch_ts: int, recv_ts: int) -> None:
            self.bid = bid
            self.bid_qty = bid_qty
            self.ask = ask
            self.ask_qty = ask_qty
            if bid <= self.watch_low or ask >= self.watch_high or ask <= bid:
                self._look()
            hears.quote(bid, bid_qty, ask, ask_qty, exch_ts, recv_ts)

        return quote

    def trade_lane(self, hears: "MarketEvents") -> Lane:
        """`on_trade` and, in the same call, `hears.trade`."""

        def trade(price: int, qty: int, side: int, trade_id: int, exch_ts: int, recv_ts: int) -> None:
            self.last = price
            if price <= self.watch_low or price >= self.watch_high:
                self._trade_near(price, qty, side)
            hears.trade(price, qty, side, trade_id, exch_ts, recv_ts)

        return trade

    def on_trade(self, price: int, qty: int, side: int, ts: int) -> None:
        """A public trade; `side` is the taker's, 0 if the data does not say."""
        self.last = price
        if price <= self.watch_low or price >= self.watch_high:
            self._trade_near(price, qty, side)

    def on_book(self, op: int, price: int, qty: int, level_id: int, ts: int) -> None:
        """A change of the depth; `op` as in `faces.py`."""
        if op == SET_BID:
            if qty:
                self.depth_bids[price] = qty
            else:
                self.depth_bids.pop(price, None)
            if price >= self.bid or not self.quoted or price in self.bids.levels or price in self.taken_bids:
                self._depth_near(1, price, qty)
        elif op == SET_ASK:
            if qty:
                self.depth_asks[price] = qty
            else:
                self.depth_asks.pop(price, None)
            if price <= self.ask or not self.quoted or price in self.asks.levels or price in self.taken_asks:
                self._depth_near(-1, price, qty)
        else:
            self._book_control(op, price, qty, level_id, ts)

    def _book_control(self, op: int, price: int, qty: int, level_id: int, ts: int) -> None:
        if op in (ORDER_BID, ORDER_ASK):
            self._single(1 if op == ORDER_BID else -1, price, qty, level_id, ts)
        elif op == LIVE:
            self._whole = True
            self.sync()
            if self._source != QUOTES:
                self._top_from_depth()
            self._requeue_depth()
            self._look()
        elif op in (RESET, STALE):
            self._whole = False
            self.depth_bids.clear()
            self.depth_asks.clear()
            self._singles.clear()
            self.sync()

    def _single(self, side: int, price: int, qty: int, order_id: int, ts: int) -> None:
        """One order of the depth: what changes is its level."""
        depth = self.depth_bids if side > 0 else self.depth_asks
        before = self._singles.pop(order_id, None)
        if qty:
            self._singles[order_id] = (side, price, qty)
        if before is not None and (before[0] != side or before[1] != price):
            old_depth = self.depth_bids if before[0] > 0 else self.depth_asks
            self.on_book(
                SET_BID if before[0] > 0 else SET_ASK, before[1], old_depth.get(before[1], 0) - before[2], 0, ts
            )
            before = None
        change = qty - (before[2] if before is not None else 0)
        self.on_book(SET_BID if side > 0 else SET_ASK, price, max(0, depth.get(price, 0) + change), 0, ts)

    def _depth_near(self, side: int, price: int, qty: int) -> None:
        """A level changed that is the touch, or at which somebody rests or took."""
        if not self._whole:
            return
        self.sync()
        top = self.bid if side > 0 else self.ask
        if self._source < DEPTH or (self._source == DEPTH and (price - top) * side >= 0):
            self._top_from_depth()
            self._look()
        elif (price - top) * side < 0:
            self._retake(side, price, qty)
            level = (self.bids if side > 0 else self.asks).levels.get(price)
            if level is not None:
                self._requeue(level, qty)
            self.rewatch()

    def _top_from_depth(self) -> None:
        """The touch of data without quotes."""
        bids, asks = self.depth_bids, self.depth_asks
        if not bids and not asks and self._source != DEPTH:
            return
        self._source = DEPTH
        self.quoted = True
        self.bid = max(bids, default=NO_BID)
        self.ask = min(asks, default=NO_ASK)
        self.bid_qty = bids.get(self.bid, 0)
        self.ask_qty = asks.get(self.ask, 0)
        self._set = (self.bid, self.bid_qty, self.ask, self.ask_qty)

    def _requeue_depth(self) -> None:
        """A new snapshot: what it shows at the prices beyond the touch where orders of ours rest or took."""
        for side, book, taken in ((1, self.bids, self.taken_bids), (-1, self.asks, self.taken_asks)):
            top = self.bid if side > 0 else self.ask
            for price, level in book.levels.items():
                if (price - top) * side < 0:
                    self._requeue(level, self.displayed(side, price))
            for price in list(taken):
                if (price - top) * side < 0:
                    self._retake(side, price, self.displayed(side, price))

    def sync(self) -> None:
        """Find out where the touch comes from. The quick path of a quote stores and nothing else, so a touch that is
        not what this side last set it to must be a quote's."""
        if self._source == QUOTES or self.publisher is not None:
            return
        if (self.bid, self.bid_qty, self.ask, self.ask_qty) != self._set:
            self._source = QUOTES
            self.quoted = True
        elif self._source != DEPTH and self.last != NO_PRICE:
            self._source = TRADES
            self.bid, self.bid_qty = self.last - self.half_spread, 0
            self.ask, self.ask_qty = self.last + self.half_spread, 0
            self._set = (self.bid, 0, self.ask, 0)

    def forget_displayed(self) -> None:
        """What a recording displayed is gone; orders in the book stay, with nobody ahead of them. For a market that
        becomes its own source when its recording ends."""
        for displayed in (self.depth_bids, self.depth_asks, self.taken_bids, self.taken_asks, self._singles):
            displayed.clear()
        for book in (self.bids, self.asks):
            for level in book.levels.values():
                level.seen = level.traded = level.gone = 0
                for order in level.orders.values():
                    order.ahead = 0
        self.quoted = True
        self.rewatch()

    @property
    def only_keeps_depth(self) -> bool:
        """Whether a changed level of the depth is kept and does nothing else: the touch comes from quotes, and nobody's
        order rests or took anywhere."""
        return self._source == QUOTES and not (self.bids.keys or self.asks.keys or self.taken_bids or self.taken_asks)

    # -- what it does to resting orders ------------------------------------------------------------------------------

    def _look(self) -> None:
        """The touch is near something."""
        if self._source != QUOTES:
            self.sync()
        bids, asks = self.bids, self.asks
        bid, ask = self.bid, self.ask
        changed = False
        if bids.best >= bid or self.taken_bids:
            # the usual case, the touch at one's own best price, without going through the levels
            if bids.best == bid and bids.keys and not self.taken_bids:
                self._requeue(bids.levels[bid], (self.bid_qty or self.unsized) if self.quoted else self._joined(1, bid))
            else:
                changed = self._refresh(1, bid, self._joined(1, bid), bids, self.taken_bids)
        if asks.best <= ask or self.taken_asks:
            if asks.best == ask and asks.keys and not self.taken_asks:
                self._requeue(
                    asks.levels[ask], (self.ask_qty or self.unsized) if self.quoted else self._joined(-1, ask)
                )
            else:
                changed |= self._refresh(-1, ask, self._joined(-1, ask), asks, self.taken_asks)
        if bids.best >= ask and self.quoted:
            self._fill_touched(1, bids)
            changed = True
        if asks.best <= bid and self.quoted:
            self._fill_touched(-1, asks)
            changed = True
        if changed or bid <= self._bound_low or ask >= self._bound_high or ask <= bid:
            self.after()

    def _trade_near(self, price: int, qty: int, side: int) -> None:
        """A public trade at or through something."""
        if self._source != QUOTES:
            self.sync()
        left = qty
        for own, book in ((1, self.bids), (-1, self.asks)):
            while book.keys:
                best = book.best
                through = (best - price) * own > 0
                if not through and (best != price or side == own):
                    break
                left = self._fill_traded(book, best, left, through)
                if best in book.levels:
                    break
            for key in reversed(book.keys):
                if (key * own - price) * own <= 0:
                    break
                # nobody is left ahead at a price that was traded through
                for resting in book.levels[key * own].orders.values():
                    resting.ahead = 0
        self.after()

    # -- after everything --------------------------------------------------------------------------------------------

    def after(self) -> None:
        """Whatever an event or a request set off: triggers, liquidations, shrinking orders, the band, the quote."""
        sourced = self.publisher is not None
        if sourced:
            self._publish()
        if (
            self.exchange.unsettled
            or self.triggers.waiting
            or self.bid <= self._bound_low
            or self.ask >= self._bound_high
        ):
            self._consequences()
            if sourced:
                self._publish()
        if not sourced:
            self.rewatch()

    def _consequences(self) -> None:
        unsettled = self.exchange.unsettled
        reviewed = None
        while True:
            fired = self.triggers.waiting > 0 and self.fire()
            if self.publisher is not None:
                self._publish()
            bid, ask = self.bid, self.ask
            if self.at_risk and (bid, ask) != reviewed:
                reviewed = bid, ask
                for stake in self.at_risk:
                    if bid <= stake.liquidation_low or ask >= stake.liquidation_high:
                        unsettled[stake] = None
            if unsettled:
                self.exchange.settle()
            elif not fired:
                return

    def _publish(self) -> None:
        """The touch of a market that is its own source."""
        bids, asks = self.bids, self.asks
        bid, ask = bids.best, asks.best
        bid_qty = bids.levels[bid].qty if bid != NO_BID else 0
        ask_qty = asks.levels[ask].qty if ask != NO_ASK else 0
        if bid != self.bid or ask != self.ask or bid_qty != self.bid_qty or ask_qty != self.ask_qty:
            self.bid, self.bid_qty, self.ask, self.ask_qty = bid, bid_qty, ask, ask_qty
            if self.publisher is not None:
                self.publisher.quote(bid, bid_qty, ask, ask_qty)

    def rebound(self) -> None:
        """Set the part of the watch band that is due to stops and to liquidation bounds anew."""
        low, high = NO_LOW, NO_HIGH
        if self.triggers.waiting:
            low, high = self.triggers.low, self.triggers.high
        for stake in self.at_risk:
            if stake.liquidation_low > low:
                low = stake.liquidation_low
            if stake.liquidation_high < high:
                high = stake.liquidation_high
        if self._source < DEPTH:
            # trades are compared with what concerns the touch derived from them
            low += self.half_spread
            high -= self.half_spread
        self._bound_low = low
        self._bound_high = high
        self.rewatch()

    def rewatch(self) -> None:
        """Set the watch band anew."""
        if self.always_look:
            self.watch_low, self.watch_high = NO_HIGH, NO_LOW
            self._bound_low, self._bound_high = NO_HIGH, NO_LOW
            return
        low = self.bids.best
        high = self.asks.best
        if self._bound_low > low:
            low = self._bound_low
        if self._bound_high < high:
            high = self._bound_high
        if self.taken_bids:
            low = max(low, max(self.taken_bids))
        if self.taken_asks:
            high = min(high, min(self.taken_asks))
        self.watch_low = low if low > WIDEST_LOW else WIDEST_LOW
        self.watch_high = high if high < WIDEST_HIGH else WIDEST_HIGH
