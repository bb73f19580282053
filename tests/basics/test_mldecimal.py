import copy
import pickle
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlthon.basics.mldecimal import MLDecimal
from mlthon.basics.price import Price
from mlthon.basics.qty import Qty

numbers = st.decimals(min_value=-(10**15), max_value=10**15, places=18, allow_nan=False)


@given(numbers)
def test_it_is_the_decimal(number: Decimal) -> None:
    price = Price(number)
    assert price.to_decimal() == number
    assert price.to_float() == float(number)
    assert Decimal(price.to_str()) == number
    assert Price(price.to_str()) == price == Price(str(number))
    assert hash(Price(str(number))) == hash(price)


@given(numbers, numbers, st.integers(-1000, 1000))
def test_order_and_arithmetic_are_the_decimals(a: Decimal, b: Decimal, n: int) -> None:
    x, y = Qty(a), Qty(b)
    assert (x < y, x <= y, x == y, x >= y, x > y) == (a < b, a <= b, a == b, a >= b, a > b)
    assert (x + y).units == x.units + y.units
    assert (x - y).units == x.units - y.units
    assert x - y == -(y - x)
    assert abs(x).to_decimal() == a.copy_abs()
    assert (x * n).units == (n * x).units == x.units * n
    assert bool(x) == bool(a)


@given(st.floats(min_value=-1e15, max_value=1e15).filter(lambda x: x == 0 or abs(x) > 1e-2))
def test_a_float_is_what_it_prints_as(x: float) -> None:
    number = Decimal(repr(x))
    assert number.as_tuple().exponent >= -18  # type: ignore[operator]
    assert Price(x).to_decimal() == number
    assert Price(x).to_float() == x


@pytest.mark.parametrize(
    "spelling", ["9226.5", "9226.50000000", "+9226.5", "9.2265e3", " 9226.5 ", 9226.5, Decimal("9226.50")]
)
def test_spellings_are_equal(spelling: str | float | Decimal) -> None:
    assert Price(spelling) == Price("9226.5")
    assert hash(Price(spelling)) == hash(Price("9226.5"))


def test_text() -> None:
    assert repr(Price("9226.50000000")) == "Price('9226.5')"
    assert repr(Qty(13952)) == "Qty('13952')"
    assert str(Price("9226.50")) == Price("9226.50").to_str() == "9226.5"
    assert Price(1e-18).to_str() == "0.000000000000000001"
    assert f"{Price('9226.5'):.2f}|{Price('9226.5')}" == "9226.50|9226.5"


def test_kinds_are_never_equal() -> None:
    assert Price(1) != Qty(1)
    assert Price(1) != "1"
    assert len({Price(1), Qty(1), Price("1.0")}) == 2
    with pytest.raises(TypeError):
        assert Price(1) < Qty(2)
    with pytest.raises(TypeError):
        Price(1) + Qty(2)
    with pytest.raises(TypeError):
        Price(1) * 1.5


@given(numbers, st.integers(-50, 50) | st.floats(-1e6, 1e6) | numbers)
def test_plain_numbers_compare_by_their_exact_value(a: Decimal, b: float | Decimal) -> None:
    price = Price(a)
    assert (price == b, price != b, price < b, price <= b) == (a == b, a != b, a < b, a <= b)
    assert (price > b, price >= b, b < price, b == price) == (a > b, a >= b, b < a, b == a)
    assert hash(price) == hash(a)


def test_nothing_is_equal_to_what_is_no_number_and_everything_lies_below_infinity() -> None:
    assert Qty("0") == 0
    assert Qty("0.5") == 0.5
    assert Price("0.1") != 0.1
    assert Qty(-1) < 0 < Qty("0.001") < float("inf")
    assert not Qty(1) <= float("-inf")
    assert Qty(1) < Decimal("Infinity")
    for nan in (float("nan"), Decimal("nan")):
        assert Qty(1) != nan
        assert not Qty(1) < nan
        assert not Qty(1) >= nan
    assert Qty(1) in {1: "one"}
    with pytest.raises(TypeError):
        Qty(1) + 1  # type: ignore[operator]
    with pytest.raises(TypeError):
        assert Qty(1) < "2"  # type: ignore[operator]


def test_one_kind_is_made_from_another() -> None:
    assert Price(Qty("0.1")) == Price("0.1")
    assert issubclass(Price, MLDecimal)
    assert issubclass(Qty, MLDecimal)


def test_numpy_numbers() -> None:
    assert Price(np.float64(0.1)) == Price("0.1")
    assert Qty(np.int64(7)) == Qty(7)
    with pytest.raises(TypeError):
        Qty(np.float32(0.1))


@pytest.mark.parametrize("bad", ["nan", "abc", "1e-19", "1e40", float("inf")])
def test_bad_numbers(bad: str | float) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 (which message: see test_money)
        Price(bad)


@pytest.mark.parametrize("bad", [None, True, b"1", [], {}])
def test_bad_types(bad: object) -> None:
    with pytest.raises(TypeError, match="must be a str, int, Decimal or float"):
        Qty(bad)  # type: ignore[arg-type]


def test_it_is_immutable() -> None:
    price = Price("1.5")
    for name in ("units", "to_float", "other"):
        with pytest.raises(AttributeError, match="immutable"):
            setattr(price, name, 1)
        with pytest.raises(AttributeError, match="immutable"):
            delattr(price, name)
    assert price == Price("1.5")


def test_arithmetic_cannot_leave_the_range() -> None:
    with pytest.raises(ValueError, match="too large"):
        Price("1e35") * 10


def test_copies_and_pickles() -> None:
    price = Price("9226.5")
    assert copy.copy(price) is price
    assert copy.deepcopy(price) is price
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        again = pickle.loads(pickle.dumps(price, protocol))
        assert again == price
        assert type(again) is Price
        assert again.to_float() == 9226.5


def test_to_float_is_called_or_negated() -> None:
    price = Price("9226.5")
    assert price.to_float() == float(price) == 9226.5
    assert -price.to_float() == -9226.5
    assert -price.to_float == -9226.5  # type: ignore[comparison-overlap]
    assert -price.to_float * 2.0 == -18453.0
    assert callable(price.to_float)
