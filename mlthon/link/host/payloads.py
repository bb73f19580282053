"""What bots are told, field by field as documented (`profitview-trading.txt`): pure functions.

Prices and sizes are floats, times whole milliseconds since 1970 UTC; a position that cannot be liquidated has the
`liq_price` 0.0. `info` is the exchange's raw message; here it is
what BitMEX's row of the same would hold, whatever the exchange.
"""

from bisect import bisect_left
from collections.abc import Sequence
from typing import Any, Final

from mlthon.basics.defs import ExecInstructions, OrderStatus, OrderType
from mlthon.engine.candles import Candle
from mlthon.engine.clock import MS, SECOND
from mlthon.engine.tracker import TrackedOrder
from mlthon.link.host.desk import HeldPosition, OpenOrder
from mlthon.link.host.listing import Listing
from mlthon.protocols import bitmex as wire

Payload = dict[str, Any]

TYPES: Final = {
    OrderType.Limit: "LIMIT",
    OrderType.Market: "MARKET",
    OrderType.Stop: "STOP",
    OrderType.StopLimit: "STOP_LIMIT",
    OrderType.TakeProfit: "TAKE_PROFIT",
}
"""`order_type`; the platform documents the first two."""
SIDES: Final = {1: "Buy", -1: "Sell"}
STATUSES: Final = {
    OrderStatus.PendingNew: "PendingNew",
    OrderStatus.New: "New",
    OrderStatus.Untriggered: "New",
    OrderStatus.PartiallyFilled: "PartiallyFilled",
    OrderStatus.Filled: "Filled",
    OrderStatus.Cancelled: "Canceled",
    OrderStatus.Rejected: "Rejected",
}


def order_answer(listing: Listing, order: TrackedOrder, ts: int, price: float | None = None) -> Payload:
    """An order in the answer of a call. `price`: instead of its own, of an order that has none (its fill price)."""
    return {
        "sym": listing.sym,
        "side": SIDES[order.side],
        "order_price": price if price is not None else price_of(listing, order),
        "order_size": listing.sizes[order.qty],
        "remain_size": listing.sizes[order.leaves],
        "order_type": TYPES[order.order_type],
        "time": ts // MS,
        "order_id": order.exchange_id,
    }


def price_of(listing: Listing, order: TrackedOrder) -> float | None:
    """The price an order was sent with: its stop price where it has no other."""
    ticks = order.price or order.stop_price
    return listing.prices[ticks] if ticks else None


def open_order(listing: Listing, order: OpenOrder) -> Payload:
    """An open order, as of `fetch_open_orders`."""
    return {
        "sym": listing.sym,
        "side": SIDES[order.side],
        "order_price": listing.prices[order.price] if order.price else None,
        "order_size": listing.sizes[order.qty],
        "remain_size": listing.sizes[order.leaves],
        "order_type": TYPES[order.order_type],
        "time": order.ts // MS,
        "order_id": order.order_id,
    }


