"""The signal bots of a run: made from `[bots.NAME]`, and joined to the run's engine and to its `SignalBoard`.

A bot that is created while the run goes on joins it then (`SignalBots.join`), if the run has all that it needs.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from mlthon.basics.catalogue import instruments
from mlthon.basics.defs import Exchange
from mlthon.basics.instrument import Instrument
from mlthon.config import BOT_PREFIX, BotConfig, StrategyConfig
from mlthon.engine.state import State
from mlthon.errors import UserError, near
from mlthon.link.host.choice import BotChoice, VenueChoice
from mlthon.link.host.desk import AccountDesk
from mlthon.link.host.listing import Listing
from mlthon.link.host.signals import SignalBoard
from mlthon.link.signals.bot import SignalBot
from mlthon.link.signals.kinds import Kind, kind_of, params_of
from mlthon.link.signals.memory import BotMemory
from mlthon.link.signals.params import Params

if TYPE_CHECKING:
    from mlthon.engine.engine import Engine


Desks = Callable[[Any, str], AccountDesk]
"""Gives the desk of an account to what trades on it."""


@frozen
class Keeping:
    """What bots know of earlier runs. `states`: gives a bot the place of what it keeps, by a name that bots of another
    account, symbol or type do not have, and its exchange; `held`: what a strategy holds of an instrument (lots) by the
    fills of all runs."""

    states: Callable[[str, Exchange], State]
    held: Callable[[str, Instrument], int] = field(default=lambda name, instrument: 0)


def checked(name: str, config: BotConfig) -> tuple[Kind, Params]:
    """The type and the parameters of a bot. Raises `UserError` for whatever is wrong in its table."""
    where = f"bots.{name}"
    kind = kind_of(config.type, f"{where}.type")
    params = params_of(kind, config.effective, where)
    for each in config.private:
        if each not in kind.parameters:
            raise UserError(
                f"{where}.private: {kind.title} has no parameter {each!r}{near(each, kind.parameters)}",
                f"It has {', '.join(kind.parameters)}.",
            )
    return kind, params


def check_symbol(name: str, config: BotConfig, venue: VenueChoice) -> None:
    """A bot trades one symbol, and one that its venue has. Raises `UserError`."""
    known = venue.symbols if venue.elsewhere else [each.symbol for each in instruments(venue.exchange)]
    if known and config.symbol not in known:
        raise UserError(
            f"bots.{name}.symbol: {config.venue} has no symbol {config.symbol!r}{near(config.symbol, known)}",
            f"There are {', '.join(sorted(known))}.",
        )


@frozen
class _Member:
    """One bot of the run."""

    name: str
    config: BotConfig
    venue: VenueChoice
    bot: SignalBot

    @property
    def strategy(self) -> StrategyConfig:
        """What it is to the engine."""
        return StrategyConfig(
            strategy=f"signal bot ({self.bot.kind.title})",
            exchanges=[self.venue.exchange.name],
            account=self.venue.account,
            params=self.config.as_params,
            risk=self.config.risk,
        )

    @property
    def symbol(self) -> str:
        """What it trades, as its exchange names it."""
        return self.venue.symbols.get(self.config.symbol, self.config.symbol)

    @property
    def state_name(self) -> str:
        """Its name for what it keeps over a restart."""
        exchange, account, symbol = self.place
        return f"{self.name}.{exchange.name}-{account}-{symbol}-{self.bot.kind.name}"

    @property
    def place(self) -> tuple[Exchange, str, str]:
        """Exchange, account and symbol."""
        return self.venue.exchange, self.venue.account, self.symbol


@frozen
class _Joined:
    """The run that bots have joined: see `SignalBots.attach`."""

    engine: "Engine"
    board: SignalBoard
    desks: Desks
    listings: Callable[[VenueChoice], Mapping[str, Listing]]
    keeping: Keeping | None


class SignalBots:
    """See the module. `bots`: by the names of their strategies, `bot.NAME`."""

    def __init__(self, configured: Mapping[str, BotConfig], venues: Mapping[str, VenueChoice]) -> None:
        """Raises `UserError` for a bot that cannot be."""
        self._venues = venues
        self._members = [_member(name, config, venues) for name, config in configured.items()]
        self._run: _Joined

    @property
    def bots(self) -> dict[str, SignalBot]:
        return {each.name: each.bot for each in self._members}

    @property
    def strategies(self) -> dict[str, tuple[Any, StrategyConfig]]:
        """The bots, as strategies of an engine."""
        return {each.name: (partial(_same, each.bot), each.strategy) for each in self._members}

    def symbols(self, exchange: Exchange) -> list[str]:
        """What bots trade on an exchange."""
        return [each.symbol for each in self._members if each.venue.exchange is exchange]

    def attach(
        self,
        engine: "Engine",
        board: SignalBoard,
        desks: Desks,
        listings: Callable[[VenueChoice], Mapping[str, Listing]],
        told: list[str],
        keeping: Keeping | None = None,
    ) -> None:
        """Join the bots to their sessions and accounts, and let them hear signals. Raises `UserError` for a symbol that
        the run has not."""
        self._run = _Joined(engine, board, desks, listings, keeping)
        places = [each.place for each in self._members]
        for each in self._members:
            alone = places.count(each.place) == 1
            self._attach(each, alone=alone)
            told.append(_say(each, alone))

    def _attach(self, member: _Member, *, alone: bool) -> None:
        run, bot, name = self._run, member.bot, member.name
        known = run.listings(member.venue)
        listing = known.get(member.config.symbol)
        if listing is None:
            raise UserError(
                f"bots.{_plain(name)}.symbol: this run has no {member.venue.src}:{member.config.symbol}"
                f"{near(member.config.symbol, known)}",
                f"It has {', '.join(known) or 'nothing'} of {member.venue.src}.",
            )
        desk = run.desks(bot, member.venue.account) if alone else None
        bot.attach(
            run.engine.sessions[name],
            run.engine.clock,
            listing,
            None if desk is None else desk.position,
            held=0 if run.keeping is None else run.keeping.held(name, listing.instrument),
            memory=None
            if run.keeping is None
            else BotMemory(run.keeping.states(member.state_name, member.venue.exchange), name),
        )
        run.board.listen(member.venue.src, member.config.symbol, bot.hear, (bot.kind.takes,))

    def join(self, name: str, config: BotConfig) -> str:
        """Let a bot join the run that goes on, and say so. It begins with the last signal of its market. Raises
        `UserError` for what this run cannot do; then the bot is none of its."""
        member = _member(name, config, self._venues)
        run = self._run
        others = [each.name for each in self._members if each.place == member.place]
        if others:
            raise UserError(
                f"{member.name} would share account and symbol with {others[0]}, which follows the account's position"
            )
        exchange, account, symbol = member.place
        if (exchange, account) not in run.engine.ports:
            raise UserError(f"this run has no account {account} on {exchange.name}")
        if symbol not in [each.symbol for each in run.engine.universe.of(exchange)]:
            raise UserError(f"this run has no {symbol} of {exchange.name}")
        bound = member.strategy
        run.engine.add_strategy(member.name, member.bot, [exchange], account, bound.params)
        try:
            self._attach(member, alone=True)
        except UserError:
            run.engine.remove_strategy(member.name)
            raise
        self._members.append(member)
        run.engine.connect(member.name)
        latest = run.board.latest.get((member.venue.src, config.symbol))
        if latest is not None:
            member.bot.hear(latest)
        return _say(member, alone=True)

    def same(self, name: str, config: BotConfig) -> bool | None:
        """Whether a bot of the configuration is the one of this name in the run: the same type, venue and symbol; None
        where there is none of this name."""
        for each in self._members:
            if each.name == f"{BOT_PREFIX}{name}":
                mine = each.config
                return (kind_of(config.type, f"bots.{name}.type"), config.venue, config.symbol) == (
                    each.bot.kind,
                    mine.venue,
                    mine.symbol,
                )
        return None


def _member(name: str, config: BotConfig, venues: Mapping[str, VenueChoice]) -> _Member:
    kind, params = checked(name, config)
    venue = venues.get(config.venue)
    if venue is None:
        raise UserError(
            f"bots.{name}.venue: there is no venue {config.venue!r}{near(config.venue, venues)}",
            f"There are {', '.join(venues) or 'none'}; a venue is a table [venues.NAME] or --venue NAME=SRC.",
        )
    check_symbol(name, config, venue)
    bot = SignalBot(kind, venue.exchange, params, enabled=config.enabled, lasts_s=config.signal_age_s)
    return _Member(f"{BOT_PREFIX}{name}", config, venue, bot)


def _say(member: _Member, alone: bool) -> str:
    config, kind = member.config, member.bot.kind
    off = "" if config.enabled else ", switched off"
    shared = "" if alone else "; it shares the symbol with another bot, begins flat and counts its own fills only"
    return (
        f"{member.name}: {kind.title} bot on {config.venue} {config.symbol}, hears {kind.takes}= of "
        f"{member.venue.src}{off}{shared}"
    )


def _plain(name: str) -> str:
    return name.removeprefix(BOT_PREFIX)


def _same(bot: SignalBot) -> SignalBot:
    return bot


def venues_of(choices: Sequence[BotChoice]) -> dict[str, VenueChoice]:
    """The venues of a run by name; the first of those that have the same one."""
    found: dict[str, VenueChoice] = {}
    for choice in choices:
        for venue in choice.venues:
            found.setdefault(venue.name, venue)
    return found
