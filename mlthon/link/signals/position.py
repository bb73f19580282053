"""`BotPosition`: the position of a signal bot, its average entry price, and when it is to be closed.

Gain and loss are counted in percent of the average entry price, at the price at which the position could be closed: the
best bid for a long one, the best ask for a short one. The trailing stop follows the best such price since the position
was opened, once the gain has been `trail_entry` percent.
"""

from mlthon.link.signals.params import Exits


class BotPosition:
    """See the module. `lots`: short negative. `entry`: ticks, 0.0 while flat. `inverse`: the contract's value goes with
    one over the price, so that entries are averaged that way."""

    __slots__ = ("_best", "entry", "inverse", "lots")

    def __init__(self, *, inverse: bool = False) -> None:
        self.inverse = inverse
        self.lots = 0
        self.entry = 0.0
        self._best = 0.0

    def set(self, lots: int, entry: float) -> None:
        """Take over a position."""
        self.lots = lots
        self.entry = self._best = entry if lots else 0.0

    def fill(self, lots: int, price: int) -> None:
        """So many lots were bought (positive) or sold."""
        before, after = self.lots, self.lots + lots
        if not after:
            self.set(0, 0.0)
        elif before * after <= 0:
            self.set(after, float(price))
        else:
            if abs(after) > abs(before):
                self.entry = self._average(before, lots, price)
            self.lots = after

    def _average(self, before: int, lots: int, price: int) -> float:
        total = before + lots
        if self.inverse:
            return total / (before / self.entry + lots / price)
        return (before * self.entry + lots * price) / total

    def due(self, exits: Exits, bid: int, ask: int) -> str | None:
        """Why the position is to be closed now; None where it is not. To be asked at every quote."""
        if not self.lots:
            return None
        sign, price = (1, bid) if self.lots > 0 else (-1, ask)
        if sign * (price - self._best) > 0:
            self._best = float(price)
        gain = sign * (price / self.entry - 1) * 100
        if exits.stop_loss is not None and gain <= -exits.stop_loss:
            return f"stop loss: {gain:+.3f} %"
        if exits.take_profit is not None and gain >= exits.take_profit:
            return f"take profit: {gain:+.3f} %"
        if exits.trail is not None and sign * (self._best / self.entry - 1) * 100 >= exits.trail_entry:
            back = sign * (1 - price / self._best) * 100
            if back >= exits.trail:
                return f"trailing stop: {back:.3f} % from the best price, {gain:+.3f} %"
        return None