def cancelled(listing: Listing, order: TrackedOrder | OpenOrder, ts: int) -> Payload:
    """An order that a cancel ended, whoever had sent it."""
    if isinstance(order, TrackedOrder):
        return order_answer(listing, order, ts)
    return open_order(listing, order) | {"remain_size": 0.0, "time": ts // MS}


def order_update(
    venue: str,
    listing: Listing,
    order: TrackedOrder,
    ts: int,
    *,
    price: bool = True,
    size: bool = True,
    average: float | None = None,
) -> Payload:
    """`order_update`. After an amendment only what it changed is there: `price`, `size` say which. `average`: the fill
    price of an order that has no price of its own."""
    payload: Payload = {"venue": venue, "side": SIDES[order.side]}
    if price:
        own = price_of(listing, order)
        payload["order_price"] = average if own is None else own
    if size:
        payload["order_size"] = listing.sizes[order.qty]
        payload["remain_size"] = listing.sizes[order.leaves]
    return payload | {
        "order_type": TYPES[order.order_type],
        "time": ts // MS,
        "order_id": order.exchange_id,
        "info": raw_order(listing, order, ts),
    }


def fill_update(
    venue: str, listing: Listing, order: TrackedOrder, price: int, lots: int, exec_id: str, ts: int
) -> Payload:
    """`fill_update` of one fill."""
    return {
        "venue": venue,
        "side": SIDES[order.side],
        "fill_price": listing.prices[price],
        "fill_size": listing.sizes[lots],
        "order_type": TYPES[order.order_type],
        "time": ts // MS,
        "order_id": order.exchange_id,
        "trade_id": exec_id,
        "info": raw_order(listing, order, ts)
        | {"execID": exec_id, "execType": "Trade", "lastPx": listing.prices[price], "lastQty": listing.sizes[lots]},
    }


def position_update(venue: str, listing: Listing, held: HeldPosition, ts: int) -> Payload:
    """`position_update`: `pos_size` is signed, 0 when flat."""
    size = listing.sizes[held.lots]
    entry = average_price(held.entry) if held.lots else None
    return {
        "venue": venue,
        "pos_size": size,
        "mark_price": held.mark,
        "entry_price": entry,
        "liq_price": held.liquidation or 0.0,
        "time": ts // MS,
        "info": {
            "symbol": listing.sym,
            "currentQty": size,
            "isOpen": bool(held.lots),
            "avgEntryPrice": entry,
            "markPrice": held.mark,
            "liquidationPrice": held.liquidation,
            "timestamp": wire.timestamp(ts),
        },
    }


def position(listing: Listing, held: HeldPosition, ts: int, *, signed: bool) -> Payload:
    """A position, as of `fetch_positions`: the size without its sign unless the venue is configured so."""
    return {
        "sym": listing.sym,
        "side": SIDES[1 if held.lots > 0 else -1],
        "entry_price": average_price(held.entry),
        "liq_price": held.liquidation or 0.0,
        "pos_size": listing.sizes[held.lots if signed else abs(held.lots)],
        "time": ts // MS,
    }


def average_price(price: float) -> float:
    """An average is computed in floats, and what is beyond their precision is no price."""
    return float(f"{price:.12g}")


class CandleRows:
    """Makes rows of `fetch_candles` of one symbol and level. `opens_at_close`: each but the first opens where the one
    before closed, as BitMEX's do. A candle that is the very same object as when it was last asked for, and so the one
    before it, has its row already."""

    __slots__ = ("_found", "_listing", "_opens_at_close", "_rows")

    def __init__(self, listing: Listing, *, opens_at_close: bool) -> None:
        self._listing = listing
        self._opens_at_close = opens_at_close
        self._found: list[Candle] = []
        self._rows: list[Payload] = []

    def rows(self, found: Sequence[Candle]) -> list[Payload]:
        """The rows of candles, oldest first: the caller's own."""
        known, past = self._found, self._rows
        shift = bisect_left(known, found[0].start, key=_start) if found else 0
        rows: list[Payload] = []
        for place, candle in enumerate(found):
            at = place + shift
            same = at < len(known) and known[at] is candle
            before = found[place - 1] if place else None
            if same and self._opens_at_close and (known[at - 1] if at else None) is not before:
                same = False
            rows.append(past[at] if same else self._row(candle, before))
        self._found, self._rows = list(found), rows
        return [row.copy() for row in rows]

    def _row(self, candle: Candle, before: Candle | None) -> Payload:
        prices = self._listing.prices
        opened = before.close if self._opens_at_close and before is not None else candle.open
        return {
            "open": prices[opened],
            "high": prices[candle.high],
            "low": prices[candle.low],
            "close": prices[candle.close],
            "volume": self._listing.sizes[candle.qty],
            "time": candle.start // MS,
        }


def _start(candle: Candle) -> int:
    return candle.start


def raw_order(listing: Listing, order: TrackedOrder, ts: int) -> Payload:
    """An order as BitMEX's `order` rows have it."""
    return {
        "orderID": order.exchange_id,
        "clOrdID": order.wire_id,
        "symbol": listing.sym,
        "side": SIDES[order.side],
        "orderQty": listing.sizes[order.qty],
        "price": listing.prices[order.price] if order.price else None,
        "stopPx": listing.prices[order.stop_price] if order.stop_price else None,
        "ordType": wire.ORDER_TYPES[order.order_type],
        "timeInForce": wire.TIFS.get(order.tif, "GoodTillCancel"),
        "execInst": exec_inst(order.exec_instr),
        "ordStatus": STATUSES.get(order.state, "New"),
        "workingIndicator": order.is_open,
        "leavesQty": listing.sizes[order.leaves],
        "cumQty": listing.sizes[order.filled],
        "transactTime": wire.timestamp(order.created_ts),
        "timestamp": wire.timestamp(ts),
    }


def exec_inst(instructions: ExecInstructions) -> str:
    """`execInst` as BitMEX spells it."""
    words = ((instructions.post_only, wire.POST_ONLY), (instructions.reduce_only, wire.REDUCE_ONLY))
    return ",".join(word for given, word in words if given)


def rate_limits(remaining: int, reset_ts: int) -> Payload:
    """`rate_limits`: `reset` in whole seconds, never before the limit is new."""
    return {"remaining": remaining, "reset": -(-reset_ts // SECOND)}
