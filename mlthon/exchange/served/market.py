"""`ServedMarket`: one market as clients see it. It hears the market data (`MarketEvents`) and keeps what queries ask
for: levels, last trades, minute candles, the last day's statistics. Dialects listen to it through `listeners`.

In a market that is its own source (the synthetic one) accounts' resting orders are among the levels. In a recorded
market the levels are the recording's, and accounts' orders stand behind them unseen.

Prices are ticks, quantities lots, money 10^-18 of the settlement coin (quote of spot), times ns.
"""

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Final, Protocol

from attrs import define, frozen

from mlthon.basics.money import UNIT
from mlthon.engine.candles import DAY_MINUTES, MINUTE, MinuteCandles, made_up
from mlthon.engine.candles import Candle as Candle
from mlthon.engine.clock import Clock
from mlthon.engine.faces import LIVE, NO_ASK, NO_BID, ORDER_ASK, ORDER_BID, RESET, SET_ASK, SET_BID, STALE
from mlthon.exchange.contracts import Contract
from mlthon.exchange.market import Market

if TYPE_CHECKING:
    from mlthon.basics.instrument import Instrument

TRADES_KEPT: Final = 1000


@frozen
class PublicTrade:
    """A public trade; `side` is the taker's (0: not known), `number` counts the market's trades from 1."""

    number: int
    price: int
    qty: int
    side: int
    ts: int


@define
class DayStats:
    """The last 24 hours, to the minute."""

    open: int
    high: int
    low: int
    last: int
    qty: int
    value: int
    trades: int
    start: int


class Levels:
    """One side of a book: quantities by price, and the prices in order. `sign` is +1 for bids."""

    __slots__ = ("_keys", "_sign", "qty")

    def __init__(self, sign: int) -> None:
        self._sign = sign
        self._keys: list[int] = []
        self.qty: dict[int, int] = {}

    def put(self, price: int, qty: int) -> None:
        """The level's quantity is now this; 0 deletes."""
        if qty > 0:
            if price not in self.qty:
                insort(self._keys, -price * self._sign)
            self.qty[price] = qty
        elif self.qty.pop(price, None) is not None:
            del self._keys[bisect_left(self._keys, -price * self._sign)]

    def clear(self) -> None:
        self._keys.clear()
        self.qty.clear()

    def best(self, count: int | None = None) -> list[tuple[int, int]]:
        """(price, quantity) of the best `count` levels (None: all), best first."""
        sign, qty = self._sign, self.qty
        return [(-key * sign, qty[-key * sign]) for key in self._keys[:count]]

    def __len__(self) -> int:
        return len(self._keys)


class MarketListener(Protocol):
    """Who is told of a market. Called in the order of events, on the exchange's clock."""

    def traded(self, market: "ServedMarket", trade: PublicTrade) -> None: ...

    def level_changed(self, market: "ServedMarket", side: int, price: int, qty: int) -> None:
        """The level's quantity is now this; 0: it is gone. `market.seq` is the change's number."""

    def book_replaced(self, market: "ServedMarket") -> None:
        """Forget all levels: the book is a new one."""

    def touched(self, market: "ServedMarket") -> None:
        """The best bid or ask (`market.touch`) changed."""


