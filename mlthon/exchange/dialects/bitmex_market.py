"""BitMEX's public calls: instruments, books, trades, quotes, candles."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from mlthon.engine.clock import MS, SECOND
from mlthon.exchange.dialects import bitmex_account_rows as account_rows
from mlthon.exchange.dialects import bitmex_rows as rows
from mlthon.exchange.dialects.bitmex_request import (
    INSTRUMENTS_PAGE,
    MOST_ROWS,
    Fault,
    Params,
    Route,
    Routes,
    Send,
    filter_of,
    is_set,
    page,
    whole,
)
from mlthon.exchange.served.exchange import ApiKey
from mlthon.exchange.served.market import ServedMarket

if TYPE_CHECKING:
    from mlthon.exchange.dialects.bitmex import BitmexDialect

BINS_NS: Final = {"1m": 60 * SECOND, "5m": 300 * SECOND, "1h": 3600 * SECOND, "1d": 86_400 * SECOND}


def _version(dialect: "BitmexDialect", key: ApiKey | None, params: Params, send: Send) -> None:
    send({"name": "BitMEX API", "version": "2.0.0", "timestamp": dialect.clock.now // MS})


def _instruments(dialect: "BitmexDialect", key: ApiKey | None, params: Params, send: Send) -> None:
    send(instrument_rows(list(dialect.served.markets.values()), params))


def instrument_rows(markets: Sequence[ServedMarket], params: Params) -> list[rows.Row]:
    """The rows of GET /instrument: of a symbol, of an index (what is based on its coin has its price), or a page of
    all; none for a symbol that there is not. Raises Fault."""
    symbol = params.get("symbol") or filter_of(params).get("symbol")
    if symbol is not None and not isinstance(symbol, str):
        raise Fault(f"Invalid symbol {symbol!r}")
    if symbol is None:
        return page([rows.instrument_row(each) for each in markets], {"count": INSTRUMENTS_PAGE} | params)
    found = [each for each in markets if each.instrument.symbol == symbol]
    if found:
        return [rows.instrument_row(found[0])]
    coin = symbol.removeprefix(".B")
    based = [each for each in markets if rows.major(each.instrument.base_currency or "") == coin]
    return [rows.instrument_row(each) | {"symbol": symbol} for each in based[:1]]


def _funding(dialect: "BitmexDialect", key: ApiKey | None, params: Params, send: Send) -> None:
    """Payments made before the start of the served market are not known: none."""
    dialect.markets(params)
    send([])


def _assets(dialect: "BitmexDialect", key: ApiKey | None, params: Params, send: Send) -> None:
    coins = {
        coin for market in dialect.served.markets.values() for coin in (market.contract.base, market.contract.coin)
    }
    send(account_rows.asset_rows(sorted(coins)))


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
