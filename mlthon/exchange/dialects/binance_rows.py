"""What Binance's rows of spot and USD-M have in common: numbers, an order's words, symbols and market data.

Numbers are decimal text, times milliseconds, order and trade ids whole numbers. Rows of orders, money and user events:
`binance_spot_rows`, `binance_usdm_rows`.
"""

from functools import cache
from typing import Any, Final

from mlthon.basics.defs import TIF, CancelCode, Exchange, InstrumentType, OrderStatus, OrderType
from mlthon.basics.instrument import Instrument
from mlthon.basics.money import UNIT, ratio, to_str
from mlthon.engine.clock import MS
from mlthon.engine.faces import NO_ASK, NO_BID
from mlthon.exchange.served.market import Candle, PublicTrade, ServedMarket
from mlthon.exchange.served.records import ServedExecution, ServedOrder
from mlthon.protocols import binance_account as wire
from mlthon.protocols import binance_rules as rules

Row = dict[str, Any]

INTERVALS_S: Final = {name: seconds for seconds, name in wire.INTERVALS.items() if seconds >= 60}
"""The candles that there are: name -> seconds."""

_ENDED: Final = {
    CancelCode.TimeInForce: "EXPIRED",
    CancelCode.NoLiquidity: "EXPIRED",
    CancelCode.PostOnlyWouldTake: "EXPIRED",
    CancelCode.ReduceOnly: "EXPIRED",
    CancelCode.Liquidation: "EXPIRED",
    CancelCode.SelfTradePrevention: "EXPIRED_IN_MATCH",
}
"""What ends by the rules of the order has expired; everything else was cancelled."""

_STATUS: Final = {
    OrderStatus.PendingNew: "NEW",
    OrderStatus.New: "NEW",
    OrderStatus.Untriggered: "NEW",
    OrderStatus.PartiallyFilled: "PARTIALLY_FILLED",
    OrderStatus.Filled: "FILLED",
    OrderStatus.Rejected: "REJECTED",
}


_SPOT_TERMS: Final[Row] = {
    "quoteAssetPrecision": 8,
    "baseCommissionPrecision": 8,
    "quoteCommissionPrecision": 8,
    "orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET", "STOP_LOSS", "STOP_LOSS_LIMIT", "TAKE_PROFIT"],
    "icebergAllowed": False,
    "ocoAllowed": False,
    "otoAllowed": False,
    "quoteOrderQtyMarketAllowed": True,
    "allowTrailingStop": False,
    "cancelReplaceAllowed": True,
    "amendAllowed": True,
    "isSpotTradingAllowed": True,
    "isMarginTradingAllowed": False,
    "permissions": [],
    "permissionSets": [["SPOT"]],
    "defaultSelfTradePreventionMode": "EXPIRE_MAKER",
    "allowedSelfTradePreventionModes": ["EXPIRE_MAKER"],
}
_USDM_TERMS: Final[Row] = {
    "contractType": "PERPETUAL",
    "deliveryDate": 4_133_404_800_000,
    "onboardDate": 1_569_398_400_000,
    "underlyingType": "COIN",
    "underlyingSubType": ["PoW"],
    "triggerProtect": "0.0500",
    "liquidationFee": "0.0125",
    "marketTakeBound": "0.05",
    "maxMoveOrderLimit": 10_000,
    "orderTypes": ["LIMIT", "MARKET", "STOP", "STOP_MARKET", "TAKE_PROFIT_MARKET"],
    "timeInForce": ["GTC", "IOC", "FOK", "GTX"],
}
"""What exchangeInfo says of every symbol."""


MOST_PRICE: Final = 1_000_000
"""`maxPrice` of every symbol."""
SPOT_DIGITS: Final = 8
"""How many digits Binance shows of coins, and of spot prices and quantities."""


# -- numbers -----------------------------------------------------------------------------------------------------------


def _fixed(units: int, digits: int) -> str:
    """A number of 10^-18 with exactly so many digits after the point; what does not fit is cut off."""
    whole, rest = divmod(abs(units), UNIT)
    sign = "-" if units < 0 else ""
    return f"{sign}{whole}.{rest // 10 ** (18 - digits):0{digits}d}" if digits else f"{sign}{whole}"


@cache
def _digits(step_units: int, least: int) -> int:
    """How many digits Binance shows of multiples of a step: as many as it takes, `least` or more."""
    digits = 18
    while digits > least and step_units % 10 ** (19 - digits) == 0:
        digits -= 1
    return digits


