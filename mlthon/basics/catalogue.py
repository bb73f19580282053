"""The one table of the instruments that come with this project, and the ways to find one in it.

An instrument id is the exchange's number x 10^10 + the index in the table; ids never change once shipped, so rows are
added with new indexes and never renumbered. Bybit's BTC-USD inverse perpetual is 30000000000.

Instruments of an exchange are built when the first of them is asked for. What is not in the table (a recording of some
other instrument) is built by `define`, and found among others by an `InstrumentIndex`.
"""

import zlib
from collections.abc import Iterable
from functools import cache
from typing import Final

from mlthon.basics import money
from mlthon.basics.defs import Exchange, InstrumentType, Quantification
from mlthon.basics.instrument import Cfd, Future, Instrument, Perpetual, Spot
from mlthon.basics.mldecimal import MLDecimal, Number
from mlthon.basics.price import Price
from mlthon.basics.qty import Qty

IDS_PER_EXCHANGE: Final = 10**10
DEFINED_FROM: Final = 10**9
"""Indexes from here on are those of instruments that are not in the table."""


class UnknownInstrument(ValueError):
    """No instrument, or more than one, goes by that name."""


# Kind -> type, and how its value follows the price. `settle` is the quote currency, of inverse contracts the base.
_KINDS: Final = {
    "spot": (InstrumentType.Spot, Quantification.Linear),
    "perp": (InstrumentType.Perpetual, Quantification.Linear),
    "inverse": (InstrumentType.Perpetual, Quantification.Inverse),
    "inverse future": (InstrumentType.Future, Quantification.Inverse),
    "cfd": (InstrumentType.Cfd, Quantification.Linear),
}

Row = tuple[int, str, str, str, str, str, str, str, str, str, str]
# index, kind, symbol, mlt symbol, tick, lot, minimum, maximum, minimum notional, multiplier, settle currency
# ("" where there is no such limit, where the multiplier is 1, and where the settle currency is the usual one).

