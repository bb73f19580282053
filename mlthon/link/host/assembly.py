"""A run of bots put together: their hosts and venues, their strategies in the engine, and what joins them.

`Bots` is the part that every run has: it gives the configuration, the strategies and the tap that a run is made with,
and is attached to the run's engine once that is there. `link_run` makes a run on data or on the synthetic market, for a
backtest as for paper; a live run is made by `mlthon.cli.live_session` from the same `Bots`.
"""

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

from attrs import evolve, frozen

from mlthon.backtest.assembly import Assembly
from mlthon.backtest.history import recorded_history, synthetic_history
from mlthon.backtest.prepare import prepare
from mlthon.backtest.run import Run
from mlthon.basics.catalogue import instruments as catalogue_of
from mlthon.basics.defs import Exchange
from mlthon.basics.instrument import Instrument
from mlthon.config import ExchangeSettings, RunConfig, StrategyConfig
from mlthon.data.rows import Kind, Source
from mlthon.engine.engine import Engine
from mlthon.errors import UserError, near
from mlthon.link.contract import BotFace
from mlthon.link.host.choice import BotChoice, VenueChoice, choose_bots
from mlthon.link.host.desk import AccountDesk, EmbeddedDesk
from mlthon.link.host.endpoint import BitmexEndpoint
from mlthon.link.host.flow import LinkFlow
from mlthon.link.host.host import BotHost, HostSettings
from mlthon.link.host.listing import Listing
from mlthon.link.host.market import History, Markets
from mlthon.link.host.signals import Channels, SignalBoard
from mlthon.link.host.sources import EXCHANGES, by_symbol, size_unit
from mlthon.link.host.translated import TranslatedEndpoint
from mlthon.link.host.venue import VenueStrategy
from mlthon.link.signals.assembly import Keeping, SignalBots, venues_of

log = logging.getLogger("mlthon.link")

Strategies = Mapping[str, tuple[type[Any], StrategyConfig]]
Faces = Callable[[BotHost], BotFace]
"""Makes the bot's face for its host: the wire to a child process, or the bot itself under virtual time."""
Desks = Callable[[VenueStrategy, str], AccountDesk]
"""Gives the desk of a venue's account."""


