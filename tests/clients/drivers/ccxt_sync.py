"""ccxt, synchronous: market data, orders and their refusals over REST. Arguments: exchange, base URL."""

import sys

import ccxt
from ccxt_common import CASES, below, client
from steps import check, finish, refused


def main(exchange: str, base: str) -> None:
    case = CASES[exchange]
    symbol, amount = case["symbol"], case["amount"]
    api = client(ccxt, exchange, base)
    check("load markets", lambda: symbol in api.load_markets())
    check("time", lambda: api.fetch_time() if api.has["fetchTime"] else True)
    book = check("order book", lambda: api.fetch_order_book(symbol, 25 if exchange == "bitmex" else 5))
    bid, ask = book["bids"][0][0], book["asks"][0][0]
    check("book is not crossed", lambda: bid < ask)
    check("ticker", lambda: api.fetch_ticker(symbol)["symbol"] == symbol)
    check("public trades", lambda: isinstance(api.fetch_trades(symbol), list))
    check("candles", lambda: isinstance(api.fetch_ohlcv(symbol, "1m", limit=5), list))
    check("balance", lambda: api.fetch_balance()["total"])
    if not case.get("spot"):
        check("positions", lambda: isinstance(api.fetch_positions([symbol]), list))

    price = below(api, symbol, bid, 0.01)
    order = check("place post-only", lambda: api.create_order(symbol, "limit", "buy", amount, price, case["post_only"]))
    wanted = order["id"]
    check("it is open", lambda: wanted in [each["id"] for each in api.fetch_open_orders(symbol)])
    if api.has["fetchOrder"] and exchange != "bybit":
        check("one order", lambda: api.fetch_order(wanted, symbol)["status"] == "open")
    lower = below(api, symbol, bid, 0.02)
    amended = check("amend", lambda: api.edit_order(wanted, symbol, "limit", "buy", amount, lower))
    wanted = (amended or order)["id"] or wanted
    check("it has the new price", lambda: lower in [each["price"] for each in api.fetch_open_orders(symbol)])
    check("cancel", lambda: api.cancel_order(wanted, symbol) is not None)
    check("it is gone", lambda: wanted not in [each["id"] for each in api.fetch_open_orders(symbol)])
    for share in (0.01, 0.015):
        check(
            "place another",
            lambda share=share: api.create_order(symbol, "limit", "buy", amount, below(api, symbol, bid, share)),
        )
    check("cancel all", lambda: api.cancel_all_orders(symbol) is not None)
    check("none is open", lambda: api.fetch_open_orders(symbol) == [])
    check("market order", lambda: api.create_order(symbol, "market", "buy", amount))
    check("it traded", lambda: len(api.fetch_my_trades(symbol)) > 0)
    if not case.get("spot"):
        check("position after it", lambda: abs(float(api.fetch_positions([symbol])[0]["contracts"])) > 0)
    check("back", lambda: api.create_order(symbol, "market", "sell", amount))

    refused("cancel of an unknown order", lambda: api.cancel_order("123456789", symbol), ccxt.ExchangeError)
    refused(
        "price off the tick or absurd quantity",
        lambda: api.create_order(symbol, "limit", "buy", amount * 10**9, price),
        ccxt.ExchangeError,
    )
    wrong = client(ccxt, exchange, base, secret="wrong")
    refused("bad signature", wrong.fetch_balance, ccxt.ExchangeError)
    unknown = client(ccxt, exchange, base, apiKey="nobody")
    refused("unknown key", unknown.fetch_balance, ccxt.ExchangeError)


main(*sys.argv[1:])
finish()
