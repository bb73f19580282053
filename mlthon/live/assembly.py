"""A live run put together: engine, exchanges over their sockets, accounts, strategies, wired to one another.

    session → port → risk → journal → live gateway → edge         orders, `--mode live`
    session → port → embedded exchange                            orders, `--mode paper` on live data
    edge → live feed → (the embedded exchange's market and) the engine's feed    market data

`assemble` does everything up to the moment at which something is sent about an account or a strategy is called: it
asks each exchange for its time and its instruments (no key needed), makes the engine with exact ticks and lots, opens
the journal and gives the accounts what earlier runs left open. `mlthon.live.run` starts it.
"""

import logging
import random
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, cast

import trio
from attrs import field, frozen

from mlthon.api.istrat_env import MDSub
from mlthon.backtest.assembly import Assembly, zone_of
from mlthon.backtest.loader import construct
from mlthon.basics.catalogue import instruments as catalogue_of
from mlthon.basics.defs import Exchange
from mlthon.basics.instrument import Instrument
from mlthon.config import ExchangeSettings, RunConfig, StrategyConfig
from mlthon.data.feed_handlers import NoFeedHandler, feed_handler_module
from mlthon.data.rows import Kind
from mlthon.engine.clock import MS
from mlthon.engine.engine import Engine, EngineSettings
from mlthon.engine.entries import ChangedSteps
from mlthon.engine.exchange_feed import ExchangeFeed
from mlthon.engine.faces import NO_ASK, NO_BID, MarketEvents
from mlthon.engine.feed import InstrumentFeed, Lane
from mlthon.engine.journal import JournalStage
from mlthon.engine.risk import RiskBook
from mlthon.engine.session import ErrorBudget
from mlthon.engine.taps import OrderFlowTap
from mlthon.errors import UserError, near
from mlthon.exchange.exchange import EmbeddedExchange
from mlthon.exchange.market import Market
from mlthon.live.checks import LOCAL, MAIN, asked, clock_offset, endpoints_at, matched, refuse_real_money
from mlthon.live.driver import Driver
from mlthon.live.edge import EdgeSettings, TrioEdge
from mlthon.live.journal_store import SqliteJournal
from mlthon.live.secrets import NoKey, Places, find_credentials
from mlthon.live.state import state_folder
from mlthon.venue.codec import Codec, Credentials, Endpoints, GatewayModule, NoGateway, gateway_module
from mlthon.venue.feed_wiring import LiveFeedModule
from mlthon.venue.live_feed import LiveFeed, Statuses

log = logging.getLogger("mlthon.live")

LOCAL_KEY: Final = ("test-key", "test-secret")
"""Of the account that a local exchange has unless it is given a file of accounts; no secret."""


@frozen(kw_only=True)
class Wish:
    """What a live run is to be. `url`: an environment's name or a host, for all its exchanges; None: as configured.
    `paper`: orders go to the embedded exchange. `real_money`: orders that cost money are allowed."""

    exchanges: Sequence[Exchange]
    url: str | None = None
    paper: bool = False
    real_money: bool = False
    seed: int = 1
    places: Places = field(factory=lambda: Places({}))
    edge: EdgeSettings = field(factory=EdgeSettings)


