"""What each type of bot wants open now: the only thing in which the types differ.

A plan is asked whenever something has changed that it may depend on: a signal, a fill, an answer of the exchange, or
the time that it named itself (`Wish.again`). It keeps what it has taken over from signals, and nothing of orders.
"""

from collections.abc import Sequence
from typing import Any, Final, Protocol

from attrs import frozen

from mlthon.engine.clock import SECOND
from mlthon.link.signals.intents import Quote
from mlthon.link.signals.market import BotMarket
from mlthon.link.signals.orders import MARKET, Wanted
from mlthon.link.signals.params import GridParams, MakerParams, PositionParams

LEAST_REQUOTE_S: Final = 1.0
"""A post-only order that waits for its fill is moved no more often than this."""


@frozen
class Wish:
    """The orders that should be open, and when to ask again although nothing happens (ns)."""

    orders: Sequence[Wanted] = ()
    again: int | None = None


class Plan(Protocol):
    """See the module."""

    def wanted(self, intent: Any, now: int, position: int) -> Wish:
        """What should be open, as the last signal says, at `now` (ns), with a position of so many lots."""
        ...

    def refused(self) -> None:
        """A post-only order was refused because it would have taken."""

    def forget(self) -> None:
        """All orders are gone, and signals so far do not count any more."""


def ns(seconds: float) -> int:
    """Seconds in ns."""
    return round(seconds * SECOND)


class PositionPlan:
    """Position: what is missing to the target, by one order."""

    def __init__(self, params: PositionParams, market: BotMarket) -> None:
        self._market = market
        self._params = params
        self._max = market.lots(params.max_position_size)
        self._least_change = self._max * params.order_min_pct_change / 100
        self._patience = ns(max(params.order_fill_delay, LEAST_REQUOTE_S if params.limit_post_only else 0.0))
        self.forget()

    def forget(self) -> None:
        self._target: int | None = None
        self._rest()

    def _rest(self) -> None:
        self._side = 0
        self._price: int | None = None
        self._since = 0

    def refused(self) -> None:
        self._price = None

    def wanted(self, intent: float, now: int, position: int) -> Wish:
        left = self._aimed(intent) - position
        if not left:
            self._rest()
            return Wish()
        side = 1 if left > 0 else -1
        if side != self._side:
            self._rest()
            self._side, self._since = side, now
        price = self._price_now(side, now)
        if price is MARKET:
            return Wish((Wanted(side, MARKET, abs(left)),))
        order = Wanted(side, price, abs(left), self._params.limit_post_only)
        return Wish((order,), self._since + self._patience)

    def _aimed(self, size: float) -> int:
        """The target in lots: a new one counts if it is far enough from the present one, or none at all."""
        new = self._market.lots(abs(size) * self._params.max_position_size) * (1 if size > 0 else -1)
        if self._target is None or not new or abs(new - self._target) >= self._least_change:
            self._target = new
        return self._target

    def _price_now(self, side: int, now: int) -> int | None:
        """The price of the order: the best of its own side, where it waits for its fill; then the market."""
        over = now >= self._since + self._patience
        if over and not self._params.limit_post_only:
            return MARKET
        if self._price is None or over:
            self._price = self._market.own_best(side)
            self._since = now
        return self._price


class Held:
    """The value of a signal that orders go by. Another one takes its place `delay` ns after it did at the earliest."""

    def __init__(self, delay: int) -> None:
        self._delay = delay
        self._value: Any = None
        self._since = 0

    def forget(self) -> None:
        self._value = None

    def take(self, value: Any, now: int) -> tuple[Any, int | None]:
        """The value that counts now, and when the other one will where it has to wait."""
        if self._value is None or now >= self._since + self._delay:
            if value != self._value:
                self._value, self._since = value, now
            return self._value, None
        return self._value, None if value == self._value else self._since + self._delay


