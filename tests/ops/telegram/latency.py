"""How soon orders are out, without Telegram, with it, and with one that hangs: `python -m tests.ops.telegram.latency`.

A live run against a local exchange, once a setting and as often as asked, the settings in turn so that what else the
machine does falls on all of them. The strategy orders on quotes and publishes a message with each order. Told are the
time from a quote to its order at the gateway (the run's own histogram, so between bounds) and the time that the
callback takes, in which the order is sent and the message is published.
"""

import json
import statistics
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import trio

from benchmarks.live_runs import buckets_of, live_run, local_exchange, quantile, until_trading
from tests.ops.telegram.fake import OWNER, TOKEN, FakeTelegram, Fault

STRATEGY = Path(__file__).parent / "strategies" / "busy.py"
SETTINGS = ("without", "with", "hanging")


async def measure(setting: str, exchange: str, folder: Path, seconds: int) -> dict[str, float]:
    """One run."""
    fake = FakeTelegram()
    async with fake.serve():
        if setting == "hanging":
            for method in ("getMe", "getUpdates", "sendMessage"):
                fake.faults[method] += [Fault(hang=True)] * 10_000
        table = "" if setting == "without" else f'[telegram]\nchat = {OWNER}\nbase_url = "{fake.url}"\n'
        config = folder / "run.toml"
        config.write_text(
            f'[ops]\nstate = "state"\n{table}[live]\njournal = "{folder / "run.journal"}"\n'
            f'[strategies.busy]\nstrategy = "{STRATEGY}"\n[strategies.busy.params]\nout = "{folder / "took.json"}"\n'
        )
        control = folder / "state" / "run" / "busy.sock"
        with live_run(["--config", str(config)], exchange, folder, {"MLTHON_TELEGRAM_TOKEN": TOKEN}) as run:
            await trio.to_thread.run_sync(until_trading, control, run)
            await trio.sleep(seconds)
            buckets = buckets_of(control)
            run.terminate()
            await trio.to_thread.run_sync(run.wait, 30)
    took = sorted(json.loads((folder / "took.json").read_text()))
    return {
        "orders": len(took),
        "tick_to_order_p50": quantile(buckets, 0.5),
        "tick_to_order_p99": quantile(buckets, 0.99),
        "callback_p50": took[len(took) // 2] / 1e3,
        "callback_p99": took[int(len(took) * 0.99)] / 1e3,
        "messages": len(fake.sent),
    }


async def compare(seconds: int, rounds: int) -> dict[str, list[dict[str, float]]]:
    """Every setting, in turn."""
    found: dict[str, list[dict[str, float]]] = {each: [] for each in SETTINGS}
    with local_exchange() as url:
        for number in range(rounds):
            for setting in SETTINGS:
                print(f"round {number + 1} of {rounds}: {setting}", file=sys.stderr, flush=True)
                with tempfile.TemporaryDirectory() as folder:
                    found[setting].append(await measure(setting, url, Path(folder), seconds))
    return found


def lines(found: dict[str, list[dict[str, float]]]) -> Iterable[str]:
    """The medians of the rounds."""
    heads = list(found[SETTINGS[0]][0])
    yield f"{'':10}" + "".join(f"{each:>20}" for each in heads)
    for setting, rounds in found.items():
        yield f"{setting:10}" + "".join(f"{statistics.median(row[each] for row in rounds):>20,.0f}" for each in heads)


def main(arguments: list[str]) -> Any:
    seconds, rounds = int(arguments[0]) if arguments else 20, int(arguments[1]) if len(arguments) > 1 else 3
    for line in lines(trio.run(compare, seconds, rounds)):
        print(line)


if __name__ == "__main__":
    main(sys.argv[1:])
