"""The peers: what each needs and which script runs it.

Versions are pinned, so that a ratio of today can be measured again. Each lives in a virtual environment of its own
under `bench-envs/`, made when it is first asked for; `numpy` is there for the inputs.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Peer:
    """One engine to compare with. `module` is its script in this folder, `requirements` are pip's (none: it runs in
    this very interpreter), `suffix` follows a workload's name where its script has a variant of it."""

    name: str
    module: str
    requirements: tuple[str, ...] = ()
    suffix: str = ""


HFTBACKTEST: Final = ("hftbacktest==2.4.4", "numba==0.68.1", "numpy==2.2.6")

PEERS: Final = (
    Peer("bare loop", "bare_loop"),
    Peer("nautilus_trader", "nautilus_trader", ("nautilus_trader==1.221.0", "numpy==2.4.6", "pandas==2.3.3")),
    Peer("vnpy", "vnpy", ("vnpy==4.5.0", "vnpy_ctastrategy==1.4.1", "vnpy_sqlite==1.1.3", "numpy==2.4.6")),
    Peer("hftbacktest", "hftbacktest", HFTBACKTEST),
    Peer("hftbacktest, compiled", "hftbacktest", HFTBACKTEST, suffix="-numba"),
    Peer("basana", "basana", ("basana==1.11", "numpy==2.4.6")),
    Peer("backtrader", "backtrader", ("backtrader==1.9.78.123", "numpy==2.4.6")),
)
