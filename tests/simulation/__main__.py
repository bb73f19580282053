"""`python -m tests.simulation --seeds 1000`: many runs in virtual time; the seeds that fail are printed and replay with
`--first SEED --seeds 1`. Ctrl-C ends it early."""

import argparse
import logging
import sys
import time
from collections import Counter
from itertools import product

from tests.simulation.sim import simulate
from tests.simulation.venues import VENUES

SHOWN = 5
"""Problems of a run that are printed."""


def main() -> int:
    """Run the seeds; the number of runs that failed, 1 at most."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=100, help="how many seeds to run on each exchange")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--exchange", choices=sorted(VENUES), action="append", help="only these (may be repeated)")
    parser.add_argument("--verbose", action="store_true", help="show what the program logs")
    wished = parser.parse_args()
    logging.basicConfig(level=logging.INFO if wished.verbose else logging.CRITICAL)
    began = time.monotonic()
    faults: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    runs: Counter[str] = Counter()
    failed = 0
    seeds = range(wished.first, wished.first + wished.seeds)
    try:
        for venue, seed in product(wished.exchange or VENUES, seeds):
            outcome = simulate(venue, seed)
            runs[venue] += 1
            faults += outcome.faults
            counts += outcome.counts
            if outcome.problems:
                failed += 1
                print(f"{venue} seed {seed}: {len(outcome.problems)} problems")
                for problem in outcome.problems[:SHOWN]:
                    print(f"  {problem}")
                print(f"  again: python -m tests.simulation --exchange {venue} --first {seed} --seeds 1", flush=True)
    except KeyboardInterrupt:
        print("interrupted: what follows is of the runs until now")
    print(f"{runs.total()} runs in {time.monotonic() - began:.0f} s, {failed} failed: {dict(runs)}")
    print(f"orders {counts['new']}, fills {counts['fill']}, faults {sum(faults.values())}: {dict(faults)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
