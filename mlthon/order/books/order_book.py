"""`OrderBook`: a book of single orders, with what is at each price, fed by the level callbacks with order ids."""

from mlthon.basics.defs import Side
from mlthon.basics.price import Price
from mlthon.basics.qty import Qty
from mlthon.order.books.book_side import Sides

Top = tuple[int, int, int] | None
OrderId = int | str


class BookOrder:
    """A public order."""

    __slots__ = ("_order_id", "_price", "_qty", "_side")

    def __init__(self, order_id: OrderId, side: Side, price: Price, qty: Qty) -> None:
        self._order_id = order_id
        self._side = side
        self._price = price
        self._qty = qty

    def get_order_id(self) -> OrderId:
        return self._order_id

    def get_side(self) -> Side:
        return self._side

    def get_price(self) -> Price:
        return self._price

    def get_qty(self) -> Qty:
        return self._qty

    def __str__(self) -> str:
        return f"{self._side.name} {self._qty.to_str()} @ {self._price.to_str()} (order {self._order_id})"

    def __repr__(self) -> str:
        return f"<{self}>"


class OrderLevel:
    """The orders at a price, first in line first."""

    __slots__ = ("_orders", "_price", "_side", "_total")

    def __init__(self, side: Side, price: Price) -> None:
        self._side = side
        self._price = price
        self._orders: dict[OrderId, BookOrder] = {}
        self._total = 0

    def get_side(self) -> Side:
        return self._side

    def get_price(self) -> Price:
        return self._price

    def get_qty(self) -> Qty:
        """The sum of the orders' quantities."""
        return Qty.from_units(self._total)

    def get_num_orders(self) -> int:
        return len(self._orders)

    def get_orders(self) -> list[BookOrder]:
        return list(self._orders.values())

    def add(self, order: BookOrder) -> None:
        self._orders[order.get_order_id()] = order
        self._total += order.get_qty().units

    def remove(self, order: BookOrder) -> None:
        del self._orders[order.get_order_id()]
        self._total -= order.get_qty().units

    def replace(self, order: BookOrder, by: BookOrder) -> None:
        """Put one order in another's place in line."""
        self._orders[order.get_order_id()] = by
        self._total += by.get_qty().units - order.get_qty().units

    def __str__(self) -> str:
        return (
            f"{self._side.name} {self.get_qty().to_str()} @ {self._price.to_str()} in {self.get_num_orders()} order(s)"
        )

    def __repr__(self) -> str:
        return f"<{self}>"


class OrderBook:
    """A book by order id. An order keeps its place when its quantity shrinks and goes to the end when it grows. A
    quantity of 0 takes an order away; changes of orders that are not there give False."""

    __slots__ = ("_by_id", "_sides", "_told_ask", "_told_bid")

    def __init__(self) -> None:
        self._by_id: dict[OrderId, BookOrder] = {}
        self._sides: Sides[OrderLevel] = Sides()
        self._told_bid: Top = None
        self._told_ask: Top = None

    def add_order(self, order_id: OrderId, side: Side, price: Price, qty: Qty) -> None:
        """An order at the end of the line at its price, in place of one that has its id."""
        self.delete_order(order_id)
        if not qty:
            return
        order = BookOrder(order_id, side, price, qty)
        self._by_id[order_id] = order
        at_side = self._sides.of(side)
        level = at_side.levels.get(price.units)
        if level is None:
            level = OrderLevel(side, price)
            at_side.put(price.units, level)
        level.add(order)

    def modify_order_qty(self, order_id: OrderId, qty: Qty) -> bool:
        order = self._by_id.get(order_id)
        if order is None:
            return False
        if not qty or qty > order.get_qty():
            self.add_order(order_id, order.get_side(), order.get_price(), qty)
            return True
        changed = BookOrder(order_id, order.get_side(), order.get_price(), qty)
        self._by_id[order_id] = changed
        self._sides.of(order.get_side()).levels[order.get_price().units].replace(order, changed)
        return True

    def delete_order(self, order_id: OrderId) -> bool:
        order = self._by_id.pop(order_id, None)
        if order is None:
            return False
        at_side = self._sides.of(order.get_side())
        price = order.get_price().units
        level = at_side.levels[price]
        level.remove(order)
        if not level.get_num_orders():
            at_side.drop(price)
        return True

    def get_order(self, order_id: OrderId) -> BookOrder | None:
        return self._by_id.get(order_id)

    def get_best_bid_lvl(self) -> tuple[bool, OrderLevel | None]:
        """(whether price, quantity or number of orders of the best bid changed since this was last asked, the best bid
        level or None)."""
        level = self._sides.bids.best()
        top = _top(level)
        updated = top != self._told_bid
        self._told_bid = top
        return updated, level

    def get_best_ask_lvl(self) -> tuple[bool, OrderLevel | None]:
        """(whether price, quantity or number of orders of the best ask changed since this was last asked, the best ask
        level or None)."""
        level = self._sides.asks.best()
        top = _top(level)
        updated = top != self._told_ask
        self._told_ask = top
        return updated, level

    def get_bid_lvls(self, depth: int | None = None) -> list[OrderLevel]:
        """The best `depth` bids, or all, best first."""
        return self._sides.bids.ordered(depth)

    def get_ask_lvls(self, depth: int | None = None) -> list[OrderLevel]:
        """The best `depth` asks, or all, best first."""
        return self._sides.asks.ordered(depth)

    def clear(self) -> None:
        self._by_id.clear()
        self._sides.clear()


def _top(level: OrderLevel | None) -> Top:
    return None if level is None else (level.get_price().units, level.get_qty().units, level.get_num_orders())
