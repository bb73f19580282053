"""A library for bots: `Venue`, one of a bot's accounts with what an algorithm needs to know of its exchange, and
`trade_pair`, a trade of two legs of which neither is to stand alone.

    from mlthon.link.venues import Venue, trade_pair          # in a bot, or in a package beside it (my/venues.py)

    class Trading(Link):
        def on_start(self):
            self.fx, self.crypto = Venue(self, "OANDA"), Venue(self, "BitMEX")
            size = self.crypto.lots("ETHUSD", 250)
            done = trade_pair(self.fx.leg("EUR_USD", "sell", 1000), self.crypto.leg("ETHUSD", "buy", size))

It calls nothing but what `Link` documents, by the bot's own methods, so that a bot that overrides one of them is heard.

**Rate limits.** Each answer says how many requests are left and when the limit starts anew. With `spare` or fewer left
a `Venue` waits for that before its next request; one that is refused for its rate is sent again when the limit has
begun anew, `TRIES` times in all. (The engine waits too, when fewer than three are left, whatever a bot does.)

**When the second leg fails.** The first leg has traded by then. A request that was refused, and one whose answer never
came, look the same to a bot, so the second account is looked at before and after: what it holds now decides how much of
the second leg is missing. `"unwind"` (the default) trades that part of the first leg back at the market; `"report"`
leaves it and says how much it is. Either way the result's `error` says what was wrong. Where the second account cannot
be looked at, or the first leg not be unwound, `LegOpen` is raised, with what stands open: that is for a human. Not seen
are orders that reach the exchange after that look, and trades of others on the same account count as the legs' own: use
accounts of your own.
"""

import math
import time
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any, Final, Literal

from attrs import frozen

from mlthon.errors import near
from mlthon.link.errors import ApiError

TRIES: Final = 3
"""How often a request is sent that is refused for its rate."""

_SIDES: Final = {"buy": "Buy", "sell": "Sell"}
_OPPOSITE: Final = {"Buy": "Sell", "Sell": "Buy"}


class LegOpen(Exception):
    """One leg of a pair stands alone. `first`: the order of the first leg; `missing`: the share of the second leg that
    is not there (0 to 1), None where that is not known; the text says why, and what to do."""

    def __init__(self, text: str, first: Mapping[str, Any], missing: float | None) -> None:
        super().__init__(text)
        self.first = dict(first)
        self.missing = missing


