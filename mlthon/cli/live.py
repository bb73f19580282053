"""`python -m mlthon STRATEGY --mode live`, and `--mode paper` on live market data."""

import sys
from collections.abc import Sequence
from contextlib import nullcontext, redirect_stdout
from pathlib import Path
from typing import Any

from attrs import evolve

from mlthon.arsenal.assembly import arsenal_files
from mlthon.backtest.loader import default_config, load_strategy
from mlthon.backtest.report import Report
from mlthon.backtest.result import Holding, Result
from mlthon.backtest.tables import make_folder, write_report
from mlthon.basics.defs import Exchange
from mlthon.cli.arsenal_run import arsenals_of, raise_failures
from mlthon.cli.live_session import LiveSession
from mlthon.cli.logs import set_up
from mlthon.cli.record import exchange_named
from mlthon.cli.run import (
    Interrupts,
    Options,
    bot_files,
    choose,
    exit_status,
    refuse_bot_options,
    warn_of_signals,
    with_webhooks,
)
from mlthon.cli.values import duration_ns
from mlthon.cli.view import make_view
from mlthon.config import RunConfig, StrategyConfig, load_config, refuse_strays
from mlthon.engine.clock import SECOND
from mlthon.errors import UserError
from mlthon.live.assembly import Wish, venues_of
from mlthon.live.checks import run_trio
from mlthon.live.secrets import usual_places


def run_live(options: Options) -> int:
    """Run what the options say and return the exit status. Raises `UserError`."""
    set_up(options.verbosity)
    _refuse_options(options)
    file = options.config or (default_config(options.strategy) if options.strategy else None)
    config = load_config(file, options.settings)
    strategies = choose(options.strategy, config)
    refuse_strays(config)
    files = bot_files(strategies)
    config = with_webhooks(config, files)
    theirs = bool(files or arsenal_files(strategies))
    wish = Wish(
        exchanges=exchanges_wished(options.exchange, config, theirs=theirs),
        url=options.url,
        paper=options.mode == "paper",
        real_money=options.real_money or config.live.yes_trade_real_money,
        seed=config.seed if options.seed is None else options.seed,
        places=usual_places(Path(config.live.secrets_file) if config.live.secrets_file else None),
    )
    bots = None
    if files:
        from mlthon.link.host.assembly import Bots
        from mlthon.link.host.choice import choose_bots

        bots = Bots(config, choose_bots(config, files, options.venues, options.subscribe), reload=options.reload)
        if not options.exchange and not config.exchanges:
            wish = evolve(wish, exchanges=bots.exchanges)
    else:
        refuse_bot_options(options)
    arsenals = arsenals_of(options, config, strategies)
    if arsenals is not None:
        if not options.exchange and not config.exchanges:
            wish = evolve(wish, exchanges=list(dict.fromkeys([*wish.exchanges, *arsenals.exchanges])))
        config = arsenals.configured(data=False)
    chosen = {} if arsenals is None else arsenals.strategies
    venues = venues_of(config, wish)
    duration = None if options.duration is None else duration_ns(options.duration, "--duration") / SECOND
    quiet = options.verbosity < 0
    report = None if options.report is None else Report()
    if options.report is not None:
        make_folder(options.report)
    with redirect_stdout(sys.stderr) if options.json else nullcontext():
        classes: dict[str, tuple[Any, StrategyConfig]] = {
            name: chosen[name] if name in chosen else (load_strategy(each.strategy), each)
            for name, each in strategies.items()
            if name not in files
        }
        if bots is not None:
            classes |= bots.strategies
        session = LiveSession(config, wish, venues, classes, duration, bots, report, arsenals, quiet=quiet)
        with Interrupts() as interrupts, make_view(quiet=quiet, title=", ".join(classes)) as view:
            stop = interrupts.stop if arsenals is None else arsenals.or_failed(interrupts.stop)
            result = run_trio(lambda: session.go(view, stop))
    raise_failures(arsenals)
    warn_of_signals(bots)
    for failure in () if bots is None else bots.failures:
        raise failure
    print(result.to_json() if options.json else result.text(), flush=True)
    if report is not None and options.report is not None:
        report.close(by_account(result.result))
        write_report(report, options.report)
    return exit_status(interrupts, bots)


def _refuse_options(options: Options) -> None:
    """Raise `UserError` for options that have no meaning with live market data."""
    senseless = {
        "--data": bool(options.data),
        "--synthetic": options.synthetic,
        "--start": options.start is not None,
        "--end": options.end is not None,
        "--speed": options.speed is not None,
    }
    for name, given in senseless.items():
        if given:
            raise UserError(f"{name}: not with live market data", "Leave it out, or leave out --exchange.")


def exchanges_wished(named: Sequence[str], config: RunConfig, *, theirs: bool = False) -> list[Exchange]:
    """The exchanges of the command line, else those that have a table in the configuration. `theirs`: bots or Arsenal
    strategies bring their own. Raises `UserError`."""
    if named:
        return list(dict.fromkeys(exchange_named(each) for each in named))
    if not config.exchanges and not theirs:
        raise UserError("which exchange?", "Give --exchange bybit, or a configuration with [exchanges.NAME] tables.")
    return [Exchange[name] for name in config.exchanges]


def by_account(result: Result) -> Result:
    """The result with one holding an account and instrument: a live run has one for each strategy."""
    found: dict[tuple[str, str], Holding] = {}
    for each in result.holdings:
        key = (each.account, each.instrument)
        other = found.get(key)
        if other is None:
            found[key] = each
            continue
        found[key] = evolve(
            each,
            position=other.position + each.position,
            entry=None,
            realised=other.realised + each.realised,
            fees=other.fees + each.fees,
        )
    return evolve(result, holdings=tuple(found.values()))
