"""What the synthetic market is like: one table of figures a profile, measured on recordings.

A profile is the market of one recording: how often takers come, how they cluster, how large they are, what makers
place and withdraw, how the fair value moves. Sizes and jumps are quantile tables of the recording itself (lots and
ticks of the recorded instrument at the recorded price), drawn by linear interpolation, so their tails are the recorded
ones; the rates and the cluster shape were fitted so that the market that comes out measures like the recording
(`docs/synthetic-market.md` has both figures and the error).

`fit` scales a profile to another instrument: ticks by the ratio of prices in ticks (moves stay the same in basis
points), lots by the ratio of what a lot is worth (orders stay the same in money).
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import attrs

from mlthon.basics import money
from mlthon.basics.defs import Quantification
from mlthon.basics.money import UNIT

if TYPE_CHECKING:
    from mlthon.basics.instrument import Instrument
    from mlthon.basics.mldecimal import Number

QUANTILES: Final = (
    0.0, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6,
    0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.925, 0.95, 0.97, 0.98, 0.99, 0.995, 0.998, 0.999, 1.0,
)  # fmt: skip
"""Where the quantile tables below are taken."""

DISTANCE_QUANTILES: Final = (0.0, 0.25, 0.5, 0.75, 0.9, 1.0)


@attrs.frozen
class Followers:
    """The takers that one taker sets off."""

    number: float
    """How many, on average."""
    same_side: float
    """The share of them on the same side."""
    move_share: float
    """The share of them that moves the fair value (large ones more often)."""


@attrs.frozen
class Profile:
    """One kind of market. Rates are a second, times seconds, sizes lots, distances ticks."""

    name: str
    source: str
    """The recording that the figures come from."""
    price_ticks: float
    """The recorded price, in ticks."""
    lot_value: float
    """What a lot was worth, in the quote currency."""

    taker_rate: float
    """Taker orders a second, the whole of every cluster counted."""
    activity: tuple[tuple[float, float], ...]
    """How the rate of takers swings: (time between renewals, amplitude below 1) of each factor; each is 1 plus or minus
    its amplitude, and the rate is their product."""
    followers: tuple[Followers, Followers]
    """Who follows a taker who leaves the fair value as it is, and who follows one who moves it."""
    follow_delays: tuple[tuple[float, float], ...]
    """(share, mean delay) of the ways in which one follows another; the shares add up to 1."""
    imbalance: tuple[tuple[float, float], ...]
    """How the flow leans to one side: (time between renewals, weight) of each part; the lean is the sum of plus or
    minus each weight, and a taker buys with probability (1 + lean)/2."""

    take_sizes: tuple[int, ...]
    """Quantiles of a taker order."""
    move_share: float
    """The share of taker orders that move the fair value (large ones more often)."""
    jumps: tuple[float, ...]
    """Quantiles of how far it moves."""

    jump_scale: float
    """What the jumps are multiplied with: recorded ones are counted from quote to quote, a taker here moves the fair
    value once."""

    add_sizes: tuple[int, ...]
    """Quantiles of a maker's order."""
    add_rate: float
    """Maker orders a second beside those that follow takers, both sides together."""
    cancel_rate: float
    """Attempts a second to withdraw an order."""
    touch_share: float
    """The share of maker orders and withdrawals that is at the touch."""
    distances: tuple[float, ...]
    """Quantiles (`DISTANCE_QUANTILES`) of how far behind the touch the others are."""
    touch_slots: int
    """A withdrawal at the touch names a place in the queue below this number, and is void if nobody stands there:
    so the longer the queue, the more of it is withdrawn, and its length finds its own level."""
    depth_slots: int
    """The same behind the touch."""
    requotes: int
    """Maker orders each side of the new touch that follow a move of the fair value."""
    requote_delay: float
    """Mean delay of a requote; the first on each side comes within a millisecond."""
    ripples: float
    """Maker orders and withdrawals that follow a taker who moves nothing (mean number)."""

    start_price: int = 0
    """Where the market starts, in ticks; 0: at the recorded price."""
    size_scale: float = 1.0
    """What the sizes are multiplied with."""
    distance_scale: float = 1.0
    """What the distances are multiplied with."""

    @property
    def first_rate(self) -> float:
        """How many takers a second come by themselves, so that with all who follow them there are `taker_rate`."""
        still, moving = self.followers
        # The mean size of the cluster that begins with a taker of either kind, from two linear equations.
        a, b = still.number, moving.number
        p, q = moved_share(still.move_share), moved_share(moving.move_share)
        determinant = (1.0 - a * (1.0 - p)) * (1.0 - b * q) - a * p * b * (1.0 - q)
        of_still = (1.0 - b * q + a * p) / determinant
        of_moving = (1.0 - a * (1.0 - p) + b * (1.0 - q)) / determinant
        first = moved_share(self.move_share)
        return self.taker_rate / (first * of_moving + (1.0 - first) * of_still)


