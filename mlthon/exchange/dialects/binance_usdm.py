"""Binance USD-M futures (`/fapi`): orders, conditional orders, positions, account, listen keys, and its error codes.

A new order is acknowledged before it trades; a crossing post-only order is refused (-5022); conditional orders are
algo orders, with ids, calls and events of their own; listen keys last an hour. Sources are named in
`mlthon.protocols.binance_account` and `binance_rules`.
"""

from functools import partial
from typing import ClassVar, Final

from mlthon.basics.defs import Exchange, GtwRejectCode
from mlthon.basics.money import UNIT
from mlthon.engine.clock import SECOND
from mlthon.exchange.dialects import binance_market, binance_orders
from mlthon.exchange.dialects import binance_rows as rows
from mlthon.exchange.dialects import binance_usdm_rows as usdm
from mlthon.exchange.dialects.binance import BinanceDialect, Routes, Send, account_of, trader
from mlthon.exchange.dialects.binance_fault import COMMON_FAULTS, NO_SUCH_ORDER, UNKNOWN_ORDER, Fault, Faults, missing
from mlthon.exchange.dialects.binance_orders import EXPIRED, ID_NAMES, is_ordinary, new_order, price_of, refusal_of
from mlthon.exchange.dialects.binance_params import Params, steps_of, whole
from mlthon.exchange.served.account import ServedAccount
from mlthon.exchange.served.exchange import ApiKey
from mlthon.exchange.served.records import Refusal, ServedOrder
from mlthon.protocols import binance_account as wire

LISTEN_KEY_MINUTES: Final = 60

_FAULTS: Final[Faults] = {
    **COMMON_FAULTS,
    GtwRejectCode.PostOnlyWouldTake: (
        -5022,
        "Due to the order could not be executed as maker, the Post Only order will be rejected.",
    ),
    GtwRejectCode.InsufficientMargin: (-2019, "Margin is insufficient."),
    GtwRejectCode.ReduceOnlyWouldIncrease: (-2022, "ReduceOnly Order is rejected."),
    GtwRejectCode.StopWouldTrigger: (-2021, "Order would immediately trigger."),
    GtwRejectCode.PriceNotOnTick: (-4014, "Price not increased by tick size."),
    GtwRejectCode.InvalidPrice: (-4001, "Price less than 0."),
    GtwRejectCode.QtyNotOnLot: (-1111, "Precision is over the maximum defined for this asset."),
    GtwRejectCode.QtyBelowMinimum: (-4004, "Quantity less than min quantity."),
    GtwRejectCode.QtyAboveMaximum: (-4005, "Quantity greater than max quantity."),
    GtwRejectCode.InvalidQty: (-4003, "Quantity less than or equal to zero."),
    GtwRejectCode.NotionalBelowMinimum: (
        -4164,
        "Order's notional must be no smaller than 5 (unless you choose reduce only).",
    ),
}


# -- orders ------------------------------------------------------------------------------------------------------------


def _answered(dialect: BinanceDialect, params: Params, send: Send, order: ServedOrder) -> None:
    """Answer a new USD-M order once the exchange has."""
    fault = refusal_of(dialect, order)
    if fault is not None:
        send(fault)
        return
    row = usdm.order_row(order)
    if order.reject_code in EXPIRED:
        row["status"] = "EXPIRED"
    if params.get("newOrderRespType") != "RESULT":
        row |= {"status": "NEW", "executedQty": "0", "cumQty": "0", "cumQuote": "0", "avgPrice": "0.00"}
    send(row)


def _place(dialect: BinanceDialect, key: ApiKey | None, params: Params, send: Send) -> None:
    if wire.TYPE_OF.get(params.get("type", "")) in wire.STOP_TYPES:
        raise Fault(
            -4120, "Order type not supported for this endpoint. Please use the Algo Order API endpoints instead."
        )
    account = trader(key)
    account.place(new_order(dialect, account, params), partial(_answered, dialect, params, send))


