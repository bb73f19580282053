"""The three books against naive ones: a list that is sorted whenever something is asked."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlthon.basics.defs import Side
from mlthon.basics.price import Price
from mlthon.basics.qty import Qty
from mlthon.order.books.level_book import LevelBook
from mlthon.order.books.order_book import OrderBook
from mlthon.order.books.price_level_book import PriceLevelBook

SIDES = (Side.Buy, Side.Sell)
Op = tuple[str, int, Side, int, int]
ops = st.lists(
    st.tuples(
        st.sampled_from(["add", "modify", "delete", "ask", "clear"]),
        st.integers(1, 12),
        st.sampled_from(SIDES),
        st.integers(1, 6),
        st.integers(0, 4),
    ),
    max_size=60,
)
Row = tuple[Any, Side, int, int]  # id, side, price, quantity, oldest first


def best_first(rows: list[Row], side: Side) -> list[Row]:
    own = [row for row in rows if row[1] is side]
    return sorted(own, key=lambda row: row[2], reverse=side is Side.Buy)


class Told:
    """What "changed since last asked" means, naively."""

    def __init__(self) -> None:
        self.last: dict[Side, object] = {Side.Buy: None, Side.Sell: None}

    def updated(self, side: Side, top: object) -> bool:
        changed = self.last[side] != top
        self.last[side] = top
        return changed


def level_model(rows: list[Row], op: Op, *, grow_moves: bool = False) -> tuple[list[Row], bool]:
    """The rows after the operation, and whether it met something."""
    what, key, side, price, qty = op
    at = next((n for n, row in enumerate(rows) if row[0] == key), None)
    if what == "clear":
        return [], True
    if what == "add":
        rows = [row for row in rows if row[0] != key]
        return ([*rows, (key, side, price, qty)] if qty else rows), True
    if at is None:
        return rows, False
    row = (*rows[at][:3], qty)
    rest = rows[:at] + rows[at + 1 :]
    if what == "delete" or qty == 0:
        return rest, True
    if grow_moves and qty > rows[at][3]:
        return [*rest, row], True
    return [*rows[:at], row, *rows[at + 1 :]], True


@given(ops)
def test_level_book(history: list[Op]) -> None:
    book, rows, told = LevelBook(), list[Row](), Told()
    for op in history:
        what, key, side, price, qty = op
        if what == "ask":
            check_levels(book, rows, told, side)
            continue
        rows, met = level_model(rows, op)
        calls: dict[str, Callable[[], bool | None]] = {
            "add": lambda: book.add_lvl(key, side, Price(price), Qty(qty)),  # noqa: B023
            "modify": lambda: book.modify_lvl_qty(key, Qty(qty)),  # noqa: B023
            "delete": lambda: book.delete_lvl(key),  # noqa: B023
            "clear": book.clear,
        }
        assert calls[what]() in (None, met)
    for side in SIDES:
        check_levels(book, rows, told, side)
        assert not (book.get_best_bid_lvl() if side is Side.Buy else book.get_best_ask_lvl())[0]


def check_levels(book: LevelBook, rows: list[Row], told: Told, side: Side) -> None:
    expected = best_first(rows, side)
    updated, level = book.get_best_bid_lvl() if side is Side.Buy else book.get_best_ask_lvl()
    found = [
        (level.get_level_id(), level.get_side(), int(level.get_price().to_float()), int(level.get_qty().to_float()))
        for level in (book.get_bid_lvls() if side is Side.Buy else book.get_ask_lvls())
    ]
    assert found == expected
    assert (level.get_level_id() if level else None) == (expected[0][0] if expected else None)
    assert updated is told.updated(side, expected[0] if expected else None)
    assert len(book.get_bid_lvls(2)) == min(2, len(best_first(rows, Side.Buy)))


@given(ops)
def test_price_level_book(history: list[Op]) -> None:
    book, rows, told = PriceLevelBook(), list[Row](), Told()
    for what, _, side, price, qty in history:
        if what == "ask":
            check_price_levels(book, rows, told, side)
            continue
        rows, met = level_model(rows, (what, (side, price), side, price, qty))  # type: ignore[arg-type]
        result: bool | None = None
        if what == "add":
            book.add_lvl(side, Price(price), Qty(qty))
        elif what == "modify":
            result = book.modify_lvl_qty(side, Price(price), Qty(qty))
        elif what == "delete":
            result = book.delete_lvl(side, Price(price))
        else:
            book.clear()
        assert result in (None, met)
    for side in SIDES:
        check_price_levels(book, rows, told, side)


def check_price_levels(book: PriceLevelBook, rows: list[Row], told: Told, side: Side) -> None:
    expected = [(Price(row[2]), Qty(row[3])) for row in best_first(rows, side)]
    updated, level = book.get_best_bid_lvl() if side is Side.Buy else book.get_best_ask_lvl()
    levels = book.get_bid_lvls() if side is Side.Buy else book.get_ask_lvls()
    assert [(found.get_price(), found.get_qty()) for found in levels] == expected
    assert ((level.get_price(), level.get_qty()) if level else None) == (expected[0] if expected else None)
    assert updated is told.updated(side, expected[0] if expected else None)


@given(ops)
def test_order_book(history: list[Op]) -> None:
    book, rows, told = OrderBook(), list[Row](), Told()
    for op in history:
        what, key, side, price, qty = op
        if what == "ask":
            check_orders(book, rows, told, side)
            continue
        rows, met = level_model(rows, op, grow_moves=True)
        result: bool | None = None
        if what == "add":
            book.add_order(key, side, Price(price), Qty(qty))
        elif what == "modify":
            result = book.modify_order_qty(key, Qty(qty))
        elif what == "delete":
            result = book.delete_order(key)
        else:
            book.clear()
        assert result in (None, met)
        assert all(book.get_order(n) is not None for n, *_ in rows)
    for side in SIDES:
        check_orders(book, rows, told, side)


def check_orders(book: OrderBook, rows: list[Row], told: Told, side: Side) -> None:
    expected = best_first(rows, side)
    levels = book.get_bid_lvls() if side is Side.Buy else book.get_ask_lvls()
    found = [
        (order.get_order_id(), order.get_side(), int(order.get_price().to_float()), int(order.get_qty().to_float()))
        for level in levels
        for order in level.get_orders()
    ]
    assert found == expected
    at_best = [row for row in expected if row[2] == expected[0][2]]
    total = sum(row[3] for row in at_best)
    updated, level = book.get_best_bid_lvl() if side is Side.Buy else book.get_best_ask_lvl()
    if level is None:
        assert not expected
    else:
        assert (level.get_price(), level.get_qty()) == (Price(expected[0][2]), Qty(total))
        assert level.get_num_orders() == len(at_best)
    assert updated is told.updated(side, (expected[0][2], total, len(at_best)) if expected else None)


def test_what_updated_means() -> None:
    book = LevelBook()
    assert book.get_best_bid_lvl() == (False, None)
    book.add_lvl(1, Side.Buy, Price("9226.5"), Qty(5))
    updated, best = book.get_best_bid_lvl()
    assert updated
    assert best
    assert best.get_price() == Price("9226.5")
    assert str(best) == "Buy 5 @ 9226.5 (level 1)"
    assert book.get_best_bid_lvl()[0] is False
    book.add_lvl(2, Side.Buy, Price("9226"), Qty(5))
    assert book.get_best_bid_lvl()[0] is False
    book.modify_lvl_qty(1, Qty(6))
    assert book.get_best_bid_lvl()[0] is True
    book.clear()
    assert book.get_best_bid_lvl() == (True, None)
    assert book.get_best_ask_lvl() == (False, None)


@pytest.mark.parametrize("side", SIDES)
def test_texts(side: Side) -> None:
    prices, orders = PriceLevelBook(), OrderBook()
    prices.add_lvl(side, Price(1), Qty(2))
    orders.add_order("a", side, Price(1), Qty(2))
    level = (prices.get_bid_lvls() or prices.get_ask_lvls())[0]
    assert str(level) == f"{side.name} 2 @ 1"
    assert level.get_side() is side
    order_level = (orders.get_bid_lvls() or orders.get_ask_lvls())[0]
    assert str(order_level) == f"{side.name} 2 @ 1 in 1 order(s)"
    assert order_level.get_side() is side
    assert str(order_level.get_orders()[0]) == f"{side.name} 2 @ 1 (order a)"


def test_what_books_give_shows_itself_when_printed() -> None:
    prices, levels, orders = PriceLevelBook(), LevelBook(), OrderBook()
    prices.add_lvl(Side.Buy, Price("9.5"), Qty("3"))
    levels.add_lvl(7, Side.Sell, Price("9.5"), Qty("3"))
    orders.add_order(8, Side.Buy, Price("9.5"), Qty("3"))
    assert repr(prices.get_best_bid_lvl()) == "(True, <Buy 3 @ 9.5>)"
    assert repr(levels.get_best_ask_lvl()) == "(True, <Sell 3 @ 9.5 (level 7)>)"
    assert repr(orders.get_best_bid_lvl()) == "(True, <Buy 3 @ 9.5 in 1 order(s)>)"
    assert repr(orders.get_order(8)) == "<Buy 3 @ 9.5 (order 8)>"