class Bots:
    """The bots of a run. `hosts` in the order of their files; `board`, `channels`: what all of them share."""

    def __init__(
        self,
        config: RunConfig,
        choices: Sequence[BotChoice],
        settings: HostSettings | None = None,
        board: SignalBoard | None = None,
        *,
        reload: bool = False,
    ) -> None:
        """`reload`: bots take changes of the packages beside them. Raises `UserError`."""
        self.config = config
        self.choices = list(choices)
        self.board = board or SignalBoard()
        self.channels = Channels()
        self.flow = LinkFlow()
        self.told: list[str] = []
        """What a user is shown at the start: what was found in the bots, what is converted."""
        self.hosts: list[BotHost] = []
        self._venues: dict[str, tuple[VenueChoice, VenueStrategy]] = {}
        self._files: dict[str, str] = {}
        base = settings or HostSettings(
            cancel_on_exit=config.link.cancel_on_exit,
            call_timeout_s=config.link.call_timeout_s,
            backlog=config.link.backlog,
            reload=reload,
        )
        for choice in self.choices:
            self._add(choice, base)
        self.signal_bots = SignalBots(config.bots, venues_of(self.choices))
        """The bots that carry out what scripts signal."""

    def _add(self, choice: BotChoice, settings: HostSettings) -> None:
        if choice.found:
            self.told.append(f"{choice.name}: {', '.join(choice.found)} (found in {choice.file.name})")
        venues = []
        for each in choice.venues:
            venue = VenueStrategy(each.name, each.src, each.exchange, signed_positions=each.signed_positions)
            name = f"{choice.name}.{each.name}"
            self._venues[name] = (each, venue)
            self._files[name] = str(choice.file)
            venues.append(venue)
        signed = any(each.signed_positions for each in choice.venues)
        settings = evolve(settings, signed_positions=signed, alone=len(self.choices) == 1)
        host = BotHost(choice.name, str(choice.file.resolve()), venues, [], settings, self.board, self.channels)
        self.hosts.append(host)

    # -- what a run is made with ---------------------------------------------------------------------------------------

    @property
    def exchanges(self) -> list[Exchange]:
        """The exchanges that are traded on."""
        return list(dict.fromkeys(each.exchange for each, _ in self._venues.values()))

    @property
    def strategies(self) -> dict[str, tuple[type[Any], StrategyConfig]]:
        """The venues and the signal bots, as strategies of an engine."""
        found: dict[str, tuple[Any, StrategyConfig]] = {}
        for name, (choice, venue) in self._venues.items():
            bound = StrategyConfig(strategy=self._files[name], exchanges=[choice.exchange.name], account=choice.account)
            found[name] = (partial(_same, venue), bound)
        for name, each in self.signal_bots.strategies.items():
            if name in found:
                raise UserError(f"[bots.{name.partition('.')[2]}] is called like the venue {name}: rename one of them")
            found[name] = each
        return found

    def configured(self) -> RunConfig:
        """The configuration of a run without data: the bots' markets are among its instruments."""
        exchanges = dict(self.config.exchanges)
        for exchange in self.exchanges:
            settings = exchanges.get(exchange.name, ExchangeSettings())
            wanted = [*(settings.instruments or ()), *self._symbols(exchange)]
            exchanges[exchange.name] = evolve(settings, instruments=list(dict.fromkeys(wanted)))
        return evolve(self.config, exchanges=exchanges)

    def _symbols(self, exchange: Exchange) -> list[str]:
        """The symbols of an exchange that bots are subscribed to or name, or that stand for such symbols."""
        found = []
        for choice in self.choices:
            for venue in choice.venues:
                if venue.exchange is exchange:
                    named = [sym for src, sym in (*choice.markets, *choice.besides) if src == venue.src]
                    found += list(venue.symbols.values()) if venue.elsewhere else named
        return list(dict.fromkeys([*found, *self.signal_bots.symbols(exchange)]))

    # -- joining -------------------------------------------------------------------------------------------------------

    def attach(self, engine: Engine, desks: Desks, markets: Markets, keeping: Keeping | None = None) -> None:
        """Join the venues to their sessions and accounts in a run's engine. `keeping`: what signal bots know of earlier
        runs. Raises `UserError` for a market that the run has not."""
        for name, (choice, venue) in self._venues.items():
            venue.session = engine.sessions[name]
            venue.clock = engine.clock
            venue.show(listings_of(choice, engine.universe.of(choice.exchange), self.told))
            venue.desk = desks(venue, choice.account)
            venue.hears_strange = venue.desk.hear_strange(venue.strange_changed)
            venue.port = engine.port(choice.exchange, choice.account)
            venue.watch = self.flow.watch
            self.flow.add(venue.session, venue)
            if choice.elsewhere and EXCHANGES[choice.src] is Exchange.BitMEX:
                venue.translated = TranslatedEndpoint(engine.clock, venue, _home(choice.src), markets)
        for bot, host in zip(self.choices, self.hosts, strict=True):
            host.attach(engine.clock, markets)
            self._subscribe(bot, host)
        for _, venue in self._venues.values():
            for instrument in venue.subscribed:
                markets.tap(instrument)
        self.signal_bots.attach(
            engine,
            self.board,
            desks,
            lambda venue: listings_of(venue, engine.universe.of(venue.exchange), []),
            self.told,
            keeping,
        )

    def _subscribe(self, choice: BotChoice, host: BotHost) -> None:
        """Give a bot its markets. Those that were guessed and are not in the run are left out."""
        there = [each for each in choice.markets if not choice.guessed or _has(host, *each)]
        for src, sym in there or choice.markets:
            host.markets.append(self._listing(host, src, sym))
        left = [f"{src}:{sym}" for src, sym in choice.markets if there and (src, sym) not in there]
        if left:
            self.told.append(f"{host.name}: not in this run, left out: {', '.join(left)}")

    def _listing(self, host: BotHost, src: str, sym: str) -> Listing:
        """A market of a bot, whose data its first venue on that exchange subscribes to."""
        venue = next(each for each in host.venues.values() if each.src == src)
        listing = venue.listings.get(sym)
        if listing is None:
            raise UserError(
                f"{host.name}: this run has no {src}:{sym}{near(sym, venue.listings)}",
                f"It has {', '.join(venue.listings) or 'nothing'} of {src}; subscribe to that, or give data of {sym}.",
            )
        venue.subscribed.append(listing.instrument)
        return listing

    def join(self, faces: Faces) -> None:
        """Give each host its bot."""
        for host in self.hosts:
            host.join(faces(host))

    @property
    def over(self) -> bool:
        """Whether every bot has ended for good."""
        return all(host.over for host in self.hosts)

    @property
    def failures(self) -> list[UserError]:
        """Why bots could not be run; where there are several it has been told at once."""
        return [
            UserError(f"{host.name}: {host.failure.problem}", host.failure.hint)
            if host.settings.alone
            else UserError(f"{host.name} could not be run: what was wrong stands above")
            for host in self.hosts
            if host.failure is not None
        ]

    @property
    def died(self) -> bool:
        """Whether a bot has died that was not started again."""
        return any(host.died for host in self.hosts)


