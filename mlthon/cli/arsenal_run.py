"""Crypto Arsenal strategies in the runs of the command line: chosen before the run is made, joined to it after."""

import logging
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from mlthon.arsenal.assembly import Arsenals, arsenal_files
from mlthon.backtest.history import recorded_history, synthetic_history
from mlthon.backtest.run import Run
from mlthon.config import RunConfig, StrategyConfig
from mlthon.data.rows import Source
from mlthon.errors import UserError

if TYPE_CHECKING:
    from mlthon.cli.run import Options
    from mlthon.live.services import Service


def arsenals_of(
    options: "Options",
    config: RunConfig,
    strategies: Mapping[str, StrategyConfig],
    data: Sequence[Source] | None = None,
) -> Arsenals | None:
    """The Crypto Arsenal strategies among those of the run; None where there are none. Raises `UserError`."""
    found = arsenal_files(strategies)
    if not found:
        if options.pair:
            raise UserError("--pair: only for Crypto Arsenal strategies and webhook", "Others choose what they trade.")
        return None
    from mlthon.live.state_files import state_files

    states = state_files(config, options.mode)
    arsenals = Arsenals(config, strategies, found, pairs=options.pair, data=data, mode=options.mode, states=states)
    if options.mode == "backtest" and options.allow_network:
        from mlthon.live.pages import fetch_at_once

        arsenals.allow_requests(fetch_at_once)
    return arsenals


def request_services(arsenals: Arsenals | None) -> "list[Service]":
    """What carries out the requests of strategies in a run on paper or live."""
    if arsenals is None:
        return []
    from mlthon.live.pages import Pages

    pages = Pages()
    arsenals.allow_requests(pages.fetch)
    return [pages]


def join(arsenals: Arsenals | None, run: Run, data: Sequence[Source] | None, start: int | None, seed: int) -> None:
    """Join them to a run on data or on the synthetic market, with what is known from before it. Raises `UserError`."""
    if arsenals is None:
        return
    history = None
    if data is None:
        history = synthetic_history(run.start, seed)
    elif start is not None:
        history = recorded_history(data, start, run.start - start, arsenals.config.timing)
    arsenals.attach(run.assembly.engine, history)


def show(arsenals: Arsenals | None, *, quiet: bool) -> None:
    """Say what they trade, and let what they log be seen."""
    if arsenals is None or quiet:
        return
    logging.getLogger("mlthon.arsenal").setLevel(logging.INFO)
    for line in arsenals.told:
        print(line, file=sys.stderr, flush=True)


def raise_failures(arsenals: Arsenals | None) -> None:
    """Raise `UserError` for the first that could not be run."""
    for failure in () if arsenals is None else arsenals.failures:
        raise failure
