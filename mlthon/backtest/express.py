"""The express: the short way of quotes and trades of one instrument, a batch at a time.

A row that goes through its lane costs three calls before it reaches the strategy. Where a run has one instrument whose
quotes and trades are heard of when they happen, and at most one strategy hears each, most of that is done for a whole
batch: prices become distances from the batch's lowest (`base`), which find their `Price` in a short list, and what is
left for a row is three comparisons (is anything due? is it outside the watch band?) and the strategy's callback.

It does what the lanes do, in the same order; tests play the same histories both ways. Only when the market is told
differs: a row inside the watch band sets the touch or the last price and nothing else, and nobody reads those before
the next call of the clock or the next row outside the band. So the market is brought up to date before these
(`Passing.tell`), not with every row. Where a tap hears and no strategy, `mlthon.backtest.tapped` takes the rows. When
subscriptions change (`InstrumentFeed.hearers`) the express stops and is asked anew. A batch with a crossed quote, an
empty side or prices far apart goes through the lanes.
"""

from collections.abc import Sequence
from operator import length_hint
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mlthon.backtest.assembly import Assembly
from mlthon.backtest.tapped import FEWEST, Tapped, tapped_of
from mlthon.basics.defs import SIDES
from mlthon.basics.price import Price
from mlthon.basics.qty import Qty
from mlthon.basics.scale import LADDER, Values
from mlthon.data.replay import Batch, Replay
from mlthon.data.rows import Ints, Kind
from mlthon.engine.clock import MS, Clock
from mlthon.engine.feed import Hearers, InstrumentFeed
from mlthon.exchange.market import Lane, Market

Flags = NDArray[np.bool_]

WIDEST: Final = 4_096
"""How many ticks may lie between the lowest and the highest price of a batch."""

# What a row asks for once the exchange has had it.
NOTHING: Final = 0
TRADE: Final = 1
PAIR: Final = 2
BID_FIRST: Final = 3
ASK_FIRST: Final = 4

_QUOTE: Final = b"\x01"
_NO_QUOTE: Final = b"\x00"
_BUY, _SELL = SIDES[1], SIDES[-1]


