"""`Scale`: whole steps (ticks, lots) on one side, `Price` and `Qty` on the other.

Inside the engine a price is a number of ticks. `scale.values[n]` is the `Price` of n ticks: what it lacks it makes and
keeps, because the same few prices come again and again. Where every nanosecond counts the dict in which it keeps them,
`scale.values.known`, is asked first. `scale.steps(x)` is the way back, from anything an order may be given as.
"""

from typing import Final, Generic, TypeVar

from mlthon.basics import money
from mlthon.basics.defs import NO_ASK, NO_BID
from mlthon.basics.mldecimal import MLDecimal, Number, known

T = TypeVar("T", bound=MLDecimal)

CACHED: Final = 200_000
"""A cache is emptied when it holds so many entries: memory stays bounded however far prices wander."""
LADDER: Final = 65_536
"""How long a ladder gets at most."""
_SMALL: Final = 1 << 50


class NotOnStep(ValueError):
    """A price that is no multiple of its tick, or a quantity that is no multiple of its lot."""


class Values(Generic[T]):
    """`values[n]` is the value of n steps, each made once; the price of an empty side is 0. `known`: those made so far,
    always the same dict."""

    __slots__ = ("_kind", "_per_unit", "_step_units", "known")

    def __init__(self, kind: type[T], step_units: int) -> None:
        self.known: dict[int, T] = {}
        self._kind = kind
        self._step_units = step_units
        whole, rest = divmod(money.UNIT, step_units)
        self._per_unit = 0 if rest else whole

    def __getitem__(self, steps: int) -> T:
        try:
            return self.known[steps]
        except KeyError:
            return self._make(steps)

    def _make(self, steps: int) -> T:
        if len(self.known) >= CACHED:
            self.known.clear()
        if steps in (NO_BID, NO_ASK):
            value = self._kind.from_units(0)
        elif self._per_unit and -_SMALL < steps < _SMALL:
            # n/1000 of small integers is the float nearest to n * 0.001, and quicker than by way of 10^18
            value = known(self._kind, steps * self._step_units, steps / self._per_unit)
        else:
            value = self._kind.from_units(steps * self._step_units)
        self.known[steps] = value
        return value


class Scale(Generic[T]):
    """The multiples of one step as values of one kind (`Price` or `Qty`).

    `step_units`: the step in 10^-18, more than 0. `step`: the same as a value. `values[n]`: the value of n steps.
    `ladder[n]`: the same in a list, as far as it has been built (`climb`): for quantities, which differ from quote to
    quote, a list is twice as quick as a dict.
    """

    __slots__ = ("_known", "kind", "ladder", "step", "step_units", "values")

    def __init__(self, kind: type[T], step_units: int) -> None:
        if step_units <= 0:
            raise ValueError(f"a step must be more than 0, not {money.to_str(step_units)}")
        self.kind = kind
        self.step_units = step_units
        self.step = kind.from_units(step_units)
        self.values: Values[T] = Values(kind, step_units)
        self.ladder: list[T] = []
        self._known: dict[str | int | float, int] = {}

    def climb(self, steps: int) -> T:
        """The value of 0 or more steps, from `values`, after making the ladder reach it unless that is too far."""
        if steps < LADDER:
            self.ladder.extend(self.values[each] for each in range(len(self.ladder), steps + 1))
        return self.values[steps]

    def steps(self, value: Number | MLDecimal) -> int:
        """How many steps `value` is, exactly. Raises NotOnStep when that is no whole number, and what
        `MLDecimal(value)` raises when it is no number at all."""
        if isinstance(value, MLDecimal):
            steps, rest = divmod(value.units, self.step_units)
            if rest:
                raise self._not_on_step(value)
            return steps
        of = type(value)
        if of is str or of is float or of is int:
            known = self._known.get(value)  # type: ignore[arg-type]
            if known is not None:
                return known
        return self._new_steps(value)

    def _new_steps(self, value: Number) -> int:
        steps, rest = divmod(money.parse(value), self.step_units)
        if rest:
            raise self._not_on_step(value)
        if isinstance(value, str | float | int):
            if len(self._known) >= CACHED:
                self._known.clear()
            self._known[value] = steps
        return steps

    def _not_on_step(self, value: object) -> NotOnStep:
        number = self.kind(value)  # type: ignore[arg-type]
        return NotOnStep(f"{self.kind.__name__} {number} is not a multiple of {self.step}")

    def __reduce__(self) -> tuple[object, tuple[type[T], int]]:
        return Scale, (self.kind, self.step_units)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Scale):
            return self.kind is other.kind and self.step_units == other.step_units
        return NotImplemented

    def __hash__(self) -> int:
        return hash((self.kind, self.step_units))

    def __repr__(self) -> str:
        return f"Scale({self.kind.__name__}, step {self.step})"
