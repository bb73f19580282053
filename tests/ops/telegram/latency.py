"""How soon orders are out, without Telegram, with it, and with one that hangs: `python -m tests.ops.telegram.latency`.

A live run against a local exchange, once a setting and as often as asked, the settings in turn so that what else the
machine does falls on all of them. The strategy orders on quotes and publishes a message with each order. Told are the
time from a quote to its order at the gateway (the run's own histogram, so between bounds) and the time that the
callback takes, in which the order is sent and the message is published.
"""

import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import trio

from mlthon.ops.client import AskFailed, ask_once
from mlthon.ops.contract import GetFigures
from tests.ops.telegram.fake import OWNER, TOKEN, FakeTelegram, Fault

STRATEGY = Path(__file__).parent / "strategies" / "busy.py"
COMMAND = [sys.executable, "-m", "mlthon"]
SETTINGS = ("without", "with", "hanging")
BUCKET = re.compile(r'mlthon_tick_to_order_seconds_bucket\{[^}]*le="([^"]+)"\} (\d+)')


def quantile(figures: str, share: float) -> float:
    """A quantile (µs) of the histogram, straight between its bounds."""
    rows = [(float(bound), int(count)) for bound, count in BUCKET.findall(figures)]
    wanted = rows[-1][1] * share
    low, before = 0.0, 0
    for bound, count in rows:
        if count >= wanted:
            return (low + (bound - low) * (wanted - before) / max(count - before, 1)) * 1e6
        low, before = bound, count
    return low * 1e6


async def figures_of(socket: Path) -> str:
    """What the run tells Prometheus; nothing while it is not there yet."""
    try:
        figures: str = await trio.to_thread.run_sync(ask_once, socket, GetFigures(), "latency")
    except AskFailed:
        return ""
    return figures


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
        words = ["--config", str(config), "--mode", "live", "--exchange", "bybit", "--url", exchange, "-q"]
        environment = {**os.environ, "MLTHON_TELEGRAM_TOKEN": TOKEN}
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen([*COMMAND, *words], cwd=folder, stdout=log, stderr=log, env=environment)
            socket = folder / "state" / "run" / "busy.sock"
            with trio.fail_after(60):
                while not BUCKET.search(await figures_of(socket)):
                    await trio.sleep(0.2)
            await trio.sleep(seconds)
            figures = await figures_of(socket)
            process.terminate()
            await trio.to_thread.run_sync(process.wait, 30)
    took = sorted(json.loads((folder / "took.json").read_text()))
    return {
        "orders": len(took),
        "tick_to_order_p50": quantile(figures, 0.5),
        "tick_to_order_p99": quantile(figures, 0.99),
        "callback_p50": took[len(took) // 2] / 1e3,
        "callback_p99": took[int(len(took) * 0.99)] / 1e3,
        "messages": len(fake.sent),
    }


async def compare(seconds: int, rounds: int) -> dict[str, list[dict[str, float]]]:
    """Every setting, in turn."""
    command = [*COMMAND, "exchange", "bybit", "--port", "0", "--instruments", "byt:perp:btc-usdt"]
    found: dict[str, list[dict[str, float]]] = {each: [] for each in SETTINGS}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "PYTHONUNBUFFERED": "1"}) as server:
        try:
            assert server.stdout is not None
            url = re.search(r"http://\S+", server.stdout.readline().decode())
            assert url
            for _ in range(rounds):
                for setting in SETTINGS:
                    with tempfile.TemporaryDirectory() as folder:
                        found[setting].append(await measure(setting, url[0], Path(folder), seconds))
        finally:
            server.terminate()
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
