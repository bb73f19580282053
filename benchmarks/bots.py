"""What a bot in a backtest costs: callbacks, sleeps and blocking calls a second.

    python -m benchmarks.bots [reacts sleeps asks] [--events N] [--repeat N]

Each run is a process of its own, prepared as a backtest of a bot is; the inputs are made before the run's clock starts,
and `run_s` is the run loop alone, `cpu_s` its time on a processor.

- **reacts**: W2's 1,000,000 quotes and 200,000 trades, a callback each.
- **sleeps**: a day of the `while True: time.sleep(2)` kind, on a quote every ten seconds: 43,200 wake-ups.
- **asks**: an hour of `fetch_open_orders` one after the other, each at 20 ms of latency to the exchange and as much
  back: 90,000 blocking calls.

A run whose bot did not see what it should raises RuntimeError: it measures nothing.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mlthon.link.simulated.prepare import first, second

if TYPE_CHECKING:
    from mlthon.data.rows import Source

ROOT: Final = Path(__file__).resolve().parents[1]
FILES: Final = Path(__file__).parent / "link_bots"
SECOND: Final = 10**9
DAY: Final = 86_400
QUOTE_EVERY: Final = 10
LATENCY_MS: Final = {"reacts": 1.0, "sleeps": 1.0, "asks": 20.0}
BOOT: Final = (
    "import sys, json; paths = json.loads(sys.argv[1]); sys.path += paths; "
    "from benchmarks.bots import work; work(paths, sys.argv[2], int(sys.argv[3]))"
)
LIMIT_S: Final = 600
EVENTS: Final = {"reacts": 1_000_000, "sleeps": DAY, "asks": 3_600}
"""Quotes, seconds, seconds."""


def work(paths: list[str], name: str, events: int) -> None:
    """In the child: run a workload, print its line, and end: the bot's threads are left where they are."""
    first(paths)
    import traceback

    try:
        print(json.dumps(line_of(name, events)), flush=True)
    except BaseException:  # noqa: BLE001  (told, with its traceback)
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def line_of(name: str, events: int) -> dict[str, Any]:
    """What one run measures."""
    from time import process_time

    from mlthon.config import ExchangeSettings, RunConfig
    from mlthon.data.timing import FeedModel, FeedTiming
    from mlthon.exchange.config import LatencyConfig
    from mlthon.link.host.assembly import link_run
    from mlthon.link.host.host import HostSettings
    from mlthon.link.simulated.alarm import Alarm
    from mlthon.link.simulated.face import SimulatedBot

    seen: dict[str, int] = {}
    latency = LatencyConfig(ms=LATENCY_MS[name])
    exchange = ExchangeSettings(entry_latency=latency, response_latency=latency)
    linked = link_run(
        RunConfig(timing=FeedTiming(model=FeedModel.NONE), exchanges={"BinanceUsdm": exchange}),
        [FILES / f"{name}.py"],
        [source_of(name, events)],
        SimulatedBot,
        venues=["Binance=binanceusdm"],
        subscribe=["binanceusdm:BTCUSDT"],
        settings=HostSettings(publish=lambda host, message: seen.update(message.data)),
        digest=False,
    )
    second(linked.run.assembly.clock, 1, network=False)
    alarm = Alarm()
    alarm.install()
    began = process_time()
    result = linked.run.go()
    spent = process_time() - began
    alarm.uninstall()
    line: dict[str, Any] = {
        "workload": name,
        "events": result.events,
        "run_s": round(result.elapsed_s, 3),
        "cpu_s": round(spent, 3),
    }
    line["seen"] = seen
    return line


def source_of(name: str, events: int) -> "Source":
    """The market of a workload."""
    import numpy as np

    from benchmarks import inputs, ours
    from mlthon.data.rows import Kind, MemorySource, Stream

    if name == "reacts":
        quotes, trades = inputs.w2(events)
        streams = {
            Stream(ours.INSTRUMENT, Kind.QUOTE): ours.quote_columns(quotes),
            Stream(ours.INSTRUMENT, Kind.TRADE): ours.trade_columns(trades),
        }
        return MemorySource.from_arrays(streams)
    count = events // QUOTE_EVERY
    times = 1_735_689_600 * SECOND + np.arange(count + 1) * QUOTE_EVERY * SECOND
    ones = np.ones(count + 1, np.int64)
    columns: Mapping[str, Any] = {"exch_ts": times, "a": ones * 650_000, "b": ones * 5, "c": ones * 650_001, "d": ones}
    return MemorySource.from_arrays({Stream(ours.INSTRUMENT, Kind.QUOTE): columns})


def expected(name: str, events: int) -> dict[str, tuple[int, int]]:
    """Between which numbers what a bot saw must lie."""
    if name == "reacts":
        return {"quotes": (events - 10, events), "trades": (1, events)}  # the first come before it is loaded
    if name == "sleeps":
        return {"looks": (events // 2 - 10, events // 2 + 1)}
    return {"asked": (1, events * 26)}


def measure(name: str, events: int) -> dict[str, Any]:
    """Run a workload once, in a process of its own."""
    paths = [str(ROOT), *(each for each in sys.path if each)]
    done = subprocess.run(
        [sys.executable, "-S", "-c", BOOT, json.dumps(paths), name, str(events)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=LIMIT_S,
        env={"PYTHONHASHSEED": "0", "PATH": ""},
    )
    line: dict[str, Any] = json.loads(done.stdout)
    for what, (least, most) in expected(name, events).items():
        if not least <= line["seen"].get(what, -1) <= most:
            raise RuntimeError(f"{name}: the bot saw {line['seen']}, not {least} to {most} {what}")
    line["per_s"] = round(sum(line["seen"].values()) / line["run_s"])
    line["per_cpu_s"] = round(sum(line["seen"].values()) / line["cpu_s"])
    return line


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bots", description="Measure bots in a backtest.")
    parser.add_argument("workloads", nargs="*", choices=[*EVENTS, []], metavar="WORKLOAD")
    parser.add_argument("--events", type=int, help="quotes (reacts) or seconds (sleeps, asks)")
    parser.add_argument("--repeat", type=int, default=3, help="runs of each, of which the median is shown")
    asked = parser.parse_args()
    for name in asked.workloads or EVENTS:
        lines = [measure(name, asked.events or EVENTS[name]) for _ in range(asked.repeat)]
        middle = statistics.median_low(line["run_s"] for line in lines)
        print(json.dumps(next(line for line in lines if line["run_s"] == middle)), flush=True)


if __name__ == "__main__":
    main()
