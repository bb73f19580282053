"""The tap that tells venues what strategies are not told: execution id, fee, the exchange's time.

A tap hears of an event just before the strategy does; so what it heard last is what a venue's next callback is about.
"""

from typing import TYPE_CHECKING, Any

from mlthon.engine.tracker import TrackedOrder

if TYPE_CHECKING:
    from mlthon.engine.session import Session
    from mlthon.link.host.venue import VenueStrategy


class LinkFlow:
    """One run's. Implements `OrderFlowTap`."""

    kinds = frozenset({"ack", "modify_ack", "cancelled", "fill"})

    def __init__(self) -> None:
        self._venues: dict[Session, VenueStrategy] = {}

    def add(self, session: "Session", venue: "VenueStrategy") -> None:
        """The orders of `session` are the venue's."""
        self._venues[session] = venue

    def record(self, ts: int, kind: str, order: TrackedOrder | None, detail: tuple[Any, ...]) -> None:
        if order is None:
            return
        venue = self._venues.get(order.session)
        if venue is not None:
            venue.noted = (order, detail)
