"""Binance: the gateway module for spot and USD-M futures (`mlthon.venue.codec.GatewayModule`).

Orders go over REST, user data come over one private line. What spot and USD-M share is in `_binance_base`, messages
become facts in `_binance_facts`; spellings, endpoints, signing and error codes are in `mlthon.protocols.binance_*`.

Option: `recv_window_ms`, how long after its timestamp the exchange may still accept a request (5000 unless told).
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from gateways._binance_spot import SpotCodec
from gateways._binance_usdm import UsdmCodec
from mlthon.basics.defs import Exchange
from mlthon.basics.instrument import Instrument
from mlthon.protocols.binance_rules import ENDPOINTS, MAIN
from mlthon.venue.codec import Codec, Credentials, Endpoints

_CODECS: Final[Mapping[Exchange, type[SpotCodec] | type[UsdmCodec]]] = {
    Exchange.Binance: SpotCodec,
    Exchange.BinanceUsdm: UsdmCodec,
}
EXCHANGES: Final = tuple(_CODECS)


def environments(exchange: Exchange) -> Mapping[str, Endpoints]:
    """Where the exchange is: `main`, `testnet` and `demo`."""
    return {name: Endpoints(name, urls, name == MAIN) for name, urls in ENDPOINTS[exchange].items()}


def codec(
    exchange: Exchange,
    account: str,
    instruments: Iterable[Instrument],
    endpoints: Endpoints,
    credentials: Credentials | None,
    options: Mapping[str, Any],
) -> Codec:
    """A codec. Raises ValueError for an unknown option, an instrument of another exchange and a key that cannot be
    read."""
    known = tuple(instruments)
    for each in known:
        if each.exchange is not exchange:
            raise ValueError(f"{each} is no instrument of {exchange}")
    return _CODECS[exchange](exchange, account, known, endpoints, credentials, options)
