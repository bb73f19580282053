"""From a configuration to a run: load the strategies, open the data or make the synthetic market, put it all together."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mlthon.backtest.assembly import assemble, instruments_of, lanes_of
from mlthon.backtest.loader import load_strategy
from mlthon.backtest.run import Plan, Run, Sampler, Turnover
from mlthon.backtest.synthetic import DEFAULT_DURATION, DEFAULT_START, synthetic_instruments, synthetic_plan
from mlthon.config import RunConfig, StrategyConfig
from mlthon.data.replay import Replay
from mlthon.data.rows import Source
from mlthon.engine.clock import SECOND
from mlthon.engine.taps import Digest, OrderFlowTap, Tally
from mlthon.errors import UserError


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
) -> Run:
    """Make a run. Without `sources` it trades on the synthetic market. `start`, `end` (ns) and `duration` (ns, from the
    start) cut the data. A strategy is named by its configuration, or given as `(class, configuration)`.

    Raises `UserError` for whatever the user can mend.
    """
    classes = {
        name: each if isinstance(each, tuple) else (load_strategy(each.strategy), each)
        for name, each in strategies.items()
    }
    seed = config.seed if seed is None else seed
    tally, turnover = Tally(), Turnover()
    sha = Digest() if digest else None
    watching = [tally, turnover, *([sha] if sha else []), *taps]
    if sources is None:
        begin = DEFAULT_START if start is None else start
        if end is not None:
            duration = end - begin
        instruments = synthetic_instruments(config)
    else:
        begin, end = _span(sources, start, end, duration)
        instruments = instruments_of(config, sources)
    assembly = assemble(
        config, classes, instruments, start=begin, seed=seed, paper=mode == "paper", taps=watching, publish=publish
    )
    if sources is None:
        plan = synthetic_plan(assembly, instruments, config, seed, begin, duration or DEFAULT_DURATION)
    else:
        replay = Replay(sources, config.timing, begin if start is not None else None, end)
        if sha is not None:
            replay.digest_into(sha.sha)
        plan = Plan(replay, lanes_of(replay, assembly), begin, end)
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


def _span(
    sources: Sequence[Source], start: int | None, end: int | None, duration: int | None
) -> tuple[int, int | None]:
    """From when to when the data is played."""
    starts = [each.start for each in sources if each.start is not None]
    ends = [each.end for each in sources if each.end is not None]
    if not starts:
        raise UserError("the data holds no rows", "Give recordings or a store with rows in them.")
    begin = min(starts) if start is None else start
    if duration is not None:
        end = begin + duration if end is None else min(end, begin + duration)
    last = max(ends) if ends else None
    if end is None:
        return begin, last
    if end <= begin:
        raise UserError("the run would end before it starts", "Let --end come after --start.")
    return begin, end
