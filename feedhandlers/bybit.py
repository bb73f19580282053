"""Bybit v5 spot, linear and inverse: websocket messages to `MarketEvents`.

Reads the topics `publicTrade`, `orderbook` and `tickers`; others are counted and left alone. A symbol such as BTCUSDT
is traded on spot and on linear, each with a line of its own (`line_name`), and a message does not say from which it
came: a handler reads one line, and refuses instruments that share a symbol. The exchange time passed on is the
matching engine's (`cts`, a trade's `T`), of tickers the time of sending. Block trades never met the order book: they
are counted, not passed on.

A book begins with a snapshot: RESET, its levels, LIVE. Each delta must have the number after the one before; where one
does not, where the book is crossed, and where a message cannot be decoded, STALE is passed on and the book waits.
Nothing can be asked for: the next snapshot comes with the next subscription, or by itself when the service restarts.

`orderbook.1` gives quotes. `tickers` gives them too, for recordings that hold nothing better; live, nobody subscribes.

For speed a delta is applied while it is read, level by level, and passed on as it is applied.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

import msgspec

from mlthon.basics.defs import Exchange
from mlthon.basics.instrument import Instrument
from mlthon.data.feed_handlers import OnProblem
from mlthon.data.rows import Kind
from mlthon.engine.clock import MS
from mlthon.engine.faces import LIVE, NO_ASK, NO_BID, RESET, SET_ASK, SET_BID, STALE, MarketEvents
from mlthon.protocols import bybit, bybit_public
from mlthon.protocols.decimals import Steps, WholeSteps
from mlthon.venue.codec import Endpoints
from mlthon.venue.rate_rules import RateRule
from mlthon.venue.wire import Line, Request

EXCHANGES: Final = (Exchange.Bybit,)
KINDS: Final = (Kind.QUOTE, Kind.TRADE, Kind.BOOK)

SILENCE_S: Final = {Kind.QUOTE: 30.0, Kind.BOOK: 60.0}
"""An unchanged `orderbook.1` is sent again every three seconds."""
RULES: Final[tuple[RateRule, ...]] = ()
"""Bybit limits the topics of a message and of a connection, not the messages."""
MOST_TOPICS: Final = 500
"""Their names together must stay under 21,000 characters."""

STEPS_TRIED: Final = 64
"""When the best level is deleted the next is looked for tick by tick, so many times; then among all levels."""

BAD_MESSAGE: Final = (msgspec.MsgspecError, ValueError)
PREFIX: Final = b'{"topic":"'
TOPIC_AT: Final = len(PREFIX)
TAKERS: Final = bybit.SIDES
decode_trades: Final = bybit_public.decode_trades
decode_book: Final = bybit_public.decode_book
trade_id: Final = bybit_public.trade_id

Route = Callable[[bytes, int], None]


class Counts:
    """What became of the messages."""

    __slots__ = ("block_trades", "crossed", "gaps", "other", "problems", "quotes", "snapshots", "trades", "updates")

    def __init__(self) -> None:
        self.quotes = 0
        self.trades = 0
        self.updates = 0
        """Deltas, those included that came while the book waited."""
        self.snapshots = 0
        self.other = 0
        """Messages of topics that are not read, answers to subscriptions and pings."""
        self.block_trades = 0
        self.gaps = 0
        self.crossed = 0
        self.problems = 0


class Book:
    """One instrument's book: the sequence rule, and the levels as far as needed to see that it is crossed."""

    __slots__ = (
        "_asks",
        "_best_ask",
        "_best_bid",
        "_bids",
        "_counts",
        "_events",
        "_last_id",
        "_lots",
        "_ticks",
        "live",
    )

    def __init__(self, events: MarketEvents, counts: Counts, ticks: Steps, lots: Steps) -> None:
        self.live = False
        self._events = events
        self._counts = counts
        self._ticks = ticks
        self._lots = lots
        self._bids: dict[int, int] = {}
        self._asks: dict[int, int] = {}
        self._best_bid = NO_BID
        self._best_ask = NO_ASK
        self._last_id = 0

    def update(self, message: bybit_public.BookMessage, recv_ts: int) -> None:
        """A delta, in the order of receipt. Raises ValueError for a level that is no price and quantity of the
        instrument; the book is lost then."""
        if not self.live:
            return
        data = message.data
        exch_ts = (message.engine_ts or message.ts) * MS
        if data.update_id != self._last_id + 1:
            self._counts.gaps += 1
            self.lose(exch_ts, recv_ts)
            return
        self._last_id = data.update_id
        ticks, lots = self._ticks, self._lots
        book = self._events.book
        levels = self._bids
        best = self._best_bid
        for price_text, qty_text in data.bids:
            price = ticks[price_text]
            qty = lots[qty_text]
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
        for price_text, qty_text in data.asks:
            price = ticks[price_text]
            qty = lots[qty_text]
            if qty:
                levels[price] = qty
                if price < best:
                    best = price
            else:
                levels.pop(price, None)
            book(SET_ASK, price, qty, 0, exch_ts, recv_ts)
        self._best_ask = ask = best if best in levels else _next_best(levels, best, 1)
        if bid >= ask:
            self._counts.crossed += 1
            self.lose(exch_ts, recv_ts)

    def snapshot(self, message: bybit_public.BookMessage, recv_ts: int) -> None:
        """A snapshot replaces the book, whatever its number."""
        ticks, lots = self._ticks, self._lots
        data = message.data
        exch_ts = (message.engine_ts or message.ts) * MS
        bids = {ticks[price]: lots[qty] for price, qty in data.bids}
        asks = {ticks[price]: lots[qty] for price, qty in data.asks}
        self._bids = {price: qty for price, qty in bids.items() if qty}
        self._asks = {price: qty for price, qty in asks.items() if qty}
        self._best_bid = max(self._bids, default=NO_BID)
        self._best_ask = min(self._asks, default=NO_ASK)
        self._last_id = data.update_id
        if self._best_bid >= self._best_ask:
            self._counts.crossed += 1
            self.lose(exch_ts, recv_ts)
            return
        self.live = True
        book = self._events.book
        book(RESET, 0, 0, 0, exch_ts, recv_ts)
        for price, qty in self._bids.items():
            book(SET_BID, price, qty, 0, exch_ts, recv_ts)
        for price, qty in self._asks.items():
            book(SET_ASK, price, qty, 0, exch_ts, recv_ts)
        book(LIVE, 0, 0, 0, exch_ts, recv_ts)

    def lose(self, exch_ts: int, recv_ts: int) -> None:
        """The book cannot be trusted until the next snapshot."""
        if self.live:
            self.live = False
            self._events.book(STALE, 0, 0, 0, exch_ts, recv_ts)

    def top(self) -> tuple[int, int, int, int]:
        """Best bid and its quantity, best ask and its quantity, as `MarketEvents.quote` has them."""
        bid, ask = self._best_bid, self._best_ask
        return bid, self._bids.get(bid, 0), ask, self._asks.get(ask, 0)


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
    """The topics of one instrument."""

    __slots__ = (
        "_counts",
        "_events",
        "_lots",
        "_report",
        "_side",
        "_ticks",
        "book",
        "books_heard",
        "instrument",
        "quotes_heard",
        "trades_heard",
    )

    def __init__(
        self, instrument: Instrument, events: MarketEvents, counts: Counts, report: Callable[[Exception, bytes], None]
    ) -> None:
        self.instrument = instrument
        self.trades_heard = 0
        self.quotes_heard = 0
        self.books_heard = 0
        self._events = events
        self._counts = counts
        self._report = report
        self._ticks = Steps(instrument.price_scale.step_units)
        self._lots = WholeSteps(instrument.qty_scale.step_units)
        self.book = Book(events, counts, self._ticks, self._lots)
        self._side: dict[str, tuple[str, str]] = {}
        """The bid and the ask of the ticker so far."""

    def trades(self, data: bytes, recv_ts: int) -> None:
        self.trades_heard += 1
        try:
            ticks, lots = self._ticks, self._lots
            for trade in decode_trades(data).data:
                price = ticks[trade.price]
                qty = lots[trade.qty]
                side = TAKERS.get(trade.side)
                if not (price and qty and side):
                    raise ValueError(f"a trade of {trade.qty} at {trade.price} by a taker who would {trade.side!r}")
                number = trade_id(trade.id)
                if trade.block:
                    self._counts.block_trades += 1
                    continue
                self._counts.trades += 1
                self._events.trade(price, qty, side, number, trade.time * MS, recv_ts)
        except BAD_MESSAGE as error:
            self._report(error, data)

    def quote(self, data: bytes, recv_ts: int) -> None:
        """`orderbook.1`."""
        self.quotes_heard += 1
        try:
            message = decode_book(data)
            if message.type != bybit_public.SNAPSHOT:
                raise ValueError(f"orderbook.1 with a {message.type}: it should have snapshots only")
            levels = message.data
            if len(levels.bids) > 1 or len(levels.asks) > 1:
                raise ValueError("orderbook.1 with more than one level a side")
            bid, bid_qty = self._level(levels.bids[0], NO_BID) if levels.bids else (NO_BID, 0)
            ask, ask_qty = self._level(levels.asks[0], NO_ASK) if levels.asks else (NO_ASK, 0)
            self._quote(bid, bid_qty, ask, ask_qty, message.engine_ts or message.ts, recv_ts)
        except BAD_MESSAGE as error:
            self._report(error, data)

    def ticker(self, data: bytes, recv_ts: int) -> None:
        self.quotes_heard += 1
        try:
            message = bybit_public.decode_ticker(data)
            ticker = message.data
            if message.type == bybit_public.SNAPSHOT:
                self._side.clear()
            changed = False
            if ticker.bid is not None and ticker.bid_qty is not None:
                self._side["bid"] = (ticker.bid, ticker.bid_qty)
                changed = True
            if ticker.ask is not None and ticker.ask_qty is not None:
                self._side["ask"] = (ticker.ask, ticker.ask_qty)
                changed = True
            if not changed or len(self._side) < 2:
                self._counts.other += 1
                return
            bid, bid_qty = self._level(self._side["bid"], NO_BID)
            ask, ask_qty = self._level(self._side["ask"], NO_ASK)
            self._quote(bid, bid_qty, ask, ask_qty, message.ts, recv_ts)
        except BAD_MESSAGE as error:
            self._report(error, data)

    def depth(self, data: bytes, recv_ts: int) -> None:
        self.books_heard += 1
        try:
            message = decode_book(data)
            if message.type == bybit_public.DELTA:
                self._counts.updates += 1
                self.book.update(message, recv_ts)
            elif message.type == bybit_public.SNAPSHOT:
                self._counts.snapshots += 1
                self.book.snapshot(message, recv_ts)
            else:
                raise ValueError(f"a book message of type {message.type!r}")
        except BAD_MESSAGE as error:
            self._report(error, data)
            self.book.lose(0, recv_ts)

    def _level(self, level: tuple[str, str], empty: int) -> tuple[int, int]:
        qty = self._lots[level[1]]
        return (self._ticks[level[0]], qty) if qty else (empty, 0)

    def _quote(self, bid: int, bid_qty: int, ask: int, ask_qty: int, ts_ms: int, recv_ts: int) -> None:
        if bid >= ask:
            raise ValueError(f"a crossed quote: bid {bid} and ask {ask} ticks")
        self._counts.quotes += 1
        self._events.quote(bid, bid_qty, ask, ask_qty, ts_ms * MS, recv_ts)


