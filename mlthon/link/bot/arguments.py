"""The arguments of exchange calls: what bots pass, checked before anything is sent.

Numbers may be any number or a numeric text (webhooks give texts); they leave as floats. What is left out, or None where
that is allowed, is absent from the call.
"""

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from mlthon.link.bot.plain import plain
from mlthon.link.levels import length_of

LATEST: Final = 253_402_300_799_999
"""The last millisecond of the year 9999: whoever names a later one counts in another unit."""
_SIDES: Final = {"buy": "Buy", "sell": "Sell"}


def text(call: str, name: str, value: Any) -> str:
    """A text that must be there."""
    if isinstance(value, str) and value:
        return str(value)
    raise TypeError(f"{call}: {name} {'is missing' if value in (None, '') else f'must be a text, not {value!r}'}")


def number(call: str, name: str, value: Any) -> float:
    """A finite number that must be there."""
    if value is None:
        raise TypeError(f"{call}: {name} is missing")
    if isinstance(value, bool):
        raise TypeError(f"{call}: {name} must be a number, not {value!r}")
    try:
        found = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{call}: {name} must be a number, not {value!r}") from None
    if not math.isfinite(found):
        raise ValueError(f"{call}: {name} is {found}: wait until what you compute it from is known")
    return found


def side(call: str, value: Any) -> str:
    """`Buy` or `Sell`, in any case of letters."""
    found = _SIDES.get(value.lower()) if isinstance(value, str) else None
    if found is None:
        raise ValueError(f"{call}: side must be 'Buy' or 'Sell', not {value!r}")
    return found


def market_order(venue: Any, sym: Any, side_: Any, size: Any) -> dict[str, Any]:
    call = "create_market_order"
    return {
        "venue": text(call, "venue", venue),
        "sym": text(call, "sym", sym),
        "side": side(call, side_),
        "size": number(call, "size", size),
    }


def limit_order(venue: Any, sym: Any, side_: Any, size: Any, price: Any) -> dict[str, Any]:
    call = "create_limit_order"
    return {
        "venue": text(call, "venue", venue),
        "sym": text(call, "sym", sym),
        "side": side(call, side_),
        "size": number(call, "size", size),
        "price": number(call, "price", price),
    }


def amendment(venue: Any, order_id: Any, size: Any, price: Any) -> dict[str, Any]:
    call = "amend_order"
    found: dict[str, Any] = {"venue": text(call, "venue", venue), "order_id": text(call, "order_id", order_id)}
    for name, value in (("size", size), ("price", price)):
        if value is not None:
            found[name] = number(call, name, value)
    if len(found) == 2:
        raise ValueError(f"{call}: neither size nor price is given: there is nothing to amend")
    return found


def cancellation(venue: Any, order_id: Any, sym: Any) -> dict[str, Any]:
    call = "cancel_order"
    found = {"venue": text(call, "venue", venue)}
    for name, value in (("order_id", order_id), ("sym", sym)):
        if value is not None:
            found[name] = text(call, name, value)
    return found


def candles(venue: Any, sym: Any, level: Any, since: Any) -> dict[str, Any]:
    call = "fetch_candles"
    length_of(level)
    found: dict[str, Any] = {"venue": text(call, "venue", venue), "sym": text(call, "sym", sym), "level": level}
    if isinstance(since, datetime):
        since = since.timestamp() * 1000
    if since is not None:
        found["since"] = int(number(call, "since", since))
        if found["since"] > LATEST:
            raise ValueError(f"{call}: since must be milliseconds since 1970, not {since!r}: that is after year 9999")
    return found


def endpoint(venue: Any, path: Any, version: Any, method: Any, params: Any) -> dict[str, Any]:
    call = "call_endpoint"
    if version not in ("public", "private"):
        raise ValueError(f"{call}: version must be 'public' or 'private', not {version!r}")
    if params is not None and not isinstance(params, Mapping):
        raise TypeError(f"{call}: params must be a dict, not {params!r}")
    return {
        "venue": text(call, "venue", venue),
        "path": text(call, "path", path),
        "version": version,
        "method": text(call, "method", method).upper(),
        "params": plain(params or {}),
    }


def intents(given: Mapping[str, Any]) -> dict[str, Any]:
    """What a signal says, without what is None (no intent). A NaN among them raises `ValueError`."""
    found = {name: plain(value) for name, value in given.items() if value is not None}
    for name, value in found.items():
        for each in value if isinstance(value, list) else (value,):
            if isinstance(each, float) and math.isnan(each):
                raise ValueError(f"signal: {name} is NaN: wait until what you compute it from is known")
    return found