class Venue:
    """One exchange of the run: where it is, what is traded on it, and who talks to it."""

    def __init__(self, exchange: Exchange, module: GatewayModule, settings: ExchangeSettings, wish: Wish) -> None:
        """Raises `UserError` where the exchange is not to be reached as wished."""
        self.exchange = exchange
        self.module = module
        self.settings = settings
        live = settings.live
        wanted = wish.url or live.url or live.environment
        if wanted is None:
            if not wish.paper:
                raise UserError(
                    f"where is {exchange.name}? A live run has to be told",
                    f"Give --url main, testnet, local or an address, or exchanges.{exchange.name}.live.environment.",
                )
            wanted = MAIN
        self.endpoints = endpoints_at(exchange, module.environments(exchange), wanted)
        if not wish.paper:
            refuse_real_money(exchange, self.endpoints, wish.real_money)
        self.feed_endpoints = self._feed_endpoints(wanted, live.feed_environment)
        self.offset = 0
        self.instruments: list[Instrument] = []
        self.edge: TrioEdge
        self.feed_edge: TrioEdge
        self.heard: LiveFeed
        self.tops: dict[Instrument, Top] = {}

    def _feed_endpoints(self, wanted: str, other: str | None) -> Endpoints:
        try:
            module: Any = feed_handler_module(self.exchange)
        except NoFeedHandler as error:
            raise UserError(str(error)) from None
        if not hasattr(module, "environments"):
            raise UserError(f"the feed handler of {self.exchange.name} reads recordings only, no live data")
        return endpoints_at(self.exchange, module.environments(self.exchange), other or wanted)

    def touch(self, instrument: Instrument) -> tuple[int, int] | None:
        """The best bid and ask (ticks); None where no market is known."""
        top = self.tops.get(instrument)
        return None if top is None else (top.bid, top.ask)

    def credentials(self, account: str, places: Places) -> Credentials:
        """The account's keys. A local exchange's own account needs none set. Raises `UserError`."""
        try:
            return find_credentials(self.exchange, account, places)
        except NoKey:
            if self.endpoints.environment == LOCAL and not self.endpoints.real_money:
                return Credentials(*LOCAL_KEY)
            raise

    def codec(self, account: str, instruments: Iterable[Instrument], credentials: Credentials | None) -> Codec:
        """A codec of the exchange; without `credentials` one that asks what needs no key. Raises `UserError`."""
        try:
            return self.module.codec(
                self.exchange, account, instruments, self.endpoints, credentials, self.settings.live.options
            )
        except ValueError as error:
            raise UserError(f"exchanges.{self.exchange.name}.live.options: {error}") from None


def venues_of(config: RunConfig, wish: Wish) -> dict[Exchange, Venue]:
    """The exchanges of the run. Raises `UserError`."""
    venues = {}
    for exchange in wish.exchanges:
        try:
            module = gateway_module(exchange)
        except NoGateway as error:
            raise UserError(str(error)) from None
        venues[exchange] = Venue(exchange, module, config.exchanges.get(exchange.name, ExchangeSettings()), wish)
    return venues


async def look_up(venue: Venue, driver: Driver, nursery: trio.Nursery, settings: EdgeSettings, seed: int) -> None:
    """Connect to the exchange and learn its clock and its instruments. Raises `UserError`."""
    rng = random.Random(f"{seed} {venue.exchange.name}")
    try:
        venue.edge = TrioEdge(driver, nursery, venue.endpoints, settings, rng)
        venue.feed_edge = TrioEdge(driver, nursery, venue.feed_endpoints, settings, rng)
    except OSError as error:
        raise UserError(f"certificates of {venue.exchange.name}: {error}") from None
    codec = venue.codec("", catalogue_of(venue.exchange), None)
    venue.offset = await clock_offset(venue.edge, codec, driver.wall.now)
    venue.edge.offset = venue.feed_edge.offset = venue.offset
    told = await asked(
        venue.exchange,
        "its instruments",
        venue.edge,
        codec.instruments,
        lambda: (driver.wall.now() + venue.offset) // MS,
    )
    venue.instruments = matched(venue.exchange, told, venue.settings.instruments)


def make_engine(
    config: RunConfig,
    driver: Driver,
    venues: Mapping[Exchange, Venue],
    taps: Sequence[OrderFlowTap],
    journal: SqliteJournal | None,
    publish: Callable[[str, str], None] | None,
) -> Engine:
    """The engine of the run; the journal, if there is one, makes its ids unlike those of every other run."""
    return Engine(
        driver.clock,
        [each for venue in venues.values() for each in venue.instruments],
        EngineSettings(
            zone_of(config.timezone, True),
            ErrorBudget(config.error_budget.count, config.error_budget.window_s),
            config.stop_ack_timeout_s,
        ),
        taps,
        journal.run if journal is not None else 0,
        publish,
        journal.installation if journal is not None else "",
    )


