"""Where Binance is, what its calls are called and weigh, and its rate limits: spot and USD-M futures.

Limits are those of `exchangeInfo.rateLimits`. Request weight is counted by IP address in fixed minutes of the
exchange's clock; orders by account. Answers say what is used: `X-MBX-USED-WEIGHT-1M`, `X-MBX-ORDER-COUNT-10S`, `-1M`,
`-1D`. Too many requests: 429 with `Retry-After` (s), then 418, a ban of the address; both with code -1003.

Sources: https://developers.binance.com/docs/binance-spot-api-docs/rest-api (limits, endpoints, weights), .../testnet,
.../demo-mode, https://developers.binance.com/docs/derivatives/usds-margined-futures/general-info and the pages of the
calls.
"""

from collections.abc import Mapping
from typing import Final

from attrs import frozen

from mlthon.basics.defs import Exchange

MAIN: Final = "main"

REST: Final = "rest"
PUBLIC: Final = "public"
MARKET: Final = "market"
PRIVATE: Final = "private"
SAPI: Final = "sapi"

# That USD-M's testnet and demo have the split paths /public, /market and /private too is assumed.
ENDPOINTS: Final[Mapping[Exchange, Mapping[str, Mapping[str, str]]]] = {
    Exchange.Binance: {
        MAIN: {
            REST: "https://api.binance.com",
            SAPI: "https://api.binance.com",
            PUBLIC: "wss://stream.binance.com:9443",
            PRIVATE: "wss://ws-api.binance.com/ws-api/v3",
        },
        "testnet": {
            REST: "https://testnet.binance.vision",
            PUBLIC: "wss://stream.testnet.binance.vision",
            PRIVATE: "wss://ws-api.testnet.binance.vision/ws-api/v3",
        },
        "demo": {
            REST: "https://demo-api.binance.com",
            PUBLIC: "wss://demo-stream.binance.com",
            PRIVATE: "wss://demo-ws-api.binance.com/ws-api/v3",
        },
    },
    Exchange.BinanceUsdm: {
        MAIN: {
            REST: "https://fapi.binance.com",
            SAPI: "https://api.binance.com",
            PUBLIC: "wss://fstream.binance.com/public",
            MARKET: "wss://fstream.binance.com/market",
            PRIVATE: "wss://fstream.binance.com/private",
        },
        "testnet": {
            REST: "https://testnet.binancefuture.com",
            PUBLIC: "wss://fstream.binancefuture.com/public",
            MARKET: "wss://fstream.binancefuture.com/market",
            PRIVATE: "wss://fstream.binancefuture.com/private",
        },
        "demo": {
            REST: "https://demo-fapi.binance.com",
            PUBLIC: "wss://demo-fstream.binance.com/public",
            MARKET: "wss://demo-fstream.binance.com/market",
            PRIVATE: "wss://demo-fstream.binance.com/private",
        },
    },
}
"""Exchange -> environment -> name -> URL. `private`: on spot the websocket API; on USD-M the base to which `/stream` is
added. `public` (and `market`): `/stream` or `/ws` is added. `sapi`: the wallet's calls, on the main site only. Orders
cost real money on `main` alone."""

WEIGHT: Final = "weight"
ORDERS_10S: Final = "orders-10s"
ORDERS_1M: Final = "orders-1m"
ORDERS_1D: Final = "orders-1d"

LIMITS: Final = {
    Exchange.Binance: ((WEIGHT, 6000, 60), (ORDERS_10S, 100, 10), (ORDERS_1D, 200_000, 86_400)),
    Exchange.BinanceUsdm: ((WEIGHT, 2400, 60), (ORDERS_10S, 300, 10), (ORDERS_1M, 1200, 60)),
}
"""(name, limit, seconds); windows are fixed."""

USAGE_HEADERS: Final = {
    "x-mbx-used-weight-1m": WEIGHT,
    "x-mbx-order-count-10s": ORDERS_10S,
    "x-mbx-order-count-1m": ORDERS_1M,
    "x-mbx-order-count-1d": ORDERS_1D,
}

_ORDER_COUNT: Final = {
    Exchange.Binance: ((ORDERS_10S, 1), (ORDERS_1D, 1)),
    Exchange.BinanceUsdm: ((ORDERS_10S, 1), (ORDERS_1M, 1)),
}


@frozen
class Call:
    """One call of the REST API. `weight`: of the request; `order`: whether it counts as an order; `signed`: whether it
    needs timestamp and signature; `keyed`: whether it needs the key in the header."""

    exchange: Exchange
    method: str
    path: str
    weight: int = 1
    order: bool = False
    signed: bool = True
    keyed: bool = True
    base: str = REST

    @property
    def costs(self) -> tuple[tuple[str, int], ...]:
        """What it counts against, as `Request.costs`."""
        weight = ((WEIGHT, self.weight),) if self.weight else ()
        return weight + (_ORDER_COUNT[self.exchange] if self.order else ())


def _public(exchange: Exchange, path: str, weight: int) -> Call:
    return Call(exchange, "GET", path, weight, signed=False, keyed=False)


