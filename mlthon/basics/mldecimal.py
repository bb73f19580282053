"""`MLDecimal`: an exact, immutable decimal number, the base of `Price` and `Qty`.

Inside is one integer, `units`, in 10^-18. Equal values are equal whatever their spelling (`Price('9226.5')` is
`Price('9226.50000000')`), values of different kinds never are: a price is no quantity. Beside plain numbers they stand
as a `Decimal` does, by their exact value: `leaves_qty == 0` and `qty > 0.5` mean what they say, and the float 0.1,
which is a little more than a tenth, is not equal to `Price('0.1')`. They are added to their own kind alone.

`to_float` is a slot and not a method: it holds a callable that gives the nearest float. Calling it costs what calling
a method costs, and it can also be negated without being called, which strategies in use do by mistake
(`-price.to_float`).
"""

import functools
import sys
from decimal import Decimal
from typing import TYPE_CHECKING, ClassVar, Self, SupportsIndex, TypeVar

from mlthon.basics import money

Number = str | int | Decimal | float | SupportsIndex
"""What exact numbers are made from, beside each other."""

Plain = int | float | Decimal
"""What exact numbers are compared with, beside their own kind."""
_PLAIN = (int, float, Decimal)

N = TypeVar("N", bound="MLDecimal")


class Readout(functools.partial[float]):
    """The callable behind `to_float`: called or negated it gives the value, or the negated value, as a float."""

    __slots__ = ()

    def __neg__(self) -> float:
        return -self()


if TYPE_CHECKING:
    _Callable = functools.partial[float]  # as a staticmethod it would be taken for a descriptor
else:
    _Callable = staticmethod


class QuickReadout(_Callable):
    """The same for values that are made once and read often: of all callables that can be negated it is the quickest to
    call, twice as quick as `Readout`, but takes eight times as long to make."""

    __slots__ = ()

    def __neg__(self) -> float:
        return -self()


class MLDecimal:
    """An exact decimal number with up to 18 fractional digits.

    `value` is a str, int, Decimal, float (through its shortest repr) or another `MLDecimal`. Raises ValueError for
    text that is no number, NaN, infinity and too many digits; TypeError for any other type, bool included.
    """

    __slots__ = ("to_float", "units")

    units: int
    """The value in 10^-18."""
    to_float: Readout | QuickReadout
    """`to_float()` is the nearest float."""
    kept_readout: ClassVar[type[Readout] | type[QuickReadout]] = Readout
    """What `to_float` is where a `Scale` keeps the value."""

    def __init__(self, value: "Number | MLDecimal") -> None:
        _fill(self, value.units if isinstance(value, MLDecimal) else money.parse(value))

    @classmethod
    def from_units(cls, units: int) -> Self:
        """The number that is `units` times 10^-18."""
        self = cls.__new__(cls)
        _fill(self, units)
        return self

    def to_str(self) -> str:
        """The shortest plain decimal text: no exponent, no trailing zeros."""
        return money.to_str(self.units)

    def to_decimal(self) -> Decimal:
        """The same number as a Decimal, exactly."""
        return Decimal(money.to_str(self.units))

    def __str__(self) -> str:
        return money.to_str(self.units)

    def __repr__(self) -> str:
        return f"{type(self).__name__}('{money.to_str(self.units)}')"

    def __format__(self, spec: str) -> str:
        return format(self.to_decimal(), spec) if spec else str(self)

    def __float__(self) -> float:
        return self.to_float()

    def __bool__(self) -> bool:
        return self.units != 0

    def __hash__(self) -> int:
        """That of every number of the same value, by Python's rule for numbers: the value modulo a prime."""
        residue = self.units * _PER_UNIT % _PRIME if self.units >= 0 else -(-self.units * _PER_UNIT % _PRIME)
        return -2 if residue == -1 else residue

    def __eq__(self, other: object) -> bool:
        if type(other) is type(self):
            return self.units == other.units
        if isinstance(other, _PLAIN):
            mine, others = _comparable(self.units, other)
            return mine == others
        return NotImplemented

    def __lt__(self, other: Self | Plain) -> bool:
        if type(other) is type(self):
            return self.units < other.units
        if isinstance(other, _PLAIN):
            mine, others = _comparable(self.units, other)
            return mine < others
        return NotImplemented

    def __le__(self, other: Self | Plain) -> bool:
        if type(other) is type(self):
            return self.units <= other.units
        if isinstance(other, _PLAIN):
            mine, others = _comparable(self.units, other)
            return mine <= others
        return NotImplemented

    def __gt__(self, other: Self | Plain) -> bool:
        if type(other) is type(self):
            return self.units > other.units
        if isinstance(other, _PLAIN):
            mine, others = _comparable(self.units, other)
            return mine > others
        return NotImplemented

    def __ge__(self, other: Self | Plain) -> bool:
        if type(other) is type(self):
            return self.units >= other.units
        if isinstance(other, _PLAIN):
            mine, others = _comparable(self.units, other)
            return mine >= others
        return NotImplemented

    def __add__(self, other: Self) -> Self:
        if type(other) is type(self):
            return self.from_units(self.units + other.units)
        return NotImplemented

    def __sub__(self, other: Self) -> Self:
        if type(other) is type(self):
            return self.from_units(self.units - other.units)
        return NotImplemented

    def __mul__(self, factor: int) -> Self:
        if isinstance(factor, int):
            return self.from_units(self.units * factor)
        return NotImplemented

    __rmul__ = __mul__

    def __neg__(self) -> Self:
        return self.from_units(-self.units)

    def __pos__(self) -> Self:
        return self

    def __abs__(self) -> Self:
        return self if self.units >= 0 else self.from_units(-self.units)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce__(self) -> tuple[object, tuple[int]]:
        return type(self).from_units, (self.units,)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{self!r} is immutable: {name} cannot be set")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{self!r} is immutable: {name} cannot be deleted")


# The slots' own setters: `__setattr__` of an immutable class refuses everybody else.
_set_units = MLDecimal.__dict__["units"].__set__
_set_readout = MLDecimal.__dict__["to_float"].__set__


_PRIME = sys.hash_info.modulus
_PER_UNIT = pow(money.UNIT, -1, _PRIME)


def _comparable(units: int, plain: Plain) -> tuple[float, float]:
    """Two numbers that compare as the value of `units` and `plain` do: exactly, and with NaN and infinities too."""
    try:
        numerator, denominator = plain.as_integer_ratio()
    except (ValueError, OverflowError):
        return 0.0, float(plain)
    return units * denominator, numerator * money.UNIT


def _fill(number: MLDecimal, units: int) -> None:
    if not -money.LIMIT < units < money.LIMIT:
        raise ValueError(f"{money.to_str(units)} is too large: at most {money.WHOLE_DIGITS} digits before the point")
    _set_units(number, units)
    _set_readout(number, Readout((units / money.UNIT).__float__))


def known(kind: type[N], units: int, nearest: float) -> N:
    """A number whose nearest float the caller knows and whose size is in order: the quick way for many of them."""
    number = object.__new__(kind)
    _set_units(number, units)
    # `conjugate` of a float is the float itself, and of all methods that give it the quickest to call
    _set_readout(number, kind.kept_readout(nearest.conjugate))
    return number
