"""Market data on their way to bots, and the candles of each market.

One `MarketTap` hears an instrument's feed in the wide form and tells each bot that is subscribed, in floats; it also
keeps the market's minute candles, by the exchange's time of each trade. Candles begin with the history that is given
(`Markets.history`): recorded trades from before the run's start, or made up where the market is synthetic.
"""

from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from mlthon.engine.candles import Candle, MinuteCandles
from mlthon.engine.clock import MS, Clock
from mlthon.engine.faces import NO_ASK, NO_BID, QUOTE_ROW, TRADE_ROW, BatchEvents, Rider, Rows
from mlthon.exchange.contracts import Contract
from mlthon.link.contract import BatchFace, Told
from mlthon.link.host.listing import CACHED
from mlthon.link.wire import Quote, Trade

if TYPE_CHECKING:
    from mlthon.basics.instrument import Instrument
    from mlthon.engine.engine import Engine
    from mlthon.link.contract import BotFace
    from mlthon.link.host.listing import Listing

History = Callable[["Instrument"], Iterable[Candle]]
"""The minute candles of a market from before the run, oldest first."""


QuoteLane = Callable[[int, int, int, int, int], None]
TradeLane = Callable[[int, int, int, int], None]


class Reader:
    """One bot's way of hearing one market: `market` is the market's number in its `Hello`. `quote` and `trade` are
    closures, the shortest way there is: a bot may hear hundreds of thousands of them a second."""

    __slots__ = ("face", "listing", "market", "quote", "trade")

    def __init__(self, face: "BotFace", market: int, listing: "Listing") -> None:
        self.face = face
        self.market = market
        self.listing = listing
        self.quote = _quotes(face, market, listing)
        self.trade = _trades(face, market, listing)


