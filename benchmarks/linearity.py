"""Does the cost grow with the number of events alone? W2 streamed from the store at one size and at ten times that.

The stores are made once, each in a process of its own, in the git-ignored folder `bench-data/`. What is asked: ten
times the time, and no more memory.
"""

import json
import multiprocessing
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.environments import ROOT
from benchmarks.ours import build, outcome, run_of, w2_source
from benchmarks.outcome import Outcome, main
from benchmarks.runner import Contender, Failed, run_once
from benchmarks.strategies import QuotingOnPairs
from mlthon.data.store import Store, store_rows

EVENTS = 1_200_000
TIMES = 10
FOLDER = ROOT / "bench-data"


def store_of(events: int) -> Path:
    return FOLDER / f"w2-{events}"


def make(events: int) -> None:
    """Write the store of W2 with so many events; it is whole once its folder bears its name."""
    folder = store_of(events)
    unfinished = folder.with_name(f"{folder.name}.part")
    store_rows(w2_source(events), unfinished, folder.name)
    unfinished.rename(folder)


def stored(events: int | None) -> Outcome:
    """W2 streamed from its store."""
    return outcome(run_of(QuotingOnPairs, 1, Store(store_of(events or EVENTS))).go())


def report(as_json: bool, events: int | None, say: Callable[[str], None]) -> bool:
    """Measure both sizes and print what came of it; whether that worked."""
    sizes = [(events or EVENTS), (events or EVENTS) * TIMES]
    lines = []
    for size in sizes:
        if not store_of(size).exists():
            say(f"linearity: making the store of {size} events")
            child = multiprocessing.get_context("spawn").Process(target=make, args=(size,))
            child.start()
            child.join()
        say(f"linearity: {size} events")
        try:
            lines.append(run_once(Contender("mlthon", (sys.executable, "-m", "benchmarks.linearity")), "W2", size))
        except Failed as failed:
            say(f"linearity: {failed}")
            return False
    small, large = lines
    figures = {
        "workload": "linearity",
        "build": build(),
        "events": [line["events"] for line in lines],
        "run_s": [round(line["run_s"], 3) for line in lines],
        "time_ratio": round(large["run_s"] / small["run_s"], 2),
        "rss_mb": [line["rss_mb"] for line in lines],
    }
    if as_json:
        print(json.dumps(figures), flush=True)
    else:
        print(
            f"linearity (W2 streamed from a store)\n"
            f"{large['events'] / small['events']:.1f} x the events take {figures['time_ratio']} x the time "
            f"({small['run_s']:.1f} s and {large['run_s']:.1f} s), "
            f"memory {small['rss_mb']:.0f} and {large['rss_mb']:.0f} MB\n",
            flush=True,
        )
    return True


if __name__ == "__main__":
    main(build(), {"W2": stored})
