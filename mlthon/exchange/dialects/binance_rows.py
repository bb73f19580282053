"""Served records as Binance's rows, spot and USD-M: symbols, orders, fills, balances, positions, candles, events.

Numbers are decimal text, times milliseconds, order and trade ids whole numbers.
"""

from typing import Any, Final

from mlthon.basics.defs import TIF, CancelCode, Exchange, OrderStatus, OrderType
from mlthon.basics.instrument import Instrument
from mlthon.basics.money import UNIT, ratio, to_str
from mlthon.engine.clock import MS
from mlthon.engine.faces import NO_ASK, NO_BID
from mlthon.exchange.served.account import ServedAccount
from mlthon.exchange.served.market import Candle, PublicTrade, ServedMarket
from mlthon.exchange.served.records import ServedExecution, ServedOrder
from mlthon.protocols import binance_account as wire
from mlthon.protocols import binance_rules as rules

Row = dict[str, Any]

INTERVAL_NAMES: Final = {1: "SECOND", 10: "SECOND", 60: "MINUTE", 86_400: "DAY"}

_ENDED: Final = {
    CancelCode.TimeInForce: "EXPIRED",
    CancelCode.NoLiquidity: "EXPIRED",
    CancelCode.PostOnlyWouldTake: "EXPIRED",
    CancelCode.ReduceOnly: "EXPIRED",
    CancelCode.Liquidation: "EXPIRED",
    CancelCode.SelfTradePrevention: "EXPIRED_IN_MATCH",
}
"""What ends by the rules of the order has expired; everything else was cancelled."""

_STATUS: Final = {
    OrderStatus.PendingNew: "NEW",
    OrderStatus.New: "NEW",
    OrderStatus.Untriggered: "NEW",
    OrderStatus.PartiallyFilled: "PARTIALLY_FILLED",
    OrderStatus.Filled: "FILLED",
    OrderStatus.Rejected: "REJECTED",
}


def price(instrument: Instrument, ticks: int | None) -> str:
    """A price as text; 0 where there is none."""
    return "0" if ticks in (None, NO_BID, NO_ASK) else to_str((ticks or 0) * instrument.price_scale.step_units)


def qty(instrument: Instrument, lots: int) -> str:
    return to_str(lots * instrument.qty_scale.step_units)


def coin(units: int) -> str:
    """Money, to the 8 digits that Binance shows."""
    return to_str(ratio(units, 10**10) * 10**10)


def rate(number: float) -> str:
    """A ratio as text."""
    return f"{number:.8f}"


def status(order: ServedOrder) -> str:
    """An order's status in Binance's words."""
    if order.status is OrderStatus.Cancelled:
        return _ENDED.get(order.cancel_code, "CANCELED")
    return _STATUS[order.status]


def tif(order: ServedOrder) -> str:
    """An order's time in force; USD-M says post-only by it."""
    if order.post_only and order.account.exchange.exchange is Exchange.BinanceUsdm:
        return wire.POST_ONLY_TIF
    return wire.TIFS.get(order.tif if order.order_type is not OrderType.Market else TIF.GTC, "GTC")


# -- symbols -----------------------------------------------------------------------------------------------------------


def rate_limits(exchange: Exchange) -> list[Row]:
    """`rateLimits` of exchangeInfo."""
    found = []
    for name, limit, seconds in rules.LIMITS[exchange]:
        unit, number = ("SECOND", seconds) if seconds < 60 else ("MINUTE", 1) if seconds == 60 else ("DAY", 1)
        kind = "REQUEST_WEIGHT" if name == rules.WEIGHT else "ORDERS"
        found.append({"rateLimitType": kind, "interval": unit, "intervalNum": number, "limit": limit})
    return found


