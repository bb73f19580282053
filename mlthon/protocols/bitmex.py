"""BitMEX's language: where it is, how requests are signed, how things are spelled, what its errors mean.

Used by both sides: the feed handler and the gateway, and the local exchange that answers them. The messages are in
`mlthon.protocols.bitmex_messages`.

Facts and where they are from ([R]: recorded requests of real clients, [D]: the exchange's documentation,
https://www.bitmex.com/app/restAPI, /app/wsAPI and /api/explorer, or announcements at https://blog.bitmex.com/):

- Signature [R]: hex HMAC-SHA256 of verb + path with query + expires + raw body; `api-expires` in whole seconds. On a
  websocket the text signed is always `GET/realtime` + expires, whatever the query.
- Quantities are whole numbers [R]: of derivatives contracts, of spot the smallest units of the coin (an order for
  0.0001 XBT on XBT_USDT has orderQty 10000). Money is in the smallest units of its currency: `XBt` is 10^-8 XBT.
- Bitcoin is `XBT` here and `BTC` in the rest of the project.
- The exchange closed on 2026-09-23.
"""

import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Final, NamedTuple

from mlthon.basics import money
from mlthon.basics.defs import TIF, CancelCode, GtwRejectCode, InstrumentType, OrderStatus, OrderType
from mlthon.basics.instrument import Instrument

ENVIRONMENTS: Final[Mapping[str, Mapping[str, str]]] = {
    "main": {
        "rest": "https://www.bitmex.com",
        "public": "wss://ws.bitmex.com/realtime",
        "private": "wss://ws.bitmex.com/realtime",
    },
    "testnet": {
        "rest": "https://testnet.bitmex.com",
        "public": "wss://ws.testnet.bitmex.com/realtime",
        "private": "wss://ws.testnet.bitmex.com/realtime",
    },
}
"""Where the exchange was until it closed on 2026-09-23; nothing answers there any more. They are kept because a local
exchange has the same paths. `/realtime` serves every table, public and private."""
REAL_MONEY: Final = frozenset({"main"})

API: Final = "/api/v1"
REALTIME: Final = "/realtime"

# -- tables of the websocket -------------------------------------------------------------------------------------------

TRADE: Final = "trade"
QUOTE: Final = "quote"
BOOK: Final = "orderBookL2"
BOOK_25: Final = "orderBookL2_25"
ORDER: Final = "order"
EXECUTION: Final = "execution"
POSITION: Final = "position"
MARGIN: Final = "margin"
WALLET: Final = "wallet"
PRIVATE_TABLES: Final = (ORDER, EXECUTION, POSITION, MARGIN, WALLET)

PARTIAL: Final = "partial"
INSERT: Final = "insert"
UPDATE: Final = "update"
DELETE: Final = "delete"

PING: Final = "ping"
PONG: Final = b"pong"
"""Heartbeats are plain text, no JSON [D]."""

# -- signing -----------------------------------------------------------------------------------------------------------


def sign(secret: str, verb: str, target: str, expires: int, body: str = "") -> str:
    """The signature of a request: `target` is path and query as sent, `expires` seconds since 1970."""
    text = f"{verb}{target}{expires}{body}"
    return hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()


def sign_realtime(secret: str, expires: int) -> str:
    """The signature of a websocket login, by header, query or `authKeyExpires` alike."""
    return sign(secret, "GET", REALTIME, expires)


# -- rate limits -------------------------------------------------------------------------------------------------------

MINUTE: Final = "minute"
BURST: Final = "burst"
KEYED_LIMITS: Final = ((MINUTE, 120, 60.0), (BURST, 10, 1.0))
UNKEYED_LIMITS: Final = ((MINUTE, 30, 60.0), (BURST, 10, 1.0))
"""(name, limit, seconds): 120 requests a minute with a key, 30 without
(https://blog.bitmex.com/api_announcement/updates-to-rate-limits/); of order routes besides at most 10 a second
(https://blog.bitmex.com/second-layer-rate-limits-to-improve-the-bitmex-trading-experience/). The exchange keeps token
buckets: a sliding window never asks for more than they give."""
CONNECTIONS: Final = 60
"""Websocket connections an hour (the first page above)."""

LIMIT_HEADER: Final = "x-ratelimit-limit"
REMAINING_HEADER: Final = "x-ratelimit-remaining"
RESET_HEADER: Final = "x-ratelimit-reset"
REMAINING_1S_HEADER: Final = "x-ratelimit-remaining-1s"
LIMIT_1S_HEADER: Final = "x-ratelimit-limit-1s"
"""Only since 2025-12."""
RETRY_HEADER: Final = "retry-after"

