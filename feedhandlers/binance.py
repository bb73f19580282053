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
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple
from urllib.parse import quote

import msgspec

from mlthon.basics.defs import Exchange
from mlthon.basics.instrument import Instrument
from mlthon.data.feed_handlers import OnProblem
from mlthon.data.rows import Kind
from mlthon.engine.clock import MS
from mlthon.engine.faces import LIVE, NO_ASK, NO_BID, RESET, SET_ASK, SET_BID, STALE, MarketEvents
from mlthon.protocols import binance as wire
from mlthon.protocols import binance_rules
from mlthon.protocols.decimals import Steps, WholeSteps
from mlthon.venue.codec import Endpoints
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
STEPS_TRIED: Final = 64
"""When the best level is deleted the next is looked for tick by tick, so many times; then among all levels."""

BAD_MESSAGE: Final = (msgspec.MsgspecError, ValueError)
PREFIX: Final = b'{"stream":"'


class Counts:
    """What became of the messages."""

    __slots__ = ("crossed", "gaps", "off_book_trades", "other", "problems", "quotes", "snapshots", "trades", "updates")

    def __init__(self) -> None:
        self.quotes = 0
        self.trades = 0
        self.updates = 0
        self.snapshots = 0
        self.other = 0
        """Messages of streams that are not read, and answers to subscriptions."""
        self.off_book_trades = 0
        self.gaps = 0
        self.crossed = 0
        self.problems = 0


class Update(NamedTuple):
    """A diff in ticks and lots."""

    message: wire.DepthUpdate
    bids: list[tuple[int, int]]
    asks: list[tuple[int, int]]
    exch_ts: int


class Snapshot(NamedTuple):
    """A snapshot in ticks and lots."""

    last_id: int
    bids: list[tuple[int, int]]
    asks: list[tuple[int, int]]
    exch_ts: int


class Book:
    """One instrument's book: the sequence rules, and the levels as far as needed to see that it is crossed."""

    __slots__ = (
        "_asks",
        "_at_snapshot",
        "_best_ask",
        "_best_bid",
        "_bids",
        "_counts",
        "_events",
        "_kept",
        "_last_id",
        "_spare",
        "live",
    )

    def __init__(self, events: MarketEvents, counts: Counts) -> None:
        self.live = False
        self._events = events
        self._counts = counts
        self._bids: dict[int, int] = {}
        self._asks: dict[int, int] = {}
        self._best_bid = NO_BID
        self._best_ask = NO_ASK
        self._last_id = 0
        self._at_snapshot = False
        """Nothing was applied since the snapshot: the next diff has to bridge it, not to follow."""
        self._kept: deque[Update] = deque(maxlen=KEPT_UPDATES)
        self._spare: Snapshot | None = None

    def update(self, update: Update, recv_ts: int) -> None:
        """A diff, in the order of receipt."""
        if not self.live:
            self._keep(update)
            return
        message = update.message
        if self._at_snapshot:
            if wire.precedes(message, self._last_id):
                return
            continues = wire.bridges(message, self._last_id)
        else:
            continues = wire.follows(message, self._last_id)
        if continues:
            self._apply(update, recv_ts)
            return
        self._counts.gaps += 1
        self._lose(update.exch_ts, recv_ts)
        self._keep(update)
        spare, self._spare = self._spare, None
        if spare is not None:
            self.snapshot(spare, recv_ts)

    def snapshot(self, snapshot: Snapshot, recv_ts: int) -> None:
        if self.live:
            self._spare = snapshot
            return
        kept = self._kept
        while kept and wire.precedes(kept[0].message, snapshot.last_id):
            kept.popleft()
        if kept and not wire.bridges(kept[0].message, snapshot.last_id):
            return
        self._start(snapshot, recv_ts)
        while kept and self.live:
            self._apply(kept.popleft(), recv_ts)

    def lost(self, recv_ts: int) -> None:
        """The connection is lost."""
        self._kept.clear()
        self._spare = None
        if self.live:
            self._lose(0, recv_ts)

    def top(self) -> tuple[int, int, int, int]:
        """Best bid and its quantity, best ask and its quantity, as `MarketEvents.quote` has them."""
        bid, ask = self._best_bid, self._best_ask
        return bid, self._bids.get(bid, 0), ask, self._asks.get(ask, 0)

    def _keep(self, update: Update) -> None:
        kept = self._kept
        if kept and not wire.follows(update.message, kept[-1].message.last_id):
            kept.clear()
        kept.append(update)

    def _start(self, snapshot: Snapshot, recv_ts: int) -> None:
        self._bids = {price: qty for price, qty in snapshot.bids if qty}
        self._asks = {price: qty for price, qty in snapshot.asks if qty}
        self._best_bid = max(self._bids, default=NO_BID)
        self._best_ask = min(self._asks, default=NO_ASK)
        self._last_id = snapshot.last_id
        self._at_snapshot = True
        self._spare = None
        if self._best_bid >= self._best_ask:
            self._counts.crossed += 1
            return
        self.live = True
        exch_ts = snapshot.exch_ts
        book = self._events.book
        book(RESET, 0, 0, 0, exch_ts, recv_ts)
        for price, qty in self._bids.items():
            book(SET_BID, price, qty, 0, exch_ts, recv_ts)
        for price, qty in self._asks.items():
            book(SET_ASK, price, qty, 0, exch_ts, recv_ts)
        book(LIVE, 0, 0, 0, exch_ts, recv_ts)

    def _lose(self, exch_ts: int, recv_ts: int) -> None:
        self.live = False
        self._events.book(STALE, 0, 0, 0, exch_ts, recv_ts)

    def _apply(self, update: Update, recv_ts: int) -> None:
        exch_ts = update.exch_ts
        book = self._events.book
        levels = self._bids
        best = self._best_bid
        for price, qty in update.bids:
            if qty:
                levels[price] = qty
                if price > best:
                    best = price
            else:
                levels.pop(price, None)
            book(SET_BID, price, qty, 0, exch_ts, recv_ts)
        self._best_bid = bid = best if best in levels else _next_best(levels, best, -1)
        levels = self._asks
        best = self._best_ask
        for price, qty in update.asks:
            if qty:
                levels[price] = qty
                if price < best:
                    best = price
            else:
                levels.pop(price, None)
            book(SET_ASK, price, qty, 0, exch_ts, recv_ts)
        self._best_ask = ask = best if best in levels else _next_best(levels, best, 1)
        self._last_id = update.message.last_id
        self._at_snapshot = False
        if bid >= ask:
            self._counts.crossed += 1
            self._lose(exch_ts, recv_ts)


