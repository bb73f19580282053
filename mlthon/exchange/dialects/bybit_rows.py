"""Records of a served exchange as Bybit's JSON rows: instruments, tickers, orders, executions, positions, wallet.

The rows carry every field of the recorded answers (https://bybit-exchange.github.io/docs/v5/order/open-order and the
pages beside it), those without meaning here with the value that an ordinary account sees. Rows over REST and on the
private websocket differ in a few names; both are made here. Numbers are text, times milliseconds.
"""

from typing import Any, Final

from mlthon.basics.defs import TIF, CancelCode, GtwRejectCode, OrderStatus, OrderType
from mlthon.basics.instrument import Instrument
from mlthon.basics.money import UNIT, ratio, to_str
from mlthon.engine.clock import MS
from mlthon.engine.faces import NO_ASK, NO_BID
from mlthon.exchange.served.account import ServedAccount
from mlthon.exchange.served.market import ServedMarket
from mlthon.exchange.served.records import ServedExecution, ServedOrder
from mlthon.protocols.bybit import FALLING, INVERSE, RISING, SIDE_NAMES, SPOT, category

Row = dict[str, Any]

DOLLARS: Final = frozenset({"USD", "USDT", "USDC"})
MOST_PRICE: Final = "1999999.80"
"""`maxPrice` of every symbol."""
HOUR_MINUTES: Final = 60
_TIFS: Final = {TIF.GTC: "GTC", TIF.IOC: "IOC", TIF.FOK: "FOK", TIF.Day: "GTC"}
_CANCEL_TYPES: Final = {
    CancelCode.CanceledByUser: "CancelByUser",
    CancelCode.ReduceOnly: "CancelByReduceOnly",
    CancelCode.Liquidation: "CancelByPrepareLiq",
    CancelCode.SelfTradePrevention: "CancelBySmp",
    CancelCode.Disconnected: "CancelByDCP",
    CancelCode.ByExchange: "CancelByAdmin",
}
_REJECT_REASONS: Final = {
    CancelCode.CanceledByUser: "EC_PerCancelRequest",
    CancelCode.SelfTradePrevention: "EC_BySelfMatch",
}