def _has(host: BotHost, src: str, sym: str) -> bool:
    return any(each.src == src and sym in each.listings for each in host.venues.values())


def _same(venue: VenueStrategy) -> VenueStrategy:
    return venue


# -- symbols ---------------------------------------------------------------------------------------------------------


def listings_of(venue: VenueChoice, instruments: Sequence[Instrument], told: list[str]) -> dict[str, Listing]:
    """The symbols of a venue. Raises `UserError` for a conversion that is none."""
    if not venue.elsewhere:
        return {sym: Listing(venue.src, sym, each, size_unit(each)) for sym, each in by_symbol(instruments).items()}
    home = _home(venue.src)
    there = by_symbol(instruments)
    found: dict[str, Listing] = {}
    for sym, other in venue.symbols.items():
        where = f"venues.{venue.name}.symbols"
        if sym not in home:
            raise UserError(f"{where}: {venue.src} has no symbol {sym!r}{near(sym, home)}")
        if other not in there:
            raise UserError(
                f"{where}: {venue.exchange.name} has no symbol {other!r} in this run{near(other, there)}",
                f"Give data of it; or leave trade_on out, and the bot trades on {venue.src} itself.",
            )
        twice = next((each.sym for each in found.values() if each.instrument == there[other]), None)
        if twice is not None:
            raise UserError(f"{where}: {twice} and {sym} are both {other}: give each symbol a contract of its own")
        found[sym] = _converted(venue, home[sym], there[other], where)
        told.append(_say(venue, found[sym], home[sym]))
    return found


def _home(src: str) -> dict[str, Instrument]:
    return by_symbol(catalogue_of(EXCHANGES[src]))


def _converted(venue: VenueChoice, home: Instrument, there: Instrument, where: str) -> Listing:
    """The contract of another exchange as the bot's symbol: so many units of it are one of the bot's."""
    same = (home.quantification, home.base_currency, home.settle_currency)
    if same != (there.quantification, there.base_currency, there.settle_currency):
        raise UserError(
            f"{where}: {there.symbol} of {venue.exchange.name} is no equivalent of {venue.src}'s {home.symbol}: "
            f"{_describe(there)} instead of {_describe(home)}",
            "Choose a contract on the same coin that is worth and settled the same way.",
        )
    ratio = Fraction(home.multiplier_units, there.multiplier_units) * size_unit(home)
    return Listing(venue.src, home.symbol, there, ratio, rounds=True)


