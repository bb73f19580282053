"""Candles of one market, kept by the minute in whole ticks and lots; longer ones are made of them when asked for.

A minute in which nothing traded is flat at the close before it, with no volume. Times are nanoseconds since 1970 UTC,
and candles of every length begin at multiples of it. Nothing here reads a clock: whoever asks says what time it is.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from random import Random
from typing import Final

from attrs import define

from mlthon.engine.clock import SECOND

MINUTE: Final = 60 * SECOND
DAY_MINUTES: Final = 1440
KEPT: Final = 20_000
"""How many minutes are kept."""
WALK: Final = 0.0004
"""Standard deviation of a minute's relative move in made-up history."""


@define
class Candle:
    """Trades from `start` (ns) on: prices in ticks, `qty` lots, `value` in 10^-18 of the settlement coin."""

    start: int
    open: int
    high: int
    low: int
    close: int
    qty: int = 0
    value: int = 0
    trades: int = 0
    buy_qty: int = 0
    buy_value: int = 0
    """Of takers who bought."""


class MinuteCandles:
    """The candles of one market: one a minute without a hole, from the first known price on."""

    __slots__ = ("minutes",)

    def __init__(self, history: Iterable[Candle] = (), kept: int = KEPT) -> None:
        """`history`: what is known from before, minute by minute, oldest first; holes in it are filled."""
        self.minutes: deque[Candle] = deque(maxlen=kept)
        for each in history:
            if self.minutes:
                self.roll(each.start - MINUTE)
            self.minutes.append(each)

    def begin(self, price: int, now: int) -> None:
        """A price is known: before the first there is no candle."""
        if not self.minutes:
            start = now - now % MINUTE
            self.minutes.append(Candle(start, price, price, price, price))

    def roll(self, now: int) -> None:
        """Candles up to the minute of `now`, flat where nothing traded."""
        if not self.minutes:
            return
        start = self.minutes[-1].start + MINUTE
        close = self.minutes[-1].close
        while start <= now:
            self.minutes.append(Candle(start, close, close, close, close))
            start += MINUTE

    def trade(self, price: int, qty: int, value: int, side: int, ts: int) -> None:
        """A trade of `ts`. One that comes late widens the candle of its minute, whose close stays."""
        minutes = self.minutes
        if not minutes or not 0 <= ts - minutes[-1].start < MINUTE:
            self.begin(price, ts)
            self.roll(ts)
        minute = minutes[-1]
        if ts < minute.start:
            late = (minute.start - ts + MINUTE - 1) // MINUTE
            if late >= len(minutes):
                return
            minute = minutes[-1 - late]
        elif minute.trades:
            minute.close = price
        else:
            minute.open = minute.high = minute.low = minute.close = price
        if price > minute.high:
            minute.high = price
        if price < minute.low:
            minute.low = price
        minute.qty += qty
        minute.value += value
        minute.trades += 1
        if side > 0:
            minute.buy_qty += qty
            minute.buy_value += value

    def candles(
        self,
        now: int,
        interval: int,
        limit: int,
        start: int | None = None,
        end: int | None = None,
        offset: int = 0,
    ) -> list[Candle]:
        """The newest `limit` candles of `interval` (ns, whole minutes) whose beginning lies from `start` to `end` (ns,
        both included), oldest first. They begin at multiples of the interval since 1970 plus `offset` (weeks that
        begin on Mondays: 4 days). The last one may be unfinished."""
        self.roll(now)
        found: list[Candle] = []
        for minute in reversed(self.minutes):
            begin = minute.start - (minute.start - offset) % interval
            if end is not None and begin > end:
                continue
            if start is not None and begin < start:
                break
            if found and found[-1].start == begin:
                _prepend(found[-1], minute)
            elif len(found) == limit:
                break
            else:
                found.append(_copy(minute, begin))
        found.reverse()
        return found


def joined(candles: Iterable[Candle], interval: int, offset: int = 0) -> list[Candle]:
    """Longer candles of shorter ones, both oldest first; `interval` and `offset` as of `MinuteCandles.candles`."""
    found: list[Candle] = []
    for each in candles:
        begin = each.start - (each.start - offset) % interval
        if not found or found[-1].start != begin:
            found.append(_copy(each, begin))
        elif each.trades:
            whole, close = found[-1], _copy(each, begin)
            _prepend(close, whole)
            found[-1] = close
    return found


def made_up(
    price: int, until: int, minutes: int, draw: Random, min_lots: int, unit_value: Callable[[int], int]
) -> Iterator[Candle]:
    """A history for a market that has none: a seeded random walk of so many minutes that ends at `price` at `until`
    (ns, a whole minute). `unit_value`: what a lot is worth at a price, as of `Candle.value`."""
    closes = [float(price)]
    for _ in range(minutes):
        closes.append(max(1.0, closes[-1] * (1.0 + draw.gauss(0.0, WALK))))
    closes.reverse()
    for number in range(minutes):
        opened, close = round(closes[number]), round(closes[number + 1])
        spread = round(abs(draw.gauss(0.0, WALK / 2)) * close)
        high, low = max(opened, close) + spread, max(1, min(opened, close) - spread)
        qty = min_lots * draw.randrange(200, 4000)
        value = qty * unit_value(close)
        start = until - (minutes - number) * MINUTE
        yield Candle(start, opened, high, low, close, qty, value, draw.randrange(20, 400), qty // 2, value // 2)


def _copy(minute: Candle, start: int) -> Candle:
    return Candle(
        start,
        minute.open,
        minute.high,
        minute.low,
        minute.close,
        minute.qty,
        minute.value,
        minute.trades,
        minute.buy_qty,
        minute.buy_value,
    )


def _prepend(candle: Candle, earlier: Candle) -> None:
    """Widen `candle` by the minute just before it. A minute without trades adds nothing: it is no price."""
    if not earlier.trades:
        return
    candle.high = max(candle.high, earlier.high) if candle.trades else earlier.high
    candle.low = min(candle.low, earlier.low) if candle.trades else earlier.low
    candle.open = earlier.open
    candle.qty += earlier.qty
    candle.value += earlier.value
    candle.trades += earlier.trades
    candle.buy_qty += earlier.buy_qty
    candle.buy_value += earlier.buy_value
