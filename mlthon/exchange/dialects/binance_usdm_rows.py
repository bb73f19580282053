"""Binance USD-M futures' rows of orders, conditional orders, fills, money, positions and user events."""

from mlthon.basics.defs import OrderStatus, OrderType
from mlthon.basics.money import UNIT, ratio, to_str
from mlthon.engine.clock import MS
from mlthon.exchange.dialects.binance_rows import Row, coin, execution_kind, price, qty, status, tif
from mlthon.exchange.served.account import ServedAccount
from mlthon.exchange.served.market import ServedMarket
from mlthon.exchange.served.records import ServedExecution, ServedOrder
from mlthon.protocols import binance_account as wire

# -- orders ------------------------------------------------------------------------------------------------------------


def order_row(order: ServedOrder) -> Row:
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


def fill_row(fill: ServedExecution) -> Row:
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


def balance_row(account: ServedAccount, name: str) -> Row:
    """A row of balance."""
    return {"accountAlias": "local", "balance": coin(account.coin(name).cash)} | _cross(account, name)


def asset_row(account: ServedAccount, name: str) -> Row:
    """A coin of the account."""
    view = account.coin(name)
    initial = view.position_margin + view.order_margin
    return _cross(account, name) | {
        "walletBalance": coin(view.cash),
        "unrealizedProfit": coin(view.unrealised),
        "marginBalance": coin(view.equity),
        "maintMargin": coin(view.position_margin // 2),
        "initialMargin": coin(initial),
        "positionInitialMargin": coin(view.position_margin),
        "openOrderInitialMargin": coin(view.order_margin),
    }


def _cross(account: ServedAccount, name: str) -> Row:
    """What both say of a coin."""
    view = account.coin(name)
    return {
        "asset": name,
        "crossWalletBalance": coin(view.cash),
        "crossUnPnl": coin(view.unrealised),
        "availableBalance": coin(view.available),
        "maxWithdrawAmount": coin(view.available),
        "marginAvailable": True,
        "updateTime": account.clock.now // MS,
    }


def position_row(account: ServedAccount, market: ServedMarket) -> Row:
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
        row = position_row(account, market)
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
