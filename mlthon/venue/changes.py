"""Modifications and cancels under way: each is answered once, by its reply or by what shows what became of it.

An order has one modification under way at a time. Two requests may overtake one another on their way, and so may their
answers: which of two was carried out last, or at all, could not be told from what the order looks like. So the next one
waits for the answer to the one before it; who sends it hears of that by `on_modified`.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from mlthon.basics.defs import GtwRejectCode
from mlthon.engine.clock import Clock
from mlthon.venue.booked_order import Amendment, BookedOrder, Cancellation

if TYPE_CHECKING:
    from mlthon.engine.faces import OrderEvents


UNANSWERED: Final = "a request before it went unanswered, and nobody knows yet how the order stands"


class Changes:
    """Those of one account. `events` hears of the answers; `note(order, what)` of what is told about orders;
    `on_modified` of an order whose modification has been answered."""

    def __init__(self, events: "OrderEvents", clock: Clock, note: Callable[[BookedOrder, str], None]) -> None:
        self._events = events
        self._clock = clock
        self._note = note
        self.on_modified: Callable[[BookedOrder], None] | None = None

    def modifying(self, booked: BookedOrder, price: int | None, qty: int | None) -> Amendment:
        """A modification is about to be sent. Raises RuntimeError while one is under way."""
        if booked.amendment is not None:
            raise RuntimeError(f"order {booked.wire_id} has a modification under way")
        booked.amendment = amendment = Amendment(booked, price, qty, self._clock.now)
        return amendment

    def cancelling(
        self, booked: BookedOrder, told: "Callable[[tuple[GtwRejectCode, str] | None], None] | None" = None
    ) -> Cancellation:
        """A cancel is about to be sent."""
        cancellation = Cancellation(booked, told, self._clock.now)
        booked.cancel_asked = True
        booked.cancellations.append(cancellation)
        return cancellation

    def amended(self, amendment: Amendment) -> None:
        """The exchange has taken the modification. One that changes nothing any more is acknowledged too: each request
        has one answer."""
        if not amendment.done:
            booked = amendment.order
            self.amend(booked, *booked.changes_of(amendment, self._clock.now), amendment)

    def amend(self, booked: BookedOrder, price: int | None, qty: int | None, answered: Amendment | None) -> None:
        """The order is like this now; `answered`: the modification that this answers, None where nobody asked."""
        if price is not None:
            booked.price = price
        if qty is not None:
            booked.qty = qty
        if answered is not None:
            self._answered(answered)
        self._note(booked, "modified")
        self._events.modify_order_ack(booked.wire_id, price, qty, booked.leaves)

    def amendment_refused(self, amendment: Amendment, code: GtwRejectCode, reason: str) -> None:
        if not amendment.done:
            self._answered(amendment)
            self._events.modify_order_reject(amendment.order.wire_id, code, reason)

    def _answered(self, amendment: Amendment) -> None:
        amendment.done = True
        amendment.order.amendment = None
        if self.on_modified is not None:
            self._clock.call_soon(self.on_modified, amendment.order)

    def cancel_accepted(self, cancellation: Cancellation) -> None:
        """The exchange has taken the cancel; that the order is gone is another fact."""
        if self._take(cancellation):
            if cancellation.told is not None:
                cancellation.told(None)
            else:
                self._events.cancel_order_ack(cancellation.order.wire_id)

    def cancel_refused(self, cancellation: Cancellation, code: GtwRejectCode, reason: str) -> None:
        if self._take(cancellation):
            if cancellation.told is not None:
                cancellation.told((code, reason))
            else:
                self._events.cancel_order_reject(cancellation.order.wire_id, code, reason)

    def _take(self, cancellation: Cancellation) -> bool:
        if cancellation.done:
            return False
        cancellation.done = True
        cancellation.order.cancellations.remove(cancellation)
        return True

    def refuse_what_waits(self, booked: BookedOrder, code: GtwRejectCode, reason: str) -> None:
        """The order never was: nothing that was asked for can happen."""
        if booked.amendment is not None:
            self.amendment_refused(booked.amendment, code, reason)
        for cancellation in list(booked.cancellations):
            self.cancel_refused(cancellation, code, reason)