class BybitFeedHandler:
    """The market data of one line; see `mlthon.venue.feed_wiring.LiveFeedHandler`."""

    __slots__ = ("_by_instrument", "_feeds", "_on_problem", "_routes", "counts", "exchange")

    def __init__(self, exchange: Exchange, receivers: Mapping[Instrument, MarketEvents], on_problem: OnProblem) -> None:
        """Raises ValueError for another exchange's instrument, and for two that share a symbol."""
        if exchange not in EXCHANGES:
            raise ValueError(f"{exchange.name} is not {EXCHANGES[0].name}")
        self.exchange = exchange
        self.counts = Counts()
        self._on_problem = on_problem
        self._feeds: dict[str, InstrumentFeed] = {}
        self._by_instrument: dict[Instrument, InstrumentFeed] = {}
        for instrument, events in receivers.items():
            if instrument.exchange is not exchange:
                raise ValueError(f"{instrument.name} is not an instrument of {exchange.name}")
            other = self._feeds.get(instrument.symbol)
            if other is not None:
                raise ValueError(
                    f"{other.instrument.name} and {instrument.name} are both {instrument.symbol}: "
                    "they come over different lines, so each needs a handler of its own"
                )
            feed = InstrumentFeed(instrument, events, self.counts, self._report)
            self._feeds[instrument.symbol] = self._by_instrument[instrument] = feed
        self._routes: dict[bytes, Route] = {}
        """By how a message begins, up to the end of its topic."""

    def message(self, data: bytes, recv_ts: int) -> None:
        """A message of the line, received at `recv_ts` (ns)."""
        # The topic is cut out of the bytes, so that the message is decoded once, and at once as what it is.
        route = self._routes.get(data[: data.find(b'"', TOPIC_AT)])
        if route is not None:
            route(data, recv_ts)
            return
        self._first_of_topic(data, recv_ts)

    def snapshot(self, instrument: Instrument, data: bytes, recv_ts: int) -> None:
        """Bybit's snapshots come over the line; one that was asked for has other numbers than the deltas."""
        self._report(ValueError(f"a snapshot of {instrument.name} that no line brought cannot be continued"), data)

    def disconnected(self, recv_ts: int) -> None:
        for feed in self._feeds.values():
            feed.book.lose(0, recv_ts)

    def waiting(self) -> list[Instrument]:
        """The instruments whose book waits for a snapshot."""
        return [feed.instrument for feed in self._feeds.values() if not feed.book.live]

    def heard(self, instrument: Instrument, kind: Kind) -> int:
        """How many messages of this kind have come for the instrument so far."""
        feed = self._by_instrument[instrument]
        heard = {Kind.TRADE: feed.trades_heard, Kind.QUOTE: feed.quotes_heard, Kind.BOOK: feed.books_heard}
        return heard.get(kind, 0)

    def book(self, instrument: Instrument) -> Book:
        """The book of an instrument: whether it is live, and its top."""
        return self._by_instrument[instrument].book

    def _first_of_topic(self, data: bytes, recv_ts: int) -> None:
        """A topic not seen before, spelled in another way, or no market data."""
        try:
            envelope = bybit_public.decode_envelope(data)
            if envelope.success is False:
                raise ValueError(f"the exchange refused {envelope.op or 'a request'}: {envelope.ret_msg}")
            if not envelope.topic:
                if not envelope.op:
                    raise ValueError("neither market data nor an answer")
                self.counts.other += 1
                return
            route = self._route(envelope.topic)
        except BAD_MESSAGE as error:
            self._report(error, data)
            return
        if envelope.topic.isascii():
            self._routes[PREFIX + envelope.topic.encode()] = route
        route(data, recv_ts)

    def _route(self, topic: str) -> Route:
        kind, _, rest = topic.partition(".")
        depth, _, symbol = rest.rpartition(".")
        if kind not in (bybit.TRADE_TOPIC, bybit.BOOK_TOPIC, bybit.TICKER_TOPIC):
            return self._not_read
        feed = self._feeds.get(symbol)
        if feed is None:
            known = ", ".join(self._feeds)
            raise ValueError(f"topic {topic} is of none of the instruments read here: {known}")
        if kind == bybit.TRADE_TOPIC:
            return feed.trades
        if kind == bybit.TICKER_TOPIC:
            return feed.ticker
        return feed.quote if depth == str(bybit.QUOTE_DEPTH) else feed.depth

    def _not_read(self, _data: bytes, _recv_ts: int) -> None:
        self.counts.other += 1

    def _report(self, error: Exception, data: bytes) -> None:
        self.counts.problems += 1
        self._on_problem(str(error), data)


