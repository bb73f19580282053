"""Binance spot, USD-M and COIN-M futures: combined-stream messages to `MarketEvents`.

Reads `trade`, `bookTicker` and `depth` streams; other streams are counted and left alone. The exchange time passed on
is the matching engine's (`T`), of spot diffs the time of sending (`E`); spot's bookTicker and snapshots have none: 0.
Trades that are no trades of the order book (insurance fund, see `mlthon.protocols.binance`) are counted, not passed on.

A book that is not live keeps the diffs until a snapshot comes that one of them continues; then RESET, the snapshot's
levels, LIVE and those diffs are passed on. A live book's every diff must continue the one before: at one that does
not, and when the book is crossed, STALE is passed on and the book is no longer live.

A snapshot older than the first diff kept cannot be continued: the book keeps waiting for a newer one. A snapshot that
comes while the book is live is kept aside: if the next diff does not continue the book but the snapshot (a recording
that was started anew), the book is rebuilt from it at once.

A message is decoded whole, down to ticks and lots, before any of it takes effect. What cannot be decoded is counted,
reported with its bytes and skipped; after a lost diff the sequence rule makes the book stale.
"""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Final
from urllib.parse import quote

from mlthon.basics.defs import Exchange
from mlthon.basics.instrument import Instrument
from mlthon.data.feed_handlers import OnProblem
from mlthon.data.rows import Kind
from mlthon.engine.clock import MS
from mlthon.engine.faces import MarketEvents
from mlthon.protocols import binance as wire
from mlthon.protocols import binance_rules
from mlthon.protocols.decimals import Steps
from mlthon.venue import feed_streams
from mlthon.venue.codec import Endpoints
from mlthon.venue.feed_book import FeedBook
from mlthon.venue.feed_streams import BAD_MESSAGE, InstrumentStreams, Report, Route, StreamHandler
from mlthon.venue.feed_wiring import SUBSCRIPTIONS
from mlthon.venue.rate_rules import RateRule
from mlthon.venue.wire import HttpMessage, Line, Request

EXCHANGES: Final = (Exchange.Binance, Exchange.BinanceUsdm, Exchange.BinanceCoinm)
KINDS: Final = (Kind.QUOTE, Kind.TRADE, Kind.BOOK)

STREAMS: Final = {Kind.QUOTE: wire.BOOK_TICKER, Kind.TRADE: wire.TRADE, Kind.BOOK: wire.DEPTH}
"""The name of each kind's stream, after `<symbol>@`."""

SILENCE_S: Final[Mapping[Kind, float]] = {Kind.QUOTE: 60.0, Kind.BOOK: 60.0}
"""Trades of a quiet instrument may be hours apart; its best prices and its levels hardly ever stand still so long."""
MOST_TOPICS: Final = 200
"""The least of what the three allow (COIN-M; spot and USD-M take 1,024)."""
TOPICS_A_MESSAGE: Final = 50
RULES: Final = (
    RateRule(SUBSCRIPTIONS, 4, 1.0),
    RateRule(Exchange.Binance.name, 2000, 60.0, rolling=False),
    RateRule(Exchange.BinanceUsdm.name, 800, 60.0, rolling=False),
    RateRule(Exchange.BinanceCoinm.name, 800, 60.0, rolling=False),
)
"""Spot takes 5 messages a second on a connection, pings and pongs included (futures 10). Snapshots may use a third of
the weight of the address, the rest is for trading."""
LINE: Final = "public"
MAX_AGE_S: Final = 23.5 * 3600
"""Connections are cut off after 24 hours."""
SILENT_LINE_S: Final = 45.0

KEPT_UPDATES: Final = 10_000
"""How many diffs are kept while a book waits for its snapshot; then the oldest go."""

PREFIX: Final = b'{"stream":"'


class Counts(feed_streams.Counts):
    """What became of the messages."""

    __slots__ = ("off_book_trades",)

    def __init__(self) -> None:
        super().__init__()
        self.off_book_trades = 0