_TABLE: Final[dict[Exchange, tuple[Row, ...]]] = {
    # Assumed: the venue closed before any of the reference data was recorded.
    Exchange.Blade: (
        (0, "perp", "BTC-USDT", "btc-usdt", "0.5", "0.001", "0.001", "100", "", "", ""),
        (1, "perp", "ETH-USDT", "eth-usdt", "0.05", "0.01", "0.01", "1000", "", "", ""),
    ),
    # GET /mercury-gateway/v1/instruments, 2021-07-22 (its maximum of 0 means none).
    Exchange.Blockchain: (
        (0, "spot", "BTC-USD", "btc-usd", "0.01", "0.00000001", "0.0005", "", "", "", ""),
        (1, "spot", "ETH-USD", "eth-usd", "0.01", "0.00000001", "0.022", "", "", "", ""),
        (2, "spot", "BTC-USDT", "btc-usdt", "0.01", "0.00000001", "0.0005", "", "", "", ""),
        (3, "spot", "ETH-USDT", "eth-usdt", "0.01", "0.00000001", "0.022", "", "", "", ""),
        (4, "spot", "BTC-EUR", "btc-eur", "0.01", "0.00000001", "0.0005", "", "", "", ""),
    ),
    # GET /v5/market/instruments-info, linear and spot of 2026-08-09. BTCUSD: tick and lot from an inverse sample of the
    # same call; ETHUSD from memory.
    Exchange.Bybit: (
        (0, "inverse", "BTCUSD", "btc-usd", "0.5", "1", "1", "1000000", "", "", ""),
        (1, "perp", "BTCUSDT", "btc-usdt", "0.1", "0.001", "0.001", "1500", "5", "", ""),
        (2, "perp", "ETHUSDT", "eth-usdt", "0.01", "0.01", "0.01", "10000", "5", "", ""),
        (3, "perp", "SOLUSDT", "sol-usdt", "0.01", "0.1", "0.1", "96000", "5", "", ""),
        (4, "perp", "XRPUSDT", "xrp-usdt", "0.0001", "0.1", "0.1", "7500000", "5", "", ""),
        (5, "perp", "DOGEUSDT", "doge-usdt", "0.00001", "1", "1", "43678900", "5", "", ""),
        (6, "perp", "BTCPERP", "btc-usdc", "0.1", "0.001", "0.001", "1000", "5", "", ""),
        (7, "inverse", "ETHUSD", "eth-usd", "0.05", "1", "1", "1000000", "", "", ""),
        (8, "spot", "BTCUSDT", "btc-usdt", "0.1", "0.000001", "0.000001", "230", "5", "", ""),
        (9, "spot", "ETHUSDT", "eth-usdt", "0.01", "0.00001", "0.00001", "8118", "5", "", ""),
        (10, "spot", "SOLUSDT", "sol-usdt", "0.01", "0.0001", "0.0001", "26000", "5", "", ""),
        (11, "spot", "XRPUSDT", "xrp-usdt", "0.0001", "0.01", "0.01", "1200000", "5", "", ""),
        (12, "spot", "DOGEUSDT", "doge-usdt", "0.00001", "0.1", "0.1", "14000000", "5", "", ""),
        (13, "spot", "BTCUSDC", "btc-usdc", "0.1", "0.000001", "0.000001", "48", "5", "", ""),
    ),
    # GET /api/v3/exchangeInfo, 2021-10-12; the recordings of 2024 keep its ticks and lots. Minimum notional: 5 since
    # 2023, from memory (10 in 2021).
    Exchange.Binance: (
        (0, "spot", "BTCUSDT", "btc-usdt", "0.01", "0.00001", "0.00001", "9000", "5", "", ""),
        (1, "spot", "ETHUSDT", "eth-usdt", "0.01", "0.0001", "0.0001", "9000", "5", "", ""),
        (2, "spot", "SOLUSDT", "sol-usdt", "0.01", "0.01", "0.01", "90000", "5", "", ""),
    ),
    # GET /fapi/v1/exchangeInfo, 2021-07-22 (limits); BTCUSDT's tick was 0.01 then and is 0.1 in the recordings from
    # 2023 on. BTCUSDT's minimum notional of 100 and ETHUSDT's of 20: from memory (both were 5 in 2021).
    Exchange.BinanceUsdm: (
        (0, "perp", "BTCUSDT", "btc-usdt", "0.1", "0.001", "0.001", "1000", "100", "", ""),
        (1, "perp", "ETHUSDT", "eth-usdt", "0.01", "0.001", "0.001", "10000", "20", "", ""),
        (2, "perp", "SOLUSDT", "sol-usdt", "0.001", "1", "1", "10000000", "5", "", ""),
    ),
    # GET /dapi/v1/exchangeInfo of 2020 for BTCUSD_PERP; ETHUSD_PERP's contract of 10 USD and limit from memory, its
    # tick as in the recordings of 2024.
    Exchange.BinanceCoinm: (
        (0, "inverse", "BTCUSD_PERP", "btc-usd", "0.1", "1", "1", "100000", "", "100", ""),
        (1, "inverse", "ETHUSD_PERP", "eth-usd", "0.01", "1", "1", "100000", "", "10", ""),
    ),
    # GET /api/v1/instrument/active, 2021-07-22: XBTUSD, and the quantos ETHUSD, LTCUSD, XRPUSD (ETHUSD: 0.000001 XBT
    # for each USD of price). XBTU23, XBTZ23: as XBTU21 and XBTZ21 there; bots name them. Spot, limits included: the
    # instrument bodies of 2024-12 (XBT_USDT: lotSize 10000 and maxOrderQty 10000000000 of 0.00000001 XBT each).
    # The USDT perpetuals: one XBTUSDT contract is 0.000001 XBT, ETHUSDT 0.00001 ETH (from memory), SOLUSDT 0.0001 SOL
    # (a tradeBin1m of 2026-02); their largest orders, and LTCUSDT but for its name, are assumed, not to refuse any.
    # LINKUSD: tick and lot as bots of 2023-10 have them (8.665 in a tradeBin1m of 2026-02 fits); that a contract is
    # 0.00001 XBT for each USD is assumed: bots' usual order of 200 is then worth about as much as their others.
    Exchange.BitMEX: (
        (0, "inverse", "XBTUSD", "btc-usd", "0.5", "100", "100", "10000000", "", "", ""),
        (1, "perp", "XBTUSDT", "btc-usdt", "0.5", "1000", "1000", "1000000000", "", "0.000001", ""),
        (2, "perp", "ETHUSD", "eth-usd", "0.05", "1", "1", "10000000", "", "0.000001", "BTC"),
        (3, "perp", "ETHUSDT", "eth-usdt", "0.05", "1000", "1000", "1000000000", "", "0.00001", ""),
        (4, "perp", "SOLUSDT", "sol-usdt", "0.01", "1000", "1000", "1000000000", "", "0.0001", ""),
        (5, "spot", "XBT_USDT", "btc-usdt", "0.5", "0.0001", "0.0001", "100", "", "", ""),
        (6, "spot", "ETH_USDT", "eth-usdt", "0.05", "0.001", "0.001", "1000", "", "", ""),
        (7, "spot", "SOL_USDT", "sol-usdt", "0.01", "0.001", "0.001", "1000", "", "", ""),
        (8, "perp", "LTCUSD", "ltc-usd", "0.01", "1", "1", "100000000", "", "0.000002", "BTC"),
        (9, "perp", "XRPUSD", "xrp-usd", "0.0001", "1", "1", "100000000", "", "0.0002", "BTC"),
        (10, "inverse future", "XBTU23", "btc-usd-u23", "0.5", "100", "100", "10000000", "", "", ""),
        (11, "inverse future", "XBTZ23", "btc-usd-z23", "0.5", "100", "100", "10000000", "", "", ""),
        (12, "perp", "LINKUSD", "link-usd", "0.001", "1", "1", "100000000", "", "0.00001", "BTC"),
        (13, "perp", "LTCUSDT", "ltc-usdt", "0.01", "1000", "1000", "1000000000", "", "0.0001", ""),
    ),
    # GET /api/v3/brokerage/market/products, 2026-08-09, whose product_venue is this exchange (CBE).
    Exchange.CoinbaseExchange: (
        (0, "spot", "BTC-USD", "btc-usd", "0.01", "0.00000001", "0.00000001", "3400", "1", "", ""),
        (1, "spot", "ETH-USD", "eth-usd", "0.01", "0.00000001", "0.00000001", "42000", "1", "", ""),
        (2, "spot", "SOL-USD", "sol-usd", "0.01", "0.00000001", "0.00000001", "1274000", "1", "", ""),
    ),
    # SPOT_BTC_USDT: a sample of GET /v1/public/info (2023). PERP_BTC_USDT's tick and lot as in messages of 2023-01;
    # the rest from memory. The least value of an order of perpetuals is not known: it is taken to be that of spot,
    # because bots traded 0.0001 BTC there when that was worth 3 USDT.
    Exchange.Woo: (
        (0, "perp", "PERP_BTC_USDT", "btc-usdt", "0.01", "0.0001", "0.0001", "100", "1", "", ""),
        (1, "perp", "PERP_ETH_USDT", "eth-usdt", "0.01", "0.001", "0.001", "1000", "1", "", ""),
        (2, "spot", "SPOT_BTC_USDT", "btc-usdt", "0.01", "0.00000001", "0.00001", "300", "1", "", ""),
        (3, "spot", "SPOT_ETH_USDT", "eth-usdt", "0.01", "0.000001", "0.0001", "3000", "1", "", ""),
        (4, "perp", "PERP_SOL_USDT", "sol-usdt", "0.001", "0.01", "0.01", "10000", "1", "", ""),
        (5, "perp", "PERP_XRP_USDT", "xrp-usdt", "0.0001", "1", "1", "1000000", "1", "", ""),
        (6, "spot", "SPOT_SOL_USDT", "sol-usdt", "0.001", "0.0001", "0.01", "30000", "1", "", ""),
    ),
    # GET /v3/accounts/{id}/instruments (EUR_USD, a sample); NZD_USD and XAU_USD: precision as in the tick recordings,
    # limits from memory. Quantities are units of the base currency.
    Exchange.Oanda: (
        (0, "cfd", "EUR_USD", "eur-usd", "0.00001", "1", "1", "100000000", "", "", ""),
        (1, "cfd", "XAU_USD", "xau-usd", "0.001", "1", "1", "100000", "", "", ""),
        (2, "cfd", "NZD_USD", "nzd-usd", "0.00001", "1", "1", "100000000", "", "", ""),
        # The rest from memory: BTC and ETH are offered to accounts of some divisions only.
        (3, "cfd", "BTC_USD", "btc-usd", "0.1", "0.01", "0.01", "100", "", "", ""),
        (4, "cfd", "ETH_USD", "eth-usd", "0.01", "0.01", "0.01", "1000", "", "", ""),
    ),
}