def exchanges_of(name: str, wanted: StrategyConfig, venues: Mapping[Exchange, Venue]) -> list[Exchange]:
    """The exchanges that a strategy is bound to. Raises `UserError` for one that the run has not."""
    bound = [Exchange[each] for each in wanted.exchanges] if wanted.exchanges else list(venues)
    for exchange in bound:
        if exchange not in venues:
            raise UserError(
                f"strategy {name} trades on {exchange.name}, which this run has not"
                f"{near(exchange.name, [each.name for each in venues])}",
                f"It has {', '.join(each.name for each in venues)}: name them with --exchange.",
            )
    return bound


def add_strategies(
    engine: Engine, strategies: Mapping[str, tuple[type[Any], StrategyConfig]], venues: Mapping[Exchange, Venue]
) -> list[tuple[Exchange, str]]:
    """Put the strategies in; gives the accounts that they trade on."""
    for name, (cls, wanted) in strategies.items():
        bound = exchanges_of(name, wanted, venues)
        engine.add_strategy(name, construct(cls, wanted.params), bound, wanted.account, wanted.params)
    return list(engine.ports)


# -- paper ------------------------------------------------------------------------------------------------------------


class PaperFeed:
    """Live market data of one instrument on their way to the embedded exchange's market and on to the engine's feed,
    as in a backtest. Implements `MarketEvents`."""

    __slots__ = ("_feed", "_market", "quote", "trade")

    def __init__(self, market: Market, feed: InstrumentFeed) -> None:
        self._market = market
        self._feed = feed
        self.quote = market.quote_lane(feed)
        self.trade = market.trade_lane(feed)

    def book(self, op: int, price: int, qty: int, level_id: int, exch_ts: int, recv_ts: int) -> None:
        self._market.on_book(op, price, qty, level_id, recv_ts)
        self._feed.book(op, price, qty, level_id, exch_ts, recv_ts)

    @property
    def reads_trade_ids(self) -> bool:
        return self._feed.reads_trade_ids


def embed(config: RunConfig, engine: Engine, seed: int) -> Assembly:
    """Embedded exchanges for all accounts of the engine's strategies."""
    exchanges = {
        exchange: EmbeddedExchange(
            exchange,
            engine.universe.of(exchange),
            engine.clock,
            config.exchanges.get(exchange.name, ExchangeSettings()),
            random.Random(f"{seed} {exchange.name}"),
        )
        for exchange in engine.universe.exchanges()
    }
    for (exchange, account), port in engine.ports.items():
        port.gateway = exchanges[exchange].gateway(account, port)
    return Assembly(engine.clock, engine, exchanges, list(engine.ports))


class Top:
    """The best bid and ask (ticks) of one instrument by its latest quote, for the risk stage."""

    __slots__ = ("ask", "bid", "exch_ts", "recv_ts")

    def __init__(self) -> None:
        self.bid = NO_BID
        self.ask = NO_ASK
        self.exch_ts = self.recv_ts = 0
        """Of the quote, for whoever looks now and then how late market data are."""

    def on_the_way(self, to: Lane) -> Lane:
        """A way for quotes that goes by here (`InstrumentFeed.lead_quotes`)."""

        def quote(bid: int, bid_qty: int, ask: int, ask_qty: int, exch_ts: int, recv_ts: int) -> None:
            self.bid = bid
            self.ask = ask
            self.exch_ts = exch_ts
            self.recv_ts = recv_ts
            to(bid, bid_qty, ask, ask_qty, exch_ts, recv_ts)

        return quote


