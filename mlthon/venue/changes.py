"""Modifications and cancels under way: each is answered once, by its reply or by what shows what became of it."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from mlthon.basics.defs import GtwRejectCode
from mlthon.engine.clock import Clock
from mlthon.venue.booked_order import Amendment, BookedOrder, Cancellation

if TYPE_CHECKING:
    from mlthon.engine.faces import OrderEvents


class Changes:
    """Those of one account. `events` hears of the answers; `note(order, what)` of what is told about orders."""

    def __init__(self, events: "OrderEvents", clock: Clock, note: Callable[[BookedOrder, str], None]) -> None:
        self._events = events
        self._clock = clock
        self._note = note

    def modifying(self, booked: BookedOrder, price: int | None, qty: int | None) -> Amendment:
        """A modification is about to be sent."""
        amendment = Amendment(booked, price, qty, self._clock.now)
        booked.amendments.append(amendment)
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
        """The exchange has taken the modification, and with it those before it. One that changes nothing any more is
        acknowledged too: each request has one answer."""
        booked = amendment.order
        while not amendment.done and booked.amendments:
            first = booked.amendments[0]
            self.amend(booked, *booked.changes_of(first, self._clock.now), first)

    def amend(self, booked: BookedOrder, price: int | None, qty: int | None, answered: Amendment | None) -> None:
        """The order is like this now; `answered`: the modification that this answers, None where nobody asked."""
        if price is not None:
            booked.price = price
        if qty is not None:
            booked.qty = qty
        if answered is not None:
            answered.done = True
            booked.amendments.remove(answered)
        self._note(booked, "modified")
        self._events.modify_order_ack(booked.wire_id, price, qty, booked.leaves)

    def amendment_refused(self, amendment: Amendment, code: GtwRejectCode, reason: str) -> None:
        if not amendment.done:
            amendment.done = True
            amendment.order.amendments.remove(amendment)
            self._events.modify_order_reject(amendment.order.wire_id, code, reason)

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
        for amendment in list(booked.amendments):
            self.amendment_refused(amendment, code, reason)
        for cancellation in list(booked.cancellations):
            self.cancel_refused(cancellation, code, reason)
