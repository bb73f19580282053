"""Binance spot (`/api/v3`): placing, cancelling, making smaller and replacing orders, the account, and its error codes.

An order's answer carries its fills; a crossing post-only order is refused (-2010); listen keys are gone (410): user
data come over the websocket API. Sources are named in `mlthon.protocols.binance_account` and `binance_rules`.
"""

from functools import partial
from typing import Any, ClassVar, Final

from mlthon.basics.defs import Exchange, GtwRejectCode, OrderStatus
from mlthon.basics.money import UNIT
from mlthon.engine.clock import MS
from mlthon.exchange.dialects import binance_market, binance_orders
from mlthon.exchange.dialects import binance_rows as rows
from mlthon.exchange.dialects import binance_spot_rows as spot
from mlthon.exchange.dialects.binance import BinanceDialect, Routes, Send, account_of, trader
from mlthon.exchange.dialects.binance_fault import (
    COMMON_FAULTS,
    NO_SUCH_ORDER,
    UNKNOWN_ORDER,
    Fault,
    Faults,
    ReplaceFault,
    missing,
)
from mlthon.exchange.dialects.binance_orders import EXPIRED, ID_NAMES, new_order, refusal_of
from mlthon.exchange.dialects.binance_params import Params, steps_of
from mlthon.exchange.served.exchange import ApiKey
from mlthon.exchange.served.records import Refusal, ServedOrder

_FAULTS: Final[Faults] = {
    **COMMON_FAULTS,
    GtwRejectCode.PostOnlyWouldTake: (-2010, "Order would immediately match and take."),
    GtwRejectCode.InsufficientBalance: (-2010, "Account has insufficient balance for requested action."),
    GtwRejectCode.StopWouldTrigger: (-2010, "Stop price would trigger immediately."),
    GtwRejectCode.PriceNotOnTick: (-1013, "Filter failure: PRICE_FILTER"),
    GtwRejectCode.InvalidPrice: (-1013, "Filter failure: PRICE_FILTER"),
    GtwRejectCode.QtyNotOnLot: (-1013, "Filter failure: LOT_SIZE"),
    GtwRejectCode.QtyBelowMinimum: (-1013, "Filter failure: LOT_SIZE"),
    GtwRejectCode.QtyAboveMaximum: (-1013, "Filter failure: LOT_SIZE"),
    GtwRejectCode.InvalidQty: (-1013, "Invalid quantity."),
    GtwRejectCode.NotionalBelowMinimum: (-1013, "Filter failure: NOTIONAL"),
}
_RESTRICTIONS: Final = {"ONLY_NEW": OrderStatus.New, "ONLY_PARTIALLY_FILLED": OrderStatus.PartiallyFilled}


def _answered(dialect: BinanceDialect, params: Params, send: Send, order: ServedOrder) -> None:
    """Answer a new spot order once the exchange has."""
    fault = refusal_of(dialect, order)
    if fault is not None:
        send(fault)
        return
    usual = "FULL" if order.extra["type"] in ("LIMIT", "MARKET") else "ACK"
    row = spot.answer_row(order, params.get("newOrderRespType") or usual)
    send(row | {"status": "EXPIRED"} if order.reject_code in EXPIRED and "status" in row else row)


def _place(dialect: BinanceDialect, key: ApiKey | None, params: Params, send: Send) -> None:
    account = trader(key)
    account.place(new_order(dialect, account, params), partial(_answered, dialect, params, send))


def _test(dialect: BinanceDialect, key: ApiKey | None, params: Params, send: Send) -> None:
    new_order(dialect, trader(key), params)
    send({})


def _restricted(params: Params, order: ServedOrder) -> Fault | None:
    """Why `cancelRestrictions` forbids to cancel the order; None where it does not. Raises Fault for what it cannot be
    (https://developers.binance.com/docs/binance-spot-api-docs/rest-api/trading-endpoints#cancel-order-trade)."""
    given = params.get("cancelRestrictions")
    if given is None:
        return None
    if given not in _RESTRICTIONS:
        raise Fault(-1145, "Invalid cancelRestrictions")
    if order.status is _RESTRICTIONS[given]:
        return None
    return Fault(-2011, "Order was not canceled due to cancel restrictions.")


def _cancel(dialect: BinanceDialect, key: ApiKey | None, params: Params, send: Send) -> None:
    account = trader(key)
    order = dialect.named(account, params, ID_NAMES, UNKNOWN_ORDER)
    if not order.is_open:
        raise Fault(*UNKNOWN_ORDER)
    restricted = _restricted(params, order)
    if restricted is not None:
        raise restricted
    cancel_id = order.extra["cancel_id"] = params.get("newClientOrderId") or dialect.client_id()

    def done(order: ServedOrder, refusal: Refusal | None) -> None:
        send(spot.cancelled_row(order, cancel_id) if refusal is None else dialect.refused(refusal))

    account.cancel(order, done)


def _cancel_all(dialect: BinanceDialect, key: ApiKey | None, params: Params, send: Send) -> None:
    account = trader(key)
    wanted = list(account.open_orders(dialect.market(params).instrument))
    if not wanted:
        raise Fault(*UNKNOWN_ORDER)
    for order in wanted:
        order.extra["cancel_id"] = dialect.client_id()
    account.cancel_many(
        wanted,
        lambda cancelled: send([spot.cancelled_row(each, str(each.extra["cancel_id"])) for each in cancelled]),
    )


