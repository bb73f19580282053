"""The command of every simulation: play many seeds, print those that fail with how to play them again, and sum up.

Ctrl-C ends it early, with the sum of what was played.
"""

import argparse
import logging
import time
from collections import Counter
from collections.abc import Callable, Collection
from itertools import product
from typing import Final

from tests.simulation.sim import Outcome

SHOWN: Final = 5
"""Problems of a run that are printed."""


def play_seeds(
    command: str,
    description: str | None,
    venues: Collection[str],
    play: Callable[[str, int], Outcome],
    summary: Callable[[Counter[str], Counter[str]], str],
) -> int:
    """Read the command line and play its seeds; whether a run failed (0 or 1). `summary`: what to say of the counts and
    faults of all runs."""
    parser = argparse.ArgumentParser(prog=command, description=description)
    parser.add_argument("--seeds", type=int, default=50, help="how many seeds to run on each exchange")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--exchange", choices=sorted(venues), action="append", help="only these (may be repeated)")
    parser.add_argument("--verbose", action="store_true", help="show what the program logs")
    wished = parser.parse_args()
    logging.basicConfig(level=logging.INFO if wished.verbose else logging.CRITICAL)
    began = time.monotonic()
    faults: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    runs: Counter[str] = Counter()
    failed = 0
    try:
        for venue, seed in product(wished.exchange or venues, range(wished.first, wished.first + wished.seeds)):
            outcome = play(venue, seed)
            runs[venue] += 1
            faults += outcome.faults
            counts += outcome.counts
            if outcome.problems:
                failed += 1
                print(f"{venue} seed {seed}: {len(outcome.problems)} problems")
                for problem in outcome.problems[:SHOWN]:
                    print(f"  {problem}")
                print(f"  again: {command} --exchange {venue} --first {seed} --seeds 1", flush=True)
    except KeyboardInterrupt:
        print("interrupted: what follows is of the runs until now")
    print(f"{runs.total()} runs in {time.monotonic() - began:.0f} s, {failed} failed: {dict(runs)}")
    print(summary(counts, faults))
    return 1 if failed else 0
