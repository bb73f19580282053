import math
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Context, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

import mlthon.TickUnit
from mlthon.basics.price import Price
from mlthon.basics.qty import Qty
from mlthon.basics.tick_format import NOISE_ULPS, TickFormat
from mlthon.TickUnit import TickUnit

TICKS = ["0.1", "0.5", "0.01", "1", "0.001", "25", "0.00025", "0.3"]
CONTEXT = Context(prec=200)
FROM_FLOAT = [
    (TickFormat.price_down_from_float, ROUND_FLOOR),
    (TickFormat.price_up_from_float, ROUND_CEILING),
    (TickFormat.price_nearest_from_float, ROUND_HALF_EVEN),
    (TickFormat.qty_down_from_float, ROUND_FLOOR),
    (TickFormat.qty_up_from_float, ROUND_CEILING),
    (TickFormat.qty_nearest_from_float, ROUND_HALF_EVEN),
]
EXACT = [
    (TickFormat.price_down, ROUND_FLOOR),
    (TickFormat.price_up, ROUND_CEILING),
    (TickFormat.price_nearest, ROUND_HALF_EVEN),
    (TickFormat.qty_down, ROUND_FLOOR),
    (TickFormat.qty_up, ROUND_CEILING),
    (TickFormat.qty_nearest, ROUND_HALF_EVEN),
]


def rounded(number: Decimal, tick: str, rounding: str) -> Decimal:
    steps = CONTEXT.divide(number, Decimal(tick)).to_integral_value(rounding)
    return CONTEXT.multiply(steps, Decimal(tick))


@given(st.sampled_from(EXACT), st.sampled_from(TICKS), st.decimals(-(10**9), 10**9, places=12))
def test_decimals_and_text_are_rounded_exactly(case, tick: str, number: Decimal) -> None:  # type: ignore[no-untyped-def]
    function, rounding = case
    expected = rounded(number, tick, rounding)
    assert function(number, tick_size=tick).to_decimal() == expected
    assert function(str(number), tick_size=Decimal(tick)).to_decimal() == expected


@given(st.sampled_from(FROM_FLOAT), st.sampled_from(TICKS), st.floats(-1e9, 1e9))
def test_floats_are_rounded_as_they_print(case, tick: str, x: float) -> None:  # type: ignore[no-untyped-def]
    function, rounding = case
    number = Decimal(repr(x))
    nearest = rounded(number, tick, ROUND_HALF_EVEN)
    is_noise = abs(CONTEXT.subtract(nearest, number)) <= Decimal(NOISE_ULPS * math.ulp(x))
    expected = nearest if is_noise else rounded(number, tick, rounding)
    assert function(x, tick_size=float(tick)).to_decimal() == expected


@given(st.sampled_from(FROM_FLOAT), st.sampled_from(TICKS), st.integers(-(10**7), 10**7), st.integers(-3, 3))
def test_float_noise_loses_no_tick(case, tick: str, n: int, ulps: int) -> None:  # type: ignore[no-untyped-def]
    function, _ = case
    x = float(n * Decimal(tick))
    for _ in range(abs(ulps)):
        x = math.nextafter(x, math.inf if ulps > 0 else -math.inf)
    assert function(x, tick_size=tick).to_decimal() == n * Decimal(tick)


def test_the_classic_cases() -> None:
    assert TickFormat.price_down_from_float(0.3, tick_size=0.1) == Price("0.3")
    assert TickFormat.price_up_from_float(0.1 + 0.2, tick_size=0.1) == Price("0.3")
    assert TickFormat.qty_down_from_float(0.0129, tick_size=0.001) == Qty("0.012")
    assert TickFormat.price_up_from_float(-0.05, tick_size=0.1) == Price(0)
    assert TickFormat.price_down_from_float(-0.05, tick_size=0.1) == Price("-0.1")
    assert TickFormat.qty_down_from_float(1 / 3000, tick_size=0.001) == Qty(0)
    assert TickFormat.qty_up_from_float(1e-300, tick_size=1) == Qty(1)
    assert TickFormat.qty_down_from_float(3, tick_size=2) == Qty(2)


def test_as_strategies_in_use_call_it() -> None:
    lot = TickFormat.qty_down_from_float(0.0123, tick_size=0.001, tick_unit=mlthon.TickUnit.Lot)
    assert lot == Qty("0.012")
    up = TickFormat.price_up_from_float(11052.141, tick_size=0.01, tick_unit=mlthon.TickUnit.Cent)
    assert up == Price("11052.15")
    assert mlthon.TickUnit.TickUnit is TickUnit
    assert mlthon.TickUnit.Cent is TickUnit.Cent


@pytest.mark.parametrize("tick", [0, "0", -1, "-0.1", "abc", "nan", float("inf"), "1e-19"])
def test_bad_tick_sizes(tick: str | float) -> None:
    with pytest.raises(ValueError, match=r"tick_size must be|not a|more than"):
        TickFormat.price_down_from_float(1.0, tick_size=tick)


@pytest.mark.parametrize("x", [math.nan, math.inf, -math.inf, 1e40])
def test_bad_floats(x: float) -> None:
    with pytest.raises(ValueError, match=r"not a finite|too large"):
        TickFormat.price_up_from_float(x, tick_size=1)


def test_bad_types() -> None:
    with pytest.raises(TypeError, match="expected a float"):
        TickFormat.qty_down_from_float("1.5", tick_size=1)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="expected a float"):
        TickFormat.qty_down_from_float(True, tick_size=1)
    with pytest.raises(TypeError, match="tick_unit must be"):
        TickFormat.qty_down_from_float(1.5, tick_size=1, tick_unit=1)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="is not a number"):
        TickFormat.price_down("x", tick_size=1)