class ServedMarket:
    """See the module text. `number`: its place among the exchange's markets, from 0. `seq`: the number of the last
    change of the book, consecutive from 1."""

    def __init__(
        self, market: Market, clock: Clock, number: int, history: int, rng: Random, minutes: MinuteCandles | None = None
    ) -> None:
        """`history`: how many minutes of candles to make up before the first price (a seeded random walk that ends
        there); 0 for none. `minutes`: candles that somebody else keeps."""
        self.market = market
        self.clock = clock
        self.number = number
        self.instrument: Instrument = market.instrument
        self.contract: Contract = market.contract
        self.bids = Levels(1)
        self.asks = Levels(-1)
        self.touch: tuple[int, int, int, int] = (NO_BID, 0, NO_ASK, 0)
        """Best bid, its quantity, best ask, its quantity."""
        self.seq = 0
        self.trades: deque[PublicTrade] = deque(maxlen=TRADES_KEPT)
        self.listeners: list[MarketListener] = []
        self.changed: Callable[[], None] = _nothing
        """Called after each trade and each new touch; the exchange's own."""
        self._count = 0
        self._by_level = False
        self._singles: dict[int, tuple[int, int, int]] = {}
        self._minutes = minutes if minutes is not None else MinuteCandles()
        self._history = history
        self._rng = rng

    # -- what can be asked -------------------------------------------------------------------------------------------

    @property
    def last(self) -> PublicTrade | None:
        """The last public trade."""
        return self.trades[-1] if self.trades else None

    @property
    def last_price(self) -> int | None:
        """The last trade's price in ticks; before the first trade the middle of the touch."""
        return self.trades[-1].price if self.trades else self.mark

    @property
    def mark(self) -> int | None:
        """The mark (and index) price in ticks: the middle of the touch, else the last trade's; None when nothing is
        known."""
        bid, _, ask, _ = self.touch
        if bid != NO_BID and ask != NO_ASK:
            return (bid + ask) // 2
        return self.trades[-1].price if self.trades else None

    def levels(self, side: int, count: int | None = None) -> list[tuple[int, int]]:
        """(price, quantity) of the best levels of a side, best first."""
        return (self.bids if side > 0 else self.asks).best(count)

    @property
    def funding(self) -> tuple[int, int, int] | None:
        """The rate (10^-18), the time of the next payment and the interval (ns); None for what has no funding."""
        funding = self.market.funding
        return None if funding is None else (funding.rate, funding.next_time(), funding.interval)

    def candles(
        self, interval: int, limit: int, start: int | None = None, end: int | None = None, offset: int = 0
    ) -> list[Candle]:
        """The newest `limit` candles of `interval` (ns, whole minutes) whose beginning lies from `start` to `end` (ns,
        both included), oldest first. They begin at multiples of the interval since 1970 plus `offset` (weeks that
        begin on Mondays: 4 days). The last one may be unfinished; minutes without trades are flat."""
        return self._minutes.candles(self.clock.now, interval, limit, start, end, offset)

    def day(self) -> DayStats | None:
        """The last 24 hours; None before the first price."""
        self._minutes.roll(self.clock.now)
        minutes = self._minutes.minutes
        if not minutes:
            return None
        first = max(0, len(minutes) - DAY_MINUTES)
        day = list(minutes)[first:]
        return DayStats(
            day[0].open,
            max(each.high for each in day),
            min(each.low for each in day),
            day[-1].close,
            sum(each.qty for each in day),
            sum(each.value for each in day),
            sum(each.trades for each in day),
            day[0].start,
        )

    # -- market data in ----------------------------------------------------------------------------------------------

    def quote(self, bid: int, bid_qty: int, ask: int, ask_qty: int, exch_ts: int, recv_ts: int) -> None:
        """The best bid and ask are now these."""
        if not self._by_level:
            self._only(1, self.bids, bid, bid_qty or self.market.unsized)
            self._only(-1, self.asks, ask, ask_qty or self.market.unsized)
        self._touch((bid, bid_qty, ask, ask_qty))

    def trade(self, price: int, qty: int, side: int, trade_id: int, exch_ts: int, recv_ts: int) -> None:
        """A public trade."""
        self._count += 1
        now = self.clock.now
        trade = PublicTrade(self._count, price, qty, side, now)
        self._priced(price)
        self._minutes.trade(price, qty, qty * self.contract.unit_value(price), side, now)
        self.trades.append(trade)
        for listener in tuple(self.listeners):
            listener.traded(self, trade)
        self.changed()

    def book(self, op: int, price: int, qty: int, level_id: int, exch_ts: int, recv_ts: int) -> None:
        """A change of the depth; `op` as in `mlthon.engine.faces`."""
        if op == SET_BID:
            self._set(1, self.bids, price, qty)
        elif op == SET_ASK:
            self._set(-1, self.asks, price, qty)
        elif op in (ORDER_BID, ORDER_ASK):
            self._single(1 if op == ORDER_BID else -1, price, qty, level_id)
        elif op in (RESET, STALE):
            self.clear()
        elif op == LIVE:
            self._from_levels()

    def clear(self) -> None:
        """The book is not to be used until it is built anew."""
        self._by_level = True
        self.bids.clear()
        self.asks.clear()
        self._singles.clear()
        self.seq += 1
        for listener in tuple(self.listeners):
            listener.book_replaced(self)

    def _set(self, side: int, levels: Levels, price: int, qty: int) -> None:
        if not self._by_level:
            self.clear()
        levels.put(price, qty)
        self._changed(side, price, qty)

    def _changed(self, side: int, price: int, qty: int) -> None:
        self.seq += 1
        for listener in tuple(self.listeners):
            listener.level_changed(self, side, price, qty)

    def _single(self, side: int, price: int, qty: int, order_id: int) -> None:
        """One order of a depth by order: what changes is its level."""
        before = self._singles.pop(order_id, None)
        if before is not None:
            old = self.bids if before[0] > 0 else self.asks
            self._set(before[0], old, before[1], max(0, old.qty.get(before[1], 0) - before[2]))
        if qty:
            levels = self.bids if side > 0 else self.asks
            self._set(side, levels, price, levels.qty.get(price, 0) + qty)
            self._singles[order_id] = (side, price, qty)

    def _only(self, side: int, levels: Levels, price: int, qty: int) -> None:
        """Data of quotes alone: the touch is the whole book."""
        for old, _ in levels.best():
            if old != price:
                levels.put(old, 0)
                self._changed(side, old, 0)
        if price not in (NO_BID, NO_ASK) and levels.qty.get(price) != qty:
            levels.put(price, qty)
            self._changed(side, price, qty)

    def _from_levels(self) -> None:
        (bid, bid_qty), (ask, ask_qty) = (
            next(iter(self.bids.best(1)), (NO_BID, 0)),
            next(iter(self.asks.best(1)), (NO_ASK, 0)),
        )
        self._touch((bid, bid_qty, ask, ask_qty))

    def _touch(self, touch: tuple[int, int, int, int]) -> None:
        if touch == self.touch:
            return
        self.touch = touch
        if self.mark is not None:
            self._priced(self.mark)
        for listener in tuple(self.listeners):
            listener.touched(self)
        self.changed()

    # -- candles -----------------------------------------------------------------------------------------------------

    def _priced(self, price: int) -> None:
        """A price is known: before the first there is no candle."""
        if self._minutes.minutes:
            return
        now = self.clock.now
        until = now - now % MINUTE
        lots, unit_value = self.instrument.min_lots, self.contract.unit_value
        self._minutes = MinuteCandles(made_up(price, until, self._history, self._rng, lots, unit_value))
        self._minutes.minutes.append(Candle(until, price, price, price, price))

    # -- texts -------------------------------------------------------------------------------------------------------

    def price_units(self, ticks: int) -> int:
        """A price in 10^-18 of the quote currency."""
        return ticks * self.contract.tick_units

    def qty_units(self, lots: int) -> int:
        """A quantity in 10^-18 of the instrument's quantity."""
        return lots * self.contract.lot_units

    def float_price(self, ticks: int) -> float:
        """A price as a number, for what is a number in JSON."""
        return ticks * self.contract.tick_units / UNIT


def _nothing() -> None:
    """Nobody is to be told."""
