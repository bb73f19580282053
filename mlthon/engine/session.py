"""One strategy in the engine: its life cycle, its callbacks, its timers and hooks, and what happens when it fails.

    created → connected (`on_framework_connected`) → logged in → running (`on_start`, `on_instruments`,
    `on_strat_params_update`, statuses) ⇄ stopping (`on_stop`) → stopped (`send_stop_ack`, or 3 s) → ended
    (`on_framework_disconnected`)

Requests pass while it is running or stopping and are refused by `on_request_reject` otherwise. Every callback is made
through `call`: one that raises is logged with its traceback, counted and survived; too many in a window (the error
budget) stop the strategy and cancel its orders.
"""

import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any

from attrs import frozen

from mlthon.basics.defs import Exchange, FeedHandlerStatus, GtwStatus
from mlthon.engine.clock import SECOND, Clock, Handle
from mlthon.engine.exchange_feed import ExchangeFeed
from mlthon.engine.router import Port
from mlthon.engine.timers import DailyTime
from mlthon.engine.tracker import TrackedOrder
from mlthon.engine.universe import Universe

if TYPE_CHECKING:
    from mlthon.api.istrat_env import MDSub
    from mlthon.basics.instrument import Instrument
    from mlthon.engine.env import StratEnv

log = logging.getLogger("mlthon.strategy")

CANCEL_EVERY = SECOND
"""How often (ns) the orders of a strategy that failed are cancelled until none is open."""


class Phase(Enum):
    CREATED = "created"
    CONNECTED = "connected"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"
    ENDED = "ended"


@frozen
class ErrorBudget:
    """How many callbacks of a strategy may raise within how long (s) before it is stopped."""

    count: int = 10
    window_s: float = 60.0


class CommandParams(list[str]):
    """What a command hook is given: a list of words, as documented, that also joins to a string, as it is used."""

    def __str__(self) -> str:
        return " ".join(self)

    def __radd__(self, left: object) -> str:
        if not isinstance(left, str):
            return NotImplemented
        return left + str(self)


