"""What a run needs to be operated from outside, put together: control plane, socket, outbox, operations process.

Made before the run's engine (`open_operations`), because the engine is made with its taps and with `publish`; joined to
it once that is there (`attach`), after which `services` run beside it (`mlthon.live.services`); closed at the end.

The parts of the operations process (Telegram, the web server) are those whose table the configuration has. Each is a
package with a function `prepare(config, places)`, which gives its settings, secrets included, or None where it is not
wanted after all; its `serve` runs in the other process (`mlthon.ops.process`).
"""

import importlib
import logging
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from mlthon.basics.defs import Exchange
from mlthon.basics.instrument import Instrument
from mlthon.config import RunConfig
from mlthon.engine.engine import Engine
from mlthon.engine.taps import OrderFlowTap, Tally
from mlthon.errors import UserError
from mlthon.exchange.exchange import EmbeddedExchange
from mlthon.link.host.host import BotHost
from mlthon.live.secrets import Places
from mlthon.live.services import Service
from mlthon.ops.audit import AuditLog, Retention
from mlthon.ops.books import FillBooks
from mlthon.ops.bots import ANSWER_S, BotDoors
from mlthon.ops.control import Control, RunFacts
from mlthon.ops.keeper import OpsService
from mlthon.ops.lookout import Lookout, QuoteTimes
from mlthon.ops.metrics import Figures, HostTimes, OrderTimes, one, tell_of_control, tell_of_run
from mlthon.ops.outbox import Outbox
from mlthon.ops.place import Place, RunInfo, control_folder, free_place, run_name
from mlthon.ops.process import PartSpec, ProcessSpec
from mlthon.ops.service import ControlService
from mlthon.ops.web.announce import Announcer
from mlthon.ops.web.keys import FILE as KEYS_FILE

log = logging.getLogger("mlthon.ops")

WEB: Final = "web"
PARTS: Final = {"telegram": "mlthon.ops.telegram", WEB: "mlthon.ops.web"}
"""The parts of the operations process: the configuration's table, and the package."""


class Operations:
    """See the module. Raises `UserError` where the state folder, or a part's settings, cannot be used."""

    def __init__(self, config: RunConfig, place: Place, mode: str, places: Places) -> None:
        self.place = place
        self.mode = mode
        self.books = FillBooks()
        self.tally = Tally()
        self.figures = Figures()
        self._order_times = OrderTimes()
        self.control: Control
        self.services: list[Service] = []
        self.outbox: Outbox | None = None
        self._config = None if config.file is None else str(config.file.resolve())
        self._parts = parts_of(config, places)
        self._bots_answer_s = ANSWER_S if config.web is None else config.web.timeout_s
        keep = Retention(days=config.ops.audit_days, megabytes=config.ops.audit_mb)
        self._audit = AuditLog(place.audit, engine=True, keep=keep)
        if "telegram" in self._parts:
            self.outbox = Outbox(place.outbox, place.name)

    @property
    def taps(self) -> tuple[OrderFlowTap, ...]:
        """What the engine is to be made with."""
        return self.books, self.tally, self._order_times

    @property
    def publish(self) -> Callable[[str, str], None] | None:
        """Takes what strategies publish; None where nobody is told."""
        return None if self.outbox is None else self.outbox.put

    def attach(
        self,
        engine: Engine,
        *,
        started: int,
        events: Callable[[], int],
        mark: Callable[[Instrument], int | None],
        at_exchange: Callable[[Exchange, str, Instrument], int | None],
        kill: Callable[[], None] | None = None,
        guard: Path | None = None,
        guard_alive: Callable[[], bool] = lambda: True,
        quotes: QuoteTimes = lambda: iter(()),
        wall: Callable[[], int] | None = None,
        bots: Iterable[BotHost] = (),
    ) -> None:
        """Join it to the run's engine: see `RunFacts` and `Lookout`. `guard`: the file with the guard process's id.
        `wall`: the clock (ns) that moves the engine's; None where services are told it."""
        facts = RunFacts(
            name=self.place.name,
            mode=self.mode,
            started=started,
            events=events,
            counts=self.tally.counts,
            books=self.books,
            mark=mark,
            at_exchange=at_exchange,
            figures=self.figures.text,
            kill=kill,
        )
        self.control = Control(engine, facts, self._audit)
        service = ControlService(self.place.socket, self.control.answer)
        doors = BotDoors(bots, engine.clock, service.publish, self._bots_answer_s)
        self.control.webs.update(doors.webs)
        self.control.routes = doors.routes
        lookout = Lookout(engine, service.publish, guard_alive, quotes)
        self.services = [service, lookout]
        self._order_times.time(engine, wall)
        self.services.append(HostTimes(self.figures, None if wall is not None else self._order_times))
        tell_of_run(self.figures, engine, events, self.tally.counts, started)
        tell_of_control(self.figures, service, self.outbox)
        self._order_times.tell(self.figures)
        told = "How old market data are when they come."
        self.figures.latency("feed_latency", told, ("exchange",), lookout.feed_times)
        pid_file = None if guard is None else str(guard)
        if self._parts:
            keeper = OpsService(self._spec(pid_file))
            self.services.append(keeper)
            told = "How often the operations process was started anew."
            self.figures.counter("operations_restarts", told, (), one(lambda: keeper.restarts))
        if WEB in self._parts:
            keys = self.place.folder / KEYS_FILE
            settings, signals = self._parts[WEB].settings, self.control.signals
            self.services.append(Announcer(settings, doors.routes, lambda: doors.loaded, keys, connectors=signals.keys))
        self.place.tell(RunInfo(self.place.name, os.getpid(), self.mode, started, pid_file, self._config))

    def _spec(self, guard: str | None) -> ProcessSpec:
        return ProcessSpec(
            run=self.place.name,
            mode=self.mode,
            socket=str(self.place.socket),
            folder=str(self.place.folder),
            parts=self._parts,
            outbox=None if self.outbox is None else str(self.place.outbox),
            guard=guard,
            engine=os.getpid(),
        )

    def close(self) -> None:
        """The run is over."""
        if self.outbox is not None:
            self.outbox.close()
        self._audit.close()
        self.place.close()


