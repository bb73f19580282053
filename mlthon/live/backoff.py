"""How long to wait before the next attempt: growing, and never the same for two that failed together."""

from random import Random

from attrs import field, frozen
from attrs.validators import ge, gt


@frozen
class BackoffSettings:
    """The first pause is up to `first_s`, each next one up to `factor` times as long, none over `most_s`. A connection
    that held for `stable_s` was a good one: the pause after it is the first again. One that its own user had cut off
    was open but not well (its login went unanswered, its book did not come): it has to have held for `cut_off_s`."""

    first_s: float = field(default=0.25, validator=gt(0))
    factor: float = field(default=2.0, validator=ge(1))
    most_s: float = field(default=30.0, validator=gt(0))
    stable_s: float = field(default=5.0, validator=ge(0))
    cut_off_s: float = field(default=60.0, validator=ge(0))


class Backoff:
    """The pauses of one connection. Each is between half of its length and the whole of it, drawn from `rng`, so that
    many that were cut off at once do not come back at once."""

    __slots__ = ("_next", "_rng", "_settings")

    def __init__(self, rng: Random, settings: BackoffSettings) -> None:
        self._rng = rng
        self._settings = settings
        self._next = settings.first_s

    def pause(self) -> float:
        """How long (s) to wait now, after one more failure."""
        length = min(self._next, self._settings.most_s)
        self._next = length * self._settings.factor
        return length * self._rng.uniform(0.5, 1.0)

    def held(self, seconds: float, *, cut_off: bool = False) -> None:
        """A connection was open for so long; `cut_off`: until its own user ended it."""
        if seconds >= (self._settings.cut_off_s if cut_off else self._settings.stable_s):
            self._next = self._settings.first_s
