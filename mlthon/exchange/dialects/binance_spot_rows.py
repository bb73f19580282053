"""Binance spot's rows of orders, fills, balances and user events."""

from mlthon.basics.defs import OrderStatus
from mlthon.engine.clock import MS
from mlthon.exchange.dialects.binance_rows import Row, coin, execution_kind, price, qty, status, tif
from mlthon.exchange.served.account import ServedAccount
from mlthon.exchange.served.records import ServedExecution, ServedOrder
from mlthon.protocols import binance_account as wire

NONE = coin(0)

# -- orders ------------------------------------------------------------------------------------------------------------


def order_row(order: ServedOrder) -> Row:
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
        "icebergQty": NONE,
        "time": order.created_ts // MS,
        "updateTime": order.updated_ts // MS,
        "isWorking": order.status is not OrderStatus.Untriggered,
        "workingTime": order.created_ts // MS,
        "origQuoteOrderQty": NONE,
        "selfTradePreventionMode": "EXPIRE_MAKER",
    }


def answer_row(order: ServedOrder, kind: str) -> Row:
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
    whole = order_row(order)
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


def cancelled_row(order: ServedOrder, cancel_id: str) -> Row:
    """The answer to a cancel: the order's client id is `origClientOrderId`, the cancel's own `clientOrderId`."""
    row = answer_row(order, "RESULT")
    return {"symbol": row.pop("symbol"), "origClientOrderId": order.client_id} | row | {"clientOrderId": cancel_id}


def fill_row(fill: ServedExecution) -> Row:
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


# -- money -------------------------------------------------------------------------------------------------------------


def balance_row(account: ServedAccount, name: str) -> Row:
    view = account.coin(name)
    return {"asset": name, "free": coin(view.cash - view.held), "locked": coin(view.held)}


# -- user events -------------------------------------------------------------------------------------------------------


def execution_report(order: ServedOrder, fill: ServedExecution | None, now: int) -> Row:
    """Spot: `executionReport`."""
    instrument = order.instrument
    filled = order.filled
    kind = execution_kind(order, fill)
    # a cancel's id is told when it is done: until then reports (of a fill that came first, say) bear the order's own
    cancel_id = order.extra.get("cancel_id") if kind == "CANCELED" else None
    return {
        "e": "executionReport",
        "E": now // MS,
        "s": instrument.symbol,
        "c": order.client_id if cancel_id is None else cancel_id,
        "S": wire.SIDES[order.side],
        "o": order.extra["type"],
        "f": tif(order),
        "q": qty(instrument, order.qty),
        "p": price(instrument, order.price),
        "P": price(instrument, order.stop_price),
        "F": NONE,
        "g": -1,
        "C": "" if cancel_id is None else order.client_id,
        "x": kind,
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
        "Q": NONE,
        "W": order.created_ts // MS,
        "V": "EXPIRE_MAKER",
    }


def account_position(account: ServedAccount, coins: list[str], now: int) -> Row:
    """Spot: `outboundAccountPosition`."""
    shown = [balance_row(account, name) for name in coins]
    return {
        "e": "outboundAccountPosition",
        "E": now // MS,
        "u": now // MS,
        "B": [{"a": each["asset"], "f": each["free"], "l": each["locked"]} for each in shown],
    }