# (exchange, symbol) -> when a future ends (ms). BitMEX: last Friday of the month, 12:00 UTC, as XBTU21 (2021-09-24).
_ENDS: Final = {
    (Exchange.BitMEX, "XBTU23"): 1_695_988_800_000,
    (Exchange.BitMEX, "XBTZ23"): 1_703_851_200_000,
}

# (exchange, kind) -> maker and taker fee of an account without discounts, as a part of the traded value.
_FEES: Final[dict[tuple[Exchange, str], tuple[str, str]]] = {
    (Exchange.Blade, "perp"): ("0", "0.0005"),  # assumed
    (Exchange.Blockchain, "spot"): ("0.0014", "0.0024"),  # maker: a sample of GET /fees; taker assumed
    (Exchange.Bybit, "perp"): ("0.0002", "0.00055"),  # from memory; a sample of GET /v5/account/fee-rate has 0.0001/6
    (Exchange.Bybit, "inverse"): ("0.0002", "0.00055"),  # likewise
    (Exchange.Bybit, "spot"): ("0.001", "0.001"),  # a sample of GET /v5/account/fee-rate
    (Exchange.Binance, "spot"): ("0.001", "0.001"),  # samples of the commission calls
    (Exchange.BinanceUsdm, "perp"): ("0.0002", "0.0005"),  # samples of GET /fapi/v1/commissionRate
    (Exchange.BinanceCoinm, "inverse"): ("0.0002", "0.0005"),  # assumed as USD-M
    (Exchange.BitMEX, "inverse"): ("-0.00025", "0.00075"),  # the instrument bodies of 2021
    (Exchange.BitMEX, "perp"): ("-0.00025", "0.00075"),  # the instrument bodies of 2021
    (Exchange.BitMEX, "inverse future"): ("-0.00025", "0.00075"),  # the instrument bodies of 2021
    (Exchange.BitMEX, "spot"): ("0.001", "0.001"),  # the instrument bodies of 2024-12
    (Exchange.CoinbaseExchange, "spot"): ("0.004", "0.006"),  # from memory: the lowest tier
    (Exchange.Woo, "perp"): ("0.0002", "0.0005"),  # from memory
    (Exchange.Woo, "spot"): ("0.0008", "0.001"),  # a sample of GET /v3/account/tradingFee
    (Exchange.Oanda, "cfd"): ("0", "0"),  # the broker earns on the spread
}


