"""The express of taps: the short way of rows that no strategy hears, and taps do.

As in `mlthon.backtest.express`, quotes and trades inside a market's watch band change the touch and the last price and
nothing else, so markets are brought up to date before somebody may look: before a call of the clock, and before a row
outside the band. Until then the rider of the taps goes through the rows by itself (`Rider.ride`) and stops where
something is due. So it is with levels of the depth, as long as nobody's orders rest in it (`Market.only_keeps_depth`);
other rows go through their lanes. The instruments may be many, and on several exchanges. Rows that happen at one time
and are heard of at another go this way too: each is two, one of which meets the market alone.
"""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from mlthon.backtest.assembly import Assembly
from mlthon.basics.defs import NO_ASK, NO_BID
from mlthon.data.replay import Batch, Phase, Replay
from mlthon.data.rows import Ints, Kind
from mlthon.engine.clock import Clock
from mlthon.engine.faces import QUOTE_ROW, SET_ASK, TRADE_ROW, BatchEvents, Rider, Rows
from mlthon.engine.feed import Hearers, InstrumentFeed
from mlthon.exchange.exchange import EmbeddedExchange
from mlthon.exchange.market import Market

FEWEST: Final = 64
"""With fewer rows preparing columns costs more than it saves."""
MOST: Final = 255
"""So many instruments can be told apart in a byte; runs of more go by their lanes."""

BOOK_ROW: Final = 3
OTHER_ROW: Final = 4
"""Rows of a batch beside those of `mlthon.engine.faces`."""

_KINDS: Final = {Kind.QUOTE: QUOTE_ROW, Kind.TRADE: TRADE_ROW, Kind.BOOK: BOOK_ROW}
_QUOTE: Final = bytes((QUOTE_ROW,))
_TRADE: Final = bytes((TRADE_ROW,))
Lane = Callable[[int, int, int, int, int, int], None]
Values = tuple[Ints, Ints, Ints, Ints]


@frozen
class _Place:
    """One instrument of the run: where its rows happen and where they are heard of."""

    market: Market
    feed: InstrumentFeed
    exchange: EmbeddedExchange


class Tapped:
    """See the module."""

    def __init__(self, clock: Clock, places: Sequence[_Place], replay: Replay, lanes: Sequence[Lane]) -> None:
        self.clock = clock
        self.places = places
        self.lanes = lanes
        of = {place.feed.instrument: number for number, place in enumerate(places)}
        kind_of = [(_KINDS.get(stream.kind, OTHER_ROW), phase) for stream, phase in replay.lanes]
        self.of = np.array([of[stream.instrument] for stream, _ in replay.lanes], np.uint8)
        self.kinds = np.array([kind for kind, _ in kind_of], np.uint8)
        heard = self.kinds * (self.kinds <= TRADE_ROW)
        self.met = heard * np.array([phase is not Phase.FEED for _, phase in kind_of], np.uint8)
        self.heard = heard * np.array([phase is not Phase.EXCHANGE for _, phase in kind_of], np.uint8)
        self.others = bool((self.kinds > TRADE_ROW).any())
        """Whether there are rows that are neither quotes nor trades."""
        self.apart = any(phase is Phase.FEED for _, phase in replay.lanes)

    def play(self, batch: Batch, first: int, last: int) -> int | None:
        """See `Express.play`."""
        hearers = [place.feed.hearers for place in self.places]
        taps = _taps(hearers)
        if taps is None or last - first < FEWEST:
            return None
        ts, lanes, a, b, c, d, exch_ts = (array[first:last] for array in batch.arrays)
        kinds = self.kinds[lanes]
        quotes = kinds == QUOTE_ROW
        if (quotes & ((c <= a) | (a <= NO_BID) | (c >= NO_ASK))).any():
            return None
        rider = next(tap for tap in taps if tap is not None).rider(taps)
        of, heard = self.of[lanes], self.heard[lanes]
        rows = Rows(
            (ts + batch.moved).tolist(),
            heard.tobytes(),
            *(a, b, c, np.where(quotes, d, 0)),
            exch_ts + batch.moved,
            of.tobytes(),
            _parted(heard, of, len(taps)),
        )
        values = (a, b, c, d)
        parted = zip(self.places, _parted(self.met[lanes], of, len(taps)), strict=True)
        met = [_Met(place, mine, values) for place, mine in parted]
        others: list[int] = []
        if self.others:
            level = (kinds == BOOK_ROW) & (a <= SET_ASK)
            others = np.flatnonzero((kinds > TRADE_ROW) & ~level).tolist()
            for number, each in enumerate(met):
                each.levels = np.flatnonzero(level & (of == number)).tolist()
        return first + _Journey(self, hearers, rider, rows, met, values, lanes, others).go()


