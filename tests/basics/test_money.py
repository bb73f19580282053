from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlthon.basics import money

exact = st.decimals(min_value=-(10**20), max_value=10**20, places=18)


@given(exact)
def test_what_is_parsed_is_exactly_the_decimal(number: Decimal) -> None:
    assert Fraction(money.parse(number), money.UNIT) == Fraction(number)
    assert money.parse(str(number)) == money.parse(number)


@given(st.integers(-(10**40), 10**40))
def test_text_is_plain_short_and_reads_back(units: int) -> None:
    text = money.to_str(units)
    assert "e" not in text.lower()
    assert text == "0" or not text.startswith("-0") or "." in text
    assert "." not in text or not text.endswith(("0", "."))
    assert money.parse(text) == units


@given(st.integers(-(10**30), 10**30), st.integers(1, 10**20), st.booleans())
def test_ratio_rounds_half_to_even(numerator: int, denominator: int, negative: bool) -> None:
    divisor = -denominator if negative else denominator
    assert money.ratio(numerator, divisor) == round(Fraction(numerator, divisor))


def test_ratio_of_halves() -> None:
    assert [money.ratio(n, 2) for n in (-3, -1, 1, 3, 5)] == [-2, 0, 0, 2, 2]


@given(exact, exact)
def test_product_and_quotient_are_the_rounded_decimals(a: Decimal, b: Decimal) -> None:
    x, y = money.parse(a), money.parse(b)
    assert money.product(x, y) == round(Fraction(a) * Fraction(b) * money.UNIT)
    if y:
        assert money.quotient(x, y) == round(Fraction(a) / Fraction(b) * money.UNIT)


def test_one_third_rounds_as_decimal_does() -> None:
    third = (Decimal(1) / 3).quantize(Decimal(1).scaleb(-18), ROUND_HALF_EVEN)
    assert money.quotient(money.UNIT, 3 * money.UNIT) == money.parse(third)


@pytest.mark.parametrize("value", ["nan", "NaN", "inf", "-Infinity", "sNaN", float("nan"), Decimal("NaN")])
def test_what_is_not_finite_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="not a"):
        money.parse(value)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", ["", " ", "abc", "1,5", "1_000", "1.2.3", "0x10", "１", "--1", "1e"])
def test_garbage_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="is not a number"):
        money.parse(value)


@pytest.mark.parametrize("value", ["1e-19", "0.1234567890123456789", "1e-999999999", 1e-19, Decimal("1e-400")])
def test_too_many_fractional_digits_are_refused(value: str | float | Decimal) -> None:
    with pytest.raises(ValueError, match="more than 18 digits"):
        money.parse(value)


@pytest.mark.parametrize("value", ["1e36", "1e999999999", 10**36, 1e300, -(10**40)])
def test_too_large_numbers_are_refused(value: str | float) -> None:
    with pytest.raises(ValueError, match="too large"):
        money.parse(value)


@pytest.mark.parametrize("value", [None, True, False, b"1", [1], 1j, object()])
def test_other_types_are_refused(value: object) -> None:
    with pytest.raises(TypeError, match="must be a str, int, Decimal or float"):
        money.parse(value)  # type: ignore[arg-type]


def test_zeros_at_the_end_are_no_digits() -> None:
    assert money.parse("1." + "0" * 500) == money.UNIT
    assert money.parse("0e99999") == 0


def test_an_error_does_not_repeat_endless_input() -> None:
    with pytest.raises(ValueError, match="is not a number") as error:
        money.parse("x" * 10_000)
    assert len(str(error.value)) < 100
