"""A live run, or one on paper on live market data, from its first connection to its last: what it is made of is put
together here, in the order in which one needs the other.

`LiveSession.go`: what stands in the way is settled first (exchanges looked up, accounts opened, the journal read), then
services and engine run until the run is over, and everything is closed, whatever happened.
"""

import logging
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import trio

from mlthon.backtest.report import Report
from mlthon.backtest.result import Progress
from mlthon.backtest.run import Turnover
from mlthon.basics.defs import Exchange
from mlthon.cli.arsenal_run import request_services
from mlthon.cli.arsenal_run import show as show_arsenals
from mlthon.cli.live_facts import at_exchange, limits_told, paper_standings, quote_times, touch_mark
from mlthon.cli.run import show_bots
from mlthon.cli.view import View
from mlthon.cli.watch import JoinsBots, ParamsWatch
from mlthon.config import BOT_PREFIX, RunConfig, StrategyConfig
from mlthon.engine.clock import SECOND, Clock
from mlthon.engine.engine import Engine
from mlthon.engine.risk import RiskBook
from mlthon.engine.state import State
from mlthon.engine.taps import OrderFlowTap, Tally
from mlthon.live.accounts import LiveAccount, describe, held_by_fills, open_account, restore, standings
from mlthon.live.assembly import (
    Venue,
    Wish,
    add_strategies,
    adopt_orders,
    embed,
    journal_path,
    look_up,
    make_engine,
    make_feed,
)
from mlthon.live.driver import Driver, WallTime
from mlthon.live.journal_store import Durability, SqliteJournal
from mlthon.live.run import LiveBooks, LiveResult, LiveRun, Parts
from mlthon.live.services import Host, Service, serving
from mlthon.live.state_files import bot_state
from mlthon.live.watch import Watch
from mlthon.ops.assembly import Operations, embedded_mark, embedded_position, open_operations
from mlthon.ops.live_metrics import tell_of_live
from mlthon.venue.live_feed import LiveFeed

if TYPE_CHECKING:
    from mlthon.arsenal.assembly import Arsenals
    from mlthon.link.host.assembly import Bots

log = logging.getLogger("mlthon")

Classes = Mapping[str, tuple[type[Any], StrategyConfig]]


