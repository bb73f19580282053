"""Whether an account's positions are what its executions make of them.

A position at the exchange is one at some moment between question and answer, and executions are told a little before or
after it changes. So each sum of executions that was the newest known at some time since shortly before the question may
be the right one; that none of them is means that an execution is missing here, or that something changed the position
which was no execution.

An execution whose message is lost is missing until the account is fetched again. So a difference is told only when the
next comparison finds one too, and what was held at the start is only believed when the next comparison fits it.
"""

from collections import deque
from collections.abc import Iterable
from typing import Final

from mlthon.basics.defs import InstrumentType
from mlthon.basics.instrument import Instrument
from mlthon.venue.facts import PositionFact

REMEMBERED: Final = 1_000
"""How many changes of an instrument's sum are remembered: more than come in the seconds of a check."""


class PositionCheck:
    """The sums of one account, in lots. The first comparison (or the first one in which nothing moved) says what was
    held before the executions that are known; spot balances are no positions and left out."""

    def __init__(self) -> None:
        self._sums: dict[Instrument, int] = {}
        self._bases: dict[Instrument, int] = {}
        self._before: dict[Instrument, deque[tuple[int, int, int]]] = {}
        """Instrument -> (number of the change, time, sum before it)."""
        self._unsettled: set[Instrument] = set()
        self._believed: set[Instrument] = set()
        self._begun = False
        self.changes = 0
        self.doubted: set[Instrument] = set()
        """Where the last comparison did not fit: it is to be compared again soon."""

    def execution(self, instrument: Instrument, lots: int, now: int) -> None:
        """An execution became known at `now`: `lots` bought, or sold where negative."""
        before = self._sums.get(instrument, 0)
        self._before.setdefault(instrument, deque(maxlen=REMEMBERED)).append((self.changes, now, before))
        self._sums[instrument] = before + lots
        self.changes += 1

    def since(self, ts: int) -> int:
        """The number of the first change at `ts` or later."""
        numbers = (number for changes in self._before.values() for number, at, _ in changes if at >= ts)
        return min(numbers, default=self.changes)

    def compare(self, facts: Iterable[PositionFact], since: int) -> list[str]:
        """What does not fit, in words, where the facts may be as old as before the change numbered `since`. A position
        that is not among the facts is flat. What differs is told once: from then on it counts as explained."""
        held = {fact.instrument: fact.position for fact in facts}
        found = []
        for instrument in {**held, **self._sums}:
            if instrument.instrument_type is not InstrumentType.Spot:
                found += self._compare(instrument, held.get(instrument, 0), since)
        self._begun = True
        return found

    def _compare(self, instrument: Instrument, position: int, since: int) -> list[str]:
        total = self._sums.get(instrument, 0)
        sums = {before for number, _, before in self._before.get(instrument, ()) if number >= since} | {total}
        base = self._bases.get(instrument)
        if base is None and self._begun and instrument not in self._unsettled:
            base = self._bases[instrument] = 0
            self._believed.add(instrument)
        if base is not None and position - base in sums:
            self._believed.add(instrument)
            self.doubted.discard(instrument)
            return []
        if instrument in self._believed and instrument not in self.doubted:
            self.doubted.add(instrument)
            return []
        self._bases.pop(instrument, None)
        self._settle(instrument, position - total, moved=len(sums) > 1)
        if base is None or instrument not in self._believed:
            return []
        self._believed.discard(instrument)
        self.doubted.discard(instrument)
        step = instrument.qty_scale.values
        made = f"what was held at the start and the executions since make {step[base + total]}"
        return [f"{instrument.name}: the exchange says the account holds {step[position]}, but {made}"]

    def _settle(self, instrument: Instrument, base: int, *, moved: bool) -> None:
        if moved:
            self._unsettled.add(instrument)
        else:
            self._unsettled.discard(instrument)
            self._bases[instrument] = base
