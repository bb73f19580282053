"""What an order must satisfy to be accepted, as a table of checks.

`breach` goes through the table and gives the first rule that is broken: a `GtwRejectCode` and a reason which names the
value and the rule. Prices are whole ticks and quantities whole lots before they get here, so tick and lot themselves
are checked where strings become numbers. Every check returns None when it has nothing to say.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from mlthon.basics.defs import GtwRejectCode, OrderType
from mlthon.basics.money import to_str
from mlthon.exchange.book import AccountOrder
from mlthon.exchange.margin import shortage

if TYPE_CHECKING:
    from mlthon.exchange.matching import Matching

Breach = tuple[GtwRejectCode, str]
Check = Callable[[AccountOrder, "Matching"], Breach | None]

NEEDS_PRICE: Final = frozenset({OrderType.Limit, OrderType.StopLimit})
NEEDS_STOP: Final = frozenset({OrderType.Stop, OrderType.StopLimit, OrderType.TakeProfit})
KNOWN: Final = NEEDS_PRICE | NEEDS_STOP | {OrderType.Market}

# Bound to names of their own because looking a member up in its class is slow in Python 3.11.
_LIMIT: Final = OrderType.Limit
_MARKET: Final = OrderType.Market


def _qty(market: "Matching", lots: int) -> str:
    return to_str(lots * market.contract.lot_units)


def _price(market: "Matching", ticks: int) -> str:
    return to_str(ticks * market.contract.tick_units)


def order_type(order: AccountOrder, market: "Matching") -> Breach | None:
    if order.order_type not in KNOWN:
        return GtwRejectCode.UnsupportedOrder, f"order type {order.order_type.name} is not one that {market.name} takes"
    if order.post_only and order.order_type is not _LIMIT:
        return GtwRejectCode.UnsupportedOrder, f"post-only goes with limit orders, not with {order.order_type.name}"
    return None


def price(order: AccountOrder, market: "Matching") -> Breach | None:
    if order.order_type in NEEDS_PRICE and order.price <= 0:
        return (
            GtwRejectCode.InvalidPrice,
            f"price {_price(market, order.price)} of a {order.order_type.name} order of {market.name} is not above 0",
        )
    return None


def stop_price(order: AccountOrder, market: "Matching") -> Breach | None:
    if order.order_type not in NEEDS_STOP:
        if order.stop_price is None:
            return None
        return GtwRejectCode.InvalidRequest, f"a {order.order_type.name} order has no stop price"
    if order.stop_price is None or order.stop_price <= 0:
        given = "none" if order.stop_price is None else _price(market, order.stop_price)
        return (
            GtwRejectCode.InvalidPrice,
            f"stop price {given} of a {order.order_type.name} order of {market.name} is not above 0",
        )
    if order.waits and market.would_trigger(order):
        return (
            GtwRejectCode.StopWouldTrigger,
            f"stop price {_price(market, order.stop_price)} would trigger at once: {market.name} is there already",
        )
    return None


def quantity(order: AccountOrder, market: "Matching") -> Breach | None:
    lots = order.qty
    if order.close_position:
        return None
    if lots <= 0:
        return GtwRejectCode.InvalidQty, f"quantity {_qty(market, lots)} of {market.name} is not above 0"
    if lots < market.min_lots and not order.reduce_only:
        return (
            GtwRejectCode.QtyBelowMinimum,
            f"quantity {_qty(market, lots)} is below the minimum {_qty(market, market.min_lots)} of {market.name}",
        )
    if market.max_lots is not None and lots > market.max_lots:
        return (
            GtwRejectCode.QtyAboveMaximum,
            f"quantity {_qty(market, lots)} is above the maximum {_qty(market, market.max_lots)} of {market.name}",
        )
    return None


def notional(order: AccountOrder, market: "Matching") -> Breach | None:
    if not market.min_notional or order.reduce_only:
        return None
    at = order.price if order.order_type in NEEDS_PRICE else order.stop_price or market.touch(-order.side)
    if at is None or at <= 0:
        return None
    contract = market.contract
    # the value in the quote currency: of an inverse contract the quantity itself
    value = order.qty * contract.unit_value(at) if contract.direction > 0 else order.qty * contract.lot_units
    if value < market.min_notional:
        return (
            GtwRejectCode.NotionalBelowMinimum,
            (
                f"value {to_str(value)} of {_qty(market, order.qty)} at {_price(market, at)} is below the minimum "
                f"{to_str(market.min_notional)} of {market.name}"
            ),
        )
    return None


def reduce_only(order: AccountOrder, market: "Matching") -> Breach | None:
    stake = order.stake
    # a stop is looked at when it triggers: its position may not exist yet
    if not order.reduce_only or stake is None or order.waits:
        return None
    if stake.reducible(order.side) > 0:
        return None
    held = stake.position.lots
    side = "buy" if order.side > 0 else "sell"
    return (
        GtwRejectCode.ReduceOnlyWouldIncrease,
        f"a reduce-only {side} cannot reduce the position {_qty(market, held)} of {market.name}",
    )


def market_exists(order: AccountOrder, market: "Matching") -> Breach | None:
    if order.order_type is _MARKET and market.touch(-order.side) is None:
        side = "ask" if order.side > 0 else "bid"
        return GtwRejectCode.NoMarket, f"{market.name} has no {side} to trade with"
    return None


def post_only(order: AccountOrder, market: "Matching") -> Breach | None:
    if order.post_only and market.would_take(order.side, order.price):
        best = market.touch(-order.side)
        side, other = ("buy", "ask") if order.side > 0 else ("sell", "bid")
        return (
            GtwRejectCode.PostOnlyWouldTake,
            (
                f"post-only {side} at {_price(market, order.price)} would take from the best {other} "
                f"{_price(market, best or 0)} of {market.name}"
            ),
        )
    return None


def funds(order: AccountOrder, market: "Matching") -> Breach | None:
    stake = order.stake
    if stake is None or order.waits:
        return None
    short = shortage(stake, order, market, order.leaves)
    if short is None:
        return None
    needed, there, coin = short
    code = GtwRejectCode.InsufficientBalance if stake.contract.spot else GtwRejectCode.InsufficientMargin
    return code, f"{to_str(needed)} {coin} needed by the order, {to_str(there)} available to {stake.account.name}"


ENTRY: Final[tuple[Check, ...]] = (
    order_type,
    price,
    reduce_only,
    quantity,
    stop_price,
    market_exists,
    notional,
    post_only,
)
"""Checked in this order before an order is accepted. `funds` follows, once a reducing order is cut to its size."""

LIMIT: Final[dict[tuple[bool, bool], tuple[Check, ...]]] = {
    (reducing, posting): tuple(
        check
        for check in ENTRY
        if check in (price, quantity, notional)
        or (reducing and check is reduce_only)
        or (posting and check is post_only)
    )
    for reducing in (False, True)
    for posting in (False, True)
}
"""Those of the checks that can concern a plain limit order, by whether it is reduce-only and post-only."""


def breach(order: AccountOrder, market: "Matching") -> Breach | None:
    """The first rule that the order breaks, or None."""
    plain = order.order_type is _LIMIT and order.stop_price is None
    for check in LIMIT[order.reduce_only, order.post_only] if plain else ENTRY:
        broken = check(order, market)
        if broken is not None:
            return broken
    return None
