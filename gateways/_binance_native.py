"""Binance's own calls, as `mlthon.venue.native` has them, on spot and USD-M alike.

`ticker/price` is `/api/v3/ticker/price` on spot and `/fapi/v1/ticker/price` on USD-M; `v3/balance` names another
version, a path that begins with `api/`, `fapi/` or `sapi/` is taken as it is. All parameters go in the query, whatever
the method. A private call is signed; a public one bears the key alone where there is one (some market data need it).

What a call weighs is known for those that this program makes itself and for the common ones below; any other counts
as `UNKNOWN_WEIGHT` until the exchange says in its answer what is used.
"""

from collections.abc import Mapping
from typing import Final

from mlthon.basics.defs import Exchange
from mlthon.protocols.binance_rules import REST, SAPI, Call, Spot, Usdm

UNKNOWN_WEIGHT: Final = 10
METHODS: Final = ("GET", "POST", "PUT", "DELETE")
_ROOTS: Final = {Exchange.Binance: "/api/v3/", Exchange.BinanceUsdm: "/fapi/v1/"}
_FAMILIES: Final = {Exchange.Binance: "/api/", Exchange.BinanceUsdm: "/fapi/"}
_CALLS: Final = {Exchange.Binance: Spot, Exchange.BinanceUsdm: Usdm}

# With a symbol; https://developers.binance.com/docs/binance-spot-api-docs/rest-api/market-data-endpoints and
# https://developers.binance.com/docs/derivatives/usds-margined-futures/market-data/rest-api
_WEIGHTS: Final[Mapping[str, int]] = {
    "/api/v3/ping": 1,
    "/api/v3/ticker/price": 2,
    "/api/v3/ticker/bookTicker": 2,
    "/api/v3/ticker/24hr": 2,
    "/api/v3/avgPrice": 2,
    "/api/v3/depth": 5,
    "/fapi/v1/ping": 1,
    "/fapi/v1/ticker/price": 1,
    "/fapi/v1/ticker/bookTicker": 2,
    "/fapi/v1/ticker/24hr": 1,
    "/fapi/v1/depth": 10,
    "/fapi/v1/fundingRate": 1,
    "/fapi/v1/leverage": 1,
}
_WITHOUT_SYMBOL: Final[Mapping[str, int]] = {
    "/api/v3/ticker/price": 4,
    "/api/v3/ticker/bookTicker": 4,
    "/api/v3/ticker/24hr": 80,
    "/api/v3/openOrders": 80,
    "/fapi/v1/ticker/price": 2,
    "/fapi/v1/ticker/bookTicker": 5,
    "/fapi/v1/ticker/24hr": 40,
    "/fapi/v1/openOrders": 40,
    "/fapi/v1/premiumIndex": 10,
}


def path_of(exchange: Exchange, path: str) -> str:
    """A path as it is sent."""
    named = "/" + path.strip("/")
    if named.startswith((_FAMILIES[exchange], "/sapi/")):
        return named
    if named[1:2] == "v" and named[2:3].isdigit():
        return _FAMILIES[exchange] + named[1:]
    return _ROOTS[exchange] + named[1:]


def call_of(exchange: Exchange, path: str, version: str, method: str, params: Mapping[str, object]) -> Call:
    """A call as it counts and is signed."""
    target = path_of(exchange, path)
    signed = version == "private"
    if target.startswith("/sapi/"):
        return Call(exchange, method, target, 0, signed=signed, base=SAPI)
    return Call(exchange, method, target, _weight(exchange, target, method, "symbol" in params), signed=signed)


def _weight(exchange: Exchange, target: str, method: str, of_symbol: bool) -> int:
    if not of_symbol and target in _WITHOUT_SYMBOL:
        return _WITHOUT_SYMBOL[target]
    own = [each for each in vars(_CALLS[exchange]).values() if isinstance(each, Call) and each.base == REST]
    known = [each.weight for each in own if (each.path, each.method) == (target, method)]
    return min(known) if known else _WEIGHTS.get(target, UNKNOWN_WEIGHT)
