"""Decimal text to whole steps, as fast as a dict.

Exchanges send prices and quantities as text, and the same texts again and again. `Steps` keeps what it has found in a
dict from text to number of steps, `known`. Where every nanosecond counts that is asked first, and `Steps` only for what
it lacks: in CPython a subclass of dict with a `__missing__` takes three times as long to find what it has. What is no
plain decimal number, or no multiple of the step, raises ValueError and is not kept.

Displayed quantities may be no multiple of the lot: a level still counts orders from before the lot grew (a spot
BTCUSDT recording with a lot of 0.00001 holds levels such as 25.426189). `WholeSteps` counts their whole steps: never
more than is there.
"""

from typing import Final

KEPT: Final = 200_000
"""A cache is emptied when it holds so many texts."""

DIGITS: Final = 18
"""Fractional digits of the finest step; more may follow only as zeros."""


class Steps:
    """`steps[text]` is how many steps of `step_units` (in 10^-18) the decimal number `text` is, exactly. `known`: what
    has been asked for, always the same dict."""

    __slots__ = ("_step_units", "known")

    def __init__(self, step_units: int) -> None:
        self.known: dict[str, int] = {}
        self._step_units = step_units

    def __getitem__(self, text: str) -> int:
        try:
            return self.known[text]
        except KeyError:
            return self._new(text)

    def _new(self, text: str) -> int:
        whole, _, fraction = text.partition(".")
        digits = whole + fraction
        if not (digits.isascii() and digits.isdigit() and whole):
            raise ValueError(f"{text!r} is not a decimal number")
        if len(fraction) > DIGITS:
            digits, rest = digits[: DIGITS - len(fraction)], digits[DIGITS - len(fraction) :]
            if rest.strip("0"):
                raise ValueError(f"{text} has more than {DIGITS} fractional digits")
            fraction = fraction[:DIGITS]
        steps, remainder = divmod(int(digits + "0" * (DIGITS - len(fraction))), self._step_units)
        if remainder:
            self._off_step(text)
        if len(self.known) >= KEPT:
            self.known.clear()
        self.known[text] = steps
        return steps

    def _off_step(self, text: str) -> None:
        raise ValueError(f"{text} is not a multiple of {_decimal(self._step_units)}")


class WholeSteps(Steps):
    """The same, but of a number between two steps the lower one."""

    __slots__ = ("cut",)

    def __init__(self, step_units: int) -> None:
        super().__init__(step_units)
        self.cut = 0
        """How many texts lost a part of a step."""

    def _off_step(self, text: str) -> None:
        self.cut += 1


def _decimal(units: int) -> str:
    whole, fraction = divmod(units, 10**DIGITS)
    return f"{whole}.{fraction:0{DIGITS}}".rstrip("0").rstrip(".")
