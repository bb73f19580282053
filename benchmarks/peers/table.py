"""The peers: what each needs and which script runs it.

Versions are pinned, so that a ratio of today can be measured again. Each lives in a virtual environment of its own
under `bench-envs/`, made when it is first asked for; `numpy` is there for the inputs.
"""

from dataclasses import dataclass
from typing import Final

BACKTESTS: Final = frozenset({"W1", "W2"})
FEEDS: Final = frozenset({"W3", "W4", "W5"})


@dataclass(frozen=True, slots=True)
class Peer:
    """One engine to compare with. `module` is its script in this folder, `requirements` are pip's (none: it runs in
    this very interpreter), `suffix` follows a workload's name where its script has a variant of it, `workloads` are
    those that it takes part in. `environment` is the folder under `bench-envs/` where it shares another's;
    `from_source`: it is published as source alone. `floor`: it is no engine but a part of the work done alone."""

    name: str
    module: str
    requirements: tuple[str, ...] = ()
    suffix: str = ""
    workloads: frozenset[str] = BACKTESTS
    environment: str = ""
    from_source: bool = False
    floor: bool = False


NAUTILUS: Final = ("nautilus_trader==1.221.0", "numpy==2.4.6", "pandas==2.3.3")
HFTBACKTEST: Final = ("hftbacktest==2.4.4", "numba==0.68.1", "numpy==2.2.6")

PEERS: Final = (
    Peer("bare loop", "bare_loop", floor=True),
    Peer("strategy alone", "strategy_alone", floor=True),
    Peer("nautilus_trader", "nautilus_trader", NAUTILUS),
    Peer("vnpy", "vnpy", ("vnpy==4.5.0", "vnpy_ctastrategy==1.4.1", "vnpy_sqlite==1.1.3", "numpy==2.4.6")),
    Peer("hftbacktest", "hftbacktest", HFTBACKTEST),
    Peer("hftbacktest, compiled", "hftbacktest", HFTBACKTEST, suffix="-numba"),
    Peer("basana", "basana", ("basana==1.11", "numpy==2.4.6")),
    Peer("backtrader", "backtrader", ("backtrader==1.9.78.123", "numpy==2.4.6")),
    Peer("bare loop, feeds", "bare_feeds", workloads=FEEDS, floor=True),
    Peer("decoding alone", "bare_feeds", suffix="-decode", workloads=FEEDS - {"W5"}, floor=True),
    Peer("receiving alone", "bare_feeds", suffix="-frames", workloads=frozenset({"W5"}), floor=True),
    Peer("receiving by websockets", "bare_feeds", suffix="-sansio", workloads=frozenset({"W5"}), floor=True),
    Peer("cryptofeed", "cryptofeed", ("cryptofeed==2.4.1",), workloads=FEEDS, from_source=True),
    Peer("nautilus_trader, feeds", "nautilus_feeds", NAUTILUS, workloads=FEEDS - {"W5"}, environment="nautilus_trader"),
    Peer("ccxt pro", "ccxt_pro", ("ccxt==4.5.90",), workloads=FEEDS),
)
