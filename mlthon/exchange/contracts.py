"""What a lot is worth, and what a position has cost.

Every value is a whole number of lots times the value of one lot, which is rounded once (to 10^-18 of the coin, half to
even) where it is not exact, as for inverse contracts. So values are additive: what one account pays is to the last
digit what the others get, however a quantity is split over fills.

- Spot and linear: value of a lot = lot x multiplier x price, in the quote currency.
- Inverse: value of a lot = lot x multiplier / price, in the base currency; a long gains when that falls.
"""

from typing import TYPE_CHECKING

from mlthon.basics.defs import InstrumentType, Quantification
from mlthon.basics.money import UNIT, ratio

if TYPE_CHECKING:
    from mlthon.basics.instrument import Instrument


class Contract:
    """The arithmetic of one instrument. `coin`: what it settles in. `direction`: +1 when a long gains as the value of a
    lot rises, -1 for inverse. `spot`: whether trades move balances of two coins."""

    __slots__ = ("_exact", "_factor", "base", "coin", "direction", "lot_units", "quote", "spot", "tick_units")

    def __init__(self, instrument: "Instrument") -> None:
        inverse = instrument.quantification is Quantification.Inverse
        self.base = instrument.base_currency or instrument.symbol
        self.quote = instrument.quote_currency or instrument.settle_currency or "USD"
        self.spot = instrument.instrument_type is InstrumentType.Spot
        if self.spot:
            self.coin = self.quote
        else:
            self.coin = instrument.settle_currency or (self.base if inverse else self.quote)
        self.direction = -1 if inverse else 1
        self.lot_units = instrument.qty_scale.step_units
        self.tick_units = instrument.price_scale.step_units
        per_lot = self.lot_units * instrument.multiplier_units
        # linear: value = price x _factor / UNIT^2; inverse: value = _factor / (price x tick)
        self._factor = per_lot if inverse else per_lot * self.tick_units
        self._exact = 0 if inverse or self._factor % (UNIT * UNIT) else self._factor // (UNIT * UNIT)

    def unit_value(self, price: int) -> int:
        """The value of one lot at `price` ticks, in 10^-18 of `coin`."""
        if self._exact:
            return price * self._exact
        if self.direction > 0:
            return ratio(price * self._factor, UNIT * UNIT)
        return ratio(self._factor, price * self.tick_units)

    def price_at(self, unit_value: int) -> int:
        """The price in whole ticks, rounded down, at which a lot has this value (more than 0)."""
        if self.direction > 0:
            return unit_value * UNIT * UNIT // self._factor
        return self._factor // (unit_value * self.tick_units)

    def average_price(self, lots: int, cost: int) -> float:
        """The price, in the quote currency, of `lots` that cost `cost`."""
        if lots == 0 or cost == 0:
            return 0.0
        tick = self.tick_units / UNIT
        if self.direction > 0:
            return cost * UNIT * UNIT / (lots * self._factor) * tick
        return lots * self._factor / (cost * self.tick_units) * tick


class Position:
    """Lots held (short negative) and the exact sum paid for them.

    `cost`: signed like `lots`, in 10^-18 of the coin. `realised`, `fees`, `funding`: totals; fees paid and funding
    received are positive. A reduction realises its share of the cost, rounded; the remainder stays in `cost`, so
    nothing is ever lost.
    """

    __slots__ = ("contract", "cost", "fees", "funding", "lots", "realised")

    def __init__(self, contract: Contract) -> None:
        self.contract = contract
        self.lots = 0
        self.cost = 0
        self.realised = 0
        self.fees = 0
        self.funding = 0

    def trade(self, lots: int, unit_value: int) -> int:
        """Add `lots` (negative: sold) at this value a lot; returns what that realised."""
        held = self.lots
        self.lots = held + lots
        if held == 0 or (held > 0) == (lots > 0):
            self.cost += lots * unit_value
            return 0
        if abs(lots) < abs(held):
            closed_cost = ratio(self.cost * -lots, held)
            gain = -lots * unit_value - closed_cost
            self.cost -= closed_cost
        else:
            gain = held * unit_value - self.cost
            self.cost = (held + lots) * unit_value
        gain *= self.contract.direction
        self.realised += gain
        return gain

    def unrealised(self, unit_value: int) -> int:
        """The gain if all were closed at this value a lot."""
        return self.contract.direction * (self.lots * unit_value - self.cost)

    @property
    def entry_price(self) -> float:
        """The average price of what is held, in the quote currency; 0 when flat."""
        return self.contract.average_price(self.lots, self.cost)
