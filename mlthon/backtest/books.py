"""A second set of books, kept from nothing but the order flow: what was ordered, what was filled, what it earned.

The exchange keeps its accounts from what it matches; this tap keeps its own from what strategies are told. At the end
of a run the two must agree to the last digit (`report.py` compares them), so neither a lost fill nor a wrong sum stays
unseen.
"""

from collections.abc import Iterator
from typing import Any

from attrs import frozen

from mlthon.basics.instrument import Instrument
from mlthon.engine.tracker import TrackedOrder
from mlthon.exchange.contracts import Contract, Position


class Book:
    """One strategy on one account in one instrument. Quantities in lots, values in 10^-18 of the settlement coin."""

    __slots__ = (
        "account",
        "bought",
        "contract",
        "fees",
        "fills",
        "instrument",
        "maker_fills",
        "open_since",
        "orders",
        "position",
        "sold",
        "strategy",
        "time_open",
        "traded_orders",
        "volume",
    )

    def __init__(self, strategy: str, account: str, instrument: Instrument) -> None:
        self.strategy = strategy
        self.account = account
        self.instrument = instrument
        self.contract = Contract(instrument)
        self.position = Position(self.contract)
        self.fees: dict[str, int] = {}
        self.volume = 0
        self.bought = 0
        self.sold = 0
        self.fills = 0
        self.maker_fills = 0
        self.orders = 0
        self.traded_orders = 0
        self.open_since: int | None = None
        self.time_open = 0

    def fill(self, ts: int, side: int, price: int, qty: int, fee: int, fee_coin: str, maker: bool) -> None:
        value = self.contract.unit_value(price)
        self.position.trade(side * qty, value)
        self.volume += qty * value
        self.fees[fee_coin] = self.fees.get(fee_coin, 0) + fee
        self.fills += 1
        self.maker_fills += maker
        if side > 0:
            self.bought += qty
        else:
            self.sold += qty
        self._watch(ts)

    def time_in_market(self, now: int) -> int:
        """For how long (ns) the position was not flat."""
        return self.time_open + (0 if self.open_since is None else now - self.open_since)

    def _watch(self, ts: int) -> None:
        if self.position.lots and self.open_since is None:
            self.open_since = ts
        elif not self.position.lots and self.open_since is not None:
            self.time_open += ts - self.open_since
            self.open_since = None


@frozen
class OrderRow:
    """An order as it was sent; the order itself tells what became of it."""

    ts: int
    order: TrackedOrder
    price: int
    qty: int


@frozen
class FillRow:
    """A fill, as the strategy was told of it at `ts`; `exec_ts` is when the exchange made it. `fee` is money in
    `fee_coin`, negative for a rebate, `value` in `coin`; `position` what its book held afterwards (lots)."""

    ts: int
    order: TrackedOrder
    exec_id: str
    price: int
    qty: int
    value: int
    coin: str
    fee: int
    fee_coin: str
    maker: bool
    exec_ts: int
    position: int


@frozen
class End:
    """How an order ended: `filled`, `cancelled` or `rejected`, and the exchange's reason."""

    ts: int
    state: str
    reason: str


class Books:
    """The tap. `books` by (strategy, account, instrument), in the order of first use."""

    __slots__ = ("_in_market", "_open", "_open_since", "books", "ends", "fills", "orders")

    def __init__(self) -> None:
        self.books: dict[tuple[str, str, Instrument], Book] = {}
        self.orders: list[OrderRow] = []
        self.fills: list[FillRow] = []
        self.ends: dict[str, End] = {}
        self._open = 0
        self._open_since = 0
        self._in_market = 0

    def record(self, ts: int, kind: str, order: TrackedOrder | None, detail: tuple[Any, ...]) -> None:
        if order is None:
            return
        if kind == "fill":
            self._fill(ts, order, detail)
        elif kind == "new":
            self.orders.append(OrderRow(ts, order, order.price, order.qty))
            self._book(order).orders += 1
        elif kind == "cancelled":
            self.ends[order.wire_id] = End(ts, "cancelled", _reason(detail[2:]))
        elif kind == "reject":
            self.ends[order.wire_id] = End(ts, "rejected", _reason(detail))

    def time_in_market(self, now: int) -> int:
        """For how long (ns) some position was not flat."""
        return self._in_market + (now - self._open_since if self._open else 0)

    def __iter__(self) -> Iterator[Book]:
        return iter(self.books.values())

    def _book(self, order: TrackedOrder) -> Book:
        key = (order.session.name, order.account, order.instrument)
        found = self.books.get(key)
        if found is None:
            found = self.books[key] = Book(*key)
        return found

    def _fill(self, ts: int, order: TrackedOrder, detail: tuple[Any, ...]) -> None:
        exec_id, price, qty, leaves, fee, fee_coin, maker, exec_ts = detail
        book = self._book(order)
        was_open = book.position.lots != 0
        if order.filled == qty:
            book.traded_orders += 1
        book.fill(ts, order.side, price, qty, fee, fee_coin, maker)
        lots = book.position.lots
        self._count_open(ts, (lots != 0) - was_open)
        value = qty * book.contract.unit_value(price)
        coin = book.contract.coin
        self.fills.append(FillRow(ts, order, exec_id, price, qty, value, coin, fee, fee_coin, maker, exec_ts, lots))
        if not leaves:
            self.ends[order.wire_id] = End(ts, "filled", "")

    def _count_open(self, ts: int, change: int) -> None:
        before = self._open
        self._open += change
        if not before and self._open:
            self._open_since = ts
        elif before and not self._open:
            self._in_market += ts - self._open_since


def _reason(parts: tuple[Any, ...]) -> str:
    return ": ".join(str(part) for part in parts if part)
