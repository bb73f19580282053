"""A prepared process that runs the moody bot on a made market: `python -S ways.py JOB`, JOB a list in JSON of paths to
import from, the market's seed, the model of feed latency, and whether rows may take the express. Prints one line of
JSON: what the bot was told, and what came of the run."""

import json
import os
import sys
from pathlib import Path
from random import Random
from typing import Any

PATHS, SEED, MODEL, BY_EXPRESS = json.loads(sys.argv[1])
sys.path[:0] = PATHS

from mlthon.link.simulated.prepare import first, second  # noqa: E402

first([])

from attrs import evolve  # noqa: E402

from mlthon.basics.catalogue import resolve  # noqa: E402
from mlthon.basics.defs import Exchange  # noqa: E402
from mlthon.config import ExchangeSettings, RunConfig  # noqa: E402
from mlthon.data.rows import Kind, MemorySource, Stream  # noqa: E402
from mlthon.data.timing import FeedModel, FeedTiming  # noqa: E402
from mlthon.engine.clock import MS, SECOND  # noqa: E402
from mlthon.exchange.config import LatencyConfig  # noqa: E402
from mlthon.link.host.assembly import link_run  # noqa: E402
from mlthon.link.host.host import HostSettings  # noqa: E402
from mlthon.link.simulated.face import SimulatedBot  # noqa: E402
from tests.data.made import columns  # noqa: E402

START = 1_735_689_600 * SECOND
ROWS = 6_000


def market(seed: int) -> MemorySource:
    """Quotes and trades, some at the same time, heard of up to 30 ms later; of some seeds a few quotes are crossed."""
    rng = Random(seed)
    made: dict[Stream, list[tuple[int, ...]]] = {}
    instrument = resolve(Exchange.Bybit, "BTCUSDT")
    mid, ts, heard = 650_000, START, START
    for number in range(ROWS):
        ts += rng.choice((0, 0, 3, 20, 45)) * MS
        heard = max(heard, ts + rng.randrange(1, 30) * MS)
        mid += rng.choice((-3, -1, 0, 0, 0, 1, 3))
        if rng.random() < 0.7:
            ask = mid + (-1 if seed % 2 == 0 and rng.random() < 0.002 else rng.randint(1, 3))
            row = (ts, heard, mid - rng.randint(0, 3), rng.randint(0, 90), ask, rng.randint(0, 200_000))
            made.setdefault(Stream(instrument, Kind.QUOTE), []).append(row)
        else:
            trade = mid + rng.randint(-3, 3), rng.randint(1, 90), rng.choice((1, -1, 0)), number
            made.setdefault(Stream(instrument, Kind.TRADE), []).append((ts, heard, *trade))
    return MemorySource({stream: columns(values) for stream, values in made.items()})


def main() -> None:
    told: list[Any] = []
    latency = LatencyConfig(ms=5.0)
    exchange = ExchangeSettings(entry_latency=latency, response_latency=latency)
    linked = link_run(
        RunConfig(timing=FeedTiming(model=FeedModel(MODEL)), exchanges={"Bybit": exchange}),
        [Path(__file__).parent / "bots" / "moody.py"],
        [market(SEED)],
        lambda host: SimulatedBot(host, 10_000),
        venues=["V=bybit"],
        subscribe=["bybit:BTCUSDT"],
        settings=HostSettings(publish=lambda host, message: told.append(message.data)),
        seed=1,
    )
    run = linked.run
    assert run.plan.express is not None
    if not BY_EXPRESS:
        run.plan = evolve(run.plan, express=None)
    second(run.assembly.clock, 1, network=False)
    result = run.go()
    numbers = {"orders": result.orders, "fills": result.fills, "rejects": result.rejects, "digest": result.digest}
    print(json.dumps({"told": told, "result": numbers, "pnl": str(result.pnl)}), flush=True)
    os._exit(0)  # threads of the bot are left where they are


main()
