"""Binance's error codes, spot and USD-M futures, and what each means here.

An error is `{"code": -2010, "msg": "..."}`. Several codes stand for many reasons that only the text tells apart, so
there are two tables: of codes, and of texts within a code. The same texts come as the reject reason of an order event.

Sources: https://developers.binance.com/docs/binance-spot-api-docs/errors,
https://developers.binance.com/docs/derivatives/usds-margined-futures/error-code.
"""

from typing import Final

from mlthon.basics.defs import GtwRejectCode

UNKNOWN: Final = -1000
DISCONNECTED: Final = -1001
UNAUTHORIZED: Final = -1002
TOO_MANY_REQUESTS: Final = -1003
UNEXPECTED_RESPONSE: Final = -1006
TIMEOUT: Final = -1007
OVERLOADED: Final = -1008
FILTER_FAILURE: Final = -1013
TOO_MANY_ORDERS: Final = -1015
INVALID_TIMESTAMP: Final = -1021
INVALID_SIGNATURE: Final = -1022
MANDATORY_PARAMETER: Final = -1102
BAD_PRECISION: Final = -1111
BAD_SYMBOL: Final = -1121
NO_LISTEN_KEY: Final = -1125
NEW_ORDER_REJECTED: Final = -2010
CANCEL_REJECTED: Final = -2011
NO_SUCH_ORDER: Final = -2013
BAD_KEY_FORMAT: Final = -2014
BAD_KEY: Final = -2015
AMEND_REJECTED: Final = -2038

STATE_UNKNOWN: Final = frozenset({UNKNOWN, DISCONNECTED, UNEXPECTED_RESPONSE, TIMEOUT})
"""After these the request may have been carried out. -1006 and -1007 say so; -1000 and -1001 do not say that it was
not."""
RATE_LIMITED: Final = frozenset({TOO_MANY_REQUESTS, OVERLOADED, TOO_MANY_ORDERS})
MISSING_ORDER: Final = frozenset({CANCEL_REJECTED, NO_SUCH_ORDER})
"""The order to be cancelled, amended or told of does not exist or is over."""
WRONG_KEY: Final = frozenset({UNAUTHORIZED, INVALID_SIGNATURE, BAD_KEY_FORMAT, BAD_KEY})
"""Trying again will not help."""

_C: Final = GtwRejectCode

CODES: Final = {
    TOO_MANY_REQUESTS: _C.RateLimited,
    OVERLOADED: _C.RateLimited,
    TOO_MANY_ORDERS: _C.RateLimited,
    UNAUTHORIZED: _C.NotLoggedIn,
    INVALID_SIGNATURE: _C.NotLoggedIn,
    BAD_KEY_FORMAT: _C.NotLoggedIn,
    BAD_KEY: _C.NotLoggedIn,
    -1014: _C.UnsupportedOrder,
    -1020: _C.UnsupportedOrder,
    INVALID_TIMESTAMP: _C.InvalidRequest,
    BAD_PRECISION: _C.InvalidRequest,
    -1112: _C.NoMarket,
    -1115: _C.UnsupportedOrder,
    -1116: _C.UnsupportedOrder,
    BAD_SYMBOL: _C.UnknownInstrument,
    NEW_ORDER_REJECTED: _C.InvalidRequest,
    CANCEL_REJECTED: _C.UnknownOrder,
    NO_SUCH_ORDER: _C.UnknownOrder,
    -2018: _C.InsufficientBalance,
    -2019: _C.InsufficientMargin,
    -2020: _C.NoMarket,
    -2021: _C.StopWouldTrigger,
    -2022: _C.ReduceOnlyWouldIncrease,
    -2023: _C.AccountLiquidated,
    -2024: _C.InsufficientBalance,
    -2025: _C.RiskLimit,
    -2026: _C.UnsupportedOrder,
    -2027: _C.RiskLimit,
    -2028: _C.InsufficientMargin,
    AMEND_REJECTED: _C.InvalidRequest,
    -4001: _C.InvalidPrice,
    -4002: _C.InvalidPrice,
    -4003: _C.InvalidQty,
    -4004: _C.QtyBelowMinimum,
    -4005: _C.QtyAboveMaximum,
    -4006: _C.InvalidPrice,
    -4007: _C.InvalidPrice,
    -4013: _C.InvalidPrice,
    -4014: _C.PriceNotOnTick,
    -4015: _C.InvalidRequest,
    -4016: _C.InvalidPrice,
    -4023: _C.QtyNotOnLot,
    -4024: _C.InvalidPrice,
    -4045: _C.RiskLimit,
    -4061: _C.InvalidRequest,
    -4116: _C.DuplicateClientId,
    -4118: _C.ReduceOnlyWouldIncrease,
    -4120: _C.UnsupportedOrder,
    -4131: _C.InvalidPrice,
    -4164: _C.NotionalBelowMinimum,
    -5021: _C.FokNotFillable,
    -5022: _C.PostOnlyWouldTake,
    -5025: _C.UnsupportedOrder,
    -5026: _C.RiskLimit,
    -5027: _C.InvalidRequest,
    -5029: _C.NotionalBelowMinimum,
}
"""Code -> reason; any other is `InvalidRequest`."""

TEXTS: Final = (
    ("insufficient balance", _C.InsufficientBalance),
    ("would immediately match and take", _C.PostOnlyWouldTake),
    ("stop price would trigger immediately", _C.StopWouldTrigger),
    ("duplicate order sent", _C.DuplicateClientId),
    ("market is closed", _C.NoMarket),
    ("unknown order sent", _C.UnknownOrder),
    ("price_filter", _C.PriceNotOnTick),
    ("percent_price", _C.InvalidPrice),
    ("lot_size", _C.InvalidQty),
    ("notional", _C.NotionalBelowMinimum),
    ("max_num_orders", _C.RiskLimit),
    ("max_num_algo_orders", _C.RiskLimit),
    ("max_position", _C.RiskLimit),
    ("price x qty", _C.InvalidQty),
    ("reduceonly order is rejected", _C.ReduceOnlyWouldIncrease),
    ("reduce only reject", _C.ReduceOnlyWouldIncrease),
    ("margin is insufficient", _C.InsufficientMargin),
)
"""Part of a text, in lower case -> reason; the first that occurs counts, and before the code."""

REJECT_REASONS: Final = {
    "INSUFFICIENT_BALANCES": _C.InsufficientBalance,
    "STOP_PRICE_WOULD_TRIGGER_IMMEDIATELY": _C.StopWouldTrigger,
    "WOULD_MATCH_IMMEDIATELY": _C.PostOnlyWouldTake,
    "OCO_BAD_PRICES": _C.InvalidPrice,
}
"""Reasons in spot's `executionReport` (`r`) -> reason."""


def reject_code(code: int, text: str) -> GtwRejectCode:
    """What an error means: by its text where that is clear, else by its code."""
    lowered = text.lower()
    for part, meaning in TEXTS:
        if part in lowered:
            return meaning
    return CODES.get(code, _C.InvalidRequest)
