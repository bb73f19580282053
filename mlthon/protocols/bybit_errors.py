"""Bybit's `retCode`s: what each means for an order, or for whoever asks.

A code says one of five things of a request about an order: refused (`CODES` gives the reason), refused for its rate,
"no such order", "not known whether it was carried out", or refused for the key, which asking again will not mend.
What is in no table here is a refusal without a more exact reason.

Sources: https://bybit-exchange.github.io/docs/v5/error, whose spot codes begin with 170 and derivative codes with 110.
"""

from collections.abc import Mapping
from typing import Final

from mlthon.basics.defs import GtwRejectCode

OK: Final = 0
PARAMETER: Final = 10001
TIMESTAMP: Final = 10002
KEY: Final = 10003
SIGNATURE: Final = 10004
PERMISSION: Final = 10005
TOO_MANY: Final = 10006
NO_AUTHENTICATION: Final = 10007
WRONG_IP: Final = 10010
NO_PATH: Final = 10017
ORDER_NOT_FOUND: Final = 110001
SPOT_ORDER_NOT_FOUND: Final = 170213
DUPLICATE_LINK_ID: Final = 110072
SPOT_DUPLICATE_LINK_ID: Final = 170141
NOT_MODIFIED: Final = frozenset({34040, 110043, 140043})

