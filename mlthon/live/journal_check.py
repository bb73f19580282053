"""Whether a journal agrees with itself: its events, gone through anew, must lead to the orders and fills it holds.

Every event belongs to an order that was sent before (or that somebody else sent: `foreign`), every step is one that
the table of order states knows, every fill is there once, and quantities add up.
"""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any, Final

from mlthon.basics.defs import OrderStatus
from mlthon.live.journal_store import JournalReader, detail_of
from mlthon.order.state import TERMINAL, IllegalTransition, OrderEvent, next_state

OrderKey = tuple[str, str, str]
"""Exchange, account, wire id."""

_MOVES: Final = {
    "reject": OrderEvent.Rejected,
    "unknown": OrderEvent.TimedOut,
    "cancelled": OrderEvent.Cancelled,
}
_BEGINNINGS: Final = ("new", "foreign")
_LEAVES: Final = 3
"""Where in the details of a fill the leaves stand."""


def check(journal: JournalReader) -> Iterator[str]:
    """Everything that is wrong, in words; nothing where the journal agrees with itself."""
    for table, row, parent, _ in journal.rows("PRAGMA foreign_key_check"):
        yield f"{table}, row {row}: it names something that {parent} has not"
    orders = _orders(journal)
    yield from _fills(journal, orders)
    yield from _quantities(orders)
    yield from _histories(journal, orders)


def _orders(journal: JournalReader) -> dict[OrderKey, dict[str, Any]]:
    names = ("state", "qty", "leaves", "filled", "is_over", "stop_price")
    rows = journal.rows(f"SELECT exchange, account, wire_id, {', '.join(names)} FROM orders")
    return {row[:3]: dict(zip(names, row[3:], strict=True)) for row in rows}


def _told(key: OrderKey) -> str:
    exchange, account, wire_id = key
    return f"{exchange} {account}: order {wire_id}"


def _fills(journal: JournalReader, orders: dict[OrderKey, dict[str, Any]]) -> Iterator[str]:
    sums: dict[OrderKey, int] = defaultdict(int)
    for exchange, account, wire_id, exec_id, qty in journal.rows(
        "SELECT exchange, account, wire_id, exec_id, qty FROM fills ORDER BY ts, exec_id"
    ):
        key = (exchange, account, wire_id)
        if key not in orders:
            yield f"{exchange} {account}: fill {exec_id} belongs to order {wire_id}, which is not there"
        if qty <= 0:
            yield f"{_told(key)}: fill {exec_id} is of {qty} lots"
        sums[key] += qty
    for key, order in orders.items():
        if sums[key] != order["filled"]:
            yield f"{_told(key)}: its fills add up to {sums[key]} lots, it is said to have {order['filled']}"


def _quantities(orders: dict[OrderKey, dict[str, Any]]) -> Iterator[str]:
    for key, order in orders.items():
        state, qty, leaves, filled = order["state"], order["qty"], order["leaves"], order["filled"]
        if state not in OrderStatus.__members__:
            yield f"{_told(key)}: there is no state {state!r}"
            continue
        over = OrderStatus[state] in TERMINAL
        if over is not bool(order["is_over"]):
            yield f"{_told(key)}: {state}, but marked as {'over' if order['is_over'] else 'open'}"
        if filled > qty:
            yield f"{_told(key)}: {filled} lots filled of {qty}"
        wanted = 0 if over else qty - filled
        if leaves != wanted and state != OrderStatus.Unknown.name:
            yield f"{_told(key)}: {state} with {leaves} lots left, where {wanted} should be"


def _histories(journal: JournalReader, orders: dict[OrderKey, dict[str, Any]]) -> Iterator[str]:
    states: dict[OrderKey, OrderStatus] = {}
    seen: set[tuple[OrderKey, str]] = set()
    last = 0
    for seq, exchange, account, kind, wire_id, blob in journal.rows(
        "SELECT seq, exchange, account, kind, wire_id, detail FROM events ORDER BY seq"
    ):
        if seq != last + 1:
            yield f"events {last + 1} to {seq - 1} are missing"
        last = seq
        key = (exchange, account, wire_id)
        if not wire_id:
            continue
        if kind in _BEGINNINGS:
            if key in states:
                yield f"event {seq}: {_told(key)} was sent twice"
            states.setdefault(key, OrderStatus.PendingNew)
            continue
        state = states.get(key)
        if state is None:
            yield f"event {seq}: {kind} of an order that was never sent: {_told(key)}"
            continue
        detail = detail_of(blob)
        if kind == "fill":
            if (key, detail[0]) in seen:
                yield f"event {seq}: {_told(key)}: execution {detail[0]} came twice"
            seen.add((key, detail[0]))
        event = _event(kind, detail, orders.get(key))
        if event is None:
            continue
        try:
            states[key] = next_state(state, event)
        except IllegalTransition as error:
            yield f"event {seq}: {_told(key)}: {error}"
    yield from _ends(states, orders)


def _event(kind: str, detail: list[Any], order: dict[str, Any] | None) -> OrderEvent | None:
    """What an entry does to its order's state; None: nothing."""
    if kind == "ack":
        waits = order is not None and order["stop_price"] is not None
        return OrderEvent.AckedUntriggered if waits else OrderEvent.Acked
    if kind == "fill":
        return OrderEvent.Filled if detail[_LEAVES] else OrderEvent.FullyFilled
    if kind == "resolved":
        return OrderEvent[f"Resolved{detail[0]}"]
    return _MOVES.get(kind)


def _ends(states: dict[OrderKey, OrderStatus], orders: dict[OrderKey, dict[str, Any]]) -> Iterator[str]:
    for key in orders.keys() - states.keys():
        yield f"{_told(key)}: no event says that it was sent"
    for key, state in states.items():
        if key not in orders:
            yield f"{_told(key)}: its events are there, the order is not"
        elif orders[key]["state"] != state.name:
            yield f"{_told(key)}: {orders[key]['state']}, but its events say {state.name}"
