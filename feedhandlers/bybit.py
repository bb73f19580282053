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

For speed a delta becomes ticks and lots while it is applied, ids of trades are read only where somebody wants them
(`mlthon.engine.faces.TradeIds`), and where one strategy alone hears trades it is called right here (`LoneHearer`).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from mlthon.basics import defs
from mlthon.basics.defs import Exchange
from mlthon.basics.instrument import Instrument
from mlthon.data.feed_handlers import OnProblem
from mlthon.data.rows import Kind
from mlthon.engine.clock import MS
from mlthon.engine.faces import LoneHearer, MarketEvents, TradeIds
from mlthon.protocols import bybit, bybit_public
from mlthon.protocols.decimals import Steps
from mlthon.venue import feed_streams
from mlthon.venue.codec import Endpoints
from mlthon.venue.feed_book import FeedBook
from mlthon.venue.feed_streams import BAD_MESSAGE, InstrumentStreams, Report, Route, StreamHandler
from mlthon.venue.rate_rules import RateRule
from mlthon.venue.shown import Shown
from mlthon.venue.wire import Line, Request

EXCHANGES: Final = (Exchange.Bybit,)
KINDS: Final = (Kind.QUOTE, Kind.TRADE, Kind.BOOK)

SILENCE_S: Final = {Kind.QUOTE: 30.0, Kind.BOOK: 60.0}
"""An unchanged `orderbook.1` is sent again every three seconds."""
RULES: Final[tuple[RateRule, ...]] = ()
"""Bybit limits the topics of a message and of a connection, not the messages."""
MOST_TOPICS: Final = 500
"""Their names together must stay under 21,000 characters."""

PREFIX: Final = b'{"topic":"'
TAKERS: Final = bybit.SIDES
SIDES: Final = {text: defs.SIDES[taker] for text, taker in TAKERS.items()}
decode_trades: Final = bybit_public.decode_trades
decode_unnamed: Final = bybit_public.decode_unnamed_trades
decode_book: Final = bybit_public.decode_book
trade_id: Final = bybit_public.trade_id
EMPTY: Final = ("0", "0")
"""The best level of an empty side."""


class Counts(feed_streams.Counts):
    """What became of the messages."""

    __slots__ = ("block_trades",)

    def __init__(self) -> None:
        super().__init__()
        self.block_trades = 0


class Book(FeedBook):
    """One instrument's book. `next_id`: the number that the next delta must have."""

    __slots__ = ("next_id",)

    def __init__(self, events: MarketEvents, counts: Counts, ticks: Steps, lots: Steps) -> None:
        super().__init__(events, counts, ticks, lots)
        self.next_id = 0

    def snapshot(self, levels: bybit_public.Levels, exch_ts: int, recv_ts: int) -> None:
        """A snapshot replaces the book, whatever its number."""
        self.start(levels.bids, levels.asks, exch_ts, recv_ts)
        self.next_id = levels.update_id + 1


