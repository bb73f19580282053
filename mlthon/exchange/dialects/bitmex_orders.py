"""BitMEX's calls about orders: new, amended, cancelled, asked for, and the dead man's switch.

Answers to POST and PUT carry the order as it stands once the exchange has answered. A crossing post-only order, a
reduce-only order without a position and a FOK that cannot fill are accepted and then cancelled, with the reason in
`text`. DELETE answers with rows, one an order, with `error` in those that could not be cancelled.
"""

from typing import TYPE_CHECKING, Any, Final

from mlthon.basics.defs import TIF, GtwRejectCode, OrderType
from mlthon.basics.instrument import Instrument
from mlthon.exchange.dialects import bitmex_rows as rows
from mlthon.exchange.dialects.bitmex_request import (
    Fault,
    Params,
    Route,
    Routes,
    Send,
    account_of,
    filter_of,
    listed,
    lots_of,
    page,
    ticks_of,
    trader,
    units_of,
    whole,
)
from mlthon.exchange.served.account import ServedAccount
from mlthon.exchange.served.exchange import ApiKey
from mlthon.exchange.served.records import NewOrder, Refusal, ServedOrder
from mlthon.protocols import bitmex as wire

if TYPE_CHECKING:
    from mlthon.exchange.dialects.bitmex import BitmexDialect

_REFUSALS: Final = {
    GtwRejectCode.InsufficientMargin: wire.INSUFFICIENT.format(required=0),
    GtwRejectCode.InsufficientBalance: wire.INSUFFICIENT.format(required=0),
    GtwRejectCode.PriceNotOnTick: "Invalid price tickSize",
    GtwRejectCode.InvalidPrice: "Invalid price",
    GtwRejectCode.QtyNotOnLot: "Invalid orderQty: must be a multiple of lotSize",
    GtwRejectCode.QtyBelowMinimum: "Invalid orderQty",
    GtwRejectCode.QtyAboveMaximum: "Invalid orderQty: exceeds maxOrderQty",
    GtwRejectCode.InvalidQty: "Invalid orderQty",
    GtwRejectCode.StopWouldTrigger: "Order would immediately trigger",
    GtwRejectCode.GtwNotReady: wire.OVERLOADED,
}
"""Why the embedded exchange refused -> the exchange's words."""

ENDED_AT_ONCE: Final = {
    GtwRejectCode.PostOnlyWouldTake: "Canceled: Order had execInst of ParticipateDoNotInitiate",
    GtwRejectCode.ReduceOnlyWouldIncrease: "Canceled: Order had execInst of ReduceOnly",
    GtwRejectCode.FokNotFillable: "Canceled: Order had timeInForce of FillOrKill",
    GtwRejectCode.NoMarket: "Canceled: Order had ordType of Market",
}
"""What the embedded exchange refuses and this one accepts and cancels."""


def _orders(dialect: "BitmexDialect", key: ApiKey | None, params: Params, send: Send) -> None:
    account = account_of(key)
    wanted = filter_of(params)
    symbol = params.get("symbol") or wanted.get("symbol")
    account.look_at_stops()
    found = sorted(account.orders.values(), key=lambda order: order.number)
    if wanted.get("open") is True:
        found = [order for order in found if order.is_open]
    for name in ("orderID", "clOrdID"):
        if wanted.get(name):
            ids = listed(wanted[name])
            found = [each for each in found if (each.order_id if name == "orderID" else each.client_id) in ids]
    send(page([rows.order_row(order) for order in found if symbol in (None, "", order.instrument.symbol)], params))


# -- a new order -------------------------------------------------------------------------------------------------------


def _place(dialect: "BitmexDialect", key: ApiKey | None, params: Params, send: Send) -> None:
    account = trader(key)
    new = _new_order(dialect, account, params)

    def done(order: ServedOrder) -> None:
        text = ENDED_AT_ONCE.get(order.reject_code)
        if order.reject_code is GtwRejectCode.Unset:
            send(rows.order_row(order))
        elif text is not None:
            row = rows.order_row(order) | {"ordStatus": "Canceled", "ordRejReason": ""}
            send(row | {"text": f"{text}\n{row['text']}"})
        else:
            send(_refused(Refusal(order.reject_code, order.reason)))

    account.place(new, done)