class Session:
    """A strategy and everything the engine knows of it."""

    def __init__(
        self,
        name: str,
        strategy: Any,
        clock: Clock,
        universe: Universe,
        feeds: Mapping[Exchange, ExchangeFeed],
        ports: Mapping[Exchange, Port],
        params: Mapping[str, Any],
        budget: ErrorBudget,
        stop_ack_timeout_s: float = 3.0,
        publish: Callable[[str, str], None] | None = None,
    ) -> None:
        self.name = name
        self.strategy = strategy
        self.clock = clock
        self.universe = universe
        self.feeds = feeds
        self.ports = ports
        self.params = dict(params)
        self.phase = Phase.CREATED
        self.failures = 0
        self.given_up = False
        """Whether its error budget stopped it."""
        self.left_cancelled = False
        """What it left open is being cancelled already when the run ends."""
        self.orders: dict[str, TrackedOrder | None] = {}
        self.open: dict[str, TrackedOrder] = {}
        self.hooks: dict[str, Callable[[CommandParams], Any]] = {}
        self._budget = budget
        self._recent: deque[int] = deque()
        self._stop_ack_timeout = round(stop_ack_timeout_s * SECOND)
        self._stop_timer: Handle | None = None
        self._timers: dict[Handle, tuple[Callable[[int], int], Callable[[], Any]]] = {}
        self._next_id = 10**12
        self._publish = publish
        self._begun = False
        self._untold: set[Exchange] = set()
        self._hearing: set[str] = set()
        self._dropped: dict[Exchange, dict[Instrument, set[MDSub]]] = {}
        self._laid_off: list[tuple[Callable[[int], int], Callable[[], Any]]] = []

    # -- callbacks -------------------------------------------------------------------------------------------------

    def call(self, callback: str, *args: Any) -> Any:
        """Make a callback of the strategy, by name because a strategy may replace its own; None if it raised."""
        try:
            return getattr(self.strategy, callback)(*args)
        except Exception as error:  # noqa: BLE001 - a strategy's own error must not stop the engine
            return self.failed(callback, error)

    def failed(self, callback: str, error: Exception) -> None:
        """Survive an exception of the strategy's: log it, count it, and stop the strategy when they are too many."""
        self.failures += 1
        log.error("%s: %s raised %s", self.name, callback, type(error).__name__, exc_info=error)
        now = self.clock.now
        recent = self._recent
        recent.append(now)
        while recent[0] < now - self._budget.window_s * SECOND:
            recent.popleft()
        if len(recent) >= self._budget.count and self.phase in (Phase.CONNECTED, Phase.RUNNING, Phase.STOPPING):
            recent.clear()
            self.clock.call_soon(self._give_up)

    def _give_up(self) -> None:
        if self.phase not in (Phase.CONNECTED, Phase.RUNNING, Phase.STOPPING):
            return
        log.error(
            "%s: stopped, and its orders cancelled: %d callbacks raised within %g s",
            self.name,
            self._budget.count,
            self._budget.window_s,
        )
        self.given_up = True
        self.detach()
        if self.phase is Phase.RUNNING:
            self.stop("error budget exceeded")
        self._stopped()
        self._cancel_left()

    def _cancel_left(self) -> None:
        """Cancel what is open until nothing is: a rate limit, for instance, may refuse it."""
        if self.phase is Phase.STOPPED and self.open:
            self.cancel_open_orders()
            self.clock.call_at(self.clock.now + CANCEL_EVERY, self._cancel_left)

    # -- life cycle ------------------------------------------------------------------------------------------------

    @property
    def running(self) -> bool:
        """Whether the strategy has been started and not yet stopped."""
        return self.phase in (Phase.RUNNING, Phase.STOPPING)

    def connect(self, env: "StratEnv") -> None:
        self.phase = Phase.CONNECTED
        self.call("on_framework_connected", env)

    def login(self, strat_name: str) -> None:
        if self.phase is not Phase.CONNECTED:
            log.warning("%s: login(%r) ignored: already logged in", self.name, strat_name)
            return
        self.phase = Phase.RUNNING
        self.clock.call_soon(self._begin)

    def _begin(self) -> None:
        """What follows a login by itself, in the documented order, with the present statuses at the end."""
        self.call("on_start", "")
        mine = [each for exchange in self.ports for each in self.universe.of(exchange)]
        self.call("on_instruments", mine)
        self.call("on_strat_params_update", dict(self.params))
        self._begun = True
        for exchange in self.ports:
            self._tell_gateway(exchange)
        self._untold.update(self.feeds)
        for exchange in self.feeds:
            self._tell_feed(exchange)

    def connection_asked(self, exchange: Exchange) -> None:
        """Tell how the gateway stands; the first statuses tell it anyway to one who asks earlier, and who asks in the
        callback that tells it would ask for ever."""
        if self._begun and "on_gateway_status" not in self._hearing:
            self.clock.call_soon(self._tell_gateway, exchange)

    def subscription_changed(self, exchange: Exchange, more: bool) -> None:
        """Tell how the feed stands, once for all changes of one callback; earlier the first statuses tell it. `more`:
        it reads something that it did not before. Who only repeats itself in the callback that tells is not told."""
        if not self._begun or exchange in self._untold:
            return
        if more or "on_feed_handler_status" not in self._hearing:
            self._untold.add(exchange)
            self.clock.call_soon(self._tell_feed, exchange)

    def _tell_gateway(self, exchange: Exchange) -> None:
        port = self.ports[exchange]
        port.tell_status(self, *port.gateway.status())

    def _tell_feed(self, exchange: Exchange) -> None:
        if exchange in self._untold:
            self._untold.discard(exchange)
            self.feeds[exchange].tell_present(self)

    def gateway_status(self, exchange: Exchange, status: GtwStatus, detail: str) -> None:
        self._tell("on_gateway_status", exchange, status, detail)

    def feed_status(self, exchange: Exchange, status: FeedHandlerStatus, detail: str) -> None:
        self._tell("on_feed_handler_status", exchange, status, detail)

    def _tell(self, callback: str, *args: Any) -> None:
        """Call back, and know meanwhile that it is in this callback."""
        self._hearing.add(callback)
        self.call(callback, *args)
        self._hearing.discard(callback)

    def start(self, params: str = "") -> None:
        """The `start` command: trade again after a stop."""
        if self.phase is not Phase.STOPPED:
            log.warning("%s: start ignored: it is %s", self.name, self.phase.value)
            return
        self.phase = Phase.RUNNING
        self.given_up = False
        self._attach()
        self.call("on_start", params)

    def stop(self, params: str = "") -> None:
        """The `stop` command: the strategy winds down and acknowledges, or is taken to have after the time limit."""
        if self.phase is not Phase.RUNNING:
            log.warning("%s: stop ignored: it is %s", self.name, self.phase.value)
            return
        if not self._begun:
            # what follows a login is queued already, and nobody is stopped before being started
            self.clock.call_soon(self.stop, params)
            return
        self.phase = Phase.STOPPING
        self._stop_timer = self.clock.schedule(self.clock.now + self._stop_ack_timeout, self._stop_unanswered)
        self.call("on_stop", params)

    def stop_ack(self) -> None:
        if self.phase is Phase.STOPPING:
            self._stopped()
        else:
            log.warning("%s: send_stop_ack ignored: no stop is under way", self.name)

    def _stop_unanswered(self) -> None:
        log.warning(
            "%s: no send_stop_ack within %g s of on_stop: taken as given", self.name, self._stop_ack_timeout / SECOND
        )
        self._stopped()

    def _stopped(self) -> None:
        if self._stop_timer is not None:
            self._stop_timer.cancel()
            self._stop_timer = None
        if self.phase is not Phase.ENDED:
            self.phase = Phase.STOPPED

    def end(self) -> None:
        """The engine is going away."""
        if self.phase in (Phase.CREATED, Phase.ENDED):
            return
        if self.phase is Phase.CONNECTED:
            log.warning("%s never called env.login(name), so nothing followed", self.name)
        self._stopped()
        self.phase = Phase.ENDED
        self.detach()
        self.call("on_framework_disconnected")

    def detach(self) -> None:
        """No more market data, no more timers; what there was is kept for a start (`_attach`)."""
        for exchange, feed in self.feeds.items():
            self._dropped[exchange] = feed.drop(self)
        for timer in self._timers:
            timer.cancel()
        self._laid_off = list(self._timers.values())
        self._timers.clear()

    def _attach(self) -> None:
        """What was dropped when it was stopped for its errors is there again: who starts it means all of it."""
        for exchange, read in self._dropped.items():
            if read:
                self.subscription_changed(exchange, self.feeds[exchange].subscribe(self, read))
        for following, callback in self._laid_off:
            self._arm(following, self.clock.now, callback)
        self._dropped.clear()
        self._laid_off = []

    def update_params(self, params: Mapping[str, Any]) -> None:
        """The configuration changed while the strategy runs."""
        self.params = dict(params)
        if self._begun and self.phase is not Phase.ENDED:
            self.call("on_strat_params_update", dict(params))

    # -- orders ----------------------------------------------------------------------------------------------------

    def new_client_id(self) -> str:
        """An id for an order that came without one."""
        self._next_id += 1
        while str(self._next_id) in self.orders:  # an order of an earlier run has it
            self._next_id += 1
        return str(self._next_id)

    def open_orders(self, exchange: Exchange) -> list[TrackedOrder]:
        return [each for each in self.open.values() if each.instrument.venue is exchange]

    def closed(self, order: TrackedOrder) -> None:
        """An order of this strategy is over."""
        self.open.pop(order.client_id, None)

    def forget(self, order: TrackedOrder) -> None:
        """An order ended long ago: what stays is that its client id was used."""
        self.orders[order.client_id] = None

    def cancel_open_orders(self, *, again: bool = True) -> None:
        """Cancel what is open; with `again` also what is being cancelled already."""
        for order in list(self.open.values()):
            if again or not order.cancels:
                self.ports[order.instrument.venue].cancel_order(order)

    # -- timers and hooks ------------------------------------------------------------------------------------------

    def add_timer(self, duration: int, callback: Callable[[], Any]) -> None:
        """Call back after `duration` ns, and again after as long each time it returns True."""
        self._arm(lambda due: due + duration, self.clock.now, callback)

    def add_daily(self, at: DailyTime, callback: Callable[[], Any]) -> None:
        """Call back at a time of day, and on each day after it returned True."""
        self._arm(at.next_after, self.clock.now, callback)

    def _arm(self, following: Callable[[int], int], now: int, callback: Callable[[], Any]) -> None:
        timer = self.clock.schedule(following(now), lambda: self._fire(timer, following, callback))
        self._timers[timer] = (following, callback)

    def _fire(self, timer: Handle, following: Callable[[int], int], callback: Callable[[], Any]) -> None:
        self._timers.pop(timer, None)
        try:
            again = callback()
        except Exception as error:  # noqa: BLE001 - see call
            self.failed(getattr(callback, "__name__", "timer"), error)
            return
        if again is True and self.phase is not Phase.ENDED:
            self._arm(following, timer.ts, callback)

    def leapt(self) -> None:
        """The clock has passed over a hole: intervals go on as if nothing had been, times of day do not move."""
        for timer, (following, callback) in list(self._timers.items()):
            if getattr(following, "__func__", None) is DailyTime.next_after:
                timer.cancel()
                del self._timers[timer]
                self._arm(following, self.clock.now, callback)

    def add_hook(self, name: str, callback: Callable[[CommandParams], Any]) -> None:
        key = name.strip().lower()
        if key in ("start", "stop"):
            log.warning("%s: hook %r ignored: start and stop are the framework's own", self.name, name)
            return
        self.hooks[key] = callback

    def command(self, name: str, words: Sequence[str] = ()) -> bool:
        """Run a command: `start`, `stop` or a hook of the strategy's (any case). False if there is no such command."""
        key = name.strip().lower()
        if key == "start":
            self.start(" ".join(words))
        elif key == "stop":
            self.stop(" ".join(words))
        elif key in self.hooks:
            try:
                self.hooks[key](CommandParams(words))
            except Exception as error:  # noqa: BLE001 - see call
                self.failed(f"command hook {key}", error)
        else:
            return False
        return True

    def publish(self, message: str) -> None:
        """Show a message to the strategy's owner."""
        if self._publish is not None:
            self._publish(self.name, message)
        log.info("%s: %s", self.name, message)