def open_operations(config: RunConfig, strategies: Iterable[str], mode: str, places: Places) -> Operations | None:
    """What a run is operated by. A live run has the name of its strategies to itself; runs on paper have `NAME-paper`,
    told apart by a number. Raises `UserError`; a run on paper without a part that was asked for goes on without
    (None)."""
    name = run_name(strategies)
    try:
        folder = control_folder(config.ops.state)
        place = Place(folder, name) if mode == "live" else free_place(folder, f"{name}-paper")
    except UserError as error:
        if mode == "live" or any(_wanted(config, part) for part in PARTS):
            raise
        log.warning("%s; nobody can ask or command this run from outside", error.message)
        return None
    try:
        return Operations(config, place, mode, places)
    except BaseException:
        place.close()
        raise


def _wanted(config: RunConfig, part: str) -> bool:
    return getattr(config, part) is not None


def parts_of(config: RunConfig, places: Places) -> dict[str, PartSpec]:
    """The parts that the configuration has. Raises `UserError` for one that cannot be."""
    found = {}
    for name, module in PARTS.items():
        if _wanted(config, name):
            settings: dict[str, Any] | None = importlib.import_module(module).prepare(config, places)
            if settings is not None:
                found[name] = PartSpec(module, settings)
    return found


def embedded_mark(exchanges: Mapping[Exchange, EmbeddedExchange]) -> Callable[[Instrument], int | None]:
    """The mark price (10^-18) that embedded exchanges have of an instrument."""

    def mark(instrument: Instrument) -> int | None:
        ticks = exchanges[instrument.venue].market(instrument).mark
        return None if ticks is None else ticks * instrument.price_scale.step_units

    return mark


def embedded_position(
    exchanges: Mapping[Exchange, EmbeddedExchange],
) -> Callable[[Exchange, str, Instrument], int | None]:
    """The position (lots) that an account of an embedded exchange holds."""

    def held(exchange: Exchange, account: str, instrument: Instrument) -> int | None:
        stake = exchanges[exchange].account(account).stakes.get(instrument)
        return None if stake is None else stake.position.lots

    return held
