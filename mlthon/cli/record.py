"""`python -m mlthon record`: live market data into a store, until its time is over or Ctrl-C."""

import logging
import random
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Final, cast

import trio
from attrs import frozen

from mlthon.api.istrat_env import MDSub
from mlthon.basics.catalogue import UnknownInstrument, resolve
from mlthon.basics.catalogue import instruments as catalogue_of
from mlthon.basics.defs import Exchange
from mlthon.basics.instrument import Instrument
from mlthon.cli import INTERRUPTED
from mlthon.cli.logs import set_up
from mlthon.cli.run import Interrupts
from mlthon.cli.values import duration_ns
from mlthon.data.feed_handlers import NoFeedHandler, feed_handler_module
from mlthon.data.rows import Kind
from mlthon.engine.clock import MS, SECOND, Clock
from mlthon.errors import UserError, near
from mlthon.live.checks import MAIN, asked, clock_offset, endpoints_at, matched, run_trio
from mlthon.live.driver import Driver, WallTime
from mlthon.live.edge import EdgeSettings, TrioEdge
from mlthon.live.recorder import Piece, Recorder, RecordingEdge, recover, seal
from mlthon.venue.codec import NoGateway, gateway_module
from mlthon.venue.feed_wiring import LiveFeedModule
from mlthon.venue.live_feed import LiveFeed

log = logging.getLogger("mlthon.record")

FLUSH_EVERY_S: Final = 1.0
TOLD_EVERY_S: Final = 5.0
PIECE_S: Final = 600.0
"""How long a piece of a recording is: so much is held back from the store at most."""


@frozen(kw_only=True)
class Options:
    """What stood on the command line. `duration` None: until Ctrl-C."""

    exchange: str
    instruments: Sequence[str]
    store: Path
    url: str | None = None
    duration: str | None = None
    kinds: Sequence[str] = ()
    depth: int = 50
    ca_file: str | None = None
    verbosity: int = 0


def exchange_named(name: str) -> Exchange:
    """The exchange of this name or code, in any case and with hyphens or without. Raises `UserError`."""
    plain = name.casefold().replace("-", "").replace("_", "")
    for each in Exchange:
        if plain in (each.name.casefold(), each.exchange_code):
            return each
    raise UserError(
        f"--exchange {name}: there is no such exchange{near(name, Exchange.__members__)}",
        f"There are {', '.join(Exchange.__members__)}.",
    )


def kinds_named(names: Sequence[str], known: Collection[Kind]) -> frozenset[Kind]:
    """The kinds of these names; all `known` where none is named. Raises `UserError`."""
    if not names:
        return frozenset(known)
    by_name = {each.name.lower(): each for each in known}
    for name in names:
        if name.lower() not in by_name:
            raise UserError(f"--kinds {name}: not recorded here", f"There are {', '.join(sorted(by_name))}.")
    return frozenset(by_name[name.lower()] for name in names)


def record(options: Options) -> int:
    """Record what the options say; the exit status. Raises `UserError`."""
    set_up(options.verbosity)
    exchange = exchange_named(options.exchange)
    duration = None if options.duration is None else duration_ns(options.duration, "--duration") / SECOND
    try:
        module = feed_handler_module(exchange)
    except NoFeedHandler as error:
        raise UserError(str(error)) from None
    if not hasattr(module, "environments"):
        raise UserError(f"the feed handler of {exchange.name} reads recordings only, no live data")
    kinds = kinds_named(options.kinds, module.KINDS)
    try:
        recover(options.store, exchange)
    except OSError as error:
        raise UserError(f"{error.filename or options.store}: {error.strerror}") from None
    with Interrupts("ending the recording; Ctrl-C again ends at once") as interrupts:
        recording = _Recording(options, exchange, cast(LiveFeedModule, module), kinds, duration, interrupts.stop)
        run_trio(recording.run)
    print(recording.summary(), flush=True)
    if recording.failure is not None:
        raise recording.failure
    return INTERRUPTED if interrupts.asked else 0


class _Nobody:
    """Who hears of statuses where no strategy listens, and what strategies want: nothing."""

    def __init__(self) -> None:
        self.on_change: Callable[[], None] | None = None

    def wanted(self) -> Mapping[Instrument, Collection[MDSub]]:
        return {}

    def disconnect(self, detail: str, instruments: Collection[Instrument] | None = None) -> None:
        log.info("%s: %s", detail, ", ".join(each.name for each in instruments or ()))

    def reconnect(self, detail: str, instruments: Collection[Instrument] | None = None) -> None:
        log.info("%s: %s", detail, ", ".join(each.name for each in instruments or ()))