def _describe(instrument: Instrument) -> str:
    kind = instrument.quantification.name.lower() if instrument.quantification is not None else "unknown"
    return f"{kind} on {instrument.base_currency}, settled in {instrument.settle_currency}"


def _say(venue: VenueChoice, listing: Listing, home: Instrument) -> str:
    there = listing.instrument
    before = Listing(venue.src, home.symbol, home, size_unit(home))
    return (
        f"{venue.name}: {venue.src} {listing.sym} is traded on {venue.exchange.name} as {there.symbol}: "
        f"size 1 is {float(listing.ratio):g} there, lot {before.sizes[1]:g} becomes {listing.sizes[1]:g}, "
        f"tick {before.prices[1]:g} becomes {listing.prices[1]:g}"
    )


# -- runs on data or the synthetic market ------------------------------------------------------------------------------


@frozen
class LinkedRun:
    """A run and its bots."""

    run: Run
    bots: Bots


def link_run(
    config: RunConfig,
    files: Sequence[Path] | Mapping[str, Path],
    sources: Sequence[Source] | None,
    faces: Faces | None,
    *,
    venues: Sequence[str] = (),
    subscribe: Sequence[str] = (),
    reload: bool = False,
    settings: HostSettings | None = None,
    board: SignalBoard | None = None,
    more: Strategies | None = None,
    taps: Sequence[Any] = (),
    start: int | None = None,
    seed: int | None = None,
    now: int | None = None,
    **options: Any,
) -> LinkedRun:
    """A run of bots on data, or without `sources` on the synthetic market.

    `files`: the bots, by name if they have names. `faces` makes each bot's face (None: they are joined later); nothing
    is told to it before the run begins. `venues`, `subscribe`: as on the command line. `more`: strategies beside the
    bots (signal bots). The rest, `options` included, is `mlthon.backtest.prepare.prepare`'s. Raises `UserError`.
    """
    bots = Bots(config, choose_bots(config, files, venues, subscribe), settings, board, reload=reload)
    run = prepare(
        bots.configured() if sources is None else config,
        {**bots.strategies, **(more or {})},
        sources,
        taps=[bots.flow, *taps],
        start=start,
        seed=seed,
        now=now,
        **options,
    )
    seed = config.seed if seed is None else seed
    history: History | None = None
    if sources is None:
        history = synthetic_history(run.start, seed)
    elif start is not None:
        history = recorded_history(sources, start, run.start - start, config.timing)
    attach_embedded(bots, run.assembly, history, quoteless_in(sources))
    if faces is not None:
        bots.join(faces)
    return LinkedRun(run, bots)


def quoteless_in(sources: Sequence[Source] | None) -> set[Instrument]:
    """The instruments that data have trades or books of, and no quotes; the synthetic market has quotes of all."""
    streams = [stream for source in sources or () for stream in source.streams()]
    return {each.instrument for each in streams} - {each.instrument for each in streams if each.kind is Kind.QUOTE}


def attach_embedded(
    bots: Bots, assembly: Assembly, history: History | None = None, quoteless: Collection[Instrument] = ()
) -> None:
    """Join bots to a run whose accounts are on embedded exchanges. `quoteless`: see `Markets`. Raises `UserError`."""
    engine = assembly.engine
    markets = Markets(engine, history, quoteless)

    def desk(venue: VenueStrategy, account: str) -> AccountDesk:
        embedded = assembly.exchanges[venue.exchange]
        port = engine.port(venue.exchange, account)
        gateway = embedded.accounts[account]
        endpoint = BitmexEndpoint(embedded, gateway, markets) if venue.exchange is Exchange.BitMEX else None
        return EmbeddedDesk(embedded, gateway, port, markets.candles, endpoint)

    bots.attach(engine, desk, markets)
