"""Which instrument a file is of whose content does not say: told from names, such as `BYBIT_BTCUSDT, 60.csv`.

The file's name says it, else the folders it lies in (`binance-usdm/BTC-USDT/2024.csv`, `exchange=Bybit`), else the
symbol in its rows; exchange and symbol may come from different ones of them. A symbol is any name of the catalogue,
also with other separators; `.P` after it (as TradingView writes) or `PERP` means a perpetual contract, which of Binance
is one of Binance USD-M.

An instrument that the catalogue does not have is made up of what the name says: two currencies, the smallest steps in
the file as tick and lot, and the fees of the exchange's other instruments of its kind.
"""

import re
from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Final

from mlthon.basics.catalogue import UnknownInstrument, define, instruments, resolve
from mlthon.basics.defs import Exchange, InstrumentType
from mlthon.basics.instrument import Instrument

_NAMES: Final = {
    **{each.name.casefold(): each for each in Exchange},
    "binance-usdm": Exchange.BinanceUsdm,
    "binance-usd-m": Exchange.BinanceUsdm,
    "binance-futures": Exchange.BinanceUsdm,
    "binance-coinm": Exchange.BinanceCoinm,
    "binance-coin-m": Exchange.BinanceCoinm,
}
_EXCHANGE: Final = re.compile(
    r"(?<![a-z0-9])(" + "|".join(sorted(map(re.escape, _NAMES), key=len, reverse=True)) + r")(?![a-z0-9])"
)
_WORD: Final = re.compile(r"[a-z0-9]+")
_PERPETUAL: Final = ("p", "perp", "swap")
_FUTURES: Final = {Exchange.Binance: (Exchange.BinanceUsdm, Exchange.BinanceCoinm)}
"""Where the perpetual contracts of an exchange are that lists none itself."""
_QUOTES: Final = ("usdt", "usdc", "fdusd", "busd", "usd", "eur", "gbp", "jpy", "try", "btc", "eth")
"""Currencies in which prices are told: where a symbol without a separator is cut."""
_PAIR: Final = re.compile(rf"([a-z0-9]{{2,10}}?)({'|'.join(_QUOTES)})")
_MOST_WORDS: Final = 3
FEE: Final = "0.001"
"""Of an exchange of which no instrument of the kind is known."""


class Unnamed(ValueError):
    """The names say no instrument; the message says what is missing."""


def instrument_of(path: Path, symbol: str | None, tick: Decimal, lot: Decimal) -> Instrument:
    """The instrument of a file. `symbol`: what its rows say, if they do; `tick`, `lot`: the smallest steps in it.
    Raises `Unnamed`."""
    places = [path.stem.casefold(), *(each.casefold() for each in reversed(path.resolve().parent.parts))]
    found = next((match for place in places if (match := _EXCHANGE.search(place))), None)
    if found is None:
        raise Unnamed(
            "neither the file's name nor its folder's says of which exchange it is: "
            "call it like bybit-BTC-USDT-1h.csv, or put it into a folder bybit/BTC-USDT"
        )
    exchange = _NAMES[found[1]]
    texts = [] if symbol is None else [symbol.casefold()]
    for place in (places[0], *texts, *places[1:]):
        words = _WORD.findall(_EXCHANGE.sub(" ", place))
        known = _known(exchange, words)
        if known is not None:
            return known
    for place in (places[0], *texts, *places[1:3]):
        pair = _pair(_WORD.findall(_EXCHANGE.sub(" ", place)))
        if pair is not None:
            return _made(exchange, *pair, tick, lot)
    raise Unnamed(
        f"it is of {exchange.name}, but neither the names nor the rows say of which instrument: "
        f"call it like {exchange.name.lower()}-BTC-USDT-1h.csv"
    )


def _known(exchange: Exchange, words: Sequence[str]) -> Instrument | None:
    """The instrument of the catalogue that some of the words are."""
    perpetual = any(each in _PERPETUAL for each in words)
    for venue in (*_FUTURES.get(exchange, ()), exchange) if perpetual else (exchange,):
        for text in _spellings(words):
            try:
                found = resolve(venue, text)
            except UnknownInstrument:
                continue
            if not perpetual or found.instrument_type is InstrumentType.Perpetual:
                return found
    return None


def _spellings(words: Sequence[str]) -> Iterator[str]:
    """What neighbouring words may be together, the longest first; times and periods are no symbols."""
    for count in range(min(_MOST_WORDS, len(words)), 0, -1):
        for first in range(len(words) - count + 1):
            group = words[first : first + count]
            if not any(each.isdigit() for each in group):
                yield from dict.fromkeys(joint.join(group) for joint in ("-", "", "_"))


def _pair(words: Sequence[str]) -> tuple[str, str, bool] | None:
    """Base and quote currency, and whether it is a perpetual contract."""
    perpetual = any(each in _PERPETUAL for each in words)
    for base, quote in pairwise(words):
        if quote in _QUOTES and base.isalnum() and not base.isdigit() and base not in _PERPETUAL:
            return base, quote, perpetual
    for word in words:
        match = _PAIR.fullmatch(word)
        if match is not None and not match[1].isdigit():
            return match[1], match[2], perpetual
    return None


def _made(exchange: Exchange, base: str, quote: str, perpetual: bool, tick: Decimal, lot: Decimal) -> Instrument:
    venue = next(iter(_FUTURES.get(exchange, (exchange,)))) if perpetual else exchange
    alike = instruments(venue)
    kinds = {each.instrument_type for each in alike}
    kind = InstrumentType.Perpetual if perpetual or kinds == {InstrumentType.Perpetual} else InstrumentType.Spot
    if kinds == {InstrumentType.Cfd}:
        kind = InstrumentType.Cfd
    model = next((each for each in alike if each.instrument_type is kind), None)
    return define(
        venue,
        f"{base}{quote}".upper(),
        kind,
        f"{base}-{quote}",
        tick=tick,
        lot=lot,
        maker_fee=FEE if model is None else model.maker_fee or 0,
        taker_fee=FEE if model is None else model.taker_fee or 0,
    )
