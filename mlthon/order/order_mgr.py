"""`OrderMgr`: a strategy's own book-keeping of its orders, one an exchange.

`prepare_...` before a request is sent (it marks what is pending, and says whether the request makes sense at all),
`apply_...` in the callback that answers it. Ids that it does not know give None or False and never an error: an
exchange may speak of orders that others sent.

Client ids are the prefix and a counter of nine digits, so that ids of managers with different prefixes differ. With a
prefix of digits the whole id is a number, which `send_new_order` gives back as an int.

Finished orders leave the open ones; the last 10,000 are remembered so that a fill which comes after the end is still
counted.
"""

from collections.abc import Iterable
from decimal import Decimal
from typing import Final

from mlthon.basics.defs import TIF, ExecInstructions, OrderStatus, OrderType, Side
from mlthon.basics.price import Price
from mlthon.basics.qty import Qty
from mlthon.order.order import Order

REMEMBERED: Final = 10_000
"""How many finished orders are kept."""
_COUNTER: Final = 10**9

ClientId = str | int
PriceLike = Price | str | int | float | Decimal
QtyLike = Qty | str | int | float | Decimal


class OrderMgr:
    """The orders of one strategy on one exchange. `client_id_prefix` is a text or a whole number."""

    def __init__(self, client_id_prefix: ClientId) -> None:
        prefix = str(client_id_prefix).strip()
        if prefix.startswith("-"):
            raise ValueError(f"client_id_prefix must be a text or a number from 0, not {client_id_prefix!r}")
        self._prefix = prefix
        is_number = not prefix or (prefix.isascii() and prefix.isdigit())
        self._first = int(prefix or 0) * _COUNTER if is_number else None
        self._made = 0
        self._open: dict[str, Order] = {}
        self._finished: dict[str, Order] = {}
        self._cancel_all: set[str] = set()

    # Before a request is sent

    def prepare_new_order(
        self,
        instrument_id: int | str | None = None,
        side: Side | None = None,
        price: PriceLike | None = None,
        qty: QtyLike | None = None,
        exec_instr: ExecInstructions = ExecInstructions.Unset,
        order_type: OrderType = OrderType.Limit,
        tif: TIF = TIF.GTC,
        nullable_attachment: object = None,
        *,
        symbol: str | None = None,
    ) -> Order | None:
        """A new order, pending; None while a cancel-all is pending. Raises ValueError when side or quantity, or the
        instrument, is missing."""
        instrument = symbol if instrument_id is None else instrument_id
        if instrument is None or side is None or qty is None:
            raise ValueError("prepare_new_order needs instrument_id or symbol, side and qty")
        if self.is_cancel_all_pending():
            return None
        order = Order(
            self._new_client_id(), instrument, side, _price(price), _qty(qty), order_type, tif, exec_instr,
            nullable_attachment,
        )  # fmt: skip
        self._open[order.get_client_id()] = order
        return order

    def prepare_modify_order(
        self, client_id: ClientId, new_price: PriceLike | None = None, new_qty: QtyLike | None = None
    ) -> bool:
        """Mark a modification as pending. False when there is no such open order, when nothing would change hands
        (neither price nor quantity), or while a cancel or another modification of it is pending."""
        order = self._open.get(str(client_id))
        if order is None or (new_price is None and new_qty is None):
            return False
        if order.is_cancel_pending() or order.is_modify_pending():
            return False
        order.request_modify(_price(new_price), None if new_qty is None else _qty(new_qty))
        return True

    def prepare_cancel_order(self, client_id: ClientId) -> bool:
        """Mark a cancel as pending. False when there is no such open order or its cancel is already pending."""
        order = self._open.get(str(client_id))
        if order is None or order.is_cancel_pending():
            return False
        order.request_cancel()
        return True

    def prepare_cancel_all(self, instrument_id: int | str | None = None) -> bool:
        """Mark a cancel of all open orders (of the instrument) as pending, until each of them is finished or the
        request is rejected; meanwhile no new order is prepared. False when there is nothing to cancel."""
        orders = _of_instrument(self._open.values(), instrument_id)
        for order in orders:
            if not order.is_cancel_pending():
                order.request_cancel()
            self._cancel_all.add(order.get_client_id())
        return bool(orders)

    def is_cancel_all_pending(self) -> bool:
        return bool(self._cancel_all)

    # What is there

    def get_num_open_orders(self) -> int:
        """How many orders are open, those that wait for their acknowledgement included."""
        return len(self._open)

    def get_open_orders(self) -> list[Order]:
        """The open orders, oldest first."""
        return list(self._open.values())

    def get_order_with_client_id(self, client_id: ClientId) -> Order | None:
        """The order, open or lately finished; None when it is unknown."""
        key = str(client_id)
        return self._open.get(key) or self._finished.get(key)

    def add_open_order(
        self,
        client_id: ClientId,
        exchange_id: str,
        instrument_id: int | str,
        side: Side,
        price: PriceLike | None,
        qty: QtyLike,
        order_type: OrderType = OrderType.Limit,
        tif: TIF = TIF.GTC,
        exec_instr: ExecInstructions = ExecInstructions.Unset,
        nullable_attachment: object = None,
    ) -> Order:
        """Take in an order that is open on the exchange already (one that `on_orders_info` told of). One that is known
        stays as it is."""
        known = self.get_order_with_client_id(client_id)
        if known is not None:
            return known
        order = Order(
            str(client_id), instrument_id, side, _price(price), _qty(qty), order_type, tif, exec_instr,
            nullable_attachment, OrderStatus.New, exchange_id,
        )  # fmt: skip
        self._open[order.get_client_id()] = order
        return order

    # What the exchange says. Each is False (or None) for an unknown order.

    def apply_new_order_ack(
        self,
        client_id: ClientId,
        exchange_id: str,
        price: PriceLike | None = None,
        leaves_qty: QtyLike | None = None,
    ) -> bool:
        order = self.get_order_with_client_id(client_id)
        if order is None:
            return False
        order.acked(exchange_id, _price(price), None if leaves_qty is None else _qty(leaves_qty))
        return True

    def apply_new_order_reject(self, client_id: ClientId) -> bool:
        order = self.get_order_with_client_id(client_id)
        if order is None:
            return False
        order.rejected()
        self._file(order)
        return True

    def apply_modify_order_ack(self, client_id: ClientId, leaves_qty: QtyLike | None = None) -> bool:
        order = self.get_order_with_client_id(client_id)
        if order is None:
            return False
        order.modify_acked(None if leaves_qty is None else _qty(leaves_qty))
        return True

    def apply_modify_order_reject(self, client_id: ClientId) -> bool:
        order = self.get_order_with_client_id(client_id)
        if order is None:
            return False
        order.modify_rejected()
        return True

    def apply_cancel_order_ack(self, client_id: ClientId) -> bool:
        """The cancel request is accepted; the order stays open, its cancel pending, until `apply_order_cancelled`."""
        order = self.get_order_with_client_id(client_id)
        if order is None:
            return False
        order.cancel_acked()
        return True

    def apply_cancel_order_reject(self, client_id: ClientId) -> bool:
        order = self.get_order_with_client_id(client_id)
        if order is None:
            return False
        order.cancel_rejected()
        self._cancel_all.discard(order.get_client_id())
        return True

    def apply_cancel_all_ack(self, instrument_id: int | str | None = None) -> bool:
        """The request is accepted; it stays pending until the orders themselves are reported cancelled. Whether a
        cancel-all was pending."""
        return self.is_cancel_all_pending()

    def apply_cancel_all_reject(self, instrument_id: int | str | None = None) -> bool:
        """The request is refused: the orders (of the instrument) stay as they were. Whether any was pending."""
        refused = _of_instrument((self._open[client_id] for client_id in sorted(self._cancel_all)), instrument_id)
        for order in refused:
            order.cancel_rejected()
            self._cancel_all.discard(order.get_client_id())
        return bool(refused)

    def apply_order_execution(
        self, client_id: ClientId, fill_qty: QtyLike, nullable_leaves_qty: QtyLike | None = None
    ) -> bool | None:
        """Count a fill. None when the order is unknown, else whether it is fully executed. Without
        `nullable_leaves_qty` what is left is computed."""
        order = self.get_order_with_client_id(client_id)
        if order is None:
            return None
        leaves = None if nullable_leaves_qty is None else _qty(nullable_leaves_qty)
        fully = order.executed(_qty(fill_qty), leaves)
        self._file(order)
        return fully

    def apply_order_cancelled(self, client_id: ClientId) -> bool:
        order = self.get_order_with_client_id(client_id)
        if order is None:
            return False
        order.cancelled()
        self._file(order)
        return True

    def _new_client_id(self) -> str:
        while True:
            self._made += 1
            number = self._made
            client_id = f"{self._prefix}{number:09d}" if self._first is None else str(self._first + number)
            if client_id not in self._open and client_id not in self._finished:
                return client_id

    def _file(self, order: Order) -> None:
        """Put the order where its state says: among the open or among the finished."""
        client_id = order.get_client_id()
        if order.is_open():
            self._finished.pop(client_id, None)
            self._open[client_id] = order
            return
        self._open.pop(client_id, None)
        self._cancel_all.discard(client_id)
        self._finished[client_id] = order
        if len(self._finished) > REMEMBERED:
            del self._finished[next(iter(self._finished))]


def _of_instrument(orders: Iterable[Order], instrument_id: int | str | None) -> list[Order]:
    return [order for order in orders if instrument_id is None or order.get_instrument_id() == instrument_id]


def _price(value: PriceLike | None) -> Price | None:
    return value if value is None or isinstance(value, Price) else Price(value)


def _qty(value: QtyLike) -> Qty:
    return value if isinstance(value, Qty) else Qty(value)
