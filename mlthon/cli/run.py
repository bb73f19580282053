"""`python -m mlthon STRATEGY`: from options to a run, and from its result to what is printed."""

import logging
import re
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, nullcontext, redirect_stdout
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from attrs import evolve, frozen

from mlthon.backtest.loader import default_config, load_strategy, parse_spec, place_of
from mlthon.backtest.prepare import prepare
from mlthon.backtest.report import Report
from mlthon.backtest.result import Progress, Result
from mlthon.backtest.run import Run
from mlthon.backtest.tables import make_folder, summary_text, write_report
from mlthon.basics.catalogue import UnknownInstrument
from mlthon.cli import INTERRUPTED, USER_ERROR
from mlthon.cli.arsenal_run import arsenals_of, raise_failures, request_services
from mlthon.cli.arsenal_run import join as join_arsenals
from mlthon.cli.arsenal_run import show as show_arsenals
from mlthon.cli.logs import set_up
from mlthon.cli.values import duration_ns, time_ns
from mlthon.cli.view import View, make_busy, make_view
from mlthon.cli.watch import JoinsBots, ParamsWatch
from mlthon.config import RunConfig, StrategyConfig, WebConfig, load_config, refuse_strays
from mlthon.data.rows import Source
from mlthon.data.sources import NoData, open_sources
from mlthon.engine.clock import TimeStuck
from mlthon.errors import UserError, near

if TYPE_CHECKING:
    from mlthon.arsenal.assembly import Arsenals
    from mlthon.link.host.assembly import Bots
    from mlthon.live.services import Service
    from mlthon.ops.assembly import Operations

log = logging.getLogger("mlthon")

PROBLEMS_SHOWN = 10
_WEBHOOK = re.compile(rb"@\s*http\s*\.\s*route\b")


@frozen(kw_only=True)
class Options:
    """What stood on the command line."""

    strategy: str | None
    mode: str
    config: Path | None
    settings: tuple[str, ...]
    seed: int | None
    speed: float | None
    data: tuple[Path, ...]
    start: str | None
    end: str | None
    duration: str | None
    json: bool
    report: Path | None
    verbosity: int
    exchange: tuple[str, ...] = ()
    url: str | None = None
    real_money: bool = False
    venues: tuple[str, ...] = ()
    subscribe: tuple[str, ...] = ()
    reload: bool = False
    allow_network: bool = False
    pair: tuple[str, ...] = ()
    synthetic: bool = False

    def paths(self, config: RunConfig) -> Sequence[Path | str]:
        """The data of the run; none for a synthetic market."""
        return () if self.synthetic else self.data or config.data or ()


def run_strategy(options: Options) -> int:
    """Run what the options say and return the exit status. Raises `UserError`."""
    if options.mode == "live" or options.exchange:
        if options.mode == "backtest":
            raise UserError("--exchange is for --mode live or paper", "A backtest takes its exchanges from its data.")
        from mlthon.cli.live import run_live

        return run_live(options)
    for name, given in (("--url", options.url is not None), ("--yes-trade-real-money", options.real_money)):
        if given:
            raise UserError(f"{name}: nothing here is live", "Name the exchange too: --exchange bybit")
    set_up(options.verbosity)
    if options.mode == "backtest" and bot_files(configuration(options)[1]):
        from mlthon.cli.bot_run import run_bot

        return run_bot(options)
    # With --json standard output is for that one line: what a strategy prints joins the messages.
    with redirect_stdout(sys.stderr) if options.json else nullcontext():
        report, status = _run(options)
    print(report.closed.result.to_json() if options.json else summary_text(report.closed, options.report), flush=True)
    return status


def _run(options: Options) -> tuple[Report, int]:
    """The closed report of the run, and its exit status."""
    speed = _speed(options)
    quiet = options.verbosity < 0
    config, strategies = configuration(options)
    if options.mode == "paper":
        config = with_webhooks(config, bot_files(strategies))
    with make_busy("reading the data ...", quiet=quiet):
        sources = open_data(options.paths(config))
    report = Report()
    with ExitStack() as closing:
        with make_busy("making ready ...", quiet=quiet):
            operations = None if options.mode != "paper" else _operations(config, strategies)
            if operations is not None:
                closing.callback(operations.close)
            arsenals = arsenals_of(options, config, strategies, sources)
            run, bots = make_run(options, config, strategies, sources, report, operations, arsenals)
        if operations is not None:
            _attach(operations, run, bots)
            operations.control.signals.update({} if arsenals is None else arsenals.signals)
        return _go(options, config, speed, sources, report, run, bots, operations, arsenals)


