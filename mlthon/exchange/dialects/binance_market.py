"""Binance's public calls, which spot and USD-M answer alike: time, symbols, books, trades, candles, tickers."""

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from mlthon.engine.clock import MS, SECOND
from mlthon.exchange.dialects import binance_rows as rows
from mlthon.exchange.dialects.binance import BinanceDialect, Routes, Send
from mlthon.exchange.dialects.binance_fault import Fault
from mlthon.exchange.dialects.binance_params import MOST_ROWS, USUAL_ROWS, Params, whole
from mlthon.exchange.served.exchange import ApiKey
from mlthon.exchange.served.market import ServedMarket

WEEK_OFFSET: Final = 4 * 86_400 * SECOND
"""Weeks begin on Monday, and 1970 on a Thursday."""


def _ping(dialect: BinanceDialect, key: ApiKey | None, params: Params, send: Send) -> None:
    send({})


def _time(dialect: BinanceDialect, key: ApiKey | None, params: Params, send: Send) -> None:
    send({"serverTime": dialect.clock.now // MS})


def _exchange_info(dialect: BinanceDialect, key: ApiKey | None, params: Params, send: Send) -> None:
    send(
        {
            "timezone": "UTC",
            "serverTime": dialect.clock.now // MS,
            "rateLimits": rows.rate_limits(dialect.exchange),
            "exchangeFilters": [],
            "assets": [],
            "symbols": [rows.symbol_row(market) for market in dialect.markets(params)],
        }
    )


def _depth(dialect: BinanceDialect, key: ApiKey | None, params: Params, send: Send) -> None:
    market = dialect.market(params)
    count = whole(params, "limit", 100 if not dialect.usdm else 500, 5000)
    now = dialect.clock.now // MS
    body = {"lastUpdateId": market.seq}
    if dialect.usdm:
        body |= {"E": now, "T": now}
    send(body | {"bids": rows.levels(market, 1, count), "asks": rows.levels(market, -1, count)})


def _public_trades(
    row: Callable[[ServedMarket, Any], rows.Row],
    dialect: BinanceDialect,
    key: ApiKey | None,
    params: Params,
    send: Send,
) -> None:
    market = dialect.market(params)
    count = whole(params, "limit", USUAL_ROWS, MOST_ROWS)
    send([row(market, trade) for trade in list(market.trades)[-count:]])


def _klines(dialect: BinanceDialect, key: ApiKey | None, params: Params, send: Send) -> None:
    market = dialect.market(params)
    name = params.get("interval", "")
    if name not in rows.INTERVALS_S:
        raise Fault(-1120, "Invalid interval.")
    interval = rows.INTERVALS_S[name] * SECOND
    start = whole(params, "startTime", 0) * MS or None
    end = whole(params, "endTime", 0) * MS or None
    count = whole(params, "limit", USUAL_ROWS, 1500)
    if start is not None:
        last = start - start % interval + (count + 1) * interval
        end = last if end is None else min(end, last)
    candles = market.candles(interval, 20_000, start, end, WEEK_OFFSET if name == "1w" else 0)
    chosen = candles[:count] if start is not None else candles[-count:]
    send([rows.kline(market, candle, interval) for candle in chosen])


def one_or_all(
    row: Callable[[ServedMarket], rows.Row], dialect: BinanceDialect, key: ApiKey | None, params: Params, send: Send
) -> None:
    """A row for the symbol, a list without one."""
    found = [row(market) for market in dialect.markets(params)]
    send(found[0] if params.get("symbol") else found)


def _price(market: ServedMarket) -> rows.Row:
    return {"symbol": market.instrument.symbol, "price": rows.price(market.instrument, market.last_price)}


ROUTES: Final[Routes] = {
    ("GET", "ping"): (_ping, "public"),
    ("GET", "time"): (_time, "public"),
    ("GET", "exchangeInfo"): (_exchange_info, "public"),
    ("GET", "depth"): (_depth, "public"),
    ("GET", "trades"): (partial(_public_trades, rows.public_trade), "public"),
    ("GET", "aggTrades"): (partial(_public_trades, rows.aggregate_trade), "public"),
    ("GET", "klines"): (_klines, "public"),
    ("GET", "ticker/24hr"): (partial(one_or_all, rows.ticker), "public"),
    ("GET", "ticker/bookTicker"): (partial(one_or_all, rows.book_ticker), "public"),
    ("GET", "ticker/price"): (partial(one_or_all, _price), "public"),
}
"""The calls by the end of their path."""