def exchanges() -> list[Exchange]:
    """The exchanges of which the table has instruments."""
    return list(_TABLE)


def instruments(exchange: Exchange) -> list[Instrument]:
    """The table's instruments of an exchange, in the order of their ids; empty when it has none."""
    return list(_index(exchange).instruments)


def resolve(exchange: Exchange, key: "int | str | Instrument") -> Instrument:
    """The instrument of the exchange that goes by `key`: its id (a number or its digits), its name
    (`byt:perp:btc-usd`), the exchange's own symbol in any case, or its mlt symbol (`btc-usdt`). Where a symbol
    belongs to several, a perpetual is preferred to spot, and spot to a future. Raises UnknownInstrument."""
    return _index(exchange).resolve(key)


def define(
    exchange: Exchange,
    symbol: str,
    instrument_type: InstrumentType,
    mlt_symbol: str,
    *,
    tick: Number,
    lot: Number,
    quantification: Quantification = Quantification.Linear,
    min_quantity: Number | None = None,
    max_quantity: Number | None = None,
    min_notional: Number | None = None,
    multiplier: Number = 1,
    settle_currency: str | None = None,
    valid_end_ts: int | None = None,
    maker_fee: Number = 0,
    taker_fee: Number = 0,
    index: int | None = None,
) -> Instrument:
    """An instrument that is not in the table. `mlt_symbol` is base and quote currency (`btc-usdt`, and for a future
    anything after a second dash). Without an `index` the id comes from symbol and type: the same on every machine."""
    base, quote = _currencies(mlt_symbol)
    if index is None:
        index = DEFINED_FROM + zlib.crc32(f"{instrument_type.type_id}:{symbol}".encode())
    if not 0 <= index < IDS_PER_EXCHANGE:
        raise ValueError(f"{symbol}: the index must be from 0 to {IDS_PER_EXCHANGE - 1}, not {index}")
    inverse = quantification is Quantification.Inverse
    tick_step = Price.from_units(_step(symbol, "tick", tick))
    lot_step = Qty.from_units(_step(symbol, "lot", lot))
    return _CLASSES[instrument_type](
        instrument_id=exchange.value * IDS_PER_EXCHANGE + index,
        exch_instr_id=symbol,
        exchange=exchange,
        mlt_symbol=mlt_symbol,
        price_tick_rules=tick_step.to_decimal(),
        quantity_tick_rules=lot_step.to_decimal(),
        multiplier=multiplier,
        min_quantity=lot_step if min_quantity is None else min_quantity,
        base_currency=base,
        quote_currency=quote,
        quantification=quantification,
        price_precision=_digits(tick_step),
        quantity_precision=_digits(lot_step),
        valid_end_ts=valid_end_ts,
        max_quantity=max_quantity,
        min_notional=min_notional,
        settle_currency=settle_currency or (base if inverse else quote),
        maker_fee=maker_fee,
        taker_fee=taker_fee,
    )


