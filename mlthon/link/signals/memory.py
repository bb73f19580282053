"""`BotMemory`: what a signal bot keeps over a restart, in its `State`.

    signal     the last usable one and when it was said, and whether an exit has used it up or is closing the position
    position   the entry of the position and the best price since it was opened, which the trailing stop follows

The position itself is the account's to tell, or the journal's: what is kept of it counts only for a position of the
same side. Where nothing can be kept any more (a full disk) that is told, and the bot trades on.
"""

import json
import logging
from typing import Any, Final

import attrs
from attrs import frozen

from mlthon.engine.clock import SECOND
from mlthon.engine.state import State
from mlthon.link.signals.intents import BadIntent, Quote
from mlthon.link.signals.kinds import Kind
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
    """See the module. Without a `state` nothing is kept. `name`: the bot's, for what is told."""

    def __init__(self, state: State | None = None, name: str = "") -> None:
        self._state = state
        self._name = name
        self.signal = self._read(SIGNAL, KeptSignal)
        self.position = self._read(POSITION, KeptPosition)

    def recall(self, kind: Kind, now: int, lasts: int) -> tuple[Any, str | None]:
        """The signal with which a bot goes on, and the exit that has used it up: None where it has to wait for a new
        one, because the last one was said more than `lasts` ns before `now` and is not used up."""
        kept = self.signal
        if kept is None:
            return None, None
        try:
            intent = kind.read(kept.value)
        except BadIntent as error:
            log.warning("%s: the signal that was kept is left out: %s", self._name, error)
            return None, None
        age = abs(now - kept.said)
        shown = f"{kind.takes}={intent}, {age / SECOND:.0f} s old"
        if kept.exited is None and age > lasts:
            log.warning("%s: waits for a new signal: the last one (%s) is too old", self._name, shown)
            return None, None
        how = "goes on with the last signal" if kept.exited is None else f"was closed by {kept.exited} at the signal"
        log.warning("%s: %s (%s)", self._name, how, shown)
        return intent, kept.exited

    def recall_position(self, position: BotPosition) -> None:
        """Take over what was kept of a position's past, if there is one on the same side."""
        kept = self.position
        if kept is not None and kept.lots * position.lots > 0:
            position.entry = position.entry or kept.entry
            position.reached(kept.best)

    def heard(self, intent: Any, now: int, exited: str | None, *, closing: bool) -> None:
        """A script has said this at `now` (ns), or an exit has made something else of it."""
        if self._state is None:
            return
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
        if self._state is None:
            return
        fresh = KeptPosition(position.lots, position.entry, position.best)
        if fresh != self.position:
            self.position = fresh
            self._write(POSITION, fresh)

    def close(self) -> None:
        """Nothing more is kept."""
        if self._state is not None:
            self._state.close()
            self._state = None

    def _write(self, key: str, value: Any) -> None:
        if self._state is None:
            return
        try:
            self._state.put(key, json.dumps(attrs.asdict(value)))
        except Exception as error:  # noqa: BLE001 - whatever the place where it is kept raises
            self._state = None
            log.error("%s: nothing more can be kept for a restart: %s", self._name, error)

    def _read(self, key: str, kind: type[Any]) -> Any:
        text = None if self._state is None else self._state.get(key)
        if text is None:
            return None
        try:
            return kind(**json.loads(text))
        except (ValueError, TypeError):
            # of another version
            log.warning("what was kept as %s cannot be read and is left out: %.200s", key, text)
            return None
