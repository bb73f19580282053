"""`Listing`: a symbol as a bot knows it, and the contract that stands behind it.

Bots speak in floats of the exchange's own units; inside there are ticks and lots. A price or size that a computation
has blurred (`30000.300000000003`) counts as the tick or lot next to it; one between two is refused, as by the exchange.
Where orders are executed on another exchange's equivalent contract, sizes are converted by a fixed ratio and rounded to
its lots; prices are the same. BitMEX counts a spot coin in its smallest units (10000 is 0.0001 XBT); so do its bots.
"""

import math
from fractions import Fraction
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mlthon.basics.defs import NO_ASK, NO_BID, InstrumentType
from mlthon.basics.instrument import Instrument
from mlthon.basics.money import UNIT, to_str

BLUR: Final = Fraction(1, 100_000)
"""How far (in steps) a float may be from a tick or lot to count as it."""


CACHED: Final = 200_000
"""So many values are remembered: memory stays bounded however long a run is."""


EXACT: Final = 1 << 53
"""Whole numbers below it are floats exactly."""


LARGEST: Final = 10**18
"""A price or size beyond it is a mistake: no exchange has any."""


class BadValue(ValueError):
    """A price or size that an exchange would refuse; the text says why."""


class Floats(dict[int, float]):
    """Whole steps -> a float, each made once; NaN for the price of an empty side."""

    def __init__(self, step: Fraction) -> None:
        self._step = step
        self._above, self._below = step.numerator, step.denominator
        # a division of two exact numbers is rounded as by Fraction
        self._exact = EXACT // step.numerator if step.denominator < EXACT else 0

    def __missing__(self, steps: int) -> float:
        if len(self) >= CACHED:
            self.clear()
        if -self._exact < steps < self._exact:
            value = steps * self._above / self._below
        else:
            value = math.nan if steps in (NO_BID, NO_ASK) else float(steps * self._step)
        self[steps] = value
        return value

    def column(self, steps: NDArray[np.int64]) -> list[float]:
        """The same of many, none of an empty side."""
        if len(steps) and max(int(steps.max()), -int(steps.min())) < self._exact:
            found: list[float] = (steps * self._above / self._below).tolist()
            return found
        return [self[each] for each in steps.tolist()]


class Listing:
    """One symbol of one src. `prices[ticks]` and `sizes[lots]` are floats. `ratio`: how much of the instrument's
    quantity one unit of the bot's size is. `rounds`: sizes are rounded to lots, because they were meant for others."""

    __slots__ = ("_lot", "_rounds", "_tick", "instrument", "prices", "ratio", "sizes", "src", "sym")

    def __init__(
        self, src: str, sym: str, instrument: Instrument, ratio: Fraction = Fraction(1), *, rounds: bool = False
    ) -> None:
        self.src = src
        self.sym = sym
        self.instrument = instrument
        self.ratio = ratio
        self._rounds = rounds
        self._tick = Fraction(instrument.price_scale.step_units, UNIT)
        self._lot = Fraction(instrument.qty_scale.step_units, UNIT) / ratio
        self.prices = Floats(self._tick)
        self.sizes = Floats(self._lot)

    @property
    def spot(self) -> bool:
        """Whether what is bought are coins, and not a position."""
        return self.instrument.instrument_type is InstrumentType.Spot

    def ticks(self, price: Any) -> int:
        """The ticks of a price. Raises `BadValue`."""
        number = _number("price", price)
        ticks = round(number / self._tick)
        if abs(number / self._tick - ticks) > BLUR:
            raise BadValue(
                f"the price {price} of {self.sym} is no multiple of its tick size "
                f"{to_str(self.instrument.price_scale.step_units)}"
            )
        return ticks

    def lots(self, size: Any) -> int:
        """The lots of a size. Raises `BadValue`."""
        number = _number("size", size)
        lots = round(number / self._lot)
        if not lots or (not self._rounds and abs(number / self._lot - lots) > BLUR):
            raise BadValue(f"the size {size} of {self.sym} is no multiple of its lot size {float(self._lot):g}")
        return lots


def _number(what: str, value: Any) -> Fraction:
    """A number over 0, as number or text. Raises `BadValue`."""
    try:
        number = float(value) if not isinstance(value, bool) else math.nan
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise BadValue(f"the {what} must be a number, not {value!r}")
    if number <= 0:
        raise BadValue(f"the {what} must be more than 0, not {value!r}")
    if number > LARGEST:
        raise BadValue(f"the {what} {value!r} is beyond all that exchanges take")
    # what the float prints as is what was meant
    return Fraction(repr(number))


def metadata(listing: Listing) -> dict[str, Any]:
    """What `Link.instruments` tells of a symbol: the platform's documented keys (`tickSize`, `lotSize`) and what
    BitMEX's own instrument rows call the rest."""
    instrument = listing.instrument
    limit = instrument.max_lots
    return {
        "symbol": listing.sym,
        "tickSize": listing.prices[1],
        "lotSize": listing.sizes[1],
        "minSize": listing.sizes[instrument.min_lots],
        "maxOrderQty": None if limit is None else listing.sizes[limit],
        "type": instrument.instrument_type.type_id if instrument.instrument_type is not None else "",
        "underlying": instrument.base_currency or "",
        "quoteCurrency": instrument.quote_currency or "",
        "settlCurrency": instrument.settle_currency or "",
        "multiplier": instrument.multiplier_units / UNIT,
        "underlyingToPositionMultiplier": float(1 / listing.ratio) if listing.spot else None,
        "isInverse": instrument.quantification is not None and instrument.quantification.name == "Inverse",
        "makerFee": None if instrument.maker_fee is None else float(instrument.maker_fee),
        "takerFee": None if instrument.taker_fee is None else float(instrument.taker_fee),
    }
