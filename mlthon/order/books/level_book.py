"""`LevelBook`: a book of levels that have ids, fed by the level callbacks.

Usually an exchange has one level a price; where several share a price, the oldest of them is the best.
"""

from mlthon.basics.defs import Side
from mlthon.basics.price import Price
from mlthon.basics.qty import Qty
from mlthon.order.books.book_side import Sides

Top = tuple[int, int, int] | None


class Level:
    """A level: what an exchange lists under one id."""

    __slots__ = ("_level_id", "_price", "_qty", "_side")

    def __init__(self, level_id: int, side: Side, price: Price, qty: Qty) -> None:
        self._level_id = level_id
        self._side = side
        self._price = price
        self._qty = qty

    def get_level_id(self) -> int:
        return self._level_id

    def get_side(self) -> Side:
        return self._side

    def get_price(self) -> Price:
        return self._price

    def get_qty(self) -> Qty:
        return self._qty

    def __str__(self) -> str:
        return f"{self._side.name} {self._qty.to_str()} @ {self._price.to_str()} (level {self._level_id})"

    def __repr__(self) -> str:
        return f"<{self}>"


class LevelBook:
    """A book by level id. A quantity of 0 takes a level away; changes of levels that are not there give False."""

    __slots__ = ("_by_id", "_sides", "_told_ask", "_told_bid")

    def __init__(self) -> None:
        self._by_id: dict[int, Level] = {}
        self._sides: Sides[dict[int, Level]] = Sides()
        self._told_bid: Top = None
        self._told_ask: Top = None

    def add_lvl(self, level_id: int, side: Side, price: Price, qty: Qty) -> None:
        """A level, in place of one that has its id."""
        self.delete_lvl(level_id)
        if not qty:
            return
        level = Level(level_id, side, price, qty)
        self._by_id[level_id] = level
        at_side = self._sides.of(side)
        at_price = at_side.levels.get(price.units)
        if at_price is None:
            at_side.put(price.units, {level_id: level})
        else:
            at_price[level_id] = level

    def modify_lvl_qty(self, level_id: int, qty: Qty) -> bool:
        if not qty:
            return self.delete_lvl(level_id)
        level = self._by_id.get(level_id)
        if level is None:
            return False
        changed = Level(level_id, level.get_side(), level.get_price(), qty)
        self._by_id[level_id] = changed
        self._sides.of(level.get_side()).levels[level.get_price().units][level_id] = changed
        return True

    def delete_lvl(self, level_id: int) -> bool:
        level = self._by_id.pop(level_id, None)
        if level is None:
            return False
        at_side = self._sides.of(level.get_side())
        price = level.get_price().units
        at_price = at_side.levels[price]
        del at_price[level_id]
        if not at_price:
            at_side.drop(price)
        return True

    def get_lvl(self, level_id: int) -> Level | None:
        return self._by_id.get(level_id)

    def get_best_bid_lvl(self) -> tuple[bool, Level | None]:
        """(whether id, price or quantity of the best bid changed since this was last asked, the best bid or None)."""
        level = _oldest(self._sides.bids.best())
        top = _top(level)
        updated = top != self._told_bid
        self._told_bid = top
        return updated, level

    def get_best_ask_lvl(self) -> tuple[bool, Level | None]:
        """(whether id, price or quantity of the best ask changed since this was last asked, the best ask or None)."""
        level = _oldest(self._sides.asks.best())
        top = _top(level)
        updated = top != self._told_ask
        self._told_ask = top
        return updated, level

    def get_bid_lvls(self, depth: int | None = None) -> list[Level]:
        """The best `depth` bids, or all, best first."""
        return [level for at_price in self._sides.bids.ordered(depth) for level in at_price.values()][:depth]

    def get_ask_lvls(self, depth: int | None = None) -> list[Level]:
        """The best `depth` asks, or all, best first."""
        return [level for at_price in self._sides.asks.ordered(depth) for level in at_price.values()][:depth]

    def clear(self) -> None:
        self._by_id.clear()
        self._sides.clear()


def _oldest(at_price: dict[int, Level] | None) -> Level | None:
    return None if at_price is None else next(iter(at_price.values()))


def _top(level: Level | None) -> Top:
    return None if level is None else (level.get_level_id(), level.get_price().units, level.get_qty().units)