def ms(ns: int) -> str:
    """Nanoseconds as text of milliseconds."""
    return str(ns // MS)


def price(instrument: Instrument, ticks: int) -> str:
    """A price as text."""
    return to_str(ticks * instrument.price_scale.step_units)


def qty(instrument: Instrument, lots: int) -> str:
    """A quantity as text."""
    return to_str(lots * instrument.qty_scale.step_units)


def money(units: int) -> str:
    """Money as text, to the 12 digits that Bybit shows at most."""
    return to_str(ratio(units, 10**6) * 10**6)


# -- markets -----------------------------------------------------------------------------------------------------------


def instrument_row(instrument: Instrument) -> Row:
    """One instrument of `/v5/market/instruments-info`."""
    tick = to_str(instrument.price_scale.step_units)
    lot = to_str(instrument.qty_scale.step_units)
    largest = qty(instrument, instrument.max_lots) if instrument.max_lots is not None else "1000000000"
    least_value = str(instrument.min_notional) if instrument.min_notional is not None else "0"
    if category(instrument) == SPOT:
        return {
            "symbol": instrument.symbol,
            "baseCoin": instrument.base_currency,
            "quoteCoin": instrument.quote_currency,
            "innovation": "0",
            "status": "Trading",
            "marginTrading": "none",
            "stTag": "0",
            "lotSizeFilter": {
                "basePrecision": lot,
                "quotePrecision": "0.00000001",
                "minOrderQty": qty(instrument, instrument.min_lots),
                "maxOrderQty": largest,
                "minOrderAmt": least_value,
                "maxOrderAmt": "8000000",
                "maxLimitOrderQty": largest,
                "maxMarketOrderQty": largest,
                "postOnlyMaxLimitOrderSize": largest,
            },
            "priceFilter": {"tickSize": tick},
            "riskParameters": {"priceLimitRatioX": "0.01", "priceLimitRatioY": "0.02"},
            "symbolType": "",
        }
    inverse = category(instrument) == INVERSE
    return {
        "symbol": instrument.symbol,
        "contractType": "InversePerpetual" if inverse else "LinearPerpetual",
        "status": "Trading",
        "baseCoin": instrument.base_currency,
        "quoteCoin": instrument.quote_currency,
        "launchTime": "1585526400000",
        "deliveryTime": "0",
        "deliveryFeeRate": "",
        "priceScale": str(instrument.price_precision or 0),
        "leverageFilter": {"minLeverage": "1", "maxLeverage": "100.00", "leverageStep": "0.01"},
        "priceFilter": {"minPrice": tick, "maxPrice": MOST_PRICE, "tickSize": tick},
        "lotSizeFilter": {
            "maxOrderQty": largest,
            "minOrderQty": qty(instrument, instrument.min_lots),
            "qtyStep": lot,
            "postOnlyMaxOrderQty": largest,
            "maxMktOrderQty": largest,
            "minNotionalValue": least_value,
        },
        "unifiedMarginTrade": True,
        "fundingInterval": 480,
        "settleCoin": instrument.settle_currency,
        "copyTrading": "none",
        "upperFundingRate": "0.005",
        "lowerFundingRate": "-0.005",
        "isPreListing": False,
        "preListingInfo": None,
        "symbolType": "",
    }


def ticker_row(market: ServedMarket, *, stream: bool) -> Row:
    """One row of tickers: over REST, or (`stream`) of the websocket, whose spot rows have no best bid and ask."""
    instrument = market.instrument
    spot = category(instrument) == SPOT
    bid, bid_qty, ask, ask_qty = market.touch
    top = {
        "bid1Price": price(instrument, bid) if bid != NO_BID else "",
        "bid1Size": qty(instrument, bid_qty) if bid != NO_BID else "",
        "ask1Price": price(instrument, ask) if ask != NO_ASK else "",
        "ask1Size": qty(instrument, ask_qty) if ask != NO_ASK else "",
    }
    day = market.day()
    last = market.last_price or 0
    opened = day.open if day else last
    volume, turnover = (day.qty, day.value) if day else (0, 0)
    row: Row = {
        "symbol": instrument.symbol,
        "lastPrice": price(instrument, last),
        "prevPrice24h": price(instrument, opened),
        "price24hPcnt": _fraction(last - opened, opened, 6),
        "highPrice24h": price(instrument, day.high if day else last),
        "lowPrice24h": price(instrument, day.low if day else last),
        "turnover24h": money(turnover),
        "volume24h": qty(instrument, volume),
    }
    if spot:
        row["usdIndexPrice"] = price(instrument, market.mark or last)
        return row if stream else {**row, **top}
    mark = price(instrument, market.mark or last)
    rate, due, interval = market.funding or (0, 0, 8 * 3600 * 1000 * MS)
    hour = market.candles(HOUR_MINUTES * 60_000 * MS, 1)
    return {
        **row,
        "tickDirection": "ZeroPlusTick",
        "prevPrice1h": price(instrument, hour[-1].open if hour else last),
        "indexPrice": mark,
        "markPrice": mark,
        "openInterest": "0",
        "openInterestValue": "0",
        "fundingRate": to_str(rate),
        "nextFundingTime": ms(due) if due else "0",
        "fundingIntervalHour": str(interval // (3_600_000 * MS)),
        "fundingCap": "0.005",
        "predictedDeliveryPrice": "",
        "basisRate": "",
        "deliveryFeeRate": "",
        "deliveryTime": "0",
        "basis": "",
        "preOpenPrice": "",
        "preQty": "",
        "curPreListingPhase": "",
        **top,
    }


def _fraction(part: int, whole: int, digits: int) -> str:
    return "0" if whole == 0 else to_str(ratio(part * 10**digits, whole) * 10 ** (18 - digits))


# -- orders ------------------------------------------------------------------------------------------------------------


def hidden(order: ServedOrder) -> bool:
    """Whether Bybit never shows the order: it was refused in the answer to its request, or is still on its way."""
    if order.status is OrderStatus.Rejected:
        return order.reject_code is not GtwRejectCode.PostOnlyWouldTake
    return order.status is OrderStatus.PendingNew


def order_status(order: ServedOrder) -> str:
    """`orderStatus`. A post-only order that would have traded counts as accepted and cancelled."""
    status = order.status
    if status is OrderStatus.Rejected:
        return "Cancelled"
    if status is OrderStatus.Cancelled:
        waiting = order.order_type not in (OrderType.Limit, OrderType.Market) and not order.triggered
        if waiting:
            return "Deactivated"
        return "PartiallyFilledCanceled" if order.filled and category(order.instrument) == SPOT else "Cancelled"
    return status.name


def _reject_reason(order: ServedOrder) -> str:
    if order.status is OrderStatus.Rejected:
        return "EC_PostOnlyWillTakeLiquidity"
    if order.status is not OrderStatus.Cancelled:
        return "EC_NoError"
    if order.cancel_code in (CancelCode.TimeInForce, CancelCode.NoLiquidity):
        if order.tif is TIF.FOK:
            return "EC_NoEnoughQtyToFill"
        return "EC_CancelForNoFullFill" if order.filled else "EC_NoImmediateQtyToFill"
    return _REJECT_REASONS.get(order.cancel_code, "EC_NoError")


def order_row(order: ServedOrder, *, stream: bool) -> Row:
    """One order as REST lists it, or as the private websocket (`stream`) tells of it."""
    instrument = order.instrument
    over = not order.is_open
    leaves = 0 if over else order.leaves
    triggered = order.order_type not in (OrderType.Limit, OrderType.Market)
    limit = order.order_type in (OrderType.Limit, OrderType.StopLimit)
    tif = "PostOnly" if order.post_only else _TIFS.get(order.tif, "GTC")
    if order.order_type is OrderType.Market:
        tif = "IOC"
    linear = category(instrument) != INVERSE
    left_value = leaves * instrument.qty_scale.step_units * order.price * instrument.price_scale.step_units // UNIT
    row: Row = {
        "orderId": order.order_id,
        "orderLinkId": order.client_id,
        "blockTradeId": "",
        "symbol": instrument.symbol,
        "price": price(instrument, order.price),
        "qty": order.extra.get("qty") or qty(instrument, order.qty),
        "side": SIDE_NAMES[order.side],
        "isLeverage": "0" if category(instrument) == SPOT else "",
        "positionIdx": 0,
        "orderStatus": order_status(order),
        "createType": "CreateByLiq" if order.extra.get("liquidation") else "CreateByUser",
        "cancelType": _CANCEL_TYPES.get(order.cancel_code, "UNKNOWN"),
        "rejectReason": _reject_reason(order),
        "avgPrice": money(order.average_units) if order.filled else ("" if stream else "0"),
        "leavesQty": qty(instrument, leaves),
        "leavesValue": money(left_value) if linear else "0",
        "cumExecQty": qty(instrument, order.filled),
        "cumExecValue": money(order.value),
        "cumExecFee": money(order.fees),
        "timeInForce": tif,
        "orderType": "Limit" if limit else "Market",
        "stopOrderType": ("tpslOrder" if category(instrument) == SPOT else "Stop") if triggered else "",
        "orderIv": "",
        "triggerPrice": price(instrument, order.stop_price) if order.stop_price is not None else "",
        "takeProfit": "",
        "stopLoss": "",
        "tpslMode": "",
        "ocoTriggerBy": "",
        "tpLimitPrice": "",
        "slLimitPrice": "",
        "tpTriggerBy": "",
        "slTriggerBy": "",
        "triggerDirection": _direction(order) if triggered else 0,
        "triggerBy": "LastPrice" if triggered and category(instrument) != SPOT else "",
        "lastPriceOnCreated": order.extra.get("last", ""),
        "reduceOnly": order.reduce_only,
        "closeOnTrigger": False,
        "placeType": "",
        "smpType": "None",
        "smpGroup": 0,
        "smpOrderId": "",
        "createdTime": ms(order.created_ts),
        "updatedTime": ms(order.updated_ts),
        "cumFeeDetail": {order.fee_coin: money(order.fees)} if order.fee_coin else {},
    }
    if stream:
        row.update(category=category(instrument), feeCurrency=order.fee_coin)
    return row


def _direction(order: ServedOrder) -> int:
    """A stop waits for the price to move against it, a take-profit for the opposite."""
    rises = (order.side > 0) != (order.order_type is OrderType.TakeProfit)
    return RISING if rises else FALLING


def execution_row(execution: ServedExecution, market: ServedMarket, *, stream: bool) -> Row:
    """One fill as REST lists it, or as the private websocket (`stream`) tells of it."""
    order = execution.order
    instrument = order.instrument
    rate = ratio(execution.fee * UNIT, execution.value) if execution.value else 0
    row: Row = {
        "symbol": instrument.symbol,
        "orderType": "Limit" if order.order_type in (OrderType.Limit, OrderType.StopLimit) else "Market",
        "underlyingPrice": "",
        "orderLinkId": order.client_id,
        "side": SIDE_NAMES[order.side],
        "indexPrice": "",
        "orderId": order.order_id,
        "stopOrderType": "Stop" if order.triggered else "UNKNOWN",
        "leavesQty": qty(instrument, execution.leaves),
        "execTime": ms(execution.ts),
        "feeCurrency": execution.fee_coin if category(instrument) == SPOT else "",
        "isMaker": execution.maker,
        "execFee": money(execution.fee),
        "feeRate": to_str(ratio(rate, 10**10) * 10**10),
        "execId": execution.exec_id,
        "tradeIv": "",
        "blockTradeId": "",
        "markPrice": price(instrument, market.mark or execution.price),
        "execPrice": price(instrument, execution.price),
        "markIv": "",
        "orderQty": qty(instrument, order.qty),
        "orderPrice": price(instrument, order.price),
        "execValue": money(execution.value),
        "execType": "BustTrade" if order.extra.get("liquidation") else "Trade",
        "execQty": qty(instrument, execution.qty),
        "closedSize": qty(instrument, execution.closed),
        "seq": execution.number,
        "createType": "CreateByUser",
    }
    if stream:
        row.update(category=category(instrument), isLeverage="0", execPnl=money(execution.gain))
    return row


# -- account -----------------------------------------------------------------------------------------------------------


def position_row(account: ServedAccount, instrument: Instrument, *, stream: bool) -> Row:
    """The one-way position in an instrument, flat ones included."""
    view = account.position(instrument)
    flat = view.lots == 0
    leverage = to_str(account.exchange.embedded.margin.leverage)
    maintenance = ratio(view.value * account.exchange.embedded.margin.maintenance, UNIT)
    entry = "0" if flat else money(view.entry_units)
    now = account.clock.now
    row: Row = {
        "positionIdx": 0,
        "riskId": 1,
        "riskLimitValue": "2000000",
        "symbol": instrument.symbol,
        "side": "" if flat else SIDE_NAMES[1 if view.lots > 0 else -1],
        "size": qty(instrument, abs(view.lots)),
        ("entryPrice" if stream else "avgPrice"): entry,
        "positionValue": money(view.value),
        "tradeMode": 0,
        "positionStatus": "Normal",
        "autoAddMargin": 0,
        "adlRankIndicator": 0 if flat else 2,
        "leverage": leverage,
        "positionBalance": "0",
        "markPrice": to_str(view.mark),
        "liqPrice": "" if view.liquidation is None else to_str(view.liquidation),
        "bustPrice": "",
        "positionMM": money(maintenance),
        "positionMMByMp": money(maintenance),
        "positionIM": money(view.margin),
        "positionIMByMp": money(view.margin),
        "tpslMode": "Full",
        "takeProfit": "",
        "stopLoss": "",
        "trailingStop": "0",
        "sessionAvgPrice": "",
        "unrealisedPnl": money(view.unrealised),
        "curRealisedPnl": money(view.realised),
        "cumRealisedPnl": money(view.realised),
        "seq": -1 if flat else account.exchange.markets[instrument].seq,
        "isReduceOnly": False,
        "mmrSysUpdatedTime": "",
        "leverageSysUpdatedTime": "",
        "createdTime": ms(now),
        "updatedTime": ms(now),
    }
    if stream:
        row["category"] = category(instrument)
    return row


def wallet_row(account: ServedAccount, coins: list[str]) -> Row:
    """The unified account's wallet: totals in dollars and these coins."""
    views = [account.coin(coin) for coin in account.coins()]
    rates = {view.coin: _dollars(account, view.coin) for view in views}
    equity = cash = initial = available = unrealised = 0
    for view in views:
        rate = rates[view.coin]
        equity += ratio(view.equity * rate, UNIT)
        cash += ratio(view.cash * rate, UNIT)
        initial += ratio((view.position_margin + view.order_margin) * rate, UNIT)
        available += ratio(view.available * rate, UNIT)
        unrealised += ratio(view.unrealised * rate, UNIT)
    return {
        "totalEquity": money(equity),
        "accountIMRate": _fraction(initial, equity, 4),
        "totalMarginBalance": money(equity),
        "totalInitialMargin": money(initial),
        "accountType": "UNIFIED",
        "totalAvailableBalance": money(available),
        "accountMMRate": "0",
        "totalPerpUPL": money(unrealised),
        "totalWalletBalance": money(cash),
        "accountLTV": "0",
        "totalMaintenanceMargin": "0",
        "coin": [
            {
                "availableToBorrow": "",
                "bonus": "0",
                "accruedInterest": "0",
                "availableToWithdraw": "",
                "totalOrderIM": money(view.order_margin),
                "equity": money(view.equity),
                "totalPositionMM": "0",
                "usdValue": money(ratio(view.equity * rates[view.coin], UNIT)),
                "spotHedgingQty": "0",
                "unrealisedPnl": money(view.unrealised),
                "collateralSwitch": True,
                "borrowAmount": "0",
                "totalPositionIM": money(view.position_margin),
                "walletBalance": money(view.cash),
                "cumRealisedPnl": "0",
                "locked": money(view.held),
                "marginCollateral": True,
                "coin": view.coin,
                "spotBorrow": "0",
            }
            for view in views
            if view.coin in coins
        ],
    }


def _dollars(account: ServedAccount, coin: str) -> int:
    """What one of the coin is worth in dollars (10^-18), as far as a market here says; else 0."""
    if coin in DOLLARS:
        return UNIT
    for instrument, market in account.exchange.markets.items():
        if instrument.base_currency == coin and instrument.quote_currency in DOLLARS and market.mark is not None:
            return market.price_units(market.mark)
    return 0
