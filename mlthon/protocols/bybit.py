"""Bybit v5: where it is, how it spells things, what it signs and how much it allows.

Client and server side share these tables; the messages are in `bybit_public` (market data) and `bybit_private`
(orders, account, REST), the error codes in `bybit_errors`.

Three of Bybit's categories are traded here: `spot`, `linear` (settled in USDT or USDC) and `inverse` (settled in the
base coin). All are in one `Exchange.Bybit`: BTCUSDT is a symbol of spot and of linear, so a symbol names an instrument
only together with its category. Every number travels as decimal text, every time as milliseconds.

A request over REST is signed over `timestamp + key + recv_window + payload`; the payload is the query string exactly
as sent, or the body exactly as sent. A websocket is signed over `GET/realtime` + when the signature expires; what is
sent on the trade websocket afterwards is not signed.

Sources: https://bybit-exchange.github.io/docs/v5/guide, .../v5/enum, .../v5/rate-limit, .../v5/order/create-order,
.../v5/ws/connect; signatures were checked against what pybit and ccxt send.
"""

import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping
from typing import Final

from mlthon.basics.defs import CancelCode, InstrumentType, OrderStatus, Quantification
from mlthon.basics.instrument import Instrument

SPOT: Final = "spot"
LINEAR: Final = "linear"
INVERSE: Final = "inverse"
CATEGORIES: Final = (SPOT, LINEAR, INVERSE)

# -- where it is -------------------------------------------------------------------------------------------------------

PUBLIC_PATH: Final = "/v5/public/"
PRIVATE_PATH: Final = "/v5/private"
TRADE_PATH: Final = "/v5/trade"


def _urls(rest: str, public: str, private: str) -> dict[str, str]:
    urls = {f"public.{category}": f"wss://{public}{PUBLIC_PATH}{category}" for category in CATEGORIES}
    return {
        "rest": f"https://{rest}",
        **urls,
        "private": f"wss://{private}{PRIVATE_PATH}",
        "trade": f"wss://{private}{TRADE_PATH}",
    }


ENVIRONMENTS: Final[Mapping[str, Mapping[str, str]]] = {
    "main": _urls("api.bybit.com", "stream.bybit.com", "stream.bybit.com"),
    "testnet": _urls("api-testnet.bybit.com", "stream-testnet.bybit.com", "stream-testnet.bybit.com"),
    # Demo trading sees the market data of main. It has no trade websocket: orders go over REST there.
    # https://bybit-exchange.github.io/docs/v5/demo
    "demo": {
        name: url
        for name, url in _urls("api-demo.bybit.com", "stream.bybit.com", "stream-demo.bybit.com").items()
        if name != "trade"
    },
}
"""Environment -> name -> base URL; the market data line of a category is `public.<category>`."""

REAL_MONEY: Final = frozenset({"main"})

# -- paths -------------------------------------------------------------------------------------------------------------

TIME: Final = "/v5/market/time"
INSTRUMENTS: Final = "/v5/market/instruments-info"
KLINE: Final = "/v5/market/kline"
ORDERBOOK: Final = "/v5/market/orderbook"
RECENT_TRADES: Final = "/v5/market/recent-trade"
TICKERS: Final = "/v5/market/tickers"
FUNDING_HISTORY: Final = "/v5/market/funding/history"
CREATE: Final = "/v5/order/create"
AMEND: Final = "/v5/order/amend"
CANCEL: Final = "/v5/order/cancel"
CANCEL_ALL: Final = "/v5/order/cancel-all"
CREATE_BATCH: Final = "/v5/order/create-batch"
AMEND_BATCH: Final = "/v5/order/amend-batch"
CANCEL_BATCH: Final = "/v5/order/cancel-batch"
OPEN_ORDERS: Final = "/v5/order/realtime"
ORDER_HISTORY: Final = "/v5/order/history"
EXECUTIONS: Final = "/v5/execution/list"
POSITIONS: Final = "/v5/position/list"
WALLET: Final = "/v5/account/wallet-balance"
ACCOUNT_INFO: Final = "/v5/account/info"
SWITCH_INFO: Final = "/v5/account/query-dcp-info"
FEE_RATE: Final = "/v5/account/fee-rate"
QUERY_API: Final = "/v5/user/query-api"

TRADE_OPS: Final[Mapping[str, str]] = {
    CREATE: "order.create",
    AMEND: "order.amend",
    CANCEL: "order.cancel",
    CREATE_BATCH: "order.create-batch",
    AMEND_BATCH: "order.amend-batch",
    CANCEL_BATCH: "order.cancel-batch",
}
"""REST path -> `op` on the trade websocket, which takes the REST body as its one argument. Cancel-all has none."""

# -- topics ------------------------------------------------------------------------------------------------------------

