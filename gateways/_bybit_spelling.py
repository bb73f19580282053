"""Requests about orders in Bybit's spelling: the bodies that go over REST and over the trade websocket alike."""

from typing import Any, Final

from mlthon.basics import money
from mlthon.basics.defs import TIF, OrderStatus, OrderType
from mlthon.basics.instrument import Instrument
from mlthon.engine.tracker import TrackedOrder
from mlthon.protocols import bybit as tables
from mlthon.venue.codec import Unsupported

TRIGGERED: Final = frozenset({OrderType.Stop, OrderType.StopLimit, OrderType.TakeProfit})
PRICED: Final = frozenset({OrderType.Limit, OrderType.StopLimit})

Body = dict[str, Any]


def price_text(instrument: Instrument, ticks: int) -> str:
    return money.to_str(ticks * instrument.price_scale.step_units)


def qty_text(instrument: Instrument, lots: int) -> str:
    return money.to_str(lots * instrument.qty_scale.step_units)


def named(instrument: Instrument) -> Body:
    """The fields that name an instrument."""
    return {"category": tables.category(instrument), "symbol": instrument.symbol}


def identity(order: TrackedOrder) -> Body:
    """The field that names an order: one sent by hand has no `orderLinkId`."""
    return {"orderLinkId": order.wire_id} if order.wire_id else {"orderId": order.exchange_id}


def create(order: TrackedOrder) -> Body:
    """Raises `Unsupported` for what Bybit cannot do."""
    instrument = order.instrument
    spot = tables.category(instrument) == tables.SPOT
    limit = order.order_type in PRICED
    body = named(instrument) | {
        "side": tables.SIDE_NAMES[order.side],
        "orderType": "Limit" if limit else "Market",
        "qty": qty_text(instrument, order.qty),
    }
    if limit:
        body["price"] = price_text(instrument, order.price)
        body["timeInForce"] = _time_in_force(order)
    elif order.tif in (TIF.FOK, TIF.Day):
        raise Unsupported(f"Bybit's market orders are immediate or cancel, not {order.tif.name}")
    if spot and not limit:
        body["marketUnit"] = tables.BASE_UNIT
    if order.order_type in TRIGGERED:
        _add_trigger(body, order, spot)
    if order.exec_instr.reduce_only or order.close_position:
        if spot:
            raise Unsupported("Bybit's spot has no positions to reduce or close")
        body["reduceOnly"] = True
    if order.close_position:
        # Quantity 0 with these two closes the whole position: docs/v5/order/create-order, `qty`.
        body["closeOnTrigger"] = True
        body["qty"] = "0"
    body["orderLinkId"] = order.wire_id
    return body


def _time_in_force(order: TrackedOrder) -> str:
    if order.tif is TIF.Day:
        raise Unsupported("Bybit has no day orders")
    if not order.exec_instr.post_only:
        return {TIF.IOC: tables.IOC, TIF.FOK: tables.FOK}.get(order.tif, tables.GTC)
    if order.tif in (TIF.IOC, TIF.FOK):
        raise Unsupported(f"an order cannot be post-only and {order.tif.name}")
    return tables.POST_ONLY


def _add_trigger(body: Body, order: TrackedOrder, spot: bool) -> None:
    if order.stop_price is None:
        raise Unsupported(f"a {order.order_type.name} order without a stop price")
    body["triggerPrice"] = price_text(order.instrument, order.stop_price)
    if spot:
        body["orderFilter"] = tables.STOP_ORDER_FILTER
        return
    with_the_market = order.order_type is not OrderType.TakeProfit
    body["triggerDirection"] = tables.RISING if with_the_market == (order.side > 0) else tables.FALLING


def amend(order: TrackedOrder, price: int | None, qty: int | None) -> Body:
    """`price` of an order that becomes a market order is its trigger price. Raises `Unsupported`."""
    instrument = order.instrument
    body = named(instrument) | identity(order)
    if price is not None:
        if order.order_type is OrderType.Market:
            raise Unsupported("a market order has no price to change")
        body["price" if order.order_type in PRICED else "triggerPrice"] = price_text(instrument, price)
    if qty is not None:
        body["qty"] = qty_text(instrument, qty)
    return body


def cancel(order: TrackedOrder) -> Body:
    body = named(order.instrument) | identity(order)
    waits = order.order_type in TRIGGERED and order.state in (OrderStatus.Untriggered, OrderStatus.PendingNew)
    if waits and body["category"] == tables.SPOT:
        body["orderFilter"] = tables.STOP_ORDER_FILTER
    return body
