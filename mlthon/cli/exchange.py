"""`python -m mlthon exchange NAME`: a local exchange for any client of that exchange, in any language."""

import math
import sys
import tomllib
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from attrs import frozen

from mlthon.basics.catalogue import UnknownInstrument, resolve
from mlthon.basics.defs import InstrumentType, Quantification
from mlthon.basics.instrument import Instrument
from mlthon.basics.money import UNIT
from mlthon.cli.exchange_faults import FaultPlan, read_faults
from mlthon.cli.logs import set_up
from mlthon.data.rows import Source
from mlthon.data.sources import NoData, open_sources
from mlthon.data.synthetic.profiles import profile_of
from mlthon.engine.clock import MS, SECOND, Clock
from mlthon.errors import UserError
from mlthon.exchange.config import ConfigError, ExchangeConfig, LatencyConfig
from mlthon.exchange.dialects import DialectClass, find
from mlthon.exchange.served.exchange import ServedExchange
from mlthon.exchange.served.fault_schedule import FaultSchedule
from mlthon.exchange.served.faults import FaultyDialect, Strike

HISTORY_MINUTES = 1500
DEFAULT_KEY = ("test-key", "test-secret")
LONGEST_LATENCY_MS = 60_000.0
FUNDS = 100_000.0
"""What an account has of each currency that is paid with, unless told otherwise; of a coin, what is worth as much."""
INVENTORY = 2_000.0
"""What its coins of spot are worth."""


@frozen(kw_only=True)
class ExchangeOptions:
    """What stood on the command line."""

    name: str
    host: str
    port: int
    data: tuple[Path, ...]
    instruments: tuple[str, ...]
    speed: float
    accounts: Path | None
    latency: float
    seed: int
    tls: Path | None
    faults: str | None
    view: bool
    verbosity: int


@frozen
class AccountEntry:
    """One account of the accounts file."""

    name: str
    keys: tuple[tuple[str, str], ...]
    balances: dict[str, float] | None


def run_exchange(options: ExchangeOptions) -> int:
    """Serve until Ctrl-C. Raises `UserError`."""
    import trio

    set_up(options.verbosity)
    if not 0 < options.speed < math.inf:
        raise UserError(f"--speed {options.speed}: not a number over 0")
    if not 0 <= options.latency <= LONGEST_LATENCY_MS:
        raise UserError(f"--latency {options.latency}: not between 0 and {LONGEST_LATENCY_MS:g} ms")
    if not 0 <= options.port <= 65535:
        raise UserError(f"--port {options.port}: not between 0 and 65535", "0 takes any free port.")
    if options.seed < 0:
        raise UserError(f"--seed {options.seed}: below 0", "Any whole number from 0 on will do.")
    if options.view and not sys.stdout.isatty():
        raise UserError(
            "--view: standard output is no terminal", "Without it the same is at the address it prints: curl."
        )
    trio.run(_serve, options, find(options.name), read_faults(options.faults))
    return 0


async def _serve(options: ExchangeOptions, dialect_class: DialectClass, plan: FaultPlan) -> None:
    import trio

    from mlthon.cli.exchange_view import keep_showing
    from mlthon.live.driver import WallTime
    from mlthon.live.exchange_admin import Admin
    from mlthon.live.exchange_market import MarketPlayer
    from mlthon.live.exchange_server import ExchangeServer, certificates, run_until_signal

    sources = _sources(options.data)
    entries = read_accounts(options.accounts)
    # what is built from here on takes its time, a second and more on a busy machine: the clock must not be late by it
    wall = WallTime()
    clock = Clock(wall.now())
    served = ServedExchange(
        dialect_class.exchange,
        _instruments(dialect_class, options, sources),
        clock,
        ExchangeConfig(entry_latency=LatencyConfig(ms=options.latency)),
        seed=options.seed,
        ids=dialect_class.ids,
        history_minutes=HISTORY_MINUTES,
        first_id=clock.now // MS,
    )
    usual = usual_balances(tuple(served.markets))
    try:
        for entry in entries:
            served.add_account(entry.name, entry.keys, usual if entry.balances is None else entry.balances)
    except ValueError as error:
        raise UserError(f"{options.accounts}: {error}") from None
    player = MarketPlayer(served, sources, options.seed, options.speed)
    faulty = FaultyDialect(dialect_class(served), clock)
    server = ExchangeServer(faulty, clock, round(options.latency * MS), wall)
    server.admin = Admin(served, faulty, player, server.disconnect, server.counts)
    faulty.on_strike = _say_strike
    if plan.rules:
        FaultSchedule(plan.rules, faulty, served, server.disconnect, options.seed if plan.seed is None else plan.seed)

    def started(url: str) -> None:
        print(_banner(url, options, dialect_class, served, plan), flush=True)

    async with AsyncExitStack() as stack:
        files = None
        if options.tls is not None:
            try:
                files = await stack.enter_async_context(certificates(options.host, options.tls))
            except OSError as error:
                raise UserError(f"--tls {options.tls}: {error.strerror or error}") from None
        try:
            async with trio.open_nursery() as nursery:
                if options.view:
                    nursery.start_soon(keep_showing, server.admin.view)
                await run_until_signal(server, options.host, options.port, certificates=files, started=started)
                nursery.cancel_scope.cancel()
        except* OSError as group:
            first = group.exceptions[0]
            while isinstance(first, BaseExceptionGroup):
                first = first.exceptions[0]
            raise UserError(
                f"cannot listen on {options.host}:{options.port}: {first}", "Is it taken? --port 0 takes any free port."
            ) from None