class InstrumentIndex:
    """Finds instruments of one exchange by any of their names; see `resolve`."""

    def __init__(self, exchange: Exchange, instruments: Iterable[Instrument]) -> None:
        self.exchange = exchange
        self.instruments = tuple(instruments)
        self._by_id = {instrument.instrument_id: instrument for instrument in self.instruments}
        # Every name in lower case -> those who go by it, the preferred first.
        self._by_name: dict[str, list[Instrument]] = {}
        for instrument in sorted(self.instruments, key=_preference):
            for name in {instrument.name.lower(), instrument.symbol.lower(), (instrument.mlt_symbol or "").lower()}:
                self._by_name.setdefault(name, []).append(instrument)

    def resolve(self, key: "int | str | Instrument") -> Instrument:
        """The instrument that goes by `key`. Raises UnknownInstrument, which names near matches."""
        if isinstance(key, Instrument):
            if key.exchange is self.exchange:
                return key
            raise UnknownInstrument(f"{key} is an instrument of {key.exchange}, not of {self.exchange}")
        if isinstance(key, bool) or not isinstance(key, int | str):
            raise UnknownInstrument(f"an instrument id, name or symbol is needed, not {type(key).__name__} {key!r}")
        found = self._by_id.get(key) if isinstance(key, int) else self._by_text(key.strip())
        if found is None:
            raise UnknownInstrument(f"{self.exchange} has no instrument {key!r}; {self._near(key)}")
        return found

    def _by_text(self, text: str) -> Instrument | None:
        if text.isascii() and text.isdigit() and (found := self._by_id.get(int(text))) is not None:
            return found
        several = self._by_name.get(text.lower(), [])
        if len(several) > 1 and _preference(several[0]) == _preference(several[1]):
            names = ", ".join(instrument.name for instrument in several)
            raise UnknownInstrument(f"{self.exchange}: {text!r} may be any of {names}; use the name or the id")
        return several[0] if several else None

    def _near(self, key: int | str) -> str:
        if not self.instruments:
            return "the catalogue has none of that exchange"
        if isinstance(key, int):
            names = {str(instrument.instrument_id): instrument for instrument in self.instruments}
        else:
            names = {name: several[0] for name, several in self._by_name.items() if name}
        import difflib  # only for a message: its import would cost each start 5 ms

        close = difflib.get_close_matches(str(key).lower(), names, n=5, cutoff=0.5) or list(names)[:5]
        near = dict.fromkeys(f"{names[name].name} ({names[name].symbol})" for name in close)
        return f"near: {', '.join(near)}"


_CLASSES: Final[dict[InstrumentType, type[Instrument]]] = {
    InstrumentType.Spot: Spot,
    InstrumentType.Perpetual: Perpetual,
    InstrumentType.Future: Future,
    InstrumentType.Cfd: Cfd,
}
_PREFERENCE: Final = {
    InstrumentType.Perpetual: 0,
    InstrumentType.Spot: 1,
    InstrumentType.Future: 2,
    InstrumentType.Cfd: 3,
}


def _preference(instrument: Instrument) -> int:
    return len(_PREFERENCE) if instrument.instrument_type is None else _PREFERENCE[instrument.instrument_type]


@cache
def _index(exchange: Exchange) -> InstrumentIndex:
    return InstrumentIndex(exchange, [_built(exchange, row) for row in _TABLE.get(exchange, ())])


def _built(exchange: Exchange, row: Row) -> Instrument:
    index, kind, symbol, mlt_symbol, tick, lot, minimum, maximum, notional, multiplier, settle = row
    instrument_type, quantification = _KINDS[kind]
    maker, taker = _FEES[exchange, kind]
    return define(
        exchange,
        symbol,
        instrument_type,
        mlt_symbol,
        tick=tick,
        lot=lot,
        quantification=quantification,
        min_quantity=minimum,
        max_quantity=maximum or None,
        min_notional=notional or None,
        multiplier=multiplier or 1,
        settle_currency=settle or None,
        maker_fee=maker,
        taker_fee=taker,
        index=index,
        valid_end_ts=_ENDS.get((exchange, symbol)),
    )


def _currencies(mlt_symbol: str) -> tuple[str, str]:
    parts = mlt_symbol.upper().split("-")
    if len(parts) < 2 or not all(parts):
        raise ValueError(f"an mlt symbol is base and quote currency, as in btc-usdt, not {mlt_symbol!r}")
    return parts[0], parts[1]


def _step(symbol: str, what: str, value: Number) -> int:
    units = money.parse(value)
    if units <= 0:
        raise ValueError(f"{symbol}: the {what} must be more than 0, not {value}")
    return units


def _digits(step: MLDecimal) -> int:
    """Digits after the decimal point."""
    return len(step.to_str().partition(".")[2])
