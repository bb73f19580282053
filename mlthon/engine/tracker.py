"""The orders of this installation, by the id that went over the wire.

A strategy chooses its own client order ids, and two strategies may both count from 1; what an exchange sees is a wire
id made here, unique in the installation. The tracker holds each order from before its request is sent until long after
its end, because a fill may arrive when the order was thought to be over: until 10,000 others have ended since. So
memory does not grow with the length of a run, but for the client ids themselves, which may not be used again.
"""

import re
from collections import deque
from typing import TYPE_CHECKING, Final

from mlthon.basics.defs import TIF, ExecInstructions, OrderStatus, OrderType
from mlthon.order.state import TERMINAL

if TYPE_CHECKING:
    from mlthon.basics.instrument import Instrument
    from mlthon.engine.session import Session


KEPT: Final = 10_000
"""How many orders that are over are remembered."""
DIGITS36: Final = "0123456789abcdefghijklmnopqrstuvwxyz"
_INSTALLATION: Final = re.compile("([0-9a-z]{4})?")

# Bound to names of their own because looking a member up in its class is slow in Python 3.11.
_PENDING: Final = OrderStatus.PendingNew


class TrackedOrder:
    """One order of one strategy. Prices in ticks (0 for a market order), quantities in lots, side +1 or -1. `cancels`:
    the cancels under way, first sent first, each with the cancel-all that it is part of; answers come in that order."""

    __slots__ = (
        "account",
        "cancels",
        "client_id",
        "close_position",
        "created_ts",
        "exchange_id",
        "exec_instr",
        "filled",
        "instrument",
        "leaves",
        "order_type",
        "price",
        "qty",
        "session",
        "side",
        "state",
        "stop_price",
        "tif",
        "wire_id",
    )

    def __init__(
        self,
        wire_id: str,
        client_id: str,
        session: "Session",
        account: str,
        instrument: "Instrument",
        side: int,
        order_type: OrderType,
        tif: TIF,
        exec_instr: ExecInstructions,
        price: int,
        qty: int,
        stop_price: int | None,
        close_position: bool,
        created_ts: int,
    ) -> None:
        self.wire_id = wire_id
        self.client_id = client_id
        self.session = session
        self.account = account
        self.instrument = instrument
        self.side = side
        self.order_type = order_type
        self.tif = tif
        self.exec_instr = exec_instr
        self.price = price
        self.qty = qty
        self.stop_price = stop_price
        self.close_position = close_position
        self.created_ts = created_ts
        self.leaves = qty
        self.filled = 0
        self.exchange_id = ""
        self.state = _PENDING
        self.cancels: list[CancelAll | None] = []

    @property
    def is_open(self) -> bool:
        """Whether the order may still trade, as far as is known here."""
        return self.state not in TERMINAL

    @property
    def is_foreign(self) -> bool:
        """Whether nobody here sent it: its session knows nothing of it."""
        return self.session.orders.get(self.client_id) is not self

    def __repr__(self) -> str:
        side = "buy" if self.side > 0 else "sell"
        return f"<order {self.wire_id} {side} {self.leaves}/{self.qty} @ {self.price} {self.state.name}>"


class CancelAll:
    """A cancel-all that went out as one cancel an order, because others share the account; the first acknowledgement
    answers for all, and if every one is refused the whole is."""

    __slots__ = ("acknowledged", "instrument", "waiting")

    def __init__(self, instrument: "Instrument", waiting: int) -> None:
        self.instrument = instrument
        self.waiting = waiting
        self.acknowledged = False


class Tracker:
    """Every order by wire id, and the maker of wire ids.

    `run` makes the ids of one run of one installation different from every other run's, `installation` (four letters or
    digits that a journal chose) those of one installation from another's on the same account.
    """

    def __init__(self, run: int = 0, installation: str = "") -> None:
        self.orders: dict[str, TrackedOrder] = {}
        self._ended: deque[TrackedOrder] = deque()
        if not _INSTALLATION.fullmatch(installation):
            raise ValueError(f"{installation!r} is no installation id: four lower-case letters or digits")
        self._prefix = f"m{installation}{_base36(run) if installation else run}-"
        runs = "[0-9a-z]+" if installation else str(run)
        self._ours = re.compile(f"m{installation}{runs}-[0-9]+")
        self._count = 0

    def ended(self, order: TrackedOrder) -> None:
        """An order is over, as far as is known: tell its session, and forget the one that ended 10,000 ends ago."""
        order.session.closed(order)
        self._ended.append(order)
        if len(self._ended) > KEPT:
            old = self._ended.popleft()
            if not old.is_open:
                self.orders.pop(old.wire_id, None)
                old.session.forget(old)

    def next_wire_id(self) -> str:
        """A new id: letters, digits and a hyphen, well under the 36 characters that exchanges allow."""
        self._count += 1
        return f"{self._prefix}{self._count}"

    def is_ours(self, wire_id: str) -> bool:
        """Whether this installation made the id, in this run or an earlier one (without an installation: this run)."""
        return self._ours.fullmatch(wire_id) is not None


def _base36(number: int) -> str:
    digits = ""
    while number or not digits:
        number, digit = divmod(number, 36)
        digits = DIGITS36[digit] + digits
    return digits
