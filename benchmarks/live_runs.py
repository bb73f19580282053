"""Live runs against a local exchange, each a process of its own, and the latencies that such a run tells of itself."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from mlthon.ops.client import AskFailed, ask_once
from mlthon.ops.contract import GetFigures

COMMAND: Final = [sys.executable, "-m", "mlthon"]
INSTRUMENT: Final = "byt:perp:btc-usdt"
START_S: Final = 60.0
_BUCKET: Final = re.compile(r'mlthon_tick_to_order_seconds_bucket\{[^}]*le="([^"]+)"\} (\d+)')

Buckets = Sequence[tuple[float, int]]
"""Upper bounds (s) and how many observations there were up to each."""


@contextmanager
def local_exchange(speed: float = 1.0) -> Iterator[str]:
    """A local exchange with one market; its address. `speed`: of the market, where a calm one does too little."""
    command = [*COMMAND, "exchange", "bybit", "--port", "0", "--instruments", INSTRUMENT, "--speed", f"{speed:g}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "PYTHONUNBUFFERED": "1"}) as server:
        try:
            said = b"" if server.stdout is None else server.stdout.readline()
            url = re.search(r"http://\S+", said.decode())
            if url is None:
                raise RuntimeError(f"the local exchange does not start: {said!r}")
            yield url[0]
        finally:
            server.terminate()


@contextmanager
def live_run(
    words: Sequence[str], exchange: str, folder: Path, environment: dict[str, str]
) -> Iterator["subprocess.Popen[bytes]"]:
    """A live run on the exchange; what it says goes to `folder/log`."""
    command = [*COMMAND, *words, "--mode", "live", "--exchange", "bybit", "--url", exchange, "-q"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, env={**os.environ, **environment})
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def buckets_of(control: Path) -> Buckets:
    """The histogram from the receipt of what a strategy heard to its request at the gateway; nothing while the run is
    not there yet. `control`: the run's control socket."""
    try:
        figures: str = ask_once(control, GetFigures(), "benchmark")
    except AskFailed:
        return ()
    return [(float(bound), int(count)) for bound, count in _BUCKET.findall(figures)]


def until_trading(control: Path, run: "subprocess.Popen[bytes]") -> None:
    """Wait until a run has sent an order."""
    end = time.monotonic() + START_S
    while not any(count for _, count in buckets_of(control)):
        if run.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"the run sends no orders; it ended with {run.poll()}")
        time.sleep(0.2)


def between(before: Buckets, after: Buckets) -> Buckets:
    """What was observed between two looks."""
    counts = dict(before)
    return [(bound, count - counts.get(bound, 0)) for bound, count in after]


def quantile(buckets: Buckets, share: float) -> float:
    """A quantile (µs), straight between the bounds of its bucket; 0 where nothing was observed."""
    wanted = buckets[-1][1] * share if buckets else 0
    low, before = 0.0, 0
    for bound, count in buckets:
        if count >= wanted and count:
            high = low if bound == float("inf") else bound
            return (low + (high - low) * (wanted - before) / max(count - before, 1)) * 1e6
        low, before = bound, count
    return 0.0
