"""`BotMarket`: the one symbol of a signal bot, in whole ticks and lots, with its best bid and ask.

Scripts speak in floats. Bids are rounded down to a tick and asks up, so that no order is nearer to the market than was
said; sizes are rounded down to lots. A float within a millionth of a step of it counts as that step.
"""

import math
from fractions import Fraction
from typing import Final

from mlthon.basics.defs import NO_ASK, NO_BID, Quantification
from mlthon.basics.money import UNIT
from mlthon.basics.price import Price
from mlthon.link.host.listing import Listing

BLUR: Final = 1e-6


class BotMarket:
    """See the module. `bid` and `ask`: ticks, `NO_BID` and `NO_ASK` for an empty side."""

    __slots__ = ("_lot", "_tick", "ask", "bid", "instrument", "inverse", "listing", "max_lots", "min_lots")

    def __init__(self, listing: Listing) -> None:
        instrument = listing.instrument
        self.listing = listing
        self.instrument = instrument
        self.inverse = instrument.quantification is Quantification.Inverse
        self.min_lots = instrument.min_lots
        self.max_lots = instrument.max_lots or 1 << 62
        self.bid = NO_BID
        self.ask = NO_ASK
        self._tick = listing.prices[1]
        self._lot = Fraction(instrument.qty_scale.step_units, UNIT) / listing.ratio

    def show(self, bid: Price, ask: Price) -> None:
        """The best bid and ask are now these; 0 for an empty side."""
        step = self.instrument.price_scale.step_units
        self.bid = bid.units // step if bid.units else NO_BID
        self.ask = ask.units // step if ask.units else NO_ASK

    @property
    def two_sided(self) -> bool:
        """Whether there are a bid and an ask, the one below the other."""
        return NO_BID < self.bid < self.ask < NO_ASK

    def own_best(self, side: int) -> int:
        """The best price of the side that buys (+1) or sells (-1)."""
        return self.bid if side > 0 else self.ask

    def resting(self, side: int, price: int) -> int:
        """The price, or the nearest to it at which an order would rest and not take."""
        if side > 0:
            return min(price, self.ask - 1)
        return max(price, self.bid + 1)

    def rests(self, side: int, price: int) -> bool:
        """Whether an order at the price would rest."""
        return price == self.resting(side, price)

    def below(self, price: float) -> int:
        """The tick at or below a price."""
        return self._steps(price, up=False)

    def above(self, price: float) -> int:
        """The tick at or above a price."""
        return self._steps(price, up=True)

    def away(self, side: int, price: float) -> int:
        """The tick for an order of a side that is not nearer to the market than the price."""
        return self.below(price) if side > 0 else self.above(price)

    def _steps(self, price: float, *, up: bool) -> int:
        steps = price / self._tick
        nearest = round(steps)
        if abs(steps - nearest) < BLUR:
            return nearest
        return math.ceil(steps) if up else math.floor(steps)

    def lots(self, size: float) -> int:
        """The whole lots in a size that is 0 or more."""
        lots = Fraction(repr(float(size))) / self._lot
        nearest = round(lots)
        return nearest if abs(lots - nearest) < BLUR else math.floor(lots)

    def size(self, lots: int) -> float:
        """Lots as the script's own size."""
        return self.listing.sizes[lots]
