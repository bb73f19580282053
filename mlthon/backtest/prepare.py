"""From a configuration to a run: load the strategies, take the data or make the synthetic market, and wire them up."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from mlthon.backtest.assembly import Assembly, assemble, instruments_of, lanes_of
from mlthon.backtest.express import express_of
from mlthon.backtest.loader import load_strategy
from mlthon.backtest.run import DATA_ENDED, Plan, Run, Sampler, Turnover
from mlthon.backtest.synthetic import DEFAULT_DURATION, DEFAULT_START, synthetic_instruments, synthetic_plan
from mlthon.config import RunConfig, StrategyConfig
from mlthon.data.replay import Batch, Gap, Replay
from mlthon.data.rows import Source
from mlthon.engine.clock import SECOND
from mlthon.engine.session import Session
from mlthon.engine.taps import Digest, OrderFlowTap, Tally
from mlthon.errors import UserError, near

log = logging.getLogger("mlthon.run")

CUT = "its time was over"


def prepare(
    config: RunConfig,
    strategies: Mapping[str, StrategyConfig | tuple[type[Any], StrategyConfig]],
    sources: Sequence[Source] | None,
    *,
    mode: str = "backtest",
    seed: int | None = None,
    start: int | None = None,
    end: int | None = None,
    duration: int | None = None,
    digest: bool = True,
    taps: Sequence[OrderFlowTap] = (),
    samplers: Sequence[Sampler] = (),
    publish: Callable[[str, str], None] | None = None,
    now: int | None = None,
) -> Run:
    """Make a run. Without `sources` it trades on the synthetic market. `start`, `end` (ns) and `duration` (ns, from the
    start) cut the data. A strategy is named by its configuration, or given as `(class, configuration)`. `now` (ns): the
    run takes place at this time, whenever its data was recorded; for runs played by the wall clock.

    Raises `UserError` for whatever the user can mend.
    """
    classes = {
        name: each if isinstance(each, tuple) else (load_strategy(each.strategy), each)
        for name, each in strategies.items()
    }
    seed = config.seed if seed is None else seed
    tally, turnover = Tally(), Turnover()
    sha = Digest() if digest else None
    watching: list[OrderFlowTap] = [tally, turnover, *([sha] if sha else []), *taps]
    if sources is None:
        begin = start if start is not None else DEFAULT_START if now is None else now
        length = _length(begin, end, duration)
        instruments = synthetic_instruments(config)
    else:
        begin, cut, over = _span(sources, start, end, duration)
        instruments = instruments_of(config, sources)
    shift = 0 if now is None or sources is None else now - begin
    assembly = assemble(
        config,
        classes,
        instruments,
        start=begin + shift,
        seed=seed,
        paper=mode == "paper",
        taps=watching,
        publish=publish,
    )
    schedule(config, assembly)
    if sources is None:
        plan = synthetic_plan(assembly, instruments, config, seed, begin, length)
    else:
        # the replay stops before its end, so uncut data must not be given the time of its own last row
        replay = Replay(sources, config.timing, begin if start is not None else None, cut)
        if sha is not None:
            replay.digest_into(sha.market)
        ending = DATA_ENDED if cut is None else CUT
        lanes = lanes_of(replay, assembly)
        plan = Plan(
            shifted(replay, shift),
            lanes,
            begin + shift,
            over + shift,
            replay.first_heard,
            ending,
            express_of(replay, assembly, lanes),
        )
    return Run(
        ", ".join(classes),
        mode,
        assembly,
        plan,
        tally,
        turnover,
        sha,
        round(config.report.sample_s * SECOND),
        samplers,
    )


def schedule(config: RunConfig, assembly: Assembly) -> None:
    """Have the configured commands given at their times; those for strategies that are configured and do not take part
    are left out. Raises `UserError` for a strategy that there is not."""
    clock, sessions = assembly.clock, assembly.engine.sessions
    known = {*sessions, *config.strategies}
    for command in config.commands:
        if command.strategy is not None and command.strategy not in known:
            raise UserError(
                f"commands: {command.run!r} is for {command.strategy!r}, which does not run"
                f"{near(command.strategy, known)}",
                f"The strategies of this run are {', '.join(sessions)}.",
            )
        for name, session in sessions.items():
            if command.strategy in (None, name):
                clock.call_at(clock.now + command.after_ns, _give, session, command.run)


def _give(session: Session, text: str) -> None:
    name, *words = text.split()
    if not session.command(name, words):
        known = ", ".join(("start", "stop", *session.hooks))
        log.warning("%s: no command %r%s; it has %s", session.name, name, near(name, session.hooks), known)


def _length(begin: int, end: int | None, duration: int | None) -> int:
    """How long (ns) a synthetic market lasts: until the earlier of its end and of its duration, if it has either."""
    if end is None:
        return DEFAULT_DURATION if duration is None else duration
    if end <= begin:
        raise UserError(
            "the end of the run is not after its start",
            "Look at --start and --end. Without --start a synthetic market begins at 2025-01-01, on paper now.",
        )
    return end - begin if duration is None else min(duration, end - begin)


def _span(
    sources: Sequence[Source], start: int | None, end: int | None, duration: int | None
) -> tuple[int, int | None, int]:
    """From when the data is played, where it is cut off (None: not at all), and when it will be over (ns)."""
    starts = [each.start for each in sources if each.start is not None]
    ends = [each.end for each in sources if each.end is not None]
    if not starts:
        raise UserError("the data holds no rows", "Give recordings or a store with rows in them.")
    begin = min(starts) if start is None else start
    if duration is not None:
        end = begin + duration if end is None else min(end, begin + duration)
    last = max(ends)
    over = last if end is None else min(end, last)
    if over < begin:
        raise UserError("no data lies between the start and the end of the run", "Look at --start, --end and the data.")
    return begin, end, over


def shifted(items: Iterable[Batch | Gap], shift: int) -> Iterable[Batch | Gap]:
    """The same rows and holes `shift` ns later."""
    return map(partial(_moved, shift), items) if shift else items


def _moved(shift: int, item: Batch | Gap) -> Batch | Gap:
    if isinstance(item, Gap):
        return Gap(item.start + shift, item.end + shift)
    item.moved = shift
    return item
