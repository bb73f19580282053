"""One order as it is known, and what is under way about it.

A modification is answered once: by its reply, or by what shows that it was carried out (an order fact with its price
and quantity, or more traded than the order had). Whether a price and quantity answer it, and which price and quantity
are only late news from before it, is told here.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from mlthon.basics.defs import CancelCode, GtwRejectCode, OrderStatus, OrderType
from mlthon.engine.clock import Handle

if TYPE_CHECKING:
    from mlthon.basics.instrument import Instrument
    from mlthon.engine.tracker import TrackedOrder

_UNPRICED: Final = (OrderType.Market, OrderType.Stop, OrderType.TakeProfit)
"""Orders without a price of ours: whatever price an exchange shows for them is its own."""


class Amendment:
    """A modification under way; `done` once it is answered. `sent_ts`: when it was handed down (ns)."""

    __slots__ = ("done", "order", "price", "qty", "sent_ts")

    def __init__(self, order: "BookedOrder", price: int | None, qty: int | None, sent_ts: int) -> None:
        self.order = order
        self.price = price
        self.qty = qty
        self.sent_ts = sent_ts
        self.done = False


class Cancellation:
    """A cancel under way; `done` once it is answered. `told`: who hears of the answer instead of the events, for a
    cancel that is part of a cancel-all: None where it was accepted, else why not."""

    __slots__ = ("done", "order", "sent_ts", "told")

    def __init__(
        self, order: "BookedOrder", told: "Callable[[tuple[GtwRejectCode, str] | None], None] | None", sent_ts: int
    ) -> None:
        self.order = order
        self.told = told
        self.sent_ts = sent_ts
        self.done = False


class End:
    """How an order ended; it is told once nothing of the order is missing any more."""

    __slots__ = ("code", "reason", "ts")

    def __init__(self, code: CancelCode, reason: str, ts: int) -> None:
        self.code = code
        self.reason = reason
        self.ts = ts


class BookedOrder:
    """One order as it is known. `filled`: the sum of its executions; `claimed`: the most that the exchange said had
    traded. `ts`: of the newest order fact, `heard` when one last came (this clock). `order` is None if foreign."""

    __slots__ = (
        "acked",
        "amendment",
        "cancel_asked",
        "cancellations",
        "claimed",
        "created_ts",
        "end",
        "ended",
        "exchange_id",
        "fetches",
        "filled",
        "heard",
        "instrument",
        "modified",
        "order",
        "overdue",
        "price",
        "qty",
        "restored",
        "status",
        "superseded",
        "ts",
        "unknown",
        "wire_id",
    )

    def __init__(
        self,
        wire_id: str,
        instrument: "Instrument",
        price: int,
        qty: int,
        order: "TrackedOrder | None",
        created_ts: int,
    ) -> None:
        self.wire_id = wire_id
        self.instrument = instrument
        self.price = price
        self.qty = qty
        self.order = order
        self.created_ts = created_ts
        self.exchange_id = ""
        self.status = OrderStatus.PendingNew
        self.filled = 0
        self.claimed = 0
        self.acked = False
        self.ended = False
        self.unknown = False
        self.restored = False
        """Sent by an earlier run."""
        self.cancel_asked = False
        self.end: End | None = None
        self.ts = 0
        self.heard = 0
        self.modified = 0
        self.superseded: tuple[int, int] | None = None
        self.amendment: Amendment | None = None
        """The modification under way; there is never more than one."""
        self.cancellations: list[Cancellation] = []
        self.overdue: Handle | None = None
        self.fetches = 0

    @property
    def leaves(self) -> int:
        """What may still trade if the order is open (lots)."""
        return max(0, self.qty - self.filled)

    @property
    def over(self) -> bool:
        """Whether the exchange has said that it ended, though its end may wait for missing executions."""
        return self.ended or self.end is not None

    @property
    def unpriced(self) -> bool:
        """Whether it has no price of ours, so that whatever price the exchange shows is its own."""
        return self.order is not None and self.order.order_type in _UNPRICED

    def is_shown(self, price: int, qty: int) -> bool:
        """Whether it looks like this, as far as is known."""
        return (price, qty) == (self.price, self.qty)

    def is_old_news(self, price: int, qty: int, asked: int) -> bool:
        """Whether it looked like this before the last modification: told (or `asked` for) before that was carried out,
        and arrived after its reply."""
        return (price, qty) == self.superseded and asked <= self.modified

    def answered_by(self, price: int, qty: int) -> Amendment | None:
        """The modification under way if the order would look like this after it."""
        under_way = self.amendment
        if under_way is None:
            return None
        after_price = self.price if under_way.price is None else under_way.price
        after_qty = self.qty if under_way.qty is None else under_way.qty
        return under_way if (after_price, after_qty) == (price, qty) else None

    def with_room_for(self, filled: int) -> Amendment | None:
        """The modification under way if so much could have traded after it."""
        under_way = self.amendment
        return None if under_way is None or under_way.qty is None or under_way.qty < filled else under_way

    def changes_of(self, amendment: Amendment, now: int) -> tuple[int | None, int | None]:
        """What a modification that is carried out `now` changes, price and quantity; None where nothing. It is
        remembered how the order looked before."""
        price = None if amendment.price in (None, self.price) else amendment.price
        qty = None if amendment.qty in (None, self.qty) else amendment.qty
        if price is not None or qty is not None:
            self.superseded = self.price, self.qty
            self.modified = now
        return price, qty

    def __repr__(self) -> str:
        return f"<booked {self.wire_id} {self.filled}/{self.qty} {self.status.name}>"
