"""Bybit's questions about an account: orders, executions, positions, wallet, fees, the key."""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from mlthon.basics.money import to_str
from mlthon.engine.clock import MS
from mlthon.exchange.dialects.bybit_orders import BybitError, category_of, market_of
from mlthon.exchange.dialects.bybit_params import Params, moment, number
from mlthon.exchange.dialects.bybit_rows import Row, execution_row, hidden, order_row, position_row, wallet_row
from mlthon.exchange.served.exchange import ApiKey, ServedExchange
from mlthon.exchange.served.records import ServedOrder
from mlthon.protocols import bybit as tables
from mlthon.protocols import bybit_errors as errors


def _chosen(orders: Iterable[ServedOrder], params: Params) -> list[ServedOrder]:
    """The orders that a query's parameters leave, newest first."""
    wanted = category_of(dict(params))
    return [
        order
        for order in sorted(orders, key=lambda each: each.number, reverse=True)
        if tables.category(order.instrument) == wanted
        and not hidden(order)
        and params.get("symbol", order.instrument.symbol) == order.instrument.symbol
        and params.get("baseCoin", order.instrument.base_currency) == order.instrument.base_currency
        and params.get("settleCoin", order.instrument.settle_currency) == order.instrument.settle_currency
        and params.get("orderId", order.order_id) == order.order_id
        and params.get("orderLinkId", order.client_id) == order.client_id
    ]


def _open_orders(served: ServedExchange, key: ApiKey, params: Params) -> Row:
    """Open orders; asked for by id, also one of the last 500 that are over."""
    account = key.account
    wanted = category_of(dict(params))
    named = params.get("orderId") or params.get("orderLinkId")
    if wanted == tables.LINEAR and not (named or any(params.get(n) for n in ("symbol", "baseCoin", "settleCoin"))):
        raise BybitError(errors.PARAMETER, "Missing some parameters that must be filled in, symbol or settleCoin")
    orders = list(account.open_orders())
    if named or str(params.get("openOnly", "0")) == "1":
        orders.extend(list(account.history)[-500:])
    return _page(wanted, [order_row(each, stream=False) for each in _chosen(orders, params)], params)


def _order_history(served: ServedExchange, key: ApiKey, params: Params) -> Row:
    account = key.account
    chosen = _chosen([*account.history, *account.open_orders()], params)
    start, end = moment(params, "startTime"), moment(params, "endTime")
    rows = [
        order_row(each, stream=False)
        for each in chosen
        if (start is None or each.created_ts >= start) and (end is None or each.created_ts <= end)
    ]
    return _page(category_of(dict(params)), rows, params)