def _amend(dialect: BinanceDialect, key: ApiKey | None, params: Params, send: Send) -> None:
    account = trader(key)
    order = dialect.named(account, params, ID_NAMES, NO_SUCH_ORDER)
    instrument = order.instrument
    for name in ("side", "quantity", "price"):
        if not params.get(name):
            raise missing(name)
    qty = steps_of(params, "quantity", instrument.qty_scale.step_units, dialect.faults[GtwRejectCode.QtyNotOnLot])
    price = price_of(dialect, instrument, params, "price")
    if not order.is_open:
        raise Fault(*NO_SUCH_ORDER)
    if price == order.price and qty == order.qty:
        raise Fault(-5027, "No need to modify the order.")
    order.extra["amending"] = True

    def done(order: ServedOrder, refusal: Refusal | None) -> None:
        order.extra.pop("amending", None)
        send(usdm.order_row(order) if refusal is None else dialect.refused(refusal))

    account.amend(order, price, qty, done)


def _cancel(dialect: BinanceDialect, key: ApiKey | None, params: Params, send: Send) -> None:
    account = trader(key)
    order = dialect.named(account, params, ID_NAMES, UNKNOWN_ORDER)
    if not order.is_open or not is_ordinary(dialect, order):
        raise Fault(*UNKNOWN_ORDER)

    def done(order: ServedOrder, refusal: Refusal | None) -> None:
        send(usdm.order_row(order) if refusal is None else dialect.refused(refusal))

    account.cancel(order, done)


def _cancel_all(ordinary: bool, dialect: BinanceDialect, key: ApiKey | None, params: Params, send: Send) -> None:
    """Cancel a symbol's ordinary orders, or its algo orders."""
    account = trader(key)
    found = account.open_orders(dialect.market(params).instrument)
    wanted = [each for each in found if is_ordinary(dialect, each) is ordinary]
    body = {"code": 200, "msg": "The operation of cancel all open order is done."}
    account.cancel_many(wanted, lambda _: send(body))


def _countdown(dialect: BinanceDialect, key: ApiKey | None, params: Params, send: Send) -> None:
    market = dialect.market(params)
    timeout = whole(params, "countdownTime", None, 86_400_000)
    dialect.count_down(trader(key), market, timeout)
    send({"symbol": market.instrument.symbol, "countdownTime": str(timeout)})


# -- conditional orders ------------------------------------------------------------------------------------------------

ALGO_NAMES: Final = ("algoId", "clientAlgoId")


def _algo_place(dialect: BinanceDialect, key: ApiKey | None, params: Params, send: Send) -> None:
    if params.get("algoType") != "CONDITIONAL":
        raise missing("algoType")
    if wire.TYPE_OF.get(params.get("type", "")) not in wire.STOP_TYPES:
        raise Fault(-1116, "Invalid orderType.")
    account = trader(key)

    def done(order: ServedOrder) -> None:
        if order.reject_code is not GtwRejectCode.Unset:
            send(dialect.refused(Refusal(order.reject_code, order.reason)))
        else:
            send(usdm.algo_order(order))

    account.place(new_order(dialect, account, params), done)


def _algo(account: ServedAccount, dialect: BinanceDialect, params: Params, code: tuple[int, str]) -> ServedOrder:
    order = dialect.named(account, params, ALGO_NAMES, code)
    if order.stop_price is None:
        raise Fault(*code)
    return order


def _algo_cancel(dialect: BinanceDialect, key: ApiKey | None, params: Params, send: Send) -> None:
    account = trader(key)
    order = _algo(account, dialect, params, UNKNOWN_ORDER)
    if not order.is_open or order.triggered:
        raise Fault(*UNKNOWN_ORDER)
    body = {"algoId": order.number, "clientAlgoId": order.client_id, "code": "200", "msg": "success"}
    account.cancel(order, lambda _, refusal: send(body if refusal is None else dialect.refused(refusal)))


def _algo_query(dialect: BinanceDialect, key: ApiKey | None, params: Params, send: Send) -> None:
    send(usdm.algo_order(_algo(account_of(key), dialect, params, NO_SUCH_ORDER)))


def _algo_open(dialect: BinanceDialect, key: ApiKey | None, params: Params, send: Send) -> None:
    instrument = dialect.market(params).instrument if params.get("symbol") else None
    found = account_of(key).open_orders(instrument)
    send([usdm.algo_order(order) for order in found if not is_ordinary(dialect, order)])


