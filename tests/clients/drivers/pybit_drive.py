"""pybit, Bybit's official client: REST, public, private and trade streams. Arguments: exchange, base URL."""

import sys

import pybit._websocket_trading as trading
import pybit.unified_trading as unified
from pybit.exceptions import InvalidRequestError
from steps import check, finish, refused, told

SYMBOL = "BTCUSDT"
LINEAR = {"category": "linear", "symbol": SYMBOL}


def session(base: str, secret: str = "test-secret") -> unified.HTTP:
    made = unified.HTTP(api_key="test-key", api_secret=secret)
    made.endpoint = base
    return made


def main(_: str, base: str) -> None:
    ws = "ws" + base[4:]
    unified.PUBLIC_WSS = ws + "/v5/public/{CHANNEL_TYPE}"
    unified.PRIVATE_WSS = ws + "/v5/private"
    trading.TRADE_WSS = ws + "/v5/trade"
    api = session(base)
    check("time", lambda: int(api.get_server_time()["result"]["timeSecond"]) > 0)
    check("instruments", lambda: api.get_instruments_info(**LINEAR)["result"]["list"][0]["priceFilter"]["tickSize"])
    check("candles", lambda: isinstance(api.get_kline(**LINEAR, interval=1, limit=5)["result"]["list"], list))
    book = check("order book", lambda: api.get_orderbook(**LINEAR, limit=5)["result"])
    bid = float(book["b"][0][0])
    check("wallet", lambda: api.get_wallet_balance(accountType="UNIFIED")["result"]["list"][0]["coin"])
    check("positions", lambda: isinstance(api.get_positions(**LINEAR)["result"]["list"], list))

    trades: list = []
    levels: list = []
    public = unified.WebSocket(channel_type="linear", testnet=False)
    public.orderbook_stream(50, SYMBOL, levels.append)
    public.trade_stream(SYMBOL, trades.append)
    orders: list = []
    executions: list = []
    positions: list = []
    wallets: list = []
    private = unified.WebSocket(channel_type="private", testnet=False, api_key="test-key", api_secret="test-secret")
    private.order_stream(lambda message: orders.extend(message["data"]))
    private.execution_stream(lambda message: executions.extend(message["data"]))
    private.position_stream(lambda message: positions.extend(message["data"]))
    private.wallet_stream(lambda message: wallets.extend(message["data"]))
    told("book stream", lambda: levels and levels[-1]["data"]["b"])
    told("trade stream", lambda: trades[-1:], 60)

    price = f"{bid * 0.99:.1f}"
    order = {**LINEAR, "side": "Buy", "orderType": "Limit", "qty": "0.01", "price": price, "timeInForce": "PostOnly"}
    placed = check("place post-only", lambda: api.place_order(**order, orderLinkId="drive-1")["result"]["orderId"])
    told("hear that it is new", lambda: [o for o in orders if o["orderId"] == placed and o["orderStatus"] == "New"])
    check("it is open", lambda: placed in [o["orderId"] for o in api.get_open_orders(**LINEAR)["result"]["list"]])
    check("amend", lambda: api.amend_order(**LINEAR, orderId=placed, price=f"{bid * 0.98:.1f}")["retCode"] == 0)
    told("hear the new price", lambda: [o for o in orders if o["orderId"] == placed and o["price"] != price])
    check("cancel", lambda: api.cancel_order(**LINEAR, orderLinkId="drive-1")["retCode"] == 0)
    told("hear of its end", lambda: [o for o in orders if o["orderId"] == placed and o["orderStatus"] == "Cancelled"])
    for number in ("2", "3"):
        check("place another", lambda number=number: api.place_order(**order, orderLinkId="drive-" + number)["result"])
    check("cancel all", lambda: len(api.cancel_all_orders(**LINEAR)["result"]["list"]) == 2)
    told("none is open", lambda: not api.get_open_orders(**LINEAR)["result"]["list"])
    crossing = {**order, "price": f"{bid * 1.01:.1f}"}
    taken = check("crossing post-only is accepted", lambda: api.place_order(**crossing)["result"]["orderId"])
    told(
        "and then cancelled",
        lambda: [o for o in orders if o["orderId"] == taken and o["rejectReason"] == "EC_PostOnlyWillTakeLiquidity"],
    )
    market = {**LINEAR, "side": "Buy", "orderType": "Market", "qty": "0.01"}
    check("market order", lambda: api.place_order(**market)["result"]["orderId"])
    told("hear of the fill", lambda: executions)
    told("hear of the position", lambda: positions)
    told("hear of the wallet", lambda: wallets)
    check("executions", lambda: api.get_executions(**LINEAR)["result"]["list"][0]["execId"])
    check("position after it", lambda: float(api.get_positions(**LINEAR)["result"]["list"][0]["size"]) > 0)

    replies: list = []
    trade = unified.WebSocketTrading(testnet=False, api_key="test-key", api_secret="test-secret")
    trade.place_order(replies.append, **{**order, "orderLinkId": "drive-ws"})
    told("place on the trade socket", lambda: [r for r in replies if r["retCode"] == 0])
    trade.cancel_order(replies.append, **LINEAR, orderLinkId="drive-ws")
    told("cancel on the trade socket", lambda: [r for r in replies if r["op"] == "order.cancel" and r["retCode"] == 0])

    names = [{"symbol": SYMBOL, "orderLinkId": f"drive-batch-{number}"} for number in "12"]
    several = [{**{name: text for name, text in order.items() if name != "category"}, **each} for each in names]
    batch = check("place a batch", lambda: api.place_batch_order(category="linear", request=several))
    check("all of it was taken", lambda: [each["code"] for each in batch["retExtInfo"]["list"]] == [0, 0])
    lower = [{**each, "price": f"{bid * 0.97:.1f}"} for each in names]
    check("amend a batch", lambda: len(api.amend_batch_order(category="linear", request=lower)["result"]["list"]) == 2)
    check("cancel a batch", lambda: api.cancel_batch_order(category="linear", request=names)["result"]["list"])
    told("no order of the batch is open", lambda: not api.get_open_orders(**LINEAR)["result"]["list"])
    check("disconnection protection", lambda: api.set_dcp(product="DERIVATIVES", timeWindow=30)["retCode"] == 0)

    refused("cancel of an unknown order", lambda: api.cancel_order(**LINEAR, orderId="nobody"), InvalidRequestError)
    refused("absurd quantity", lambda: api.place_order(**{**order, "qty": "1000000000"}), InvalidRequestError)
    refused("bad signature", lambda: session(base, "wrong").get_wallet_balance(accountType="UNIFIED"), Exception)


main(*sys.argv[1:])
finish()
