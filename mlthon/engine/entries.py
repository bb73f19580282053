"""What a journal holds: entries on their way into a store, and orders on their way back out of it."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

from msgspec import Struct

from mlthon.basics.defs import TIF, Exchange, ExecInstructions, OrderStatus, OrderType
from mlthon.basics.instrument import Instrument
from mlthon.engine.tracker import TrackedOrder
from mlthon.order.state import TERMINAL

if TYPE_CHECKING:
    from mlthon.engine.session import Session

IN_DOUBT: Final = (OrderStatus.PendingNew, OrderStatus.Unknown)
"""States in which nobody here knows whether an order is at the exchange."""


class StoreFailed(Exception):
    """The store could not commit; nothing of what it was given counts as written."""


class Sent(Struct, frozen=True, kw_only=True):
    """An order as it was sent. Prices in ticks and quantities in lots of the instrument as it was then."""

    strategy: str
    client_id: str
    instrument: Instrument
    side: int
    order_type: OrderType
    tif: TIF
    exec_instr: ExecInstructions
    price: int
    qty: int
    stop_price: int | None
    close_position: bool
    created_ts: int


class Standing(Struct, frozen=True, kw_only=True):
    """How an order stands after an entry."""

    state: OrderStatus
    exchange_id: str
    price: int
    qty: int
    leaves: int
    filled: int


class Fill(Struct, frozen=True, kw_only=True):
    """One execution. `fee` is money (10^-18) in `fee_coin`."""

    exec_id: str
    strategy: str
    instrument: Instrument
    side: int
    price: int
    qty: int
    fee: int
    fee_coin: str
    maker: bool
    ts: int


class Entry(Struct, frozen=True, kw_only=True):
    """One thing that was asked for or that happened. `kind` and `detail` are those of `mlthon.engine.taps`, and
    `foreign` for an order that nobody here sent. `wire_id` is empty where the entry is about no single order."""

    ts: int
    exchange: Exchange
    account: str
    kind: str
    wire_id: str = ""
    detail: tuple[Any, ...] = ()
    sent: Sent | None = None
    standing: Standing | None = None
    fill: Fill | None = None


class JournalStore(Protocol):
    """Where entries are kept."""

    def commit(self, entries: Sequence[Entry]) -> None:
        """Write all of them, in order, or none. They are safe when this returns. Raises StoreFailed."""


class DeferredStore(Protocol):
    """Where entries are kept by somebody who writes them later, in the order in which they came."""

    def submit(self, entries: Sequence[Entry], done: Callable[[str], None]) -> None:
        """Write all of them, or keep them for the next try. `done` is called later with why that failed; with nothing
        once they are safe. Calls come in the order of submission."""


class OpenOrder(Struct, frozen=True, kw_only=True):
    """What an earlier run sent and is not known to be over. `instrument` is as it was when the order was sent."""

    wire_id: str
    exchange: Exchange
    account: str
    sent: Sent
    standing: Standing

    @property
    def in_doubt(self) -> bool:
        """Whether a request about it went unanswered: the exchange has to be asked how it stands."""
        return self.standing.state in IN_DOUBT


class ChangedSteps(ValueError):
    """An instrument has other ticks or lots now than when an order in it was sent."""


def restored(order: OpenOrder, session: "Session", instrument: Instrument) -> TrackedOrder:
    """The order as the engine tracks it. Raises ChangedSteps: its numbers count in steps that are no more."""
    sent, standing = order.sent, order.standing
    for now, then in (
        (instrument.price_scale, sent.instrument.price_scale),
        (instrument.qty_scale, sent.instrument.qty_scale),
    ):
        if now.step_units != then.step_units:
            raise ChangedSteps(
                f"order {order.wire_id}: {instrument.name} has other price or quantity steps now than when the order "
                "was sent; cancel it at the exchange"
            )
    tracked = TrackedOrder(
        order.wire_id,
        sent.client_id,
        session,
        order.account,
        instrument,
        sent.side,
        sent.order_type,
        sent.tif,
        sent.exec_instr,
        standing.price,
        standing.qty,
        sent.stop_price,
        sent.close_position,
        sent.created_ts,
    )
    tracked.state = standing.state
    tracked.exchange_id = standing.exchange_id
    tracked.leaves = standing.leaves
    tracked.filled = standing.filled
    return tracked


def sent_of(order: TrackedOrder) -> Sent:
    return Sent(
        strategy=order.session.name,
        client_id=order.client_id,
        instrument=order.instrument,
        side=order.side,
        order_type=order.order_type,
        tif=order.tif,
        exec_instr=order.exec_instr,
        price=order.price,
        qty=order.qty,
        stop_price=order.stop_price,
        close_position=order.close_position,
        created_ts=order.created_ts,
    )


def standing_of(
    order: TrackedOrder,
    *,
    state: OrderStatus | None = None,
    exchange_id: str | None = None,
    price: int | None = None,
    qty: int | None = None,
    leaves: int | None = None,
    filled: int | None = None,
) -> Standing:
    """How the order stands, with what is new. Of an order that is over nothing is left, whatever comes late."""
    after = order.state if state is None else state
    if after in TERMINAL:
        leaves = 0
    return Standing(
        state=after,
        exchange_id=order.exchange_id if exchange_id is None else exchange_id,
        price=order.price if price is None else price,
        qty=order.qty if qty is None else qty,
        leaves=order.leaves if leaves is None else leaves,
        filled=order.filled if filled is None else filled,
    )