# -- coins and quantities ----------------------------------------------------------------------------------------------


class Coin(NamedTuple):
    """A coin as it is called here, and how many digits its smallest unit has."""

    name: str
    scale: int


CURRENCIES: Final[Mapping[str, Coin]] = {
    "XBt": Coin("BTC", 8),
    "USDt": Coin("USDT", 6),
    "Gwei": Coin("ETH", 9),
    "LAMp": Coin("SOL", 9),
}
"""Money as the exchange names it; the rest of them GET /wallet/assets tells."""
SCALES: Final[Mapping[str, int]] = {coin.name: coin.scale for coin in CURRENCIES.values()}
WIRE_CURRENCIES: Final[Mapping[str, str]] = {coin.name: wire for wire, coin in CURRENCIES.items()}


def coin_name(major: str) -> str:
    """`XBT`, as the exchange calls it, as it is called here."""
    return "BTC" if major == "XBT" else major


def lot_size(instrument: Instrument) -> int:
    """What one lot is on the wire, in 10^-18: contracts, or smallest units of a spot coin. Raises ValueError for a
    spot coin whose smallest unit is not known."""
    step = instrument.qty_scale.step_units
    if instrument.instrument_type is not InstrumentType.Spot:
        return step
    scale = SCALES.get(instrument.base_currency or "")
    if scale is None:
        raise ValueError(f"{instrument}: the smallest unit of {instrument.base_currency} on BitMEX is not known")
    return step * int(10**scale)


# -- numbers and times -------------------------------------------------------------------------------------------------

KEPT: Final = 200_000
"""A cache is emptied when it holds so many numbers."""


class Steps(dict[bytes, int]):
    """`steps[bytes]` is how many steps of `step_units` (in 10^-18) a JSON number is, exactly; no float comes between.
    Raises ValueError for what is no number and for no multiple of the step."""

    __slots__ = ("_step_units",)

    def __init__(self, step_units: int) -> None:
        super().__init__()
        self._step_units = step_units

    def __missing__(self, number: bytes) -> int:
        text = number.decode()
        steps, rest = divmod(money.parse(text), self._step_units)
        if rest:
            self._off_step(text)
        if len(self) >= KEPT:
            self.clear()
        self[number] = steps
        return steps

    def _off_step(self, text: str) -> None:
        raise ValueError(f"{text} is not a multiple of {money.to_str(self._step_units)}")


class WholeSteps(Steps):
    """The same, but of a number between two steps the lower one: a level may still count orders from before the lot
    grew (XBTUSD's was 1 until 2021-06, then 100)."""

    __slots__ = ("cut",)

    def __init__(self, step_units: int) -> None:
        super().__init__(step_units)
        self.cut = 0
        """How many numbers lost a part of a step."""

    def _off_step(self, text: str) -> None:
        self.cut += 1


