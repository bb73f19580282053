"""Exact numbers as integers: a value is a whole number of units of 10^-18, whatever it is a value of.

`parse` and `to_str` are the two ways in and out. Sums, differences and products with whole numbers are exact because
they are integers; what cannot be exact (a rate times an amount, an inverse contract's value) is rounded once, half to
even, by `ratio` or `product`.
"""

import operator
from decimal import Context, Decimal, Inexact, InvalidOperation
from typing import Final, SupportsIndex

DIGITS: Final = 18
"""Fractional digits of every exact number."""
UNIT: Final = 10**DIGITS
"""How many units make one."""
WHOLE_DIGITS: Final = 36
"""Digits allowed before the decimal point; more can only be a mistake."""
LIMIT: Final = UNIT * 10**WHOLE_DIGITS
"""Exact numbers lie strictly between -LIMIT and LIMIT units."""

_CONTEXT: Final = Context(prec=100, Emin=-(10**9), Emax=10**9, traps=[Inexact, InvalidOperation])


def parse(value: str | Decimal | float | SupportsIndex) -> int:
    """The value in units. A float counts as what it prints as (0.1 is one tenth).

    Raises ValueError for text that is no number, for NaN and infinity, and for more than 18 fractional or 36 whole
    digits; TypeError for bool and for anything that is not a number.
    """
    number = to_decimal(value)
    if number.adjusted() >= WHOLE_DIGITS and number:
        raise ValueError(f"{_shown(value)} is too large: at most {WHOLE_DIGITS} digits before the decimal point")
    try:
        scaled = _CONTEXT.scaleb(number, DIGITS)
        units = int(scaled)
    except (Inexact, InvalidOperation):
        raise _too_fine(value) from None
    if units != scaled:
        raise _too_fine(value)
    return units


def to_decimal(value: str | Decimal | float | SupportsIndex) -> Decimal:
    """The value as a finite Decimal, exactly; a float through its shortest repr. Errors as `parse`, but any number of
    digits is allowed."""
    if isinstance(value, str):
        if not value.isascii() or "_" in value:
            raise ValueError(f"{_shown(value)} is not a number")
        try:
            number = Decimal(value)
        except InvalidOperation:
            raise ValueError(f"{_shown(value)} is not a number") from None
    elif isinstance(value, Decimal):
        number = value
    elif isinstance(value, float):
        number = Decimal(float.__repr__(value))
    else:
        number = Decimal(_whole(value))
    if not number.is_finite():
        raise ValueError(f"{_shown(value)} is not a finite number")
    return number


def to_str(units: int) -> str:
    """The shortest plain decimal text: no exponent, no trailing zeros, `0` for zero."""
    sign = "-" if units < 0 else ""
    whole, rest = divmod(abs(units), UNIT)
    if rest == 0:
        return f"{sign}{whole}"
    fraction = f"{rest:0{DIGITS}d}".rstrip("0")
    return f"{sign}{whole}.{fraction}"


def ratio(numerator: int, denominator: int) -> int:
    """numerator / denominator rounded to a whole number, half to even. Raises ZeroDivisionError."""
    if denominator < 0:
        numerator, denominator = -numerator, -denominator
    quotient, rest = divmod(numerator, denominator)
    twice = rest + rest
    if twice > denominator or (twice == denominator and quotient & 1):
        return quotient + 1
    return quotient


def product(a: int, b: int) -> int:
    """The product of two numbers in units, in units, rounded half to even."""
    return ratio(a * b, UNIT)


def quotient(a: int, b: int) -> int:
    """a / b of two numbers in units, in units, rounded half to even. Raises ZeroDivisionError."""
    return ratio(a * UNIT, b)


def _whole(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, SupportsIndex):
        raise TypeError(f"a number must be a str, int, Decimal or float, not {type(value).__name__}: {_shown(value)}")
    return operator.index(value)


def _too_fine(value: object) -> ValueError:
    return ValueError(f"{_shown(value)} has more than {DIGITS} digits after the decimal point")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
