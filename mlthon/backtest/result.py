"""What a run tells while it goes on (`Progress`) and when it is over (`Result`).

Money is an integer in 10^-18 of its coin, quantities are integers in 10^-18 of the instrument's own unit. What is
counted in several coins is a dict by coin: nothing is converted and nothing is added across coins.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

import msgspec
from attrs import field, frozen

from mlthon.basics.money import to_str

Amounts = Mapping[str, int]
"""Money by coin, or quantities by instrument name, in 10^-18."""


_EXACT: Final = msgspec.json.Encoder(decimal_format="number")


def exact(amounts: Amounts) -> dict[str, Decimal]:
    """The amounts as decimals, sorted by name, which `to_json` writes as plain JSON numbers without losing a digit."""
    return {name: Decimal(to_str(units)) for name, units in sorted(amounts.items())}


@frozen(kw_only=True)
class Holding:
    """Where one account stands in one instrument, by the account's own books.

    `position`: signed, in 10^-18 of the instrument's unit. `entry` and `mark`: prices in 10^-18, None when flat or
    without a market. `liquidations`: how often the account was liquidated. The rest is money in `coin`: fees paid and
    funding received are positive.
    """

    instrument: str
    account: str
    coin: str
    position: int
    entry: int | None
    mark: int | None
    realised: int
    unrealised: int
    fees: int
    funding: int = 0
    liquidations: int = 0

    @property
    def pnl(self) -> int:
        """What the account gained by it, all in all."""
        return self.realised + self.unrealised - self.fees + self.funding


@frozen
class Progress:
    """A run on its way. `end_ns` is None when nobody knows the end; `elapsed_s` is wall time."""

    now_ns: int
    start_ns: int
    end_ns: int | None
    events: int
    elapsed_s: float
    orders: int
    fills: int
    holdings: tuple[Holding, ...] = ()
    pnl: Amounts = field(factory=dict)
    errors: int = 0

    @property
    def events_per_s(self) -> float:
        return self.events / self.elapsed_s if self.elapsed_s > 0 else 0.0

    @property
    def share(self) -> float | None:
        """How much of the run's time is done, 0 to 1; None when nobody knows its end."""
        if self.end_ns is None or self.end_ns <= self.start_ns:
            return None
        return min(1.0, max(0.0, (self.now_ns - self.start_ns) / (self.end_ns - self.start_ns)))


@frozen(kw_only=True)
class Result:
    """How a run went.

    `orders`, `cancels`: requests sent (a cancel-all counts as one cancel). `acks`, `rejects`: answers to new orders,
    modifications and cancels. `volume`: value traded. `pnl`: equity's change, fees taken off. `position`: by instrument
    name. `errors`: callbacks that raised. `ended`: why it is over. `digest`: None when it was not asked for.
    `deposits`: what the accounts that trade started with.
    """

    strategy: str
    mode: str
    events: int
    orders: int
    acks: int
    rejects: int
    cancels: int
    fills: int
    volume: Amounts
    fees: Amounts
    pnl: Amounts
    position: Amounts
    errors: int
    elapsed_s: float
    digest: str | None
    ended: str = "the data ended"
    start_ns: int = 0
    end_ns: int = 0
    holdings: tuple[Holding, ...] = ()
    deposits: Amounts = field(factory=dict)

    @property
    def events_per_s(self) -> float:
        return self.events / self.elapsed_s if self.elapsed_s > 0 else 0.0

    def to_json(self) -> str:
        """The one line of `--json`. Amounts are exact JSON numbers by coin or instrument."""
        line: dict[str, Any] = {
            "strategy": self.strategy,
            "mode": self.mode,
            "events": self.events,
            "orders": self.orders,
            "acks": self.acks,
            "rejects": self.rejects,
            "cancels": self.cancels,
            "fills": self.fills,
            "volume": exact(self.volume),
            "fees": exact(self.fees),
            "pnl": exact(self.pnl),
            "position": exact(self.position),
            "errors": self.errors,
            "elapsed_s": round(self.elapsed_s, 3),
            "events_per_s": round(self.events_per_s),
            "digest": self.digest,
        }
        return _EXACT.encode(line).decode()
