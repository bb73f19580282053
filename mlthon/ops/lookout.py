"""Looks at a run once a second: what its owner should know goes out as alerts, and the age of quotes is sampled.

An alert says what has changed since the last look: a strategy that has stopped, an account that cannot trade or can
again, market data lost and back, a guard process that has died. Its level says how much that matters.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, Protocol

import trio

from mlthon.basics.defs import GtwStatus
from mlthon.engine.engine import Engine
from mlthon.live.histogram import Histogram
from mlthon.live.services import Host
from mlthon.ops.contract import Level

EVERY_S: Final = 1.0
DEAD_GUARD: Final = "the guard process has died: nothing that adds to a risk is sent until a new one watches"
QuoteTimes = Callable[[], Iterator[tuple[str, object, int, int]]]
"""The last quotes: exchange, instrument, when it was made (exchange's clock), when it came (the same clock); ns."""


class Publish(Protocol):
    """As of `mlthon.ops.service.ControlService`."""

    def __call__(self, kind: str, source: str, value: Any, level: Level = ..., /) -> None: ...


class Lookout:
    """A service: see the module. `feed_times`: how old quotes were when they came, by exchange."""

    name = "the lookout"

    def __init__(
        self,
        engine: Engine,
        publish: Publish,
        guard_alive: Callable[[], bool] = lambda: True,
        quotes: QuoteTimes = lambda: iter(()),
    ) -> None:
        self.feed_times: dict[Sequence[str], Histogram] = {}
        self._engine = engine
        self._publish = publish
        self._guard_alive = guard_alive
        self._quotes = quotes
        self._seen: dict[object, int] = {}
        self._before: Mapping[str, tuple[str, Level]] = {}

    async def serve(self, host: Host, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        task_status.started()
        while True:
            host.deliver(self.look)
            await trio.sleep(EVERY_S)

    def look(self) -> None:
        """Look once."""
        now = {source: (told, level) for source, told, level in self._states()}
        for source, state in now.items():
            before = self._before.get(source)
            if before is not None and before != state:
                self._publish("alert", source, *state)
        self._before = now
        self._sample()

    def _states(self) -> Iterator[tuple[str, str, Level]]:
        """Whom it is about, how it stands, and what that asks of the owner."""
        engine = self._engine
        for name, session in engine.sessions.items():
            why, level = (" by its error budget", Level.ERROR) if session.given_up else ("", Level.INFO)
            yield name, f"{name} is {session.phase.value}{why}", level
        for (exchange, account), port in engine.ports.items():
            status, detail = port.gateway.status()
            source = f"{exchange.name} {account}"
            level = Level.INFO if status is GtwStatus.ReadyToTrade else Level.WARNING
            yield source, f"{source}: {status.name}{f' ({detail})' if detail else ''}", level
        for exchange, feed in engine.feeds.items():
            is_there, level = ("come in", Level.INFO) if feed.connected else ("ARE LOST", Level.WARNING)
            yield f"feed {exchange.name}", f"market data of {exchange.name} {is_there}", level
        alive = self._guard_alive()
        yield "guard", "the guard process lives" if alive else DEAD_GUARD, Level.INFO if alive else Level.ERROR

    def _sample(self) -> None:
        for exchange, instrument, made, came in self._quotes():
            if self._seen.get(instrument) != came:
                self._seen[instrument] = came
                self.feed_times.setdefault((exchange,), Histogram()).observe(came - made)
