"""How exchanges are spelled on the platform (`src`), and what its users' venues are called.

The platform knows `bitmex`, `coinbasepro` and `woo`; every other exchange of ours goes by its name in lower case.
"""

from collections.abc import Iterable
from fractions import Fraction
from typing import Final

from mlthon.basics.catalogue import instruments
from mlthon.basics.defs import Exchange, InstrumentType
from mlthon.basics.instrument import Instrument
from mlthon.errors import UserError, near
from mlthon.protocols.bitmex import SCALES

_DOCUMENTED: Final = {
    "bitmex": (Exchange.BitMEX, "BitMEX"),
    "coinbasepro": (Exchange.CoinbaseExchange, "Coinbase Pro"),
    "woo": (Exchange.Woo, "WOO X"),
}
"""src -> the exchange, and what the platform calls it."""

EXCHANGES: Final = {src: exchange for src, (exchange, _) in _DOCUMENTED.items()} | {
    each.name.lower(): each for each in Exchange if each not in {exchange for exchange, _ in _DOCUMENTED.values()}
}
"""src -> exchange."""

USUAL_SYMBOLS: Final = {"bitmex": "XBTUSD", "coinbasepro": "BTC-USD", "woo": "PERP_BTC_USDT"}
"""What a bot gets that says nothing of its markets."""


def exchange_of(src: str, where: str) -> Exchange:
    """The exchange of a src. Raises `UserError`, which begins with `where`."""
    found = EXCHANGES.get(src) or EXCHANGES.get(src.lower())
    if found is None:
        raise UserError(f"{where}: {src!r} is no src{near(src, EXCHANGES)}", f"There are {', '.join(EXCHANGES)}.")
    return found


def src_of(exchange: Exchange) -> str:
    """An exchange as the platform spells it."""
    return next(src for src, each in EXCHANGES.items() if each is exchange)


def venue_name(src: str) -> str:
    """What the platform calls the venue of a user who has one account on the exchange."""
    documented = _DOCUMENTED.get(src)
    return documented[1] if documented is not None else EXCHANGES[src].name


def usual_symbol(src: str) -> str | None:
    """A main market of the exchange; None where it has no instruments here."""
    known = USUAL_SYMBOLS.get(src)
    if known is not None:
        return known
    return next((each.symbol for each in instruments(EXCHANGES[src])), None)


def by_symbol(instruments: Iterable[Instrument]) -> dict[str, Instrument]:
    """Instruments by the symbols that bots know. Where a coin pair and a derivative have the same one (Bybit's BTCUSDT)
    it is the derivative's, and the pair goes by its full name (`byt:spot:btc-usdt`)."""
    found: dict[str, Instrument] = {}
    for each in sorted(instruments, key=lambda each: each.instrument_type is InstrumentType.Spot):
        found[each.name if each.symbol in found else each.symbol] = each
    return found


def size_unit(instrument: Instrument) -> Fraction:
    """How much of an instrument's quantity one unit of a size is on its exchange: BitMEX counts coins in their smallest
    units."""
    if instrument.exchange is not Exchange.BitMEX or instrument.instrument_type is not InstrumentType.Spot:
        return Fraction(1)
    return Fraction(1, 10 ** SCALES.get(instrument.base_currency or "", 0))
