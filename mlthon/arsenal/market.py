"""A pair that is traded: its instrument, its best prices and its candles.

A `Pair` hears its instrument's feed. It keeps minute candles by the exchange's time of each trade and makes of them
those of the strategy's period, of which it keeps the last 500 that are over. One whose beginning was missed is none.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any, Final, Protocol

from mlthon.basics.defs import InstrumentType
from mlthon.basics.instrument import Instrument
from mlthon.basics.money import UNIT
from mlthon.engine.candles import MINUTE, Candle, MinuteCandles
from mlthon.engine.clock import MS, SECOND
from mlthon.engine.faces import NO_ASK, NO_BID
from mlthon.exchange.contracts import Contract

KEPT: Final = 500
"""How many candles a strategy gets at most."""


class ExchangeName(str):
    """An exchange as strategies are given it: its name, which the platform's documentation calls `exchange.name` and
    its examples use as it is."""

    __slots__ = ()

    @property
    def name(self) -> str:
        return str(self)


class Pair:
    """See the module. `exchange`, `name`: as the strategy calls them. Implements `MarketEvents`."""

    def __init__(
        self,
        exchange: str,
        instrument: Instrument,
        history: Iterable[Candle] = (),
        since: int = 0,
        *,
        as_text: bool = False,
    ) -> None:
        """`history`: minute candles from before; without any, trades are heard from the time `since` (ns) on.
        `as_text`: strategies get the values of candles as texts."""
        self.exchange = ExchangeName(exchange)
        self.instrument = instrument
        self.contract = Contract(instrument)
        self.base = instrument.base_currency or instrument.symbol
        self.quote = instrument.quote_currency or self.contract.coin
        self.name = f"{self.base}-{self.quote}"
        self.spot = instrument.instrument_type is InstrumentType.Spot
        self.minutes = MinuteCandles(history)
        self.since = self.minutes.minutes[0].start if self.minutes.minutes else since
        """From when on every trade is known."""
        self.closed: deque[Candle] = deque(maxlen=KEPT)
        self.rows: deque[dict[str, Any]] = deque(maxlen=KEPT)
        self._as_text = as_text
        self.bid = NO_BID
        self.ask = NO_ASK
        self.last = 0

    # -- market data -------------------------------------------------------------------------------------------------

    def on_quote(self, bid: int, bid_qty: int, ask: int, ask_qty: int, exch_ts: int, recv_ts: int) -> None:
        self.bid = bid
        self.ask = ask

    def trade(self, price: int, qty: int, side: int, trade_id: int, exch_ts: int, recv_ts: int) -> None:
        self.last = price
        self.minutes.trade(price, qty, 0, side, exch_ts or recv_ts)

    # -- prices and quantities ---------------------------------------------------------------------------------------

    def price(self, ticks: int) -> float:
        # of two integers: the float nearest to the exact price
        return ticks * self.contract.tick_units / UNIT

    def touch(self, side: int) -> int | None:
        """The price in ticks at which an order of this side trades at once; the last price where the side is empty."""
        if side > 0 and self.ask != NO_ASK:
            return self.ask
        if side < 0 and self.bid != NO_BID:
            return self.bid
        return self.last or None

    def mark(self) -> int:
        """The last price, or the middle of the touch before there is one."""
        if not self.last and self.bid != NO_BID and self.ask != NO_ASK:
            return (self.bid + self.ask) // 2
        return self.last

    def base_of_lot(self, ticks: int) -> Fraction:
        """How much of the base currency a lot is at this price: of an inverse contract what it is worth."""
        if self.contract.direction < 0:
            return Fraction(self.contract.unit_value(ticks), UNIT)
        return Fraction(self.contract.lot_units * self.instrument.multiplier_units, UNIT * UNIT)

    def amount(self, lots: int, ticks: int) -> float:
        """Lots as an amount of the base currency at this price."""
        return float(lots * self.base_of_lot(ticks)) if lots and ticks else 0.0

    # -- candles -----------------------------------------------------------------------------------------------------

    def remember(self, candles: Sequence[Candle], now: int, period: int) -> None:
        """Begin with candles of the period from elsewhere, oldest first; what is not over yet is left out."""
        self.closed.clear()
        self.rows.clear()
        for each in candles:
            if each.start + period <= now:
                self._append(each)

    def _append(self, candle: Candle) -> None:
        self.closed.append(candle)
        self.rows.append(self.row(candle))

    def close(self, end: int, period: int, now: int) -> None:
        """The candles of `period` (ns) that are over at `end`, which is a multiple of it."""
        after = self.closed[-1].start + period if self.closed else None
        if after is not None and after >= end:
            return
        for each in self.minutes.candles(now, period, KEPT, after, end - period):
            if each.start >= self.since:
                self._append(each)

    def is_behind(self, end: int, period: int) -> bool:
        """Whether the candle that ended at `end`, or one before it, is missing."""
        if not self.closed or self.closed[-1].start + period != end:
            return True
        return self.closed[-1].start - self.closed[0].start != (len(self.closed) - 1) * period

    def history(self, length: int, period: int, now: int) -> list[Candle]:
        """The last `length` candles of `period` (ns) that are over and whole, oldest first."""
        end = now - now % period
        if not self.minutes.minutes:
            return []
        found = self.minutes.candles(now, period, length, None, end - period)
        return [each for each in found if each.start >= self.since]

    def row(self, candle: Candle) -> dict[str, Any]:
        """A candle as a strategy gets it: prices and volume (of the base currency) as floats, and its beginning as the
        platform's examples write it, `2020-10-23T12:30:00.000Z`."""
        row = {
            "open": self.price(candle.open),
            "high": self.price(candle.high),
            "low": self.price(candle.low),
            "close": self.price(candle.close),
            "volume": self.amount(candle.qty, candle.close),
            "time": iso(candle.start),
        }
        return {key: str(value) for key, value in row.items()} if self._as_text else row


class FetchHistory(Protocol):
    """Fetches candles from an exchange: the newest `count` of `period` (ns), oldest first."""

    def __call__(
        self,
        pair: Pair,
        period: int,
        count: int,
        done: Callable[[Sequence[Candle]], None],
        failed: Callable[[str], None],
    ) -> None: ...


def iso(ts: int) -> str:
    """A time (ns) as the platform writes it."""
    return datetime.fromtimestamp(ts // SECOND, UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{ts // MS % 1000:03d}Z"


class Tap:
    """What hears a pair's feed: `MarketEvents`, whose `quote` a pair cannot have (it is its currency)."""

    __slots__ = ("quote", "trade")

    def __init__(self, pair: Pair) -> None:
        self.quote = pair.on_quote
        self.trade = pair.trade

    def book(self, op: int, price: int, qty: int, level_id: int, exch_ts: int, recv_ts: int) -> None:
        """Candles are made of trades."""


def minutes_of(period_s: int) -> int:
    """A period in seconds as nanoseconds, a whole number of minutes. Raises ValueError."""
    period = period_s * SECOND
    if period <= 0 or period % MINUTE:
        raise ValueError(f"a period is a whole number of minutes, not {period_s} s")
    return period