class _Recording:
    """One recording from its start to its end."""

    def __init__(
        self,
        options: Options,
        exchange: Exchange,
        module: LiveFeedModule,
        kinds: frozenset[Kind],
        duration_s: float | None,
        stop: Callable[[], bool],
    ) -> None:
        self.failure: UserError | None = None
        self._options = options
        self._exchange = exchange
        self._module = module
        self._kinds = kinds
        self._duration_s = duration_s
        self._stop = stop
        self._recorder: Recorder | None = None
        self._began = time.monotonic()

    def summary(self) -> str:
        made = self._recorder
        if made is None:
            return "nothing was recorded"
        return (
            f"{made.written:,} rows and {made.messages:,} messages of {self._exchange.name} in "
            f"{time.monotonic() - self._began:.0f}s, in {self._options.store}"
        )

    async def run(self) -> None:
        wall = WallTime()
        driver = Driver(Clock(wall.now()), wall)
        endpoints = endpoints_at(self._exchange, self._module.environments(self._exchange), self._options.url or MAIN)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(driver.run)
            rng = random.Random(self._exchange.name)
            edge = TrioEdge(driver, nursery, endpoints, EdgeSettings(ca_file=self._options.ca_file), rng)
            try:
                instruments = await self._instruments(driver, nursery)
                made = self._recorder = Recorder(self._options.store, self._exchange, instruments, wall.now())
                recording = RecordingEdge(edge, made, driver.clock, self._failed)
                feed = LiveFeed(
                    self._exchange,
                    self._module,
                    endpoints,
                    recording,
                    driver.clock,
                    _Nobody(),
                    made.rows,
                    self._options.depth,
                )
                try:
                    feed.want("recorder", dict.fromkeys(instruments, self._kinds))
                    driver.deliver(feed.start)
                    await self._write(made, wall, feed)
                    if driver.failures and not made.messages:
                        self._failed(UserError("nothing was recorded: the feed could not be started (see above)"))
                finally:
                    driver.deliver(feed.stop)
                    reason = "the recording ended" if self.failure is None else self.failure.message
                    with trio.CancelScope(shield=True):
                        await self._seal(made.close(wall.now(), reason))
            finally:
                await edge.aclose()
                nursery.cancel_scope.cancel()

    async def _instruments(self, driver: Driver, nursery: trio.Nursery) -> list[Instrument]:
        """Those asked for, with the exchange's present ticks and lots where it can be asked for them."""
        exchange, wanted = self._exchange, self._options.instruments
        try:
            module = gateway_module(exchange)
        except NoGateway:
            log.warning("no gateway for %s is installed: ticks and lots are the catalogue's", exchange.name)
            try:
                return [resolve(exchange, each) for each in wanted]
            except UnknownInstrument as error:
                raise UserError(f"--instruments: {error}") from None
        endpoints = endpoints_at(exchange, module.environments(exchange), self._options.url or MAIN)
        settings = EdgeSettings(ca_file=self._options.ca_file)
        edge = TrioEdge(driver, nursery, endpoints, settings, random.Random(exchange.name))
        codec = module.codec(exchange, "", catalogue_of(exchange), endpoints, None, {})
        offset = await clock_offset(edge, codec, driver.wall.now)
        told = await asked(
            exchange, "its instruments", edge, codec.instruments, lambda: (driver.wall.now() + offset) // MS
        )
        await edge.aclose()
        return matched(exchange, told, wanted)

    async def _write(self, made: Recorder, wall: WallTime, feed: LiveFeed) -> None:
        """Write what comes until the time is over, somebody stops it, or it cannot be written."""
        began = told = cut = trio.current_time()
        async with trio.open_nursery() as sealing:
            while self.failure is None and not self._stop():
                now = trio.current_time()
                if self._duration_s is not None and now - began >= self._duration_s:
                    break
                try:
                    if now - cut >= PIECE_S:
                        cut = now
                        sealing.start_soon(self._seal, made.rotate(wall.now()))
                    else:
                        made.flush()
                except UserError as error:
                    self._failed(error)
                    break
                if now - told >= TOLD_EVERY_S and self._options.verbosity >= 0:
                    told = now
                    print(self._line(made, feed), file=sys.stderr, flush=True)
                left = FLUSH_EVERY_S if self._duration_s is None else began + self._duration_s - now
                await self._wait(min(FLUSH_EVERY_S, left), made)

    async def _wait(self, seconds: float, made: Recorder) -> None:
        until = trio.current_time() + seconds
        while trio.current_time() < until and not self._stop() and self.failure is None and not made.full():
            await trio.sleep(min(0.1, max(until - trio.current_time(), 0.0)))

    def _line(self, made: Recorder, feed: LiveFeed) -> str:
        unread = f", {feed.problems} unreadable" if feed.problems else ""
        return f"{made.written:,} rows, {made.messages:,} messages{unread}, {len(feed.lines())} lines"

    async def _seal(self, piece: Piece) -> None:
        try:
            await trio.to_thread.run_sync(seal, self._options.store, self._exchange, piece)
        except UserError as error:
            self._failed(error)

    def _failed(self, error: UserError) -> None:
        if self.failure is None:
            self.failure = error