def feed_handler(
    exchange: Exchange, receivers: Mapping[Instrument, MarketEvents], on_problem: OnProblem
) -> BybitFeedHandler:
    """A feed handler for one line."""
    return BybitFeedHandler(exchange, receivers, on_problem)


# -- live (mlthon.venue.feed_wiring.LiveFeedModule) --------------------------------------------------------------------


def environments(exchange: Exchange) -> Mapping[str, Endpoints]:
    """Where the market data is; that of `demo` is that of `main`."""
    if exchange not in EXCHANGES:
        raise ValueError(f"{exchange.name} is not {EXCHANGES[0].name}")
    return {name: Endpoints(name, urls, name in bybit.REAL_MONEY) for name, urls in bybit.ENVIRONMENTS.items()}


def line_name(exchange: Exchange, instrument: Instrument) -> str:
    """`spot`, `linear` or `inverse`."""
    if instrument.exchange is not exchange:
        raise ValueError(f"{instrument.name} is not an instrument of {exchange.name}")
    return bybit.category(instrument)


def line(_exchange: Exchange, endpoints: Endpoints, name: str, connection: str) -> Line:
    """A connection to a category's public endpoint."""
    if name not in bybit.CATEGORIES:
        raise ValueError(f"Bybit has no line {name!r}, only {', '.join(bybit.CATEGORIES)}")
    url = endpoints.urls[f"public.{name}"]
    return Line(connection, lambda _now_ms: url, ping=lambda: bybit.PING, ping_every_s=bybit.PING_EVERY_S)


