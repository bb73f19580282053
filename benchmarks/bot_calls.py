"""What a blocking call costs a bot in a process of its own: from its thread to the engine and back.

    python -m benchmarks.bot_calls [--calls N] [--repeat N]

A paper run by the wall clock, with one bot that asks the same thing over and over from one of its threads:

- **answered at once**: an amendment of an order that there is not. The way there and back is all that it costs.
- **open orders**: what the embedded exchange is asked, without a modelled latency: it comes through the engine's clock.

`us` are microseconds a call, the best of `--repeat` runs; `bot_cpu_us` is the processor time of the bot's process and
`engine_cpu_us` that of the engine's. The wall times depend much on what else the machine does, because each call wakes
threads on other cores: compare runs that were made in turn.
"""

import argparse
import json
import logging
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from mlthon.config import load_config
from mlthon.engine.clock import SECOND
from mlthon.link.contract import Publish
from mlthon.link.host.assembly import link_run
from mlthon.link.host.host import BotHost, HostSettings
from mlthon.live.bots import BotProcesses
from mlthon.live.checks import run_trio
from mlthon.live.paced import go_paced

SETTINGS: Final = ("exchanges.BitMEX.entry_latency.ms=0", "exchanges.BitMEX.response_latency.ms=0")
LIMIT_S: Final = 120
BOT: Final = """
import time
from profitview import Link

class Trading(Link):
    def on_start(self):
        self.create_thread(self.measure)

    def measure(self):
        for name, ask in (("answered at once", self.nothing), ("open orders", self.open_orders)):
            ask()
            self.publish("begin", name)
            took, cpu = [], time.process_time()
            for _ in range(CALLS):
                began = time.perf_counter()
                ask()
                took.append((time.perf_counter() - began) * 1e6)
            cpu = (time.process_time() - cpu) * 1e6 / CALLS
            self.publish("end", {"what": name, "us": sorted(took), "bot_cpu_us": cpu})
        self.stop_trading("measured")

    def nothing(self):
        try:
            self.amend_order("Mine", "none", 1)
        except Exception:
            pass

    def open_orders(self):
        self.fetch_open_orders("Mine")
"""


def measure(calls: int) -> list[dict[str, Any]]:
    """One run: a line for each kind of call. Raises RuntimeError where the bot has told nothing."""
    lines: list[dict[str, Any]] = []
    began: list[float] = []

    def published(_: BotHost, message: Publish) -> None:
        if message.topic == "begin":
            began.append(time.process_time())
            return
        told = dict(message.data)
        took = told.pop("us")
        cpu = (time.process_time() - began[-1]) * 1e6 / calls
        quantiles = {f"us_p{share}": round(took[calls * share // 100], 1) for share in (10, 50, 90, 99)}
        figures = {"bot_cpu_us": round(told["bot_cpu_us"], 1), "engine_cpu_us": round(cpu, 1)}
        lines.append({"what": told["what"]} | quantiles | figures)

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "asks.py"
        file.write_text(BOT.replace("CALLS", str(calls)), "utf-8")
        config = load_config(None, list(SETTINGS))
        linked = link_run(
            config,
            {"asks": file},
            None,
            None,
            venues=["Mine=bitmex"],
            subscribe=["bitmex:XBTUSD"],
            settings=HostSettings(publish=published),
            duration=LIMIT_S * SECOND,
            now=time.time_ns(),
        )
        services = [BotProcesses(linked.bots.hosts, config.link)]
        run_trio(lambda: go_paced(linked.run, stop=lambda: linked.bots.over, services=services))
    if len(lines) != 2:
        raise RuntimeError(f"the bot told {len(lines)} of 2 figures")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bot_calls", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--calls", type=int, default=5000)
    parser.add_argument("--repeat", type=int, default=5)
    options = parser.parse_args()
    logging.getLogger("mlthon").setLevel(logging.CRITICAL)
    runs = [measure(options.calls) for _ in range(options.repeat)]
    for same in zip(*runs, strict=True):
        print(
            json.dumps(
                {key: each if isinstance(each, str) else min(run[key] for run in same) for key, each in same[0].items()}
            )
        )


if __name__ == "__main__":
    main()
