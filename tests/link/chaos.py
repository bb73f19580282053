"""What bots that do what no bot should cost the engine and the other bots of a run: `python -m tests.link.chaos`.

Each case is a paper run of two bots, a well-behaved one and the case's, by the wall clock on the synthetic market, and
beside them a process that sends its clock through a socket every 5 ms, and a service of the run that reads it and has
the engine make a callback. The time from one to the other is what stands between an exchange's message and a strategy.
The well-behaved bot asks the exchange something every 20 ms and counts what it is told. The quiet case has the same two
bots, the second of them with nothing to do. Beside it stands what the machine itself costs whose cores are busy
(virtual ones are paused by their host then): the quiet case, with an idle program (SCHED_IDLE) on each core.

Figures depend on how many processor cores there are and on who else uses them: all cases and the quiet one are measured
in turn, `--rounds` times, and the lowest figures of each are compared: what others do only adds. By default it takes
five minutes. A case's bot has a process of its own, but cores are shared.
"""

import argparse
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from textwrap import dedent, indent
from typing import Final

import trio
from attrs import frozen

from mlthon.config import load_config
from mlthon.engine.clock import SECOND
from mlthon.link.bot.keeper import LOOK_S, PATIENCE
from mlthon.link.contract import Publish
from mlthon.link.host.assembly import link_run
from mlthon.link.host.host import BotHost, HostSettings
from mlthon.live.bots import BotProcesses
from mlthon.live.checks import run_trio
from mlthon.live.paced import go_paced
from mlthon.live.services import Host, Service

WARM_S: Final = LOOK_S * (PATIENCE + 1) + 1.0
"""What is measured while processes still start, and their keepers get to know them, is left out."""
START_S: Final = 1.5
"""What a run takes beyond its duration, about."""
QUIET: Final = "quiet"
BUSY: Final = "no chaos, busy cores"
SETTINGS: Final = (
    "engine.stop_ack_timeout_s=1",
    "exchanges.BitMEX.entry_latency.ms=0.1",
    "exchanges.BitMEX.response_latency.ms=0.1",
)

CASES: Final = {
    QUIET: "pass",
    BUSY: "pass",
    "raises in every callback": "self.act = lambda: 1 / 0",
    "sleeps 1 s in every callback": "self.act = lambda: time.sleep(1)",
    "deadlocks on a lock": """
        first, second = threading.Lock(), threading.Lock()
        def hold(mine, other):
            with mine:
                time.sleep(0.1)
                with other:
                    pass
        for pair in ((first, second), (second, first)):
            self.create_thread(hold, *pair)
        self.act = first.acquire
        """,
    "spawns 100 threads": """
        def work():
            while True:
                sum(range(1000))
                time.sleep(0.01)
        for _ in range(100):
            self.create_thread(work)
        """,
    "burns CPU in three threads": """
        def burn():
            while True:
                pass
        for _ in range(3):
            self.create_thread(burn)
        """,
    "sits in a backtracking regex": "self.act = lambda: re.match('(a+)+$', 'a' * 60 + 'b')",
    "publishes without end": """
        def publish():
            while True:
                self.publish("x", 1)
        for _ in range(3):
            self.create_thread(publish)
        """,
    "logs without end": """
        def shout():
            while True:
                logger.info("x")
        self.create_thread(shout)
        """,
    "prints without end": """
        def shout():
            while True:
                print("x" * 50)
        self.create_thread(shout)
        """,
    "asks without end": """
        def ask():
            while True:
                self.fetch_open_orders("Good")
        for _ in range(10):
            self.create_thread(ask)
        """,
    "never returns": """
        def forever():
            while True:
                time.sleep(1)
        self.act = forever
        """,
}

CHAOS: Final = tuple(each for each in CASES if each not in (QUIET, BUSY))

HEAD: Final = """
import re
import threading
import time
from profitview import Link, logger

class Trading(Link):
    act = staticmethod(lambda: None)

    def quote_update(self, src, sym, data):
        self.act()

    def on_start(self):
"""

