"""`TickFormat`: the one place where numbers are rounded to ticks and lots.

Down is towards minus infinity, up towards plus infinity, nearest takes the even step when two are equally near. A
float is rounded as what it prints as, so 0.3 is three steps of 0.1 although 0.3 / 0.1 is less than 3 in binary; and
a float within 4 units in its last place of a step counts as that step, so that the noise of a few additions
(0.1 + 0.2 is 0.30000000000000004) does not cost a tick. Text and Decimals are rounded exactly.
"""

import math
from decimal import Decimal
from typing import Final, TypeVar

from mlthon.basics import money
from mlthon.basics.mldecimal import MLDecimal, Number
from mlthon.basics.price import Price
from mlthon.basics.qty import Qty
from mlthon.TickUnit import TickUnit

T = TypeVar("T", bound=MLDecimal)
Exact = Number | MLDecimal

_DOWN: Final = -1
_NEAREST: Final = 0
_UP: Final = 1

NOISE_ULPS: Final = 4
"""How many units in the last place of a float are taken for noise."""


class TickFormat:
    """Rounding to a step. `tick_size` is the step: a str, int, float, Decimal, Price or Qty more than 0. For
    `tick_unit` see `mlthon.TickUnit`. Every function raises ValueError for NaN, infinity, text that is no number and
    a tick size of 0 or less, TypeError for what is no number."""

    @staticmethod
    def price_down_from_float(x: float, tick_size: Exact, tick_unit: TickUnit = TickUnit.Lot) -> Price:
        return _from_float(Price, x, tick_size, tick_unit, _DOWN)

    @staticmethod
    def price_up_from_float(x: float, tick_size: Exact, tick_unit: TickUnit = TickUnit.Lot) -> Price:
        return _from_float(Price, x, tick_size, tick_unit, _UP)

    @staticmethod
    def price_nearest_from_float(x: float, tick_size: Exact, tick_unit: TickUnit = TickUnit.Lot) -> Price:
        return _from_float(Price, x, tick_size, tick_unit, _NEAREST)

    @staticmethod
    def qty_down_from_float(x: float, tick_size: Exact, tick_unit: TickUnit = TickUnit.Lot) -> Qty:
        return _from_float(Qty, x, tick_size, tick_unit, _DOWN)

    @staticmethod
    def qty_up_from_float(x: float, tick_size: Exact, tick_unit: TickUnit = TickUnit.Lot) -> Qty:
        return _from_float(Qty, x, tick_size, tick_unit, _UP)

    @staticmethod
    def qty_nearest_from_float(x: float, tick_size: Exact, tick_unit: TickUnit = TickUnit.Lot) -> Qty:
        return _from_float(Qty, x, tick_size, tick_unit, _NEAREST)

    @staticmethod
    def price_down(x: Exact, tick_size: Exact, tick_unit: TickUnit = TickUnit.Lot) -> Price:
        return _exact(Price, x, tick_size, tick_unit, _DOWN)

    @staticmethod
    def price_up(x: Exact, tick_size: Exact, tick_unit: TickUnit = TickUnit.Lot) -> Price:
        return _exact(Price, x, tick_size, tick_unit, _UP)

    @staticmethod
    def price_nearest(x: Exact, tick_size: Exact, tick_unit: TickUnit = TickUnit.Lot) -> Price:
        return _exact(Price, x, tick_size, tick_unit, _NEAREST)

    @staticmethod
    def qty_down(x: Exact, tick_size: Exact, tick_unit: TickUnit = TickUnit.Lot) -> Qty:
        return _exact(Qty, x, tick_size, tick_unit, _DOWN)

    @staticmethod
    def qty_up(x: Exact, tick_size: Exact, tick_unit: TickUnit = TickUnit.Lot) -> Qty:
        return _exact(Qty, x, tick_size, tick_unit, _UP)

    @staticmethod
    def qty_nearest(x: Exact, tick_size: Exact, tick_unit: TickUnit = TickUnit.Lot) -> Qty:
        return _exact(Qty, x, tick_size, tick_unit, _NEAREST)


def step_units(tick_size: Exact, tick_unit: TickUnit) -> int:
    """The step in 10^-18. Raises ValueError when it is not more than 0 or has more than 18 fractional digits."""
    if not isinstance(tick_unit, TickUnit):
        raise TypeError(f"tick_unit must be TickUnit.Lot or TickUnit.Cent, not {tick_unit!r}")
    step = tick_size.units if isinstance(tick_size, MLDecimal) else money.parse(tick_size)
    if step <= 0:
        raise ValueError(f"tick_size must be more than 0, not {tick_size!r}")
    return step


def _from_float(kind: type[T], x: float, tick_size: Exact, tick_unit: TickUnit, way: int) -> T:
    if isinstance(x, bool) or not isinstance(x, float | int):
        raise TypeError(f"expected a float, got {type(x).__name__}: {x!r}")
    if not isinstance(x, float):
        return _exact(kind, x, tick_size, tick_unit, way)
    step = step_units(tick_size, tick_unit)
    numerator, denominator = _in_steps(money.to_decimal(x), step)
    nearest = money.ratio(numerator, denominator)
    # In 10^-18 over the denominator's own scale: how far x is from the nearest step, and how much may be noise.
    noise = Decimal(NOISE_ULPS * math.ulp(x)).as_integer_ratio()
    distance = abs(numerator - nearest * denominator) * step
    is_noise = distance * noise[1] <= noise[0] * money.UNIT * denominator
    if is_noise and 2 * noise[0] * money.UNIT < step * noise[1]:
        return kind.from_units(nearest * step)
    return kind.from_units(_rounded(numerator, denominator, way) * step)


def _exact(kind: type[T], x: Exact, tick_size: Exact, tick_unit: TickUnit, way: int) -> T:
    step = step_units(tick_size, tick_unit)
    number = x.to_decimal() if isinstance(x, MLDecimal) else money.to_decimal(x)
    return kind.from_units(_rounded(*_in_steps(number, step), way) * step)


def _in_steps(number: Decimal, step: int) -> tuple[int, int]:
    """The number in steps of `step` units, as an exact fraction."""
    if number.adjusted() >= money.WHOLE_DIGITS and number:
        raise ValueError(f"{number} is too large: at most {money.WHOLE_DIGITS} digits before the decimal point")
    numerator, denominator = number.as_integer_ratio()
    return numerator * money.UNIT, denominator * step


def _rounded(numerator: int, denominator: int, way: int) -> int:
    if way == _DOWN:
        return numerator // denominator
    if way == _UP:
        return -(-numerator // denominator)
    return money.ratio(numerator, denominator)
