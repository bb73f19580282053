"""What feed handlers share whose messages name their stream first: `{"topic":"publicTrade.BTCUSDT",...`.

A handler is a `StreamHandler` with one `InstrumentStreams` an instrument. Which stream means what, and how its messages
are spelled, stands in the exchange's module.

The way of a message is found by how it begins, without decoding it: it is decoded once, and at once as what it is. Only
the first of a stream, and what is no market data, is looked at twice.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from typing import ClassVar, Final, Generic, TypeVar

import msgspec

from mlthon.basics.defs import Exchange
from mlthon.basics.instrument import Instrument
from mlthon.data.feed_handlers import OnProblem
from mlthon.data.rows import Kind
from mlthon.engine.clock import MS
from mlthon.engine.faces import NO_ASK, NO_BID, MarketEvents
from mlthon.protocols.decimals import Steps, WholeSteps
from mlthon.venue.feed_book import FeedBook

BAD_MESSAGE: Final = (msgspec.MsgspecError, ValueError)

HEAD_BYTES: Final = 40
"""So many bytes of a message tell its stream, if the stream's name ends among them: a slice of one length is cheaper
than a search for the end of the name."""
HEAD: Final = slice(HEAD_BYTES)
MOST_HEADS: Final = 10_000
"""What follows a short name may differ from message to message; so many beginnings are kept."""

Route = Callable[[bytes, int], None]
Report = Callable[[Exception, bytes], None]


class Counts:
    """What became of the messages."""

    __slots__ = ("crossed", "gaps", "other", "problems", "quotes", "snapshots", "trades", "updates")

    def __init__(self) -> None:
        self.quotes = 0
        self.trades = 0
        self.updates = 0
        """Changes of books, those included that came while the book waited."""
        self.snapshots = 0
        self.other = 0
        """Messages of streams that are not read, and answers."""
        self.gaps = 0
        self.crossed = 0
        self.problems = 0


class InstrumentStreams:
    """The streams of one instrument. `trades_heard` and so on: how many messages have come, readable or not. A subclass
    makes the book."""

    book: FeedBook

    __slots__ = (
        "_counts",
        "_events",
        "_lots",
        "_report",
        "_ticks",
        "book",
        "books_heard",
        "instrument",
        "quotes_heard",
        "trades_heard",
    )

    def __init__(self, instrument: Instrument, events: MarketEvents, counts: Counts, report: Report) -> None:
        self.instrument = instrument
        self.trades_heard = 0
        self.quotes_heard = 0
        self.books_heard = 0
        self._events = events
        self._counts = counts
        self._report = report
        self._ticks = Steps(instrument.price_scale.step_units)
        self._lots = WholeSteps(instrument.qty_scale.step_units)

    def heard(self, kind: Kind) -> int:
        heard = {Kind.TRADE: self.trades_heard, Kind.QUOTE: self.quotes_heard, Kind.BOOK: self.books_heard}
        return heard.get(kind, 0)

    def _quote(self, bid: tuple[str, str], ask: tuple[str, str], ts_ms: int, recv_ts: int) -> None:
        """Pass on the best levels, price and quantity in text; a quantity of 0 is an empty side. Raises ValueError."""
        bid_text, bid_qty_text = bid
        ask_text, ask_qty_text = ask
        ticks, lots = self._ticks.known, self._lots.known
        try:
            best_bid, best_ask = ticks[bid_text], ticks[ask_text]
            bid_qty, ask_qty = lots[bid_qty_text], lots[ask_qty_text]
        except KeyError:
            bid_qty, ask_qty = self._lots[bid_qty_text], self._lots[ask_qty_text]
            # the price of an empty side need not be one
            best_bid = self._ticks[bid_text] if bid_qty else NO_BID
            best_ask = self._ticks[ask_text] if ask_qty else NO_ASK
        if not bid_qty:
            best_bid = NO_BID
        if not ask_qty:
            best_ask = NO_ASK
        if best_bid >= best_ask:
            raise ValueError(f"a crossed quote: bid {bid[0]}, ask {ask[0]}")
        self._counts.quotes += 1
        # not called as a method, which costs twice as much where it is an attribute
        to_events = self._events.quote
        to_events(best_bid, bid_qty, best_ask, ask_qty, ts_ms * MS, recv_ts)


S = TypeVar("S", bound=InstrumentStreams)


class StreamHandler(ABC, Generic[S]):
    """The market data of one line; see `mlthon.venue.feed_wiring.LiveFeedHandler`.

    A subclass has: `PREFIX`, how a message begins before the name of its stream; `_stream`, the name in a message that
    is spelled in another way, empty for an answer; `_route`, the way of a stream's messages. Both raise ValueError.

    `ways`: how a message begins, its first bytes (`HEAD`) -> the way that `message` sends it, as far as it is known.
    Whoever has many messages may look there first and save a call each.
    """

    PREFIX: ClassVar[bytes]
    EXCHANGES: ClassVar[Collection[Exchange]]

    __slots__ = ("_on_problem", "_routes", "_streams", "counts", "exchange", "ways")

    def __init__(
        self,
        exchange: Exchange,
        receivers: Mapping[Instrument, MarketEvents],
        on_problem: OnProblem,
        counts: Counts,
        make: Callable[[Instrument, MarketEvents, Report], S],
    ) -> None:
        """Raises ValueError for an exchange that is not read here, and for another one's instrument."""
        if exchange not in self.EXCHANGES:
            raise ValueError(f"{exchange.name} is not one of {', '.join(known.name for known in self.EXCHANGES)}")
        self.exchange = exchange
        self.counts = counts
        self._on_problem = on_problem
        self._streams: dict[Instrument, S] = {}
        for instrument, events in receivers.items():
            if instrument.exchange is not exchange:
                raise ValueError(f"{instrument.name} is not an instrument of {exchange.name}")
            self._streams[instrument] = make(instrument, events, self._report)
        self._routes: dict[bytes, Route] = {}
        """By how a message begins, up to the end of its stream's name."""
        self.ways: dict[bytes, Route] = {}

    def message(self, data: bytes, recv_ts: int) -> None:
        """A message of the line, received at `recv_ts` (ns)."""
        try:
            route = self.ways[data[HEAD]]
        except KeyError:
            self._new_head(data, recv_ts)
        else:
            route(data, recv_ts)

    def disconnected(self, recv_ts: int) -> None:
        for streams in self._streams.values():
            streams.book.disconnected(recv_ts)

    def waiting(self) -> list[Instrument]:
        """The instruments whose book waits for a snapshot."""
        return [instrument for instrument, streams in self._streams.items() if not streams.book.live]

    def heard(self, instrument: Instrument, kind: Kind) -> int:
        """How many messages of this kind have come for the instrument so far."""
        return self._streams[instrument].heard(kind)

    def book(self, instrument: Instrument) -> FeedBook:
        """The book of an instrument: whether it is live, and its top."""
        return self._streams[instrument].book

    @abstractmethod
    def _stream(self, data: bytes) -> str: ...

    @abstractmethod
    def _route(self, stream: str) -> Route: ...

    def _new_head(self, data: bytes, recv_ts: int) -> None:
        end = data.find(b'"', len(self.PREFIX))
        route = self._routes.get(data[:end]) if end > 0 else None
        if route is None:
            self._first_of_stream(data, recv_ts)
            return
        if end < HEAD_BYTES:
            if len(self.ways) >= MOST_HEADS:
                self.ways.clear()
            self.ways[data[HEAD]] = route
        route(data, recv_ts)

    def _first_of_stream(self, data: bytes, recv_ts: int) -> None:
        """A stream not seen before, spelled in another way, or no market data."""
        try:
            stream = self._stream(data)
            route = self._route(stream) if stream else self._not_read
        except BAD_MESSAGE as error:
            self._report(error, data)
            return
        if stream and stream.isascii():
            self._routes[self.PREFIX + stream.encode()] = route
        route(data, recv_ts)

    def _not_read(self, _data: bytes, _recv_ts: int) -> None:
        self.counts.other += 1

    def _report(self, error: Exception, data: bytes) -> None:
        self.counts.problems += 1
        self._on_problem(str(error), data)