def symbol_row(market: ServedMarket) -> Row:
    """A symbol of exchangeInfo."""
    instrument, contract = market.instrument, market.contract
    smallest = str(instrument.get_min_quantity() or qty(instrument, instrument.min_lots))
    largest = "9000" if instrument.max_lots is None else qty(instrument, instrument.max_lots)
    tick, lot = price(instrument, 1), qty(instrument, 1)
    base, quote = contract.base, contract.quote
    filters: list[Row] = [
        {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": "1000000", "tickSize": tick},
        {"filterType": "LOT_SIZE", "minQty": smallest, "maxQty": largest, "stepSize": lot},
        {"filterType": "MARKET_LOT_SIZE", "minQty": smallest, "maxQty": largest, "stepSize": lot},
        {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": 200, "limit": 200},
    ]
    notional = "5" if instrument.min_notional is None else str(instrument.min_notional)
    row: Row = {"symbol": instrument.symbol, "status": "TRADING", "baseAsset": base, "quoteAsset": quote}
    if contract.spot:
        filters.append({"filterType": "NOTIONAL", "minNotional": notional, "applyMinToMarket": True,
                        "maxNotional": "9000000", "applyMaxToMarket": False, "avgPriceMins": 5})  # fmt: skip
        return row | {
            "baseAssetPrecision": 8,
            "quotePrecision": 8,
            "quoteAssetPrecision": 8,
            "baseCommissionPrecision": 8,
            "quoteCommissionPrecision": 8,
            "orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET", "STOP_LOSS", "STOP_LOSS_LIMIT", "TAKE_PROFIT"],
            "icebergAllowed": False,
            "ocoAllowed": False,
            "otoAllowed": False,
            "quoteOrderQtyMarketAllowed": True,
            "allowTrailingStop": False,
            "cancelReplaceAllowed": True,
            "amendAllowed": True,
            "isSpotTradingAllowed": True,
            "isMarginTradingAllowed": False,
            "filters": filters,
            "permissions": [],
            "permissionSets": [["SPOT"]],
            "defaultSelfTradePreventionMode": "EXPIRE_MAKER",
            "allowedSelfTradePreventionModes": ["EXPIRE_MAKER"],
        }
    filters.append({"filterType": "MIN_NOTIONAL", "notional": notional})
    margin = market.market.exchange.margin
    return row | {
        "pair": instrument.symbol,
        "contractType": "PERPETUAL",
        "deliveryDate": 4_133_404_800_000,
        "onboardDate": 1_569_398_400_000,
        "maintMarginPercent": to_str(margin.maintenance * 100),
        "requiredMarginPercent": to_str(ratio(100 * UNIT * UNIT, margin.leverage)),
        "marginAsset": contract.coin,
        "pricePrecision": _digits(tick),
        "quantityPrecision": _digits(lot),
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "underlyingType": "COIN",
        "underlyingSubType": ["PoW"],
        "triggerProtect": "0.0500",
        "liquidationFee": "0.0125",
        "marketTakeBound": "0.05",
        "maxMoveOrderLimit": 10_000,
        "filters": filters,
        "orderTypes": ["LIMIT", "MARKET", "STOP", "STOP_MARKET", "TAKE_PROFIT_MARKET"],
        "timeInForce": ["GTC", "IOC", "FOK", "GTX"],
    }


def _digits(step: str) -> int:
    return len(step.partition(".")[2])


def kline(market: ServedMarket, candle: Candle, interval: int) -> list[Any]:
    """A candle as a row of klines."""
    instrument = market.instrument
    shown = (candle.open, candle.high, candle.low, candle.close)
    return [
        candle.start // MS,
        *(price(instrument, each) for each in shown),
        qty(instrument, candle.qty),
        (candle.start + interval) // MS - 1,
        coin(candle.value),
        candle.trades,
        qty(instrument, candle.buy_qty),
        coin(candle.buy_value),
        "0",
    ]


def kline_event(market: ServedMarket, candle: Candle, interval: int, name: str, now: int) -> Row:
    row = kline(market, candle, interval)
    names = ("t", "o", "h", "l", "c", "v", "T", "q", "n", "V", "Q", "B")
    body = dict(zip(names, row, strict=True))
    symbol = market.instrument.symbol
    more = {"s": symbol, "i": name, "f": -1, "L": -1, "x": candle.start + interval <= now}
    return {"e": "kline", "E": now // MS, "s": symbol, "k": body | more}


def public_trade(market: ServedMarket, trade: PublicTrade) -> Row:
    """A row of GET trades."""
    return {
        "id": trade.number,
        "price": price(market.instrument, trade.price),
        "qty": qty(market.instrument, trade.qty),
        "quoteQty": coin(trade.qty * market.contract.unit_value(trade.price)),
        "time": trade.ts // MS,
        "isBuyerMaker": trade.side < 0,
        "isBestMatch": True,
    }


def aggregate_trade(market: ServedMarket, trade: PublicTrade) -> Row:
    """A row of GET aggTrades: here every trade is one of its own."""
    return {
        "a": trade.number,
        "p": price(market.instrument, trade.price),
        "q": qty(market.instrument, trade.qty),
        "f": trade.number,
        "l": trade.number,
        "T": trade.ts // MS,
        "m": trade.side < 0,
        "M": True,
    }


def ticker(market: ServedMarket) -> Row:
    """A row of ticker/24hr."""
    instrument, day = market.instrument, market.day()
    bid, bid_qty, ask, ask_qty = market.touch
    last = market.last_price or 0
    opened = day.open if day else last
    now = market.clock.now // MS
    return {
        "symbol": instrument.symbol,
        "priceChange": to_str((last - opened) * instrument.price_scale.step_units),
        "priceChangePercent": f"{(last / opened - 1) * 100 if opened else 0:.3f}",
        "weightedAvgPrice": price(instrument, last),
        "prevClosePrice": price(instrument, opened),
        "lastPrice": price(instrument, last),
        "lastQty": qty(instrument, market.last.qty if market.last else 0),
        "bidPrice": price(instrument, bid),
        "bidQty": qty(instrument, bid_qty),
        "askPrice": price(instrument, ask),
        "askQty": qty(instrument, ask_qty),
        "openPrice": price(instrument, opened),
        "highPrice": price(instrument, day.high if day else last),
        "lowPrice": price(instrument, day.low if day else last),
        "volume": qty(instrument, day.qty if day else 0),
        "quoteVolume": coin(day.value if day else 0),
        "openTime": (day.start // MS) if day else now,
        "closeTime": now,
        "firstId": -1,
        "lastId": -1,
        "count": day.trades if day else 0,
    }


def book_ticker(market: ServedMarket) -> Row:
    bid, bid_qty, ask, ask_qty = market.touch
    instrument = market.instrument
    return {
        "symbol": instrument.symbol,
        "bidPrice": price(instrument, bid),
        "bidQty": qty(instrument, bid_qty),
        "askPrice": price(instrument, ask),
        "askQty": qty(instrument, ask_qty),
    }


def levels(market: ServedMarket, side: int, count: int | None) -> list[list[str]]:
    instrument = market.instrument
    return [[price(instrument, ticks), qty(instrument, lots)] for ticks, lots in market.levels(side, count)]


def premium_index(market: ServedMarket) -> Row:
    """Mark price and funding."""
    mark = price(market.instrument, market.mark)
    funding = market.funding
    return {
        "symbol": market.instrument.symbol,
        "markPrice": mark,
        "indexPrice": mark,
        "estimatedSettlePrice": mark,
        "lastFundingRate": to_str(funding[0]) if funding else "0",
        "interestRate": "0.00010000",
        "nextFundingTime": funding[1] // MS if funding else 0,
        "time": market.clock.now // MS,
    }


# -- orders ------------------------------------------------------------------------------------------------------------


def spot_order(order: ServedOrder) -> Row:
    """A spot order as questions answer it."""
    instrument = order.instrument
    return {
        "symbol": instrument.symbol,
        "orderId": order.number,
        "orderListId": -1,
        "clientOrderId": order.client_id,
        "price": price(instrument, order.price),
        "origQty": qty(instrument, order.qty),
        "executedQty": qty(instrument, order.filled),
        "cummulativeQuoteQty": coin(order.value),
        "status": status(order),
        "timeInForce": tif(order),
        "type": order.extra["type"],
        "side": wire.SIDES[order.side],
        "stopPrice": price(instrument, order.stop_price),
        "icebergQty": "0",
        "time": order.created_ts // MS,
        "updateTime": order.updated_ts // MS,
        "isWorking": order.status is not OrderStatus.Untriggered,
        "workingTime": order.created_ts // MS,
        "origQuoteOrderQty": "0",
        "selfTradePreventionMode": "EXPIRE_MAKER",
    }


def spot_answer(order: ServedOrder, kind: str) -> Row:
    """The answer to a new spot order: ACK, RESULT or FULL."""
    instrument = order.instrument
    row: Row = {
        "symbol": instrument.symbol,
        "orderId": order.number,
        "orderListId": -1,
        "clientOrderId": order.client_id,
        "transactTime": order.updated_ts // MS,
    }
    if kind == "ACK":
        return row
    whole = spot_order(order)
    names = ("price", "origQty", "executedQty", "origQuoteOrderQty", "cummulativeQuoteQty", "status", "timeInForce")
    row |= {name: whole[name] for name in (*names, "type", "side", "workingTime", "selfTradePreventionMode")}
    if kind == "FULL":
        row["fills"] = [
            {
                "price": price(instrument, each.price),
                "qty": qty(instrument, each.qty),
                "commission": coin(each.fee),
                "commissionAsset": each.fee_coin,
                "tradeId": each.number,
            }
            for each in order.executions
        ]
    return row


def spot_cancelled(order: ServedOrder, cancel_id: str) -> Row:
    """The answer to a cancel: the order's client id is `origClientOrderId`, the cancel's own `clientOrderId`."""
    row = spot_answer(order, "RESULT")
    return {"symbol": row.pop("symbol"), "origClientOrderId": order.client_id} | row | {"clientOrderId": cancel_id}


def usdm_order(order: ServedOrder) -> Row:
    """A USD-M order, in answers of every kind."""
    instrument = order.instrument
    filled = qty(instrument, order.filled)
    return {
        "orderId": order.number,
        "symbol": instrument.symbol,
        "status": status(order),
        "clientOrderId": order.client_id,
        "price": price(instrument, order.price),
        "avgPrice": to_str(order.average_units),
        "origQty": qty(instrument, order.qty),
        "executedQty": filled,
        "cumQty": filled,
        "cumQuote": coin(order.value),
        "timeInForce": tif(order),
        "type": order.extra["type"] if order.stop_price is None else ordinary_type(order),
        "reduceOnly": order.reduce_only,
        "closePosition": order.close_position,
        "side": wire.SIDES[order.side],
        "positionSide": "BOTH",
        "stopPrice": price(instrument, order.stop_price),
        "workingType": "CONTRACT_PRICE",
        "priceProtect": False,
        "origType": order.extra["type"],
        "priceMatch": "NONE",
        "selfTradePreventionMode": "EXPIRE_MAKER",
        "goodTillDate": 0,
        "time": order.created_ts // MS,
        "updateTime": order.updated_ts // MS,
    }


def ordinary_type(order: ServedOrder) -> str:
    """What a conditional order is once it was triggered."""
    return "LIMIT" if order.order_type is OrderType.StopLimit else "MARKET"


def algo_status(order: ServedOrder) -> str:
    """A conditional order's status."""
    if order.triggered:
        return "TRIGGERED" if order.is_open else "FINISHED"
    if order.status is OrderStatus.Rejected:
        return "REJECTED"
    return "NEW" if order.is_open else "CANCELED"


def algo_order(order: ServedOrder) -> Row:
    """A USD-M conditional order."""
    instrument = order.instrument
    return {
        "algoId": order.number,
        "clientAlgoId": order.client_id,
        "algoType": "CONDITIONAL",
        "orderType": order.extra["type"],
        "symbol": instrument.symbol,
        "side": wire.SIDES[order.side],
        "positionSide": "BOTH",
        "timeInForce": tif(order),
        "quantity": qty(instrument, order.qty),
        "algoStatus": algo_status(order),
        "actualOrderId": str(order.number) if order.triggered else "",
        "actualPrice": to_str(order.average_units),
        "actualQty": qty(instrument, order.filled),
        "triggerPrice": price(instrument, order.stop_price),
        "price": price(instrument, order.price),
        "icebergQuantity": None,
        "selfTradePreventionMode": "EXPIRE_MAKER",
        "workingType": "CONTRACT_PRICE",
        "priceMatch": "NONE",
        "closePosition": order.close_position,
        "priceProtect": False,
        "reduceOnly": order.reduce_only,
        "createTime": order.created_ts // MS,
        "updateTime": order.updated_ts // MS,
        "triggerTime": 0,
        "goodTillDate": 0,
    }


def spot_fill(fill: ServedExecution) -> Row:
    """A row of myTrades."""
    order = fill.order
    return {
        "symbol": order.instrument.symbol,
        "id": fill.number,
        "orderId": order.number,
        "orderListId": -1,
        "price": price(order.instrument, fill.price),
        "qty": qty(order.instrument, fill.qty),
        "quoteQty": coin(fill.value),
        "commission": coin(fill.fee),
        "commissionAsset": fill.fee_coin,
        "time": fill.ts // MS,
        "isBuyer": order.side > 0,
        "isMaker": fill.maker,
        "isBestMatch": True,
    }


def usdm_fill(fill: ServedExecution) -> Row:
    """A row of userTrades."""
    order = fill.order
    return {
        "buyer": order.side > 0,
        "commission": coin(fill.fee),
        "commissionAsset": fill.fee_coin,
        "id": fill.number,
        "maker": fill.maker,
        "orderId": order.number,
        "price": price(order.instrument, fill.price),
        "qty": qty(order.instrument, fill.qty),
        "quoteQty": coin(fill.value),
        "realizedPnl": coin(fill.gain),
        "side": wire.SIDES[order.side],
        "positionSide": "BOTH",
        "symbol": order.instrument.symbol,
        "time": fill.ts // MS,
    }


# -- money -------------------------------------------------------------------------------------------------------------


def spot_balance(account: ServedAccount, name: str) -> Row:
    view = account.coin(name)
    return {"asset": name, "free": coin(view.cash - view.held), "locked": coin(view.held)}


def usdm_balance(account: ServedAccount, name: str) -> Row:
    """A row of balance."""
    view = account.coin(name)
    return {
        "accountAlias": "local",
        "asset": name,
        "balance": coin(view.cash),
        "crossWalletBalance": coin(view.cash),
        "crossUnPnl": coin(view.unrealised),
        "availableBalance": coin(view.available),
        "maxWithdrawAmount": coin(view.available),
        "marginAvailable": True,
        "updateTime": account.clock.now // MS,
    }


def usdm_asset(account: ServedAccount, name: str) -> Row:
    """A coin of the account."""
    view = account.coin(name)
    initial = view.position_margin + view.order_margin
    return {
        "asset": name,
        "walletBalance": coin(view.cash),
        "unrealizedProfit": coin(view.unrealised),
        "marginBalance": coin(view.equity),
        "maintMargin": coin(view.position_margin // 2),
        "initialMargin": coin(initial),
        "positionInitialMargin": coin(view.position_margin),
        "openOrderInitialMargin": coin(view.order_margin),
        "crossWalletBalance": coin(view.cash),
        "crossUnPnl": coin(view.unrealised),
        "availableBalance": coin(view.available),
        "maxWithdrawAmount": coin(view.available),
        "marginAvailable": True,
        "updateTime": account.clock.now // MS,
    }


def usdm_position(account: ServedAccount, market: ServedMarket) -> Row:
    """A row of positionRisk."""
    view = account.position(market.instrument)
    notional = view.value if view.lots >= 0 else -view.value
    margin = account.exchange.embedded.margin
    entry = f"{view.entry:.8f}" if view.lots else "0.0"
    return {
        "symbol": market.instrument.symbol,
        "positionSide": "BOTH",
        "positionAmt": qty(market.instrument, view.lots),
        "entryPrice": entry,
        "breakEvenPrice": entry,
        "markPrice": to_str(view.mark),
        "unRealizedProfit": coin(view.unrealised),
        "unrealizedProfit": coin(view.unrealised),
        "liquidationPrice": "0" if view.liquidation is None else to_str(view.liquidation),
        "isolatedMargin": "0",
        "notional": coin(notional),
        "marginAsset": market.contract.coin,
        "isolatedWallet": "0",
        "initialMargin": coin(view.margin),
        "maintMargin": coin(ratio(view.value * margin.maintenance, UNIT)),
        "positionInitialMargin": coin(view.margin),
        "openOrderInitialMargin": "0",
        "adl": 1,
        "bidNotional": "0",
        "askNotional": "0",
        "leverage": str(margin.leverage // UNIT),
        "marginType": "cross",
        "isAutoAddMargin": "false",
        "updateTime": account.clock.now // MS,
    }


# -- user events -------------------------------------------------------------------------------------------------------


def execution_kind(order: ServedOrder, fill: ServedExecution | None) -> str:
    """What happened to an order, as `x` says it."""
    if fill is not None:
        return "TRADE"
    name = status(order)
    return {"PARTIALLY_FILLED": "NEW", "EXPIRED_IN_MATCH": "TRADE_PREVENTION"}.get(name, name)


def execution_report(order: ServedOrder, fill: ServedExecution | None, now: int) -> Row:
    """Spot: `executionReport`."""
    instrument = order.instrument
    filled = order.filled
    return {
        "e": "executionReport",
        "E": now // MS,
        "s": instrument.symbol,
        "c": order.extra.get("cancel_id", order.client_id),
        "S": wire.SIDES[order.side],
        "o": order.extra["type"],
        "f": tif(order),
        "q": qty(instrument, order.qty),
        "p": price(instrument, order.price),
        "P": price(instrument, order.stop_price),
        "F": "0",
        "g": -1,
        "C": order.client_id if "cancel_id" in order.extra else "",
        "x": execution_kind(order, fill),
        "X": status(order),
        "r": "NONE",
        "i": order.number,
        "l": qty(instrument, fill.qty if fill else 0),
        "z": qty(instrument, filled),
        "L": price(instrument, fill.price if fill else 0),
        "n": coin(fill.fee) if fill else "0",
        "N": fill.fee_coin if fill else None,
        "T": now // MS,
        "t": fill.number if fill else -1,
        "I": order.number * 10 + len(order.executions),
        "w": order.status in (OrderStatus.New, OrderStatus.PartiallyFilled),
        "m": fill.maker if fill else False,
        "M": False,
        "O": order.created_ts // MS,
        "Z": coin(order.value),
        "Y": coin(fill.value if fill else 0),
        "Q": "0",
        "W": order.created_ts // MS,
        "V": "EXPIRE_MAKER",
    }


def order_trade_update(order: ServedOrder, fill: ServedExecution | None, now: int) -> Row:
    """USD-M: `ORDER_TRADE_UPDATE`."""
    instrument = order.instrument
    body: Row = {
        "s": instrument.symbol,
        "c": order.client_id,
        "S": wire.SIDES[order.side],
        "o": order.extra["type"] if order.stop_price is None else ordinary_type(order),
        "f": tif(order),
        "q": qty(instrument, order.qty),
        "p": price(instrument, order.price),
        "ap": to_str(order.average_units),
        "sp": price(instrument, order.stop_price),
        "x": "AMENDMENT" if order.extra.pop("amending", False) else execution_kind(order, fill),
        "X": status(order),
        "i": order.number,
        "l": qty(instrument, fill.qty if fill else 0),
        "z": qty(instrument, order.filled),
        "L": price(instrument, fill.price if fill else 0),
        "T": now // MS,
        "t": fill.number if fill else 0,
        "b": "0",
        "a": "0",
        "m": fill.maker if fill else False,
        "R": order.reduce_only,
        "wt": "CONTRACT_PRICE",
        "ot": order.extra["type"],
        "ps": "BOTH",
        "cp": order.close_position,
        "rp": coin(fill.gain) if fill else "0",
        "pP": False,
        "si": 0,
        "ss": 0,
        "V": "EXPIRE_MAKER",
        "pm": "NONE",
        "gtd": 0,
        "er": "0",
    }
    if fill is not None:
        body |= {"N": fill.fee_coin, "n": coin(fill.fee)}
    return {"e": "ORDER_TRADE_UPDATE", "E": now // MS, "T": now // MS, "o": body}


def algo_update(order: ServedOrder, now: int) -> Row:
    """USD-M: `ALGO_UPDATE`."""
    row = algo_order(order)
    return {
        "e": "ALGO_UPDATE",
        "T": now // MS,
        "E": now // MS,
        "o": {
            "caid": order.client_id,
            "aid": order.number,
            "at": "CONDITIONAL",
            "o": row["orderType"],
            "s": row["symbol"],
            "S": row["side"],
            "ps": "BOTH",
            "f": row["timeInForce"],
            "q": row["quantity"],
            "X": row["algoStatus"],
            "ai": row["actualOrderId"],
            "ap": row["actualPrice"],
            "aq": row["actualQty"],
            "act": ordinary_type(order) if order.triggered else "0",
            "tp": row["triggerPrice"],
            "p": row["price"],
            "V": "EXPIRE_MAKER",
            "wt": "CONTRACT_PRICE",
            "pm": "NONE",
            "cp": row["closePosition"],
            "pP": False,
            "R": row["reduceOnly"],
            "tt": 0,
            "gtd": 0,
            "rm": "",
        },
    }


def account_update(account: ServedAccount, markets: list[ServedMarket], coins: list[str], now: int) -> Row:
    """USD-M: `ACCOUNT_UPDATE` of these positions and coins."""
    positions = []
    for market in markets:
        row = usdm_position(account, market)
        positions.append(
            {"s": row["symbol"], "pa": row["positionAmt"], "ep": row["entryPrice"], "bep": row["entryPrice"],
             "cr": "0", "up": row["unRealizedProfit"], "mt": "cross", "iw": "0", "ps": "BOTH",
             "ma": row["marginAsset"]}
        )  # fmt: skip
    wallets = [
        {"a": name, "wb": coin(view.cash), "cw": coin(view.cash), "bc": "0"}
        for name, view in ((name, account.coin(name)) for name in coins)
    ]
    return {
        "e": "ACCOUNT_UPDATE",
        "E": now // MS,
        "T": now // MS,
        "a": {"m": "ORDER", "B": wallets, "P": positions},
    }


def account_position(account: ServedAccount, coins: list[str], now: int) -> Row:
    """Spot: `outboundAccountPosition`."""
    shown = [spot_balance(account, name) for name in coins]
    return {
        "e": "outboundAccountPosition",
        "E": now // MS,
        "u": now // MS,
        "B": [{"a": each["asset"], "f": each["free"], "l": each["locked"]} for each in shown],
    }