GOOD: Final = (
    f"WARM_S = {WARM_S}"
    """
import threading
import time
from profitview import Link

class Trading(Link):
    quotes_seen = trades_seen = 0
    over = False

    def on_start(self):
        self.begun = time.monotonic()
        self.took = []
        self.create_thread(self.ask)

    def quote_update(self, src, sym, data):
        self.quotes_seen += 1

    def trade_update(self, src, sym, data):
        self.trades_seen += 1

    def ask(self):
        while not self.over:
            begun = time.monotonic()
            self.fetch_open_orders("Good")
            if begun - self.begun > WARM_S:
                self.took.append(time.monotonic() - begun)
            time.sleep(0.02)

    def on_stop(self):
        self.over = True
        lasted = time.monotonic() - self.begun
        took = sorted(self.took) or [float("inf")]
        self.publish("pace", {
            "trades": self.trades_seen / lasted,
            "quotes": self.quotes_seen / lasted,
            "asked": len(took) / max(lasted - WARM_S, 0.1),
            "p50": took[len(took) // 2] * 1000,
            "p99": took[int(len(took) * 0.99)] * 1000,
        })
"""
)

SENDER: Final = """
import socket, sys, time
line = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
try:
    while True:
        time.sleep(0.005)
        line.sendall(time.monotonic_ns().to_bytes(8, "big"))
except OSError:
    pass
"""


class Probe:
    """A service: see the module. `delays`: nanoseconds from the sender's clock to the engine's callback."""

    name = "the probe"

    def __init__(self) -> None:
        self.delays: list[int] = []

    async def serve(self, host: Host, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        port = listener.socket.getsockname()[1]
        sender = await trio.lowlevel.open_process([sys.executable, "-c", SENDER, str(port)])
        try:
            async with listener, await listener.accept() as stream:
                task_status.started()
                begun = time.monotonic()
                rest = b""
                while chunk := await stream.receive_some(4096):
                    rest += chunk
                    while len(rest) >= 8:
                        sent, rest = int.from_bytes(rest[:8], "big"), rest[8:]
                        if time.monotonic() - begun > WARM_S:
                            host.deliver(self.heard, sent)
        finally:
            with trio.CancelScope(shield=True):
                sender.kill()
                await sender.wait()

    def heard(self, sent: int) -> None:
        self.delays.append(time.monotonic_ns() - sent)


@contextmanager
def busy_cores() -> Iterator[None]:
    """Each core computes, as idle work that gives way to all else."""
    spin = "import os\nos.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))\nwhile True: pass"
    spinning = [subprocess.Popen([sys.executable, "-c", spin]) for _ in range(os.cpu_count() or 1)]
    try:
        yield
    finally:
        for each in spinning:
            each.kill()
            each.wait()


@frozen
class Measured:
    """`p50`, `p99`: milliseconds from socket to callback. `pace`: what the well-behaved bot said of itself."""

    p50: float
    p99: float
    pace: dict[str, float]


def measure(case: str, seconds: float, settings: Sequence[str] = ()) -> Measured:
    """Run one case. `settings`: of the run, as on the command line. Raises `RuntimeError` where the well-behaved bot
    said nothing at its end."""
    paces: list[dict[str, float]] = []

    def published(host: BotHost, message: Publish) -> None:
        if host.name == "good":
            paces.append(message.data)

    with tempfile.TemporaryDirectory() as folder:
        files = {"good": Path(folder) / "good.py", "bad": Path(folder) / "bad.py"}
        files["good"].write_text(GOOD, "utf-8")
        files["bad"].write_text(HEAD + indent(dedent(CASES[case]).strip(), " " * 8) + "\n", "utf-8")
        config = load_config(None, [*SETTINGS, *settings])
        linked = link_run(
            config,
            files,
            None,
            None,
            venues=["Good=bitmex"],
            subscribe=["bitmex:XBTUSD"],
            settings=HostSettings(publish=published),
            duration=round((seconds + WARM_S) * SECOND),
            now=time.time_ns(),
        )
        probe = Probe()
        services: list[Service] = [BotProcesses(linked.bots.hosts, config.link), probe]
        with busy_cores() if case == BUSY else nullcontext():
            run_trio(lambda: go_paced(linked.run, services=services))
    if not paces:
        raise RuntimeError(f"{case}: the well-behaved bot did not tell how it fared")
    delays = sorted(each / 1e6 for each in probe.delays)
    return Measured(delays[len(delays) // 2], delays[int(len(delays) * 0.99)], paces[0])


@frozen
class Compared:
    """A case and the quiet runs beside it: the best of all rounds."""

    case: str
    quiet: Measured
    chaos: Measured

    @property
    def ratio(self) -> float:
        """The case's p99 by the quiet one."""
        return self.chaos.p99 / self.quiet.p99

    @property
    def pace(self) -> float:
        """How many trades the well-behaved bot heard, by what it heard in the quiet."""
        return self.chaos.pace["trades"] / self.quiet.pace["trades"]


def compare(
    cases: Sequence[str],
    seconds: float,
    rounds: int,
    told: Callable[[str], None] = lambda line: None,
    settings: Sequence[str] = (),
) -> list[Compared]:
    """Measure cases `rounds` times, in turn and each time beside a quiet run. `told`: is given a line a round."""
    found: dict[str, list[Measured]] = {each: [] for each in (QUIET, *cases)}
    for number in range(1, rounds + 1):
        for case, measured in found.items():
            measured.append(measure(case, seconds, settings))
        p99 = ", ".join(f"{case} {measured[-1].p99:.2f}" for case, measured in found.items())
        told(f"round {number} of {rounds}, load {os.getloadavg()[0]:.1f}: p99 {p99}")
    best = {case: _best(measured) for case, measured in found.items()}
    return [Compared(case, best[QUIET], best[case]) for case in cases]


def _best(found: Sequence[Measured]) -> Measured:
    """The shortest times and the greatest paces."""
    pace = {key: (min if key in ("p50", "p99") else max)(each.pace[key] for each in found) for key in found[0].pace}
    return Measured(min(each.p50 for each in found), min(each.p99 for each in found), pace)


def table(rows: Sequence[Compared]) -> str:
    """The figures as a table, in milliseconds."""
    head = ("case", "p50", "p99", "quiet p99", "ratio", "bot's p99", "quiet", "trades/s", "quiet")
    lines: list[tuple[str, ...]] = [head]
    for each in rows:
        quiet, chaos = each.quiet, each.chaos
        figures = (chaos.p50, chaos.p99, quiet.p99, each.ratio, chaos.pace["p99"], quiet.pace["p99"])
        trades = (f"{chaos.pace['trades']:.1f}", f"{quiet.pace['trades']:.1f}")
        lines.append((each.case, *(f"{figure:.2f}" for figure in figures), *trades))
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) if not number else cell.rjust(width) for number, (cell, width) in enumerate(pairs))
        for pairs in ([*zip(line, widths, strict=True)] for line in lines)
    )


