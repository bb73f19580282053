"""What strategies are told in a simulated run, written down and checked while it happens."""

from collections import Counter
from collections.abc import Collection, Iterable
from typing import Any, Final

from mlthon.engine.tracker import TrackedOrder

ANSWERS: Final = {
    "modify_ack": "modify",
    "modify_reject": "modify",
    "cancel_ack": "cancel",
    "cancel_reject": "cancel",
}
ONCE: Final = {"ack": "ack", "cancelled": "end", "reject": "end"}
"""What an order is told once, by kind of event."""


class Watch:
    """The tap on the order flow: what was told, and what of it may never be."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.counts: Counter[str] = Counter()
        self.fills: dict[str, tuple[TrackedOrder, int]] = {}
        self.orders: dict[str, TrackedOrder] = {}
        self.asked: dict[str, int] = {}
        self._unanswered: Counter[tuple[str, str]] = Counter()
        self._once: set[tuple[str, str]] = set()
        self._new: set[str] = set()

    def record(self, ts: int, kind: str, order: TrackedOrder | None, detail: tuple[Any, ...]) -> None:
        self.counts[kind] += 1
        if order is None:
            return
        if kind in ("modify", "cancel"):
            self._unanswered[order.wire_id, kind] += 1
        elif kind in ANSWERS:
            self._unanswered[order.wire_id, ANSWERS[kind]] -= 1
        if kind == "new":
            self.orders[order.wire_id] = order
            self.asked[order.wire_id] = order.qty
        elif kind == "fill":
            exec_id, _, qty = detail[:3]
            if exec_id in self.fills:
                self.problems.append(f"fill {exec_id} of {order!r} was told twice")
            self.fills[exec_id] = order, qty
        elif kind in ONCE:
            what = ONCE[kind]
            if (order.wire_id, what) in self._once:
                self.problems.append(f"{order!r} was told its {what} twice ({kind})")
            self._once.add((order.wire_id, what))

    def forget(self, fills: Collection[str], events: Iterable[tuple[str, str]]) -> None:
        """A program died that had not written down everything yet. It had these fills and events (wire id, kind); what
        else was told in its life may be told again."""
        self.fills = {exec_id: told for exec_id, told in self.fills.items() if exec_id in fills}
        self._once &= {(wire_id, ONCE[kind]) for wire_id, kind in events if kind in ONCE}

    def unanswered(self) -> list[str]:
        """Requests that were never answered. A modification may have more answers than were asked for: a change of an
        order that nobody here asked for is told in the same way."""
        return [
            f"{count} x {kind} of {wire_id} went unanswered"
            for (wire_id, kind), count in self._unanswered.items()
            if count > 0
        ]

    def sent_new(self, wire_id: str) -> None:
        """A request for a new order left."""
        if wire_id in self._new:
            self.problems.append(f"the new order {wire_id} was sent twice")
        self._new.add(wire_id)
