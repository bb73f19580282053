"""Served records as BitMEX's rows: orders, executions, instruments, trades, candles.

Rows are dicts in the recorded samples' order of fields. Quantities are whole contracts (smallest units of spot coins),
money is in the smallest units of its currency (`XBt`), prices are numbers, and what the exchange leaves empty is null.
"""

from typing import Any, Final

from mlthon.basics.defs import CancelCode, InstrumentType, OrderStatus, Quantification
from mlthon.basics.instrument import Instrument
from mlthon.basics.money import UNIT
from mlthon.engine.clock import MS, SECOND
from mlthon.engine.faces import NO_ASK, NO_BID
from mlthon.exchange.served.market import Candle, PublicTrade, ServedMarket
from mlthon.exchange.served.records import ServedExecution, ServedOrder
from mlthon.protocols import bitmex as wire

Row = dict[str, Any]

CANCEL_REASONS: Final = {
    CancelCode.CanceledByUser: "Canceled: Canceled via API.",
    CancelCode.PostOnlyWouldTake: "Canceled: Order had execInst of ParticipateDoNotInitiate",
    CancelCode.ReduceOnly: "Canceled: Order had execInst of ReduceOnly",
    CancelCode.TimeInForce: "Canceled: Order had timeInForce of ImmediateOrCancel",
    CancelCode.NoLiquidity: "Canceled: Order had ordType of Market",
    CancelCode.SelfTradePrevention: "Canceled: Self-match prevention",
    CancelCode.Liquidation: "Canceled: Liquidation",
    CancelCode.Disconnected: "Canceled: CancelAllAfter",
}
"""The first line of a cancelled order's `text`; the counterpart of `bitmex.CANCEL_TEXTS`."""

STATUS_NAMES: Final = {
    OrderStatus.PendingNew: "PendingNew",
    OrderStatus.New: "New",
    OrderStatus.Untriggered: "New",
    OrderStatus.PartiallyFilled: "PartiallyFilled",
    OrderStatus.Filled: "Filled",
    OrderStatus.Cancelled: "Canceled",
    OrderStatus.Rejected: "Rejected",
}
MOST_PRICE: Final = 1_000_000
"""`maxPrice` of every instrument, in its quote currency."""
LEVEL_SPACE: Final = 100_000_000
"""Level ids: this times the market's number, less the price in ticks, as the exchange made them."""


def currency(coin: str) -> str:
    """A coin as the exchange names its smallest unit."""
    return wire.WIRE_CURRENCIES.get(coin, coin)


def amount(units: int, coin: str) -> int:
    """Money in the smallest units of its currency, rounded down."""
    return units // int(10 ** (18 - wire.SCALES.get(coin, 8)))


def major(coin: str) -> str:
    """A coin as the exchange calls it."""
    return "XBT" if coin == "BTC" else coin


def contracts(instrument: Instrument, lots: int) -> int:
    """A quantity as it stands on the wire."""
    return lots * wire.lot_size(instrument) // UNIT


def coins(instrument: Instrument, lots: int) -> float:
    """A quantity of a linear or spot instrument in its base coin."""
    return lots * instrument.qty_scale.step_units * instrument.multiplier_units / UNIT / UNIT


def price(instrument: Instrument, ticks: int | None) -> float | int | None:
    """A price as a JSON number; null where there is none."""
    if ticks is None or ticks in (NO_BID, NO_ASK):
        return None
    number = ticks * instrument.price_scale.step_units / UNIT
    return int(number) if number.is_integer() else number


def level_id(market: ServedMarket, ticks: int) -> int:
    """The id of a price level."""
    return LEVEL_SPACE * (market.number + 88) - ticks


def level_row(market: ServedMarket, side: int, ticks: int, lots: int | None) -> Row:
    """A level of `orderBookL2`; without a quantity, of a delete."""
    instrument = market.instrument
    row: Row = {"symbol": instrument.symbol, "id": level_id(market, ticks), "side": wire.SIDE_NAMES[side]}
    if lots is not None:
        row["size"] = contracts(instrument, lots)
    row["price"] = price(instrument, ticks)
    now = wire.timestamp(market.clock.now)
    return row | {"timestamp": now, "transactTime": now}


