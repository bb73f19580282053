"""The express: the short way of quotes and trades of one instrument, a batch at a time.

A row that goes through its lane costs three calls before it reaches the strategy, and its numbers are turned into
prices and quantities one by one. Where a run has one instrument whose quotes and trades are heard of when they happen,
and at most one strategy hears each, that is done for a whole batch: columns of ticks and lots become columns of
`Price`s and `Qty`s at once (`Shown`), and what is left for a row is three comparisons (is anything due? is it outside
the watch band?) and the strategy's callback.

It does what the lanes do, in the same order; tests play the same histories both ways. Only when the market is told
differs: a row inside the watch band sets the touch or the last price and nothing else, and nobody reads those before
the next call of the clock or the next row outside the band. So the market is brought up to date before these
(`_catch_up`), not with every row. When subscriptions change (`InstrumentFeed.hearers`) the express stops and is asked
anew.
"""

from collections.abc import Iterable, Sequence
from itertools import repeat
from operator import length_hint
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mlthon.backtest.assembly import Assembly
from mlthon.basics.defs import Side
from mlthon.basics.scale import Scale
from mlthon.data.replay import Batch, Phase, Replay
from mlthon.data.rows import Ints, Kind
from mlthon.engine.clock import MS, Clock
from mlthon.engine.feed import Hearers, InstrumentFeed
from mlthon.exchange.market import Market

Flags = NDArray[np.bool_]
Values = NDArray[np.object_]

FEWEST: Final = 64
"""With fewer rows preparing columns costs more than it saves."""
WIDEST: Final = 65_536
"""How many steps may lie between the least and the largest value that is kept at hand."""
SPARE: Final = 512
"""How many steps more than needed are made at either end, because prices wander."""
ALWAYS_NEAR: Final = -1
"""A price below every watch band."""

# What a row asks for once the exchange has had it.
NOTHING: Final = 0
TRADE: Final = 1
PAIR: Final = 2
BID_FIRST: Final = 3
ASK_FIRST: Final = 4

_QUOTE: Final = b"\x01"
_NO_QUOTE: Final = b"\x00"
_NOBODY: Final = repeat(None)
_TAKERS: Final = np.array([Side.Sell, Side.Buy], object)


class Shown:
    """Turns columns of steps into columns of the values that strategies see. The values of a span of steps are kept in
    an array, out of which numpy takes a column at once."""

    __slots__ = ("_first", "_span", "_values")

    def __init__(self, scale: Scale[Any]) -> None:
        self._values = scale.values
        self._first = 0
        self._span: Values = np.empty(0, object)

    def of(self, steps: Ints) -> Values:
        """The value of each."""
        least, most = int(steps.min()), int(steps.max())
        if most - least > WIDEST:
            return _objects([self._values[each] for each in steps.tolist()])
        if least < self._first or most >= self._first + len(self._span):
            self._cover(least, most)
        return self._span[steps - self._first]

    def _cover(self, least: int, most: int) -> None:
        if len(self._span):
            lower, higher = min(self._first, least), max(self._first + len(self._span), most)
            if higher - lower <= WIDEST:
                least, most = lower, higher
        self._first = least - SPARE
        self._span = _objects([self._values[each] for each in range(self._first, most + SPARE + 1)])


def _objects(values: list[Any]) -> Values:
    array = np.empty(len(values), object)
    array[:] = values
    return array


