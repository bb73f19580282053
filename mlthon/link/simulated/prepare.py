"""The order in which a process is prepared for a bot.

`first` comes before every import but Python's own start; `second` when the engine is there and knows when its run
begins, and before the bot is loaded.
"""

import sys
from collections.abc import Sequence

from mlthon.engine.clock import Clock
from mlthon.link.simulated import polling, primitives
from mlthon.link.simulated.threads import threads


def first(paths: Sequence[str]) -> None:
    """Threads and waits; then what Python itself would have done at its start (`site`), so that what it runs is
    caught too. `paths` are those of the parent's interpreter."""
    primitives.install()
    polling.install()
    import site

    site.main()
    sys.path.extend(path for path in paths if path not in sys.path)
    polling.install_sockets()


def second(clock: Clock, seed: int, network: bool) -> None:
    """Clocks, randomness, asyncio and the world outside. The real clocks are out of reach from here on, but for those
    who took them before."""
    from mlthon.link.simulated import alarm, asyncio_loops, clocks, entropy, outside  # noqa: F401  (alarm: see there)

    threads.clock = clock
    asyncio_loops.install()
    entropy.install(seed)
    clocks.install(clock.now)
    outside.install(network)