def _go(
    options: Options,
    config: RunConfig,
    speed: float,
    sources: Sequence[Source] | None,
    report: Report,
    run: Run,
    bots: "Bots | None",
    operations: "Operations | None",
    arsenals: "Arsenals | None",
) -> tuple[Report, int]:
    """Play a run that is made, and close its books."""
    quiet = options.verbosity < 0
    show_bots(bots, quiet=quiet)
    show_arsenals(arsenals, quiet=quiet)
    if options.report is not None:
        make_folder(options.report)
    watch = None
    if options.mode == "paper":
        watch = ParamsWatch(config, run.assembly.engine.sessions, None if bots is None else JoinsBots(bots))
        if operations is not None:
            operations.control.reread = watch.reread
    services = [] if options.mode != "paper" else request_services(arsenals)
    services += () if operations is None else operations.services
    with Interrupts() as interrupts:
        with make_view(quiet=quiet, title=run.name) as view:
            stop = interrupts.stop if arsenals is None else arsenals.or_failed(interrupts.stop)
            result = _play(run, speed, watch, view, stop, bots, services)
        raise_failures(arsenals)
        if interrupts.asked:
            result = evolve(result, ended="stopped by Ctrl-C")
        report.close(result)
        warn_of(sources or ())
        warn_of_signals(bots)
        if options.report is not None:
            write_report(report, options.report)
    return report, exit_status(interrupts, bots)


def exit_status(interrupts: "Interrupts", bots: "Bots | None") -> int:
    """Of a run on paper or live that has come to its end."""
    if interrupts.asked:
        return INTERRUPTED
    return USER_ERROR if bots is not None and bots.died else 0


def _operations(config: RunConfig, strategies: Mapping[str, StrategyConfig]) -> "Operations | None":
    """What the run is operated by from outside. Raises `UserError`."""
    from mlthon.live.secrets import usual_places
    from mlthon.ops.assembly import open_operations

    secrets = config.live.secrets_file
    return open_operations(config, strategies, "paper", usual_places(Path(secrets) if secrets else None))


def _attach(operations: "Operations", run: Run, bots: "Bots | None") -> None:
    """Let a run on paper be operated from outside."""
    from mlthon.ops.assembly import embedded_mark, embedded_position

    operations.attach(
        run.assembly.engine,
        started=time.time_ns(),
        events=lambda: run.events,
        mark=embedded_mark(run.assembly.exchanges),
        at_exchange=embedded_position(run.assembly.exchanges),
        bots=() if bots is None else bots.hosts,
    )


def configuration(options: Options) -> tuple[RunConfig, dict[str, StrategyConfig]]:
    """The configuration of a run, and its strategies by name. Raises `UserError`."""
    file = options.config or (default_config(options.strategy) if options.strategy else None)
    config = load_config(file, options.settings)
    strategies = choose(options.strategy, config)
    refuse_strays(config)
    return config, strategies


def choose(strategy: str | None, config: RunConfig) -> dict[str, StrategyConfig]:
    """The strategies to run, by name: those of the configuration's tables, or the one that the command line names."""
    tables = config.strategies
    if strategy is None:
        if not tables:
            raise UserError(
                "no strategy: name one, or a --config with [strategies.NAME] tables",
                "For example: python -m mlthon demo_strat",
            )
        return dict(tables)
    if strategy in tables:
        return {strategy: tables[strategy]}
    if tables and strategy not in {each.strategy for each in tables.values()}:
        raise UserError(
            f"{strategy!r} is none of the strategies of {config.file}{near(strategy, tables)}",
            f"Name one of {', '.join(tables)}, or none to run them all.",
        )
    same = {name: each for name, each in tables.items() if each.strategy == strategy}
    return same or {parse_spec(strategy).name: StrategyConfig(strategy=strategy, params=config.params)}