def _taps(hearers: "Sequence[Hearers | None]") -> list[BatchEvents | None] | None:
    """Who hears each instrument; None where strategies do too, more than one tap does, or nobody at all."""
    taps: list[BatchEvents | None] = []
    for each in hearers:
        if each is None or each.quotes or each.pairs or each.trades:
            return None
        taps.append(each.tap)
    return taps if any(tap is not None for tap in taps) else None


def _parted(kinds: NDArray[np.uint8], of: NDArray[np.uint8], count: int) -> tuple[bytes, ...]:
    """The kinds of each instrument's rows, 0 for those of others."""
    if count == 1:
        return (kinds.tobytes(),)
    return tuple(np.where(of == number, kinds, 0).astype(np.uint8).tobytes() for number in range(count))


class _Met:
    """What some rows are to one market. `kinds`: a byte a row, 0 where it has nothing to do with it. `levels`: rows
    that set a level of its depth."""

    __slots__ = ("_band", "_highest", "_lowest", "_near", "_rows", "feed", "kinds", "levels", "market", "values")

    def __init__(self, place: _Place, kinds: bytes, values: Values) -> None:
        self.market = place.market
        self.feed = place.feed
        self.kinds = kinds
        self.levels: list[int] = []
        self.values = values
        met = np.frombuffer(kinds, np.uint8)
        rows = np.flatnonzero(met)
        a, _, c, _ = values
        self._rows = rows
        self._lowest = a[rows]
        self._highest = np.where(met[rows] == QUOTE_ROW, c[rows], self._lowest)
        self._near: list[int] = []
        self._band: tuple[int, int] | None = None

    def next_near(self, row: int, count: int) -> int:
        """The next row, this one included, that is outside the market's watch band; `count` where there is none."""
        market = self.market
        band = market.watch_low, market.watch_high
        near = self._near
        if band != self._band:
            self._band = band
            near = self._near = self._rows[(self._lowest <= band[0]) | (self._highest >= band[1])].tolist()
        at = bisect_left(near, row)
        return min(near[at], count) if at < len(near) else count

    def next_level(self, row: int, count: int) -> int:
        """The next row, this one included, that sets a level of the depth and may do more by that."""
        if not self.levels or self.market.only_keeps_depth:
            return count
        at = bisect_left(self.levels, row)
        return min(self.levels[at], count) if at < len(self.levels) else count

    def catch_up(self, told: int, row: int) -> None:
        """Tell the market of the last quote and the last trade from `told` until before `row`."""
        a, b, c, d = self.values
        market = self.market
        quote = self.kinds.rfind(_QUOTE, told, row)
        if quote >= 0:
            market.bid, market.bid_qty = a.item(quote), b.item(quote)
            market.ask, market.ask_qty = c.item(quote), d.item(quote)
        trade = self.kinds.rfind(_TRADE, told, row)
        if trade >= 0:
            market.last = a.item(trade)