def topic(_exchange: Exchange, instrument: Instrument, kind: Kind, depth: int) -> str:
    """What to subscribe to; a book has the least depth that Bybit offers and is at least `depth`, or the greatest."""
    if kind is Kind.TRADE:
        return f"{bybit.TRADE_TOPIC}.{instrument.symbol}"
    if kind is Kind.QUOTE:
        return f"{bybit.BOOK_TOPIC}.{bybit.QUOTE_DEPTH}.{instrument.symbol}"
    if kind is Kind.BOOK:
        levels = next((offered for offered in bybit.BOOK_DEPTHS if offered >= depth), bybit.BOOK_DEPTHS[-1])
        return f"{bybit.BOOK_TOPIC}.{levels}.{instrument.symbol}"
    raise ValueError(f"Bybit sends no {kind.name}")


def subscribe(_exchange: Exchange, topics: Sequence[str], number: int) -> Iterable[str]:
    """Messages of ten topics each, which is what spot allows."""
    return _requests("subscribe", topics, number)


def unsubscribe(_exchange: Exchange, topics: Sequence[str], number: int) -> Iterable[str]:
    return _requests("unsubscribe", topics, number)


def snapshot_request(_exchange: Exchange, _instrument: Instrument, _depth: int) -> Request | None:
    """None: snapshots come over the line, one with each subscription."""
    return None


def _requests(op: str, topics: Sequence[str], number: int) -> list[str]:
    most = bybit.MOST_TOPICS_SPOT
    return [
        msgspec.json.encode(
            {"op": op, "req_id": f"{number}-{start // most}", "args": list(topics[start : start + most])}
        ).decode()
        for start in range(0, len(topics), most)
    ]