def quote_row(market: ServedMarket) -> Row:
    """The touch, as of `quote`."""
    bid, bid_qty, ask, ask_qty = market.touch
    instrument = market.instrument
    return {
        "timestamp": wire.timestamp(market.clock.now),
        "symbol": instrument.symbol,
        "bidSize": contracts(instrument, bid_qty) if bid != NO_BID else None,
        "bidPrice": price(instrument, bid),
        "askPrice": price(instrument, ask),
        "askSize": contracts(instrument, ask_qty) if ask != NO_ASK else None,
    }


def trade_row(market: ServedMarket, trade: PublicTrade, match_id: str) -> Row:
    """A public trade."""
    instrument, contract = market.instrument, market.contract
    value = trade.qty * contract.unit_value(trade.price)
    size = contracts(instrument, trade.qty)
    inverse = instrument.get_quantification() is Quantification.Inverse
    home = value / UNIT if inverse else coins(instrument, trade.qty)
    return {
        "timestamp": wire.timestamp(trade.ts),
        "symbol": instrument.symbol,
        "side": wire.SIDE_NAMES[trade.side or 1],
        "size": size,
        "price": price(instrument, trade.price),
        "tickDirection": "ZeroPlusTick",
        "trdMatchID": match_id,
        "grossValue": amount(value, contract.coin),
        "homeNotional": home,
        "foreignNotional": size if inverse else value / UNIT,
        "trdType": "Regular",
    }


