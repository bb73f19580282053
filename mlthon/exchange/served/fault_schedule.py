"""Faults by a schedule: some share of all requests or messages, or one every so often, drawn from a seed.

Beside the faults of requests (`mlthon.exchange.served.faults`) there are:

- `push-drop`, `push-duplicate`, `push-delay`: a message to a websocket is lost, comes twice, or is held back (and what
  follows it too: a websocket is a stream).
- `disconnect`: every websocket is closed.
- `halt`: new orders are refused for a while.

The draws depend on the seed and the order of requests alone; what strikes by time does so at the clock's.
"""

from collections.abc import Callable, Sequence
from random import Random
from typing import Final

from attrs import field, frozen

from mlthon.engine.clock import MS, SECOND, Clock
from mlthon.exchange.served import faults
from mlthon.exchange.served.exchange import ServedExchange
from mlthon.exchange.served.faults import Fault, FaultyDialect

PUSHES: Final = ("push-drop", "push-duplicate", "push-delay")
TIMED: Final = ("disconnect", "halt")
"""Kinds that strike by time alone."""
KINDS: Final = (*faults.KINDS, *PUSHES, *TIMED)
HALTED: Final = "trading is halted"


@frozen
class Rule:
    """One line of a schedule. Either `share` of all requests (or pushes) whose path begins with `path`, or, where
    `every` is given, one each time so long (ns, drawn between the two) has passed. `lasts` (ns, drawn between the two):
    how late what is delayed comes, or how long a halt is. `text`: how it was written. Raises ValueError for what
    cannot be."""

    kind: str
    share: float = 0.0
    every: tuple[int, int] | None = None
    path: str = "/"
    lasts: tuple[int, int] = (SECOND, SECOND)
    status: int = 500
    text: str = field(default="")

    def __attrs_post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"there is no fault {self.kind!r}; there are {', '.join(KINDS)}")
        if self.every is None and not 0 < self.share <= 1:
            raise ValueError(f"a share of {self.share * 100:g}% is not over 0% and up to 100%")
        if self.every is None and self.kind in TIMED:
            raise ValueError(f"{self.kind} strikes every so often and has no share")
        if self.every is not None and self.kind in PUSHES:
            raise ValueError(f"{self.kind} strikes a share of what is pushed and not every so often")
        for name, span in (("every", self.every), ("how long", self.lasts)):
            if span is not None and not MS <= span[0] <= span[1] <= faults.LONGEST_MS * MS:
                raise ValueError(f"{name}: not from 1ms to 1h, the shorter first")
        if not self.path.startswith("/"):
            raise ValueError(f"path {self.path!r} does not begin with /")


class FaultSchedule:
    """Has `dialect` fail by the rules from now on. Implements `mlthon.exchange.served.faults.Plan`. `disconnect` closes
    every websocket and says how many there were."""

    def __init__(
        self,
        rules: Sequence[Rule],
        dialect: FaultyDialect,
        served: ServedExchange,
        disconnect: Callable[[], int],
        seed: int,
    ) -> None:
        self.rules = tuple(rules)
        self._dialect = dialect
        self._served = served
        self._disconnect = disconnect
        self._clock: Clock = dialect.clock
        self._rng = Random(f"{seed} faults")
        self._requests = [each for each in rules if each.every is None and each.kind in faults.KINDS]
        self._pushes = [each for each in rules if each.kind in PUSHES]
        dialect.plan = self
        for number, rule in enumerate(rules):
            if rule.every is not None:
                # draws of its own: when it strikes does not depend on what clients ask for
                self._later(rule, rule.every, Random(f"{seed} {number} {rule.kind}"))

    # -- what is drawn -----------------------------------------------------------------------------------------------

    def request(self, path: str) -> Fault | None:
        """What happens to a request that has just come, if anything: the first rule that strikes."""
        for rule in self._requests:
            if path.startswith(rule.path) and self._rng.random() < rule.share:
                return _fault(rule, self._rng)
        return None

    @property
    def pushes(self) -> bool:
        """Whether anything may happen to what is pushed."""
        return bool(self._pushes)

    def push(self) -> tuple[str, int]:
        """What happens to a message on its way to a client, and how long it is held back (ns)."""
        for rule in self._pushes:
            if self._rng.random() < rule.share:
                return rule.kind, self._rng.randint(*rule.lasts) if rule.kind == "push-delay" else 0
        return "", 0

    # -- what strikes by time ----------------------------------------------------------------------------------------

    def _later(self, rule: Rule, every: tuple[int, int], rng: Random) -> None:
        self._clock.call_at(self._clock.now + rng.randint(*every), self._strike, rule, every, rng)

    def _strike(self, rule: Rule, every: tuple[int, int], rng: Random) -> None:
        if rule.kind == "disconnect":
            self._dialect.strike(f"disconnect: {self._disconnect()} websockets closed")
        elif rule.kind == "halt":
            self._halt(rng.randint(*rule.lasts))
        elif not any(fault.path == rule.path and fault.kind == rule.kind for fault, _ in self._dialect.pending):
            # one that found no request since the last time waits still
            self._dialect.inject(_fault(rule, rng))
        self._later(rule, every, rng)

    def _halt(self, lasts: int) -> None:
        if self._served.halted:
            return
        self._dialect.strike(f"halt {lasts // MS} ms: new orders are refused")
        self._served.halt(HALTED)
        self._clock.call_at(self._clock.now + lasts, self._go_on)

    def _go_on(self) -> None:
        # a halt of someone else's (the admin endpoint) is theirs to end
        if self._served.halted == HALTED:
            self._served.resume()


def _fault(rule: Rule, rng: Random) -> Fault:
    delay = rng.randint(*rule.lasts) // MS if rule.kind == "delay" else 0
    return Fault(rule.kind, 1, rule.path, rule.status, delay)
