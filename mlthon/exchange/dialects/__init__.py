"""What each exchange's clients see of a served exchange: its paths, messages, codes and checks, one module an exchange.

A dialect implements `mlthon.exchange.served.contract.Dialect`. It is pure: requests and messages come in as text,
answers and pushes leave as text, time is the engine's clock. `mlthon.live.exchange_server` puts it on sockets; a
simulation calls it directly.

A dialect is a class made with the served exchange, `BybitDialect(served)`, and says as class attributes what has to be
known before: `name`, `exchange`, `ids` (an `IdStyle`), `instruments` (catalogue names that it serves unless told
otherwise). `find` loads one by its name on the command line.
"""

from importlib import import_module
from typing import ClassVar, Final, Protocol

from mlthon.basics.defs import Exchange
from mlthon.errors import UserError, near
from mlthon.exchange.served.contract import Dialect
from mlthon.exchange.served.exchange import IdStyle, ServedExchange

DIALECTS: Final = {
    "bybit": "mlthon.exchange.dialects.bybit:BybitDialect",
    "binance": "mlthon.exchange.dialects.binance_spot:BinanceSpotDialect",
    "binance-usdm": "mlthon.exchange.dialects.binance_usdm:BinanceUsdmDialect",
    "bitmex": "mlthon.exchange.dialects.bitmex:BitmexDialect",
}
"""Name on the command line -> module:class."""


class DialectClass(Protocol):
    """What can be known of a dialect before there is an exchange."""

    name: ClassVar[str]
    exchange: ClassVar[Exchange]
    ids: ClassVar[IdStyle]
    instruments: ClassVar[tuple[str, ...]]
    sockets: ClassVar[dict[str, str]]
    """What the server prints: name of a websocket -> its path (`{"public": "/v5/public/linear"}`)."""

    def __call__(self, served: ServedExchange) -> Dialect: ...


def find(name: str) -> DialectClass:
    """The class of a dialect. Raises `UserError` for a name that there is none of."""
    if name not in DIALECTS:
        raise UserError(
            f"there is no local exchange {name!r}{near(name, DIALECTS)}", f"There are: {', '.join(DIALECTS)}."
        )
    module, _, cls = DIALECTS[name].partition(":")
    found: DialectClass = getattr(import_module(module), cls)
    return found
