"""What a script may say by `Link.signal`, and what is refused.

Numbers may be ints, floats, or texts of numbers; true and false, NaN and infinity are none. A size beyond ±1 counts as
±1. Prices must be over 0. A quote is a price, or a pair of bid and ask of which one may be None.
"""

import math
from typing import Any

from attrs import frozen

from mlthon.link.host.listing import LARGEST


class BadIntent(ValueError):
    """A value that says nothing a bot could do; the text says why."""


@frozen
class Quote:
    """The bid and the ask that are wanted; None for a side that is not to be quoted."""

    bid: float | None
    ask: float | None


def read_size(value: Any) -> float:
    """A target from -1 (short) to 1 (long). Raises `BadIntent`."""
    return min(1.0, max(-1.0, _number("size", value)))


def read_price(name: str, value: Any) -> float:
    """The anchor of a grid. Raises `BadIntent`."""
    price = _number(name, value)
    if not 0 < price <= LARGEST:
        raise BadIntent(f"{name} must be a price over 0 and not beyond all prices, not {value!r}")
    return price


def read_quote(value: Any) -> Quote:
    """Where a market is to be made. Raises `BadIntent`."""
    if not isinstance(value, list | tuple):
        price = read_price("quote", value)
        return Quote(price, price)
    if len(value) != 2:
        raise BadIntent(f"quote must be a price or a pair of bid and ask, not {len(value)} values")
    bid, ask = (None if each is None else read_price("quote", each) for each in value)
    if bid is None and ask is None:
        raise BadIntent("quote has neither bid nor ask")
    if bid is not None and ask is not None and bid > ask:
        raise BadIntent(f"quote has its bid {bid:g} above its ask {ask:g}")
    return Quote(bid, ask)


def _number(name: str, value: Any) -> float:
    number = math.nan
    if not isinstance(value, bool) and isinstance(value, int | float | str):
        try:
            number = float(value)
        except (ValueError, OverflowError):
            number = math.nan
    if not math.isfinite(number):
        raise BadIntent(f"{name} must be a number, not {value!r}")
    return number
