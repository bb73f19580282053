"""`PriceLevelBook`: a book of quantities by price, fed by the price level callbacks."""

from mlthon.basics.defs import Side
from mlthon.basics.price import Price
from mlthon.basics.qty import Qty
from mlthon.order.books.book_side import Sides

Top = tuple[int, int] | None


class PriceLevel:
    """All there is at a price."""

    __slots__ = ("_price", "_qty", "_side")

    def __init__(self, side: Side, price: Price, qty: Qty) -> None:
        self._side = side
        self._price = price
        self._qty = qty

    def get_side(self) -> Side:
        return self._side

    def get_price(self) -> Price:
        return self._price

    def get_qty(self) -> Qty:
        return self._qty

    def __str__(self) -> str:
        return f"{self._side.name} {self._qty.to_str()} @ {self._price.to_str()}"

    def __repr__(self) -> str:
        return f"<{self}>"


class PriceLevelBook:
    """A book by price. A quantity of 0 takes a level away; changes of levels that are not there give False."""

    __slots__ = ("_sides", "_told_ask", "_told_bid")

    def __init__(self) -> None:
        self._sides: Sides[PriceLevel] = Sides()
        self._told_bid: Top = None
        self._told_ask: Top = None

    def add_lvl(self, side: Side, price: Price, qty: Qty) -> None:
        """A level, in place of one that is at its price."""
        if qty:
            self._sides.of(side).put(price.units, PriceLevel(side, price, qty))
        else:
            self.delete_lvl(side, price)

    def modify_lvl_qty(self, side: Side, price: Price, qty: Qty) -> bool:
        if not qty:
            return self.delete_lvl(side, price)
        levels = self._sides.of(side)
        if price.units not in levels.levels:
            return False
        levels.put(price.units, PriceLevel(side, price, qty))
        return True

    def delete_lvl(self, side: Side, price: Price) -> bool:
        levels = self._sides.of(side)
        if price.units not in levels.levels:
            return False
        levels.drop(price.units)
        return True

    def get_best_bid_lvl(self) -> tuple[bool, PriceLevel | None]:
        """(whether price or quantity of the best bid changed since this was last asked, the best bid or None)."""
        level = self._sides.bids.best()
        top = _top(level)
        updated = top != self._told_bid
        self._told_bid = top
        return updated, level

    def get_best_ask_lvl(self) -> tuple[bool, PriceLevel | None]:
        """(whether price or quantity of the best ask changed since this was last asked, the best ask or None)."""
        level = self._sides.asks.best()
        top = _top(level)
        updated = top != self._told_ask
        self._told_ask = top
        return updated, level

    def get_bid_lvls(self, depth: int | None = None) -> list[PriceLevel]:
        """The best `depth` bids, or all, best first."""
        return self._sides.bids.ordered(depth)

    def get_ask_lvls(self, depth: int | None = None) -> list[PriceLevel]:
        """The best `depth` asks, or all, best first."""
        return self._sides.asks.ordered(depth)

    def clear(self) -> None:
        self._sides.clear()


def _top(level: PriceLevel | None) -> Top:
    return None if level is None else (level.get_price().units, level.get_qty().units)
