"""ccxt.pro: public and private streams. Arguments: exchange, base URL."""

import asyncio
import sys

import ccxt.pro as ccxt
from ccxt_common import CASES, below, client
from steps import acheck, finish, tell


async def main(exchange: str, base: str) -> None:
    case = CASES[exchange]
    symbol, amount = case["symbol"], case["amount"]
    api = client(ccxt, exchange, base)
    try:
        await acheck("load markets", api.load_markets)
        book = await acheck("watch the book", lambda: api.watch_order_book(symbol))
        tell("book is not crossed", bool(book) and book["bids"][0][0] < book["asks"][0][0])
        await acheck("watch the book again", lambda: api.watch_order_book(symbol))
        await acheck("watch trades", lambda: api.watch_trades(symbol), 60)
        if api.has["watchTicker"]:
            await acheck("watch the ticker", lambda: api.watch_ticker(symbol))

        orders = asyncio.ensure_future(api.watch_orders(symbol))
        await asyncio.sleep(1.5)
        price = below(api, symbol, book["bids"][0][0], 0.01)
        order = await acheck("place", lambda: api.create_order(symbol, "limit", "buy", amount, price))
        heard = await acheck("hear of the order", lambda: orders)
        tell("it is the one", bool(heard) and order["id"] in [each["id"] for each in heard])
        cancelled = asyncio.ensure_future(api.watch_orders(symbol))
        await acheck("cancel", lambda: api.cancel_order(order["id"], symbol))
        heard = await acheck("hear of its end", lambda: cancelled)
        tell("it is cancelled", bool(heard) and heard[-1]["status"] == "canceled", repr(heard))

        fills = asyncio.ensure_future(api.watch_my_trades(symbol))
        await asyncio.sleep(1.0)
        await acheck("market order", lambda: api.create_order(symbol, "market", "buy", amount))
        await acheck("hear of the fill", lambda: fills)
        await acheck("market order back", lambda: api.create_order(symbol, "market", "sell", amount))
    finally:
        await api.close()


asyncio.run(main(*sys.argv[1:]))
finish()
