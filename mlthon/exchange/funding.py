"""Funding of perpetuals: at each interval longs pay shorts a share of their position's value.

The rate is configured or set by the data (`Market.set_funding`). The value is that at the market's price. Payments of
accounts are booked against the market's `outside`, so nothing comes from or goes to nowhere. Nothing is queued while
the rate is 0. A negative rate means that shorts pay.
"""

from typing import TYPE_CHECKING

from mlthon.basics.money import UNIT, ratio
from mlthon.engine.clock import Handle

if TYPE_CHECKING:
    from mlthon.exchange.desk import Desk


class Funding:
    """One market's funding. `rate`: 10^-18 an interval; `interval`: ns; times are its multiples since 1970 UTC, or
    what the data says."""

    __slots__ = ("_handle", "_market", "_next", "interval", "rate")

    def __init__(self, market: "Desk", rate: int, interval: int) -> None:
        self._market = market
        self._handle: Handle | None = None
        self._next = 0
        self.rate = 0
        self.interval = interval
        self.set(rate, None)

    def next_time(self) -> int:
        """When the next payment is due (ns)."""
        now = self._market.clock.now
        return self._next if self._next > now else now - now % self.interval + self.interval

    def set(self, rate: int, next_ts: int | None) -> None:
        """From now on this rate; `next_ts`: the next payment's time, None for the interval's."""
        self.rate = rate
        if next_ts is not None:
            self._next = next_ts
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        if rate:
            self._queue()

    def moved(self) -> None:
        """The clock leapt over a hole: payments in the hole are left out."""
        self.set(self.rate, None)

    def _queue(self) -> None:
        self._next = self.next_time()
        self._handle = self._market.clock.schedule(self._next, self._pay)

    def _pay(self) -> None:
        market = self._market
        market.sync()
        self._handle = None
        price = market.mark
        if price is not None:
            unit = market.contract.unit_value(price)
            for stake in market.stakes:
                lots = stake.position.lots
                if lots:
                    payment = ratio(lots * unit * self.rate, UNIT)
                    stake.account.paid(market.contract.coin, payment)
                    stake.position.funding -= payment
                    market.outside.funding += payment
                    market.exchange.unsettled[stake] = None
        self._queue()
        market.after()
