"""One side of a book: resting orders by price and, within a price, by time.

`Resting` is an anonymous order of the synthetic flow; `AccountOrder` an account's. Both rest in the same levels. The
quantity that a recording displays is not in here: a level knows only how much of it was last seen at its price, and
each resting order how much of it is ahead.
"""

from bisect import bisect_left, insort
from typing import TYPE_CHECKING, Final, Protocol

from mlthon.basics.defs import TIF, ExecInstructions, OrderStatus, OrderType
from mlthon.engine.faces import NO_ASK, NO_BID

if TYPE_CHECKING:
    from mlthon.exchange.account import Stake


PO: Final = ExecInstructions.PostOnly
RO: Final = ExecInstructions.ReduceOnly
PO_RO: Final = ExecInstructions.PostOnlyReduceOnly

# Bound to names of their own because looking a member up in its class is slow in Python 3.11.
_LIMIT: Final = OrderType.Limit
_MARKET: Final = OrderType.Market
_STOP_LIMIT: Final = OrderType.StopLimit
_PENDING: Final = OrderStatus.PendingNew


class Request(Protocol):
    """What an exchange reads of a new order: a `TrackedOrder`, or the closing of a liquidated position."""

    wire_id: str
    side: int
    price: int
    qty: int
    order_type: OrderType
    tif: TIF
    exec_instr: ExecInstructions
    stop_price: int | None
    close_position: bool


class Resting:
    """An order in the book. `ahead`: replayed lots that trade before it. `stake` is None for anonymous orders."""

    __slots__ = ("ahead", "leaves", "order_id", "price", "side", "stake")

    def __init__(self, order_id: int, side: int, price: int, leaves: int) -> None:
        self.order_id = order_id
        self.side = side
        self.price = price
        self.leaves = leaves
        self.ahead = 0
        self.stake: Stake | None = None


class AccountOrder(Resting):
    """An account's order, from the moment its request is sent. Attributes as `TrackedOrder`'s, whose values it copies:
    what the strategy's side does to its own record later is none of the exchange's business.

    `waits`: it has a stop price that was not reached yet; `is_market`: it takes whatever price there is, now or once
    triggered; `reserve`: money reserved for each open lot; `extra_fee`: rate on top of the usual; `resting`: whether it
    is in the book.
    """

    __slots__ = (
        "close_position",
        "exchange_id",
        "extra_fee",
        "filled",
        "is_market",
        "order_type",
        "post_only",
        "qty",
        "reduce_only",
        "reserve",
        "resting",
        "state",
        "stop_price",
        "tif",
        "waits",
        "wire_id",
    )

    def __init__(self, order_id: int, order: Request, stake: "Stake") -> None:
        self.order_id = order_id
        self.side = order.side
        self.price = order.price
        self.leaves = order.qty
        self.ahead = 0
        self.stake = stake
        self.exchange_id = ""
        self.wire_id = order.wire_id
        self.qty = order.qty
        self.filled = 0
        self.order_type = order.order_type
        self.tif = order.tif
        kind = order.order_type
        limit = kind is _LIMIT
        self.waits = not limit and kind is not _MARKET
        self.is_market = not limit and kind is not _STOP_LIMIT
        instructions = order.exec_instr
        self.post_only = instructions is PO or instructions is PO_RO
        self.reduce_only = order.close_position or instructions is RO or instructions is PO_RO
        self.close_position = order.close_position
        self.stop_price = order.stop_price
        self.state = _PENDING
        self.reserve = 0
        self.extra_fee = 0
        self.resting = False


class Level:
    """The orders at one price, first come first; `qty` is their sum. `seen`: the replayed quantity last displayed at
    the price; `traded`: how much of it has traded since; `gone`: how much left the display at time `gone_at` without a
    trade that told why."""

    __slots__ = ("gone", "gone_at", "orders", "qty", "seen", "traded")

    def __init__(self, seen: int) -> None:
        self.orders: dict[int, Resting] = {}
        self.qty = 0
        self.seen = seen
        self.traded = 0
        self.gone = 0
        self.gone_at = 0


class BookSide:
    """The levels of one side. `best` is the best price, `NO_BID` or `NO_ASK` when the side is empty.

    `keys` holds price x sign in ascending order, so the best level is the last on both sides.
    """

    __slots__ = ("best", "empty", "keys", "levels", "sign")

    def __init__(self, sign: int) -> None:
        self.sign = sign
        self.empty = NO_BID if sign > 0 else NO_ASK
        self.best = self.empty
        self.levels: dict[int, Level] = {}
        self.keys: list[int] = []

    def add(self, order: Resting, seen: int) -> None:
        """Put the order last at its price. `seen`: the replayed quantity displayed there."""
        price = order.price
        level = self.levels.get(price)
        if level is None:
            level = self.levels[price] = Level(seen)
            insort(self.keys, price * self.sign)
            self.best = self.keys[-1] * self.sign
        level.orders[order.order_id] = order
        level.qty += order.leaves

    def remove(self, order: Resting) -> None:
        """Take the order out, with what it has left."""
        level = self.levels[order.price]
        del level.orders[order.order_id]
        level.qty -= order.leaves
        if not level.orders:
            self.drop(order.price)

    def drop(self, price: int) -> None:
        """Take out a level without orders."""
        del self.levels[price]
        keys = self.keys
        key = price * self.sign
        if keys[-1] == key:
            keys.pop()
            self.best = keys[-1] * self.sign if keys else self.empty
        else:
            del keys[bisect_left(keys, key)]
