"""`BotPosition`: the position of a signal bot, its average entry price, and when it is to be closed.

Gain and loss are counted in percent of the average entry price, at the price at which the position could be closed: the
best bid for a long one, the best ask for a short one. The trailing stop follows the best such price since the position
was opened, once the gain has been `trail_entry` percent.
"""

from mlthon.link.signals.params import Exits


class BotPosition:
    """See the module. `lots`: short negative. `entry`: ticks, 0.0 while flat and while nobody has said it. `best`: the
    best price (ticks) at which the position could have been closed so far. `inverse`: the contract's value goes with
    one over the price, so that entries are averaged that way."""

    __slots__ = ("best", "entry", "inverse", "lots")

    def __init__(self, *, inverse: bool = False) -> None:
        self.inverse = inverse
        self.lots = 0
        self.entry = 0.0
        self.best = 0.0

    def set(self, lots: int, entry: float) -> None:
        """Take over a position; one on the same side as before is the same one, and its best price stays."""
        best = self.best if lots * self.lots > 0 else 0.0
        self.lots = lots
        self.entry = self.best = entry if lots else 0.0
        self.reached(best)

    def reached(self, best: float) -> None:
        """The position could have been closed at this price (ticks; 0: nobody knows)."""
        if self.lots and best and (not self.best or (best - self.best) * self.lots > 0):
            self.best = best

    def fill(self, lots: int, price: int) -> None:
        """So many lots were bought (positive) or sold."""
        before, after = self.lots, self.lots + lots
        if not after:
            self.set(0, 0.0)
        elif before * after <= 0 or not self.entry:
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
        if not self.entry:
            # gains are counted from where it is first seen
            self.entry = float(price)
        self.reached(float(price))
        gain = sign * (price / self.entry - 1) * 100
        if exits.stop_loss is not None and gain <= -exits.stop_loss:
            return f"stop loss: {gain:+.3f} %"
        if exits.take_profit is not None and gain >= exits.take_profit:
            return f"take profit: {gain:+.3f} %"
        if exits.trail is not None and sign * (self.best / self.entry - 1) * 100 >= exits.trail_entry:
            back = sign * (1 - price / self.best) * 100
            if back >= exits.trail:
                return f"trailing stop: {back:.3f} % from the best price, {gain:+.3f} %"
        return None
