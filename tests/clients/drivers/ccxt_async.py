"""ccxt, asyncio: orders over REST. Arguments: exchange, base URL."""

import asyncio
import sys

import ccxt.async_support as ccxt
from ccxt_common import CASES, below, client
from steps import acheck, arefused, finish, tell


async def main(exchange: str, base: str) -> None:
    case = CASES[exchange]
    symbol, amount = case["symbol"], case["amount"]
    api = client(ccxt, exchange, base)
    try:
        await acheck("load markets", api.load_markets)
        book = await acheck("order book", lambda: api.fetch_order_book(symbol, 25 if exchange == "bitmex" else 5))
        price = below(api, symbol, book["bids"][0][0], 0.01)
        order = await acheck("place", lambda: api.create_order(symbol, "limit", "buy", amount, price))
        opened = await acheck("open orders", lambda: api.fetch_open_orders(symbol))
        tell("it is open", order["id"] in [each["id"] for each in opened])
        await acheck("balance", api.fetch_balance)
        await acheck("cancel", lambda: api.cancel_order(order["id"], symbol))
        await arefused("cancel again", lambda: api.cancel_order(order["id"], symbol), ccxt.ExchangeError)
    finally:
        await api.close()


asyncio.run(main(*sys.argv[1:]))
finish()