def _next_best(levels: dict[int, int], best: int, step: int) -> int:
    """The best price of `levels` when `best`, better than or equal to all of them, is gone; `step` leads away from
    it."""
    if not levels:
        return NO_BID if step < 0 else NO_ASK
    for price in range(best + step, best + step * STEPS_TRIED, step):
        if price in levels:
            return price
    return max(levels) if step < 0 else min(levels)


class InstrumentFeed:
    """The streams of one instrument."""

    __slots__ = (
        "_counts",
        "_events",
        "_lots",
        "_report",
        "_ticks",
        "book",
        "instrument",
        "quotes",
        "trades",
        "updates",
    )

    def __init__(
        self, instrument: Instrument, events: MarketEvents, counts: Counts, report: Callable[[Exception, bytes], None]
    ) -> None:
        self.instrument = instrument
        self.book = Book(events, counts)
        self._events = events
        self._counts = counts
        self._report = report
        self._ticks = Steps(instrument.price_scale.step_units)
        self._lots = WholeSteps(instrument.qty_scale.step_units)
        # how many messages have come of each stream, readable or not
        self.trades = 0
        self.quotes = 0
        self.updates = 0

    def trade(self, data: bytes, recv_ts: int) -> None:
        self.trades += 1
        try:
            trade = wire.decode_trade(data).data
            if trade.kind != "MARKET":
                self._counts.off_book_trades += 1
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
        self.quotes += 1
        try:
            ticker = wire.decode_book_ticker(data).data
            bid_qty = self._lots[ticker.bid_qty]
            ask_qty = self._lots[ticker.ask_qty]
            bid = self._ticks[ticker.bid] if bid_qty else NO_BID
            ask = self._ticks[ticker.ask] if ask_qty else NO_ASK
            if bid >= ask:
                raise ValueError(f"a crossed quote: bid {ticker.bid}, ask {ticker.ask}")
        except BAD_MESSAGE as error:
            self._report(error, data)
            return
        self._counts.quotes += 1
        self._events.quote(bid, bid_qty, ask, ask_qty, ticker.time * MS, recv_ts)

    def depth(self, data: bytes, recv_ts: int) -> None:
        self.updates += 1
        try:
            message = wire.decode_depth(data).data
            update = Update(
                message, self._levels(message.bids), self._levels(message.asks), (message.time or message.sent) * MS
            )
        except BAD_MESSAGE as error:
            self._report(error, data)
            return
        self._counts.updates += 1
        self.book.update(update, recv_ts)

    def snapshot(self, data: bytes, recv_ts: int) -> None:
        try:
            message = wire.decode_snapshot(data)
            if message.symbol not in ("", self.instrument.symbol):
                raise ValueError(f"a snapshot of {message.symbol}, not of {self.instrument.symbol}")
            bids = self._levels(message.bids)
            asks = self._levels(message.asks)
        except BAD_MESSAGE as error:
            self._report(error, data)
            return
        self._counts.snapshots += 1
        self.book.snapshot(Snapshot(message.last_id, bids, asks, message.time * MS), recv_ts)

    def _levels(self, levels: list[wire.Level]) -> list[tuple[int, int]]:
        ticks, lots = self._ticks, self._lots
        return [(ticks[price], lots[qty]) for price, qty in levels]