class Book(FeedBook):
    """One instrument's book: the sequence rules. Of messages that come in here every level can be read."""

    __slots__ = ("_at_snapshot", "_kept", "_last_id", "_spare")

    def __init__(self, events: MarketEvents, counts: Counts, ticks: Steps, lots: Steps) -> None:
        super().__init__(events, counts, ticks, lots)
        self._last_id = 0
        self._at_snapshot = False
        """Nothing was applied since the snapshot: the next diff has to bridge it, not to follow."""
        self._kept: deque[wire.DepthUpdate] = deque(maxlen=KEPT_UPDATES)
        self._spare: wire.DepthSnapshot | None = None

    def update(self, update: wire.DepthUpdate, recv_ts: int) -> None:
        """A diff, in the order of receipt."""
        if not self.live:
            self._keep(update)
            return
        if self._at_snapshot:
            if wire.precedes(update, self._last_id):
                return
            continues = wire.bridges(update, self._last_id)
        else:
            continues = wire.follows(update, self._last_id)
        if continues:
            self._apply(update, recv_ts)
            return
        self.miss(_time(update), recv_ts)
        self._keep(update)
        spare, self._spare = self._spare, None
        if spare is not None:
            self.snapshot(spare, recv_ts)

    def snapshot(self, snapshot: wire.DepthSnapshot, recv_ts: int) -> None:
        if self.live:
            self._spare = snapshot
            return
        kept = self._kept
        while kept and wire.precedes(kept[0], snapshot.last_id):
            kept.popleft()
        if kept and not wire.bridges(kept[0], snapshot.last_id):
            return
        self._last_id = snapshot.last_id
        self._at_snapshot = True
        self._spare = None
        self.start(snapshot.bids, snapshot.asks, snapshot.time * MS, recv_ts)
        while kept and self.live:
            self._apply(kept.popleft(), recv_ts)

    def disconnected(self, recv_ts: int) -> None:
        self._kept.clear()
        self._spare = None
        super().disconnected(recv_ts)

    def _keep(self, update: wire.DepthUpdate) -> None:
        kept = self._kept
        if kept and not wire.follows(update, kept[-1].last_id):
            kept.clear()
        kept.append(update)

    def _apply(self, update: wire.DepthUpdate, recv_ts: int) -> None:
        self._last_id = update.last_id
        self._at_snapshot = False
        self.change(update.bids, update.asks, _time(update), recv_ts)


def _time(update: wire.DepthUpdate) -> int:
    return (update.time or update.sent) * MS


class InstrumentFeed(InstrumentStreams):
    """The streams of one instrument."""

    __slots__ = ("_off_book",)

    book: Book

    def __init__(self, instrument: Instrument, events: MarketEvents, counts: Counts, report: Report) -> None:
        super().__init__(instrument, events, counts, report)
        self.book = Book(events, counts, self._ticks, self._lots)
        self._off_book = counts

    def trade(self, data: bytes, recv_ts: int) -> None:
        self.trades_heard += 1
        try:
            trade = wire.decode_trade(data).data
            if trade.kind != "MARKET":
                self._off_book.off_book_trades += 1
                return
            price = self._ticks[trade.price]
            qty = self._lots[trade.qty]
            if not (price and qty):
                raise ValueError(f"a trade of {trade.qty} at {trade.price}")
        except BAD_MESSAGE as error:
            self._report(error, data)
            return
        self._counts.trades += 1
        self._events.trade(price, qty, -1 if trade.buyer_is_maker else 1, trade.id, trade.time * MS, recv_ts)

    def book_ticker(self, data: bytes, recv_ts: int) -> None:
        self.quotes_heard += 1
        try:
            ticker = wire.decode_book_ticker(data).data
            self._quote((ticker.bid, ticker.bid_qty), (ticker.ask, ticker.ask_qty), ticker.time, recv_ts)
        except BAD_MESSAGE as error:
            self._report(error, data)

    def depth(self, data: bytes, recv_ts: int) -> None:
        self.books_heard += 1
        try:
            message = wire.decode_depth(data).data
            self._check(message.bids, message.asks)
        except BAD_MESSAGE as error:
            self._report(error, data)
            return
        self._counts.updates += 1
        self.book.update(message, recv_ts)

    def snapshot(self, data: bytes, recv_ts: int) -> None:
        try:
            message = wire.decode_snapshot(data)
            if message.symbol not in ("", self.instrument.symbol):
                raise ValueError(f"a snapshot of {message.symbol}, not of {self.instrument.symbol}")
            self._check(message.bids, message.asks)
        except BAD_MESSAGE as error:
            self._report(error, data)
            return
        self._counts.snapshots += 1
        self.book.snapshot(message, recv_ts)

    def _check(self, *sides: list[wire.Level]) -> None:
        """Raises ValueError unless every level can be read: the message may have to wait, and is applied as a whole."""
        ticks, lots = self._ticks.known, self._lots.known
        for levels in sides:
            for price, qty in levels:
                if price not in ticks or qty not in lots:
                    self._ticks[price], self._lots[qty]


