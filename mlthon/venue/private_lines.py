"""The private lines of one account: opened together, ready when each has been logged in and subscribed.

A line that is lost is connected anew by the edge. One that cannot be opened, or opens and does not become ready within
its time, several times in a row is of no use where it is: all are closed, and the owner asks the codec anew where they
are. What the lines say is turned into facts here; what the facts mean is the owner's affair.
"""

from collections.abc import Iterable, Sequence
from typing import Final, Protocol

from mlthon.engine.clock import MS, SECOND, Clock, Handle
from mlthon.venue.codec import Codec
from mlthon.venue.facts import Fact, LineInterrupted, LineReady, LineRefused
from mlthon.venue.throttle import Throttle
from mlthon.venue.wire import Edge, Line

LOSSES: Final = 3
"""After how many failed attempts in a row to get a line ready the codec is asked anew where it is."""


class LinesOwner(Protocol):
    """Who hears of the lines."""

    def lines_ready(self) -> None:
        """All of them tell everything from now on."""

    def line_lost(self, name: str, reason: str) -> None:
        """One of them was lost; it is being connected anew."""

    def lines_useless(self, reason: str, *, at_once: bool = False) -> None:
        """They have to be asked for anew, `at_once` where the exchange itself wants that."""

    def lines_refused(self, reason: str) -> None:
        """The exchange will never accept them."""

    def heard(self, name: str, fact: Fact) -> None: ...

    def bad_message(self, where: str, data: bytes, error: Exception) -> None: ...


class PrivateLines:
    """See the module. Implements `LineUser`. `ready_s`: how long an open line may take to be ready."""

    def __init__(
        self, codec: Codec, edge: Edge, clock: Clock, throttle: Throttle, ready_s: float, owner: LinesOwner
    ) -> None:
        self._codec = codec
        self._edge = edge
        self._clock = clock
        self._throttle = throttle
        self._ready_s = ready_s
        self._owner = owner
        self._lines: set[str] = set()
        self._ready: set[str] = set()
        self._losses: dict[str, int] = {}
        self._deadlines: dict[str, Handle] = {}

    def open(self, lines: Sequence[Line]) -> None:
        """Open these; with none at all everything is ready."""
        self._lines = {line.name for line in lines}
        for line in lines:
            self._edge.open_line(line, self)
        if not lines:
            self._owner.lines_ready()

    def close(self, reason: str) -> None:
        """Close all. What was sent on them and not answered counts as unanswered."""
        for name in sorted(self._lines):
            self._edge.close_line(name)
            self._throttle.line_lost(name, reason)
            self._in_time(name)
        self._lines.clear()
        self._ready.clear()
        self._losses.clear()

    def _in_time(self, name: str) -> None:
        """The line is not waited for any more."""
        deadline = self._deadlines.pop(name, None)
        if deadline is not None:
            deadline.cancel()

    def line_opened(self, name: str) -> None:
        if name not in self._lines:
            return
        self._in_time(name)
        self._deadlines[name] = self._clock.schedule(
            self._clock.now + round(self._ready_s * SECOND), self._too_late, name
        )
        for text in self._codec.line_opened(name, self._throttle.exchange_now // MS):
            self._edge.send(name, text)

    def _too_late(self, name: str) -> None:
        del self._deadlines[name]
        reason = f"not ready {self._ready_s:g} s after it opened: its login or subscriptions went unanswered"
        self._edge.restart_line(name, reason)

    def line_closed(self, name: str, reason: str) -> None:
        if name not in self._lines:
            return
        self._in_time(name)
        self._ready.discard(name)
        self._throttle.line_lost(name, reason)
        self._owner.line_lost(name, reason)
        self._losses[name] = self._losses.get(name, 0) + 1
        if self._losses[name] > LOSSES:
            self._owner.lines_useless(f"the line {name} cannot be opened: {reason}")

    def line_message(self, name: str, data: bytes, recv_ts: int) -> None:
        if name not in self._lines:
            return
        facts: list[Fact | str] = []
        try:
            for fact in self._codec.line_message(name, data, recv_ts):
                facts.append(fact)  # noqa: PERF402  what came before an error is kept
        except Exception as error:  # noqa: BLE001  one broken message must not end anything else
            self._owner.bad_message(f"the line {name}", data, error)
        self._deal(name, facts)

    def _deal(self, name: str, facts: Iterable[Fact | str]) -> None:
        for fact in facts:
            if isinstance(fact, str):
                self._edge.send(name, fact)
            elif isinstance(fact, LineReady):
                self._line_ready(name)
            elif isinstance(fact, LineRefused):
                self._line_refused(fact)
            elif isinstance(fact, LineInterrupted):
                reason = f"the exchange interrupts the line {name}: {fact.reason}"
                self._owner.lines_useless(reason, at_once=True)
            else:
                self._owner.heard(name, fact)

    def _line_ready(self, name: str) -> None:
        if name in self._lines and name not in self._ready:
            self._in_time(name)
            self._losses[name] = 0
            self._ready.add(name)
            if self._ready == self._lines:
                self._owner.lines_ready()

    def _line_refused(self, fact: LineRefused) -> None:
        reason = f"the exchange refuses the line {fact.line}: {fact.reason}"
        if fact.final:
            self._owner.lines_refused(reason)
        else:
            self._owner.lines_useless(reason)
