"""What becomes of the cancels of one venue: of its own orders, and of all open orders of its account.

The documentation's three rules of `cancel_order` are about the account: what another bot sent, somebody by hand, or a
run before this one is cancelled too. The venue's own orders go its own way, at once; those of other strategies of this
run are cancelled through the port, whose owners are told of the end as of any; those that nobody here sent are the
desk's (`AccountDesk.cancel_strange`). A call is answered when all of it is over, and fails if an order stays open.
"""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

from attrs import frozen

from mlthon.basics.defs import GtwRejectCode
from mlthon.engine.tracker import TrackedOrder
from mlthon.link.host.desk import OpenOrder, Others
from mlthon.link.host.listing import Listing

if TYPE_CHECKING:
    from mlthon.link.host.venue import VenueStrategy

_OVER: Final = frozenset({GtwRejectCode.UnknownOrder, GtwRejectCode.OrderNotOpen})
"""Why a cancel is refused that comes too late: the order is over, as was wanted."""


class Waiting:
    """Who waits for the outcome of a request: one of the two is called, once."""

    __slots__ = ("_done", "_failed")

    def __init__(self, done: Callable[[Any], None], failed: Callable[[GtwRejectCode, str], None]) -> None:
        self._done: Callable[[Any], None] | None = done
        self._failed = failed

    def done(self, outcome: Any) -> None:
        done, self._done = self._done, None
        if done is not None:
            done(outcome)

    def failed(self, code: GtwRejectCode, reason: str) -> None:
        if self._done is not None:
            self._done = None
            self._failed(code, reason)


@frozen
class Gone:
    """An order that a cancel ended (or that had ended by then), and when (ns)."""

    order: TrackedOrder | OpenOrder
    ts: int

    @property
    def order_id(self) -> str:
        """The exchange's id of it."""
        return _id_of(self.order)


class _Group:
    """The cancels of one call: when each order was over, None while it is open. `strict`: a cancel that comes too late
    fails the call too. `refused`: why an order stays open. `strange`: those gone that nobody here had sent. `asking`:
    what there is to cancel is not known yet."""

    __slots__ = ("asking", "outcomes", "refused", "strange", "strict", "waiting")

    def __init__(self, waiting: Waiting, orders: Iterable[TrackedOrder], *, strict: bool) -> None:
        self.waiting = waiting
        self.refused: tuple[GtwRejectCode, str] | None = None
        self.outcomes: dict[TrackedOrder, int | None] = dict.fromkeys(orders)
        self.strange: list[Gone] = []
        self.strict = strict
        self.asking = False


class Cancels:
    """Those of one venue; see the module."""

    def __init__(self, venue: "VenueStrategy") -> None:
        self._venue = venue
        self._groups: list[_Group] = []

    @property
    def under_way(self) -> int:
        """How many calls wait for theirs."""
        return len(self._groups)

    # -- requests ----------------------------------------------------------------------------------------------------

    def own(self, orders: Iterable[TrackedOrder], waiting: Waiting, *, strict: bool) -> None:
        """As of `VenueStrategy.cancel`."""
        self._send(_Group(waiting, orders, strict=strict))

    def every(self, listing: Listing | None, waiting: Waiting, side: int | None) -> None:
        """As of `VenueStrategy.cancel_account`."""
        own = [each for each in self._venue.open_orders(listing) if side in (None, each.side)]
        group = _Group(waiting, own, strict=False)
        self._ask_others(group, listing, lambda order: side in (None, order.side), "")
        self._send(group)

    def one(self, order_id: str, waiting: Waiting) -> None:
        """As of `VenueStrategy.cancel_one`."""
        own = self._venue.order(order_id)
        if own is not None and own.is_open:
            self.own([own], waiting, strict=True)
            return
        group = _Group(waiting, (), strict=True)
        self._groups.append(group)
        missing = f"the order {order_id!r} is not open on {self._venue.name}"
        self._ask_others(group, None, lambda order: _id_of(order) == order_id, missing)

    def _send(self, group: _Group) -> None:
        venue = self._venue
        self._groups.append(group)
        for order in list(group.outcomes):
            venue.env.send_cancel_order(venue.exchange, order.instrument.number, order.client_id)

    def _ask_others(
        self, group: _Group, listing: Listing | None, wanted: Callable[[TrackedOrder | OpenOrder], bool], missing: str
    ) -> None:
        """Find and cancel the orders of the group that the venue did not send. `missing`: what a strict one is told of
        none."""
        venue = self._venue
        group.asking = True

        def found(others: Others) -> None:
            tracked = [each for each in others.tracked if self._is_meant(each, wanted)]
            strange = [each for each in others.strange if self._is_meant(each, wanted)]
            for order in tracked:
                group.outcomes[order] = None
                venue.watch(order, venue)
                venue.port.cancel_for_account(order)
            if strange:
                venue.desk.cancel_strange(venue, strange, lambda: over(strange), failed)
            elif group.strict and not tracked:
                failed(GtwRejectCode.UnknownOrder, missing)
            elif not group.outcomes:
                venue.desk.ask(lambda: over(()), failed)
            else:
                over(())

        def over(strange: Iterable[OpenOrder]) -> None:
            group.strange += [Gone(each, venue.clock.now) for each in strange]
            group.asking = False
            self._look_at(group)

        def failed(code: GtwRejectCode, reason: str) -> None:
            group.refused = (code, reason)
            over(())

        venue.desk.others(venue, None if listing is None else listing.instrument, found, failed)

    def _is_meant(self, order: Any, wanted: Callable[[TrackedOrder | OpenOrder], bool]) -> bool:
        return self._venue.listing_of(order.instrument) is not None and wanted(order)

    # -- outcomes ----------------------------------------------------------------------------------------------------

    def refused(self, order: TrackedOrder, code: GtwRejectCode, reason: str) -> None:
        """The cancel of an order was refused: it is about the first call that waits for it."""
        for group in list(self._groups):
            if order not in group.outcomes or group.outcomes[order] is not None:
                continue
            del group.outcomes[order]
            if group.strict or code not in _OVER:
                group.refused = (code, reason)
            self._look_at(group)
            return

    def settled(self, order: TrackedOrder, ts: int, filled: bool) -> None:
        """An order is over. The cancel of a single one that was filled is still to be refused."""
        for group in list(self._groups):
            if order not in group.outcomes or group.outcomes[order] is not None:
                continue
            if filled and group.strict and order.session is not self._venue.session:
                self.refused(order, GtwRejectCode.OrderNotOpen, "the order is over: it was filled")
            elif not (filled and group.strict):
                group.outcomes[order] = ts
                self._look_at(group)

    def _look_at(self, group: _Group) -> None:
        gone = [Gone(order, ts) for order, ts in group.outcomes.items() if ts is not None]
        if group.asking or len(gone) != len(group.outcomes) or group not in self._groups:
            return
        self._groups.remove(group)
        if group.refused is None:
            group.waiting.done(gone + group.strange)
        else:
            group.waiting.failed(*group.refused)


def _id_of(order: TrackedOrder | OpenOrder) -> str:
    """The exchange's id of an order."""
    return order.exchange_id if isinstance(order, TrackedOrder) else order.order_id