# -- the account -------------------------------------------------------------------------------------------------------


def _balances(dialect: BinanceDialect, key: ApiKey | None, params: Params, send: Send) -> None:
    account = account_of(key)
    send([usdm.balance_row(account, name) for name in account.coins()])


def _account(dialect: BinanceDialect, key: ApiKey | None, params: Params, send: Send) -> None:
    account = account_of(key)
    assets = [usdm.asset_row(account, name) for name in account.coins()]
    total = {
        shown: next((asset[name] for asset in assets if asset["asset"] == "USDT"), "0")
        for shown, name in _TOTALS.items()
    }
    flags = {"feeTier": 0, "canTrade": True, "canDeposit": False, "canWithdraw": False, "multiAssetsMargin": False}
    positions = [usdm.position_row(account, market) for market in dialect.served.markets.values()]
    send({**flags, "updateTime": 0, **total, "assets": assets, "positions": positions})


_TOTALS: Final = {
    "totalInitialMargin": "initialMargin",
    "totalMaintMargin": "maintMargin",
    "totalWalletBalance": "walletBalance",
    "totalUnrealizedProfit": "unrealizedProfit",
    "totalMarginBalance": "marginBalance",
    "totalPositionInitialMargin": "positionInitialMargin",
    "totalOpenOrderInitialMargin": "openOrderInitialMargin",
    "totalCrossWalletBalance": "crossWalletBalance",
    "totalCrossUnPnl": "crossUnPnl",
    "availableBalance": "availableBalance",
    "maxWithdrawAmount": "maxWithdrawAmount",
}


def _positions(dialect: BinanceDialect, key: ApiKey | None, params: Params, send: Send) -> None:
    """Symbols with a position or an open order; an asked-for symbol in any case not without either."""
    account = account_of(key)
    send(
        [
            usdm.position_row(account, market)
            for market in dialect.markets(params)
            if account.position(market.instrument).lots or any(True for _ in account.open_orders(market.instrument))
        ]
    )


def _position_mode(dialect: BinanceDialect, key: ApiKey | None, params: Params, send: Send) -> None:
    account_of(key)
    send({"dualSidePosition": False})


def _account_config(dialect: BinanceDialect, key: ApiKey | None, params: Params, send: Send) -> None:
    may = key is not None and not key.read_only
    send({"feeTier": 0, "canTrade": may, "canDeposit": False, "canWithdraw": False, "dualSidePosition": False,
          "updateTime": 0, "multiAssetsMargin": False, "tradeGroupId": -1})  # fmt: skip


def _symbol_config(dialect: BinanceDialect, key: ApiKey | None, params: Params, send: Send) -> None:
    leverage = dialect.served.embedded.margin.leverage // UNIT
    send(
        [
            {"symbol": market.instrument.symbol, "marginType": "CROSSED", "isAutoAddMargin": False,
             "leverage": leverage, "maxNotionalValue": "1000000"}
            for market in dialect.markets(params)
        ]
    )  # fmt: skip


def _commission(dialect: BinanceDialect, key: ApiKey | None, params: Params, send: Send) -> None:
    market = dialect.market(params)
    send(
        {
            "symbol": market.instrument.symbol,
            "makerCommissionRate": rows.rate(market.market.maker_fee / UNIT),
            "takerCommissionRate": rows.rate(market.market.taker_fee / UNIT),
        }
    )


def _brackets(dialect: BinanceDialect, key: ApiKey | None, params: Params, send: Send) -> None:
    margin = dialect.served.embedded.margin
    bracket = {"bracket": 1, "initialLeverage": margin.leverage // UNIT, "notionalCap": 10**12, "notionalFloor": 0,
               "maintMarginRatio": margin.maintenance / UNIT, "cum": 0.0}  # fmt: skip
    found = [{"symbol": market.instrument.symbol, "brackets": [bracket]} for market in dialect.markets(params)]
    send(found)


def _leverage(dialect: BinanceDialect, key: ApiKey | None, params: Params, send: Send) -> None:
    """The served exchange has one leverage for all: what it is, whatever is asked."""
    trader(key)
    leverage = dialect.served.embedded.margin.leverage // UNIT
    send({"symbol": dialect.market(params).instrument.symbol, "leverage": leverage, "maxNotionalValue": "1000000"})