def _say_strike(strike: Strike) -> None:
    at = datetime.fromtimestamp(strike.ts / SECOND, UTC)
    print(f"{at:%H:%M:%S}.{at.microsecond // 1000:03} fault: {strike.text}", flush=True)


def _banner(
    url: str, options: ExchangeOptions, dialect_class: DialectClass, served: ServedExchange, plan: FaultPlan
) -> str:
    base = url.replace("http://", "ws://").replace("https://", "wss://")
    lines = [f"local {options.name} at {url}"]
    lines += [f"  {name} websocket  {base}{path}" for name, path in dialect_class.sockets.items()]
    lines.append(f"  markets  {', '.join(instrument.name for instrument in served.markets)}")
    for key in served.keys.values():
        # secrets of a file are the file's; the default one is no secret
        secret = key.secret if (key.key, key.secret) == DEFAULT_KEY else "as in the accounts file"
        lines.append(f"  account {key.account.name}  key {key.key}  secret {secret}")
    if options.tls is not None:
        lines.append(f"  certificate authority  {options.tls}")
    lines += [f"  fault  {rule.text}" for rule in plan.rules]
    lines.append(f"  page  {url}/  (as text: curl {url}/)")
    lines.append(f"  admin  {url}/admin/status")
    return "\n".join(lines)


def usual_balances(instruments: Sequence[Instrument]) -> dict[str, float]:
    """Coin -> amount with which an account starts that says nothing itself: much of what is paid with, and of what spot
    trades only a little, because on spot it counts as a position: strategies that limit theirs have to find room."""
    found: dict[str, float] = {}
    # inverse contracts first: they tell what their coin is worth, and others may be settled in it
    for instrument in sorted(instruments, key=lambda each: each.quantification is not Quantification.Inverse):
        inverse = instrument.quantification is Quantification.Inverse
        coin = instrument.settle_currency or instrument.quote_currency or ""
        found.setdefault(coin, _coins(instrument, FUNDS) if inverse else FUNDS)
    for instrument in instruments:
        if instrument.instrument_type is InstrumentType.Spot:
            found[instrument.base_currency or ""] = _coins(instrument, INVENTORY)
    return found


def _coins(instrument: Instrument, worth: float) -> float:
    """How many of the base currency are worth so much at a usual price, to three digits."""
    price = profile_of(instrument).start_price * instrument.price_scale.step_units / UNIT
    return float(f"{worth / price:.3g}")


def _sources(paths: tuple[Path, ...]) -> list[Source]:
    if not paths:
        return []
    try:
        return open_sources(paths)[0]
    except (NoData, OSError) as error:
        raise UserError(str(error), "See docs/data-formats.md for what can be read.") from None


def _instruments(dialect_class: DialectClass, options: ExchangeOptions, sources: list[Source]) -> list[Instrument]:
    """The instruments named, else those of the data, else the dialect's own."""
    exchange = dialect_class.exchange
    of_data = {each.number: each for source in sources for each in source.instruments if each.venue is exchange}
    if sources and not of_data:
        raise UserError(f"--data: there is nothing of {exchange.name} in it")
    try:
        named = [resolve(exchange, name) for name in options.instruments]
        if not named and not of_data:
            named = [resolve(exchange, name) for name in dialect_class.instruments]
    except UnknownInstrument as error:
        raise UserError(str(error), f"List them with: python -m mlthon instruments {exchange.name}") from None
    return [of_data.get(each.number, each) for each in named] or list(of_data.values())


def read_accounts(file: Path | None) -> list[AccountEntry]:
    """The accounts of a TOML file, `[accounts.NAME]` with `key`, `secret` and `balances`; without a file one account
    `main` with the key `test-key`. Raises `UserError`."""
    if file is None:
        return [AccountEntry("main", (DEFAULT_KEY,), None)]
    try:
        content = tomllib.loads(file.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UserError(f"--accounts {file}: {error}") from None
    tables = content.get("accounts")
    if not isinstance(tables, dict) or not tables:
        raise UserError(
            f"--accounts {file}: no [accounts.NAME] table", 'Write [accounts.main], key = "...", secret = "...".'
        )
    return [_entry(file, name, table) for name, table in tables.items()]


def _entry(file: Path, name: str, table: Any) -> AccountEntry:
    where = f"--accounts {file}: accounts.{name}"
    if not isinstance(table, dict) or set(table) - {"key", "secret", "balances"}:
        raise UserError(f"{where}: it has key, secret and balances, and nothing else")
    key, secret = table.get("key"), table.get("secret")
    if not isinstance(key, str) or not isinstance(secret, str) or not key or not secret:
        raise UserError(f"{where}: key and secret must both be text")
    balances = table.get("balances")
    if balances is None:
        return AccountEntry(name, ((key, secret),), None)
    try:
        amounts = {str(coin): float(amount) for coin, amount in balances.items()}
        ExchangeConfig(balances=amounts)
    except (ConfigError, ValueError, TypeError, AttributeError) as error:
        raise UserError(f"{where}.balances: {error}") from None
    return AccountEntry(name, ((key, secret),), amounts)
