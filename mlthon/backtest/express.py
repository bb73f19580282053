"""The express: the short way of quotes and trades of one instrument, a batch at a time.

A row that goes through its lane costs three calls before it reaches the strategy. Where a run has one instrument whose
quotes and trades are heard of when they happen, and at most one strategy hears each, most of that is done for a whole
batch: prices become distances from the batch's lowest (`base`), which find their `Price` in a short list, and what is
left for a row is three comparisons (is anything due? is it outside the watch band?) and the strategy's callback.

It does what the lanes do, in the same order; tests play the same histories both ways. Only when the market is told
differs: a row inside the watch band sets the touch or the last price and nothing else, and nobody reads those before
the next call of the clock or the next row outside the band. So the market is brought up to date before these
(`_catch_up`), not with every row. Where a tap hears and no strategy, `mlthon.backtest.tapped` takes the rows. When
subscriptions change (`InstrumentFeed.hearers`) the express stops and is asked anew. A batch with a crossed quote, an
empty side or prices far apart goes through the lanes.
"""

from collections.abc import Sequence
from operator import length_hint
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mlthon.backtest.assembly import Assembly
from mlthon.backtest.tapped import Tapped, tapped_of
from mlthon.basics.defs import SIDES, Side
from mlthon.basics.price import Price
from mlthon.basics.qty import Qty
from mlthon.basics.scale import LADDER
from mlthon.data.replay import Batch, Replay
from mlthon.data.rows import Ints, Kind
from mlthon.engine.clock import MS, Clock
from mlthon.engine.feed import Hearers, InstrumentFeed
from mlthon.exchange.market import Market

Flags = NDArray[np.bool_]
Objects = NDArray[np.object_]

FEWEST: Final = 64
"""With fewer rows preparing columns costs more than it saves."""
WIDEST: Final = 4_096
"""How many ticks may lie between the lowest and the highest price of a batch."""

_QUOTE: Final = b"\x01"
_NO_QUOTE: Final = b"\x00"


def _objects(values: Sequence[object]) -> Objects:
    """An array of these objects as they are."""
    array = np.empty(len(values), object)
    array[:] = values
    return array


_TAKERS: Final = _objects([SIDES[-1], SIDES[1]])