class PaperStatuses:
    """Between a live feed and the engine's: the embedded exchange needs quotes and trades of whatever anybody reads."""

    def __init__(self, feed: ExchangeFeed) -> None:
        self._feed = feed

    @property
    def on_change(self) -> Callable[[], None] | None:
        return self._feed.on_change

    @on_change.setter
    def on_change(self, call: Callable[[], None] | None) -> None:
        self._feed.on_change = call

    def wanted(self) -> Mapping[Instrument, Collection[MDSub]]:
        return {each: {*kinds, MDSub.BBO, MDSub.PublicTrades} for each, kinds in self._feed.wanted().items()}

    def disconnect(self, detail: str, instruments: Collection[Instrument] | None = None) -> None:
        self._feed.disconnect(detail, instruments)

    def reconnect(self, detail: str, instruments: Collection[Instrument] | None = None) -> None:
        self._feed.reconnect(detail, instruments)


def receivers_of(engine: Engine, venue: Venue, embedded: EmbeddedExchange | None) -> dict[Instrument, MarketEvents]:
    """Who takes the market data of each of the exchange's instruments."""
    books = Kind.BOOK in feed_handler_module(venue.exchange).KINDS
    receivers: dict[Instrument, MarketEvents] = {}
    for instrument in venue.instruments:
        feed = engine.feed(instrument)
        if books:
            feed.expect_books()
        if embedded is None:
            top = venue.tops[instrument] = Top()
            feed.lead_quotes(top.on_the_way)
            receivers[instrument] = feed
        else:
            receivers[instrument] = PaperFeed(embedded.market(instrument), feed)
    return receivers


def make_feed(engine: Engine, venue: Venue, embedded: EmbeddedExchange | None) -> LiveFeed:
    """The exchange's live market data, on their way to the engine."""
    feed = engine.feeds[venue.exchange]
    statuses: Statuses = feed if embedded is None else PaperStatuses(feed)
    venue.heard = LiveFeed(
        venue.exchange,
        cast(LiveFeedModule, feed_handler_module(venue.exchange)),
        venue.feed_endpoints,
        venue.feed_edge,
        engine.clock,
        statuses,
        receivers_of(engine, venue, embedded),
        venue.settings.live.depth,
    )
    return venue.heard


# -- accounts ------------------------------------------------------------------------------------------------------


def journal_path(config: RunConfig, names: Iterable[str]) -> Path:
    """The journal's file: the configured one, else one in the state folder named after the strategies."""
    if config.live.journal is not None:
        path = Path(config.live.journal)
    else:
        path = state_folder() / f"{'+'.join(sorted(names))}.journal"
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise UserError(f"{path.parent}: no place for the journal: {error.strerror}", "Set live.journal.") from None
    return path


def adopt_orders(
    engine: Engine,
    journal: SqliteJournal,
    stages: Mapping[tuple[Exchange, str], JournalStage],
    risk: RiskBook,
    *,
    cancel_on_stop: bool = True,
) -> int:
    """Give the ports what earlier runs left open; gives the number of orders. What cannot be gone on with is told, and
    what belongs to no strategy of this run: nobody but the stop will cancel that."""
    count = 0
    strays = []
    ownerless: dict[str, list[str]] = {}
    for order in journal.open_orders():
        port = engine.ports.get((order.exchange, order.account))
        instrument = engine.universe.find(order.exchange, order.sent.instrument.number)
        if port is None or instrument is None or (order.exchange, order.account) not in stages:
            strays.append(order.wire_id)
            continue
        try:
            risk.adopt(port.adopt(order, instrument))
        except ChangedSteps as error:
            log.error("%s", error)
            continue
        if order.sent.strategy not in engine.sessions:
            ownerless.setdefault(order.sent.strategy, []).append(order.wire_id)
        count += 1
    if strays:
        log.warning(
            "orders of earlier runs on accounts or instruments that this run has not, left alone: %s", ", ".join(strays)
        )
    for strategy, wire_ids in ownerless.items():
        fate = "they are cancelled when this run stops" if cancel_on_stop else "they stay open (cancel_on_stop = false)"
        log.warning("open orders of %s, which does not run now: %s; %s", strategy, ", ".join(wire_ids), fate)
    return count