class Passing:
    """The rows of a batch as the loop passes them, a list a column. `least`, `most`: the bid and the ask of a quote,
    and the price of a trade twice, less `base`. `q`: the lots at the bid or of the trade. `s`: the lots at the ask or
    the taker's side. `kinds[n]`: whether row n is a quote."""

    __slots__ = ("base", "kinds", "least", "most", "q", "s")

    def __init__(self, base: int, is_quote: Flags, least: Ints, most: Ints, rows: Sequence[Ints]) -> None:
        self.base = base
        self.kinds = is_quote.tobytes()
        self.least: list[int] = (least - base).tolist()
        self.most: list[int] = (most - base).tolist() if _QUOTE in self.kinds else self.least
        self.q: list[int] = rows[3].tolist()
        self.s: list[int] = np.where(is_quote, rows[5], rows[4]).tolist()

    def tell(self, market: Market, first: int, last: int) -> None:
        """Tell the market of the rows from `first` until before `last`, all of them inside its watch band: of the last
        quote and the last trade among them."""
        quote = self.kinds.rfind(_QUOTE, first, last)
        if quote >= 0:
            market.bid, market.bid_qty = self.base + self.least[quote], self.q[quote]
            market.ask, market.ask_qty = self.base + self.most[quote], self.s[quote]
        trade = self.kinds.rfind(_NO_QUOTE, first, last)
        if trade >= 0:
            market.last = self.base + self.least[trade]


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

    def play(self, batch: Batch, first: int, last: int) -> int | None:
        """Play the rows of a batch from `first` until before `last`; returns the row before which it stopped: `last`,
        unless subscriptions changed. None when these rows must go through the lanes."""
        clock, market, feed = self._clock, self._market, self._feed
        hearers = feed.hearers
        if last - first < FEWEST or hearers is None:
            return None
        if hearers.tap is not None:
            return None if self._tapped is None else self._tapped.play(batch, first, last)
        if not batch.one_time:
            return None
        rows = [array[first:last] for array in batch.arrays]
        is_quote = self._is_quote[rows[1]]
        least_of, most_of = rows[2], np.where(is_quote, rows[4], rows[2])
        base, height = int(least_of.min()), int(most_of.max()) - int(least_of.min())
        if height > WIDEST or (is_quote & (most_of <= least_of)).any():
            return None
        ts = rows[0] + batch.moved
        count = len(ts)
        prices = self._prices_from(base, height)
        qtys = self._qtys_of(rows, is_quote)
        asks = self._asked(rows[2], is_quote, hearers)
        passing = Passing(base, is_quote, least_of, most_of, rows)
        exchange, number = feed.instrument.venue, feed.instrument.number
        pairs, trades = hearers.pairs, hearers.trades
        # a strategy may replace its callbacks, but nobody replaces a strategy
        to_pair: Any = None if pairs is None else pairs.strategy
        to_trades: Any = None if trades is None else trades.strategy
        told = 0
        low, high = market.watch_low - base, market.watch_high - base
        times = iter(ts.tolist())
        kinds = passing.kinds
        columns = (asks, passing.least, passing.most, passing.q, passing.s, (ts // MS).tolist())
        for now, asked, least, most, q, s, ms in zip(times, *columns, strict=False):
            if now >= clock.due:
                row = count - 1 - length_hint(times)
                passing.tell(market, told, row)
                clock.run_until(now)
                if feed.hearers is not hearers:
                    count = row
                    break
                told = row
                low, high = market.watch_low - base, market.watch_high - base
            clock.now = now
            if least <= low or most >= high:
                row = count - 1 - length_hint(times)
                if told < row:
                    passing.tell(market, told, row)
                if kinds[row]:
                    market.on_quote(base + least, q, base + most, s, now)
                else:
                    market.on_trade(base + least, q, s, now)
                told = row + 1
                low, high = market.watch_low - base, market.watch_high - base
            if asked == PAIR:
                try:
                    to_pair.on_best_levels_update(exchange, number, prices[least], qtys[q], prices[most], qtys[s], ms)
                except Exception as error:  # noqa: BLE001 - a strategy's own error must not stop the engine
                    pairs.failed("on_best_levels_update", error)  # type: ignore[union-attr]
            elif asked == TRADE:
                taker = _BUY if s > 0 else _SELL
                try:
                    to_trades.on_public_trade(exchange, number, taker, prices[least], qtys[q], ms, ms)
                except Exception as error:  # noqa: BLE001 - see above
                    trades.failed("on_public_trade", error)  # type: ignore[union-attr]
            elif asked:
                feed.tell_sides(
                    hearers.quotes,  # type: ignore[arg-type]
                    asked == ASK_FIRST,
                    prices[least],
                    qtys[q],
                    prices[most],
                    qtys[s],
                    ms,
                )
        else:
            passing.tell(market, told, count)
        quote = kinds.rfind(_QUOTE, 0, count)
        if hearers.quotes is not None and quote >= 0:
            feed.bid = rows[2].item(quote)
        return first + count

    # -- columns -----------------------------------------------------------------------------------------------------

    def _prices_from(self, base: int, height: int) -> list[Price]:
        """The prices from `base` on, up to `height` ticks above it."""
        values = self._prices.values
        known = values.known
        return [known.get(each) or values[each] for each in range(base, base + height + 1)]

    def _qtys_of(self, rows: Sequence[Ints], is_quote: Flags) -> Sequence[Qty] | Values[Qty]:
        """What gives the quantity of so many lots: the ladder, where it reaches far enough."""
        _, _, _, b, _, d, _ = rows
        most = max(int(b.max()), int((d * is_quote).max()))
        least = min(int(b.min()), int((d * is_quote).min()))
        if least < 0 or most >= LADDER:
            return self._qtys.values
        if most >= len(self._qtys.ladder):
            self._qtys.climb(most)
        return self._qtys.ladder

    def _asked(self, bids: Ints, is_quote: Flags, hearers: Hearers) -> list[int]:
        """What each row asks for."""
        of_trades = TRADE if hearers.trades else NOTHING
        asked = np.full(len(bids), of_trades)
        if hearers.quotes is None:
            asked[is_quote] = PAIR if hearers.pairs else NOTHING
        else:
            rising = np.diff(bids[is_quote], prepend=self._feed.bid) > 0
            asked[is_quote] = np.where(rising, ASK_FIRST, BID_FIRST)
        return asked.tolist()


def express_of(replay: Replay, assembly: Assembly, lanes: Sequence[Lane]) -> Express | Tapped | None:
    """The express of a run on the rows of `replay`, that go through `lanes` otherwise; None where they have none."""
    tapped = tapped_of(replay, assembly, lanes)
    instruments = {stream.instrument for stream, _ in replay.lanes}
    simple = all(stream.kind in (Kind.QUOTE, Kind.TRADE) for stream, _ in replay.lanes)
    if len(instruments) != 1 or not simple:
        return tapped
    (instrument,) = instruments
    exchange = assembly.exchanges[instrument.venue]
    if instrument not in exchange.markets:
        return None
    is_quote = [stream.kind is Kind.QUOTE for stream, _ in replay.lanes]
    feed = assembly.engine.feed(instrument)
    return Express(assembly.clock, exchange.market(instrument), feed, is_quote, tapped)