def _speed(options: Options) -> float:
    if options.speed is None:
        return 1.0
    if options.mode != "paper":
        raise UserError("--speed is for --mode paper: a backtest goes as fast as it can")
    if not 0 < options.speed < float("inf"):
        raise UserError(f"--speed {options.speed}: not a number over 0", "2 is twice as fast as the wall clock.")
    return options.speed


def open_data(paths: Sequence[Path | str]) -> Sequence[Source] | None:
    """The sources at the paths, None without any; what cannot be read is said. Raises `UserError`."""
    if not paths:
        return None
    try:
        sources, problems = open_sources(paths)
    except (NoData, OSError) as error:
        raise UserError(str(error), "See docs/data-formats.md for what can be read.") from None
    for problem in problems:
        log.warning("left out: %s", problem)
    if log.isEnabledFor(logging.WARNING):
        for note in dict.fromkeys(note for source in sources for note in getattr(source, "notes", ())):
            print(note, file=sys.stderr, flush=True)
    return sources


def make_run(
    options: Options,
    config: RunConfig,
    strategies: Mapping[str, StrategyConfig],
    sources: Sequence[Source] | None,
    report: Report,
    operations: "Operations | None" = None,
    arsenals: "Arsenals | None" = None,
) -> "tuple[Run, Bots | None]":
    """The run that the options say, and its bots, which are joined to it by the caller. Raises `UserError`."""
    if options.seed is not None and options.seed < 0:
        raise UserError(f"--seed {options.seed}: below 0", "Any whole number from 0 on will do.")
    files = bot_files(strategies)
    chosen: Mapping[str, Any] = strategies
    if arsenals is not None:
        config = arsenals.configured(data=sources is not None)
        chosen = {**strategies, **arsenals.strategies}
    given: dict[str, Any] = {
        "mode": options.mode,
        "seed": options.seed,
        "start": time_ns(options.start, "--start") if options.start else None,
        "end": time_ns(options.end, "--end") if options.end else None,
        "duration": duration_ns(options.duration, "--duration") if options.duration else None,
        "taps": [report.books, *(() if operations is None else operations.taps)],
        "publish": None if operations is None else operations.publish,
        "samplers": [report.sample],
        "now": time.time_ns() if options.mode == "paper" else None,
    }
    try:
        if not files:
            refuse_bot_options(options, network=arsenals is not None and options.mode == "backtest")
            for name in config.bots:
                log.warning("bots.%s: left out: signal bots go with the ProfitView script that signals", name)
            run = prepare(config, chosen, sources, **given)
            join_arsenals(arsenals, run, sources, given["start"], config.seed if options.seed is None else options.seed)
            return run, None
        from mlthon.link.host.assembly import link_run

        more = {
            name: each if isinstance(each, tuple) else (load_strategy(each.strategy), each)
            for name, each in chosen.items()
            if name not in files
        }
        linked = link_run(
            config,
            files,
            sources,
            None,
            venues=options.venues,
            subscribe=options.subscribe,
            reload=options.reload,
            more=more,
            **given,
        )
        join_arsenals(arsenals, linked.run, sources, given["start"], linked.bots.config.seed)
        return linked.run, linked.bots
    except UnknownInstrument as error:
        raise UserError(str(error), "List them with: python -m mlthon instruments") from None


def bot_files(strategies: Mapping[str, StrategyConfig]) -> dict[str, Path]:
    """Those of the strategies that are ProfitView bots."""
    files = {}
    for name, each in strategies.items():
        file = parse_spec(each.strategy).file
        # a glance at the text: what bots run on is imported only for bots
        if file is not None and file.is_file() and b"profitview" in file.read_bytes():
            from mlthon.link.bot.source import is_bot

            if is_bot(file):
                files[name] = file
    return files


def with_webhooks(config: RunConfig, files: Mapping[str, Path]) -> RunConfig:
    """Serve the webhooks of bots also where nothing is said of a web server: without one they could not be called."""
    if config.web is None and any(_WEBHOOK.search(file.read_bytes()) for file in files.values()):
        return evolve(config, web=WebConfig())
    return config


