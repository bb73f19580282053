"""Bybit's public topics: trades, books, tickers and candles of one market, told to the sockets that subscribed.

A channel is one topic; it exists while somebody listens to it. Books come as a snapshot, then as deltas whose `u` are
consecutive; `seq` is the number of the book's change. The level-1 book is snapshots only, sent again after 3 s without
a change (https://bybit-exchange.github.io/docs/v5/websocket/public/orderbook).
"""

from collections.abc import Callable
from typing import Any, Final

import msgspec

from mlthon.engine.clock import MS, SECOND
from mlthon.exchange.dialects.bybit_rows import Row, money, price, qty, ticker_row
from mlthon.exchange.served.exchange import ServedExchange
from mlthon.exchange.served.limits import Throttle
from mlthon.exchange.served.market import Candle, PublicTrade, ServedMarket
from mlthon.protocols.bybit import SIDE_NAMES, SPOT, category

Send = Callable[[str], None]
encode: Final = msgspec.json.Encoder().encode

BOOK_EVERY: Final = {1: 10 * MS, 50: 20 * MS, 200: 100 * MS, 1000: 200 * MS}
"""Depth -> how often it is pushed at most."""
TICKER_EVERY: Final = 100 * MS
AGAIN_AFTER: Final = 3 * SECOND
INTERVALS: Final = {
    **{str(minutes): minutes * 60 * SECOND for minutes in (1, 3, 5, 15, 30, 60, 120, 240, 360, 720)},
    "D": 86_400 * SECOND,
    "W": 7 * 86_400 * SECOND,
}
"""Name of an interval -> ns. Months are not served."""
WEEK_OFFSET: Final = 4 * 86_400 * SECOND
"""1970 began on a Thursday, weeks begin on Mondays."""


def offset_of(interval: str) -> int:
    """Where candles of an interval begin, as `ServedMarket.candles` wants it."""
    return WEEK_OFFSET if interval == "W" else 0


class Channel:
    """One topic of one market, and who listens. It does nothing with most events: subclasses take those they want."""

    def __init__(self, served: ServedExchange, market: ServedMarket, topic: str) -> None:
        self.served = served
        self.market = market
        self.clock = served.clock
        self.topic = topic
        self.listeners: dict[Any, Send] = {}
        market.listeners.append(self)

    def subscribe(self, who: Any, send: Send) -> None:
        """`who` listens from now on."""
        self.listeners[who] = send

    def unsubscribe(self, who: Any) -> None:
        """`who` does not listen any more."""
        self.listeners.pop(who, None)

    def close(self) -> None:
        """The last listener is gone."""
        self.market.listeners.remove(self)

    def push(self, message: Row) -> None:
        """Send to everyone."""
        text = encode(message).decode()
        for send in tuple(self.listeners.values()):
            send(text)

    def ms(self) -> int:
        """Now, in milliseconds."""
        return self.clock.now // MS

    def traded(self, market: ServedMarket, trade: PublicTrade) -> None: ...

    def level_changed(self, market: ServedMarket, side: int, price: int, qty: int) -> None: ...

    def book_replaced(self, market: ServedMarket) -> None: ...

    def touched(self, market: ServedMarket) -> None: ...


class Trades(Channel):
    """`publicTrade.SYMBOL`: the trades of one instant in one message."""

    def __init__(self, served: ServedExchange, market: ServedMarket, topic: str) -> None:
        super().__init__(served, market, topic)
        self._held: list[Row] = []
        self._throttle = Throttle(self.clock, 0, self._push)

    def traded(self, market: ServedMarket, trade: PublicTrade) -> None:
        instrument = market.instrument
        row: Row = {
            "T": trade.ts // MS,
            "s": instrument.symbol,
            "S": SIDE_NAMES[trade.side or 1],
            "v": qty(instrument, trade.qty),
            "p": price(instrument, trade.price),
        }
        if category(instrument) != SPOT:
            row["L"] = "ZeroPlusTick" if trade.side > 0 else "ZeroMinusTick"
        row.update(i=trade_id(self.served, market, trade), BT=False, RPI=False, seq=market.seq)
        self._held.append(row)
        self._throttle.mark()

    def _push(self) -> None:
        held, self._held = self._held, []
        self.push({"topic": self.topic, "type": "snapshot", "ts": self.ms(), "data": held})

    def close(self) -> None:
        super().close()
        self._throttle.stop()