def _listen_key(dialect: BinanceDialect, key: ApiKey | None, params: Params, send: Send) -> None:
    account = account_of(key)
    name = dialect.served.styled(f"listen key {account.name}", account.number).replace("-", "") * 2
    dialect.listen_keys[name] = (account, dialect.clock.now + LISTEN_KEY_MINUTES * 60 * SECOND)
    send({"listenKey": name})


def _end_listen_key(dialect: BinanceDialect, key: ApiKey | None, params: Params, send: Send) -> None:
    account = account_of(key)
    for name in [name for name, (whose, _) in dialect.listen_keys.items() if whose is account]:
        del dialect.listen_keys[name]
    send({})


# -- all calls ---------------------------------------------------------------------------------------------------------


def _no_rows(dialect: BinanceDialect, key: ApiKey | None, params: Params, send: Send) -> None:
    """What there is none of here."""
    send([])


_ROUTES: Final[Routes] = {
    ("GET", "v1/userTrades"): (binance_orders.fills, "signed"),
    ("GET", "v1/premiumIndex"): (partial(binance_market.one_or_all, rows.premium_index), "public"),
    ("GET", "v1/fundingRate"): (_no_rows, "public"),
    ("GET", "v1/fundingInfo"): (_no_rows, "public"),
    ("GET", "v1/openOrder"): (binance_orders.open_order, "signed"),
    ("POST", "v1/order"): (_place, "signed"),
    ("PUT", "v1/order"): (_amend, "signed"),
    ("DELETE", "v1/order"): (_cancel, "signed"),
    ("DELETE", "v1/allOpenOrders"): (partial(_cancel_all, True), "signed"),
    ("POST", "v1/countdownCancelAll"): (_countdown, "signed"),
    ("POST", "v1/algoOrder"): (_algo_place, "signed"),
    ("DELETE", "v1/algoOrder"): (_algo_cancel, "signed"),
    ("DELETE", "v1/algoOpenOrders"): (partial(_cancel_all, False), "signed"),
    ("GET", "v1/algoOrder"): (_algo_query, "signed"),
    ("GET", "v1/openAlgoOrders"): (_algo_open, "signed"),
    ("GET", "v2/balance"): (_balances, "signed"),
    ("GET", "v3/balance"): (_balances, "signed"),
    ("GET", "v2/account"): (_account, "signed"),
    ("GET", "v3/account"): (_account, "signed"),
    ("GET", "v2/positionRisk"): (_positions, "signed"),
    ("GET", "v3/positionRisk"): (_positions, "signed"),
    ("GET", "v1/positionSide/dual"): (_position_mode, "signed"),
    ("GET", "v1/accountConfig"): (_account_config, "signed"),
    ("GET", "v1/symbolConfig"): (_symbol_config, "signed"),
    ("GET", "v1/commissionRate"): (_commission, "signed"),
    ("GET", "v1/leverageBracket"): (_brackets, "signed"),
    ("POST", "v1/leverage"): (_leverage, "signed"),
    ("POST", "v1/listenKey"): (_listen_key, "keyed"),
    ("PUT", "v1/listenKey"): (_listen_key, "keyed"),
    ("DELETE", "v1/listenKey"): (_end_listen_key, "keyed"),
}


class BinanceUsdmDialect(BinanceDialect):
    """Binance USD-M futures."""

    name: ClassVar[str] = "binance-usdm"
    exchange: Exchange = Exchange.BinanceUsdm
    sockets: ClassVar[dict[str, str]] = {"public": "/public/stream", "market": "/market/stream",
                                         "private": "/private/stream"}  # fmt: skip
    faults: ClassVar[Faults] = _FAULTS
    usdm: ClassVar[bool] = True
    routes: ClassVar[Routes] = {
        **{
            (method, f"/fapi/v1/{path}"): found
            for (method, path), found in {**binance_market.ROUTES, **binance_orders.ROUTES}.items()
        },
        **{(method, f"/fapi/{path}"): found for (method, path), found in _ROUTES.items()},
    }
