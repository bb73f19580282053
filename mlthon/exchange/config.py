"""What an embedded exchange can be told: plain values, as they stand in a TOML file.

Rates are fractions (0.0005 is five hundredths of a percent), times milliseconds, amounts in their coin. A float counts
as what it prints as, so 0.0002 is exactly two ten-thousandths in every computation. Each class checks its values when
it is made and says which one is wrong.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from attrs import Attribute, field, frozen

from mlthon.basics.money import parse

FILLS: Final = ("partial", "full")
SELF_TRADE: Final = ("cancel_newest", "cancel_oldest", "cancel_both", "allow")
BEYOND_BOOK: Final = ("cancel", "fill")
LATENCIES: Final = ("constant", "lognormal", "empirical", "recorded")
QUEUES: Final = ("pessimistic", "probabilistic")


class ConfigError(ValueError):
    """A value that an exchange cannot work with; the text names the setting, the value and what is allowed."""


Check = Callable[[object, "Attribute[Any]", Any], None]


def _floats(values: Iterable[float]) -> tuple[float, ...]:
    return tuple(values)


def _one_of(*allowed: str) -> Check:
    def check(instance: object, attribute: "Attribute[Any]", value: Any) -> None:
        if value not in allowed:
            raise ConfigError(f"{attribute.name} = {value!r} is not one of {', '.join(allowed)}")

    return check


def _between(low: float, high: float) -> Check:
    def check(instance: object, attribute: "Attribute[Any]", value: Any) -> None:
        if value is not None and not low <= value <= high:
            raise ConfigError(f"{attribute.name} = {value!r} is not between {low} and {high}")

    return check


def _all_between(low: float, high: float) -> Check:
    def check(instance: object, attribute: "Attribute[Any]", value: Any) -> None:
        for one in value:
            if not low <= one <= high:
                raise ConfigError(f"{attribute.name} holds {one!r}, which is not between {low} and {high}")

    return check


DAY_MS: Final = 86_400_000.0
MAX_AMOUNT: Final = 1e15


@frozen
class LatencyConfig:
    """How long one direction takes. `model`:

    - `constant`: `ms`.
    - `lognormal`: `ms` plus a lognormal draw of median `median_ms` and shape `sigma`.
    - `empirical`: `ms` plus a draw from `samples_ms`.
    - `recorded`: `ms` plus `factor` times the feed latency last observed in the data.

    A message never overtakes an earlier one of the same account and direction.
    """

    model: str = field(default="constant", validator=_one_of(*LATENCIES))
    ms: float = field(default=1.0, validator=_between(0, DAY_MS))
    """Milliseconds, 0 or more: the whole of `constant`, the least of the others."""
    median_ms: float = field(default=1.0, validator=_between(1e-6, DAY_MS))
    """`lognormal`: the median of what comes on top of `ms`."""
    sigma: float = field(default=0.5, validator=_between(0, 5))
    """`lognormal`: the standard deviation of the logarithm."""
    samples_ms: tuple[float, ...] = field(default=(), converter=_floats, validator=_all_between(0, DAY_MS))
    """`empirical`: measured latencies; each is as likely as another."""
    factor: float = field(default=1.0, validator=_between(0, 1000))
    """`recorded`: orders take this many times what market data takes."""

    def __attrs_post_init__(self) -> None:
        if self.model == "empirical" and not self.samples_ms:
            raise ConfigError("samples_ms is empty, and the empirical latency model draws from it")


@frozen
class QueueConfig:
    """How the replayed quantity ahead of a resting order shrinks. `model`:

    - `pessimistic` (default): the order joins behind all that is displayed at its price; trades at the price advance
      it, and what is displayed is the most that can be ahead. At a price where nothing is displayed nothing is ahead.
    - `probabilistic`: besides, when the displayed quantity shrinks by more than was traded, the order advances by
      what left from ahead of it: with `a` ahead and `b` behind, a share a^n / (a^n + b^n) of what left.
    """

    model: str = field(default="pessimistic", validator=_one_of(*QUEUES))
    exponent: float = field(default=3.0, validator=_between(0.01, 100))
    """n above; the larger, the more the longer part of the queue loses."""


@frozen
class MarginConfig:
    """Cross margin of the perpetuals and futures of one account, by settlement coin."""

    leverage: float = field(default=10.0, validator=_between(0.01, 1000))
    """Positions and open orders may be worth at most equity times this."""
    maintenance: float = field(default=0.005, validator=_between(0, 1))
    """Share of the positions' value; an account whose equity is not above it is liquidated."""
    liquidation_fee: float = field(default=0.005, validator=_between(0, 1))
    """Share of the value closed by a liquidation, on top of the taker fee."""


