"""A prepared process that runs the moody bot on a made market: `python -S ways.py JOB`, JOB a list in JSON of paths to
import from, the market's seed, the model of feed latency, what there is beside the one market (`MORE`), and whether
rows may take the express. Prints one line of JSON: what the bot was told, what came of the run, and how many rows it
went through by itself."""

import json
import os
import sys
from pathlib import Path
from random import Random
from typing import Any

PATHS, SEED, MODEL, MORE, BY_EXPRESS = json.loads(sys.argv[1])
sys.path[:0] = PATHS

from mlthon.link.simulated.prepare import first, second  # noqa: E402

first([])

from attrs import evolve  # noqa: E402

from mlthon.basics.catalogue import resolve  # noqa: E402
from mlthon.basics.defs import Exchange  # noqa: E402
from mlthon.basics.instrument import Instrument  # noqa: E402
from mlthon.config import ExchangeSettings, RunConfig  # noqa: E402
from mlthon.data.rows import Kind, MemorySource, Stream  # noqa: E402
from mlthon.data.timing import FeedModel, FeedTiming  # noqa: E402
from mlthon.engine.clock import MS, SECOND  # noqa: E402
from mlthon.engine.faces import LIVE, RESET, SET_ASK, SET_BID, STALE  # noqa: E402
from mlthon.exchange.config import LatencyConfig  # noqa: E402
from mlthon.link.host.assembly import link_run  # noqa: E402
from mlthon.link.host.host import HostSettings  # noqa: E402
from mlthon.link.host.market import Riders  # noqa: E402
from mlthon.link.simulated.face import SimulatedBot  # noqa: E402
from tests.data.made import columns  # noqa: E402

START = 1_735_689_600 * SECOND
ROWS = 6_000


MARKETS = {"": 1, "markets": 3, "books": 1, "markets and books": 3}
"""What there is beside the one market; how many there are then. The bot hears two, and the last is heard by nobody."""


def markets(seed: int) -> MemorySource:
    """Markets of two exchanges."""
    made: dict[Stream, list[tuple[int, ...]]] = {}
    there = ((Exchange.Bybit, "BTCUSDT"), (Exchange.BinanceUsdm, "BTCUSDT"), (Exchange.Bybit, "ETHUSDT"))
    for number, place in enumerate(there[: MARKETS[MORE]]):
        made |= market(seed + 10 * number, resolve(*place))
        if "books" in MORE:
            made |= book(seed + number, resolve(*place))
    return MemorySource({stream: columns(values) for stream, values in made.items()})


def book(seed: int, instrument: Instrument) -> dict[Stream, list[tuple[int, ...]]]:
    """A book of some levels around the market, which is lost once in a while."""
    rng = Random(seed)
    rows: list[tuple[int, ...]] = []
    ts = START
    for number in range(ROWS):
        ts += rng.choice((0, 5, 20, 45)) * MS
        op, price = rng.choice((SET_BID, SET_ASK)), 650_000 + rng.randint(-30, 30)
        if number % 1500 == 0:
            rows.append((ts, ts, RESET, 0, 0, 0))
            rows += [(ts, ts, SET_BID if each < 0 else SET_ASK, 650_000 + each, 50_000, 0) for each in (-9, -5, 5, 9)]
            op, price = LIVE, 0
        elif number % 1500 == 1490:
            op, price = STALE, 0
        rows.append((ts, ts, op, price, rng.choice((0, 10, 90_000)) if price else 0, 0))
    return {Stream(instrument, Kind.BOOK): rows}


def market(seed: int, instrument: Instrument) -> dict[Stream, list[tuple[int, ...]]]:
    """Quotes and trades, some at the same time, heard of up to 30 ms later; of some seeds a few quotes are crossed."""
    rng = Random(seed)
    made: dict[Stream, list[tuple[int, ...]]] = {}
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
    return made


def count_rides() -> list[int]:
    """Rows that went two or more at a time."""
    ridden: list[int] = []
    ride = Riders.ride

    def counted(self: Riders, row: int, stop: int) -> int:
        reached = ride(self, row, stop)
        if reached > row + 1:
            ridden.append(reached - row)
        return reached

    Riders.ride = counted  # type: ignore[method-assign]
    return ridden


def main() -> None:
    told: list[Any] = []
    latency = LatencyConfig(ms=5.0)
    exchange = ExchangeSettings(entry_latency=latency, response_latency=latency)
    linked = link_run(
        RunConfig(timing=FeedTiming(model=FeedModel(MODEL)), exchanges={"Bybit": exchange, "BinanceUsdm": exchange}),
        [Path(__file__).parent / "bots" / "moody.py"],
        [markets(SEED)],
        SimulatedBot,
        venues=["V=bybit", "W=binanceusdm"][: MARKETS[MORE]],
        subscribe=["bybit:BTCUSDT", "binanceusdm:BTCUSDT"][: MARKETS[MORE]],
        settings=HostSettings(publish=lambda host, message: told.append(message.data)),
        seed=1,
    )
    run = linked.run
    assert run.plan.express is not None
    if not BY_EXPRESS:
        run.plan = evolve(run.plan, express=None)
    ridden = count_rides()
    second(run.assembly.clock, 1, network=False)
    result = run.go()
    numbers = {"orders": result.orders, "fills": result.fills, "rejects": result.rejects, "digest": result.digest}
    line = {"told": told, "result": numbers, "pnl": str(result.pnl), "ridden": sum(ridden)}
    print(json.dumps(line), flush=True)
    os._exit(0)  # threads of the bot are left where they are


main()
