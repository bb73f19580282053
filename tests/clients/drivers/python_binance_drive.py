"""python-binance: REST and streams of spot. Arguments: exchange, base URL."""

import asyncio
import sys

from binance import AsyncClient, BinanceSocketManager, Client
from binance.base_client import BaseClient
from binance.exceptions import BinanceAPIException
from steps import acheck, check, finish, refused

SYMBOL = "BTCUSDT"


def main(_: str, base: str) -> None:
    ws = "ws" + base[4:]
    BaseClient.API_URL = base + "/api"
    BaseClient.WS_API_URL = ws + "/ws-api/v3"
    BinanceSocketManager.STREAM_URL = ws + "/"
    api = Client("test-key", "test-secret")
    check("time", lambda: api.get_server_time()["serverTime"])
    check("instruments", lambda: SYMBOL in [s["symbol"] for s in api.get_exchange_info()["symbols"]])
    check("candles", lambda: isinstance(api.get_klines(symbol=SYMBOL, interval="1m", limit=5), list))
    book = check("order book", lambda: api.get_order_book(symbol=SYMBOL, limit=100))
    bid = float(book["bids"][0][0])
    check("balances", lambda: api.get_account()["balances"])
    price = f"{bid * 0.99:.2f}"
    order = {"symbol": SYMBOL, "side": "BUY", "quantity": "0.001", "price": price}
    placed = check(
        "place post-only", lambda: api.create_order(**order, type="LIMIT_MAKER", newClientOrderId="drive-1")["orderId"]
    )
    check("it is open", lambda: placed in [o["orderId"] for o in api.get_open_orders(symbol=SYMBOL)])
    check("cancel", lambda: api.cancel_order(symbol=SYMBOL, origClientOrderId="drive-1")["status"] == "CANCELED")
    check(
        "crossing IOC",
        lambda: api.create_order(**{**order, "price": f"{bid * 1.01:.2f}"}, type="LIMIT", timeInForce="IOC")["fills"],
    )
    check("trades of mine", lambda: api.get_my_trades(symbol=SYMBOL, limit=5))
    refused(
        "cancel of an unknown order", lambda: api.cancel_order(symbol=SYMBOL, orderId=987654321), BinanceAPIException
    )
    refused("bad signature", Client("test-key", "wrong").get_account, BinanceAPIException)
    asyncio.run(streams(order))


async def streams(order: dict) -> None:
    api = await AsyncClient.create("test-key", "test-secret")
    sockets = BinanceSocketManager(api)

    async def first(socket):
        async with socket as stream:
            return await stream.recv()

    await acheck("book ticker stream", lambda: first(sockets.symbol_book_ticker_socket(SYMBOL)))
    await acheck("depth stream", lambda: first(sockets.depth_socket(SYMBOL)))
    await acheck("trade stream", lambda: first(sockets.trade_socket(SYMBOL)), 60)

    async def user():
        async with sockets.user_socket() as stream:
            await asyncio.sleep(1.0)
            await api.create_order(**order, type="LIMIT", timeInForce="GTC", newClientOrderId="drive-2")
            heard = await stream.recv()
            await api.cancel_order(symbol=SYMBOL, origClientOrderId="drive-2")
            return heard

    await acheck("user stream", user)
    await api.close_connection()


main(*sys.argv[1:])
finish()
