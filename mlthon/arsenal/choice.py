"""Which pairs a strategy trades, and with what options: as said on the command line or configured, else as the
strategy's own text says, else those of the data."""

import re
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Final

from attrs import evolve, frozen

from mlthon.arsenal.source import RESERVED, Source, texts
from mlthon.arsenal.wishes import MOST_LEVERAGE
from mlthon.basics.catalogue import UnknownInstrument, resolve
from mlthon.basics.defs import Exchange, InstrumentType, Quantification
from mlthon.basics.instrument import Instrument
from mlthon.basics.money import to_decimal
from mlthon.config import ExchangeSettings
from mlthon.errors import UserError, near
from mlthon.exchange.config import MarginConfig

DEFAULT: Final = (Exchange.Bybit, "BTC-USDT")
ALIASES: Final = {
    "binancefutures": Exchange.BinanceUsdm,
    "binanceusdtfutures": Exchange.BinanceUsdm,
    "binancespot": Exchange.Binance,
}
"""What exchanges are called beside their names, without anything but letters."""
PURSE: Final = 10_000.0
"""What an account begins with of what it trades in, where nothing is configured; of a base coin `BASE_PURSE`."""
BASE_PURSE: Final = 10.0
_MOST: Final = {"exchange_fee": Decimal("0.05"), "spread": Decimal("0.05"), "leverage": Decimal(MOST_LEVERAGE)}


@frozen
class PairChoice:
    """`shown`: what the strategy calls the exchange."""

    exchange: Exchange
    key: str
    shown: str


def exchange_called(name: str) -> Exchange | None:
    """The exchange of this name, code or alias, in any case."""
    plain = re.sub(r"[\W_]", "", name).casefold()
    found = ALIASES.get(plain)
    return found or next((each for each in Exchange if plain in (each.name.casefold(), each.exchange_code)), None)


def parse_pair(text: str, where: str) -> PairChoice:
    """`exchange:PAIR`. Raises `UserError`."""
    name, colon, key = (part.strip() for part in text.partition(":"))
    if not name or not colon or not key:
        raise UserError(f"{where}: {text!r} is not EXCHANGE:PAIR", "For example: binance:BTC-USDT")
    exchange = exchange_called(name)
    if exchange is None:
        raise UserError(f"{where}: there is no exchange {name!r}{near(name, Exchange.__members__)}")
    return PairChoice(exchange, key, exchange.name)


def choose_pairs(
    texts_given: Sequence[str], where: str, source: Source | None, instruments: Iterable[Instrument] | None
) -> tuple[list[PairChoice], str | None]:
    """The pairs, and what a user is told of how they were found. `instruments`: of the data, None without data. Raises
    `UserError`."""
    books = {} if source is None else source.books
    if texts_given:
        found = [parse_pair(each, where) for each in texts_given]
        # a strategy that writes its exchange out reads candles under that name
        if len(books) == 1 and len({each.exchange for each in found}) == 1:
            found = [evolve(each, shown=next(iter(books))) for each in found]
        return found, None
    there = None if instruments is None else list(instruments)
    named = [(exchange_called(name), pair, name) for name, pairs in books.items() for pair in pairs]
    known = [PairChoice(exchange, pair, shown) for exchange, pair, shown in named if exchange is not None]
    fits = [each for each in known if there is None or _instrument(each, there) is not None]
    if fits and len(fits) == len(named):
        return fits, "as the strategy says"
    shown_as = next(iter(books)) if len(books) == 1 else None
    if there is not None:
        first = there[0]
        told = "of the data" if len(there) == 1 else f"the first of {len(there)} in the data; choose with --pair"
        return [PairChoice(first.venue, first.name, shown_as or first.venue.name)], told
    exchange, pair = DEFAULT
    return [PairChoice(exchange, pair, shown_as or exchange.name)], "nothing else is said; choose with --pair"


def _instrument(choice: PairChoice, there: Iterable[Instrument]) -> Instrument | None:
    wanted = choice.key.casefold()
    for each in there:
        if each.venue is choice.exchange and wanted in (
            each.name.casefold(),
            each.symbol.casefold(),
            str(each.get_mlt_symbol()).casefold(),
        ):
            return each
    return None


def meant(choice: PairChoice, there: Iterable[Instrument] | None) -> Instrument | None:
    """The instrument of the data (None: without), else of the catalogue; None where neither has it."""
    found = _instrument(choice, there or ())
    if found is not None:
        return found
    try:
        return resolve(choice.exchange, choice.key)
    except UnknownInstrument:
        return None


# -- options -----------------------------------------------------------------------------------------------------------


def checked_options(params: Mapping[str, Any], declared: Mapping[str, Any] = MappingProxyType({})) -> dict[str, str]:
    """The options as texts, the platform's own ones checked. `declared`: those that the strategy's text declares; of
    these the platform's own count here, for they say how the run is made. Raises `UserError`."""
    own = {name: value for name, value in declared.items() if name in RESERVED}
    found = {**RESERVED, **texts(own), **texts(params)}
    for name, most in _MOST.items():
        try:
            value = to_decimal(found[name].strip())
        except ValueError:
            value = Decimal(-1)
        low_enough = value > 0 if name == "leverage" else value >= 0
        if not low_enough or value > most:
            raise UserError(f"{name} = {found[name]!r} is not from {'above ' if name == 'leverage' else ''}0 to {most}")
    return found


def with_options(
    settings: ExchangeSettings, params: Mapping[str, Any], options: Mapping[str, str], traded: Iterable[Instrument]
) -> ExchangeSettings:
    """An embedded exchange as the options want it: fee, spread and leverage, where the exchange's own table does not
    say otherwise; and with money on the account where none is configured."""
    fee, spread = float(options["exchange_fee"]), float(options["spread"])
    own_fees = settings.maker_fee is not None or settings.taker_fee is not None
    if not own_fees or "exchange_fee" in params or "spread" in params:
        # half the spread is what a taker pays for it
        settings = evolve(settings, maker_fee=fee, taker_fee=fee + spread / 2)
    if settings.margin == MarginConfig() or "leverage" in params:
        settings = evolve(settings, margin=evolve(settings.margin, leverage=float(options["leverage"])))
    if not settings.balances:
        settings = evolve(settings, balances={coin: amount for each in traded for coin, amount in _purse(each)})
    return settings


def _purse(instrument: Instrument) -> list[tuple[str, float]]:
    quote = instrument.quote_currency or "USDT"
    if instrument.instrument_type is InstrumentType.Spot:
        return [(quote, PURSE)]
    coin = instrument.settle_currency or quote
    inverse = instrument.quantification is Quantification.Inverse
    return [(coin, BASE_PURSE if inverse or coin != quote else PURSE)]