class Venue:
    """One account of a bot: `name` as the bot calls it, `src` its exchange."""

    def __init__(self, link: Any, name: str, *, spare: int = 5) -> None:
        """`link`: the bot. `spare`: with so few requests left of the rate limit the next one waits. Raises `ValueError`
        for a name that is none of the bot's venues."""
        venues = link.venues
        if name not in venues:
            raise ValueError(f"{name!r} is no venue of this bot{near(name, venues)} (venues: {', '.join(venues)})")
        self.name = name
        self.src: str = venues[name]["src"]
        self.remaining: int | None = None
        """Requests left of the rate limit at the last answer; None before it."""
        self._link = link
        self._spare = spare
        self._reset = 0.0

    def __repr__(self) -> str:
        return f"Venue({self.name!r}, src={self.src!r})"

    # -- what an exchange is like ----------------------------------------------------------------------------------

    def instrument(self, sym: str) -> Mapping[str, Any]:
        """What is known of a symbol (`Link.instruments`). Raises `ValueError` for a symbol that there is not."""
        known: Mapping[str, Mapping[str, Any]] = self._link.instruments.get(self.src, {})
        if sym not in known:
            raise ValueError(f"{self.name} has no symbol {sym!r}{near(sym, known)}")
        return known[sym]

    def tick(self, sym: str) -> float:
        """The smallest difference of two prices."""
        return float(self.instrument(sym)["tickSize"])

    def lot(self, sym: str) -> float:
        """The smallest difference of two sizes."""
        return float(self.instrument(sym)["lotSize"])

    def price(self, sym: str, price: float, side: str | None = None) -> float:
        """The tick next to a price; with a `side` the next one that is no worse for an order of that side: below for a
        buy, above for a sell."""
        rounding: Callable[[Fraction], int] = round
        if side is not None:
            rounding = math.floor if _side(side) == "Buy" else math.ceil
        return _stepped(price, self.tick(sym), rounding)

    def lots(self, sym: str, size: float) -> float:
        """The largest size of whole lots within `size`; 0.0 where that is less than the smallest order."""
        whole = _stepped(size, self.lot(sym), math.floor)
        return whole if whole >= float(self.instrument(sym)["minSize"]) else 0.0

    def mark_price(self, sym: str) -> float:
        """What a unit of the symbol is worth now: BitMEX's own mark price there, elsewhere the middle of the last
        quote. Raises `ValueError` where there is neither."""
        self.instrument(sym)
        if self.src == "bitmex":
            params = {"symbol": sym, "columns": '["markPrice"]'}
            call = self._link.call_endpoint
            rows = self._ask(lambda: call(self.name, "instrument", "public", method="GET", params=params))
            mark = rows[0].get("markPrice") if rows else None
        else:
            quote = self._link.quotes.get(self.src, {}).get(sym)
            mark = None if quote is None else (quote["bid"][0] + quote["ask"][0]) / 2
        if mark is None or not math.isfinite(mark) or mark <= 0:
            raise ValueError(
                f"{self.name} has no price of {sym} yet: subscribe to {self.src}:{sym} and wait for a quote"
            )
        return float(mark)

    # -- the account -----------------------------------------------------------------------------------------------

    def place_order(self, sym: str, side: str, size: float, price: float | None = None) -> dict[str, Any]:
        """An order, the documented `data` of its answer; at the market without a `price`. `side` in any case. Sizes are
        cut to whole lots, prices go to the next tick that is no worse. Raises `ValueError` for what is no order, and
        `ApiError` where the exchange refuses it."""
        side = _side(side)
        whole = self.lots(sym, size)
        if not whole:
            raise ValueError(f"{size} of {sym} is less than the smallest order of {self.name}")
        link, name = self._link, self.name
        order: dict[str, Any]
        if price is None:
            order = self._ask(lambda: link.create_market_order(name, sym=sym, side=side, size=whole))
        else:
            at = self.price(sym, price, side)
            order = self._ask(lambda: link.create_limit_order(name, sym=sym, side=side, size=whole, price=at))
        return order

    def cancel_orders(self, sym: str | None = None) -> list[dict[str, Any]]:
        """Cancel the open orders of a symbol, or all; those that are gone."""
        found: list[dict[str, Any]] = self._ask(lambda: self._link.cancel_order(self.name, sym=sym))
        return found

    def holding(self, sym: str) -> float:
        """What the account holds of a symbol, in its sizes: its position, short negative; of a spot symbol the amount
        of its coin (which BitMEX counts in its smallest units)."""
        instrument = self.instrument(sym)
        if instrument["type"] == "spot":
            rows = self._ask(lambda: self._link.fetch_balances(self.name))
            units = instrument.get("underlyingToPositionMultiplier") or 1
            return float(sum(each["amount"] for each in rows if each["asset"] == instrument["underlying"]) * units)
        rows = self._ask(lambda: self._link.fetch_positions(self.name))
        return float(sum(_signed(abs(each["pos_size"]), each["side"]) for each in rows if each["sym"] == sym))

    def leg(self, sym: str, side: str, size: float) -> "Leg":
        """A market order to be sent by `trade_pair`. Raises `ValueError` for what is no order."""
        whole = self.lots(sym, size)
        if not whole:
            raise ValueError(f"{size} of {sym} is less than the smallest order of {self.name}")
        return Leg(self, sym, _side(side), whole)

    # -- requests --------------------------------------------------------------------------------------------------

    def _ask(self, call: Callable[[], Mapping[str, Any]]) -> Any:
        """The data of a call's answer, once the rate limit lets it through. Raises `ApiError`."""
        envelope: Mapping[str, Any] = {}
        for _ in range(TRIES):
            if self.remaining is not None and self.remaining <= self._spare:
                time.sleep(max(self._reset - time.time(), 0))
            envelope = call()
            limits = envelope.get("rate_limits") or {}
            self.remaining, self._reset = limits.get("remaining"), limits.get("reset") or 0.0
            if not envelope.get("error"):
                return envelope["data"]
            # an answer with an error is a refusal of the rate: others are raised by Link
            self.remaining = 0
        raise ApiError(envelope)


@frozen
class Leg:
    """One leg of a pair: a market order."""

    venue: Venue
    sym: str
    side: str
    size: float

    def send(self) -> dict[str, Any]:
        return self.venue.place_order(self.sym, self.side, self.size)


