"""One side of a book: a dict by price, and the best price kept beside it.

The best price is found anew only when it was taken away, and then only when someone asks. Measured against sorted
containers, this is the fastest in Python for books whose changes gather near the top.
"""

from typing import Generic, TypeVar

from mlthon.basics.defs import Side

L = TypeVar("L")


class BookSide(Generic[L]):
    """Levels of one side by price (in 10^-18)."""

    __slots__ = ("_best", "_is_bid", "_known", "levels")

    def __init__(self, side: Side) -> None:
        self._is_bid = side is Side.Buy
        self.levels: dict[int, L] = {}
        self._best = 0
        self._known = False
        """Whether `_best` is the best price; if not, it is looked for when needed."""

    def put(self, price: int, level: L) -> None:
        levels = self.levels
        if not levels:
            self._best = price
            self._known = True
        elif self._known and (price > self._best if self._is_bid else price < self._best):
            self._best = price
        levels[price] = level

    def drop(self, price: int) -> None:
        del self.levels[price]
        if price == self._best:
            self._known = False

    def best(self) -> L | None:
        if not self.levels:
            return None
        if not self._known:
            self._best = max(self.levels) if self._is_bid else min(self.levels)
            self._known = True
        return self.levels[self._best]

    def ordered(self, depth: int | None) -> list[L]:
        """The best `depth` levels (all of them for None), best first."""
        return [self.levels[price] for price in sorted(self.levels, reverse=self._is_bid)[:depth]]

    def clear(self) -> None:
        self.levels.clear()
        self._known = False


class Sides(Generic[L]):
    """Both sides, and which is which."""

    __slots__ = ("asks", "bids")

    def __init__(self) -> None:
        self.bids: BookSide[L] = BookSide(Side.Buy)
        self.asks: BookSide[L] = BookSide(Side.Sell)

    def of(self, side: Side) -> BookSide[L]:
        return self.bids if side is Side.Buy else self.asks

    def clear(self) -> None:
        self.bids.clear()
        self.asks.clear()