def _amend(dialect: BinanceDialect, key: ApiKey | None, params: Params, send: Send) -> None:
    account = trader(key)
    order = dialect.named(account, params, ID_NAMES, NO_SUCH_ORDER)
    instrument = order.instrument
    qty = steps_of(params, "newQty", instrument.qty_scale.step_units, dialect.faults[GtwRejectCode.QtyNotOnLot])
    if not order.is_open:
        raise Fault(*NO_SUCH_ORDER)
    if not qty:
        raise missing("newQty")
    if qty >= order.qty or qty <= order.filled:
        raise Fault(-2038, "The requested action would change no state; rejecting.")

    def done(order: ServedOrder, refusal: Refusal | None) -> None:
        if refusal is not None:
            send(dialect.refused(refusal))
            return
        account.rename(order, params.get("newClientOrderId") or dialect.client_id())
        row = spot.order_row(order)
        send(
            {
                "transactTime": order.updated_ts // MS,
                "executionId": order.number * 10,
                "amendedOrder": {**row, "qty": row["origQty"], "preventedQty": "0", "quoteOrderQty": "0",
                                 "cumulativeQuoteQty": row["cummulativeQuoteQty"]},
            }
        )  # fmt: skip

    account.amend(order, None, qty, done)


def _replace(dialect: BinanceDialect, key: ApiKey | None, params: Params, send: Send) -> None:
    """Cancel an order and place a new one."""
    account = trader(key)
    mode = params.get("cancelReplaceMode", "")
    if mode not in ("STOP_ON_FAILURE", "ALLOW_FAILURE"):
        raise missing("cancelReplaceMode")
    order = dialect.named(account, params, ("cancelOrderId", "cancelOrigClientOrderId"), UNKNOWN_ORDER)
    new = new_order(dialect, account, params)
    restricted = _restricted(params, order) if order.is_open else None
    body: dict[str, Any] = {}

    def placed(order: ServedOrder) -> None:
        failed = order.reject_code is not GtwRejectCode.Unset
        body["newOrderResult"] = "FAILURE" if failed else "SUCCESS"
        if failed:
            fault = dialect.refused(Refusal(order.reject_code, order.reason))
            body["newOrderResponse"] = {"code": fault.code, "msg": fault.message}
            send(
                ReplaceFault(
                    -2022 if body["cancelResult"] == "FAILURE" else -2021, "Order cancel-replace failed.", body
                )
            )
        else:
            body["newOrderResponse"] = spot.answer_row(order, params.get("newOrderRespType") or "FULL")
            send(body)

    def cancelled(order: ServedOrder, refusal: Refusal | None) -> None:
        went_on(None if refusal is None else dialect.refused(refusal))

    def went_on(fault: Fault | None) -> None:
        body["cancelResult"] = "SUCCESS" if fault is None else "FAILURE"
        if fault is None:
            body["cancelResponse"] = spot.cancelled_row(order, str(order.extra["cancel_id"]))
        else:
            body["cancelResponse"] = {"code": fault.code, "msg": fault.message}
            if mode == "STOP_ON_FAILURE":
                body.update(newOrderResult="NOT_ATTEMPTED", newOrderResponse=None)
                send(ReplaceFault(-2022, "Order cancel-replace failed.", body))
                return
        account.place(new, placed)

    if restricted is not None:
        went_on(restricted)
        return
    order.extra["cancel_id"] = params.get("cancelNewClientOrderId") or dialect.client_id()
    account.cancel(order, cancelled)


def _account(dialect: BinanceDialect, key: ApiKey | None, params: Params, send: Send) -> None:
    account = account_of(key)
    maker, taker = (market := next(iter(dialect.served.markets.values()))).market.maker_fee, market.market.taker_fee
    rates = {"maker": rows.rate(maker / UNIT), "taker": rows.rate(taker / UNIT), "buyer": "0", "seller": "0"}
    send(
        {
            "makerCommission": maker * 10_000 // UNIT,
            "takerCommission": taker * 10_000 // UNIT,
            "buyerCommission": 0,
            "sellerCommission": 0,
            "commissionRates": rates,
            "canTrade": key is not None and not key.read_only,
            "canWithdraw": False,
            "canDeposit": False,
            "brokered": False,
            "requireSelfTradePrevention": False,
            "preventSor": False,
            "updateTime": dialect.clock.now // MS,
            "accountType": "SPOT",
            "balances": [spot.balance_row(account, name) for name in account.coins()],
            "permissions": ["SPOT"],
            "uid": account.number,
        }
    )


def _gone(dialect: BinanceDialect, key: ApiKey | None, params: Params, send: Send) -> None:
    raise Fault(-1000, "This endpoint has been retired: use the websocket API's userDataStream methods.", 410)


_ROUTES: Final[Routes] = {
    ("GET", "myTrades"): (binance_orders.fills, "signed"),
    ("GET", "account"): (_account, "signed"),
    ("POST", "order"): (_place, "signed"),
    ("POST", "order/test"): (_test, "signed"),
    ("DELETE", "order"): (_cancel, "signed"),
    ("DELETE", "openOrders"): (_cancel_all, "signed"),
    ("PUT", "order/amend/keepPriority"): (_amend, "signed"),
    ("POST", "order/cancelReplace"): (_replace, "signed"),
    ("POST", "userDataStream"): (_gone, "public"),
    ("PUT", "userDataStream"): (_gone, "public"),
}


class BinanceSpotDialect(BinanceDialect):
    """Binance spot."""

    name: ClassVar[str] = "binance"
    exchange: Exchange = Exchange.Binance
    sockets: ClassVar[dict[str, str]] = {"streams": "/ws", "combined streams": "/stream", "websocket API": "/ws-api/v3"}
    faults: ClassVar[Faults] = _FAULTS
    usdm: ClassVar[bool] = False
    routes: ClassVar[Routes] = {
        (method, f"/api/v3/{path}"): found
        for (method, path), found in {**binance_market.ROUTES, **binance_orders.ROUTES, **_ROUTES}.items()
    }