CODES: Final[Mapping[int, GtwRejectCode]] = {
    PARAMETER: GtwRejectCode.InvalidRequest,
    TIMESTAMP: GtwRejectCode.InvalidRequest,
    KEY: GtwRejectCode.NotLoggedIn,
    SIGNATURE: GtwRejectCode.NotLoggedIn,
    PERMISSION: GtwRejectCode.NotLoggedIn,
    NO_AUTHENTICATION: GtwRejectCode.NotLoggedIn,
    10008: GtwRejectCode.NotLoggedIn,  # banned, or the account's mode does not allow it
    10009: GtwRejectCode.NotLoggedIn,  # the address is banned
    WRONG_IP: GtwRejectCode.NotLoggedIn,
    33004: GtwRejectCode.NotLoggedIn,  # the key has expired
    10014: GtwRejectCode.InvalidRequest,
    NO_PATH: GtwRejectCode.InvalidRequest,
    10024: GtwRejectCode.NotLoggedIn,  # compliance rules
    10027: GtwRejectCode.NotLoggedIn,  # trading banned
    10028: GtwRejectCode.NotLoggedIn,  # unified accounts only
    10029: GtwRejectCode.UnknownInstrument,
    10404: GtwRejectCode.InvalidRequest,  # trade websocket: unknown op or category
    20006: GtwRejectCode.InvalidRequest,  # trade websocket: the reqId was used before
    # Derivatives
    ORDER_NOT_FOUND: GtwRejectCode.UnknownOrder,
    110003: GtwRejectCode.InvalidPrice,
    110004: GtwRejectCode.InsufficientBalance,
    110006: GtwRejectCode.InsufficientMargin,
    110007: GtwRejectCode.InsufficientBalance,
    110008: GtwRejectCode.OrderNotOpen,
    110009: GtwRejectCode.RiskLimit,  # too many stop orders
    110010: GtwRejectCode.OrderNotOpen,
    110011: GtwRejectCode.InsufficientMargin,  # it would liquidate the account at once
    110012: GtwRejectCode.InsufficientBalance,
    110014: GtwRejectCode.InsufficientBalance,
    110016: GtwRejectCode.RiskLimit,
    110017: GtwRejectCode.ReduceOnlyWouldIncrease,
    110019: GtwRejectCode.UnknownOrder,
    110020: GtwRejectCode.RiskLimit,  # over 500 active orders
    110021: GtwRejectCode.RiskLimit,  # open interest
    110022: GtwRejectCode.RiskLimit,
    110023: GtwRejectCode.ReduceOnlyWouldIncrease,
    110030: GtwRejectCode.DuplicateClientId,
    110032: GtwRejectCode.InvalidRequest,
    110034: GtwRejectCode.ReduceOnlyWouldIncrease,  # there is no position
    110040: GtwRejectCode.InsufficientMargin,
    110042: GtwRejectCode.ReduceOnlyWouldIncrease,
    110044: GtwRejectCode.InsufficientMargin,
    110045: GtwRejectCode.InsufficientBalance,
    110051: GtwRejectCode.InsufficientBalance,
    110052: GtwRejectCode.InsufficientBalance,
    110053: GtwRejectCode.InsufficientBalance,
    110063: GtwRejectCode.NoMarket,
    110064: GtwRejectCode.InvalidQty,  # not more than what has traded
    110066: GtwRejectCode.NoMarket,
    DUPLICATE_LINK_ID: GtwRejectCode.DuplicateClientId,
    110092: GtwRejectCode.StopWouldTrigger,
    110093: GtwRejectCode.StopWouldTrigger,
    110094: GtwRejectCode.NotionalBelowMinimum,
    # Spot
    170010: GtwRejectCode.RiskLimit,
    170011: GtwRejectCode.RiskLimit,
    170033: GtwRejectCode.InsufficientMargin,
    170105: GtwRejectCode.InvalidRequest,
    170115: GtwRejectCode.UnsupportedOrder,
    170116: GtwRejectCode.UnsupportedOrder,
    170117: GtwRejectCode.InvalidRequest,
    170121: GtwRejectCode.UnknownInstrument,
    170124: GtwRejectCode.QtyAboveMaximum,
    170130: GtwRejectCode.InvalidRequest,
    170131: GtwRejectCode.InsufficientBalance,
    170132: GtwRejectCode.InvalidPrice,
    170133: GtwRejectCode.InvalidPrice,
    170134: GtwRejectCode.PriceNotOnTick,
    170135: GtwRejectCode.QtyAboveMaximum,
    170136: GtwRejectCode.QtyBelowMinimum,
    170137: GtwRejectCode.QtyNotOnLot,
    170139: GtwRejectCode.OrderNotOpen,
    170140: GtwRejectCode.NotionalBelowMinimum,
    SPOT_DUPLICATE_LINK_ID: GtwRejectCode.DuplicateClientId,
    170142: GtwRejectCode.OrderNotOpen,
    170143: GtwRejectCode.UnknownOrder,
    170144: GtwRejectCode.RequestPending,
    170148: GtwRejectCode.QtyNotOnLot,
    170151: GtwRejectCode.NoMarket,
    170157: GtwRejectCode.NoMarket,
    170159: GtwRejectCode.UnsupportedOrder,
    170190: GtwRejectCode.OrderNotOpen,
    170192: GtwRejectCode.InvalidPrice,
    170193: GtwRejectCode.InvalidPrice,
    170194: GtwRejectCode.InvalidPrice,
    170197: GtwRejectCode.QtyAboveMaximum,
    170198: GtwRejectCode.QtyAboveMaximum,
    SPOT_ORDER_NOT_FOUND: GtwRejectCode.UnknownOrder,
    170217: GtwRejectCode.UnsupportedOrder,
    170218: GtwRejectCode.PostOnlyWouldTake,
    170228: GtwRejectCode.QtyAboveMaximum,
    170229: GtwRejectCode.QtyAboveMaximum,
    170371: GtwRejectCode.InvalidPrice,
    170372: GtwRejectCode.InvalidPrice,
}

MISSING: Final = frozenset(
    {ORDER_NOT_FOUND, 110008, 110010, 170139, 170142, 170143, 170190, SPOT_ORDER_NOT_FOUND, 20001}
)
"""The order does not exist or is over."""

LIMITED: Final = frozenset({429, TOO_MANY, 10018, 10429, 20003, 170005, 170222})
"""Refused for its rate; 10018 is the limit of the address, 429 and 10429 of the whole system."""

UNKNOWN: Final = frozenset({5004, 10000, 10016, 170001, 170007, 170032, 170146, 170147, 170234})
"""Timeouts and failures inside the exchange: nobody knows whether the request was carried out. 10016 also means that
the service is restarting."""

FINAL: Final = frozenset(
    {KEY, SIGNATURE, PERMISSION, NO_AUTHENTICATION, 10008, 10009, WRONG_IP, 10024, 10027, 10028, 33004}
)
"""Refused for the key or the account: asking again will not help."""


def reject_code(code: int) -> GtwRejectCode:
    """The reason of a refusal; `Unset` for a code that has no more exact one."""
    if code in LIMITED:
        return GtwRejectCode.RateLimited
    return CODES.get(code, GtwRejectCode.Unset)