TRADE_TOPIC: Final = "publicTrade"
BOOK_TOPIC: Final = "orderbook"
TICKER_TOPIC: Final = "tickers"
QUOTE_DEPTH: Final = 1
"""`orderbook.1` carries nothing but snapshots: it is the best bid and ask."""
BOOK_DEPTHS: Final = (50, 200, 1000)
"""The depths that come as a snapshot and deltas. https://bybit-exchange.github.io/docs/v5/websocket/public/orderbook"""
PRIVATE_TOPICS: Final = ("order", "execution", "position", "wallet")
SWITCH: Final = "/v5/order/disconnected-cancel-all"
SWITCHES: Final = {"DERIVATIVES": "dcp.future", "SPOT": "dcp.spot"}
"""Product of the disconnection protection -> its topic. https://bybit-exchange.github.io/docs/v5/order/dcp"""
SHORTEST_SWITCH_S: Final = 3
LONGEST_SWITCH_S: Final = 300
MOST_TOPICS_SPOT: Final = 10
"""How many topics one subscribe message may hold on spot; 2,000 elsewhere (and 21,000 characters).
https://bybit-exchange.github.io/docs/v5/ws/connect"""
MOST_CHARACTERS: Final = 21_000
PING: Final = '{"op":"ping"}'
PING_EVERY_S: Final = 20.0

# -- signing -----------------------------------------------------------------------------------------------------------

RECV_WINDOW_MS: Final = 5_000
AUTH_VALID_MS: Final = 10_000
"""How long the signature of a websocket login stays valid: long enough for a slow connection."""

KEY_HEADER: Final = "X-BAPI-API-KEY"
SIGN_HEADER: Final = "X-BAPI-SIGN"
SIGN_TYPE_HEADER: Final = "X-BAPI-SIGN-TYPE"
TIMESTAMP_HEADER: Final = "X-BAPI-TIMESTAMP"
RECV_WINDOW_HEADER: Final = "X-BAPI-RECV-WINDOW"
SIGN_TYPE: Final = "2"

Signer = Callable[[str], str]
"""Text -> its signature."""


def hmac_signer(secret: str) -> Signer:
    """Hex HMAC-SHA256."""
    key = secret.encode()
    return lambda text: hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def rsa_signer(pem: str) -> Signer:
    """Base64 of an RSA-SHA256 signature (PKCS 1 v1.5). Raises ValueError for what is no RSA private key in PEM."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding, rsa
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(pem.encode(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ValueError("the secret is no RSA private key in PEM without a password") from None
    if not isinstance(key, rsa.RSAPrivateKey):
        raise ValueError("the secret is a private key, but not an RSA key: Bybit takes HMAC and RSA")
    return lambda text: base64.b64encode(key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())).decode()


def signer(kind: str, secret: str) -> Signer:
    """The signer of a kind of key: `hmac` or `rsa`. Raises ValueError for others, and for a secret that is no key."""
    if kind == "hmac":
        return hmac_signer(secret)
    if kind == "rsa":
        return rsa_signer(secret)
    raise ValueError(f"Bybit has no {kind!r} keys; it takes hmac and rsa")


def prehash(timestamp_ms: int | str, key: str, recv_window: int | str, payload: str) -> str:
    """What a REST request signs; `payload` is the raw query string of a GET, the raw body of a POST."""
    return f"{timestamp_ms}{key}{recv_window}{payload}"


def websocket_prehash(expires_ms: int | str) -> str:
    """What a websocket login signs."""
    return f"GET/realtime{expires_ms}"


def signed_headers(sign: Signer, key: str, timestamp_ms: int, recv_window: int, payload: str) -> dict[str, str]:
    """The headers of a signed REST request."""
    return {
        KEY_HEADER: key,
        TIMESTAMP_HEADER: str(timestamp_ms),
        RECV_WINDOW_HEADER: str(recv_window),
        SIGN_TYPE_HEADER: SIGN_TYPE,
        SIGN_HEADER: sign(prehash(timestamp_ms, key, recv_window, payload)),
    }


# -- rate limits -------------------------------------------------------------------------------------------------------

IP_LIMIT: Final = (600, 5.0)
"""Requests from one address in so many seconds; more is answered by HTTP 403 and a ban of ten minutes."""
IP_BAN_S: Final = 600.0
ORDER_LIMITS: Final[Mapping[str, int]] = {SPOT: 20, LINEAR: 10, INVERSE: 10}
"""Category -> how often each of create, amend, cancel may be called in a second, over REST and websocket together, by
an account without VIP level. https://bybit-exchange.github.io/docs/v5/rate-limit"""
CANCEL_ALL_LIMITS: Final[Mapping[str, int]] = {SPOT: 20, LINEAR: 10, INVERSE: 10}
READ_LIMITS: Final[Mapping[str, int]] = {
    OPEN_ORDERS: 50,
    ORDER_HISTORY: 50,
    EXECUTIONS: 50,
    POSITIONS: 50,
    WALLET: 50,
    ACCOUNT_INFO: 50,
    QUERY_API: 10,
}
"""Path -> calls a second and account."""
LIMIT_HEADER: Final = "x-bapi-limit"
REMAINING_HEADER: Final = "x-bapi-limit-status"
RESET_HEADER: Final = "x-bapi-limit-reset-timestamp"