def steps(number: Decimal, step_units: int) -> int:
    """How many steps a number is, exactly. Raises ValueError."""
    whole, rest = divmod(money.parse(number), step_units)
    if rest:
        raise ValueError(f"{number} is not a multiple of {money.to_str(step_units)}")
    return whole


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@lru_cache(4096)
def nanoseconds(text: str) -> int:
    """`2021-07-22T22:36:10.014Z` in ns since 1970. Raises ValueError."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone")
    since = moment - _EPOCH
    return ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * 1000


def timestamp(ns: int) -> str:
    """A time as the exchange writes it, cut to milliseconds."""
    seconds, rest = divmod(ns, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest // 1_000_000:03}Z"


def trade_number(match_id: str) -> int:
    """A trade's GUID as a number of 63 bits: its second half. Of the newer GUIDs
    (`00000000-006d-1000-0000-000e8737d540`) that is all that differs; the older ones were random. Raises ValueError."""
    return int(match_id.replace("-", "")[16:], 16) & ((1 << 63) - 1)


# -- spellings of orders -----------------------------------------------------------------------------------------------

SIDES: Final[Mapping[str, int]] = {"Buy": 1, "Sell": -1}
SIDE_NAMES: Final[Mapping[int, str]] = {1: "Buy", -1: "Sell"}

ORDER_TYPES: Final[Mapping[OrderType, str]] = {
    OrderType.Limit: "Limit",
    OrderType.Market: "Market",
    OrderType.Stop: "Stop",
    OrderType.StopLimit: "StopLimit",
    OrderType.TakeProfit: "MarketIfTouched",
}
ORDER_TYPES_READ: Final[Mapping[str, OrderType]] = {
    **{spelled: order_type for order_type, spelled in ORDER_TYPES.items()},
    "LimitIfTouched": OrderType.StopLimit,
    "Pegged": OrderType.Limit,
    "MarketWithLeftOverAsLimit": OrderType.Limit,
}
"""Those that nobody here sends count as what comes nearest."""
TRIGGERED_TYPES: Final = frozenset({"Stop", "StopLimit", "MarketIfTouched", "LimitIfTouched"})
PRICED_TYPES: Final = frozenset({"Limit", "StopLimit", "LimitIfTouched", "Pegged", "MarketWithLeftOverAsLimit"})

TIFS: Final[Mapping[TIF, str]] = {
    TIF.GTC: "GoodTillCancel",
    TIF.IOC: "ImmediateOrCancel",
    TIF.FOK: "FillOrKill",
    TIF.Day: "Day",
}
TIFS_READ: Final[Mapping[str, TIF]] = {spelled: tif for tif, spelled in TIFS.items()}

POST_ONLY: Final = "ParticipateDoNotInitiate"
REDUCE_ONLY: Final = "ReduceOnly"
CLOSE: Final = "Close"
"""Reduce-only, and without orderQty of the size of the position [D]."""
TRIGGERS: Final[Mapping[str, str]] = {"last": "LastPrice", "mark": "MarkPrice", "index": "IndexPrice"}
"""Which price triggers a stop; the exchange takes the mark price where nothing is said [D]."""

STATUSES: Final[Mapping[str, OrderStatus]] = {
    "New": OrderStatus.New,
    "PartiallyFilled": OrderStatus.PartiallyFilled,
    "Filled": OrderStatus.Filled,
    "Canceled": OrderStatus.Cancelled,
    "Rejected": OrderStatus.Rejected,
    "Triggered": OrderStatus.New,
    "Untriggered": OrderStatus.Untriggered,
    "Stopped": OrderStatus.New,
    "Expired": OrderStatus.Cancelled,
    "DoneForDay": OrderStatus.Cancelled,
    "PendingCancel": OrderStatus.New,
    "PendingReplace": OrderStatus.New,
}
"""An order whose cancel or change is pending is as open as before (statuses since 2024,
https://blog.bitmex.com/upgrade-margining-system-and-api/)."""
PENDING_NEW: Final = "PendingNew"
"""Taken in and not looked at yet: it may still be refused, so it says nothing."""

CANCEL_TEXTS: Final[tuple[tuple[str, CancelCode], ...]] = (
    ("execinst of participatedonotinitiate", CancelCode.PostOnlyWouldTake),
    ("execinst of reduceonly", CancelCode.ReduceOnly),
    ("execinst of close", CancelCode.ReduceOnly),
    ("timeinforce of", CancelCode.TimeInForce),
    ("ordtype of market", CancelCode.NoLiquidity),
    ("self-match", CancelCode.SelfTradePrevention),
    ("self match", CancelCode.SelfTradePrevention),
    ("liquidation", CancelCode.Liquidation),
    ("cancelallafter", CancelCode.Disconnected),
    ("canceled via api", CancelCode.CanceledByUser),
    ("cancel from", CancelCode.CanceledByUser),
    ("cancelation from", CancelCode.CanceledByUser),
)
"""What an order's `text` says when it ended -> why; the first that fits. `Canceled: Order had execInst of
ParticipateDoNotInitiate` is how a crossing post-only order ends: accepted, then cancelled
(https://github.com/ccxt/ccxt/issues/4808). Self-matches and cancelAllAfter from memory."""


def cancel_code(text: str) -> CancelCode:
    """Why an order was cancelled, by its `text`."""
    lower = text.lower()
    for part, code in CANCEL_TEXTS:
        if part in lower:
            return code
    return CancelCode.ByExchange


# -- errors ------------------------------------------------------------------------------------------------------------

OVERLOADED: Final = "The system is currently overloaded. Please try again later."
"""With status 503: "The request will not have reached the engine, and you should retry after at least 500
milliseconds" [D, /app/restAPI#Overload]: refused, not unknown."""
OVERLOADED_RETRY_S: Final = 0.5
NOT_FOUND: Final = "Not Found"
DUPLICATE_ID: Final = "Duplicate clOrdID"
BAD_SIGNATURE: Final = "Signature not valid."
BAD_KEY: Final = "Invalid API Key."
EXPIRED: Final = "This request has expired - `expires` is in the past. Current time: {now}"
INSUFFICIENT: Final = "Account has insufficient Available Balance, {required} XBt required"
EXISTING_STATE: Final = "Unable to cancel order due to existing state: {status}"
INVALID_STATUS: Final = "Invalid ordStatus"
RATE_LIMITED: Final = "Rate limit exceeded, retry in {seconds} seconds."

MISSING_TEXTS: Final = (
    "not found",
    "unable to cancel order due to existing state",
    "invalid ordstatus",
    "invalid origclordid",
    "invalid orderid",
    "invalid clordid",
)
"""The order does not exist or is over."""

REJECT_TEXTS: Final[tuple[tuple[str, GtwRejectCode], ...]] = (
    ("duplicate clordid", GtwRejectCode.DuplicateClientId),
    ("duplicate orderid", GtwRejectCode.DuplicateClientId),
    ("insufficient available balance", GtwRejectCode.InsufficientMargin),
    ("account has no", GtwRejectCode.InsufficientBalance),
    ("margin call", GtwRejectCode.InsufficientMargin),
    ("immediate liquidation", GtwRejectCode.InsufficientMargin),
    ("position is in liquidation", GtwRejectCode.AccountLiquidated),
    ("risk limit", GtwRejectCode.RiskLimit),
    ("invalid price ticksize", GtwRejectCode.PriceNotOnTick),
    ("invalid stoppx ticksize", GtwRejectCode.PriceNotOnTick),
    ("invalid price", GtwRejectCode.InvalidPrice),
    ("invalid stoppx", GtwRejectCode.InvalidPrice),
    ("limitupprice", GtwRejectCode.InvalidPrice),
    ("limitdownprice", GtwRejectCode.InvalidPrice),
    ("liquidation price", GtwRejectCode.InvalidPrice),
    ("would immediately trigger", GtwRejectCode.StopWouldTrigger),
    ("lotsize", GtwRejectCode.QtyNotOnLot),
    ("multiple of lot", GtwRejectCode.QtyNotOnLot),
    ("maxorderqty", GtwRejectCode.QtyAboveMaximum),
    ("orderqty", GtwRejectCode.InvalidQty),
    ("leavesqty", GtwRejectCode.InvalidQty),
    ("participatedonotinitiate", GtwRejectCode.PostOnlyWouldTake),
    ("but current position is", GtwRejectCode.ReduceOnlyWouldIncrease),
    ("invalid symbol", GtwRejectCode.UnknownInstrument),
    ("instrument expired", GtwRejectCode.UnknownInstrument),
    ("not listed for trading", GtwRejectCode.UnknownInstrument),
    ("market is not open", GtwRejectCode.NoMarket),
    ("no mark price", GtwRejectCode.NoMarket),
    ("overloaded", GtwRejectCode.GtwNotReady),
    ("rate limit", GtwRejectCode.RateLimited),
    ("rate-limit", GtwRejectCode.RateLimited),
    ("too many", GtwRejectCode.RateLimited),
    ("unsupported", GtwRejectCode.UnsupportedOrder),
    ("invalid ordtype", GtwRejectCode.UnsupportedOrder),
    ("invalid execinst", GtwRejectCode.UnsupportedOrder),
    ("signature not valid", GtwRejectCode.NotLoggedIn),
    ("invalid api key", GtwRejectCode.NotLoggedIn),
    ("key is disabled", GtwRejectCode.NotLoggedIn),
    ("request has expired", GtwRejectCode.NotLoggedIn),
    ("access denied", GtwRejectCode.NotLoggedIn),
    ("account is restricted", GtwRejectCode.NotLoggedIn),
    ("account is suspended", GtwRejectCode.NotLoggedIn),
)
"""Parts of an error's message in lower case -> code; the first that fits. The messages are those of the API explorer's
list for POST and PUT /order and those that clients of the exchange treat."""

FINAL_TEXTS: Final = (
    "signature not valid",
    "invalid api key",
    "key is disabled",
    "access denied",
    "account is restricted",
    "account is suspended",
)
"""Refusals of a key that asking again does not mend."""


def reject_code(text: str) -> GtwRejectCode:
    """Why a request was refused, by the error's message."""
    lower = text.lower()
    for part, code in REJECT_TEXTS:
        if part in lower:
            return code
    return GtwRejectCode.InvalidRequest


def is_missing(text: str) -> bool:
    """Whether an error says that the order does not exist or is over."""
    lower = text.lower()
    return any(part in lower for part in MISSING_TEXTS)


def is_final(text: str) -> bool:
    """Whether an error says that the key will not be accepted later either."""
    lower = text.lower()
    return any(part in lower for part in FINAL_TEXTS)
