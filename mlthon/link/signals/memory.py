"""`BotMemory`: what a signal bot keeps over a restart, in its `State`.

    signal     the last usable one and when it was said, and whether an exit has used it up or is closing the position
    position   the entry of the position and the best price since it was opened, which the trailing stop follows

The position itself is the account's to tell, or the journal's: what is kept of it counts only for a position of the
same side.
"""

import json
import logging
from typing import Any, Final

import attrs
from attrs import frozen

from mlthon.engine.clock import SECOND
from mlthon.engine.state import State
from mlthon.link.signals.intents import Quote
from mlthon.link.signals.position import BotPosition

log = logging.getLogger("mlthon.link")

SIGNAL: Final = "signal"
POSITION: Final = "position"
SAY_AGAIN: Final = SECOND
"""How much older what is kept may make a signal that is repeated: a script may repeat it at every trade."""


@frozen
class KeptSignal:
    """`value`: as `Kind.read` takes it. `said`: when a script last said it (ns). `exited`: the exit that used it up;
    `closing`: whether an exit has still to close the position."""

    value: Any
    said: int
    exited: str | None = None
    closing: bool = False


@frozen
class KeptPosition:
    """In ticks; `lots`: short negative."""

    lots: int
    entry: float
    best: float


class BotMemory:
    """See the module."""

    def __init__(self, state: State) -> None:
        self._state = state
        self.signal = self._read(SIGNAL, KeptSignal)
        self.position = self._read(POSITION, KeptPosition)

    def heard(self, intent: Any, now: int, exited: str | None, *, closing: bool) -> None:
        """A script has said this at `now` (ns), or an exit has made something else of it."""
        value = [intent.bid, intent.ask] if isinstance(intent, Quote) else intent
        fresh = KeptSignal(value, now, exited, closing)
        old = self.signal
        if old is not None and attrs.evolve(old, said=now) == fresh and now - old.said < SAY_AGAIN:
            return
        self.signal = fresh
        self._write(SIGNAL, fresh)

    def spend(self, exited: str | None, *, closing: bool) -> None:
        """An exit has used the signal up."""
        if self.signal is not None:
            self.signal = attrs.evolve(self.signal, exited=exited, closing=closing)
            self._write(SIGNAL, self.signal)

    def stands(self, position: BotPosition) -> None:
        """The position is now this."""
        fresh = KeptPosition(position.lots, position.entry, position.best)
        if fresh != self.position:
            self.position = fresh
            self._write(POSITION, fresh)

    def close(self) -> None:
        """Nothing more is kept."""
        self._state.close()

    def _write(self, key: str, value: Any) -> None:
        self._state.put(key, json.dumps(attrs.asdict(value)))

    def _read(self, key: str, kind: type[Any]) -> Any:
        text = self._state.get(key)
        if text is None:
            return None
        try:
            return kind(**json.loads(text))
        except (ValueError, TypeError):
            # of another version
            log.warning("what was kept as %s cannot be read and is left out: %.200s", key, text)
            return None