def trade_id(served: ServedExchange, market: ServedMarket, trade: PublicTrade) -> str:
    """A public trade's id: a number on spot, a UUID elsewhere."""
    if category(market.instrument) == SPOT:
        return str(2_290_000_000_000_000_000 + trade.number)
    return served.styled(f"trade {market.instrument.number}", trade.number)


Side = dict[int, int]


class Book(Channel):
    """`orderbook.DEPTH.SYMBOL`."""

    def __init__(self, served: ServedExchange, market: ServedMarket, topic: str, depth: int) -> None:
        super().__init__(served, market, topic)
        self._depth = depth
        self._shown: tuple[Side, Side] = self._now()
        self._seq = market.seq
        self._number = 1000
        self._again = False
        self._throttle = Throttle(self.clock, BOOK_EVERY[depth], self._push)
        if depth == 1:
            self._resend()

    def subscribe(self, who: Any, send: Send) -> None:
        # what is pending goes to the others first, so that everyone continues from the same book
        self._push()
        super().subscribe(who, send)
        send(encode(self._snapshot()).decode())

    def level_changed(self, market: ServedMarket, side: int, price: int, qty: int) -> None:
        self._throttle.mark()

    def book_replaced(self, market: ServedMarket) -> None:
        self._again = True
        self._throttle.mark()

    def close(self) -> None:
        super().close()
        self._throttle.stop()

    def _now(self) -> tuple[Side, Side]:
        market = self.market
        return dict(market.levels(1, self._depth)), dict(market.levels(-1, self._depth))

    def _message(self, kind: str, bids: Side, asks: Side) -> Row:
        instrument = self.market.instrument
        now = self.ms()
        data = {
            "s": instrument.symbol,
            "b": [[price(instrument, each), qty(instrument, lots)] for each, lots in bids.items()],
            "a": [[price(instrument, each), qty(instrument, lots)] for each, lots in asks.items()],
            "u": self._number,
            "seq": self._seq,
        }
        return {"topic": self.topic, "type": kind, "ts": now, "data": data, "cts": now}

    def _snapshot(self) -> Row:
        return self._message("snapshot", *self._shown)

    def _push(self) -> None:
        before, now = self._shown, self._now()
        if before == now and not self._again:
            return
        self._shown = now
        self._seq = self.market.seq
        self._number += 1
        if self._depth == 1 or self._again:
            self._again = False
            self.push(self._snapshot())
        else:
            self.push(self._message("delta", _changes(before[0], now[0]), _changes(before[1], now[1])))

    def _resend(self) -> None:
        if self in self.market.listeners:
            if self.listeners:
                self.push(self._snapshot())
            self.clock.call_at(self.clock.now + AGAIN_AFTER, self._resend)


def _changes(before: Side, now: Side) -> Side:
    """What turns one side into the other; 0 deletes."""
    changes = {each: 0 for each in before if each not in now}
    changes.update((each, lots) for each, lots in now.items() if before.get(each) != lots)
    return changes