class GridPlan:
    """Neutral, Short and Long Grid: orders on `buys` and `sells`, the sides on which it opens positions, and, if it
    `closes`, one order one level nearer to the anchor for each of them that was filled."""

    def __init__(self, params: GridParams, market: BotMarket, *, buys: bool, sells: bool, closes: bool) -> None:
        self._market = market
        self._params = params
        self._opens = [side for side, on in ((1, buys), (-1, sells)) if on]
        self._closes = closes
        self._size = market.min_lots if params.max_order_size is None else market.lots(params.max_order_size)
        self._first = max(params.grid_spread, params.min_spread / 2)
        self._anchor = Held(ns(params.order_refresh_delay))
        self._pause = ns(max(params.order_refresh_delay, LEAST_REQUOTE_S))

    def forget(self) -> None:
        self._anchor.forget()

    def refused(self) -> None:
        """Asked again, it looks at the market as it is then."""

    def wanted(self, intent: float, now: int, position: int) -> Wish:
        anchor, again = self._anchor.take(intent, now)
        orders = [each for side in self._opens for each in self._opening(side, anchor, position)]
        if self._closes and position:
            orders += self._closing(1 if position > 0 else -1, anchor, abs(position))
        if self._params.limit_post_only:
            resting = [each for each in orders if each.price is not None and self._market.rests(each.side, each.price)]
            if len(resting) < len(orders):
                # what would take waits until the market has moved away
                again = min(again or now + self._pause, now + self._pause)
                orders = resting
        return Wish(orders, again)

    def _opening(self, side: int, anchor: float, position: int) -> list[Wanted]:
        """A level whose lots are held already is not there, one that is held in part has what is missing."""
        held = max(0, side * position)
        found = []
        for number, price in enumerate(self._levels(side, anchor), 1):
            lots = min(self._size, number * self._size - held)
            if lots > 0 and price > 0:
                found.append(Wanted(side, price, lots, self._params.limit_post_only))
        return found

    def _closing(self, sign: int, anchor: float, held: int) -> list[Wanted]:
        """The lots of each level are given back one level nearer to the anchor; what is held beyond the last level goes
        with that."""
        last = self._params.grid_count
        prices = [self._market.away(-sign, anchor), *self._levels(sign, anchor)]
        found = []
        for number, price in enumerate(prices[:last], 1):
            lots = held - (number - 1) * self._size
            if number < last:
                lots = min(lots, self._size)
            if lots > 0 and price > 0:
                if self._params.limit_post_only:
                    price = self._market.resting(-sign, price)
                found.append(Wanted(-sign, price, lots, self._params.limit_post_only))
        return found

    def _levels(self, side: int, anchor: float) -> list[int]:
        """The prices of a side, nearest to the anchor first, each at least a tick from the one before."""
        prices: list[int] = []
        for number in range(self._params.grid_count):
            away = self._first + number * self._params.grid_spread
            price = self._market.away(side, anchor * (1 - side * away / 100))
            if prices and side * (prices[-1] - price) < 1:
                price = prices[-1] - side
            prices.append(price)
        return prices


class MakerPlan:
    """Market Maker: a bid and an ask, each for what may be bought or sold up to the largest position."""

    def __init__(self, params: MakerParams, market: BotMarket) -> None:
        self._market = market
        self._params = params
        self._max = market.lots(params.max_position_size)
        self._quote = Held(ns(params.order_refresh_delay))
        self._pause = ns(max(params.order_refresh_delay, LEAST_REQUOTE_S))
        self._said: Quote | None = None

    def forget(self) -> None:
        self._quote.forget()
        self._said = None

    def refused(self) -> None:
        """Asked again, it looks at the market as it is then."""

    def wanted(self, intent: Quote, now: int, position: int) -> Wish:
        if self._said is None or self._differs(self._said, intent):
            self._said = intent
        quote, again = self._quote.take(self._said, now)
        orders = []
        for side, price in zip((1, -1), self._prices(quote), strict=True):
            lots = self._max - side * position
            if price is None or price <= 0 or lots <= 0:
                continue
            if self._params.limit_post_only and not self._market.rests(side, price):
                price = self._market.resting(side, price)
                again = min(again or now + self._pause, now + self._pause)
            orders.append(Wanted(side, price, lots, self._params.limit_post_only))
        return Wish(orders, again)

    def _differs(self, old: Quote, new: Quote) -> bool:
        """Whether a side comes, goes, or moves far enough."""
        for before, after in ((old.bid, new.bid), (old.ask, new.ask)):
            if before is None or after is None:
                if before is not after:
                    return True
            elif after != before and abs(after / before - 1) * 100 >= self._params.order_min_pct_change:
                return True
        return False

    def _prices(self, quote: Quote) -> tuple[int | None, int | None]:
        """Bid and ask in ticks: as far apart as is asked for, and a tick at least."""
        bid, ask = quote.bid, quote.ask
        if bid is None or ask is None:
            return (
                None if bid is None else self._market.below(bid),
                None if ask is None else self._market.above(ask),
            )
        middle = (bid + ask) / 2
        half = max((ask - bid) / 2, middle * self._params.min_spread / 200)
        low, high = self._market.below(middle - half), self._market.above(middle + half)
        if low == high:
            return low - 1, high + 1
        return low, high
