"""BitMEX's public calls: instruments, books, trades, quotes, candles."""

from typing import TYPE_CHECKING, Final

from mlthon.engine.clock import MS, SECOND
from mlthon.exchange.dialects import bitmex_rows as rows
from mlthon.exchange.dialects.bitmex_request import MOST_ROWS, Fault, Params, Route, Routes, Send, is_set, page, whole
from mlthon.exchange.served.exchange import ApiKey

if TYPE_CHECKING:
    from mlthon.exchange.dialects.bitmex import BitmexDialect

BINS_NS: Final = {"1m": 60 * SECOND, "5m": 300 * SECOND, "1h": 3600 * SECOND, "1d": 86_400 * SECOND}


def _version(dialect: "BitmexDialect", key: ApiKey | None, params: Params, send: Send) -> None:
    send({"name": "BitMEX API", "version": "2.0.0", "timestamp": dialect.clock.now // MS})


def _instruments(dialect: "BitmexDialect", key: ApiKey | None, params: Params, send: Send) -> None:
    send([rows.instrument_row(market) for market in dialect.markets(params)])


def _funding(dialect: "BitmexDialect", key: ApiKey | None, params: Params, send: Send) -> None:
    """Payments made before the start of the served market are not known: none."""
    dialect.markets(params)
    send([])


def _assets(dialect: "BitmexDialect", key: ApiKey | None, params: Params, send: Send) -> None:
    coins = {
        coin for market in dialect.served.markets.values() for coin in (market.contract.base, market.contract.coin)
    }
    send(rows.asset_rows(sorted(coins)))


def _book(dialect: "BitmexDialect", key: ApiKey | None, params: Params, send: Send) -> None:
    market = dialect.market(params)
    depth = whole(params, "depth", 25, 1 << 20) or None
    asks = [rows.level_row(market, -1, ticks, lots) for ticks, lots in reversed(market.levels(-1, depth))]
    send(asks + [rows.level_row(market, 1, ticks, lots) for ticks, lots in market.levels(1, depth)])


def _trades(dialect: "BitmexDialect", key: ApiKey | None, params: Params, send: Send) -> None:
    found = [
        rows.trade_row(market, trade, dialect.trade_id(market, trade.number))
        for market in dialect.markets(params)
        for trade in market.trades
    ]
    send(page(sorted(found, key=lambda row: str(row["timestamp"])), params))


def _quotes(dialect: "BitmexDialect", key: ApiKey | None, params: Params, send: Send) -> None:
    send([rows.quote_row(market) for market in dialect.markets(params)])


def _bins(dialect: "BitmexDialect", key: ApiKey | None, params: Params, send: Send) -> None:
    interval = BINS_NS.get(str(params.get("binSize", "1m")))
    if interval is None:
        raise Fault("Invalid binSize")
    market = dialect.market(params)
    candles = market.candles(interval, MOST_ROWS + 1)
    if not is_set(params, "partial"):
        candles = [each for each in candles if each.start + interval <= dialect.clock.now]
    found, opened = [], None
    for candle in candles:
        found.append(rows.bin_row(market, candle, interval, opened))
        opened = candle.close
    send(page(found, params))


ROUTES: Final[Routes] = {
    ("GET", ""): Route(_version),
    ("GET", "/instrument"): Route(_instruments),
    ("GET", "/instrument/active"): Route(_instruments),
    ("GET", "/instrument/activeAndIndices"): Route(_instruments),
    ("GET", "/wallet/assets"): Route(_assets),
    ("GET", "/funding"): Route(_funding),
    ("GET", "/orderBook/L2"): Route(_book),
    ("GET", "/trade"): Route(_trades),
    ("GET", "/quote"): Route(_quotes),
    ("GET", "/trade/bucketed"): Route(_bins),
}
"""The calls by their path below `/api/v1`."""