def _executions(served: ServedExchange, key: ApiKey, params: Params) -> Row:
    wanted = category_of(dict(params))
    start, end = moment(params, "startTime"), moment(params, "endTime")
    rows = [
        execution_row(each, served.markets[each.order.instrument], stream=False)
        for each in reversed(key.account.executions)
        if tables.category(each.order.instrument) == wanted
        and params.get("symbol", each.order.instrument.symbol) == each.order.instrument.symbol
        and params.get("orderId", each.order.order_id) == each.order.order_id
        and params.get("orderLinkId", each.order.client_id) == each.order.client_id
        and (start is None or each.ts // MS >= start // MS)
        and (end is None or each.ts // MS <= end // MS)
    ]
    return _page(wanted, rows, params)


def _page(wanted: str, rows: list[Row], params: Params) -> Row:
    """One page of rows; the cursor says where the next one begins."""
    limit = number(params, "limit", 50, 200)
    try:
        first = int(params.get("cursor") or 0)
    except ValueError:
        raise BybitError(errors.PARAMETER, "params error: cursor invalid") from None
    cursor = str(first + limit) if first + limit < len(rows) else ""
    return {"nextPageCursor": cursor, "category": wanted, "list": rows[first : first + limit]}


def _positions(served: ServedExchange, key: ApiKey, params: Params) -> Row:
    """The position of a symbol, flat or not; without a symbol those that are not flat."""
    wanted = category_of(dict(params))
    symbol = params.get("symbol")
    if wanted == tables.SPOT:
        raise BybitError(errors.PARAMETER, "Illegal category")
    if symbol:
        market = market_of(served, dict(params))
        rows = [position_row(key.account, market.instrument, stream=False)]
    else:
        if wanted == tables.LINEAR and not params.get("settleCoin"):
            raise BybitError(errors.PARAMETER, "Missing some parameters that must be filled in, symbol or settleCoin")
        rows = [
            position_row(key.account, instrument, stream=False)
            for instrument in served.markets
            if tables.category(instrument) == wanted
            and params.get("settleCoin", instrument.settle_currency) == instrument.settle_currency
            and key.account.position(instrument).lots
        ]
    return _page(wanted, rows, params)


def _wallet(served: ServedExchange, key: ApiKey, params: Params) -> Row:
    if params.get("accountType") != "UNIFIED":
        raise BybitError(errors.PARAMETER, "accountType only support UNIFIED.")
    wanted = str(params.get("coin", ""))
    coins = wanted.split(",") if wanted else key.account.coins()
    return {"list": [wallet_row(key.account, coins)]}


def _account_info(served: ServedExchange, key: ApiKey, params: Params) -> Row:
    return {
        "marginMode": "REGULAR_MARGIN",
        "updatedTime": str(served.clock.now // MS),
        "unifiedMarginStatus": 5,
        "dcpStatus": "OFF",
        "timeWindow": 10,
        "smpGroup": 0,
        "isMasterTrader": False,
        "spotHedgingStatus": "OFF",
    }


def _fee_rate(served: ServedExchange, key: ApiKey, params: Params) -> Row:
    wanted = category_of(dict(params))
    rows = [
        {
            "symbol": instrument.symbol,
            "takerFeeRate": to_str(market.market.taker_fee),
            "makerFeeRate": to_str(market.market.maker_fee),
        }
        for instrument, market in served.markets.items()
        if tables.category(instrument) == wanted and params.get("symbol", instrument.symbol) == instrument.symbol
    ]
    return {"list": rows}


def _query_api(served: ServedExchange, key: ApiKey, params: Params) -> Row:
    trading = not key.read_only
    return {
        "id": str(key.account.number),
        "note": key.account.name,
        "apiKey": key.key,
        "readOnly": int(key.read_only),
        "secret": "",
        "permissions": {
            "ContractTrade": ["Order", "Position"] if trading else [],
            "Spot": ["SpotTrade"] if trading else [],
            "Wallet": [],
            "Options": [],
            "Derivatives": ["DerivativesTrade"] if trading else [],
            "CopyTrading": [],
            "BlockTrade": [],
            "Exchange": [],
            "NFT": [],
            "Affiliate": [],
            "Earn": [],
        },
        "ips": ["*"],
        "type": 1,
        "deadlineDay": -2,
        "expiredAt": "1970-01-01T00:00:00Z",
        "createdAt": "2025-01-01T00:00:00Z",
        "unified": 0,
        "uta": 1,
        "userID": 1_000_000 + key.account.number,
        "inviterID": 0,
        "vipLevel": "No VIP",
        "mktMakerLevel": "0",
        "affiliateID": 0,
        "rsaPublicKey": "",
        "isMaster": True,
        "parentUid": "0",
        "kycLevel": "LEVEL_DEFAULT",
        "kycRegion": "",
    }


def _coin_info(served: ServedExchange, key: ApiKey, params: Params) -> Row:
    """Coins without chains: nothing can be deposited or withdrawn here."""
    rows = [
        {"name": coin, "coin": coin, "remainAmount": "0", "chains": []}
        for coin in key.account.coins()
        if params.get("coin", coin) == coin
    ]
    return {"rows": rows}


CALLS: Final[Mapping[str, Callable[[ServedExchange, ApiKey, Params], Row]]] = {
    tables.OPEN_ORDERS: _open_orders,
    tables.ORDER_HISTORY: _order_history,
    tables.EXECUTIONS: _executions,
    tables.POSITIONS: _positions,
    tables.WALLET: _wallet,
    tables.ACCOUNT_INFO: _account_info,
    tables.FEE_RATE: _fee_rate,
    tables.QUERY_API: _query_api,
    "/v5/asset/coin/query-info": _coin_info,
}
"""Path -> what gives the `result` of its answer."""