class LiveSession:
    """See the module. `classes`: the strategies and their configuration, by name; `duration_s`: None for no end."""

    def __init__(
        self,
        config: RunConfig,
        wish: Wish,
        venues: Mapping[Exchange, Venue],
        classes: Classes,
        duration_s: float | None,
        bots: "Bots | None" = None,
        report: Report | None = None,
        arsenals: "Arsenals | None" = None,
        *,
        quiet: bool,
    ) -> None:
        self._config = config
        self._wish = wish
        self._venues = venues
        self._classes = classes
        self._duration_s = duration_s
        self._bots = bots
        self._arsenals = arsenals
        self._report = report
        self._accounts: Mapping[tuple[Exchange, str], LiveAccount] = {}
        self._operations: Operations | None = None
        self._quiet = quiet

    async def go(self, view: View, stop: Callable[[], bool]) -> LiveResult:
        """The whole run. Raises `UserError`."""
        mode = "paper" if self._wish.paper else "live"
        self._operations = open_operations(self._config, self._classes, mode, self._wish.places)
        try:
            return await self._go(view, stop)
        finally:
            if self._operations is not None:
                self._operations.close()

    async def _go(self, view: View, stop: Callable[[], bool]) -> LiveResult:
        wall = WallTime()
        driver = Driver(Clock(wall.now()), wall)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(driver.run)
            try:
                for venue in self._venues.values():
                    await look_up(venue, driver, nursery, self._wish.edge, self._wish.seed)
                run, engine = await self._assemble(driver)
                watch = ParamsWatch(self._config, engine.sessions, self._joins_bots())
                if self._operations is not None:
                    self._operations.control.reread = watch.reread
                show_bots(self._bots, quiet=self._quiet)
                show_arsenals(self._arsenals, quiet=self._quiet)
                async with serving(self._services(), Host(driver.deliver, wall.now)):
                    run.start()
                    update = self._updating(view)
                    ended = await run.play(self._duration_s, lambda: stop() or self._over(), update, watch.look)
                    result = await run.stop("stopped by Ctrl-C" if stop() else ended)
            finally:
                with trio.CancelScope(shield=True):
                    await self._close()
                nursery.cancel_scope.cancel()
        return result

    def _services(self) -> list[Service]:
        """What runs beside the engine."""
        outside = [*request_services(self._arsenals), *(() if self._operations is None else self._operations.services)]
        if self._bots is None:
            return outside
        from mlthon.live.bots import BotProcesses

        return [BotProcesses(self._bots.hosts, self._config.link), *outside]

    def _over(self) -> bool:
        """Whether all there was to run were bots that have ended."""
        return self._bots is not None and self._bots.over and set(self._classes) <= set(self._bots.strategies)

    def _joins_bots(self) -> JoinsBots | None:
        return None if self._bots is None else JoinsBots(self._bots, self._admit)

    def _admit(self, name: str, config: RunConfig) -> None:
        """A strategy joins the run that goes on, with the limits that it has in this configuration."""
        for account in self._accounts.values():
            account.limits[name] = config.limits_of(name)

    def _taps(self) -> tuple[OrderFlowTap, ...]:
        flow = () if self._bots is None else (self._bots.flow,)
        outside = () if self._operations is None else self._operations.taps
        return (*flow, *outside, *(() if self._report is None else (self._report.books,)))

    def _publish(self) -> Callable[[str, str], None] | None:
        return None if self._operations is None else self._operations.publish

    def _attach(self, driver: Driver, parts: Parts, **more: Any) -> None:
        """Let the run be operated from outside."""
        if self._operations is not None:
            self._operations.attach(
                parts.engine,
                started=driver.wall.now(),
                events=parts.events,
                wall=driver.wall.now,
                bots=() if self._bots is None else self._bots.hosts,
                **more,
            )
            self._operations.control.signals.update({} if self._arsenals is None else self._arsenals.signals)

    def _bot_state(self, name: str, exchange: Exchange) -> State:
        """Where a signal bot keeps what outlives the run."""
        where = "paper" if self._wish.paper else self._venues[exchange].endpoints.environment
        return bot_state(self._config, name, where)

    def _attach_arsenals(self, engine: Engine) -> None:
        if self._arsenals is not None:
            from mlthon.live.arsenal import attach_live

            attach_live(self._arsenals, engine, self._venues)

    def _updating(self, view: View) -> Callable[[Progress], None]:
        """Shows the progress; for a report the profit is noted too, once a second."""
        report = self._report
        if report is None:
            return view.update

        def update(progress: Progress) -> None:
            if not report.samples or progress.now_ns >= report.samples[-1].ts + SECOND:
                report.sample(progress.now_ns, progress.pnl)
            view.update(progress)

        return update

    def _tell_figures(
        self,
        feeds: Sequence[LiveFeed],
        driver: Driver,
        accounts: Iterable[LiveAccount] = (),
        journal: SqliteJournal | None = None,
    ) -> None:
        """Have the figures of what talks to exchanges told too."""
        if self._operations is not None:
            tell_of_live(self._operations.figures, self._venues.values(), feeds, accounts, driver, journal)

    async def _close(self) -> None:
        for venue in self._venues.values():
            for edge in (getattr(venue, "edge", None), getattr(venue, "feed_edge", None)):
                if edge is not None:
                    await edge.aclose()

    def say(self, text: str) -> None:
        if not self._quiet:
            print(text, file=sys.stderr, flush=True)

    def _say_where(self, venue: Venue) -> None:
        money = "REAL MONEY" if venue.endpoints.real_money else "no real money"
        urls = ", ".join(dict.fromkeys(venue.endpoints.urls.values()))
        if self._wish.paper:
            urls, money = ", ".join(dict.fromkeys(venue.feed_endpoints.urls.values())), "orders on paper"
        self.say(f"{venue.exchange.name} {venue.endpoints.environment} ({money}): {urls}")
        self.say(f"  clock offset: {venue.offset / 1e6:+.1f} ms; {len(venue.instruments)} instruments")

    async def _assemble(self, driver: Driver) -> tuple[LiveRun, Engine]:
        for venue in self._venues.values():
            self._say_where(venue)
        if self._wish.paper:
            return self._on_paper(driver)
        return await self._on_accounts(driver)

    async def _on_accounts(self, driver: Driver) -> tuple[LiveRun, Engine]:
        """A run whose orders go to the exchanges."""
        live = self._config.live
        # a signal bot may come or go while the run goes on, which goes on with its journal all the same
        scripts = [name for name in self._classes if not name.startswith(BOT_PREFIX)]
        path = journal_path(self._config, scripts)
        durability: Durability = "power" if live.durability == "power" else "process"
        journal = SqliteJournal(path, durability=durability, now=driver.wall.now())
        try:
            return await self._with_journal(driver, journal)
        except BaseException:
            journal.close()
            raise

    async def _with_journal(self, driver: Driver, journal: SqliteJournal) -> tuple[LiveRun, Engine]:
        live = self._config.live
        tally, turnover, books = Tally(), Turnover(), LiveBooks()
        risk = RiskBook()
        engine = make_engine(
            self._config, driver, self._venues, (tally, turnover, books, risk, *self._taps()), journal, self._publish()
        )
        accounts = {
            (exchange, name): await open_account(
                engine,
                self._venues[exchange],
                name,
                self._config,
                self._wish.places,
                journal,
                driver,
                risk,
                self._venues[exchange].touch,
            )
            for exchange, name in add_strategies(engine, self._classes, self._venues)
        }
        self._accounts = accounts
        for account in accounts.values():
            describe(account, self.say, log.warning)
        if self._bots is not None:
            from mlthon.link.signals.assembly import Keeping
            from mlthon.live.desks import attach_live

            attach_live(self._bots, engine, accounts, Keeping(self._bot_state, held_by_fills(journal)))
        self._attach_arsenals(engine)
        stages = {key: each.stage for key, each in accounts.items()}
        adopted = adopt_orders(engine, journal, stages, risk, cancel_on_stop=live.cancel_on_stop)
        restore(engine, journal, accounts.values())
        self.say(f"journal {journal.path}: run {journal.run}, {adopted} open orders of earlier runs")
        feeds = [make_feed(engine, venue, None) for venue in self._venues.values()]

        watch = None
        if live.guard:
            watch = Watch(journal, accounts.values(), driver, live.heartbeat_s, cancel_left=live.cancel_on_stop)
        self.say(limits_told(self._config))

        def close() -> None:
            for stage in stages.values():
                stage.close()
            journal.end_run(driver.wall.now())
            journal.close()

        parts = Parts(
            name=", ".join(self._classes),
            mode="live",
            engine=engine,
            watch=watch,
            gateways=[each.gateway for each in accounts.values()],
            feeds=feeds,
            tally=tally,
            turnover=turnover,
            books=books,
            events=lambda: sum(each.heard.messages for each in self._venues.values()),
            standings=lambda: standings(journal, accounts.values()),
            close=close,
            cancel_on_stop=self._config.live.cancel_on_stop,
            ack_s=self._config.stop_ack_timeout_s,
        )
        self._attach(
            driver,
            parts,
            mark=partial(touch_mark, self._venues),
            at_exchange=partial(at_exchange, accounts),
            kill=None if watch is None else watch.cancel,
            guard=None if watch is None else watch.pid_file,
            guard_alive=lambda: watch is None or not watch.missing(),
            quotes=partial(quote_times, self._venues),
        )
        self._tell_figures(feeds, driver, accounts.values(), journal)
        return LiveRun(parts, driver), engine

    def _on_paper(self, driver: Driver) -> tuple[LiveRun, Engine]:
        tally, turnover, books = Tally(), Turnover(), LiveBooks()
        engine = make_engine(
            self._config, driver, self._venues, (tally, turnover, books, *self._taps()), None, self._publish()
        )
        accounts = add_strategies(engine, self._classes, self._venues)
        embedded = embed(self._config, engine, self._wish.seed).exchanges
        if self._bots is not None:
            from mlthon.link.signals.assembly import Keeping
            from mlthon.live.desks import attach_paper

            attach_paper(self._bots, engine, embedded, self._venues, Keeping(self._bot_state))
        self._attach_arsenals(engine)
        feeds = [make_feed(engine, venue, embedded[venue.exchange]) for venue in self._venues.values()]
        parts = Parts(
            name=", ".join(self._classes),
            mode="paper",
            engine=engine,
            feeds=feeds,
            tally=tally,
            turnover=turnover,
            books=books,
            events=lambda: sum(each.heard.messages for each in self._venues.values()),
            standings=lambda: paper_standings(embedded, accounts, books),
            close=lambda: None,
            cancel_on_stop=self._config.live.cancel_on_stop,
            ack_s=self._config.stop_ack_timeout_s,
        )
        self._attach(
            driver,
            parts,
            mark=embedded_mark(embedded),
            at_exchange=embedded_position(embedded),
            quotes=partial(quote_times, self._venues),
        )
        self._tell_figures(feeds, driver)
        return LiveRun(parts, driver), engine
