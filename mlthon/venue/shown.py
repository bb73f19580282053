"""Prices and quantities from an exchange's text straight to what strategies are shown.

The engine's way is text → whole steps → `Price` or `Qty`, a dict each. Where a strategy is called at once
(`mlthon.engine.faces.LoneHearer`), `Shown` makes it one dict. It holds only what is more than 0, so that what is found
in it needs no further check.
"""

from typing import Generic, TypeVar

from mlthon.basics.mldecimal import MLDecimal
from mlthon.basics.scale import Values
from mlthon.protocols.decimals import KEPT, Steps

T = TypeVar("T", bound=MLDecimal)


class Shown(Generic[T]):
    """`known[text]` is the `Price` or `Qty` that the text says, of the texts seen so far; always the same dict. Of
    others `learn` makes it."""

    __slots__ = ("_steps", "_values", "known")

    def __init__(self, steps: Steps, values: Values[T]) -> None:
        self.known: dict[str, T] = {}
        self._steps = steps
        self._values = values

    def learn(self, text: str) -> T:
        """Raises ValueError for what is no multiple of the step or not more than 0."""
        steps = self._steps[text]
        if not steps:
            raise ValueError(f"{text} where something above 0 is needed")
        if len(self.known) >= KEPT:
            self.known.clear()
        value = self.known[text] = self._values[steps]
        return value