def moved_share(share: float) -> float:
    """Of takers whose chance to move the fair value is 3 * share * rank**2 (at most 1; the rank of their size is even
    between 0 and 1), the share that does: `share` itself up to a third."""
    return share if share <= 1.0 / 3.0 else 1.0 - 2.0 / 3.0 * (3.0 * share) ** -0.5


BTC_2024: Final = Profile(
    name="btc-2024",
    source="Binance USD-M BTCUSDT, 2024-07-18 23:57 to 2024-07-19 00:05 UTC",
    price_ticks=639_000.0,
    lot_value=63.9,
    taker_rate=7.6,
    activity=((4.0, 0.4), (20.0, 0.42), (60.0, 0.25)),
    followers=(Followers(0.3, 0.72, 0.08), Followers(1.0, 0.97, 1.15)),
    follow_delays=((0.5, 0.003), (0.5, 0.1)),
    imbalance=((3.0, 0.15), (40.0, 0.35)),
    take_sizes=(1, 1, 2, 2, 2, 3, 4, 5, 7, 10, 15, 19, 25, 35, 48, 68, 93, 139, 200, 302, 521, 759, 1118, 2011, 3011,
                5528, 8381, 17557, 19386, 26037),
    move_share=0.05,
    jumps=(1, 1, 1, 1, 1, 1, 2, 2, 3, 3, 4, 5, 6, 7, 8, 9, 11, 13, 16, 19, 22.5, 26.1, 35, 48.3, 57, 68.7, 81, 83.6,
           84.8, 86),
    jump_scale=1.12,
    add_sizes=(1, 2, 2, 2, 2, 3, 6, 13, 20, 36, 40, 71, 92, 165, 290, 300, 313, 500, 1055, 1200, 1752, 2369, 2625, 2864,
               3801, 4375, 6042, 9024, 11932, 32026),
    add_rate=22.0,
    cancel_rate=34.0,
    touch_share=0.75,
    distances=(1, 8, 40, 150, 400, 1000),
    touch_slots=43,
    depth_slots=4,
    requotes=11,
    requote_delay=0.08,
    ripples=1.5,
)  # fmt: skip
"""BTC at 64,000, tick 0.10, lot 0.001: a falling, volatile market."""

BTC_2023: Final = attrs.evolve(
    BTC_2024,
    name="btc-2023",
    source="Binance USD-M BTCUSDT, 2023-04-04 23:58 to 2023-04-05 00:07 UTC",
    price_ticks=281_400.0,
    lot_value=28.14,
    taker_rate=7.75,
    activity=((2.0, 0.35), (10.0, 0.3), (60.0, 0.2)),
    followers=(Followers(0.28, 0.75, 0.05), Followers(0.9, 0.97, 0.9)),
    imbalance=((2.0, 0.35), (20.0, 0.15)),
    take_sizes=(1, 1, 1, 1, 1, 2, 3, 4, 6, 8, 11, 17, 23, 32, 43, 58, 84, 126, 191, 326, 682, 1001, 1419, 2084, 3000,
                4085, 6519, 12533, 16483, 25661),
    move_share=0.024,
    jumps=(1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 3, 3, 4, 5, 6, 8, 9, 12, 16, 21, 25.4, 27.6, 36, 42.6, 44.1, 47.1,
           50),
    jump_scale=1.2,
    touch_slots=42,
    add_sizes=(1, 1, 1, 1, 2, 4, 4, 6, 10, 17, 20, 34, 36, 38, 40, 42, 71, 160, 225, 503, 752, 1000, 1210, 1855, 2000,
               2500, 3711, 5254, 6503, 63873),
    distances=(1, 4, 20, 80, 200, 500),
)  # fmt: skip
"""BTC at 28,000, tick 0.10, lot 0.001: a quiet market that goes nowhere."""