class Spot:
    """The calls of spot."""

    TIME: Final = _public(Exchange.Binance, "/api/v3/time", 1)
    EXCHANGE_INFO: Final = _public(Exchange.Binance, "/api/v3/exchangeInfo", 20)
    KLINES: Final = _public(Exchange.Binance, "/api/v3/klines", 2)
    NEW_ORDER: Final = Call(Exchange.Binance, "POST", "/api/v3/order", 1, order=True)
    AMEND: Final = Call(Exchange.Binance, "PUT", "/api/v3/order/amend/keepPriority", 4)
    CANCEL: Final = Call(Exchange.Binance, "DELETE", "/api/v3/order", 1)
    CANCEL_ALL: Final = Call(Exchange.Binance, "DELETE", "/api/v3/openOrders", 1)
    ORDER: Final = Call(Exchange.Binance, "GET", "/api/v3/order", 4)
    OPEN_ORDERS: Final = Call(Exchange.Binance, "GET", "/api/v3/openOrders", 6)
    ALL_OPEN_ORDERS: Final = Call(Exchange.Binance, "GET", "/api/v3/openOrders", 80)
    ALL_ORDERS: Final = Call(Exchange.Binance, "GET", "/api/v3/allOrders", 20)
    TRADES: Final = Call(Exchange.Binance, "GET", "/api/v3/myTrades", 20)
    ACCOUNT: Final = Call(Exchange.Binance, "GET", "/api/v3/account", 20)
    # Counted apart from the weight of the API, in limits of its own that one call a start does not come near.
    API_RESTRICTIONS: Final = Call(Exchange.Binance, "GET", "/sapi/v1/account/apiRestrictions", 0, base=SAPI)


class Usdm:
    """The calls of USD-M futures. Orders weigh nothing but count as orders."""

    TIME: Final = _public(Exchange.BinanceUsdm, "/fapi/v1/time", 1)
    EXCHANGE_INFO: Final = _public(Exchange.BinanceUsdm, "/fapi/v1/exchangeInfo", 1)
    KLINES: Final = _public(Exchange.BinanceUsdm, "/fapi/v1/klines", 5)
    PREMIUM_INDEX: Final = _public(Exchange.BinanceUsdm, "/fapi/v1/premiumIndex", 1)
    NEW_ORDER: Final = Call(Exchange.BinanceUsdm, "POST", "/fapi/v1/order", 0, order=True)
    AMEND: Final = Call(Exchange.BinanceUsdm, "PUT", "/fapi/v1/order", 1, order=True)
    CANCEL: Final = Call(Exchange.BinanceUsdm, "DELETE", "/fapi/v1/order", 1)
    CANCEL_ALL: Final = Call(Exchange.BinanceUsdm, "DELETE", "/fapi/v1/allOpenOrders", 1)
    ORDER: Final = Call(Exchange.BinanceUsdm, "GET", "/fapi/v1/order", 1)
    OPEN_ORDERS: Final = Call(Exchange.BinanceUsdm, "GET", "/fapi/v1/openOrders", 1)
    ALL_OPEN_ORDERS: Final = Call(Exchange.BinanceUsdm, "GET", "/fapi/v1/openOrders", 40)
    ALL_ORDERS: Final = Call(Exchange.BinanceUsdm, "GET", "/fapi/v1/allOrders", 5)
    NEW_ALGO: Final = Call(Exchange.BinanceUsdm, "POST", "/fapi/v1/algoOrder", 0, order=True)
    CANCEL_ALGO: Final = Call(Exchange.BinanceUsdm, "DELETE", "/fapi/v1/algoOrder", 1)
    CANCEL_ALL_ALGO: Final = Call(Exchange.BinanceUsdm, "DELETE", "/fapi/v1/algoOpenOrders", 1)
    ALGO: Final = Call(Exchange.BinanceUsdm, "GET", "/fapi/v1/algoOrder", 1)
    OPEN_ALGOS: Final = Call(Exchange.BinanceUsdm, "GET", "/fapi/v1/openAlgoOrders", 1)
    ALL_OPEN_ALGOS: Final = Call(Exchange.BinanceUsdm, "GET", "/fapi/v1/openAlgoOrders", 40)
    TRADES: Final = Call(Exchange.BinanceUsdm, "GET", "/fapi/v1/userTrades", 5)
    BALANCE: Final = Call(Exchange.BinanceUsdm, "GET", "/fapi/v3/balance", 5)
    POSITIONS: Final = Call(Exchange.BinanceUsdm, "GET", "/fapi/v3/positionRisk", 5)
    POSITION_MODE: Final = Call(Exchange.BinanceUsdm, "GET", "/fapi/v1/positionSide/dual", 30)
    ACCOUNT_CONFIG: Final = Call(Exchange.BinanceUsdm, "GET", "/fapi/v1/accountConfig", 5)
    SYMBOL_CONFIG: Final = Call(Exchange.BinanceUsdm, "GET", "/fapi/v1/symbolConfig", 5)
    COMMISSION: Final = Call(Exchange.BinanceUsdm, "GET", "/fapi/v1/commissionRate", 20)
    COUNTDOWN: Final = Call(Exchange.BinanceUsdm, "POST", "/fapi/v1/countdownCancelAll", 10)
    LISTEN_KEY: Final = Call(Exchange.BinanceUsdm, "POST", "/fapi/v1/listenKey", 1, signed=False)
    KEEP_LISTEN_KEY: Final = Call(Exchange.BinanceUsdm, "PUT", "/fapi/v1/listenKey", 1, signed=False)
    API_RESTRICTIONS: Final = Call(Exchange.BinanceUsdm, "GET", "/sapi/v1/account/apiRestrictions", 0, base=SAPI)


SUBSCRIBE_USER_DATA: Final = "userDataStream.subscribe.signature"
"""Spot, over the websocket API: the method that starts user data; its parameters are apiKey, timestamp, signature."""