class Express:
    """See the module. `is_quote[n]`: whether the rows of lane n are quotes; else they are trades."""

    def __init__(self, clock: Clock, market: Market, feed: InstrumentFeed, is_quote: Sequence[bool]) -> None:
        self._clock = clock
        self._market = market
        self._feed = feed
        self._is_quote: Flags = np.array(is_quote)
        self._has_quotes = any(is_quote)
        self._prices = Shown(feed.instrument.price_scale)
        self._qtys = Shown(feed.instrument.qty_scale)

    def takes(self, batch: Batch, first: int, last: int) -> bool:
        """Whether the rows of a batch from `first` until before `last` can go this way."""
        return last - first >= FEWEST and batch.one_time and self._feed.hearers is not None

    def play(self, batch: Batch, first: int, last: int) -> int:
        """Play rows of a batch; returns the row before which it stopped: `last`, unless subscriptions changed."""
        hearers = self._feed.hearers
        if hearers is None:
            return first
        rows = [array[first:last] for array in batch.arrays]
        if batch.moved:
            rows[0] = rows[0] + batch.moved
        if self._has_quotes:
            return first + self._play_both(rows, hearers)
        return first + self._play_trades(rows, hearers)

    # -- trades alone ------------------------------------------------------------------------------------------------

    def _play_trades(self, rows: Sequence[Ints], hearers: Hearers) -> int:
        """Play the trades of data without quotes; returns how many."""
        clock, market, feed = self._clock, self._market, self._feed
        ts, _, a, b, c, _, _ = rows
        exchange, number = feed.instrument.venue, feed.instrument.number
        session = hearers.trades
        # a strategy may replace its callbacks, but nobody replaces a strategy
        strategy: Any = None if session is None else session.strategy
        prices, qtys, takers = (_NOBODY,) * 3 if session is None else self._traded(a, b, c)
        low, high = market.watch_low, market.watch_high
        times = iter(ts.tolist())
        for now, ms, at, price, qty, taker in zip(
            times, (ts // MS).tolist(), a.tolist(), prices, qtys, takers, strict=False
        ):
            if now >= clock.due:
                row = len(ts) - 1 - length_hint(times)
                if row:
                    market.last = a.item(row - 1)
                clock.run_until(now)
                if feed.hearers is not hearers:
                    return row
                low, high = market.watch_low, market.watch_high
            clock.now = now
            if at <= low or at >= high:
                row = len(ts) - 1 - length_hint(times)
                market.on_trade(at, b.item(row), c.item(row), now)
                low, high = market.watch_low, market.watch_high
            if session is not None:
                try:
                    strategy.on_public_trade(exchange, number, taker, price, qty, ms, ms)
                except Exception as error:  # noqa: BLE001 - a strategy's own error must not stop the engine
                    session.failed("on_public_trade", error)
        market.last = a.item(len(ts) - 1)
        return len(ts)

    def _traded(self, a: Ints, b: Ints, c: Ints) -> tuple[Iterable[Any], ...]:
        """Prices, quantities and takers of trades."""
        return self._prices.of(a).tolist(), self._qtys.of(b).tolist(), _takers(c).tolist()

    # -- quotes, and trades among them -------------------------------------------------------------------------------

    def _play_both(self, rows: Sequence[Ints], hearers: Hearers) -> int:
        """Play quotes and trades; returns how many."""
        clock, market, feed = self._clock, self._market, self._feed
        exchange, number = feed.instrument.venue, feed.instrument.number
        pairs, trades = hearers.pairs, hearers.trades
        to_pair: Any = None if pairs is None else pairs.strategy
        to_trades: Any = None if trades is None else trades.strategy
        count = len(rows[0])
        is_quote = self._is_quote[rows[1]]
        kinds = is_quote.tobytes()
        told = 0
        low, high = market.watch_low, market.watch_high
        times = iter(rows[0].tolist())
        for now, asks_for, least, most, ms, p, q, r, s in zip(
            times, *self._columns(rows, is_quote, hearers), strict=False
        ):
            if now >= clock.due:
                row = count - 1 - length_hint(times)
                self._catch_up(rows, kinds, told, row)
                clock.run_until(now)
                if feed.hearers is not hearers:
                    count = row
                    break
                told = row
                low, high = market.watch_low, market.watch_high
            clock.now = now
            if least <= low or most >= high:
                row = count - 1 - length_hint(times)
                self._catch_up(rows, kinds, told, row)
                self._meet(rows, kinds, row, now)
                told = row + 1
                low, high = market.watch_low, market.watch_high
            if asks_for == PAIR:
                try:
                    to_pair.on_best_levels_update(exchange, number, p, q, r, s, ms)
                except Exception as error:  # noqa: BLE001 - a strategy's own error must not stop the engine
                    pairs.failed("on_best_levels_update", error)  # type: ignore[union-attr]
            elif asks_for == TRADE:
                try:
                    to_trades.on_public_trade(exchange, number, r, p, q, ms, ms)
                except Exception as error:  # noqa: BLE001 - see above
                    trades.failed("on_public_trade", error)  # type: ignore[union-attr]
            elif asks_for:
                feed.tell_sides(hearers.quotes, asks_for == ASK_FIRST, p, q, r, s, ms)  # type: ignore[arg-type]
        else:
            self._catch_up(rows, kinds, told, count)
        quote = kinds.rfind(_QUOTE, 0, count)
        if hearers.quotes is not None and quote >= 0:
            feed.bid = rows[2].item(quote)
        return count

    def _columns(self, rows: Sequence[Ints], is_quote: Flags, hearers: Hearers) -> Sequence[Iterable[Any]]:
        """What the loop wants of each row: what it asks for, the least and the largest price in it, the time in ms, and
        what the callback is given: bid, its quantity, ask and its quantity of a quote; price, quantity and taker of a
        trade."""
        ts, _, a, b, c, d, _ = rows
        most = np.where(is_quote, c, a)
        # crossed quotes are looked at in full, because their bid says nothing of their ask
        least = np.where(is_quote & (c <= a), ALWAYS_NEAR, a)
        columns = [self._asked(a, is_quote, hearers), least, most, ts // MS]
        values: list[Iterable[Any]] = [_NOBODY] * 4
        to_quotes = hearers.pairs or hearers.quotes
        if to_quotes or hearers.trades:
            columns += [self._prices.of(a), self._qtys.of(b)]
            values = values[:2]
        if to_quotes:
            asks = self._prices.of(most)
            columns += [
                np.where(is_quote, asks, _takers(c)) if hearers.trades else asks,
                self._qtys.of(np.where(is_quote, d, 0)),
            ]
            values = []
        elif hearers.trades:
            columns.append(_takers(c))
            values = values[:1]
        return [column.tolist() for column in columns] + values

    def _asked(self, bids: Ints, is_quote: Flags, hearers: Hearers) -> Ints:
        of_trades = TRADE if hearers.trades else NOTHING
        if hearers.quotes is None:
            return np.where(is_quote, PAIR if hearers.pairs else NOTHING, of_trades)
        asked = np.full(len(bids), of_trades)
        rising = np.diff(bids[is_quote], prepend=self._feed.bid) > 0
        asked[is_quote] = np.where(rising, ASK_FIRST, BID_FIRST)
        return asked

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


def _takers(sides: Ints) -> Values:
    return _TAKERS[(sides > 0).view(np.int8)]


def express_of(replay: Replay, assembly: Assembly) -> Express | None:
    """The express of a run on the rows of `replay`, None where they cannot go that way."""
    instruments = {stream.instrument for stream, _ in replay.lanes}
    simple = all(phase is Phase.BOTH and stream.kind in (Kind.QUOTE, Kind.TRADE) for stream, phase in replay.lanes)
    if len(instruments) != 1 or not simple:
        return None
    (instrument,) = instruments
    exchange = assembly.exchanges[instrument.venue]
    if instrument not in exchange.markets:
        return None
    is_quote = [stream.kind is Kind.QUOTE for stream, _ in replay.lanes]
    return Express(assembly.clock, exchange.market(instrument), assembly.engine.feed(instrument), is_quote)
