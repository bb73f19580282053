"""Instrument names: exchange code, type id and symbol, as in `byt:perp:btc-usd`."""

from mlthon.basics.defs import Exchange, InstrumentType


class InstrumentUtils:
    @staticmethod
    def exch_type_sym_to_instr_name(exchange: Exchange, instr_type: InstrumentType, symbol: str) -> str:
        """The name of an instrument; `symbol` is the mlt symbol (`btc-usd`) in any case."""
        return f"{exchange.exchange_code}:{instr_type.type_id}:{symbol.lower()}"