@frozen
class FundingConfig:
    """Funding of perpetuals: longs pay `rate` of the position's value to shorts at each interval."""

    rate: float = field(default=0.0, validator=_between(-1, 1))
    """A fraction per interval; negative: shorts pay. 0 (default): none, unless the data set a rate."""
    interval_hours: float = field(default=8.0, validator=_between(1 / 60, 8760))
    """Times are whole multiples of it since 1970-01-01 UTC (8: midnight, 08:00 and 16:00)."""


@frozen
class RateLimitConfig:
    """At most `requests` orders, amendments, cancels and queries of an account in each `interval_s`."""

    requests: int = field(default=0, validator=_between(0, 1_000_000_000))
    """0 (default): no limit."""
    interval_s: float = field(default=1.0, validator=_between(0.001, 86_400))
    """Seconds; an interval starts with the first request after the last one ended."""


DEPOSITS: Final[Mapping[str, float]] = {"BTC": 10.0, "ETH": 100.0}
DEPOSIT: Final = 1_000_000.0
"""Without a word in the configuration an account starts with so much of a coin: with as much as accounts have, so that
gains are seen beside it."""


@frozen
class ExchangeConfig:
    """One embedded exchange."""

    maker_fee: float | None = field(default=None, validator=_between(-0.1, 0.1))
    """Fraction of the traded value; negative: a rebate. None: the instrument's own, or where
    it states none 0.0002 for makers and 0.0005 for takers."""
    taker_fee: float | None = field(default=None, validator=_between(-0.1, 0.1))
    entry_latency: LatencyConfig = LatencyConfig()
    """From the strategy to the exchange."""
    response_latency: LatencyConfig = LatencyConfig()
    """From the exchange to the strategy."""
    queue: QueueConfig = QueueConfig()
    fills: str = field(default="partial", validator=_one_of(*FILLS))
    """`partial`: an order fills with at most what was traded or displayed. `full`: an order that fills, fills whole."""
    self_trade_prevention: str = field(default="cancel_newest", validator=_one_of(*SELF_TRADE))
    """What goes when two orders of one account would match; `allow`: they match."""
    balances: dict[str, float] = field(factory=dict)
    """Coin -> amount with which every account starts. Empty: `default_balance` of each coin the instruments need."""
    default_balance: float | None = field(default=None, validator=_between(0, MAX_AMOUNT))
    """None: what `DEPOSITS` says of the coin, `DEPOSIT` of any other."""
    margin: MarginConfig = MarginConfig()
    funding: FundingConfig = FundingConfig()
    rate_limit: RateLimitConfig = RateLimitConfig()
    beyond_book: str = field(default="cancel", validator=_one_of(*BEYOND_BOOK))
    """What a market order does with what the displayed book cannot fill: `cancel`, or `fill` it
    `beyond_book_ticks` worse than the last price it reached."""
    beyond_book_ticks: int = field(default=10, validator=_between(0, 1_000_000_000))
    displayed_size: float = field(default=0.0, validator=_between(0, MAX_AMOUNT))
    """The quantity at the touch of data that has no sizes (quotes of quantity 0, trades alone), in the instrument's
    own quantity. 0 (default): as much as is asked for."""
    half_spread_ticks: int = field(default=0, validator=_between(0, 1_000_000_000))
    """For data of trades alone: the touch is the last trade's price less and plus this many ticks."""

    def default_deposit(self, coin: str) -> float:
        """With how much of a coin an account starts where `balances` is empty."""
        return DEPOSITS.get(coin, DEPOSIT) if self.default_balance is None else self.default_balance

    def __attrs_post_init__(self) -> None:
        for coin, amount in self.balances.items():
            if not math.isfinite(amount) or not 0 <= amount <= MAX_AMOUNT:
                raise ConfigError(f"balances: {coin} = {amount!r} is not between 0 and {MAX_AMOUNT:g}")
            try:
                parse(amount)
            except ValueError as error:
                raise ConfigError(f"balances: {coin}: {error}") from None
