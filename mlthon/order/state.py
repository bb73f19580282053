"""The life of an order as a table: state x event -> state.

Who uses it: `OrderMgr` for strategies, the engine's tracker, and the embedded exchange. The states are those of
`OrderStatus`. That a cancel or a modification is on its way is no state of the order: an order that waits for the
answer to a cancel can still be filled, modified by an earlier request, or have a fill overtake the answer. Two flags
beside the state say so (see `Order`), so the table stays the size that it is.

What the table says, in words:

- A request that went unanswered (`TimedOut`) leaves the order `Unknown`, never rejected and never cancelled. Only an
  answer brings it out: a late acknowledgement, a full fill, a cancellation, or the `Resolved...` events, which are the
  exchange's answers when asked. A partial fill does not: it says that the order lived, not that it still does.
- Fills may overtake everything: they are accepted before the acknowledgement and after the end. A fill of an order
  that was rejected contradicts what is known, so its state is `Unknown`; a partial fill of a cancelled order was on
  its way when the order was cancelled, which stays so.
- What an exchange says twice or too late changes nothing, except that a rejection of an order that has traded is a
  contradiction, hence `Unknown`.
- Requests of our own in a state that has none (cancelling what is finished, sending twice) are mistakes of the caller:
  `IllegalTransition`.

`python -m mlthon.order.state` writes `docs/order-states.md` from the table.
"""

import sys
from pathlib import Path
from typing import Final

from mlthon.basics.defs import OrderStatus
from mlthon.basics.mlt_enum import MltEnum


class OrderEvent(MltEnum):
    """What can happen to an order. `Requested` events are ours, the others are the exchange's."""

    Sent = 0
    """The new order went out."""
    Acked = 1
    """Accepted and working."""
    AckedUntriggered = 2
    """Accepted, waiting for its stop price."""
    Triggered = 3
    """The stop price was reached: working from now on."""
    Rejected = 4
    Filled = 5
    """A fill that leaves something."""
    FullyFilled = 6
    CancelRequested = 7
    CancelAcked = 8
    """The cancel request was accepted; `Cancelled` follows."""
    CancelRejected = 9
    ModifyRequested = 10
    ModifyAcked = 11
    ModifyRejected = 12
    Cancelled = 13
    TimedOut = 14
    """A request of any kind went without an answer."""
    ResolvedNew = 15
    """Asked, the exchange says: working, nothing filled."""
    ResolvedUntriggered = 16
    ResolvedPartiallyFilled = 17
    ResolvedFilled = 18
    ResolvedCancelled = 19
    ResolvedRejected = 20
    """Asked, the exchange says: rejected, or never heard of (and it is too late for it to arrive)."""


RESOLVED: Final = {
    OrderStatus.New: OrderEvent.ResolvedNew,
    OrderStatus.Untriggered: OrderEvent.ResolvedUntriggered,
    OrderStatus.PartiallyFilled: OrderEvent.ResolvedPartiallyFilled,
}
"""What it is when an order that was unknown turns out to be open in this state."""


class IllegalTransition(ValueError):
    """An event that cannot happen to an order in its state."""


_S = OrderStatus
_E = OrderEvent

_LATE: Final = {
    # What changes nothing wherever an order can be when it arrives.
    _E.Acked: None,
    _E.AckedUntriggered: None,
    _E.Triggered: None,
    _E.CancelAcked: None,
    _E.CancelRejected: None,
    _E.ModifyAcked: None,
    _E.ModifyRejected: None,
    _E.ResolvedNew: None,
    _E.ResolvedUntriggered: None,
    _E.ResolvedPartiallyFilled: None,
    _E.ResolvedFilled: None,
    _E.ResolvedCancelled: None,
    _E.ResolvedRejected: None,
}
_REQUESTS: Final = {_E.CancelRequested: None, _E.ModifyRequested: None}
_ALIVE: Final = {
    **_LATE,
    **_REQUESTS,
    _E.Filled: _S.PartiallyFilled,
    _E.FullyFilled: _S.Filled,
    _E.Cancelled: _S.Cancelled,
    _E.Rejected: _S.Rejected,
    _E.TimedOut: _S.Unknown,
}
_RESOLVED: Final = {
    _E.ResolvedNew: _S.New,
    _E.ResolvedUntriggered: _S.Untriggered,
    _E.ResolvedPartiallyFilled: _S.PartiallyFilled,
    _E.ResolvedFilled: _S.Filled,
    _E.ResolvedCancelled: _S.Cancelled,
    _E.ResolvedRejected: _S.Rejected,
}
_OVER: Final = {**_LATE, _E.Cancelled: None, _E.TimedOut: None, _E.FullyFilled: _S.Filled}