def _shown(instrument: Instrument, step_units: int, least: int) -> int:
    """Digits of a price or quantity: 8 on spot, on futures the instrument's own (captured: price 28145.10 with
    tick 0.1, quantity 0.020 with lot 0.001)."""
    return _digits(step_units, SPOT_DIGITS if instrument.instrument_type is InstrumentType.Spot else least)


def price(instrument: Instrument, ticks: int | None) -> str:
    """A price as text; 0 where there is none."""
    step = instrument.price_scale.step_units
    units = 0 if ticks in (None, NO_BID, NO_ASK) else (ticks or 0) * step
    return _fixed(units, _shown(instrument, step, 2))


def qty(instrument: Instrument, lots: int) -> str:
    step = instrument.qty_scale.step_units
    return _fixed(lots * step, _shown(instrument, step, 0))


def coin(units: int) -> str:
    """Money, with the 8 digits that Binance shows."""
    return _fixed(ratio(units, 10**10) * 10**10, SPOT_DIGITS)


def rate(number: float) -> str:
    """A ratio as text."""
    return f"{number:.8f}"


# -- orders ------------------------------------------------------------------------------------------------------------


def status(order: ServedOrder) -> str:
    """An order's status in Binance's words."""
    if order.status is OrderStatus.Cancelled:
        return _ENDED.get(order.cancel_code, "CANCELED")
    return _STATUS[order.status]


def tif(order: ServedOrder) -> str:
    """An order's time in force; USD-M says post-only by it."""
    if order.post_only and order.account.exchange.exchange is Exchange.BinanceUsdm:
        return wire.POST_ONLY_TIF
    return wire.TIFS.get(order.tif if order.order_type is not OrderType.Market else TIF.GTC, "GTC")


def execution_kind(order: ServedOrder, fill: ServedExecution | None) -> str:
    """What happened to an order, as `x` says it."""
    if fill is not None:
        return "TRADE"
    name = status(order)
    return {"PARTIALLY_FILLED": "NEW", "EXPIRED_IN_MATCH": "TRADE_PREVENTION"}.get(name, name)


# -- symbols -----------------------------------------------------------------------------------------------------------


def rate_limits(exchange: Exchange) -> list[Row]:
    """`rateLimits` of exchangeInfo."""
    found = []
    for name, limit, seconds in rules.LIMITS[exchange]:
        unit, number = ("SECOND", seconds) if seconds < 60 else ("MINUTE", 1) if seconds == 60 else ("DAY", 1)
        kind = "REQUEST_WEIGHT" if name == rules.WEIGHT else "ORDERS"
        found.append({"rateLimitType": kind, "interval": unit, "intervalNum": number, "limit": limit})
    return found


