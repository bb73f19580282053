"""Bybit's public calls: time, instruments, candles, books, trades, tickers, funding."""

from collections.abc import Callable, Mapping
from typing import Final

from mlthon.basics.money import to_str
from mlthon.engine.clock import MS, SECOND
from mlthon.exchange.dialects.bybit_orders import BybitError, category_of, market_of
from mlthon.exchange.dialects.bybit_params import Params, moment, number
from mlthon.exchange.dialects.bybit_rows import Row, instrument_row, money, price, qty, ticker_row
from mlthon.exchange.dialects.bybit_streams import INTERVALS, offset_of, trade_id
from mlthon.exchange.served.exchange import ServedExchange
from mlthon.protocols import bybit as tables
from mlthon.protocols import bybit_errors as errors


def _time(served: ServedExchange, params: Params) -> Row:
    return {"timeSecond": str(served.clock.now // SECOND), "timeNano": str(served.clock.now)}


def _instruments(served: ServedExchange, params: Params) -> Row:
    wanted = str(params.get("category", ""))
    if wanted == "option":
        return {"category": wanted, "list": [], "nextPageCursor": ""}
    category_of(dict(params))
    rows = [
        instrument_row(instrument)
        for instrument in served.markets
        if tables.category(instrument) == wanted
        and params.get("symbol", instrument.symbol) == instrument.symbol
        and params.get("baseCoin", instrument.base_currency) == instrument.base_currency
        and params.get("status", "Trading") == "Trading"
    ]
    return {"category": wanted, "list": rows, "nextPageCursor": ""}


def _kline(served: ServedExchange, params: Params) -> Row:
    market = market_of(served, {"category": tables.LINEAR, **params})
    interval = str(params.get("interval", ""))
    if interval not in INTERVALS:
        raise BybitError(errors.PARAMETER, "Invalid period!")
    candles = market.candles(
        INTERVALS[interval],
        number(params, "limit", 200, 1000),
        moment(params, "start"),
        moment(params, "end"),
        offset_of(interval),
    )
    instrument = market.instrument
    rows = [
        [
            str(each.start // MS),
            *(price(instrument, ticks) for ticks in (each.open, each.high, each.low, each.close)),
            qty(instrument, each.qty),
            money(each.value),
        ]
        for each in reversed(candles)
    ]
    return {"symbol": instrument.symbol, "category": tables.category(instrument), "list": rows}


def _orderbook(served: ServedExchange, params: Params) -> Row:
    market = market_of(served, dict(params))
    instrument = market.instrument
    spot = tables.category(instrument) == tables.SPOT
    limit = number(params, "limit", 1 if spot else 25, 1000)
    sides = (
        [[price(instrument, each), qty(instrument, lots)] for each, lots in market.levels(side, limit)]
        for side in (1, -1)
    )
    bids, asks = sides
    now = served.clock.now // MS
    return {
        "s": instrument.symbol,
        "b": bids,
        "a": asks,
        "ts": now,
        "u": market.seq,
        "seq": market.seq,
        "cts": now,
    }


def _recent_trades(served: ServedExchange, params: Params) -> Row:
    market = market_of(served, dict(params))
    instrument = market.instrument
    limit = number(params, "limit", 60 if tables.category(instrument) == tables.SPOT else 500, 1000)
    rows = [
        {
            "execId": trade_id(served, market, each),
            "symbol": instrument.symbol,
            "price": price(instrument, each.price),
            "size": qty(instrument, each.qty),
            "side": tables.SIDE_NAMES[each.side or 1],
            "time": str(each.ts // MS),
            "isBlockTrade": False,
            "isRPITrade": False,
            "seq": str(each.number),
        }
        for each in list(market.trades)[-limit:][::-1]
    ]
    return {"category": tables.category(instrument), "list": rows}


def _tickers(served: ServedExchange, params: Params) -> Row:
    wanted = str(params.get("category", ""))
    if wanted == "option":
        return {"category": wanted, "list": []}
    category_of(dict(params))
    if params.get("symbol"):
        market_of(served, dict(params))
    rows = [
        ticker_row(market, stream=False)
        for instrument, market in served.markets.items()
        if tables.category(instrument) == wanted and params.get("symbol", instrument.symbol) == instrument.symbol
    ]
    return {"category": wanted, "list": rows}


def _funding_history(served: ServedExchange, params: Params) -> Row:
    market = market_of(served, dict(params))
    funding = market.funding
    if funding is None:
        raise BybitError(errors.PARAMETER, "params error: the symbol has no funding")
    rate, due, interval = funding
    limit = number(params, "limit", 200, 200)
    start, end = moment(params, "startTime"), moment(params, "endTime")
    times = (due - (place + 1) * interval for place in range(limit))
    rows = [
        {
            "symbol": market.instrument.symbol,
            "fundingRate": to_str(rate),
            "fundingRateTimestamp": str(ts // MS),
        }
        for ts in times
        if (start is None or ts >= start) and (end is None or ts <= end)
    ]
    return {"category": tables.category(market.instrument), "list": rows}


CALLS: Final[Mapping[str, Callable[[ServedExchange, Params], Row]]] = {
    tables.TIME: _time,
    tables.INSTRUMENTS: _instruments,
    tables.KLINE: _kline,
    tables.ORDERBOOK: _orderbook,
    tables.RECENT_TRADES: _recent_trades,
    tables.TICKERS: _tickers,
    tables.FUNDING_HISTORY: _funding_history,
}
"""Path -> what gives the `result` of its answer."""
