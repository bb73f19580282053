"""`python -m tests.simulation --seeds 1000`: many runs in virtual time (`seeds`)."""

import sys
from collections import Counter

from tests.simulation.seeds import play_seeds
from tests.simulation.sim import simulate
from tests.simulation.venues import VENUES


def summary(counts: Counter[str], faults: Counter[str]) -> str:
    return f"orders {counts['new']}, fills {counts['fill']}, faults {sum(faults.values())}: {dict(faults)}"


if __name__ == "__main__":
    sys.exit(play_seeds("python -m tests.simulation", __doc__, VENUES, simulate, summary))
