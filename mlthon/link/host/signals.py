"""Where the trading intents of bots go, and the channels over which a user's bots talk.

A `SignalBoard` is one run's. A signal bot listens to one (src, sym); a signal that nobody listens to is kept and shown,
never lost: the first of each market is shown at once, and `summary` says how many there were.
"""

import logging
from collections.abc import Callable, Collection, Mapping
from typing import Any

from attrs import frozen

log = logging.getLogger("mlthon.link")


@frozen
class Signal:
    """A trading intent: what `Link.signal` was called with, by which bot, and when (ns)."""

    src: str
    sym: str
    intents: Mapping[str, Any]
    by: str
    ts: int


Listener = Callable[[Signal], None]


class SignalBoard:
    """See the module. `show` is told the first signal of a market that has no bot to execute it; `latest` holds the
    last signal of each market, `unheard` how many signals of it nobody executes."""

    def __init__(self, show: Callable[[Signal], None] | None = None) -> None:
        self.latest: dict[tuple[str, str], Signal] = {}
        self.unheard: dict[tuple[str, str], int] = {}
        self._listeners: dict[tuple[str, str], list[tuple[Listener, Collection[str] | None]]] = {}
        self._show = show or _show

    def listen(self, src: str, sym: str, listener: Listener, intents: Collection[str] | None = None) -> None:
        """Be told of the signals of a market from now on, of those with some of these intents if they are named.
        Several bots may follow one script."""
        self._listeners.setdefault((src, sym), []).append((listener, intents))

    def signal(self, src: str, sym: str, intents: Mapping[str, Any], by: str, ts: int) -> None:
        """A bot says what it wants. Intents that are None are none."""
        meant = {name: value for name, value in intents.items() if value is not None}
        if not meant:
            return
        said = self.latest[src, sym] = Signal(src, sym, meant, by, ts)
        listeners = [
            listener
            for listener, wanted in self._listeners.get((src, sym), ())
            if wanted is None or any(name in meant for name in wanted)
        ]
        for listener in listeners:
            listener(said)
        if not listeners:
            count = self.unheard[src, sym] = self.unheard.get((src, sym), 0) + 1
            if count == 1:
                self._show(said)

    def summary(self) -> list[str]:
        """What is to be said at the end of a run: a line for each market with signals that nobody executed."""
        return [
            f"{count} signal{'s' if count > 1 else ''} of {src} {sym} had no bot to execute "
            f"{'them' if count > 1 else 'it'}; the last one of the market: {_intents(self.latest[src, sym])}"
            for (src, sym), count in self.unheard.items()
        ]


def _intents(signal: Signal) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in signal.intents.items())


def _show(signal: Signal) -> None:
    log.warning("%s: signal %s %s %s: no bot executes it", signal.by, signal.src, signal.sym, _intents(signal))


class Channels:
    """The channels (`Link.redis`) that all bots of a run share; whoever publishes hears itself too."""

    def __init__(self) -> None:
        self._members: dict[str, list[Callable[[str, Any], None]]] = {}

    def subscribe(self, channel: str, member: Callable[[str, Any], None]) -> None:
        """Have `member(channel, value)` called for whatever is published from now on."""
        members = self._members.setdefault(channel, [])
        if member not in members:
            members.append(member)

    def leave(self, member: Callable[[str, Any], None]) -> None:
        """Hear nothing any more."""
        for members in self._members.values():
            if member in members:
                members.remove(member)

    def publish(self, channel: str, value: Any) -> None:
        """Tell all who subscribed."""
        for member in tuple(self._members.get(channel, ())):
            member(channel, value)
