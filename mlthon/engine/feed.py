"""Market data on its last step: from one instrument's events to the strategies that asked for them.

`InstrumentFeed` is the `MarketEvents` of one instrument. It remembers the top of the book, keeps the engine's own copy
of the levels, and calls each subscriber. Whether a strategy may be told of books is settled by `ExchangeFeed`
(`exchange_feed.py`), which all instruments of an exchange share.

Subscribers are held as the strategies themselves, never as bound methods: a strategy may replace its callbacks while it
runs. One with a true attribute `hears_by_tap` subscribes for others, who hear by a tap: its subscriptions count and it
is told the state of the feed, but no quotes and no trades.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from mlthon.api.istrat_env import MDSub
from mlthon.basics.defs import Side
from mlthon.basics.instrument import Instrument
from mlthon.basics.price import Price
from mlthon.basics.qty import Qty
from mlthon.engine.clock import MS
from mlthon.engine.faces import (
    LIVE,
    NO_BID,
    ORDER_ASK,
    ORDER_BID,
    RESET,
    SET_ASK,
    SET_BID,
    STALE,
    BatchEvents,
    MarketEvents,
)
from mlthon.engine.hearers import BookHearer, id_way, level_way

if TYPE_CHECKING:
    from mlthon.engine.exchange_feed import ExchangeFeed
    from mlthon.engine.session import Session

Lane = Callable[[int, int, int, int, int, int], None]
"""A way for a row of market data: `quote` or `trade` of `MarketEvents`."""

BOOK_KINDS: Final = frozenset({MDSub.PriceLevelBook, MDSub.LevelBook, MDSub.OrderBook})


class Subscription:
    """What one strategy reads of one exchange, and whether its gate is open (`live`)."""

    __slots__ = ("kinds", "live", "session")

    def __init__(self, session: "Session") -> None:
        self.session = session
        self.kinds: dict[InstrumentFeed, set[MDSub]] = {}
        self.live = False

    def books(self) -> "list[InstrumentFeed]":
        return [feed for feed, kinds in self.kinds.items() if kinds & BOOK_KINDS]


class Hearers(NamedTuple):
    """Who hears of an instrument where that is one strategy each at most: `quotes` both sides one after the other,
    `pairs` both in one call, `trades` the trades; or no strategy, and `tap`."""

    quotes: "Session | None"
    pairs: "Session | None"
    trades: "Session | None"
    tap: BatchEvents | None = None


class InstrumentFeed:
    """One instrument's market data, fanned out. Implements `MarketEvents`; `quote` and `trade` are attributes, because
    the way they take depends on who subscribes (`bind`).

    `has_books`: whether the source sends book events; without them a one-level book follows the quotes.
    `has_orders`: whether it sends single orders. `bid`: that of the last quote whose sides went out one by one.
    `hearers`: who would be called, for whoever plays many rows and calls them itself; another object with each change
    of subscriptions, and None where more than one call a row or more than quotes and trades are wanted.
    """

    __slots__ = (
        "_books",
        "_deliver_by_id",
        "_deliver_level",
        "_exchange",
        "_group",
        "_has_books",
        "_id",
        "_level_ids",
        "_levels",
        "_pairs",
        "_prices",
        "_qtys",
        "_quote_way",
        "_sides",
        "_taps",
        "_top_books",
        "_traders",
        "bid",
        "has_orders",
        "hearers",
        "instrument",
        "orders",
        "quote",
        "reads_trade_ids",
        "trade",
        "trade_hearer",
        "whole",
    )

    def __init__(self, instrument: Instrument, group: "ExchangeFeed") -> None:
        self.instrument = instrument
        self._group = group
        self._exchange = instrument.venue
        self._id = instrument.number
        self._prices = instrument.price_scale.values
        self._qtys = instrument.qty_scale.values
        self.bid = NO_BID
        self._pairs: tuple[Lane, ...] = ()
        self._sides: tuple[Session, ...] = ()
        self._traders: tuple[Lane, ...] = ()
        self._books: tuple[BookHearer, ...] = ()
        self._top_books: tuple[BookHearer, ...] = ()
        self._taps: tuple[MarketEvents, ...] = ()
        self._quote_way: Callable[[Lane], Lane] | None = None
        self.reads_trade_ids = False
        """See `mlthon.engine.faces.TradeIds`: no callback of a strategy has one."""
        self.trade_hearer: Session | None = None
        """See `mlthon.engine.faces.LoneHearer`."""
        self.hearers: Hearers | None = Hearers(None, None, None)
        self.quote: Lane = self._to_nobody
        self.trade: Lane = self._to_nobody
        # The engine's own book. By side: price -> quantity, never 0; (side, price) -> level id, where the source gives
        # ids. Single orders: id -> (op, price, quantity).
        self._levels: tuple[dict[int, int], dict[int, int]] = ({}, {})
        self._level_ids: dict[tuple[int, int], int] = {}
        self._deliver_by_id = id_way(instrument)
        self._deliver_level = level_way(instrument)
        self.orders: dict[int, tuple[int, int, int]] = {}
        self._has_books = False
        self.has_orders = False
        self.whole = True

    # -- market events ---------------------------------------------------------------------------------------------

    def _to_nobody(self, a: int, b: int, c: int, d: int, exch_ts: int, recv_ts: int) -> None:
        """A quote or trade that nobody asked for."""

    def _quote_to_pair(self, session: "Session") -> Lane:
        """The way of a quote to one strategy that takes both sides in one call: the shortest there is."""
        exchange, number, all_prices, prices = self._exchange, self._id, self._prices, self._prices.known
        ladder, climb = self.instrument.qty_scale.ladder, self.instrument.qty_scale.climb

        def quote(bid: int, bid_qty: int, ask: int, ask_qty: int, exch_ts: int, recv_ts: int) -> None:
            try:
                shown_bid, shown_ask = ladder[bid_qty], ladder[ask_qty]
            except IndexError:
                shown_bid, shown_ask = climb(bid_qty), climb(ask_qty)
            try:
                bid_price, ask_price = prices[bid], prices[ask]
            except KeyError:
                bid_price, ask_price = all_prices[bid], all_prices[ask]
            try:
                session.strategy.on_best_levels_update(
                    exchange, number, bid_price, shown_bid, ask_price, shown_ask, recv_ts // MS
                )
            except Exception as error:  # noqa: BLE001 - a strategy's own error must not stop the engine
                session.failed("on_best_levels_update", error)

        return quote

    def _quote_to_sides(self, session: "Session") -> Lane:
        """The way of a quote to one strategy that takes the sides one by one."""
        all_prices, prices = self._prices, self._prices.known
        ladder, climb = self.instrument.qty_scale.ladder, self.instrument.qty_scale.climb
        tell_sides = self.tell_sides

        def quote(bid: int, bid_qty: int, ask: int, ask_qty: int, exch_ts: int, recv_ts: int) -> None:
            rising = bid > self.bid
            self.bid = bid
            try:
                shown_bid, shown_ask = ladder[bid_qty], ladder[ask_qty]
            except IndexError:
                shown_bid, shown_ask = climb(bid_qty), climb(ask_qty)
            try:
                bid_price, ask_price = prices[bid], prices[ask]
            except KeyError:
                bid_price, ask_price = all_prices[bid], all_prices[ask]
            tell_sides(session, rising, bid_price, shown_bid, ask_price, shown_ask, recv_ts // MS)

        return quote

    def _quote_to_all(self, bid: int, bid_qty: int, ask: int, ask_qty: int, exch_ts: int, recv_ts: int) -> None:
        """The way of a quote to whoever asked for it. Who takes the sides one by one gets both with each quote, the ask
        first when prices rise, so that nobody ever sees a crossed pair."""
        rising = bid > self.bid
        self.bid = bid
        for to_pair in self._pairs:
            to_pair(bid, bid_qty, ask, ask_qty, exch_ts, recv_ts)
        if self._sides:
            self._each_side(rising, bid, bid_qty, ask, ask_qty, recv_ts // MS)
        if self._top_books:
            self._quote_as_book(bid, bid_qty, ask, ask_qty, recv_ts // MS)
        for tap in self._taps:
            tap.quote(bid, bid_qty, ask, ask_qty, exch_ts, recv_ts)

    def _each_side(self, rising: bool, bid: int, bid_qty: int, ask: int, ask_qty: int, recv_ms: int) -> None:
        bid_price, shown_bid = self._prices[bid], self._qtys[bid_qty]
        ask_price, shown_ask = self._prices[ask], self._qtys[ask_qty]
        for session in self._sides:
            self.tell_sides(session, rising, bid_price, shown_bid, ask_price, shown_ask, recv_ms)

    def tell_sides(
        self, session: "Session", rising: bool, bid: Price, bid_qty: Qty, ask: Price, ask_qty: Qty, recv_ms: int
    ) -> None:
        """Tell one strategy both sides of a quote, one after the other."""
        exchange, number = self._exchange, self._id
        if rising:
            try:
                session.strategy.on_best_ask_level_update(exchange, number, ask, ask_qty, recv_ms)
            except Exception as error:  # noqa: BLE001 - see _quote_to_pair
                session.failed("on_best_ask_level_update", error)
        try:
            session.strategy.on_best_bid_level_update(exchange, number, bid, bid_qty, recv_ms)
        except Exception as error:  # noqa: BLE001 - see _quote_to_pair
            session.failed("on_best_bid_level_update", error)
        if not rising:
            try:
                session.strategy.on_best_ask_level_update(exchange, number, ask, ask_qty, recv_ms)
            except Exception as error:  # noqa: BLE001 - see _quote_to_pair
                session.failed("on_best_ask_level_update", error)

    def _trade_to_one(self, session: "Session") -> Lane:
        """The way of a trade to one strategy."""
        exchange, number, all_prices, prices = self._exchange, self._id, self._prices, self._prices.known
        ladder, climb = self.instrument.qty_scale.ladder, self.instrument.qty_scale.climb
        buy, sell = Side.Buy, Side.Sell
        # when the latest came: all messages of a read bear the same object
        latest, latest_ms = -1, -1

        def trade(price: int, qty: int, side: int, trade_id: int, exch_ts: int, recv_ts: int) -> None:
            nonlocal latest, latest_ms
            try:
                traded = ladder[qty]
            except IndexError:
                traded = climb(qty)
            try:
                at = prices[price]
            except KeyError:
                at = all_prices[price]
            if recv_ts is not latest:
                latest, latest_ms = recv_ts, recv_ts // MS
            exec_ms = latest_ms if exch_ts is recv_ts else exch_ts // MS
            try:
                session.strategy.on_public_trade(
                    exchange, number, buy if side > 0 else sell, at, traded, exec_ms, latest_ms
                )
            except Exception as error:  # noqa: BLE001 - see _quote_to_pair
                session.failed("on_public_trade", error)

        return trade

    def _trade_to_all(self, price: int, qty: int, side: int, trade_id: int, exch_ts: int, recv_ts: int) -> None:
        for to_one in self._traders:
            to_one(price, qty, side, trade_id, exch_ts, recv_ts)
        for tap in self._taps:
            tap.trade(price, qty, side, trade_id, exch_ts, recv_ts)

    def book(self, op: int, price: int, qty: int, level_id: int, exch_ts: int, recv_ts: int) -> None:
        if op <= SET_ASK:
            self._set_level(op, price, qty, level_id, recv_ts // MS)
        elif op in (ORDER_BID, ORDER_ASK):
            self._set_order(op, price, qty, level_id, recv_ts // MS)
        elif op == RESET:
            self.clear()
            self.whole = False
        elif op == LIVE:
            self.whole = True
            self._group.became_whole(self)
        elif op == STALE:
            self.clear()
            self.whole = False
            self._group.became_stale(self)
        for tap in self._taps:
            tap.book(op, price, qty, level_id, exch_ts, recv_ts)

    def changes(
        self, bids: Sequence[tuple[int, int]], asks: Sequence[tuple[int, int]], exch_ts: int, recv_ts: int
    ) -> None:
        """See `mlthon.engine.faces.BookChanges`."""
        recv_ms = recv_ts // MS
        taps, deliver = self._taps, self._deliver_level
        for op, changed in ((SET_BID, bids), (SET_ASK, asks)):
            levels = self._levels[op]
            for price, qty in changed:
                # what _set_level does, but for a call a level
                before = levels.get(price, 0)
                if qty != before:
                    if qty:
                        levels[price] = qty
                    else:
                        del levels[price]
                    if self.whole:
                        for hearer in self._books:
                            if hearer.subscription.live:
                                deliver(hearer, op, price, qty, 0, not before, recv_ms)
                if taps:
                    for tap in taps:
                        tap.book(op, price, qty, 0, exch_ts, recv_ts)

    # -- books -----------------------------------------------------------------------------------------------------

    def clear(self) -> None:
        for levels in self._levels:
            levels.clear()
        self._level_ids.clear()
        self.orders.clear()

    def _set_level(self, op: int, price: int, qty: int, level_id: int, recv_ms: int) -> None:
        levels = self._levels[op]
        before = levels.get(price, 0)
        if qty == before:
            return
        if qty:
            levels[price] = qty
            if level_id:
                self._level_ids[op, price] = level_id
        else:
            del levels[price]
            self._level_ids.pop((op, price), None)
        if self.whole:
            for hearer in self._books:
                if hearer.subscription.live:
                    self._deliver_level(hearer, op, price, qty, level_id, not before, recv_ms)

    def _set_order(self, op: int, price: int, qty: int, order_id: int, recv_ms: int) -> None:
        before = self.orders.get(order_id)
        if qty:
            self.orders[order_id] = (op, price, qty)
        elif self.orders.pop(order_id, None) is None:
            return
        if self.whole:
            side = Side.Sell if op == ORDER_ASK else Side.Buy
            for hearer in self._books:
                if hearer.by_order and hearer.subscription.live:
                    self._deliver_by_id(
                        hearer.subscription.session, side, price, qty, order_id, before is None, recv_ms
                    )

    def _quote_as_book(self, bid: int, bid_qty: int, ask: int, ask_qty: int, recv_ms: int) -> None:
        """Keep a one-level book from quotes, for a source that has no other."""
        for op, price, qty in ((SET_BID, bid, bid_qty), (SET_ASK, ask, ask_qty)):
            for old in [each for each in self._levels[op] if each != price]:
                self._set_level(op, old, 0, 0, recv_ms)
            if qty:
                self._set_level(op, price, qty, 0, recv_ms)

    def deliver_book(self, subscription: Subscription, recv_ms: int) -> None:
        """The whole book as additions, best level first. To nobody where it was unsubscribed in the midst of another
        book's delivery."""
        hearer = next((each for each in self._books if each.subscription is subscription), None)
        if hearer is None:
            return
        for op in (SET_BID, SET_ASK):
            for price, qty in sorted(self._levels[op].items(), reverse=op == SET_BID):
                self._deliver_level(hearer, op, price, qty, self._level_ids.get((op, price), 0), True, recv_ms)
        for order_id, (op, price, qty) in self.orders.items():
            if hearer.by_order:
                side = Side.Sell if op == ORDER_ASK else Side.Buy
                self._deliver_by_id(subscription.session, side, price, qty, order_id, True, recv_ms)

    # -- subscribers -----------------------------------------------------------------------------------------------

    def expect_books(self, whole: bool = False) -> None:
        """The source sends books. Unless they are `whole` from the start there is none to show until a snapshot."""
        self._has_books = True
        self.whole = whole
        self.bind()

    def lose(self) -> None:
        """The source is gone: its books are no longer true."""
        self.clear()
        self.whole = not self._has_books

    def bind(self) -> None:
        """Sort the subscribers by what each wants, and take the shortest way that serves them, once for each change of
        subscriptions."""
        mine = [each for each in self._group.subscriptions.values() if self in each.kinds]
        told = [each for each in mine if not getattr(each.session.strategy, "hears_by_tap", False)]
        quoted = [each.session for each in told if MDSub.BBO in each.kinds[self]]
        pairs = [each for each in quoted if hasattr(each.strategy, "on_best_levels_update")]
        traders = [each.session for each in told if MDSub.PublicTrades in each.kinds[self]]
        self._pairs = tuple(map(self._quote_to_pair, pairs))
        self._sides = tuple(each for each in quoted if each not in pairs)
        self._traders = tuple(map(self._trade_to_one, traders))
        self._bind_books([each for each in mine if each.kinds[self] & BOOK_KINDS])
        self._top_books = () if self._has_books else self._books
        quotes = (*self._pairs, *map(self._quote_to_sides, self._sides))
        quote = self._shortest(quotes, bool(self._top_books), self._quote_to_all)
        self.quote = quote if self._quote_way is None else self._quote_way(quote)
        self.trade = self._shortest(self._traders, False, self._trade_to_all)
        self.trade_hearer = traders[0] if len(traders) == 1 and not self._taps else None
        self.hearers = self._few(quoted, pairs, traders)
        self._group.clock.wake()

    def _bind_books(self, subscriptions: Sequence[Subscription]) -> None:
        known = {each.subscription: each.read(frozenset()) for each in self._books}
        self._books = tuple((known.get(each) or BookHearer(each)).read(each.kinds[self]) for each in subscriptions)

    def _few(
        self, quoted: "Sequence[Session]", pairs: "Sequence[Session]", traders: "Sequence[Session]"
    ) -> Hearers | None:
        if self._quote_way is not None or self._books or len(quoted) > 1 or len(traders) > 1:
            return None
        if not self._taps:
            sides, pair, trader = (next(iter(each), None) for each in (self._sides, pairs, traders))
            return Hearers(sides, pair, trader)
        (tap, *others) = self._taps
        alone = not (others or quoted or traders)
        return Hearers(None, None, None, tap) if alone and isinstance(tap, BatchEvents) else None

    def _shortest(self, ways: tuple[Lane, ...], others: bool, to_all: Lane) -> Lane:
        if others or self._taps or len(ways) > 1:
            return to_all
        return ways[0] if ways else self._to_nobody

    def lead_quotes(self, way: Callable[[Lane], Lane]) -> None:
        """Have quotes go by somebody on their way to the strategies: `way` is given where they go and gives where they
        are to go instead, anew with each change of subscriptions. Nothing else makes the detour."""
        self._quote_way = way
        self.bind()

    def add_tap(self, tap: MarketEvents) -> None:
        """Let a recorder or the like hear everything."""
        self._taps = (*self._taps, tap)
        self.reads_trade_ids = True
        self.bind()