class BinanceFeedHandler(StreamHandler[InstrumentFeed]):
    """The market data of one connection to one of `EXCHANGES`."""

    PREFIX = PREFIX
    EXCHANGES = EXCHANGES

    __slots__ = ("_by_symbol",)

    counts: Counts

    def __init__(self, exchange: Exchange, receivers: Mapping[Instrument, MarketEvents], on_problem: OnProblem) -> None:
        """Raises ValueError for an exchange or an instrument that is not Binance's."""
        counts = Counts()
        super().__init__(
            exchange,
            receivers,
            on_problem,
            counts,
            lambda instrument, events, report: InstrumentFeed(instrument, events, counts, report),
        )
        self._by_symbol = {instrument.symbol.lower(): feed for instrument, feed in self._streams.items()}

    def snapshot(self, instrument: Instrument, data: bytes, recv_ts: int) -> None:
        """The body of a REST depth snapshot of `instrument`, received at `recv_ts` (ns)."""
        self._streams[instrument].snapshot(data, recv_ts)

    def _stream(self, data: bytes) -> str:
        envelope = wire.decode_envelope(data)
        if envelope.error is not None or envelope.code is not None:
            raise ValueError(f"the exchange refused: {envelope.error or envelope.msg} (code {envelope.code})")
        if not envelope.stream and envelope.id is None:
            raise ValueError("not a message of a combined stream")
        return envelope.stream

    def _route(self, stream: str) -> Route:
        symbol, _, kind = stream.partition("@")
        kind = kind.partition("@")[0]
        if kind not in STREAMS.values():
            return self._not_read
        feed = self._by_symbol.get(symbol)
        if feed is None:
            known = ", ".join(self._by_symbol)
            raise ValueError(f"stream {stream} is of none of the instruments read here: {known}")
        methods = {wire.TRADE: feed.trade, wire.BOOK_TICKER: feed.book_ticker, wire.DEPTH: feed.depth}
        return methods[kind]


def feed_handler(
    exchange: Exchange, receivers: Mapping[Instrument, MarketEvents], on_problem: OnProblem
) -> BinanceFeedHandler:
    """A feed handler for one connection to `exchange`."""
    return BinanceFeedHandler(exchange, receivers, on_problem)


# -- live -------------------------------------------------------------------------------------------------------------


def environments(exchange: Exchange) -> dict[str, Endpoints]:
    """Where the exchange's market data is."""
    urls = wire.COINM_ENDPOINTS if exchange is Exchange.BinanceCoinm else binance_rules.ENDPOINTS[exchange]
    return {name: Endpoints(name, places, name == binance_rules.MAIN) for name, places in urls.items()}


def line_name(exchange: Exchange, instrument: Instrument) -> str:
    """All instruments are served at one address."""
    return LINE


def line(exchange: Exchange, endpoints: Endpoints, name: str, connection: str) -> Line:
    """A connection for combined streams. The exchange pings; our own protocol pings notice a dead line sooner."""
    url = f"{endpoints.urls[name]}/stream"
    return Line(connection, lambda _now_ms: url, silence_s=SILENT_LINE_S, max_age_s=MAX_AGE_S)


def topic(exchange: Exchange, instrument: Instrument, kind: Kind, depth: int) -> str:
    """The stream of a kind; books come as differences ten times a second, of any depth."""
    if kind not in STREAMS:
        raise ValueError(f"{exchange.name} has no stream of {kind.name.lower()}")
    return f"{instrument.symbol.lower()}@{STREAMS[kind]}{'@100ms' if kind is Kind.BOOK else ''}"


def subscribe(exchange: Exchange, topics: Sequence[str], number: int) -> Iterator[str]:
    """Messages that subscribe to the streams."""
    return _stream_messages("SUBSCRIBE", topics, number)


def unsubscribe(exchange: Exchange, topics: Sequence[str], number: int) -> Iterator[str]:
    """Messages that end the subscriptions."""
    return _stream_messages("UNSUBSCRIBE", topics, number)


def snapshot_request(exchange: Exchange, instrument: Instrument, depth: int) -> Request:
    """How to ask for a book; always as deep as it is given, because differences come of all levels."""
    target = f"{wire.DEPTH_CALLS[exchange]}?symbol={quote(instrument.symbol)}&limit={wire.DEPTH_LIMIT}"
    return Request(
        "book snapshot", lambda _now_ms: HttpMessage("GET", target), ((exchange.name, wire.DEPTH_WEIGHTS[exchange]),)
    )


def _stream_messages(method: str, topics: Sequence[str], number: int) -> Iterator[str]:
    for first in range(0, len(topics), TOPICS_A_MESSAGE):
        yield wire.stream_message(method, topics[first : first + TOPICS_A_MESSAGE], number)
        number += 1