class _Journey:
    """The way through some rows. `met`: what they are to each market; `others`: those that go through their lanes."""

    def __init__(
        self,
        way: Tapped,
        hearers: "Sequence[Hearers | None]",
        rider: Rider,
        heard: Rows,
        met: Sequence[_Met],
        values: Values,
        lanes: Ints,
        others: list[int],
    ) -> None:
        self._way = way
        self._clock = way.clock
        self._hearers = hearers
        self._rider = rider
        self._heard = heard
        self._met = met
        self._values = values
        self._lanes = lanes
        self._others = others
        self._told = 0

    def go(self) -> int:
        """Play the rows; gives the one before which it stopped: their number unless subscriptions changed."""
        clock, rider, times = self._clock, self._rider, self._heard.ts
        row, count = 0, len(times)
        rider.board(self._heard)
        while row < count:
            now = times[row]
            if now >= clock.due:
                self._catch_up(row)
                clock.run_until(now)
                if self._changed():
                    return row
            clock.now = now
            stop = self._next_other(row, count)
            near = stop
            for each in self._met:
                near = each.next_near(row, near)
            if near > row:
                row = rider.ride(row, near)
                continue
            self._catch_up(row)
            if stop == row:
                self._by_lane(row, now)
            else:
                self._one(row, now)
            row += 1
        self._catch_up(count)
        return count

    def _changed(self) -> bool:
        """Whether subscriptions have changed."""
        places = self._way.places
        return any(place.feed.hearers is not was for place, was in zip(places, self._hearers, strict=True))

    def _next_other(self, row: int, count: int) -> int:
        """The next row, this one included, that has to go through its lane; `count` where there is none."""
        if not self._way.others:
            return count
        others = self._others
        at = bisect_left(others, row)
        stop = others[at] if at < len(others) else count
        for each in self._met:
            stop = each.next_level(row, stop)
        return stop

    def _catch_up(self, row: int) -> None:
        """Let markets and taps know what was said before `row`."""
        told, self._told = self._told, row
        # the row before may have met its market already, and not be known to its tap
        self._rider.settle(row)
        if told == row:
            return
        for each in self._met:
            each.catch_up(told, row)
            for level in each.levels[bisect_left(each.levels, told) : bisect_left(each.levels, row)]:
                self._by_lane(level, self._heard.ts[level])
        self._told = row
        self._note_quotes(told, row)

    def _note_quotes(self, told: int, row: int) -> None:
        """What feeds and exchanges keep of what was heard."""
        heard, a = self._heard, self._values[0]
        latest: dict[EmbeddedExchange, int] = {}
        for place, kinds in zip(self._way.places, heard.each, strict=True):
            quote = kinds.rfind(_QUOTE, told, row)
            if quote >= 0:
                place.feed.bid = a.item(quote)
            if self._way.apart:
                last = max(quote, kinds.rfind(_TRADE, told, row))
                latest[place.exchange] = max(last, latest.get(place.exchange, -1))
        for exchange, last in latest.items():
            if last >= 0:
                exchange.observed_latency = heard.ts[last] - heard.exch_ts.item(last)

    def _by_lane(self, row: int, now: int) -> None:
        """A row that is neither quote nor trade."""
        a, b, c, d = self._values
        lane = self._way.lanes[self._lanes.item(row)]
        lane(a.item(row), b.item(row), c.item(row), d.item(row), self._heard.exch_ts.item(row), now)
        self._told = row + 1

    def _one(self, row: int, now: int) -> None:
        """A row outside the watch band: the way of its lane."""
        a, b, c, d = (each.item(row) for each in self._values)
        met = self._met[self._heard.of[row]]
        kind = met.kinds[row]
        if kind == QUOTE_ROW:
            met.market.on_quote(a, b, c, d, now)
        elif kind == TRADE_ROW:
            met.market.on_trade(a, b, c, now)
        self._told = row + 1
        if self._heard.kinds[row] == QUOTE_ROW:
            met.feed.bid = a
        self._rider.ride(row, row + 1)


def tapped_of(replay: Replay, assembly: Assembly, lanes: Sequence[Any]) -> Tapped | None:
    """The express of taps on the rows of `replay`; None where they cannot go that way: where there are neither quotes
    nor trades, an instrument that the configuration leaves out, or latencies that follow the feed's, row by row."""
    streams = [stream for stream, _ in replay.lanes]
    instruments = list(dict.fromkeys(stream.instrument for stream in streams))
    exchanges = [assembly.exchanges[each.venue] for each in instruments]
    if not any(stream.kind in (Kind.QUOTE, Kind.TRADE) for stream in streams) or len(instruments) > MOST:
        return None
    if any(each not in exchange.markets for each, exchange in zip(instruments, exchanges, strict=True)):
        return None
    places = [
        _Place(exchange.market(each), assembly.engine.feed(each), exchange)
        for each, exchange in zip(instruments, exchanges, strict=True)
    ]
    tapped = Tapped(assembly.clock, places, replay, lanes)
    followed = any(
        "recorded" in (each.config.entry_latency.model, each.config.response_latency.model) for each in exchanges
    )
    return None if followed and tapped.apart else tapped
