"""The tap that tells venues what strategies are not told: execution id, fee, the exchange's time.

A tap hears of an event just before the strategy does; so what it heard last is what a venue's next callback is about.
It also tells a venue what becomes of orders of others that it cancels, and whatever happens to orders of others on its
account, because on the platform private events are the account's: those of other bots, fills of orders sent by hand,
liquidations.
"""

from typing import TYPE_CHECKING, Any

from mlthon.basics.defs import Exchange, GtwRejectCode
from mlthon.engine.tracker import TrackedOrder

if TYPE_CHECKING:
    from mlthon.engine.session import Session
    from mlthon.link.host.venue import VenueStrategy


class LinkFlow:
    """One run's. Implements `OrderFlowTap`."""

    kinds = frozenset({"ack", "modify_ack", "cancelled", "fill", "cancel_reject"})

    def __init__(self) -> None:
        self._venues: dict[Session, VenueStrategy] = {}
        self._watched: dict[TrackedOrder, list[VenueStrategy]] = {}
        self._accounts: dict[tuple[Exchange, str], list[VenueStrategy]] = {}

    def add(self, session: "Session", venue: "VenueStrategy") -> None:
        """The orders of `session` are the venue's."""
        self._venues[session] = venue
        self._accounts.setdefault((venue.exchange, venue.port.account), []).append(venue)

    def watch(self, order: TrackedOrder, venue: "VenueStrategy") -> None:
        """Tell the venue, once, that this order of another is over, or that it could not be cancelled."""
        self._watched.setdefault(order, []).append(venue)

    def record(self, ts: int, kind: str, order: TrackedOrder | None, detail: tuple[Any, ...]) -> None:
        if order is None:
            return
        if self._watched:
            self._tell(kind, order, detail)
        if kind != "cancel_reject":
            for each in self._accounts.get((order.instrument.venue, order.account), ()):
                if each.session is not order.session:
                    each.other_changed(kind, order, detail)
        venue = self._venues.get(order.session)
        if venue is not None and kind != "cancel_reject":
            venue.noted = (order, detail)

    def _tell(self, kind: str, order: TrackedOrder, detail: tuple[Any, ...]) -> None:
        if order not in self._watched:
            return
        if kind == "cancel_reject":
            code, reason = detail
            for venue in self._watched.pop(order):
                venue.clock.call_soon(venue.cancels.refused, order, GtwRejectCode[code], reason)
        elif kind == "cancelled" or (kind == "fill" and not order.leaves):
            for venue in self._watched.pop(order):
                venue.clock.call_soon(venue.cancels.settled, order, venue.clock.now, kind == "fill")
