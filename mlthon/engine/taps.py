"""Those who only watch: receivers that see every request and every order event, in order.

A tap never answers and never changes anything. The digest, the tally and the report of a run are taps. One that has
an attribute `kinds` (a set of names) hears of these kinds alone.
"""

import hashlib
from typing import Any, Final, Protocol

from mlthon.engine.tracker import TrackedOrder

KINDS: Final = (
    "new",
    "modify",
    "cancel",
    "cancel_all",
    "ack",
    "reject",
    "modify_ack",
    "modify_reject",
    "cancel_ack",
    "cancel_reject",
    "cancel_all_ack",
    "cancel_all_reject",
    "cancelled",
    "unknown",
    "fill",
)
"""What a tap can hear of: requests first, then events."""


class OrderFlowTap(Protocol):
    def record(self, ts: int, kind: str, order: TrackedOrder | None, detail: tuple[Any, ...]) -> None:
        """`kind` is one of `KINDS`. `order` is None where a request could not be turned into an order. `detail` of a
        new order is empty, because the order says it all; of a fill it is
        `(exec_id, price, qty, leaves, fee, fee_coin, maker, exec_ts)`."""


class Digest:
    """SHA-256 over the order flow, event by event, and over market data, chunk by chunk.

    They are hashed apart and joined at the end: in one stream the digest would depend on where the chunks are cut.
    `market` takes the market data.
    """

    def __init__(self) -> None:
        self.market = hashlib.sha256()
        self._flow = hashlib.sha256()

    def record(self, ts: int, kind: str, order: TrackedOrder | None, detail: tuple[Any, ...]) -> None:
        who = "" if order is None else f"{order.session.name} {order.client_id} {order.wire_id}"
        if kind == "new" and order is not None:
            detail = (
                order.instrument.name,
                order.side,
                order.order_type.name,
                order.tif.name,
                order.exec_instr.name,
                order.price,
                order.qty,
                order.stop_price,
                order.close_position,
            )
        self._flow.update(f"{ts} {kind} {who} {detail!r}\n".encode())

    def hexdigest(self) -> str:
        return hashlib.sha256(self.market.digest() + self._flow.digest()).hexdigest()


class Tally:
    """Counts of what happened, for progress and summaries."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = dict.fromkeys(KINDS, 0)

    def record(self, ts: int, kind: str, order: TrackedOrder | None, detail: tuple[Any, ...]) -> None:
        self.counts[kind] += 1
