"""The engine put together: one clock, the instruments of the run, a feed an exchange, a port an account, a session a
strategy.

Whoever runs it (a backtest, a paper run) connects gateways to ports and market data to feeds, adds strategies, calls
`start`, moves the clock, and at the end calls `wind_down` and `end`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, tzinfo
from typing import Any

from attrs import field, frozen

from mlthon.api.istrategy import IStrategy
from mlthon.basics.defs import Exchange
from mlthon.basics.instrument import Instrument
from mlthon.engine.clock import SECOND, Clock
from mlthon.engine.env import StratEnv
from mlthon.engine.exchange_feed import ExchangeFeed
from mlthon.engine.feed import InstrumentFeed
from mlthon.engine.router import Port
from mlthon.engine.session import ErrorBudget, Phase, Session
from mlthon.engine.taps import OrderFlowTap
from mlthon.engine.tracker import Tracker
from mlthon.engine.universe import Universe


@frozen
class EngineSettings:
    """`zone`: the time zone of daily callbacks, None for the system's own."""

    zone: tzinfo | None = UTC
    error_budget: ErrorBudget = field(factory=ErrorBudget)
    stop_ack_timeout_s: float = 3.0


class Engine:
    """See the module."""

    def __init__(
        self,
        clock: Clock,
        instruments: Iterable[Instrument],
        settings: EngineSettings,
        taps: Sequence[OrderFlowTap] = (),
        run: int = 0,
        publish: Callable[[str, str], None] | None = None,
        installation: str = "",
    ) -> None:
        self.clock = clock
        self.universe = Universe(instruments)
        self.settings = settings
        self.tracker = Tracker(run, installation)
        self.sessions: dict[str, Session] = {}
        self.ports: dict[tuple[Exchange, str], Port] = {}
        self.feeds = {exchange: ExchangeFeed(exchange, clock) for exchange in self.universe.exchanges()}
        self._envs: dict[str, StratEnv] = {}
        self._taps = tuple(taps)
        self._house = Session("exchange", IStrategy(), clock, self.universe, {}, {}, {}, settings.error_budget)
        self._publish = publish

    def feed(self, instrument: Instrument) -> InstrumentFeed:
        """Where the instrument's market data goes."""
        return self.feeds[instrument.venue].feed(instrument)

    def port(self, exchange: Exchange, account: str) -> Port:
        """The port of an account; set its `gateway` before strategies are started."""
        key = (exchange, account)
        found = self.ports.get(key)
        if found is None:
            found = self.ports[key] = Port(exchange, account, self.clock, self.tracker, self._taps, self._house)
        return found

    def add_strategy(
        self, name: str, strategy: Any, exchanges: Iterable[Exchange], account: str, params: Mapping[str, Any]
    ) -> Session:
        """Put a strategy in, bound to one account on each of its exchanges. Names must differ."""
        if name in self.sessions:
            raise ValueError(f"two strategies are called {name!r}: give each a name of its own")
        ports = {exchange: self.port(exchange, account) for exchange in exchanges}
        session = Session(
            name,
            strategy,
            self.clock,
            self.universe,
            {exchange: self.feeds[exchange] for exchange in ports},
            ports,
            params,
            self.settings.error_budget,
            self.settings.stop_ack_timeout_s,
            self._publish,
        )
        for port in ports.values():
            port.sessions.append(session)
        self.sessions[name] = session
        self._envs[name] = StratEnv(session, self.tracker, self.settings.zone)
        return session

    def remove_strategy(self, name: str) -> None:
        """Take out a strategy that has never been connected."""
        session = self.sessions.pop(name)
        del self._envs[name]
        for port in session.ports.values():
            port.sessions.remove(session)

    def start(self) -> None:
        """Connect every strategy; what their logins set off is queued on the clock."""
        for name in self.sessions:
            self.connect(name)

    def connect(self, name: str) -> None:
        """Connect one strategy: one that was put in while the others run."""
        self.sessions[name].connect(self._envs[name])

    def stop(self, reason: str = "") -> None:
        """Ask every running strategy to stop."""
        for session in self.sessions.values():
            if session.phase is Phase.RUNNING:
                session.stop(reason)

    @property
    def stopping(self) -> bool:
        """Whether some strategy has yet to acknowledge its stop."""
        return any(session.phase is Phase.STOPPING for session in self.sessions.values())

    def wind_down(self, grace: int = SECOND, rounds: int = 60) -> None:
        """Let strategies stop, cancel what they leave open and let the answers come in. This moves the clock: to the
        last acknowledgement (the time limit at most), then by `grace` ns at a time, `rounds` times at most, until no
        order is open; what still is open after one `grace` is cancelled anew."""
        clock = self.clock
        clock.run_until(clock.now)
        self.stop()
        limit = clock.now + round(self.settings.stop_ack_timeout_s * SECOND)
        while self.stopping and clock.due <= limit:
            clock.run_until(clock.due)
        for number in range(rounds):
            # again for those that were refused, by a rate limit for instance
            for session in self.sessions.values():
                session.cancel_open_orders(again=number > 0 or not session.left_cancelled)
            clock.run_until(clock.now + grace)
            if not any(session.open for session in self.sessions.values()):
                return

    def end(self) -> None:
        """Disconnect every strategy."""
        for session in self.sessions.values():
            session.end()