@frozen
class Pair:
    """What became of a pair. `first`, `second`, `unwound`: the orders that were sent and answered. `missing`: the share
    of the second leg (0 to 1) that is not there, and that the first leg now has too much, unless it was unwound.
    `error`: why a leg is not whole; None where all is well."""

    first: dict[str, Any]
    second: dict[str, Any] | None
    unwound: dict[str, Any] | None = None
    missing: float = 0.0
    error: str | None = None


def trade_pair(first: Leg, second: Leg, on_failure: Literal["unwind", "report"] = "unwind") -> Pair:
    """Trade two legs, one after the other; see the module. A first leg that fails raises `ApiError`, and nothing has
    been traded; one that is filled in part is followed by as much of the second. Raises `LegOpen`."""
    if on_failure not in ("unwind", "report"):
        raise ValueError(f"on_failure is 'unwind' or 'report', not {on_failure!r}")
    before = second.venue.holding(second.sym)
    opened = first.send()
    filled = opened["order_size"] - opened["remain_size"]
    if not filled:
        return Pair(opened, None, error=f"{first.sym} found no counterparty")
    wanted = second.venue.lots(second.sym, second.size * filled / first.size)
    order: dict[str, Any] | None = None
    error: str | None = None
    try:
        if wanted:
            order = second.venue.place_order(second.sym, second.side, wanted)
            if order["remain_size"]:
                error = f"{order['remain_size']:g} of {wanted:g} {second.sym} found no counterparty"
        else:
            error = f"what was filled of {first.sym} is less than a lot of {second.sym}"
    except ApiError as failure:
        error = str(failure)
    if error is None:
        return Pair(opened, order)
    missing = _missing(opened, second, wanted, before, error)
    if on_failure == "report" or not missing:
        return Pair(opened, order, None, missing, error)
    return Pair(opened, order, _unwind(first, opened, filled * missing, missing, error), missing, error)


def _missing(opened: Mapping[str, Any], second: Leg, wanted: float, before: float, error: str) -> float:
    """The share of the second leg that is not there."""
    if not wanted:
        return 1.0
    try:
        now = second.venue.holding(second.sym)
    except ApiError as failure:
        text = (
            f"the second leg failed ({error}), and what {second.venue.name} holds of {second.sym} cannot be seen "
            f"({failure}): look there, and close what is open by hand"
        )
        raise LegOpen(text, opened, None) from failure
    done = _signed(now - before, second.side)
    return min(max(1 - done / wanted, 0.0), 1.0)


def _unwind(first: Leg, opened: Mapping[str, Any], size: float, missing: float, error: str) -> dict[str, Any] | None:
    """Trade back so much of the first leg; None where that is less than a lot."""
    # what is left of a division is no reason to trade a lot less
    whole = first.venue.lots(first.sym, size * (1 + 1e-9))
    if not whole:
        return None
    try:
        order = first.venue.place_order(first.sym, _OPPOSITE[first.side], whole)
    except ApiError as failure:
        text = (
            f"the second leg failed ({error}), and the first one could not be unwound ({failure}): "
            f"{first.venue.name} has {whole:g} {first.sym} too much on the side {first.side}"
        )
        raise LegOpen(text, opened, missing) from failure
    if order["remain_size"]:
        text = (
            f"the second leg failed ({error}), and the first one was unwound in part: {first.venue.name} has "
            f"{order['remain_size']:g} {first.sym} too much on the side {first.side}"
        )
        raise LegOpen(text, opened, missing)
    return order


def _side(side: str) -> str:
    found = _SIDES.get(str(side).lower())
    if found is None:
        raise ValueError(f"a side is 'Buy' or 'Sell', not {side!r}")
    return found


def _signed(size: float, side: str) -> float:
    return size if side == "Buy" else -size


def _stepped(value: float, step: float, rounding: Callable[[Fraction], int]) -> float:
    """A whole number of steps, by what numbers print as: 0.3 is three times 0.1."""
    if not math.isfinite(value) or value <= 0:
        raise ValueError(f"a price or size must be a number over 0, not {value!r}")
    exact = Fraction(repr(step))
    steps = Fraction(repr(float(value))) / exact
    nearest = round(steps)
    # what a computation has blurred counts as the step next to it
    return float((nearest if abs(steps - nearest) < Fraction(1, 10**6) else rounding(steps)) * exact)