def symbol_row(market: ServedMarket) -> Row:
    """A symbol of exchangeInfo."""
    instrument, contract = market.instrument, market.contract
    smallest = str(instrument.get_min_quantity() or qty(instrument, instrument.min_lots))
    largest = "9000" if instrument.max_lots is None else qty(instrument, instrument.max_lots)
    tick, lot = price(instrument, 1), qty(instrument, 1)
    filters: list[Row] = [
        {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": str(MOST_PRICE), "tickSize": tick},
        {"filterType": "LOT_SIZE", "minQty": smallest, "maxQty": largest, "stepSize": lot},
        {"filterType": "MARKET_LOT_SIZE", "minQty": smallest, "maxQty": largest, "stepSize": lot},
        {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": 200, "limit": 200},
    ]
    notional = "5" if instrument.min_notional is None else str(instrument.min_notional)
    row: Row = {
        "symbol": instrument.symbol,
        "status": "TRADING",
        "baseAsset": contract.base,
        "quoteAsset": contract.quote,
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "filters": filters,
    }
    if contract.spot:
        filters.append({"filterType": "NOTIONAL", "minNotional": notional, "applyMinToMarket": True,
                        "maxNotional": "9000000", "applyMaxToMarket": False, "avgPriceMins": 5})  # fmt: skip
        return row | _SPOT_TERMS
    filters.append({"filterType": "MIN_NOTIONAL", "notional": notional})
    margin = market.market.exchange.margin
    return row | {
        "pair": instrument.symbol,
        "maintMarginPercent": to_str(margin.maintenance * 100),
        "requiredMarginPercent": to_str(ratio(100 * UNIT * UNIT, margin.leverage)),
        "marginAsset": contract.coin,
        "pricePrecision": len(tick.partition(".")[2]),
        "quantityPrecision": len(lot.partition(".")[2]),
        **_USDM_TERMS,
    }


# -- market data -------------------------------------------------------------------------------------------------------


def kline(market: ServedMarket, candle: Candle, interval: int) -> list[Any]:
    """A candle as a row of klines."""
    instrument = market.instrument
    shown = (candle.open, candle.high, candle.low, candle.close)
    return [
        candle.start // MS,
        *(price(instrument, each) for each in shown),
        qty(instrument, candle.qty),
        (candle.start + interval) // MS - 1,
        coin(candle.value),
        candle.trades,
        qty(instrument, candle.buy_qty),
        coin(candle.buy_value),
        "0",
    ]


def kline_event(market: ServedMarket, candle: Candle, interval: int, name: str, now: int) -> Row:
    row = kline(market, candle, interval)
    names = ("t", "o", "h", "l", "c", "v", "T", "q", "n", "V", "Q", "B")
    body = dict(zip(names, row, strict=True))
    symbol = market.instrument.symbol
    more = {"s": symbol, "i": name, "f": -1, "L": -1, "x": candle.start + interval <= now}
    return {"e": "kline", "E": now // MS, "s": symbol, "k": body | more}


def public_trade(market: ServedMarket, trade: PublicTrade) -> Row:
    """A row of GET trades."""
    return {
        "id": trade.number,
        "price": price(market.instrument, trade.price),
        "qty": qty(market.instrument, trade.qty),
        "quoteQty": coin(trade.qty * market.contract.unit_value(trade.price)),
        "time": trade.ts // MS,
        "isBuyerMaker": trade.side < 0,
        "isBestMatch": True,
    }


def aggregate_trade(market: ServedMarket, trade: PublicTrade) -> Row:
    """A row of GET aggTrades: here every trade is one of its own."""
    return {
        "a": trade.number,
        "p": price(market.instrument, trade.price),
        "q": qty(market.instrument, trade.qty),
        "f": trade.number,
        "l": trade.number,
        "T": trade.ts // MS,
        "m": trade.side < 0,
        "M": True,
    }


def ticker(market: ServedMarket) -> Row:
    """A row of ticker/24hr."""
    instrument, day = market.instrument, market.day()
    bid, bid_qty, ask, ask_qty = market.touch
    last = market.last_price or 0
    opened = day.open if day else last
    now = market.clock.now // MS
    return {
        "symbol": instrument.symbol,
        "priceChange": to_str((last - opened) * instrument.price_scale.step_units),
        "priceChangePercent": f"{(last / opened - 1) * 100 if opened else 0:.3f}",
        "weightedAvgPrice": price(instrument, last),
        "prevClosePrice": price(instrument, opened),
        "lastPrice": price(instrument, last),
        "lastQty": qty(instrument, market.last.qty if market.last else 0),
        "bidPrice": price(instrument, bid),
        "bidQty": qty(instrument, bid_qty),
        "askPrice": price(instrument, ask),
        "askQty": qty(instrument, ask_qty),
        "openPrice": price(instrument, opened),
        "highPrice": price(instrument, day.high if day else last),
        "lowPrice": price(instrument, day.low if day else last),
        "volume": qty(instrument, day.qty if day else 0),
        "quoteVolume": coin(day.value if day else 0),
        "openTime": (day.start // MS) if day else now,
        "closeTime": now,
        "firstId": -1,
        "lastId": -1,
        "count": day.trades if day else 0,
    }


def book_ticker(market: ServedMarket) -> Row:
    bid, bid_qty, ask, ask_qty = market.touch
    instrument = market.instrument
    return {
        "symbol": instrument.symbol,
        "bidPrice": price(instrument, bid),
        "bidQty": qty(instrument, bid_qty),
        "askPrice": price(instrument, ask),
        "askQty": qty(instrument, ask_qty),
    }


def levels(market: ServedMarket, side: int, count: int | None) -> list[list[str]]:
    instrument = market.instrument
    return [[price(instrument, ticks), qty(instrument, lots)] for ticks, lots in market.levels(side, count)]


def premium_index(market: ServedMarket) -> Row:
    """Mark price and funding."""
    mark = price(market.instrument, market.mark)
    funding = market.funding
    return {
        "symbol": market.instrument.symbol,
        "markPrice": mark,
        "indexPrice": mark,
        "estimatedSettlePrice": mark,
        "lastFundingRate": to_str(funding[0]) if funding else "0",
        "interestRate": "0.00010000",
        "nextFundingTime": funding[1] // MS if funding else 0,
        "time": market.clock.now // MS,
    }
