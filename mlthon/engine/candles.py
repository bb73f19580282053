"""Candles of one market, kept by the minute in whole ticks and lots; longer ones are made of them when asked for, and
those that are finished are remembered, because bots ask for a thousand of them every few seconds.

A minute in which nothing traded is flat at the close before it, with no volume. Times are nanoseconds since 1970 UTC,
and candles of every length begin at multiples of it. Nothing here reads a clock: whoever asks says what time it is.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import takewhile
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

    __slots__ = ("_whole", "minutes")

    def __init__(self, history: Iterable[Candle] = (), kept: int = KEPT) -> None:
        """`history`: what is known from before, minute by minute, oldest first; holes in it are filled."""
        self.minutes: deque[Candle] = deque(maxlen=kept)
        self._whole: dict[tuple[int, int], deque[Candle]] = {}
        """The finished candles of each (interval, offset) that was asked for, whole ones, without a hole."""
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
            self._whole.clear()
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
        begin on Mondays: 4 days). The last one may be unfinished. They are not to be changed: they are given again."""
        self.roll(now)
        if not self.minutes:
            return []
        latest = self.minutes[-1].start
        present = latest - (latest - offset) % interval
        whole = self._finished(interval, offset, present)
        parts = [*self._cut(interval, offset, present), *whole, *self._since(present, interval, offset)]
        if start is not None or end is not None:
            first, last = start or 0, latest if end is None else end
            parts = [each for each in parts if first <= each.start <= last]
        return parts[-limit:] if limit > 0 else []

    def _finished(self, interval: int, offset: int, present: int) -> "deque[Candle]":
        """The candles that are whole here, up to the present one's beginning."""
        whole = self._whole.setdefault((interval, offset), deque())
        begin = self._first_whole(interval, offset)
        while whole and whole[0].start < begin:
            whole.popleft()
        if whole:
            begin = whole[-1].start + interval
        new: list[Candle] = []
        for minute in reversed(self.minutes):
            if minute.start < begin:
                break
            if minute.start < present:
                _extend_back(new, minute, minute.start - (minute.start - offset) % interval)
        whole.extend(reversed(new))
        return whole

    def _first_whole(self, interval: int, offset: int) -> int:
        """When the first candle begins of which no minute has been forgotten."""
        first = self.minutes[0].start
        return first + -(first - offset) % interval

    def _cut(self, interval: int, offset: int, present: int) -> list[Candle]:
        """What is left of a candle whose first minutes have been forgotten, or were before the first known price."""
        until = min(self._first_whole(interval, offset), present)
        found: list[Candle] = []
        minutes = list(takewhile(lambda minute: minute.start < until, self.minutes))
        for minute in reversed(minutes):
            _extend_back(found, minute, minute.start - (minute.start - offset) % interval)
        return found

    def _since(self, present: int, interval: int, offset: int) -> list[Candle]:
        """The present candle, as far as it has come."""
        found: list[Candle] = []
        for minute in reversed(self.minutes):
            if minute.start < present:
                break
            _extend_back(found, minute, present)
        return found


def _extend_back(found: list[Candle], minute: Candle, begin: int) -> None:
    """Take a minute into candles that are made from the newest back: into the last of `found` if it begins at `begin`,
    else into one more."""
    if found and found[-1].start == begin:
        _prepend(found[-1], minute)
    else:
        found.append(_copy(minute, begin))


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