class BinanceFeedHandler:
    """The market data of one connection to one of `EXCHANGES`; see `mlthon.data.feed_handlers.FeedHandler`."""

    __slots__ = ("_feeds", "_on_problem", "_routes", "counts", "exchange")

    def __init__(self, exchange: Exchange, receivers: Mapping[Instrument, MarketEvents], on_problem: OnProblem) -> None:
        """Raises ValueError for an exchange or an instrument that is not Binance's."""
        if exchange not in EXCHANGES:
            raise ValueError(f"{exchange.name} is not one of {', '.join(known.name for known in EXCHANGES)}")
        self.exchange = exchange
        self.counts = Counts()
        self._on_problem = on_problem
        self._feeds: dict[str, InstrumentFeed] = {}
        for instrument, events in receivers.items():
            if instrument.exchange is not exchange:
                raise ValueError(f"{instrument.name} is not an instrument of {exchange.name}")
            self._feeds[instrument.symbol.lower()] = InstrumentFeed(instrument, events, self.counts, self._report)
        self._routes: dict[bytes, Callable[[bytes, int], None]] = {}

    def message(self, data: bytes, recv_ts: int) -> None:
        """A message of a combined stream, received at `recv_ts` (ns)."""
        # The name is cut out of the bytes, so that the message is decoded once, and at once as what it is.
        if data.startswith(PREFIX):
            name = data[11 : data.find(b'"', 11)]
            route = self._routes.get(name)
            if route is not None:
                route(data, recv_ts)
                return
        self._first_of_stream(data, recv_ts)

    def snapshot(self, instrument: Instrument, data: bytes, recv_ts: int) -> None:
        """The body of a REST depth snapshot of `instrument`, received at `recv_ts` (ns)."""
        self._feeds[instrument.symbol.lower()].snapshot(data, recv_ts)

    def disconnected(self, recv_ts: int) -> None:
        for feed in self._feeds.values():
            feed.book.lost(recv_ts)

    def waiting(self) -> list[Instrument]:
        """The instruments whose book waits for a snapshot."""
        return [feed.instrument for feed in self._feeds.values() if not feed.book.live]

    def heard(self, instrument: Instrument, kind: Kind) -> int:
        """How many messages of this kind have come for the instrument so far."""
        feed = self._feeds[instrument.symbol.lower()]
        if kind is Kind.QUOTE:
            return feed.quotes
        return feed.trades if kind is Kind.TRADE else feed.updates

    def book(self, instrument: Instrument) -> Book:
        """The book of an instrument: whether it is live, and its top."""
        return self._feeds[instrument.symbol.lower()].book

    def _first_of_stream(self, data: bytes, recv_ts: int) -> None:
        """A stream not seen before, spelled in another way, or no market data."""
        try:
            envelope = wire.decode_envelope(data)
            if envelope.error is not None or envelope.code is not None:
                raise ValueError(f"the exchange refused: {envelope.error or envelope.msg} (code {envelope.code})")
            if not envelope.stream and envelope.id is None:
                raise ValueError("not a message of a combined stream")
            route = self._route(envelope.stream)
        except BAD_MESSAGE as error:
            self._report(error, data)
            return
        if envelope.stream.isascii():
            self._routes[envelope.stream.encode()] = route
        route(data, recv_ts)

    def _route(self, stream: str) -> Callable[[bytes, int], None]:
        symbol, _, kind = stream.partition("@")
        kind = kind.partition("@")[0]
        if kind not in STREAMS.values():
            return self._not_read
        feed = self._feeds.get(symbol)
        if feed is None:
            known = ", ".join(self._feeds)
            raise ValueError(f"stream {stream} is of none of the instruments read here: {known}")
        methods = {wire.TRADE: feed.trade, wire.BOOK_TICKER: feed.book_ticker, wire.DEPTH: feed.depth}
        return methods[kind]

    def _not_read(self, _data: bytes, _recv_ts: int) -> None:
        self.counts.other += 1

    def _report(self, error: Exception, data: bytes) -> None:
        self.counts.problems += 1
        self._on_problem(str(error), data)


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