# -- spellings ---------------------------------------------------------------------------------------------------------

SIDES: Final[Mapping[str, int]] = {"Buy": 1, "Sell": -1}
SIDE_NAMES: Final = ("", "Buy", "Sell")
"""`SIDE_NAMES[sign]`: index 1 is Buy, index -1 (the last) is Sell."""

RISING: Final = 1
"""`triggerDirection`: the trigger fires when the price rises to it."""
FALLING: Final = 2

ORDER_FILTER: Final = "Order"
STOP_ORDER_FILTER: Final = "StopOrder"
"""`orderFilter` on spot: whether an order with a trigger price is a conditional one. Without it spot takes a
`triggerPrice` for nothing: the order is an ordinary one. https://bybit-exchange.github.io/docs/v5/order/create-order"""
BASE_UNIT: Final = "baseCoin"
"""`marketUnit` on spot: the quantity of a market buy is in the base coin, not (the default) in the quote coin."""

GTC: Final = "GTC"
IOC: Final = "IOC"
FOK: Final = "FOK"
POST_ONLY: Final = "PostOnly"

ORDER_STATUSES: Final[Mapping[str, OrderStatus]] = {
    "New": OrderStatus.New,
    "PartiallyFilled": OrderStatus.PartiallyFilled,
    "Untriggered": OrderStatus.Untriggered,
    "Rejected": OrderStatus.Rejected,
    "PartiallyFilledCanceled": OrderStatus.Cancelled,
    "Filled": OrderStatus.Filled,
    "Cancelled": OrderStatus.Cancelled,
    # Between untriggered and new: the order is in the market from here on.
    "Triggered": OrderStatus.New,
    # A conditional order cancelled before it was triggered.
    "Deactivated": OrderStatus.Cancelled,
}
"""`orderStatus`. `PartiallyFilledCanceled` is spot's; on derivatives an order `Cancelled` may have traded."""

CANCEL_TYPES: Final[Mapping[str, CancelCode]] = {
    "CancelByUser": CancelCode.CanceledByUser,
    "CancelByReduceOnly": CancelCode.ReduceOnly,
    "CancelByPrepareLiq": CancelCode.Liquidation,
    "CancelAllBeforeLiq": CancelCode.Liquidation,
    "CancelByPrepareAdl": CancelCode.Liquidation,
    "CancelAllBeforeAdl": CancelCode.Liquidation,
    "CancelByAdmin": CancelCode.ByExchange,
    "CancelBySettle": CancelCode.ByExchange,
    "CancelByTpSlTsClear": CancelCode.ByExchange,
    "CancelBySmp": CancelCode.SelfTradePrevention,
    "CancelByDCP": CancelCode.Disconnected,
    "CancelByRebalance": CancelCode.ByExchange,
    "CancelByOCOTpCanceledBySlTriggered": CancelCode.ByExchange,
    "CancelByOCOSlCanceledByTpTriggered": CancelCode.ByExchange,
}
"""`cancelType`; `UNKNOWN` and empty where there was no cancel or spot does not say."""

REJECT_REASONS: Final[Mapping[str, CancelCode]] = {
    "EC_PostOnlyWillTakeLiquidity": CancelCode.PostOnlyWouldTake,
    "EC_PerCancelRequest": CancelCode.CanceledByUser,
    "EC_NoImmediateQtyToFill": CancelCode.TimeInForce,
    "EC_NoEnoughQtyToFill": CancelCode.TimeInForce,
    "EC_CancelForNoFullFill": CancelCode.TimeInForce,
    "EC_BySelfMatch": CancelCode.SelfTradePrevention,
    "EC_StopBySelfMatch": CancelCode.SelfTradePrevention,
}
"""`rejectReason` -> why the order ended, where it says more than `cancelType`."""
NO_REASON: Final = frozenset({"", "EC_NoError", "UNKNOWN"})

FILLS: Final[Mapping[str, str]] = {
    "Trade": "",
    "AdlTrade": "auto-deleveraging",
    "BustTrade": "liquidation",
    "BlockTrade": "block trade",
    "FutureSpread": "spread trade",
    "Delivery": "delivery",
    "Settle": "settlement",
    "MovePosition": "moved position",
}
"""`execType` of what changes a position -> why, where nobody asked for it. Others (`Funding`) are no fills."""

KLINE_INTERVALS: Final[Mapping[int, str]] = {
    **{minutes * 60: str(minutes) for minutes in (1, 3, 5, 15, 30, 60, 120, 240, 360, 720)},
    86_400: "D",
    604_800: "W",
}
"""Seconds -> `interval`."""


def category(instrument: Instrument) -> str:
    """The category of an instrument: `spot`, `linear` or `inverse`."""
    if instrument.instrument_type is InstrumentType.Spot:
        return SPOT
    return INVERSE if instrument.quantification is Quantification.Inverse else LINEAR


def switch_of(instrument: Instrument) -> str:
    """The product of the disconnection protection that the instrument's orders belong to."""
    return "SPOT" if category(instrument) == SPOT else "DERIVATIVES"