def instrument_row(market: ServedMarket) -> Row:
    """An instrument with its market, as of `instrument` and GET /instrument."""
    instrument, contract = market.instrument, market.contract
    spot = instrument.instrument_type is InstrumentType.Spot
    inverse = instrument.get_quantification() is Quantification.Inverse
    quote = instrument.get_quote_currency() or ""
    base = instrument.get_base_currency() or ""
    scale = int(10 ** wire.SCALES.get(contract.coin, 8))
    lot = wire.lot_size(instrument) // UNIT
    # What one contract is worth in smallest units of the settlement currency, times price or (minus) over price.
    multiplier = instrument.multiplier_units * scale // UNIT
    quanto = not spot and not inverse and contract.coin != quote
    margin = market.market.exchange.margin
    day = market.day()
    mark, last = market.mark, market.last_price
    bid, _, ask, _ = market.touch
    now = wire.timestamp(market.clock.now)
    ends = None if instrument.valid_end_ts is None else wire.timestamp(instrument.valid_end_ts * MS)
    funding = market.funding
    fees = market.market
    row: Row = {
        "symbol": instrument.symbol,
        "rootSymbol": major(base),
        "state": "Open",
        "typ": "IFXXXP" if spot else "FFWCSX" if ends is None else "FFCCSX",
        "listing": "2016-05-13T12:00:00.000Z",
        "front": "2016-05-13T12:00:00.000Z",
        "expiry": ends,
        "settle": ends,
        "positionCurrency": quote if inverse else major(base),
        "underlying": major(base),
        "quoteCurrency": quote,
        "underlyingSymbol": f"{major(base)}=",
        "reference": "BMEX",
        "referenceSymbol": f".B{major(base)}",
        "maxOrderQty": 10_000_000 if instrument.max_lots is None else contracts(instrument, instrument.max_lots),
        "maxPrice": MOST_PRICE,
        "lotSize": lot,
        "tickSize": price(instrument, 1),
        "multiplier": -multiplier if inverse else multiplier,
        "settlCurrency": "" if spot else currency(contract.coin),
        "underlyingToPositionMultiplier": None if inverse or quanto else UNIT // instrument.multiplier_units,
        "underlyingToSettleMultiplier": -scale if inverse else None,
        "quoteToSettleMultiplier": None if inverse else scale,
        "isQuanto": quanto,
        "isInverse": inverse,
        "initMargin": None if spot else UNIT / margin.leverage,
        "maintMargin": None if spot else margin.maintenance / UNIT,
        "riskLimit": 20_000_000_000,
        "riskStep": 15_000_000_000,
        "taxed": True,
        "deleverage": not spot,
        "makerFee": fees.maker_fee / UNIT,
        "takerFee": fees.taker_fee / UNIT,
        "settlementFee": 0,
        "fundingRate": None,
        "fundingInterval": None,
        "fundingTimestamp": None,
        "indicativeFundingRate": None,
        "openingTimestamp": now,
        "closingTimestamp": now,
        "prevClosePrice": price(instrument, day.open) if day else None,
        "limitDownPrice": None,
        "limitUpPrice": None,
        "prevTotalVolume": 0,
        "totalVolume": contracts(instrument, day.qty) if day else 0,
        "prevTotalTurnover": 0,
        "totalTurnover": amount(day.value, contract.coin) if day else 0,
        "turnover": amount(day.value, contract.coin) if day else 0,
        "minTick": price(instrument, 1),
        "capped": False,
        "prevPrice24h": price(instrument, day.open) if day else None,
        "volume": contracts(instrument, day.qty) if day else 0,
        "volume24h": contracts(instrument, day.qty) if day else 0,
        "turnover24h": amount(day.value, contract.coin) if day else 0,
        "homeNotional24h": (day.value / UNIT if inverse else coins(instrument, day.qty)) if day else 0,
        "foreignNotional24h": (contracts(instrument, day.qty) if inverse else day.value / UNIT) if day else 0,
        "vwap": price(instrument, last),
        "highPrice": price(instrument, day.high) if day else None,
        "lowPrice": price(instrument, day.low) if day else None,
        "lastPrice": price(instrument, last),
        "lastPriceProtected": price(instrument, last),
        "lastTickDirection": "ZeroPlusTick",
        "lastChangePcnt": 0,
        "bidPrice": price(instrument, bid),
        "midPrice": price(instrument, mark),
        "askPrice": price(instrument, ask),
        "impactBidPrice": price(instrument, bid),
        "impactMidPrice": price(instrument, mark),
        "impactAskPrice": price(instrument, ask),
        "hasLiquidity": True,
        "openInterest": 0,
        "openValue": 0,
        "fairMethod": "" if spot else "FundingRate",
        "fairPrice": price(instrument, mark),
        "markMethod": "LastPrice" if spot else "FairPrice",
        "markPrice": price(instrument, mark),
        "indicativeSettlePrice": price(instrument, mark),
        "instantPnl": False,
        "timestamp": now,
    }
    if funding is not None:
        rate, next_ts, interval = funding
        hours, seconds = divmod(interval // SECOND, 3600)
        row["fundingRate"] = row["indicativeFundingRate"] = rate / UNIT
        row["fundingTimestamp"] = wire.timestamp(next_ts)
        row["fundingInterval"] = f"2000-01-01T{hours:02}:{seconds // 60:02}:00.000Z"
    return row


def bin_row(market: ServedMarket, candle: Candle, interval: int, opened: int | None) -> Row:
    """A candle as of `tradeBin…`: its time is its END; it opens where the one before closed (`opened`, ticks)."""
    instrument, contract = market.instrument, market.contract
    inverse = instrument.get_quantification() is Quantification.Inverse
    volume = contracts(instrument, candle.qty)
    home = candle.value / UNIT if inverse else coins(instrument, candle.qty)
    return {
        "timestamp": wire.timestamp(candle.start + interval),
        "symbol": instrument.symbol,
        "open": price(instrument, candle.open if opened is None else opened),
        "high": price(instrument, candle.high),
        "low": price(instrument, candle.low),
        "close": price(instrument, candle.close),
        "trades": candle.trades,
        "volume": volume,
        "vwap": price(instrument, (candle.high + candle.low + candle.close) // 3) if candle.qty else None,
        "lastSize": volume,
        "turnover": amount(candle.value, contract.coin),
        "homeNotional": home,
        "foreignNotional": volume if inverse else candle.value / UNIT,
    }


def order_row(order: ServedOrder) -> Row:
    """An order as it stands."""
    instrument = order.instrument
    average = order.average_units / UNIT if order.filled else None
    return {
        "orderID": order.order_id,
        "clOrdID": order.client_id,
        "clOrdLinkID": order.extra.get("clOrdLinkID", ""),
        "account": order.account.number,
        "symbol": instrument.symbol,
        "side": wire.SIDE_NAMES[order.side],
        "orderQty": contracts(instrument, order.qty) if order.qty else None,
        "price": price(instrument, order.price) if order.price else None,
        "displayQty": None,
        "stopPx": price(instrument, order.stop_price),
        "pegOffsetValue": None,
        "pegPriceType": "",
        "currency": instrument.get_quote_currency() or "",
        "settlCurrency": currency(_settled(order)),
        "ordType": order.extra.get("ordType", wire.ORDER_TYPES[order.order_type]),
        "timeInForce": wire.TIFS.get(order.tif, "GoodTillCancel"),
        "execInst": order.extra.get("execInst", ""),
        "contingencyType": "",
        "ordStatus": STATUS_NAMES[order.status],
        "triggered": "StopOrderTriggered" if order.triggered else "",
        "workingIndicator": order.status in (OrderStatus.New, OrderStatus.PartiallyFilled),
        "ordRejReason": order.reason if order.status is OrderStatus.Rejected else "",
        "leavesQty": contracts(instrument, order.leaves),
        "cumQty": contracts(instrument, order.filled),
        "avgPx": average,
        "text": _text(order),
        "transactTime": wire.timestamp(order.created_ts),
        "timestamp": wire.timestamp(order.updated_ts),
    }


def _settled(order: ServedOrder) -> str:
    market = order.account.exchange.markets[order.instrument]
    return market.contract.coin


def _text(order: ServedOrder) -> str:
    """Why it ended, and below that how it was sent."""
    sent = str(order.extra.get("text") or "Submitted via API.")
    if order.status is OrderStatus.Cancelled:
        reason = CANCEL_REASONS.get(order.cancel_code, f"Canceled: {order.reason}")
        return f"{reason}\n{sent}"
    if order.extra.get("amended"):
        return f"Amended {order.extra['amended']}: Amended via API.\n{sent}"
    return sent


def execution_row(execution: ServedExecution) -> Row:
    """A fill as of `execution` and GET /execution/tradeHistory."""
    order = execution.order
    instrument = order.instrument
    qty = contracts(instrument, execution.qty)
    cost = amount(execution.value, execution.fee_coin) * (1 if order.side < 0 else -1)
    inverse = instrument.get_quantification() is Quantification.Inverse
    home = execution.value / UNIT if inverse else coins(instrument, execution.qty)
    done = order.filled if order.executions and order.executions[-1] is execution else order.qty - execution.leaves
    return {
        "execID": execution.exec_id,
        **{name: order_row(order)[name] for name in ("orderID", "clOrdID", "clOrdLinkID", "account", "symbol", "side")},
        "lastQty": qty,
        "lastPx": price(instrument, execution.price),
        "underlyingLastPx": None,
        "lastMkt": "XBME",
        "lastLiquidityInd": "AddedLiquidity" if execution.maker else "RemovedLiquidity",
        "orderQty": contracts(instrument, order.qty),
        "price": price(instrument, order.price) if order.price else price(instrument, execution.price),
        "displayQty": None,
        "stopPx": price(instrument, order.stop_price),
        "currency": instrument.get_quote_currency() or "",
        "settlCurrency": currency(execution.fee_coin),
        "execType": "Trade",
        "ordType": order.extra.get("ordType", wire.ORDER_TYPES[order.order_type]),
        "timeInForce": wire.TIFS.get(order.tif, "GoodTillCancel"),
        "execInst": order.extra.get("execInst", ""),
        "ordStatus": "PartiallyFilled" if execution.leaves else "Filled",
        "workingIndicator": bool(execution.leaves),
        "leavesQty": contracts(instrument, execution.leaves),
        "cumQty": contracts(instrument, done),
        "avgPx": order.average_units / UNIT,
        "commission": execution.fee / execution.value if execution.value else 0,
        "brokerCommission": 0,
        "feeType": "Maker" if execution.maker else "Taker",
        "tradePublishIndicator": "PublishTrade",
        "text": str(order.extra.get("text") or "Submitted via API."),
        "trdMatchID": execution.exec_id,
        "execCost": cost,
        "execComm": amount(execution.fee, execution.fee_coin),
        "brokerExecComm": 0,
        "homeNotional": -order.side * home if inverse else order.side * home,
        "foreignNotional": -order.side * (qty if inverse else execution.value / UNIT),
        "transactTime": wire.timestamp(execution.ts),
        "timestamp": wire.timestamp(execution.ts),
    }