def _new_order(dialect: "BitmexDialect", account: ServedAccount, params: Params) -> NewOrder:
    """A new order from its parameters. Raises Fault."""
    instrument = dialect.market(params).instrument
    client_id = str(params.get("clOrdID") or "")
    if len(client_id) > 36:
        raise Fault("clOrdID is too long: at most 36 characters")
    before = account.by_client(client_id)
    if before is not None and before.is_open:
        raise Fault(wire.DUPLICATE_ID)
    instructions = [each.strip() for each in str(params.get("execInst") or "").split(",") if each.strip()]
    price = ticks_of(instrument, params, "price")
    stop = ticks_of(instrument, params, "stopPx")
    spelled = str(params.get("ordType") or _type_of(price, stop))
    order_type = wire.ORDER_TYPES_READ.get(spelled)
    if order_type is None:
        raise Fault("Invalid ordType")
    tif = wire.TIFS_READ.get(str(params.get("timeInForce") or "GoodTillCancel"), TIF.GTC)
    closing = wire.CLOSE in instructions
    qty = lots_of(instrument, params, "orderQty")
    if qty is None and not closing:
        raise Fault("orderQty is required")
    if qty == 0 or (qty is None and order_type is OrderType.Limit and price is None):
        raise Fault("Invalid orderQty")
    if spelled in wire.PRICED_TYPES and price is None:
        raise Fault("price is required")
    if spelled in wire.TRIGGERED_TYPES and stop is None:
        raise Fault("stopPx is required")
    return NewOrder(
        instrument=instrument,
        side=_side(account, instrument, params, closing),
        qty=qty or 0,
        price=(price or 0) if spelled in wire.PRICED_TYPES else 0,
        order_type=order_type,
        tif=TIF.IOC if order_type is OrderType.Market and tif is TIF.GTC else tif,
        post_only=wire.POST_ONLY in instructions,
        reduce_only=wire.REDUCE_ONLY in instructions or closing,
        close_position=closing and qty is None,
        stop_price=stop if spelled in wire.TRIGGERED_TYPES else None,
        client_id=client_id,
        extra={
            "execInst": ",".join(instructions),
            "ordType": spelled,
            "text": params.get("text"),
            "clOrdLinkID": str(params.get("clOrdLinkID") or ""),
        },
    )


def _type_of(price: int | None, stop: int | None) -> str:
    """The order type where none is given: by what prices there are."""
    if stop is not None:
        return "Stop" if price is None else "StopLimit"
    return "Market" if price is None else "Limit"


def _side(account: ServedAccount, instrument: Instrument, params: Params, closing: bool) -> int:
    """Buy or Sell; without either the sign of the quantity, or for a close what closes the position."""
    spelled = params.get("side")
    if spelled:
        side = wire.SIDES.get(str(spelled))
        if side is None:
            raise Fault("Invalid side")
        return side
    qty = units_of(params, "orderQty")
    if qty is None and closing:
        return -1 if account.position(instrument).lots > 0 else 1
    return -1 if qty is not None and qty < 0 else 1


# -- amending and cancelling -------------------------------------------------------------------------------------------


