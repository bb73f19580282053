"""What bots hand over, as JSON can say it."""

import enum
from collections import OrderedDict, deque, namedtuple
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from mlthon.link.bot.plain import plain


class Colour(enum.Enum):
    RED = "red"


class Named(str):
    pass


Point = namedtuple("Point", "x y")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"a": (1, 2.5, None, True)}, {"a": [1, 2.5, None, True]}),
        (np.float64(1.5), 1.5),
        (np.float32(1.5), 1.5),
        (np.int64(7), 7),
        (np.bool_(True), True),
        (np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
        ({1: "a", (1, 2): "b", None: "c", Named("k"): 1}, {"1": "a", "(1, 2)": "b", "None": "c", "k": 1}),
        (OrderedDict(a=1), {"a": 1}),
        (deque([1, 2]), [1, 2]),
        ({3}, [3]),
        (range(3), [0, 1, 2]),
        (Point(1, 2), [1, 2]),
        (Decimal("1.25"), 1.25),
        (2**70, float(2**70)),
        (Colour.RED, "red"),
        (Named("x"), "x"),
        (date(2026, 11, 21), "2026-11-21"),
        (datetime(2026, 11, 21, tzinfo=UTC), "2026-11-21T00:00:00+00:00"),
    ],
)
def test_values_become_plain(value: Any, expected: Any) -> None:
    found = plain(value)
    assert found == expected
    assert type(found) is type(expected)


def test_pandas_too() -> None:
    pandas = pytest.importorskip("pandas")
    assert plain(pandas.Series([1.0, 2.0])) == [1.0, 2.0]
    assert plain(pandas.DataFrame({"a": [1, 2]})) == {"a": {"0": 1, "1": 2}}
    assert plain(pandas.Timestamp("2026-11-21")) == "2026-11-21T00:00:00"


@pytest.mark.parametrize("value", [object(), b"bytes", int, lambda: 1, {"a": [object()]}])
def test_what_json_cannot_say_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match="nothing that JSON can say"):
        plain(value)


def test_a_value_that_contains_itself_is_refused() -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(ValueError, match="contains itself"):
        plain(loop)
