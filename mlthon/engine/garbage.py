"""How often Python looks for cyclic garbage while a run goes on.

The engine makes next to none, but every order it keeps counts as a reason to look, and a look goes through everything
alive: a fifth of the time of a backtest with many orders, and in a live run a pause of some tens of milliseconds in
which no order leaves.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

THROUGHPUT: Final = (100_000, 50, 1_000)
"""For backtests: seldom, whatever one look takes."""
LATENCY: Final = (10_000, 50, 100)
"""For live runs: short looks at what is new, and next to never at everything."""


@contextmanager
def rare_collections(thresholds: tuple[int, int, int]) -> Iterator[None]:
    """Leave what is there out of all looks, and take these thresholds (`gc.set_threshold`) for the rest."""
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(*thresholds)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