def refuse_bot_options(options: Options, *, network: bool = False) -> None:
    """Raise `UserError` for options that have a meaning for bots alone. `network`: strategies of the run may be allowed
    to use it."""
    given: dict[str, object] = {
        "--venue": options.venues,
        "--subscribe": options.subscribe,
        "--reload": options.reload,
        "--allow-network": options.allow_network and not network,
    }
    for name, value in given.items():
        if value:
            raise UserError(f"{name}: only for ProfitView bots", "A bot imports Link from profitview.")


def show_bots(bots: "Bots | None", *, quiet: bool) -> None:
    """Say what bots trade on, and let what they print and log be seen."""
    if bots is None or quiet:
        return
    logging.getLogger("mlthon.bot").setLevel(logging.INFO)
    for line in bots.told:
        print(line, file=sys.stderr, flush=True)


def _play(
    run: Run,
    speed: float,
    watch: ParamsWatch | None,
    view: View,
    stop: Callable[[], bool],
    bots: "Bots | None",
    services: "Sequence[Service]",
) -> Result:
    try:
        if watch is None:
            return run.go(view.update, stop)
        return _play_paced(run, speed, view.update, stop, watch.look, bots, services)
    except SystemExit as error:
        raise UserError(
            f"{place_of(error, Path.cwd())}: the strategy ended the program (sys.exit) in a callback",
            "Let the run end by itself: it cancels what is open and tells what was earned.",
        ) from None
    except TimeStuck as error:
        raise UserError(str(error), "Set entry_latency or response_latency of the exchange above 0.") from None


def _play_paced(
    run: Run,
    speed: float,
    on_progress: Callable[[Progress], None],
    stop: Callable[[], bool],
    look: Callable[[], None],
    bots: "Bots | None",
    services: "Sequence[Service]",
) -> Result:
    from mlthon.live.checks import run_trio
    from mlthon.live.paced import go_paced

    if bots is None:
        return run_trio(lambda: go_paced(run, speed, on_progress, stop, look, services))
    from mlthon.live.bots import BotProcesses

    services = [BotProcesses(bots.hosts, bots.config.link), *services]
    result = run_trio(lambda: go_paced(run, speed, on_progress, lambda: stop() or bots.over, look, services))
    for failure in bots.failures:
        raise failure
    return result


def warn_of(sources: Sequence[Source]) -> None:
    """Say what of the data could not be read; it is known only once it has been."""
    found = [problem for source in sources for problem in getattr(source, "problems", ())]
    for problem in found[:PROBLEMS_SHOWN]:
        log.warning("data not taken as it is: %s", problem)
    if len(found) > PROBLEMS_SHOWN:
        log.warning("... and %d more places in the data that could not be read", len(found) - PROBLEMS_SHOWN)


def warn_of_signals(bots: "Bots | None") -> None:
    """Say which signals had no bot to execute them."""
    for line in () if bots is None else bots.board.summary():
        log.warning("%s", line)


class Interrupts:
    """Ctrl-C while a run goes on: once asks it to stop, twice ends at once. SIGTERM counts as Ctrl-C.

    What ends at once is a KeyboardInterrupt wherever the program is; but one in the midst of the event loop's own code
    would break the loop and leave behind what its tasks have to tidy up. There it comes with the next `stop`.
    """

    _SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self, told: str = "stopping the strategy; Ctrl-C again ends at once") -> None:
        """`told`: what the first Ctrl-C prints."""
        self.asked = False
        self._at_once = False
        self._told = told
        self._before: dict[signal.Signals, Any] = {}

    def stop(self) -> bool:
        """Whether the run is to stop. Raises KeyboardInterrupt when it is to end at once."""
        if self._at_once:
            raise KeyboardInterrupt
        return self.asked

    def __enter__(self) -> "Interrupts":
        for each in self._SIGNALS:
            self._before[each] = signal.signal(each, self._interrupt)
        return self

    def __exit__(self, *_: object) -> None:
        for each, handler in self._before.items():
            signal.signal(each, handler)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            self._at_once = True
            if frame is None or not str(frame.f_globals.get("__name__")).startswith("trio."):
                raise KeyboardInterrupt
            return
        self.asked = True
        print(self._told, file=sys.stderr, flush=True)
