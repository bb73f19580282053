"""`Order`: an order as a strategy sees it. `OrderMgr` makes orders and moves them along; strategies read them.

State and two flags: `status` is where the order is in `mlthon.order.state`; beside it stand whether a cancel and
whether a modification is on its way. What is asked for and not yet answered (the price and quantity of a new order
before its acknowledgement, those of a modification) is what `get_pending_price` and `get_pending_qty` give.
"""

from mlthon.basics.defs import TIF, ExecInstructions, OrderStatus, OrderType, Side
from mlthon.basics.price import Price
from mlthon.basics.qty import Qty
from mlthon.order.state import OrderEvent, is_open, next_state

ZERO = Qty(0)


class Order:
    """One order. Quantities are `Qty`, the price is None for a market order, ids are text."""

    __slots__ = (
        "_attachment",
        "_cancel_pending",
        "_client_id",
        "_exchange_id",
        "_exec_instr",
        "_filled",
        "_instrument_id",
        "_leaves",
        "_modify_pending",
        "_new_price",
        "_new_qty",
        "_order_type",
        "_price",
        "_qty",
        "_side",
        "_status",
        "_tif",
    )

    def __init__(
        self,
        client_id: str,
        instrument_id: int | str | None,
        side: Side,
        price: Price | None,
        qty: Qty,
        order_type: OrderType = OrderType.Limit,
        tif: TIF = TIF.GTC,
        exec_instr: ExecInstructions = ExecInstructions.Unset,
        attachment: object = None,
        status: OrderStatus = OrderStatus.PendingNew,
        exchange_id: str | None = None,
    ) -> None:
        self._client_id = client_id
        self._exchange_id = exchange_id
        self._instrument_id = instrument_id
        self._side = side
        self._price = price
        self._qty = qty
        self._order_type = order_type
        self._tif = tif
        self._exec_instr = exec_instr
        self._attachment = attachment
        self._status = status
        self._filled = ZERO
        self._leaves = qty
        self._new_price: Price | None = None
        self._new_qty: Qty | None = None
        self._cancel_pending = False
        self._modify_pending = False

    # What it is

    def get_client_id(self) -> str:
        return self._client_id

    def get_exchange_id(self) -> str | None:
        """The exchange's id; None before the acknowledgement."""
        return self._exchange_id

    def get_instrument_id(self) -> int | str | None:
        """What the order was made with: the instrument's id, or its symbol."""
        return self._instrument_id

    def get_side(self) -> Side:
        return self._side

    def get_type(self) -> OrderType:
        return self._order_type

    def get_tif(self) -> TIF:
        return self._tif

    def get_exec_instructions(self) -> ExecInstructions:
        return self._exec_instr

    def get_attachment(self) -> object:
        """What the strategy attached when it made the order."""
        return self._attachment

    # Where it stands

    def get_status(self) -> OrderStatus:
        return self._status

    def get_price(self) -> Price | None:
        return self._price

    def get_qty(self) -> Qty:
        """The whole quantity, filled part included."""
        return self._qty

    def get_filled_qty(self) -> Qty:
        return self._filled

    def get_leaves_qty(self) -> Qty:
        """What may still be filled; 0 once the order is finished."""
        return self._leaves

    def get_leaves_qty_after_modify_prep(self) -> Qty:
        """What may still be filled once the pending modification is accepted."""
        return self._leaves if self._new_qty is None else _rest(self._new_qty, self._filled)

    def get_pending_price(self) -> Price | None:
        """The price asked for and not yet acknowledged; None when none is."""
        return self._price if self.is_new_pending() else self._new_price

    def get_pending_qty(self) -> Qty | None:
        """The quantity asked for and not yet acknowledged; None when none is."""
        return self._qty if self.is_new_pending() else self._new_qty

    def is_new_pending(self) -> bool:
        return self._status is OrderStatus.PendingNew

    def is_modify_pending(self) -> bool:
        return self._modify_pending

    def is_cancel_pending(self) -> bool:
        return self._cancel_pending

    def has_any_pending_request(self) -> bool:
        return self._cancel_pending or self._modify_pending or self.is_new_pending()

    def is_cancelled(self) -> bool:
        return self._status is OrderStatus.Cancelled

    def is_open(self) -> bool:
        """Sent and not finished: it may still be filled, also when it is not acknowledged yet."""
        return is_open(self._status)

    # What happens to it (for OrderMgr)

    def request_modify(self, price: Price | None, qty: Qty | None) -> None:
        self._status = next_state(self._status, OrderEvent.ModifyRequested)
        self._new_price = price
        self._new_qty = qty
        self._modify_pending = True

    def request_cancel(self) -> None:
        self._status = next_state(self._status, OrderEvent.CancelRequested)
        self._cancel_pending = True

    def acked(self, exchange_id: str, price: Price | None, leaves: Qty | None) -> None:
        """The new order is accepted. Fills that came before the acknowledgement stay counted."""
        was_open = self.is_open()
        self._status = next_state(self._status, OrderEvent.Acked)
        self._exchange_id = exchange_id
        if price is not None:
            self._price = price
        if was_open:
            rest = _rest(self._qty, self._filled)
            self._leaves = rest if leaves is None or leaves > rest else leaves

    def rejected(self) -> None:
        self._status = next_state(self._status, OrderEvent.Rejected)
        self._settle()

    def modify_acked(self, leaves: Qty | None) -> None:
        self._status = next_state(self._status, OrderEvent.ModifyAcked)
        if self._new_price is not None:
            self._price = self._new_price
        if self._new_qty is not None:
            self._qty = self._new_qty
        if self.is_open():
            self._leaves = _rest(self._qty, self._filled) if leaves is None else leaves
        self._clear_modify()

    def modify_rejected(self) -> None:
        self._status = next_state(self._status, OrderEvent.ModifyRejected)
        self._clear_modify()

    def cancel_acked(self) -> None:
        self._status = next_state(self._status, OrderEvent.CancelAcked)

    def cancel_rejected(self) -> None:
        self._status = next_state(self._status, OrderEvent.CancelRejected)
        self._cancel_pending = False

    def cancelled(self) -> None:
        self._status = next_state(self._status, OrderEvent.Cancelled)
        self._settle()

    def executed(self, fill: Qty, leaves: Qty | None) -> bool:
        """Count a fill; `leaves` is what the exchange says is left, None to compute it. Whether nothing is left."""
        if fill <= ZERO:
            raise ValueError(f"order {self._client_id}: a fill must be more than 0, not {fill}")
        self._filled += fill
        rest = _rest(self._qty, self._filled)
        if leaves is not None and self.is_open():
            rest = leaves
        fully = not rest
        self._status = next_state(self._status, OrderEvent.FullyFilled if fully else OrderEvent.Filled)
        self._leaves = rest
        self._settle()
        return fully

    def _settle(self) -> None:
        """Once finished, nothing is left and nothing pends."""
        if not self.is_open():
            self._leaves = ZERO
            self._cancel_pending = False
            self._clear_modify()

    def _clear_modify(self) -> None:
        self._modify_pending = False
        self._new_price = None
        self._new_qty = None

    def __str__(self) -> str:
        price = "market" if self._price is None else self._price.to_str()
        return (
            f"Order {self._client_id}: {self._side.name} {self._qty.to_str()} @ {price} of {self._instrument_id}, "
            f"{self._status.name}, leaves {self._leaves.to_str()}"
            f"{', modify pending' if self._modify_pending else ''}{', cancel pending' if self._cancel_pending else ''}"
        )

    def __repr__(self) -> str:
        return f"<{self}>"


def _rest(qty: Qty, filled: Qty) -> Qty:
    return qty - filled if qty > filled else ZERO
