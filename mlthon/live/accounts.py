"""The accounts of a live run: who asks the exchange on their behalf, what is written down, what goes on from before.

Each account is a chain: its port, the risk stage, the journal stage, the live gateway (see `mlthon.live.assembly`).
Before anything is connected the account is asked about itself with its own key; what cannot be traded is refused then.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Final

import trio
from attrs import frozen

from mlthon.basics.instrument import Instrument
from mlthon.config import RunConfig
from mlthon.engine.clock import MS, SECOND
from mlthon.engine.engine import Engine
from mlthon.engine.journal import JournalStage
from mlthon.engine.risk import RiskBook, RiskLimits, RiskStage, Touch
from mlthon.live.account_edge import AccountEdge
from mlthon.live.assembly import Venue
from mlthon.live.checks import AccountCheck, asked, check_account
from mlthon.live.driver import Driver
from mlthon.live.journal_store import SqliteJournal
from mlthon.live.run import Standing
from mlthon.live.secrets import Places
from mlthon.venue.codec import Codec, Credentials
from mlthon.venue.live_gateway import GatewaySettings, LiveGateway

log = logging.getLogger("mlthon.live")

DAY: Final = 86_400 * SECOND
"""How much earlier (ns) than what is asked for the known fills are read: the exchange's clock may differ."""


@frozen
class LiveAccount:
    """One account of the run, ready to be started. `limits`: of its strategies by name; read with every order by
    `risk`."""

    venue: Venue
    credentials: Credentials
    gateway: LiveGateway
    stage: JournalStage
    risk: RiskStage
    check: AccountCheck
    codec: Codec
    limits: dict[str, RiskLimits]


async def open_account(
    engine: Engine,
    venue: Venue,
    account: str,
    config: RunConfig,
    places: Places,
    journal: SqliteJournal,
    driver: Driver,
    risk: RiskBook,
    touch: Touch,
) -> LiveAccount:
    """Ask about the account and put its chain under its port. Raises `UserError` for one that cannot be traded."""
    credentials = venue.credentials(account, places)
    codec = venue.codec(account, venue.instruments, credentials)
    fact = await asked(
        venue.exchange,
        f"account {account}",
        venue.edge,
        codec.account_info,
        lambda: (driver.wall.now() + venue.offset) // MS,
    )
    check = check_account(venue.exchange, account, fact, venue.offset)
    port = engine.port(venue.exchange, account)
    token = trio.lowlevel.current_trio_token()
    later = journal.write_later(lambda call: token.run_sync_soon(driver.deliver, call))
    stage = JournalStage(port, venue.exchange, account, engine.clock, journal, port.find, later)
    settings = GatewaySettings(
        audit_s=config.live.reconcile_s,
        dead_man_s=venue.settings.live.dead_man_s or 0.0,
        orders_stay=not config.live.cancel_on_stop,
        secrets=tuple(each for each in (credentials.key, credentials.secret, credentials.passphrase) if each),
    )
    edge = AccountEdge(venue.edge, account)
    gateway = LiveGateway(codec, edge, engine.clock, stage, settings, partial(_set_offset, venue))
    stage.gateway = gateway
    limits = {each.name: config.limits_of(each.name) for each in port.sessions}
    held = partial(_held, gateway)
    port.gateway = limiting = RiskStage(stage, port, engine.clock, risk, touch, limits, venue.settings.live.risk, held)
    port.holdings = held
    return LiveAccount(venue, credentials, gateway, stage, limiting, check, codec, limits)


def _set_offset(venue: Venue, offset: int) -> None:
    venue.offset = venue.edge.offset = venue.feed_edge.offset = offset


def _held(gateway: LiveGateway) -> Mapping[Instrument, int]:
    return {instrument: fact.position for instrument, fact in gateway.positions.items()}


def restore(engine: Engine, journal: SqliteJournal, accounts: Iterable[LiveAccount]) -> None:
    """Tell each gateway what earlier runs left: their orders, as adopted by the ports, and the fills that are known."""
    for each in accounts:
        exchange, account = each.venue.exchange, each.gateway.account
        mine = {order.wire_id for order in journal.open_orders(exchange, account)}
        orders = [order for order in engine.tracker.orders.values() if order.wire_id in mine]
        latest = journal.last_execution_ts(exchange, account) or 0
        oldest = min((order.created_ts for order in orders), default=latest)
        known = journal.exec_ids(exchange, account, min(oldest, latest) - DAY if latest else 0)
        each.gateway.restore(orders, known, min(oldest, latest) if latest else 0)


def held_by_fills(journal: SqliteJournal) -> Callable[[str, Instrument], int]:
    """What a strategy holds of an instrument (lots), by the fills that the journal has of it from all runs."""
    held = {(each.strategy, each.exchange, each.number): each.units for each in journal.holdings()}

    def lots(strategy: str, instrument: Instrument) -> int:
        return held.get((strategy, instrument.venue, instrument.number), 0) // instrument.qty_scale.step_units

    return lots


def standings(journal: SqliteJournal, accounts: Iterable[LiveAccount]) -> tuple[Standing, ...]:
    """The positions of strategies, by the journal's fills of all runs, beside those of the accounts."""
    found = []
    holdings = journal.holdings()
    for each in accounts:
        exchange, account = each.venue.exchange, each.gateway.account
        mine = [held for held in holdings if held.exchange is exchange and held.account == account]
        at = {instrument.number: (instrument, fact) for instrument, fact in each.gateway.positions.items()}
        names = {held.number: held.name for held in mine}
        names |= {number: instrument.name for number, (instrument, fact) in at.items() if fact.position}
        for number, name in sorted(names.items()):
            told = at.get(number)
            units = None if told is None else told[1].position * told[0].qty_scale.step_units
            found.append(
                Standing(
                    exchange=exchange,
                    account=account,
                    instrument=name,
                    by_strategy={held.strategy: held.units for held in mine if held.number == number},
                    of_account=units,
                )
            )
    return tuple(found)


def describe(account: LiveAccount, say: Callable[[str], None], warn: Callable[[str], None]) -> None:
    """Show what was found out about an account."""
    say(f"{account.venue.exchange.name} account {account.gateway.account}")
    for line in account.check.lines:
        say(f"  {line}")
    for line in account.check.warnings:
        warn(line)
