"""Those who only watch: receivers that see every request and every order event, in order.

A tap never answers and never changes anything. The digest, the tally and the report of a run are taps.
"""

import hashlib
from typing import Any, Protocol

from mlthon.engine.tracker import TrackedOrder


class OrderFlowTap(Protocol):
    def record(self, ts: int, kind: str, order: TrackedOrder | None, detail: tuple[Any, ...]) -> None:
        """`kind` is one of: requests `new modify cancel cancel_all`; events `ack reject modify_ack modify_reject
        cancel_ack cancel_reject cancel_all_ack cancel_all_reject cancelled fill`. `order` is None where a request
        could not be turned into an order. `detail` of a fill is
        `(exec_id, price, qty, leaves, fee, fee_coin, maker, exec_ts)`."""


class Digest:
    """SHA-256 over the order flow, event by event, and over market data, chunk by chunk."""

    def __init__(self) -> None:
        self.sha = hashlib.sha256()

    def record(self, ts: int, kind: str, order: TrackedOrder | None, detail: tuple[Any, ...]) -> None:
        who = "" if order is None else f"{order.session.name} {order.client_id} {order.wire_id}"
        self.sha.update(f"{ts} {kind} {who} {detail!r}\n".encode())

    def hexdigest(self) -> str:
        return self.sha.hexdigest()


class Tally:
    """Counts of what happened, for progress and summaries."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = dict.fromkeys(
            (
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
                "fill",
            ),
            0,
        )

    def record(self, ts: int, kind: str, order: TrackedOrder | None, detail: tuple[Any, ...]) -> None:
        self.counts[kind] += 1
