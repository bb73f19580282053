"""The express of one tap: the short way of quotes and trades that no strategy hears, and one tap does.

As in `mlthon.backtest.express`, rows inside the market's watch band change the touch and the last price and nothing
else, so the market is brought up to date before somebody may look: before a call of the clock, and before a row outside
the band. Until then the tap goes through the rows by itself (`BatchEvents.ride`) and stops where something is due. Rows
that happen at one time and are heard of at another go this way too: each is two, one of which meets the market alone.
"""

from bisect import bisect_left
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mlthon.basics.defs import NO_ASK, NO_BID
from mlthon.data.replay import Batch, Phase, Replay
from mlthon.data.rows import Ints, Kind
from mlthon.engine.clock import Clock
from mlthon.engine.faces import QUOTE_ROW, TRADE_ROW, BatchEvents, Rows
from mlthon.engine.feed import Hearers, InstrumentFeed
from mlthon.exchange.exchange import EmbeddedExchange

_QUOTE: Final = bytes((QUOTE_ROW,))
_TRADE: Final = bytes((TRADE_ROW,))
_NEVER_NEAR: Final = 1 << 62
"""How high the lowest price of a row is that the market has nothing to do with."""


class Tapped:
    """See the module; all lanes of `replay` are quotes and trades of one instrument."""

    def __init__(self, clock: Clock, exchange: EmbeddedExchange, feed: InstrumentFeed, replay: Replay) -> None:
        self.clock = clock
        self.exchange = exchange
        self.market = exchange.market(feed.instrument)
        self.feed = feed
        lanes = [(QUOTE_ROW if stream.kind is Kind.QUOTE else TRADE_ROW, phase) for stream, phase in replay.lanes]
        self.kinds = np.array([kind for kind, _ in lanes], np.uint8)
        self.met = np.array([0 if phase is Phase.FEED else kind for kind, phase in lanes], np.uint8)
        self.heard = np.array([0 if phase is Phase.EXCHANGE else kind for kind, phase in lanes], np.uint8)
        self.apart = any(phase is Phase.FEED for _, phase in lanes)

    def play(self, batch: Batch, first: int, last: int, tap: BatchEvents) -> int | None:
        """See `Express.play`."""
        ts, lanes, a, b, c, d, exch_ts = (array[first:last] for array in batch.arrays)
        quotes = self.kinds[lanes] == QUOTE_ROW
        if (quotes & ((c <= a) | (a <= NO_BID) | (c >= NO_ASK))).any():
            return None
        heard = Rows(
            (ts + batch.moved).tolist(),
            self.heard[lanes].tobytes(),
            *(a, b, c, np.where(quotes, d, 0)),
            exch_ts + batch.moved,
        )
        return first + _Journey(self, heard, self.met[lanes], (a, b, c, d), tap).go()


class _Journey:
    """The way through some rows. `met`: what each row is to the market."""

    def __init__(
        self, way: Tapped, heard: Rows, met: NDArray[np.uint8], values: tuple[Ints, Ints, Ints, Ints], tap: BatchEvents
    ) -> None:
        self._way = way
        self._clock = way.clock
        self._market = way.market
        self._tap = tap
        self._heard = heard
        self._met = met.tobytes()
        self._values = a, _, c, _ = values
        self._lowest: Ints = np.where(met, a, _NEVER_NEAR)
        self._highest: Ints = np.where(met == QUOTE_ROW, c, np.where(met, a, -_NEVER_NEAR))
        self._near: list[int] = []
        self._band: tuple[int, int] | None = None
        self._told = 0

    def go(self) -> int:
        """Play the rows; gives the one before which it stopped: their number unless subscriptions changed."""
        clock, feed, tap, times = self._clock, self._way.feed, self._tap, self._heard.ts
        hearers: Hearers | None = feed.hearers
        row, count = 0, len(times)
        tap.board(self._heard)
        while row < count:
            now = times[row]
            if now >= clock.due:
                self._catch_up(row)
                clock.run_until(now)
                if feed.hearers is not hearers:
                    return row
            clock.now = now
            near = self._next_near(row, count)
            if near == row:
                self._catch_up(row)
                self._one(row, now)
                row += 1
            else:
                row = tap.ride(row, near)
        self._catch_up(count)
        return count

    def _next_near(self, row: int, count: int) -> int:
        """The next row, this one included, that is outside the market's watch band."""
        band = self._market.watch_low, self._market.watch_high
        if band != self._band:
            self._band = band
            outside = (self._lowest[row:] <= band[0]) | (self._highest[row:] >= band[1])
            self._near = (np.flatnonzero(outside) + row).tolist()
        at = bisect_left(self._near, row)
        return self._near[at] if at < len(self._near) else count

    def _catch_up(self, row: int) -> None:
        """Let the market and the tap know what was said before `row`."""
        told, self._told = self._told, row
        self._tap.settle(row)
        a, b, c, d = self._values
        market = self._market
        quote = self._met.rfind(_QUOTE, told, row)
        if quote >= 0:
            market.bid, market.bid_qty = a.item(quote), b.item(quote)
            market.ask, market.ask_qty = c.item(quote), d.item(quote)
        trade = self._met.rfind(_TRADE, told, row)
        if trade >= 0:
            market.last = a.item(trade)
        heard = self._heard.kinds
        quote = heard.rfind(_QUOTE, told, row)
        if quote >= 0:
            self._way.feed.bid = a.item(quote)
        if self._way.apart and (last := max(quote, heard.rfind(_TRADE, told, row))) >= 0:
            self._way.exchange.observed_latency = self._heard.ts[last] - self._heard.exch_ts.item(last)

    def _one(self, row: int, now: int) -> None:
        """A row outside the watch band: the way of its lane."""
        a, b, c, d = (each.item(row) for each in self._values)
        kind = self._met[row]
        if kind == QUOTE_ROW:
            self._market.on_quote(a, b, c, d, now)
        else:
            self._market.on_trade(a, b, c, now)
        self._told = row + 1
        if self._heard.kinds[row] == QUOTE_ROW:
            self._way.feed.bid = a
        self._tap.ride(row, row + 1)


def tapped_of(replay: Replay, exchange: EmbeddedExchange, feed: InstrumentFeed, clock: Clock) -> Tapped | None:
    """The express of a tap on the rows of `replay`, all of one instrument's quotes and trades; None where latencies
    follow the feed's, row by row."""
    followed = "recorded" in (exchange.config.entry_latency.model, exchange.config.response_latency.model)
    tapped = Tapped(clock, exchange, feed, replay)
    return None if followed and tapped.apart else tapped
