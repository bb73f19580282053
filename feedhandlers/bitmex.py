"""BitMEX: the tables `trade`, `quote` and `orderBookL2` (or `orderBookL2_25`) to `MarketEvents`.

The exchange time passed on is a row's `timestamp`; of book levels `transactTime` where there is one, and 0 in
recordings until 2021, whose levels have no time. The partial of `trade` holds trades from before the subscription: it
is counted and not passed on; that of `quote` is the quote as it stands.

A book begins with its partial: RESET, the levels, LIVE; what comes before it is counted and dropped. Levels are told
apart by side and id, and id -> price is kept, because updates and deletes may come without a price; the id is passed
on as `level_id`. There are no sequence numbers: the line is ordered, so a change of a level that is not there, or
that has another price there, shows that something was missed. Then STALE is passed on and the book waits for the next
partial (the topic has to be subscribed anew). One exchange event may come as several messages (deletes, updates,
inserts); between them the book may be crossed, which is no fault.

A message is decoded whole, down to ticks and lots, before any of it takes effect. What cannot be decoded is counted,
reported with its bytes and skipped; the books that it is of become stale.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from mlthon.basics.defs import Exchange
from mlthon.basics.instrument import Instrument
from mlthon.data.feed_handlers import OnProblem
from mlthon.data.rows import Kind
from mlthon.engine.faces import LIVE, NO_ASK, NO_BID, RESET, SET_ASK, SET_BID, STALE, MarketEvents
from mlthon.protocols import bitmex as spelling
from mlthon.protocols import bitmex_messages as wire
from mlthon.venue.codec import Endpoints
from mlthon.venue.rate_rules import RateRule
from mlthon.venue.wire import Line, Request

EXCHANGES: Final = (Exchange.BitMEX,)
KINDS: Final = (Kind.QUOTE, Kind.TRADE, Kind.BOOK)

SILENCE_S: Final[Mapping[Kind, float]] = {Kind.QUOTE: 60.0, Kind.BOOK: 60.0}
"""Of the recorded instruments even the least traded had a change of its book in half a minute; trades may be hours
apart."""
RULES: Final = (RateRule("subscriptions", 30, 60.0),)
"""Subscriptions to public tables count as requests without a key (https://status.bitmex.com/incidents/ydd0nt166y6k)."""
MOST_TOPICS: Final = 100
TOPICS_A_MESSAGE: Final = 50

SMALL_DEPTH: Final = 25
"""Up to so many levels `orderBookL2_25` serves."""
LINE: Final = "public"
PING_EVERY_S: Final = 5.0
"""As the exchange recommends for lines on which nothing else moves (https://www.bitmex.com/app/wsAPI#Heartbeats)."""
SILENT_LINE_S: Final = 20.0

BAD_MESSAGE: Final = (msgspec.MsgspecError, ValueError)
PREFIX: Final = b'{"table":"'
BOOKS: Final = (spelling.BOOK.encode(), spelling.BOOK_25.encode())
EMPTY: Final = (b"", b"null")

Level = tuple[int, int, int, int]
"""Side, id, price (ticks; -1 where the message has none), quantity (lots)."""


class Counts:
    """What became of the messages and rows."""

    __slots__ = ("changes", "early", "gaps", "old_trades", "other", "partials", "problems", "quotes", "trades")

    def __init__(self) -> None:
        self.quotes = 0
        self.trades = 0
        self.changes = 0
        """Levels changed in live books."""
        self.partials = 0
        self.early = 0
        """Levels of books that wait for their partial."""
        self.old_trades = 0
        """Trades of partials: from before the subscription."""
        self.gaps = 0
        self.other = 0
        """Rows of instruments and tables that are not read, welcomes, answers to subscriptions, pongs."""
        self.problems = 0


class Book:
    """One instrument's levels by side and id."""

    __slots__ = ("_asks", "_bids", "_counts", "_events", "live")

    def __init__(self, events: MarketEvents, counts: Counts) -> None:
        self.live = False
        self._events = events
        self._counts = counts
        self._bids: dict[int, int] = {}
        self._asks: dict[int, int] = {}

    def partial(self, levels: Iterable[Level], exch_ts: int, recv_ts: int) -> None:
        self._bids.clear()
        self._asks.clear()
        self._counts.partials += 1
        self.live = True
        self._events.book(RESET, 0, 0, 0, exch_ts, recv_ts)
        for level in levels:
            self._set(level, exch_ts, recv_ts)
        self._events.book(LIVE, 0, 0, 0, exch_ts, recv_ts)

    def change(self, action: str, levels: Sequence[Level], exch_ts: int, recv_ts: int) -> None:
        if not self.live:
            self._counts.early += len(levels)
            return
        for level in levels:
            if action != spelling.INSERT and not self._known(level):
                self._counts.gaps += 1
                self.lost(exch_ts, recv_ts)
                return
            self._counts.changes += 1
            if action == spelling.DELETE:
                self._delete(level, exch_ts, recv_ts)
            else:
                self._set(level, exch_ts, recv_ts)

    def lost(self, exch_ts: int, recv_ts: int) -> None:
        """Something was missed: the book waits for its next partial."""
        if self.live:
            self.live = False
            self._events.book(STALE, 0, 0, 0, exch_ts, recv_ts)

    def _known(self, level: Level) -> bool:
        side, number, price, _ = level
        known = (self._bids if side > 0 else self._asks).get(number, -1)
        return known >= 0 and price in (-1, known)

    def _set(self, level: Level, exch_ts: int, recv_ts: int) -> None:
        side, number, price, qty = level
        if side > 0:
            prices, op = self._bids, SET_BID
        else:
            prices, op = self._asks, SET_ASK
        if price < 0:
            price = prices[number]
        else:
            prices[number] = price
        self._events.book(op, price, qty, number, exch_ts, recv_ts)

    def _delete(self, level: Level, exch_ts: int, recv_ts: int) -> None:
        side, number, _, _ = level
        if side > 0:
            self._events.book(SET_BID, self._bids.pop(number), 0, number, exch_ts, recv_ts)
        else:
            self._events.book(SET_ASK, self._asks.pop(number), 0, number, exch_ts, recv_ts)


class InstrumentFeed:
    """The tables of one instrument: rows to ticks and lots."""

    __slots__ = ("_counts", "_lots", "_ticks", "book", "events", "heard", "instrument", "mark")

    def __init__(self, instrument: Instrument, events: MarketEvents, counts: Counts) -> None:
        self.instrument = instrument
        self.book = Book(events, counts)
        self.heard = dict.fromkeys(KINDS, 0)
        self.mark = f'"symbol":"{instrument.symbol}"'.encode()
        """What stands in every message about the instrument."""
        self.events = events
        self._counts = counts
        self._ticks = spelling.Steps(instrument.price_scale.step_units)
        self._lots = spelling.WholeSteps(spelling.lot_size(instrument))

    def trade(self, row: wire.TradeRow) -> tuple[int, int, int, int, int]:
        """A trade as `MarketEvents.trade` takes it, but for the time of receipt. Raises ValueError."""
        price = self._ticks[bytes(row.price)]
        qty = self._lots[bytes(row.size)]
        if price <= 0 or qty <= 0:
            raise ValueError(f"a trade of {bytes(row.size).decode()} at {bytes(row.price).decode()}")
        number = spelling.trade_number(row.match_id) if row.match_id else 0
        return price, qty, _side(row.side), number, _time(row.timestamp)

    def quote(self, row: wire.QuoteRow) -> tuple[int, int, int, int, int]:
        """A quote as `MarketEvents.quote` takes it, but for the time of receipt. Raises ValueError."""
        bid_price, ask_price = bytes(row.bid), bytes(row.ask)
        bid, bid_qty, ask, ask_qty = NO_BID, 0, NO_ASK, 0
        if bid_price not in EMPTY:
            bid, bid_qty = self._ticks[bid_price], self._lots[bytes(row.bid_qty)]
        if ask_price not in EMPTY:
            ask, ask_qty = self._ticks[ask_price], self._lots[bytes(row.ask_qty)]
        if bid >= ask:
            raise ValueError(f"a crossed quote: bid {bid_price.decode()}, ask {ask_price.decode()}")
        return bid, bid_qty, ask, ask_qty, _time(row.timestamp)

    def level(self, action: str, row: wire.LevelRow) -> Level:
        """Raises ValueError for what is no number, and where a number is missing that the action needs."""
        price_text, qty_text = bytes(row.price), bytes(row.size)
        price = -1 if price_text in EMPTY else self._ticks[price_text]
        if price < 0 and (price_text not in EMPTY or action in (spelling.PARTIAL, spelling.INSERT)):
            raise ValueError(f"level {row.id} of {row.symbol} has no price that can be")
        if action == spelling.DELETE:
            return _side(row.side), row.id, price, 0
        qty = self._lots[qty_text]
        if qty < 0:
            raise ValueError(f"level {row.id} of {row.symbol} has the size {qty_text.decode()}")
        return _side(row.side), row.id, price, qty


def _side(text: str) -> int:
    side = spelling.SIDES.get(text)
    if side is None:
        raise ValueError(f"{text!r} is neither Buy nor Sell")
    return side


def _time(text: str) -> int:
    return spelling.nanoseconds(text) if text else 0


class BitmexFeedHandler:
    """The market data of one connection; see `mlthon.venue.feed_wiring.LiveFeedHandler`."""

    __slots__ = ("_feeds", "_on_problem", "_tables", "counts")

    def __init__(self, receivers: Mapping[Instrument, MarketEvents], on_problem: OnProblem) -> None:
        """Raises ValueError for an instrument that is not BitMEX's or whose quantities it cannot read."""
        self.counts = Counts()
        self._on_problem = on_problem
        self._feeds: dict[str, InstrumentFeed] = {}
        for instrument, events in receivers.items():
            if instrument.exchange is not Exchange.BitMEX:
                raise ValueError(f"{instrument.name} is not an instrument of BitMEX")
            self._feeds[instrument.symbol] = InstrumentFeed(instrument, events, self.counts)
        self._tables = {
            spelling.TRADE.encode(): self._trades,
            spelling.QUOTE.encode(): self._quotes,
            **dict.fromkeys(BOOKS, self._levels),
        }

    def message(self, data: bytes, recv_ts: int) -> None:
        """A message of the line, received at `recv_ts` (ns)."""
        # The name of the table is cut out of the bytes, so that the message is decoded once, and at once as what it is.
        table = data[10 : data.find(b'"', 10)] if data.startswith(PREFIX) else b""
        read = self._tables.get(table)
        try:
            if read is None:
                self._other(data)
            else:
                read(data, recv_ts)
        except BAD_MESSAGE as error:
            self.counts.problems += 1
            self._on_problem(str(error), data)
            if table in BOOKS:
                self._lose(data, recv_ts)

    def snapshot(self, instrument: Instrument, data: bytes, recv_ts: int) -> None:
        """Nobody asks for snapshots here: partials come over the line. One that comes all the same is a problem."""
        self.counts.problems += 1
        self._on_problem(f"a snapshot of {instrument.name} that nobody asked for", data)

    def disconnected(self, recv_ts: int) -> None:
        for feed in self._feeds.values():
            feed.book.lost(0, recv_ts)

    def waiting(self) -> list[Instrument]:
        """The instruments whose book waits for a partial."""
        return [feed.instrument for feed in self._feeds.values() if not feed.book.live]

    def heard(self, instrument: Instrument, kind: Kind) -> int:
        return self._feeds[instrument.symbol].heard[kind]

    def book(self, instrument: Instrument) -> Book:
        return self._feeds[instrument.symbol].book

    def _trades(self, data: bytes, recv_ts: int) -> None:
        message = wire.decode_trades(data)
        rows = [(feed, feed.trade(row)) for row in message.data if (feed := self._feed(row.symbol))]
        for feed, (price, qty, side, number, exch_ts) in rows:
            feed.heard[Kind.TRADE] += 1
            if message.action != spelling.INSERT:
                self.counts.old_trades += 1
                continue
            self.counts.trades += 1
            feed.events.trade(price, qty, side, number, exch_ts, recv_ts)

    def _quotes(self, data: bytes, recv_ts: int) -> None:
        message = wire.decode_quotes(data)
        rows = [(feed, feed.quote(row)) for row in message.data if (feed := self._feed(row.symbol))]
        for feed, (bid, bid_qty, ask, ask_qty, exch_ts) in rows:
            feed.heard[Kind.QUOTE] += 1
            self.counts.quotes += 1
            feed.events.quote(bid, bid_qty, ask, ask_qty, exch_ts, recv_ts)

    def _levels(self, data: bytes, recv_ts: int) -> None:
        message = wire.decode_book(data)
        action = message.action
        if action not in (spelling.PARTIAL, spelling.INSERT, spelling.UPDATE, spelling.DELETE):
            raise ValueError(f"{action!r} is no action of a table")
        levels: dict[str, list[Level]] = {}
        if action == spelling.PARTIAL and message.filter is not None and message.filter.symbol in self._feeds:
            levels[message.filter.symbol] = []
        exch_ts = 0
        for row in message.data:
            feed = self._feed(row.symbol)
            if feed is not None:
                levels.setdefault(row.symbol, []).append(feed.level(action, row))
                if text := row.transact_time or row.timestamp:
                    exch_ts = max(exch_ts, spelling.nanoseconds(text))
        for symbol, changed in levels.items():
            feed = self._feeds[symbol]
            feed.heard[Kind.BOOK] += 1
            if action == spelling.PARTIAL:
                feed.book.partial(changed, exch_ts, recv_ts)
            else:
                feed.book.change(action, changed, exch_ts, recv_ts)

    def _feed(self, symbol: str) -> InstrumentFeed | None:
        feed = self._feeds.get(symbol)
        if feed is None:
            self.counts.other += 1
        return feed

    def _other(self, data: bytes) -> None:
        """What is no market data read here: counted, unless the exchange refuses something."""
        if data != spelling.PONG:
            head = wire.decode_head(data)
            if head.error:
                raise ValueError(f"the exchange refused: {head.error} (status {head.status})")
            if not (head.table or head.info or head.success is not None):
                raise ValueError("neither a table's change nor an answer")
        self.counts.other += 1

    def _lose(self, data: bytes, recv_ts: int) -> None:
        """A book message was lost: of the books that it names, or, where it names none, of any."""
        feeds = self._feeds.values()
        for feed in [feed for feed in feeds if feed.mark in data] or feeds:
            feed.book.lost(0, recv_ts)


def feed_handler(
    exchange: Exchange, receivers: Mapping[Instrument, MarketEvents], on_problem: OnProblem
) -> BitmexFeedHandler:
    """A feed handler for one connection. Raises ValueError for another exchange."""
    if exchange is not Exchange.BitMEX:
        raise ValueError(f"{exchange.name} is not BitMEX")
    return BitmexFeedHandler(receivers, on_problem)


def environments(exchange: Exchange) -> Mapping[str, Endpoints]:
    """`main` and `testnet`, as they were: the exchange closed on 2026-09-23. Use `Endpoints.at` for a local one."""
    return {name: Endpoints(name, urls, name in spelling.REAL_MONEY) for name, urls in spelling.ENVIRONMENTS.items()}


def line_name(exchange: Exchange, instrument: Instrument) -> str:
    """One line serves every instrument."""
    return LINE


def line(exchange: Exchange, endpoints: Endpoints, name: str, connection: str) -> Line:
    url = endpoints.urls[name]
    return Line(
        connection,
        lambda now_ms: url,
        ping=lambda: spelling.PING,
        ping_every_s=PING_EVERY_S,
        silence_s=SILENT_LINE_S,
    )


def topic(exchange: Exchange, instrument: Instrument, kind: Kind, depth: int) -> str:
    """Raises ValueError for a kind that is not one of `KINDS`."""
    if kind is Kind.TRADE:
        table = spelling.TRADE
    elif kind is Kind.QUOTE:
        table = spelling.QUOTE
    elif kind is Kind.BOOK:
        table = spelling.BOOK_25 if depth <= SMALL_DEPTH else spelling.BOOK
    else:
        raise ValueError(f"BitMEX has no market data of the kind {kind.name}")
    return f"{table}:{instrument.symbol}"


def subscribe(exchange: Exchange, topics: Sequence[str], number: int) -> Iterable[str]:
    return _operations("subscribe", topics)


def unsubscribe(exchange: Exchange, topics: Sequence[str], number: int) -> Iterable[str]:
    return _operations("unsubscribe", topics)


def _operations(operation: str, topics: Sequence[str]) -> list[str]:
    return [
        msgspec.json.encode({"op": operation, "args": list(topics[start : start + TOPICS_A_MESSAGE])}).decode()
        for start in range(0, len(topics), TOPICS_A_MESSAGE)
    ]


def snapshot_request(exchange: Exchange, instrument: Instrument, depth: int) -> Request | None:
    """None: the partial comes over the line."""
    return None