class Express:
    """See the module. `is_quote[n]`: whether the rows of lane n are quotes; else they are trades. `tapped`: takes the
    rows where one tap hears, if it can."""

    def __init__(
        self,
        clock: Clock,
        market: Market,
        feed: InstrumentFeed,
        is_quote: Sequence[bool],
        tapped: Tapped | None = None,
    ) -> None:
        self._clock = clock
        self._market = market
        self._feed = feed
        self._is_quote: Flags = np.array(is_quote)
        self._tapped = tapped
        self._prices = feed.instrument.price_scale
        self._qtys = feed.instrument.qty_scale
        self._ladder: Objects = _objects([])

    def play(self, batch: Batch, first: int, last: int) -> int | None:
        """Play the rows of a batch from `first` until before `last`; returns the row before which it stopped: `last`,
        unless subscriptions changed. None when these rows must go through the lanes."""
        clock, market, feed = self._clock, self._market, self._feed
        hearers = feed.hearers
        if last - first < FEWEST or hearers is None:
            return None
        if hearers.tap is not None:
            return None if self._tapped is None else self._tapped.play(batch, first, last, hearers.tap)
        if not batch.one_time:
            return None
        rows = [array[first:last] for array in batch.arrays]
        is_quote = self._is_quote[rows[1]]
        least_of, most_of = rows[2], np.where(is_quote, rows[4], rows[2])
        base, height = int(least_of.min()), int(most_of.max()) - int(least_of.min())
        if height > WIDEST or (is_quote & (most_of <= least_of)).any():
            return None
        ts = rows[0] + batch.moved
        kinds = is_quote.tobytes()
        count = len(ts)
        lowest, highest = least_of - base, most_of - base
        exchange, number = feed.instrument.venue, feed.instrument.number
        quotes, pairs, trades = hearers.quotes, hearers.pairs, hearers.trades
        # a strategy may replace its callbacks, but nobody replaces a strategy
        to_pair: Any = None if pairs is None else pairs.strategy
        to_trades: Any = None if trades is None else trades.strategy
        told = 0
        bid_before = feed.bid - base
        low, high = market.watch_low - base, market.watch_high - base
        times = iter(ts.tolist())
        said = self._said(rows, is_quote, base, height, hearers)
        for now, least, most, price, qty, ask, other, ms in zip(
            times, lowest.tolist(), highest.tolist(), *said, (ts // MS).tolist(), strict=False
        ):
            if now >= clock.due:
                row = count - 1 - length_hint(times)
                self._catch_up(rows, kinds, told, row)
                clock.run_until(now)
                if feed.hearers is not hearers:
                    count = row
                    break
                told = row
                low, high = market.watch_low - base, market.watch_high - base
            clock.now = now
            if least <= low or most >= high:
                row = count - 1 - length_hint(times)
                self._catch_up(rows, kinds, told, row)
                self._meet(rows, kinds, row, now)
                told = row + 1
                low, high = market.watch_low - base, market.watch_high - base
            if price is None:
                continue
            if ask is None:
                try:
                    to_trades.on_public_trade(exchange, number, other, price, qty, ms, ms)
                except Exception as error:  # noqa: BLE001 - a strategy's own error must not stop the engine
                    trades.failed("on_public_trade", error)  # type: ignore[union-attr]
            elif quotes is None:
                try:
                    to_pair.on_best_levels_update(exchange, number, price, qty, ask, other, ms)
                except Exception as error:  # noqa: BLE001 - see above
                    pairs.failed("on_best_levels_update", error)  # type: ignore[union-attr]
            else:
                feed.tell_sides(quotes, least > bid_before, price, qty, ask, other, ms)
                bid_before = least
        else:
            self._catch_up(rows, kinds, told, count)
        quote = kinds.rfind(_QUOTE, 0, count)
        if hearers.quotes is not None and quote >= 0:
            feed.bid = rows[2].item(quote)
        return first + count

    # -- columns -----------------------------------------------------------------------------------------------------

    def _said(
        self, rows: Sequence[Ints], is_quote: Flags, base: int, height: int, hearers: Hearers
    ) -> tuple[list[Price | None], list[Qty], list[Price | None], list[Qty | Side]]:
        """What is said of each row: of a quote bid, its quantity, ask, its quantity, of a trade price, quantity, None
        and the taker's side. The first is None where nobody hears the row."""
        _, _, a, b, c, d, _ = rows
        prices = _objects([self._prices.values[base + each] for each in range(height + 1)])
        price, qty = prices[a - base], self._qtys_of(b)
        if hearers.quotes is None and hearers.pairs is None:
            price[is_quote] = None
        if hearers.trades is None:
            price[~is_quote] = None
        ask, other = np.full(len(a), None), _TAKERS[(c > 0).astype(np.intp)]
        ask[is_quote] = prices[c[is_quote] - base]
        other[is_quote] = self._qtys_of(d[is_quote])
        return price.tolist(), qty.tolist(), ask.tolist(), other.tolist()

    def _qtys_of(self, lots: Ints) -> Objects:
        """The quantities of so many lots each."""
        if not len(lots) or int(lots.min()) < 0 or int(lots.max()) >= LADDER:
            values = self._qtys.values
            return _objects([values[each] for each in lots.tolist()])
        if int(lots.max()) >= len(self._ladder):
            self._qtys.climb(int(lots.max()))
            self._ladder = _objects(self._qtys.ladder)
        return self._ladder[lots]

    # -- the market --------------------------------------------------------------------------------------------------

    def _catch_up(self, rows: Sequence[Ints], kinds: bytes, told: int, row: int) -> None:
        """Tell the market of the rows from `told` until before `row`, all of them inside its watch band: of the last
        quote and the last trade among them. `kinds[n]`: whether row n is a quote."""
        market = self._market
        _, _, a, b, c, d, _ = rows
        quote = kinds.rfind(_QUOTE, told, row)
        if quote >= 0:
            market.bid, market.bid_qty = a.item(quote), b.item(quote)
            market.ask, market.ask_qty = c.item(quote), d.item(quote)
        trade = kinds.rfind(_NO_QUOTE, told, row)
        if trade >= 0:
            market.last = a.item(trade)

    def _meet(self, rows: Sequence[Ints], kinds: bytes, row: int, now: int) -> None:
        """A row outside the watch band."""
        _, _, a, b, c, d, _ = rows
        if kinds[row]:
            self._market.on_quote(a.item(row), b.item(row), c.item(row), d.item(row), now)
        else:
            self._market.on_trade(a.item(row), b.item(row), c.item(row), now)


def express_of(replay: Replay, assembly: Assembly) -> Express | None:
    """The express of a run on the rows of `replay`, None where they cannot go that way."""
    instruments = {stream.instrument for stream, _ in replay.lanes}
    simple = all(stream.kind in (Kind.QUOTE, Kind.TRADE) for stream, _ in replay.lanes)
    if len(instruments) != 1 or not simple:
        return None
    (instrument,) = instruments
    exchange = assembly.exchanges[instrument.venue]
    if instrument not in exchange.markets:
        return None
    is_quote = [stream.kind is Kind.QUOTE for stream, _ in replay.lanes]
    feed = assembly.engine.feed(instrument)
    tapped = tapped_of(replay, exchange, feed, assembly.clock)
    return Express(assembly.clock, exchange.market(instrument), feed, is_quote, tapped)
