"""Orders as spot and USD-M have them alike: a new one read from its parameters, and the questions about them."""

from typing import Final

from mlthon.basics.defs import TIF, GtwRejectCode, OrderStatus, OrderType
from mlthon.basics.instrument import Instrument
from mlthon.basics.money import UNIT
from mlthon.engine.faces import NO_ASK, NO_BID
from mlthon.exchange.dialects import binance_rows as rows
from mlthon.exchange.dialects import binance_spot_rows as spot
from mlthon.exchange.dialects import binance_usdm_rows as usdm
from mlthon.exchange.dialects.binance import BinanceDialect, Routes, Send, account_of
from mlthon.exchange.dialects.binance_fault import NO_SUCH_ORDER, Fault, missing
from mlthon.exchange.dialects.binance_params import Params, newest_or_first, span, steps_of, units_of, whole
from mlthon.exchange.served.account import ServedAccount
from mlthon.exchange.served.exchange import ApiKey
from mlthon.exchange.served.market import ServedMarket
from mlthon.exchange.served.records import NewOrder, Refusal, ServedOrder
from mlthon.protocols import binance_account as wire

PRICE_TOO_HIGH: Final = (-4002, "Price greater than max price.")
"""USD-M's error codes: https://developers.binance.com/docs/derivatives/usds-margined-futures/error-code"""
ID_NAMES: Final = ("orderId", "origClientOrderId")

EXPIRED: Final = (GtwRejectCode.FokNotFillable, GtwRejectCode.NoMarket)
"""What the embedded exchange refuses and Binance takes and lets expire."""


def refusal_of(dialect: BinanceDialect, order: ServedOrder) -> Fault | None:
    """The error that answers a new order; None for one that was taken, and for what Binance takes and lets expire."""
    if order.reject_code is GtwRejectCode.Unset or order.reject_code in EXPIRED:
        return None
    return dialect.refused(Refusal(order.reject_code, order.reason))


# -- a new order -------------------------------------------------------------------------------------------------------


def new_order(dialect: BinanceDialect, account: ServedAccount, params: Params) -> NewOrder:
    """The order that the parameters ask for. Raises Fault."""
    market = dialect.market(params)
    instrument = market.instrument
    side = wire.SIGNS.get(params.get("side", ""))
    if side is None:
        raise missing("side") if not params.get("side") else Fault(-1117, "Invalid side.")
    spelled = params.get("type", "")
    table = wire.USDM_TYPES if dialect.usdm else wire.SPOT_TYPES
    order_type = wire.TYPE_OF.get(spelled)
    if order_type is None or spelled not in {*table.values(), *(() if dialect.usdm else ("LIMIT_MAKER",))}:
        raise Fault(-1116, "Invalid orderType.")
    priced = order_type in (OrderType.Limit, OrderType.StopLimit)
    given_tif = params.get("timeInForce", "")
    if priced and spelled != "LIMIT_MAKER" and not given_tif:
        raise missing("timeInForce")
    if given_tif and (given_tif not in wire.TIF_OF or (given_tif == "GTX" and not dialect.usdm)):
        raise Fault(-1115, "Invalid timeInForce.")
    client_id = params.get("newClientOrderId") or params.get("clientAlgoId") or dialect.client_id()
    if len(client_id) > 36:
        raise Fault(-1105, "Parameter 'newClientOrderId' was too long.")
    before = account.by_client(client_id)
    if before is not None and before.is_open:
        raise Fault(-4116, "ClientOrderId is duplicated.") if dialect.usdm else Fault(-2010, "Duplicate order sent.")
    waits = order_type in wire.STOP_TYPES
    closing = params.get("closePosition", "").lower() == "true"
    qty = _quantity(dialect, market, params, side, closing)
    price = price_of(dialect, instrument, params, "price")
    stop_name = "triggerPrice" if "triggerPrice" in params else "stopPrice"
    stop = price_of(dialect, instrument, params, stop_name)
    if priced and not price:
        raise missing("price")
    if waits and not stop:
        raise missing(stop_name)
    return NewOrder(
        instrument=instrument,
        side=side,
        qty=qty,
        price=price or 0 if priced else 0,
        order_type=order_type,
        tif=wire.TIF_OF[given_tif] if given_tif else TIF.IOC if order_type is OrderType.Market else TIF.GTC,
        post_only=spelled == wire.LIMIT_MAKER or given_tif == wire.POST_ONLY_TIF,
        reduce_only=params.get("reduceOnly", "").lower() == "true" or closing,
        close_position=closing,
        stop_price=stop if waits else None,
        client_id=client_id,
        extra={"type": spelled},
    )


