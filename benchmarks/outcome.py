"""What one measured run says of itself: one line of JSON, whichever engine ran.

A run is a process of its own, `python SCRIPT WORKLOAD [--events N]`, that prints its `Outcome` as the last line on
standard output. This module needs the standard library alone: it is imported in the environments of the peers too.
"""

import argparse
import json
import os
import re
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

CLOCK: Final = "BENCHMARK_CLOCK"
"""An environment variable: with the value `cpu` the processor's time of the thread is taken, not the clock's."""

now: Final = time.thread_time if os.environ.get(CLOCK) == "cpu" else time.perf_counter
"""What times a run loop (s)."""

QUOTES_IN_W2: Final = 1 / 1.2
"""The share of quotes among the events of W2."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """A run: `events` fed, `run_s` seconds in the run loop alone with the data already in memory, and what the strategy
    did. `orders` and `cancels` are requests sent; `position` is in units of one order (0.010)."""

    events: int
    run_s: float
    orders: int
    cancels: int
    fills: int
    position: int


Workload = Callable[[int | None], Outcome]
"""Runs one workload with this many events, or with all of them."""


def quotes_of(events: int | None, default: int) -> int:
    """How many quotes of W2 make this many events, their trades included."""
    return default if events is None else round(events * QUOTES_IN_W2)


def peak_rss_mb() -> float:
    """The most resident memory this process ever had, in MB (10^6 bytes).

    Linux's VmHWM is the process's own; `ru_maxrss`, the way elsewhere, may count the parent's before exec.
    """
    status = Path("/proc/self/status")
    if status.exists() and (found := re.search(r"^VmHWM:\s+(\d+) kB", status.read_text(), re.MULTILINE)):
        return int(found[1]) * 1024 / 1e6
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def main(build: str, workloads: Mapping[str, Workload]) -> None:
    """Run the workload that the command line names and print its outcome."""
    parser = argparse.ArgumentParser()
    parser.add_argument("workload", choices=list(workloads))
    parser.add_argument("--events", type=int, default=None)
    asked = parser.parse_args()
    outcome = workloads[asked.workload](asked.events)
    line = {"workload": asked.workload, "build": build, **asdict(outcome), "rss_mb": round(peak_rss_mb(), 1)}
    print(json.dumps(line), flush=True)
