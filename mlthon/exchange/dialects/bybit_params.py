"""The parameters of Bybit's requests, in the query or a JSON body, and the rate headers of their answers."""

from collections.abc import Mapping
from typing import Any

import msgspec

from mlthon.engine.clock import MS
from mlthon.exchange.dialects.bybit_orders import BybitError
from mlthon.exchange.served.contract import ServerRequest
from mlthon.exchange.served.limits import Use
from mlthon.protocols import bybit_errors as errors

Params = Mapping[str, Any]


def body_of(request: ServerRequest) -> dict[str, Any]:
    """The JSON object of a body. Raises `BybitError`."""
    try:
        body = msgspec.json.decode(request.body)
    except msgspec.DecodeError:
        body = None
    if not isinstance(body, dict):
        raise BybitError(errors.PARAMETER, "params error: the body is no JSON object")
    return body


def number(params: Params, name: str, usual: int, most: int) -> int:
    """A whole number from 1 to `most`; what is more counts as `most`. Raises `BybitError`."""
    try:
        value = int(params.get(name) or usual)
    except ValueError:
        raise BybitError(errors.PARAMETER, f"params error: {name} is no number") from None
    return max(1, min(value, most))


def moment(params: Params, name: str) -> int | None:
    """A time in ms, as ns. Raises `BybitError`."""
    text = params.get(name)
    if not text:
        return None
    try:
        return int(text) * MS
    except ValueError:
        raise BybitError(errors.PARAMETER, f"params error: {name} is no time") from None


def limit_headers(use: Use, now_ms: int) -> dict[str, str]:
    """The rate headers of an answer. While requests are left the reset time is now.
    https://bybit-exchange.github.io/docs/v5/rate-limit"""
    return {
        "X-Bapi-Limit": str(use.limit),
        "X-Bapi-Limit-Status": str(use.remaining),
        "X-Bapi-Limit-Reset-Timestamp": str(now_ms if use.allowed and use.remaining else use.reset_ts // MS),
    }