def price_of(dialect: BinanceDialect, instrument: Instrument, params: Params, name: str) -> int | None:
    """An optional price in ticks. Raises Fault."""
    tick = instrument.price_scale.step_units
    ticks = steps_of(params, name, tick, dialect.faults[GtwRejectCode.PriceNotOnTick])
    if ticks is not None and ticks * tick > rows.MOST_PRICE * UNIT:
        raise Fault(*PRICE_TOO_HIGH) if dialect.usdm else Fault(*dialect.faults[GtwRejectCode.InvalidPrice])
    return ticks


def _quantity(dialect: BinanceDialect, market: ServedMarket, params: Params, side: int, closing: bool) -> int:
    """In lots; what `quoteOrderQty` buys at the touch, and 0 for whatever the position is. Raises Fault."""
    lot = market.instrument.qty_scale.step_units
    qty = steps_of(params, "quantity", lot, dialect.faults[GtwRejectCode.QtyNotOnLot])
    if qty:
        return qty
    if closing:
        return 0
    spend = units_of(params, "quoteOrderQty")
    if spend is None or dialect.usdm:
        raise missing("quantity")
    bid, _, ask, _ = market.touch
    ticks = ask if side > 0 else bid
    if ticks in (NO_BID, NO_ASK):
        raise dialect.refused(Refusal(GtwRejectCode.NoMarket, "there is no market"))
    return spend // market.contract.unit_value(ticks)


# -- questions ---------------------------------------------------------------------------------------------------------


def order_row(dialect: BinanceDialect, order: ServedOrder) -> rows.Row:
    """An order as questions answer it."""
    return usdm.order_row(order) if dialect.usdm else spot.order_row(order)


def is_ordinary(dialect: BinanceDialect, order: ServedOrder) -> bool:
    """Whether it is an order as the ordinary calls know it: an untriggered algo order is not."""
    return not dialect.usdm or order.stop_price is None or order.triggered


def _query(dialect: BinanceDialect, key: ApiKey | None, params: Params, send: Send) -> None:
    order = dialect.named(account_of(key), params, ID_NAMES, NO_SUCH_ORDER)
    if not is_ordinary(dialect, order) or order.status is OrderStatus.Rejected:
        raise Fault(*NO_SUCH_ORDER)
    send(order_row(dialect, order))


def open_order(dialect: BinanceDialect, key: ApiKey | None, params: Params, send: Send) -> None:
    """One order, if it is open."""
    order = dialect.named(account_of(key), params, ID_NAMES, NO_SUCH_ORDER)
    if not is_ordinary(dialect, order) or not order.is_open:
        raise Fault(*NO_SUCH_ORDER)
    send(order_row(dialect, order))


def _open_orders(dialect: BinanceDialect, key: ApiKey | None, params: Params, send: Send) -> None:
    instrument = dialect.market(params).instrument if params.get("symbol") else None
    found = account_of(key).open_orders(instrument)
    send([order_row(dialect, order) for order in found if is_ordinary(dialect, order)])


def _all_orders(dialect: BinanceDialect, key: ApiKey | None, params: Params, send: Send) -> None:
    market = dialect.market(params)
    first = whole(params, "orderId", 0)
    start, end = span(params)
    found = sorted(account_of(key).orders.values(), key=lambda order: order.number)
    chosen = [
        order_row(dialect, order)
        for order in found
        if order.instrument == market.instrument
        and order.number >= first
        and start <= order.created_ts <= end
        and is_ordinary(dialect, order)
        and order.status is not OrderStatus.Rejected
    ]
    send(newest_or_first(params, chosen, bool(first or start)))


def fills(dialect: BinanceDialect, key: ApiKey | None, params: Params, send: Send) -> None:
    """Fills, of USD-M without a symbol those of all."""
    wanted = dialect.market(params).instrument if params.get("symbol") or not dialect.usdm else None
    order_id, first = whole(params, "orderId", 0), whole(params, "fromId", 0)
    start, end = span(params)
    row = usdm.fill_row if dialect.usdm else spot.fill_row
    found = [
        row(fill)
        for fill in account_of(key).executions
        if wanted in (None, fill.order.instrument)
        and (not order_id or fill.order.number == order_id)
        and fill.number >= first
        and start <= fill.ts <= end
    ]
    send(newest_or_first(params, found, bool(first or start)))


ROUTES: Final[Routes] = {
    ("GET", "order"): (_query, "signed"),
    ("GET", "openOrders"): (_open_orders, "signed"),
    ("GET", "allOrders"): (_all_orders, "signed"),
}
"""The calls by the end of their path."""