# State -> event -> next state; None stands for the state itself, an absent event is illegal.
_RULES: Final[dict[OrderStatus, dict[OrderEvent, OrderStatus | None]]] = {
    _S.Unset: {_E.Sent: _S.PendingNew},
    _S.PendingNew: {**_ALIVE, **_RESOLVED, _E.Acked: _S.New, _E.AckedUntriggered: _S.Untriggered, _E.Triggered: _S.New},
    _S.Untriggered: {**_ALIVE, _E.Triggered: _S.New},
    _S.New: _ALIVE,
    _S.PartiallyFilled: {**_ALIVE, _E.Rejected: _S.Unknown},
    _S.Unknown: {
        **_ALIVE,
        **_RESOLVED,
        _E.Acked: _S.New,
        _E.AckedUntriggered: _S.Untriggered,
        _E.Triggered: _S.New,
        _E.Filled: None,
    },
    _S.Filled: {**_OVER, _E.Filled: None, _E.Rejected: None},
    _S.Cancelled: {**_OVER, _E.Filled: None, _E.Rejected: None},
    _S.Rejected: {**_OVER, _E.Filled: _S.Unknown, _E.Rejected: None},
}

TRANSITIONS: Final[dict[tuple[OrderStatus, OrderEvent], OrderStatus]] = {
    (state, event): after or state for state, rules in _RULES.items() for event, after in rules.items()
}
"""(state, event) -> next state; what is absent is illegal."""

_TABLE: Final = tuple(
    tuple(TRANSITIONS.get((state, event)) for event in OrderEvent)
    for state in sorted(OrderStatus, key=lambda status: int(status.value))
)

TERMINAL: Final = frozenset({_S.Filled, _S.Cancelled, _S.Rejected})
"""The states of orders that are finished; a fill that comes after the end may still change them."""


def next_state(state: OrderStatus, event: OrderEvent) -> OrderStatus:
    """The state after the event. Raises IllegalTransition."""
    after = _TABLE[state._value_][event._value_]
    if after is None:
        raise IllegalTransition(f"{event.name} cannot happen to an order that is {state.name}")
    return after


def is_open(state: OrderStatus) -> bool:
    """Sent and not finished: it may still be filled."""
    return state not in TERMINAL and state is not _S.Unset


# The documentation


def document() -> str:
    """`docs/order-states.md`: the table as a diagram and as a table."""
    return "\n".join([*_HEAD, *_diagram(), "```", "", "## The whole table", "", *_grid(), ""])


_HEAD: Final = (
    "# Order states",
    "",
    "Generated from the table in `mlthon/order/state.py` by `python -m mlthon.order.state`; do not edit.",
    "",
    "Cancels and modifications under way are two flags beside the state: set by `CancelRequested` and",
    "`ModifyRequested`, cleared by the answer (a rejection, `ModifyAcked`, `Cancelled`) and by the end of the order.",
    "",
    "```mermaid",
    "stateDiagram-v2",
    "    [*] --> PendingNew: Sent",
)


def _diagram() -> list[str]:
    edges: dict[tuple[str, str], list[str]] = {}
    for (state, event), after in TRANSITIONS.items():
        if state is not after and state is not _S.Unset:
            edges.setdefault((state.name, after.name), []).append(event.name)
    lines = [f"    {before} --> {after}: {', '.join(sorted(names))}" for (before, after), names in edges.items()]
    return lines + [f"    {state.name} --> [*]" for state in OrderStatus if state in TERMINAL]


def _grid() -> list[str]:
    states = [state for state in OrderStatus if state is not _S.Unset]
    lines = [
        "`=`: stays as it is. Empty: a mistake of the caller (`IllegalTransition`). `Unset` knows `Sent` alone.",
        "",
        f"| event | {' | '.join(state.name for state in states)} |",
        f"|---|{'---|' * len(states)}",
    ]
    return lines + [f"| {event.name} | {' | '.join(_cell(state, event) for state in states)} |" for event in OrderEvent]


def _cell(state: OrderStatus, event: OrderEvent) -> str:
    after = TRANSITIONS.get((state, event))
    if after is None:
        return ""
    return "=" if after is state else after.name


def main(arguments: list[str]) -> None:
    """Write the page to the file named in `arguments`, or to `docs/order-states.md` of this checkout."""
    page = Path(arguments[0]) if arguments else Path(__file__).parents[2] / "docs" / "order-states.md"
    page.write_text(document(), encoding="utf-8")
    print(f"wrote {page}")


if __name__ == "__main__":
    main(sys.argv[1:])
