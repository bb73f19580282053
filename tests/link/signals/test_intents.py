"""What scripts may say."""

import math
from typing import Any

import pytest

from mlthon.link.signals.intents import BadIntent, Quote, read_price, read_quote, read_size


@pytest.mark.parametrize(
    ("value", "size"),
    [(0.5, 0.5), (-1, -1.0), ("0.25", 0.25), (" -0.5 ", -0.5), (7, 1.0), (-1e9, -1.0), (0, 0.0), ("1e-3", 0.001)],
)
def test_a_size_is_a_number_within_one(value: Any, size: float) -> None:
    assert read_size(value) == size


@pytest.mark.parametrize(
    "value", [math.nan, math.inf, -math.inf, "nan", "inf", "much", "", True, False, [0.5], {}, b"1", 10**400]
)
def test_what_is_no_number_is_refused(value: Any) -> None:
    with pytest.raises(BadIntent, match="size must be a number"):
        read_size(value)


@pytest.mark.parametrize("value", [0, -1.5, "-3", 1e300, "1e40"])
def test_a_price_is_over_zero(value: Any) -> None:
    with pytest.raises(BadIntent, match="mid must be a price over 0"):
        read_price("mid", value)


@pytest.mark.parametrize(
    ("value", "quote"),
    [
        (2300, Quote(2300.0, 2300.0)),
        ("2300.5", Quote(2300.5, 2300.5)),
        ([2300, 2305], Quote(2300.0, 2305.0)),
        (("2300", 2305.5), Quote(2300.0, 2305.5)),
        ([2300, None], Quote(2300.0, None)),
        ([None, 2300], Quote(None, 2300.0)),
        ([2300, 2300], Quote(2300.0, 2300.0)),
    ],
)
def test_a_quote_is_a_price_or_a_pair(value: Any, quote: Quote) -> None:
    assert read_quote(value) == quote


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ([2305, 2300], "bid 2305 above its ask 2300"),
        ([1, 2, 3], "not 3 values"),
        ([], "not 0 values"),
        ([None, None], "neither bid nor ask"),
        ([1, math.nan], "must be a number"),
        ([1, 1e300], "beyond all prices"),
        ({"bid": 1}, "must be a number"),
        ("1,2", "must be a number"),
    ],
)
def test_other_quotes_are_refused(value: Any, why: str) -> None:
    with pytest.raises(BadIntent, match=why):
        read_quote(value)
