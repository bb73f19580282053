"""The instruments of a run, found under any of their names.

A strategy may name an instrument by id (number or digits), by instrument name (`byt:perp:btc-usdt`), by the exchange's
own symbol, by the plain symbol (`btc-usdt`) or by the `Instrument` itself.
"""

from collections.abc import Iterable

from mlthon.basics.defs import Exchange, InstrumentType
from mlthon.basics.instrument import Instrument

_PREFERENCE = {InstrumentType.Perpetual: 0, InstrumentType.Spot: 1, InstrumentType.Cfd: 2, InstrumentType.Future: 3}


class Universe:
    """Instruments by exchange and by every spelling of their name."""

    def __init__(self, instruments: Iterable[Instrument]) -> None:
        self.instruments: list[Instrument] = sorted(set(instruments), key=lambda each: each.number)
        self._by_key: dict[Exchange, dict[object, Instrument]] = {}
        for instrument in sorted(self.instruments, key=_rank):
            keys = self._by_key.setdefault(instrument.venue, {})
            for key in _spellings(instrument):
                keys.setdefault(key, instrument)

    def exchanges(self) -> list[Exchange]:
        return list(self._by_key)

    def of(self, exchange: Exchange) -> list[Instrument]:
        """The instruments of one exchange, by id."""
        return [each for each in self.instruments if each.venue is exchange]

    def find(self, exchange: Exchange, key: object) -> Instrument | None:
        """The instrument that `key` names on `exchange`, None if there is none."""
        keys = self._by_key.get(exchange)
        if keys is None:
            return None
        try:
            found = keys.get(key)
        except TypeError:  # a list or the like
            return None
        if found is None and isinstance(key, str):
            found = keys.get(key.lower())
        return found


def _rank(instrument: Instrument) -> tuple[int, int]:
    kind = instrument.get_instrument_type()
    return 9 if kind is None else _PREFERENCE[kind], instrument.number


def _spellings(instrument: Instrument) -> list[object]:
    number = instrument.number
    return [
        number,  # before the instrument, whose hash is the same: the usual look-up then finds it at once
        instrument,
        str(number),
        instrument.name,
        instrument.symbol,
        instrument.symbol.lower(),
        instrument.get_mlt_symbol(),
    ]
