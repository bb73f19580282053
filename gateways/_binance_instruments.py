"""Binance's `exchangeInfo` as instruments."""

from typing import Final

from mlthon.basics import catalogue, money
from mlthon.basics.defs import Exchange, InstrumentType
from mlthon.basics.instrument import Instrument
from mlthon.protocols import binance_account as wire

_CONTRACTS: Final = {
    "PERPETUAL": InstrumentType.Perpetual,
    "TRADIFI_PERPETUAL": InstrumentType.Perpetual,
    "CURRENT_QUARTER": InstrumentType.Future,
    "NEXT_QUARTER": InstrumentType.Future,
}


def instrument_of(exchange: Exchange, info: wire.SymbolInfo) -> Instrument | None:
    """A symbol of `exchangeInfo` that is open for trading; None for others, and for kinds that are unknown here. Those
    of the catalogue keep their ids and fees."""
    if info.status != "TRADING" or not info.is_spot_trading_allowed:
        return None
    spot = exchange is Exchange.Binance
    kind = InstrumentType.Spot if spot else _CONTRACTS.get(info.contract_type)
    filters = {each.filter_type: each for each in info.filters}
    price, size = filters.get("PRICE_FILTER"), filters.get("LOT_SIZE")
    if kind is None or price is None or size is None or not (_positive(price.tick_size) and _positive(size.step_size)):
        return None
    value = filters.get("NOTIONAL") or filters.get("MIN_NOTIONAL")
    minimum = (value.min_notional or value.notional) if value is not None else ""
    shipped = {each.symbol: each for each in catalogue.instruments(exchange) if each.instrument_type is kind}
    like = shipped.get(info.symbol)
    fees = like or next(iter(shipped.values()), None)
    dated = kind is InstrumentType.Future
    parts = [info.base_asset, info.quote_asset] + ([info.symbol.rpartition("_")[2]] if dated else [])
    return catalogue.define(
        exchange,
        info.symbol,
        kind,
        "-".join(parts).lower(),
        tick=price.tick_size,
        lot=size.step_size,
        min_quantity=size.min_qty if _positive(size.min_qty) else None,
        max_quantity=size.max_qty if _positive(size.max_qty) else None,
        min_notional=minimum if _positive(minimum) else None,
        settle_currency=info.margin_asset or None,
        valid_end_ts=info.delivery_date if dated else None,
        maker_fee=fees.maker_fee if fees is not None and fees.maker_fee is not None else 0,
        taker_fee=fees.taker_fee if fees is not None and fees.taker_fee is not None else 0,
        index=None if like is None else like.number - exchange.value * catalogue.IDS_PER_EXCHANGE,
    )


def _positive(text: str) -> bool:
    return bool(text) and money.parse(text) > 0