def _quotes(face: "BotFace", market: int, listing: "Listing") -> QuoteLane:
    tell, prices, sizes = face.quote, listing.prices, listing.sizes

    def quote(bid: int, bid_qty: int, ask: int, ask_qty: int, exch_ts: int) -> None:
        tell(market, prices[bid], sizes[bid_qty], prices[ask], sizes[ask_qty], exch_ts // MS)

    return quote


def _trades(face: "BotFace", market: int, listing: "Listing") -> TradeLane:
    tell, prices, sizes = face.trade, listing.prices, listing.sizes

    def trade(price: int, qty: int, side: int, exch_ts: int) -> None:
        tell(market, side, prices[price], sizes[qty], exch_ts // MS)

    return trade


_NO_QUOTE: Final = (NO_BID, 0, NO_ASK, 0)
_QUOTE: Final = bytes((QUOTE_ROW,))
_TRADE: Final = bytes((TRADE_ROW,))


class _Values(dict[int, int]):
    """Price in ticks -> what a lot is worth there; prices repeat, and the computation is in big numbers."""

    def __init__(self, unit_value: Callable[[int], int]) -> None:
        self._unit_value = unit_value

    def __missing__(self, price: int) -> int:
        if len(self) >= CACHED:
            self.clear()
        value = self[price] = self._unit_value(price)
        return value


class _FirstQuote:
    """Hears a market until its next quote: a reader, so that those who only read pay nothing for those who wait."""

    __slots__ = ("_done", "_tap", "face")

    def __init__(self, tap: "MarketTap", done: Callable[[], None]) -> None:
        self._tap = tap
        self._done = done
        self.face = None

    def quote(self, bid: int, bid_qty: int, ask: int, ask_qty: int, exch_ts: int) -> None:
        self._tap.drop(self)
        self._done()

    def trade(self, price: int, qty: int, side: int, exch_ts: int) -> None:
        """Not waited for."""


class MarketTap:
    """One instrument. Implements `BatchEvents`. `touch`: the last quote heard: best bid and its quantity, best ask and
    its quantity; `quoted` the same with its time (ns), `traded` the last trade: price, quantity, taker's side, time
    (ns); `last`: its price. None before there is one."""

    __slots__ = ("_clock", "_kinds", "_rows", "_settled", "_values", "candles", "quoted", "readers", "traded")

    def __init__(self, contract: Contract, history: Iterable[Candle], clock: Clock) -> None:
        self._clock = clock
        self._rows: Rows
        self._kinds = b""
        self._settled = 0
        self._values = _Values(contract.unit_value)
        self.readers: tuple[Reader | _FirstQuote, ...] = ()
        self.candles = MinuteCandles(history)
        self.quoted: tuple[int, int, int, int, int] | None = None
        self.traded: tuple[int, int, int, int] | None = None

    @property
    def touch(self) -> tuple[int, int, int, int]:
        return _NO_QUOTE if self.quoted is None else self.quoted[:4]

    @property
    def last(self) -> int | None:
        return None if self.traded is None else self.traded[0]

    def await_quote(self, done: Callable[[], None]) -> None:
        """Call `done` at the next quote, once."""
        self.readers = (*self.readers, _FirstQuote(self, done))

    def add(self, reader: Reader) -> None:
        """Tell one more bot."""
        self.readers = (*self.readers, reader)

    def drop(self, reader: "_FirstQuote") -> None:
        self.readers = tuple(each for each in self.readers if each is not reader)

    def leave(self, face: "BotFace") -> None:
        """Tell a bot nothing more."""
        self.readers = tuple(each for each in self.readers if each.face is not face)

    def quote(self, bid: int, bid_qty: int, ask: int, ask_qty: int, exch_ts: int, recv_ts: int) -> None:
        self.quoted = (bid, bid_qty, ask, ask_qty, exch_ts)
        for reader in self.readers:
            reader.quote(bid, bid_qty, ask, ask_qty, exch_ts)

    def trade(self, price: int, qty: int, side: int, trade_id: int, exch_ts: int, recv_ts: int) -> None:
        self.traded = (price, qty, side, exch_ts)
        self.candles.trade(price, qty, qty * self._values[price], side, exch_ts)
        for reader in self.readers:
            reader.trade(price, qty, side, exch_ts)

    def rider(self, taps: Sequence[BatchEvents | None]) -> Rider:
        return Riders(taps, self._clock)

    def board(self, rows: Rows, kinds: bytes) -> None:
        """These rows come next; `kinds`: of those of this market."""
        self._rows = rows
        self._kinds = kinds
        self._settled = 0

    def hear(self, row: int) -> None:
        """A row on the way of those that come one by one."""
        self.settle(row)
        self._settled = row + 1
        rows = self._rows
        kind, exch_ts = self._kinds[row], rows.exch_ts.item(row)
        a, b, c, d = rows.a.item(row), rows.b.item(row), rows.c.item(row), rows.d.item(row)
        if kind == QUOTE_ROW:
            self.quote(a, b, c, d, exch_ts, rows.ts[row])
        elif kind == TRADE_ROW:
            self.trade(a, b, c, d, exch_ts, rows.ts[row])

    def settle(self, row: int) -> None:
        """Know what the rows before `row` said."""
        first = self._settled
        if row <= first:
            return
        self._settled = row
        kinds, (_, _, a, b, c, d, exch_ts, _, _) = self._kinds, self._rows
        quote = kinds.rfind(_QUOTE, first, row)
        if quote >= 0:
            self.quoted = (a.item(quote), b.item(quote), c.item(quote), d.item(quote), exch_ts.item(quote))
        trade = kinds.find(_TRADE, first, row)
        while trade >= 0:
            self.traded = price, qty, side, ts = a.item(trade), b.item(trade), c.item(trade), exch_ts.item(trade)
            self.candles.trade(price, qty, qty * self._values[price], side, ts)
            trade = kinds.find(_TRADE, trade + 1, row)

    def book(self, op: int, price: int, qty: int, level_id: int, exch_ts: int, recv_ts: int) -> None:
        """Bots have quotes and trades alone."""


class Riders:
    """A `Rider` of several markets. Where one bot hears them all, and can, it goes through the rows by itself."""

    def __init__(self, taps: Sequence[BatchEvents | None], clock: Clock) -> None:
        """`taps`: by the numbers of their instruments in the rows. Raises TypeError for others than `MarketTap`."""
        self._taps: list[MarketTap | None] = []
        for tap in taps:
            if tap is not None and not isinstance(tap, MarketTap):
                raise TypeError(f"{tap!r} is no tap of a market")
            self._taps.append(tap)
        self._clock = clock
        self._rows: Rows
        self._readers: list[tuple[Reader | _FirstQuote, ...]] | None = None
        self._face: BatchFace | None = None
        self._told: Told

    def board(self, rows: Rows) -> None:
        """See `Rider`."""
        self._rows = rows
        self._readers = None
        for tap, kinds in zip(self._taps, rows.each, strict=True):
            if tap is not None:
                tap.board(rows, kinds)

    def settle(self, row: int) -> None:
        """See `Rider`."""
        for tap in self._taps:
            if tap is not None:
                tap.settle(row)

    def ride(self, row: int, stop: int) -> int:
        """See `Rider`."""
        readers = [() if tap is None else tap.readers for tap in self._taps]
        if readers != self._readers:
            self._readers = readers
            self._face = self._only_face(readers)
        if self._face is not None:
            reached = self._face.ride(self._told, row, stop)
            if reached > row:
                return reached
        elif not any(readers):
            return self._pass(row, stop)
        tap = self._taps[self._rows.of[row]]
        if tap is not None:
            tap.hear(row)
        return row + 1

    def _pass(self, row: int, stop: int) -> int:
        """Rows that nobody hears."""
        stop = bisect_left(self._rows.ts, self._clock.due, row + 1, stop)
        self._clock.now = self._rows.ts[stop - 1]
        return stop

    def _only_face(self, readers: "Sequence[Sequence[Reader | _FirstQuote]]") -> BatchFace | None:
        """The one face that hears all that is heard, if it can go through rows; then `_told` is what it is told."""
        alone: list[tuple[int, Reader]] = []
        for number, mine in enumerate(readers):
            if len(mine) > 1 or (mine and not isinstance(mine[0], Reader)):
                return None
            alone += [(number, each) for each in mine if isinstance(each, Reader)]
        faces = {id(each.face): each.face for _, each in alone}
        (face, *others) = faces.values() or (None,)
        if others or not isinstance(face, BatchFace):
            return None
        self._told = _told(self._rows, alone)
        return face


def _told(rows: Rows, readers: "Sequence[tuple[int, Reader]]") -> Told:
    """Rows as their one bot is told them; `readers`: by the number of the instrument that each hears."""
    exch_ms = (rows.exch_ts // MS).tolist()
    if len(rows.each) == 1:
        ((_, only),) = readers
        prices, sizes = only.listing.prices, only.listing.sizes
        columns = prices.column(rows.a), sizes.column(rows.b), prices.column(rows.c), sizes.column(rows.d)
        return Told(rows.ts, rows.kinds, *columns, exch_ms, [only.market] * len(rows.ts), {only.market: rows.kinds})
    of = np.frombuffer(rows.of, np.uint8)
    kinds = np.zeros(len(of), np.uint8)
    floats = [np.zeros(len(of)) for _ in range(4)]
    markets = np.zeros(len(of), np.int64)
    for number, reader in readers:
        mine = np.flatnonzero(of == number)
        kinds[mine] = np.frombuffer(rows.each[number], np.uint8)[mine]
        markets[mine] = reader.market
        prices, sizes = reader.listing.prices, reader.listing.sizes
        for column, given, scale in zip(floats, rows[2:6], (prices, sizes, prices, sizes), strict=True):
            column[mine] = scale.column(given[mine])
    a, b, c, d = (column.tolist() for column in floats)
    by_market = {reader.market: rows.each[number] for number, reader in readers}
    return Told(rows.ts, kinds.tobytes(), a, b, c, d, exch_ms, markets.tolist(), by_market)


class Markets:
    """The markets of a run that bots hear of. `quoteless`: those that never have a quote, so that nobody waits for
    one."""

    def __init__(
        self, engine: "Engine", history: History | None = None, quoteless: "Collection[Instrument]" = ()
    ) -> None:
        self._engine = engine
        self._history = history
        self._quoteless = frozenset(quoteless)
        self._taps: dict[Instrument, MarketTap] = {}

    def tap(self, instrument: "Instrument") -> MarketTap:
        """The instrument's tap, put on its feed when it is first asked for."""
        found = self._taps.get(instrument)
        if found is None:
            history = self._history(instrument) if self._history is not None else ()
            found = self._taps[instrument] = MarketTap(Contract(instrument), history, self._engine.clock)
            self._engine.feed(instrument).add_tap(found)
        return found

    def candles(self, instrument: "Instrument") -> MinuteCandles:
        """The instrument's candles so far."""
        return self.tap(instrument).candles

    def read(self, face: "BotFace", listings: Mapping[int, "Listing"]) -> None:
        """Tell a bot of its markets, by their numbers."""
        for number, listing in listings.items():
            self.tap(listing.instrument).add(Reader(face, number, listing))

    def await_quotes(self, listings: Iterable["Listing"], done: Callable[[], None]) -> bool:
        """Whether some of the markets have had no quote yet, and will have one; then `done` is called at the first of
        each."""
        waited = list(dict.fromkeys(each.instrument for each in listings if not self._settled(each)))
        for instrument in waited:
            self.tap(instrument).await_quote(done)
        return bool(waited)

    def settled(self, listings: Iterable["Listing"]) -> bool:
        """Whether each of the markets has had a quote, or never has one."""
        return all(self._settled(each) for each in listings)

    def _settled(self, listing: "Listing") -> bool:
        return listing.instrument in self._quoteless or self.tap(listing.instrument).quoted is not None

    def quoted(self, listings: Iterable["Listing"]) -> bool:
        """Whether each of the markets has had a quote."""
        return all(self.tap(each.instrument).quoted is not None for each in listings)

    def latest(self, listings: Mapping[int, "Listing"]) -> tuple[list[Quote], list[Trade]]:
        """The last quotes and trades of a bot's markets, by their numbers, of those that have had one."""
        quotes: list[Quote] = []
        trades: list[Trade] = []
        for number, listing in listings.items():
            tap, prices, sizes = self.tap(listing.instrument), listing.prices, listing.sizes
            if tap.quoted is not None:
                bid, bid_qty, ask, ask_qty, ts = tap.quoted
                quotes.append((number, prices[bid], sizes[bid_qty], prices[ask], sizes[ask_qty], ts // MS))
            if tap.traded is not None:
                price, qty, side, ts = tap.traded
                trades.append((number, side, prices[price], sizes[qty], ts // MS))
        return quotes, trades

    def leave(self, face: "BotFace") -> None:
        """Tell a bot nothing more."""
        for tap in self._taps.values():
            tap.leave(face)