def _amend(dialect: "BitmexDialect", key: ApiKey | None, params: Params, send: Send) -> None:
    account = trader(key)
    order = _named(account, params.get("orderID"), params.get("origClOrdID") or params.get("clOrdID"))
    if order is None:
        raise Fault("Invalid orderID or origClOrdID" if not params.get("orderID") else "Invalid orderID")
    if not order.is_open:
        raise Fault(wire.INVALID_STATUS)
    instrument = order.instrument
    price = ticks_of(instrument, params, "price")
    qty = lots_of(instrument, params, "orderQty")
    leaves = lots_of(instrument, params, "leavesQty")
    if qty is None and leaves is not None:
        qty = order.filled + leaves
    if params.get("stopPx") is not None:
        raise Fault("Amending stopPx is not supported by this local exchange: cancel the order and send a new one")
    if price is None and qty is None:
        raise Fault("No change to order: give orderQty, leavesQty or price")
    changed = ", ".join(name for name in ("orderQty", "leavesQty", "price") if params.get(name) is not None)

    before = order.client_id, order.extra.get("amended")

    def done(order: ServedOrder, refusal: Refusal | None) -> None:
        if refusal is None:
            send(rows.order_row(order))
            return
        account.rename(order, before[0])
        order.extra["amended"] = before[1]
        send(_refused(refusal))

    # what the streams tell of the amendment bears the new id already
    order.extra["amended"] = changed
    if params.get("origClOrdID") and params.get("clOrdID"):
        account.rename(order, str(params["clOrdID"]))
    account.amend(order, price, qty, done)


def _named(account: ServedAccount, order_id: Any, client_id: Any) -> ServedOrder | None:
    return account.find(str(order_id or ""), str(client_id or ""))


def _cancel(dialect: "BitmexDialect", key: ApiKey | None, params: Params, send: Send) -> None:
    account = trader(key)
    wanted = [(each, account.find(order_id=each)) for each in listed(params.get("orderID"))]
    wanted += [(each, account.by_client(each)) for each in listed(params.get("clOrdID"))]
    if not wanted:
        raise Fault("Must send an orderID or clOrdID")
    known = [order for _, order in wanted if order is not None]
    if not known:
        raise Fault(wire.NOT_FOUND, 404)
    over = [order for order in known if not order.is_open]

    def done(cancelled: list[ServedOrder]) -> None:
        answers = [rows.order_row(order) for order in cancelled]
        late = [order for order in known if order not in cancelled]
        send(answers + [rows.order_row(order) | {"error": _too_late(order)} for order in late])

    account.cancel_many([order for order in known if order not in over], done)


def _too_late(order: ServedOrder) -> str:
    return wire.EXISTING_STATE.format(status=rows.STATUS_NAMES[order.status])


def _cancel_all(dialect: "BitmexDialect", key: ApiKey | None, params: Params, send: Send) -> None:
    account = trader(key)
    instrument = dialect.market(params).instrument if params.get("symbol") else None
    side = wire.SIDES.get(str(filter_of(params).get("side", "")))
    wanted = [order for order in account.open_orders(instrument) if side in (None, order.side)]
    account.cancel_many(wanted, lambda cancelled: send([rows.order_row(order) for order in cancelled]))


def _cancel_after(dialect: "BitmexDialect", key: ApiKey | None, params: Params, send: Send) -> None:
    account = trader(key)
    timeout = whole(params, "timeout", -1, 86_400_000)
    at = dialect.arm(account, timeout)
    now = wire.timestamp(dialect.clock.now)
    send({"now": now, "cancelTime": wire.timestamp(at) if timeout else "1970-01-01T00:00:00.000Z"})


def _refused(refusal: Refusal) -> Fault:
    """The answer to a request that the embedded exchange refused."""
    text = _REFUSALS.get(refusal.code)
    if refusal.code is GtwRejectCode.GtwNotReady:
        return Fault(wire.OVERLOADED, 503)
    if refusal.code in (GtwRejectCode.OrderNotOpen, GtwRejectCode.UnknownOrder):
        text = wire.INVALID_STATUS
    return Fault(text or refusal.reason or "Invalid order", 400, "ValidationError" if text is None else "HTTPError")


ROUTES: Final[Routes] = {
    ("GET", "/order"): Route(_orders, keyed=True),
    ("POST", "/order"): Route(_place, keyed=True, orders=True),
    ("PUT", "/order"): Route(_amend, keyed=True, orders=True),
    ("DELETE", "/order"): Route(_cancel, keyed=True, orders=True),
    ("DELETE", "/order/all"): Route(_cancel_all, keyed=True, orders=True),
    ("POST", "/order/cancelAllAfter"): Route(_cancel_after, keyed=True, orders=True),
}
"""The calls by their path below `/api/v1`."""