class InstrumentFeed(InstrumentStreams):
    """The topics of one instrument."""

    __slots__ = ("_side", "depth", "trades")

    book: Book

    def __init__(self, instrument: Instrument, events: MarketEvents, counts: Counts, report: Report) -> None:
        super().__init__(instrument, events, counts, report)
        self.book = Book(events, counts, self._ticks, self._lots)
        self.trades = self._trade_route(counts)
        self.depth = self._depth_route(counts)
        self._side: dict[str, tuple[str, str]] = {}
        """The bid and the ask of the ticker so far."""

    def _trade_route(self, counts: Counts) -> Route:
        """The way of `publicTrade`: functions with all they need at hand, for it is what comes most often."""
        events, report = self._events, self._report
        all_ticks, all_lots = self._ticks, self._lots
        ticks, lots = all_ticks.known, all_lots.known
        gate = events if isinstance(events, TradeIds) else None

        def pass_on(trade: bybit_public.UnnamedTrade, number: int, recv_ts: int) -> None:
            try:
                price = ticks[trade.price]
                qty = lots[trade.qty]
            except KeyError:
                price, qty = all_ticks[trade.price], all_lots[trade.qty]
            if not (price and qty):
                raise ValueError(f"a trade of {trade.qty} at {trade.price}")
            if trade.block:
                counts.block_trades += 1
                return
            counts.trades += 1
            # looked up each time, for a feed binds it anew when subscriptions change; not called as a method, which
            # costs twice as much where it is an attribute
            to_events = events.trade
            to_events(price, qty, TAKERS[trade.side], number, trade.time * MS, recv_ts)

        def trades(data: bytes, recv_ts: int) -> None:
            self.trades_heard += 1
            try:
                if gate is None or gate.reads_trade_ids:
                    for named in decode_trades(data).data:
                        pass_on(named, trade_id(named.id), recv_ts)
                else:
                    for trade in decode_unnamed(data).data:
                        pass_on(trade, 0, recv_ts)
            except BAD_MESSAGE as error:
                report(error, data)

        if not isinstance(events, LoneHearer):
            return trades
        lone, exchange, instrument_id = events, self.instrument.venue, self.instrument.number
        shown_prices = Shown(all_ticks, self.instrument.price_scale.values)
        shown_qtys = Shown(all_lots, self.instrument.qty_scale.values)
        prices, qtys = shown_prices.known, shown_qtys.known
        # when the latest message came: all messages of a read bear the same object
        latest, latest_ms = -1, -1

        def trades_at_once(data: bytes, recv_ts: int) -> None:
            nonlocal latest, latest_ms
            if lone.trade_hearer is None:
                trades(data, recv_ts)
                return
            if recv_ts is not latest:
                latest, latest_ms = recv_ts, recv_ts // MS
            self.trades_heard += 1
            try:
                for trade in decode_unnamed(data).data:
                    hearer = lone.trade_hearer
                    if hearer is None:
                        pass_on(trade, 0, recv_ts)
                        continue
                    try:
                        price = prices[trade.price]
                        qty = qtys[trade.qty]
                    except KeyError:
                        price, qty = shown_prices.learn(trade.price), shown_qtys.learn(trade.qty)
                    if trade.block:
                        counts.block_trades += 1
                        continue
                    counts.trades += 1
                    try:
                        hearer.strategy.on_public_trade(
                            exchange, instrument_id, SIDES[trade.side], price, qty, trade.time, latest_ms
                        )
                    except Exception as error:  # noqa: BLE001 - a strategy's own error must not stop the engine
                        hearer.failed("on_public_trade", error)
            except BAD_MESSAGE as error:
                report(error, data)

        return trades_at_once

    def quote(self, data: bytes, recv_ts: int) -> None:
        """`orderbook.1`."""
        self.quotes_heard += 1
        try:
            message = decode_book(data)
            if message.type != "snapshot":
                raise ValueError(f"orderbook.1 with a {message.type}: it should have snapshots only")
            levels = message.data
            if len(levels.bids) > 1 or len(levels.asks) > 1:
                raise ValueError("orderbook.1 with more than one level a side")
            bid = levels.bids[0] if levels.bids else EMPTY
            ask = levels.asks[0] if levels.asks else EMPTY
            self._quote(bid, ask, message.engine_ts or message.ts, recv_ts)
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
            self._quote(self._side["bid"], self._side["ask"], message.ts, recv_ts)
        except BAD_MESSAGE as error:
            self._report(error, data)

    def _depth_route(self, counts: Counts) -> Route:
        """The way of a book's topic, in the same form."""
        book, report = self.book, self._report
        change = book.change

        def depth(data: bytes, recv_ts: int) -> None:
            self.books_heard += 1
            try:
                message = decode_book(data)
                levels = message.data
                exch_ts = (message.engine_ts or message.ts) * MS
                if message.type != "delta":
                    counts.snapshots += 1
                    book.snapshot(levels, exch_ts, recv_ts)
                    return
                counts.updates += 1
                if not book.live:
                    return
                number = levels.update_id
                if number != book.next_id:
                    book.miss(exch_ts, recv_ts)
                    return
                book.next_id = number + 1
                change(levels.bids, levels.asks, exch_ts, recv_ts)
            except BAD_MESSAGE as error:
                report(error, data)
                book.lose(0, recv_ts)

        return depth


class BybitFeedHandler(StreamHandler[InstrumentFeed]):
    """The market data of one line."""

    PREFIX = PREFIX
    EXCHANGES = EXCHANGES

    __slots__ = ("_by_symbol",)

    counts: Counts

    def __init__(self, exchange: Exchange, receivers: Mapping[Instrument, MarketEvents], on_problem: OnProblem) -> None:
        """Raises ValueError for another exchange's instrument, and for two that share a symbol."""
        counts = Counts()
        super().__init__(
            exchange,
            receivers,
            on_problem,
            counts,
            lambda instrument, events, report: InstrumentFeed(instrument, events, counts, report),
        )
        self._by_symbol: dict[str, InstrumentFeed] = {}
        for instrument, feed in self._streams.items():
            other = self._by_symbol.setdefault(instrument.symbol, feed)
            if other is not feed:
                raise ValueError(
                    f"{other.instrument.name} and {instrument.name} are both {instrument.symbol}: "
                    "they come over different lines, so each needs a handler of its own"
                )

    def snapshot(self, instrument: Instrument, data: bytes, recv_ts: int) -> None:
        """Bybit's snapshots come over the line; one that was asked for has other numbers than the deltas."""
        self._report(ValueError(f"a snapshot of {instrument.name} that no line brought cannot be continued"), data)

    def _stream(self, data: bytes) -> str:
        envelope = bybit_public.decode_envelope(data)
        if envelope.success is False:
            raise ValueError(f"the exchange refused {envelope.op or 'a request'}: {envelope.ret_msg}")
        if not (envelope.topic or envelope.op):
            raise ValueError("neither market data nor an answer")
        return envelope.topic

    def _route(self, stream: str) -> Route:
        kind, _, rest = stream.partition(".")
        depth, _, symbol = rest.rpartition(".")
        if kind not in (bybit.TRADE_TOPIC, bybit.BOOK_TOPIC, bybit.TICKER_TOPIC):
            return self._not_read
        feed = self._by_symbol.get(symbol)
        if feed is None:
            known = ", ".join(self._by_symbol)
            raise ValueError(f"topic {stream} is of none of the instruments read here: {known}")
        if kind == bybit.TRADE_TOPIC:
            return feed.trades
        if kind == bybit.TICKER_TOPIC:
            return feed.ticker
        return feed.quote if depth == str(bybit.QUOTE_DEPTH) else feed.depth


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