ETH_2024: Final = attrs.evolve(
    BTC_2024,
    name="eth-2024",
    source="Binance USD-M ETHUSDT, 2024-07-18 23:57 to 2024-07-19 00:05 UTC",
    price_ticks=342_200.0,
    lot_value=3.422,
    taker_rate=7.25,
    activity=((3.0, 0.4), (15.0, 0.42), (60.0, 0.2)),
    followers=(Followers(0.33, 0.8, 0.08), Followers(0.95, 0.97, 1.0)),
    imbalance=((3.0, 0.25), (30.0, 0.3)),
    take_sizes=(1, 6, 6, 7, 7, 10, 15, 24, 36, 54, 82, 110, 164, 250, 347, 472, 790, 1000, 1469, 2400, 4108, 5655, 9840,
                18728, 29761, 52536, 101496, 193861, 272645, 472342),
    move_share=0.055,
    jumps=(1, 1, 1, 1, 1, 1, 1, 2, 2, 3, 3, 4, 4, 5, 6, 7, 8, 9, 11, 14, 17, 18.2, 23.4, 34, 42.6, 51, 54.9, 80.9,
           101.2, 122),
    jump_scale=1.22,
    add_sizes=(1, 6, 7, 8, 9, 10, 21, 51, 126, 263, 314, 505, 791, 1430, 1872, 2921, 3527, 5525, 6170, 9160, 14977,
               14977, 19311, 24962, 24962, 31645, 42759, 58016, 69852, 150950),
    distances=(1, 8, 30, 120, 300, 800),
    touch_slots=37,
)  # fmt: skip
"""ETH at 3,420, tick 0.01, lot 0.001: a falling, volatile market."""

PROFILES: Final[Mapping[str, Profile]] = {profile.name: profile for profile in (BTC_2024, BTC_2023, ETH_2024)}

# Base currency -> the profile that its markets get and the price they start at; any other gets BTC's, at a price
# that makes 100,000 ticks.
_BY_CURRENCY: Final = {"BTC": (BTC_2024, "65000"), "ETH": (ETH_2024, "3400")}
_OTHER_START_TICKS: Final = 100_000


def profile_of(instrument: "Instrument", price: "Number | None" = None) -> Profile:
    """The profile of an instrument's synthetic market, which starts at `price` (by default one that is usual for its
    base currency). Raises ValueError for a price that is not positive."""
    profile, usual = _BY_CURRENCY.get(instrument.base_currency or "", (BTC_2024, None))
    step = instrument.price_scale.step_units
    if price is None:
        price = usual
    ticks = _OTHER_START_TICKS if price is None else money.parse(price) // step
    if ticks < 1:
        raise ValueError(f"{instrument.name}: the synthetic market cannot start at {price}: give a price above 0")
    at = ticks * step / UNIT
    lot = instrument.qty_scale.step_units / UNIT * (instrument.multiplier_units / UNIT)
    return fit(profile, ticks, lot if instrument.quantification is Quantification.Inverse else lot * at)


def fit(profile: Profile, price_ticks: int, lot_value: float) -> Profile:
    """The same market on an instrument that starts at this price and whose lot is worth so much."""
    finer = price_ticks / profile.price_ticks
    return attrs.evolve(
        profile,
        start_price=price_ticks,
        jump_scale=profile.jump_scale * finer,
        distance_scale=profile.distance_scale * finer,
        size_scale=profile.size_scale * profile.lot_value / lot_value,
        price_ticks=float(price_ticks),
        lot_value=lot_value,
    )