class Ticker(Channel):
    """`tickers.SYMBOL`: a snapshot, then what changed; on spot always snapshots."""

    def __init__(self, served: ServedExchange, market: ServedMarket, topic: str) -> None:
        super().__init__(served, market, topic)
        self._spot = category(market.instrument) == SPOT
        self._shown = ticker_row(market, stream=True)
        self._throttle = Throttle(self.clock, TICKER_EVERY, self._push)

    def subscribe(self, who: Any, send: Send) -> None:
        self._push()
        super().subscribe(who, send)
        send(encode(self._message("snapshot", self._shown)).decode())

    def traded(self, market: ServedMarket, trade: PublicTrade) -> None:
        self._throttle.mark()

    def touched(self, market: ServedMarket) -> None:
        self._throttle.mark()

    def close(self) -> None:
        super().close()
        self._throttle.stop()

    def _message(self, kind: str, data: Row) -> Row:
        return {"topic": self.topic, "type": kind, "data": data, "cs": self.market.seq, "ts": self.ms()}

    def _push(self) -> None:
        before, self._shown = self._shown, ticker_row(self.market, stream=True)
        changed = {name: value for name, value in self._shown.items() if before.get(name) != value}
        if self._spot and changed:
            self.push(self._message("snapshot", self._shown))
        elif changed:
            self.push(self._message("delta", {"symbol": self.market.instrument.symbol, **changed}))


class Klines(Channel):
    """`kline.INTERVAL.SYMBOL`: the running candle once a second if it changed, and each candle when it is over."""

    def __init__(self, served: ServedExchange, market: ServedMarket, topic: str, interval: str) -> None:
        super().__init__(served, market, topic)
        self._interval = interval
        self._shown = self._candle()
        self._every_second()

    def subscribe(self, who: Any, send: Send) -> None:
        super().subscribe(who, send)
        if self._shown is not None:
            send(encode(self._message(self._shown, False)).decode())

    def _candle(self) -> Candle | None:
        found = self.market.candles(INTERVALS[self._interval], 1, offset=offset_of(self._interval))
        return found[-1] if found else None

    def _every_second(self) -> None:
        if self not in self.market.listeners:
            return
        before, now = self._shown, self._candle()
        if before is not None and now is not None and before.start != now.start:
            over = self.market.candles(
                INTERVALS[self._interval], 1, before.start, before.start, offset_of(self._interval)
            )
            self.push(self._message(over[-1] if over else before, True))
        if now is not None and now != before:
            self.push(self._message(now, False))
        self._shown = now
        # just after the full second, when candles begin
        self.clock.call_at(self.clock.now - self.clock.now % SECOND + SECOND, self._every_second)

    def _message(self, candle: Candle, over: bool) -> Row:
        instrument = self.market.instrument
        start = candle.start // MS
        now = self.ms()
        row = {
            "start": start,
            "end": start + INTERVALS[self._interval] // MS - 1,
            "interval": self._interval,
            "open": price(instrument, candle.open),
            "close": price(instrument, candle.close),
            "high": price(instrument, candle.high),
            "low": price(instrument, candle.low),
            "volume": qty(instrument, candle.qty),
            "turnover": money(candle.value),
            "confirm": over,
            "timestamp": now,
        }
        return {"topic": self.topic, "data": [row], "ts": now, "type": "snapshot"}


class Silent(Channel):
    """A topic that is served and never has anything to say (`allLiquidation`)."""


def open_channel(served: ServedExchange, wanted: str, topic: str) -> Channel | None:
    """The channel of a topic in a category; None for a topic that there is none of."""
    name, *rest = topic.split(".")
    if not rest:
        return None
    market = served.market(rest[-1], lambda instrument: category(instrument) == wanted)
    if market is None:
        return None
    middle = rest[:-1]
    if name == "publicTrade" and not middle:
        return Trades(served, market, topic)
    if name == "tickers" and not middle:
        return Ticker(served, market, topic)
    if name in ("allLiquidation", "liquidation") and not middle:
        return Silent(served, market, topic)
    if name == "orderbook" and len(middle) == 1 and middle[0] in {str(depth) for depth in BOOK_EVERY}:
        return Book(served, market, topic, int(middle[0]))
    if name == "kline" and len(middle) == 1 and middle[0] in INTERVALS:
        return Klines(served, market, topic, middle[0])
    return None
