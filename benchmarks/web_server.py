"""What the web server costs an order: `benchmarks.tick_to_order` with no operations process, with one whose web server
nobody asks, and with signals that come faster than they may.

    python -m benchmarks.web_server [COUNT [ROUNDS]]

Engine, operations process, the exchange's sender and the sender of signals are a process each. All signals have the
right token; the server lets through what a connector may send (5 a second) and answers 429 to the rest. The ways take
turns; of several rounds the median counts.
"""

import http.client
import json
import multiprocessing
import socket
import statistics
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Final

import trio
from attrs import frozen

from benchmarks import control_socket, messages
from benchmarks.tick_to_order import WARM_UP, Beside, measure
from mlthon.arsenal.outcomes import TAKEN
from mlthon.config import WebConfig
from mlthon.engine.engine import Engine
from mlthon.live.driver import Driver
from mlthon.live.secrets import Places
from mlthon.live.services import Host
from mlthon.ops.keeper import OpsService
from mlthon.ops.process import PartSpec, ProcessSpec
from mlthon.ops.web.settings import prepare
from mlthon.ops.web.store import FILE, WebhookStore

COUNT: Final = 3_000
ROUNDS: Final = 3
NAME: Final = "tv"
START_S: Final = 30.0


def free_port() -> int:
    """A port that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def signal(token: str) -> bytes:
    """A signal as it is sent."""
    return json.dumps({"action": "buy", "percent": "1", "connectorName": NAME, "connectorToken": token}).encode()


def flood(port: int, sent: bytes, rate: float, counts: "multiprocessing.queues.Queue[Counter[str]]") -> None:
    """Send signals at a rate (a second) for ever; each second tells how they were answered."""
    found: Counter[str] = Counter()
    began = told = time.monotonic()
    number = 0
    connection = http.client.HTTPConnection("127.0.0.1", port)
    while True:
        try:
            connection.request("POST", "/trading-signal/webhook", sent)
            answer = connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException):  # not there yet
            connection.close()
            time.sleep(0.1)
            began, number = time.monotonic(), 0
            continue
        found[str(answer.status)] += 1
        number += 1
        now = time.monotonic()
        if now - told > 1:
            counts.put(found)
            found, told = Counter(), now
        time.sleep(max(0.0, began + number / rate - now))


async def serve(folder: Path, port: int, engine: Engine, driver: Driver, nursery: trio.Nursery) -> None:
    """A run's control socket and its operations process with the web server."""
    path = folder / "run.sock"
    await control_socket.serve(path, engine, driver, nursery, {NAME: lambda _, tell: tell(TAKEN)})
    settings = prepare(WebConfig(port=port), Places({}), folder)
    parts = {"web": PartSpec("mlthon.ops.web", settings)}
    operations = OpsService(ProcessSpec("benchmark", "live", str(path), str(folder), parts))
    await nursery.start(operations.serve, Host(driver.deliver, driver.wall.now))
    with trio.fail_after(START_S):
        while True:
            try:
                await (await trio.open_tcp_stream("127.0.0.1", port)).aclose()
                return
            except OSError:
                await trio.sleep(0.05)


@frozen
class Outcome:
    """p50 and p99 of an order's way, and the engine's processor time an order, in microseconds; how signals were
    answered."""

    p50: float
    p99: float
    cpu: float
    answers: Counter[str]


def once(count: int, rate: float | None, *, alone: bool = False) -> Outcome:
    """One run. `rate`: None for no signals."""
    answers: Counter[str] = Counter()
    with ExitStack() as ending:
        folder = Path(ending.enter_context(tempfile.TemporaryDirectory()))
        port = free_port()
        beside: Beside | None = None if alone else partial(serve, folder, port)
        counts: multiprocessing.queues.Queue[Counter[str]] = multiprocessing.get_context("fork").Queue()
        if rate is not None:
            store = WebhookStore(folder / FILE)
            sent = signal(store.make_token(NAME).text)
            store.close()
            context = multiprocessing.get_context("fork")
            process = context.Process(target=flood, args=(port, sent, rate, counts), daemon=True)
            process.start()
            ending.callback(process.kill)
        began = time.process_time()
        took = measure(count, None, beside)
        cpu = time.process_time() - began
        while not counts.empty():
            answers += counts.get()
    return Outcome(took[len(took) // 2] / 1000, took[len(took) * 99 // 100] / 1000, cpu / count * 1e6, answers)


def main() -> None:
    count = WARM_UP + (int(sys.argv[1]) if len(sys.argv) > 1 else COUNT)
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else ROUNDS
    messages.make("W4", None)
    ways = {
        "no web server": partial(once, rate=None, alone=True),
        "unused": partial(once, rate=None),
        "100 signals/s": partial(once, rate=100.0),
        "1,000 signals/s": partial(once, rate=1000.0),
    }
    found: dict[str, list[Outcome]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            found[name].append(way(count))
    for name, outcomes in found.items():
        p50 = statistics.median(each.p50 for each in outcomes)
        p99 = statistics.median(each.p99 for each in outcomes)
        cpu = statistics.median(each.cpu for each in outcomes)
        answers = sum((each.answers for each in outcomes), Counter[str]())
        told = ", ".join(f"{status}: {number:,}" for status, number in sorted(answers.items()))
        print(f"{name:<18} p50 {p50:.0f} us, p99 {p99:.0f} us, engine {cpu:.0f} us  {told}", flush=True)


if __name__ == "__main__":
    main()
