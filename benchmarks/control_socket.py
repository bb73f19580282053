"""What the control socket costs an order: `benchmarks.tick_to_order` with nothing beside the engine, with a control
socket that nobody uses, and with clients that use it.

    python -m benchmarks.control_socket [COUNT [ROUNDS]]

A client is a process of its own. `asking`: the status, 50 times a second; `scraping`: the figures for Prometheus too,
once a second; `flooding`: as many asks as the socket takes, most of them refused. The ways take turns, so that what
else the machine does falls on all of them; of several rounds the median counts.
"""

import multiprocessing
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Final

import trio

from benchmarks import messages
from benchmarks.tick_to_order import WARM_UP, Beside, measure
from mlthon.engine.engine import Engine
from mlthon.engine.taps import Tally
from mlthon.link.wire import encode, frame
from mlthon.live.driver import Driver
from mlthon.live.services import Host
from mlthon.ops.audit import AuditLog
from mlthon.ops.books import FillBooks
from mlthon.ops.contract import Ask, GetFigures, GetStatus
from mlthon.ops.control import Control, RunFacts, TakeSignal
from mlthon.ops.lookout import Lookout
from mlthon.ops.metrics import Figures, OrderTimes, tell_of_control, tell_of_run
from mlthon.ops.service import ControlService

COUNT: Final = 3_000
ROUNDS: Final = 3
EVERY_S: Final = 0.02
FLOOD: Final = 50


def asking(path: Path, *, figures: bool = False, flood: bool = False) -> None:
    """Ask until the run ends."""
    with socket.socket(socket.AF_UNIX) as connection, suppress(ConnectionError):
        while True:
            try:
                connection.connect(str(path))
                break
            except OSError:  # the run is not there yet
                time.sleep(0.01)
        number = 0
        while True:
            for _ in range(FLOOD if flood else 1):
                number += 1
                what = GetFigures() if figures and not number % 50 else GetStatus()
                connection.sendall(frame([encode(Ask(number, "benchmark", what))]))
                if not flood:
                    connection.recv(1 << 16)
            if flood:
                connection.recv(1 << 20)
            else:
                time.sleep(EVERY_S)


async def serve(
    path: Path,
    engine: Engine,
    driver: Driver,
    nursery: trio.Nursery,
    signals: Mapping[str, TakeSignal] | None = None,
) -> None:
    """A run's control socket, with all that stands behind it."""
    tally, times, figures = Tally(), OrderTimes(), Figures()
    facts = RunFacts(
        name="benchmark",
        mode="live",
        started=driver.wall.now(),
        events=lambda: 0,
        counts=tally.counts,
        books=FillBooks(),
        figures=figures.text,
    )
    control = Control(engine, facts, AuditLog(path.with_name("audit.db")))
    control.signals.update(signals or {})
    service = ControlService(path, control.answer)
    lookout = Lookout(engine, service.publish)
    times.time(engine, driver.wall.now)
    tell_of_run(figures, engine, lambda: 0, tally.counts, 0)
    tell_of_control(figures, service, None)
    times.tell(figures)
    host = Host(driver.deliver, driver.wall.now)
    await nursery.start(service.serve, host)
    await nursery.start(lookout.serve, host)


def once(count: int, beside: Beside | None, client: Callable[[], None] | None) -> tuple[float, float]:
    """p50 and p99 in microseconds."""
    with ExitStack() as ending:
        if client is not None:
            process = multiprocessing.get_context("fork").Process(target=client, daemon=True)
            process.start()
            ending.callback(process.kill)
        took = measure(count, None, beside)
    return took[len(took) // 2] / 1000, took[len(took) * 99 // 100] / 1000


def main() -> None:
    count = WARM_UP + (int(sys.argv[1]) if len(sys.argv) > 1 else COUNT)
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else ROUNDS
    messages.make("W4", None)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.sock"
        beside = partial(serve, path)
        ways: dict[str, tuple[Beside | None, Callable[[], None] | None]] = {
            "no control socket": (None, None),
            "unused": (beside, None),
            "asking": (beside, partial(asking, path)),
            "scraping": (beside, partial(asking, path, figures=True)),
            "flooding": (beside, partial(asking, path, flood=True)),
        }
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
        for _ in range(rounds):
            for name, way in ways.items():
                found[name].append(once(count, *way))
    for name, times in found.items():
        p50, p99 = (statistics.median(each) for each in zip(*times, strict=True))
        print(f"{name:<18} p50 {p50:.0f} us, p99 {p99:.0f} us", flush=True)


if __name__ == "__main__":
    main()