def go_first() -> None:
    """Have this session go before the others of the machine (Linux's autogroups, root): on a machine that does other
    things the figures then say something all the same. Raises OSError where it cannot."""
    Path("/proc/self/autogroup").write_text("-20", "ascii")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.link.chaos", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("cases", nargs="*", default=CHAOS, help="some of the cases only, each by a part of its name")
    parser.add_argument("--seconds", type=float, default=3.0, help="how long each run is measured")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--set", action="append", default=[], help="a setting of the runs, as link.nice=19")
    parser.add_argument("--first", action="store_true", help="go before other programs (root, Linux)")
    options = parser.parse_args(arguments)
    usual = [case for case in CHAOS if any(each in case for each in options.cases)]
    cases = [BUSY, *usual] if hasattr(os, "SCHED_IDLE") else usual
    if options.first:
        go_first()
    logging.getLogger("mlthon").setLevel(logging.CRITICAL)
    runs = options.rounds * (len(cases) + 1)
    minutes = runs * (options.seconds + WARM_S + START_S) / 60
    print(f"{os.cpu_count()} cores; {runs} runs, about {minutes:.1f} minutes", flush=True)
    rows = compare(cases, options.seconds, options.rounds, lambda line: print(line, flush=True), options.set)
    print(f"\nmilliseconds, the best of {options.rounds} rounds\n{table(rows)}")


if __name__ == "__main__":
    main()
