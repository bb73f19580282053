"""What is known of an account's orders, and the events that follow from it, each once.

Facts come from streams and from answers, in any order, twice, late, or not at all; requests are answered over one way
while what they caused is told over another. An `AccountBook` merges all of it, order by order:

- An order is acknowledged once: by its reply, or by whatever proves that it was accepted. It ends once.
- An execution counts once by the exchange's own id, also after the order's end. What is left is the quantity less the
  executions; what an order fact says of it is a claim. If the claim is ahead, executions are missing: the end of the
  order waits for them, and after `grace_s` they are asked for (`fetch_executions`).
- An order fact that is older than one seen before changes nothing, but what it proves stays proved: that the order was
  accepted, how much had traded, that it is over. An answer without a time is older when the stream has spoken of the
  order since it was asked for.
- An order that is not known here is foreign: announced once, then its fills, and nothing else.
"""

import logging
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from mlthon.basics.defs import CancelCode, GtwRejectCode, OrderStatus
from mlthon.engine.clock import SECOND, Clock
from mlthon.order.state import TERMINAL
from mlthon.venue.booked_order import BookedOrder, End
from mlthon.venue.changes import Changes
from mlthon.venue.facts import ExecutionFact, OrderFact

if TYPE_CHECKING:
    from mlthon.basics.instrument import Instrument
    from mlthon.engine.faces import OrderEvents
    from mlthon.engine.tracker import TrackedOrder

log = logging.getLogger("mlthon.venue")

KEPT_ORDERS: Final = 20_000
"""How many orders that are over are remembered: more than the tracker does."""
KEPT_EXECUTIONS: Final = 200_000
"""How many execution ids are remembered: far more than trade in the time over which executions are fetched again."""
FETCHES: Final = 6
"""How often missing executions are asked for, each time after twice as long, before an order's end is told anyway."""


class AccountBook:
    """The orders of one account. `events` hears what happened; `fetch_executions` is asked for those of an order."""

    def __init__(
        self,
        events: "OrderEvents",
        clock: Clock,
        fetch_executions: Callable[[BookedOrder], None],
        grace_s: float = 2.0,
    ) -> None:
        self._events = events
        self._clock = clock
        self._fetch_executions = fetch_executions
        self._grace = round(grace_s * SECOND)
        self._orders: dict[str, BookedOrder] = {}
        self._by_exchange_id: dict[tuple[Instrument, str], BookedOrder] = {}
        self._ended: deque[BookedOrder] = deque()
        self._executions: dict[tuple[int, str], None] = {}
        self.changes = Changes(events, clock, self._note)
        self.horizon = 0
        """Executions of foreign orders before this time (ns) are history: not told."""
        self.auditing = ""
        """While this says something, whatever is told is logged as an error: it should have been known."""
        self.differences = 0
        self._closed = False
        self.on_execution: Callable[[ExecutionFact], None] | None = None
        """Who hears of each execution that counts, once."""
        self.on_foreign: list[Callable[[OrderFact], None]] = []
        """Who hears whatever a stream says of orders that nobody here sent."""

    # -- what is known -----------------------------------------------------------------------------------------------

    def find(self, wire_id: str) -> BookedOrder | None:
        return self._orders.get(wire_id)

    def open_orders(self, instrument: "Instrument | None" = None) -> Iterator[BookedOrder]:
        """Those of ours that are not over, in the order in which they were sent."""
        for booked in self._orders.values():
            if not booked.over and booked.order is not None and instrument in (None, booked.instrument):
                yield booked

    def restore(self, orders: "Sequence[TrackedOrder]", exec_ids: Collection[tuple[int, str]]) -> None:
        """Orders that were sent by an earlier run, as far as its journal knows them, and the executions that it knows,
        by instrument number and id, because ids of two instruments may be the same."""
        for order in orders:
            booked = self._book(order)
            booked.filled = booked.claimed = order.filled
            booked.exchange_id = order.exchange_id
            booked.status = order.state
            booked.ended = order.state in TERMINAL
            booked.acked = booked.ended or (order.state is not OrderStatus.PendingNew and bool(order.exchange_id))
            booked.unknown = order.state is OrderStatus.Unknown
            booked.restored = True
            booked.cancel_asked = bool(order.cancels)
            self._index(booked)
            if booked.ended:
                self._remember(booked)
        for key in exec_ids:
            self._executions[key] = None

    def _book(self, order: "TrackedOrder") -> BookedOrder:
        booked = BookedOrder(order.wire_id, order.instrument, order.price, order.qty, order, order.created_ts)
        self._orders[order.wire_id] = booked
        return booked

    def _index(self, booked: BookedOrder) -> None:
        if booked.exchange_id:
            self._by_exchange_id[booked.instrument, booked.exchange_id] = booked

    def _named(self, fact: OrderFact | ExecutionFact) -> BookedOrder | None:
        """The order that a fact is about; it is learned under which id the exchange has it."""
        booked = self._orders.get(fact.wire_id) if fact.wire_id else None
        if booked is None:
            booked = self._by_exchange_id.get((fact.instrument, fact.exchange_id)) if fact.exchange_id else None
        elif fact.exchange_id and not booked.exchange_id:
            booked.exchange_id = fact.exchange_id
            self._index(booked)
        return booked

    # -- requests and their replies ----------------------------------------------------------------------------------

    def sent(self, order: "TrackedOrder") -> BookedOrder:
        """An order is about to be sent."""
        return self._book(order)

    def accepted(self, booked: BookedOrder, exchange_id: str) -> None:
        """The exchange has taken the order."""
        if exchange_id and not booked.exchange_id:
            booked.exchange_id = exchange_id
            self._index(booked)
        self._acknowledge(booked, self._clock.now)

    def refused(self, booked: BookedOrder, code: GtwRejectCode, reason: str) -> None:
        """The exchange has refused the order, or it never got it."""
        if booked.ended:
            return
        if booked.acked:
            log.error("order %s was refused after it had been accepted: %s", booked.wire_id, reason)
            self._end(booked, End(CancelCode.ByExchange, reason, self._clock.now))
            return
        booked.status = OrderStatus.Rejected
        self._note(booked, "rejected")
        self._over(booked)
        self._events.new_order_reject(booked.wire_id, code, reason)
        self.changes.refuse_what_waits(booked, GtwRejectCode.UnknownOrder, f"the order was refused: {reason}")

    # -- orders whose state nobody here knows ------------------------------------------------------------------------

    def unsure(self, booked: BookedOrder, reason: str) -> None:
        """A request about the order went unanswered."""
        if not booked.over and not booked.unknown:
            booked.unknown = True
            self._events.order_unknown(booked.wire_id, reason)

    def resolved(self, booked: BookedOrder) -> None:
        """Asked, the exchange has said what there was to know."""
        if booked.unknown and not booked.over and booked.acked:
            booked.unknown = False
            status = booked.status
            if status is not OrderStatus.Untriggered:
                status = OrderStatus.PartiallyFilled if booked.filled else OrderStatus.New
            self._events.order_resolved(booked.wire_id, status, booked.leaves)

    def gone(self, booked: BookedOrder, reason: str) -> None:
        """The exchange does not know the order any more, and its executions have been fetched: it is over."""
        self._end(booked, End(CancelCode.ByExchange, reason, self._clock.now))

    # -- facts -------------------------------------------------------------------------------------------------------

    def order(self, fact: OrderFact, asked: int = 0) -> BookedOrder | None:
        """What the exchange says of an order. `asked`: when the question was sent that it answers (ns of this clock);
        0 for streams. The order, or None for a foreign one that is over."""
        booked = self._named(fact)
        foreign = booked is None or booked.order is None
        if booked is None:
            booked = self._foreign_order(fact)
        if foreign and not asked:
            for told in self.on_foreign:
                told(fact)
        if booked is None:
            return None
        booked.claimed = max(booked.claimed, self._claim(booked, fact))
        if booked.order is None:
            booked.ended = booked.ended or fact.status in TERMINAL
            return booked
        late = fact.ts < booked.ts if fact.ts else bool(asked) and booked.heard > asked
        if not late:
            booked.ts = max(booked.ts, fact.ts)
            if not asked:
                booked.heard = self._clock.now
        if fact.status is OrderStatus.Rejected:
            self._rejected(booked, fact)
        elif fact.status in TERMINAL:
            self._terminal(booked, fact, late)
        else:
            self._working(booked, fact, late, asked)
        self._owe(booked)
        return booked

    def _claim(self, booked: BookedOrder, fact: OrderFact) -> int:
        if fact.filled is not None:
            return fact.filled
        return fact.qty if fact.status is OrderStatus.Filled else 0

    def _working(self, booked: BookedOrder, fact: OrderFact, late: bool, asked: int) -> None:
        if booked.over:
            if booked.status is OrderStatus.Rejected and not late:
                log.error("order %s was refused, yet the exchange shows it as %s", booked.wire_id, fact.status.name)
            return
        if booked.acked:
            self._values(booked, fact, late, asked)
        elif not self._acknowledge(booked, fact.ts or self._clock.now, fact):
            return
        elif booked.amendment is not None:
            # it may show a modification already that was sent right behind the order
            self._values(booked, fact, late, asked)
        if not late:
            booked.status = fact.status

    def _rejected(self, booked: BookedOrder, fact: OrderFact) -> None:
        if not booked.over:
            code = fact.reject_code
            self.refused(booked, code, fact.reason or "the exchange refused the order")

    def _terminal(self, booked: BookedOrder, fact: OrderFact, late: bool) -> None:
        if booked.over:
            return
        if fact.status is OrderStatus.Filled and fact.filled:
            fact = replace(
                fact, qty=fact.filled
            )  # a row put together from changes may have missed that of its quantity
        if booked.acked:
            self._values(booked, fact, late, 0)
        else:
            self._acknowledge(booked, fact.ts or self._clock.now, fact)
        code, reason = fact.cancel_code, fact.reason
        if fact.status is OrderStatus.Filled:
            code = CancelCode.ByExchange
            reason = "the exchange counts the order as filled though executions do not make up its quantity"
        self._end(booked, End(code, reason, fact.ts or self._clock.now))

    def _values(self, booked: BookedOrder, fact: OrderFact, late: bool, asked: int) -> None:
        """Price and quantity as the exchange has them: a modification of ours, or a change that nobody here asked
        for."""
        price = booked.price if booked.unpriced else fact.price
        if late or fact.qty <= 0 or booked.is_old_news(price, fact.qty, asked):
            return
        answered = None if booked.is_shown(price, fact.qty) else booked.answered_by(price, fact.qty)
        if answered is not None:
            self.changes.amended(answered)
        if not booked.is_shown(price, fact.qty):
            changed_price = None if price == booked.price else price
            self.changes.amend(booked, changed_price, None if fact.qty == booked.qty else fact.qty, None)
        booked.superseded = None

    def _acknowledge(self, booked: BookedOrder, ts: int, fact: OrderFact | None = None) -> bool:
        """Tell once that the order was accepted, as the exchange has it."""
        if booked.acked or booked.ended or booked.order is None:
            return False
        if fact is not None and fact.qty > 0 and booked.answered_by(fact.price, fact.qty) is None:
            booked.qty = fact.qty
            if not booked.unpriced:
                booked.price = fact.price
        booked.acked = True
        booked.unknown = False
        booked.status = OrderStatus.New if fact is None else fact.status
        self._note(booked, "accepted")
        self._events.new_order_ack(booked.wire_id, booked.exchange_id, booked.price, booked.qty, booked.leaves, ts)
        return True

    # -- executions --------------------------------------------------------------------------------------------------

    def execution(self, fact: ExecutionFact) -> None:
        """One fill, told once however often it comes."""
        key = fact.instrument.number, fact.exec_id
        if key in self._executions:
            return
        self._executions[key] = None
        if len(self._executions) > KEPT_EXECUTIONS:
            del self._executions[next(iter(self._executions))]
        booked = self._named(fact) or self._foreign_execution(fact)
        if booked is None:
            return
        if not booked.over:
            self._acknowledge(booked, fact.ts)
        if self.on_execution is not None:
            self.on_execution(fact)
        self._make_room(booked, booked.filled + fact.qty)
        booked.filled += fact.qty
        booked.claimed = max(booked.claimed, booked.filled, fact.cumulative or 0)
        self._note(booked, "filled")
        full = booked.filled >= booked.qty
        if full and not booked.ended:
            booked.status = OrderStatus.Filled
            self._over(booked)
        self._events.order_execution(
            booked.wire_id,
            fact.exec_id,
            fact.price,
            fact.qty,
            booked.leaves,
            fact.fee,
            fact.fee_coin,
            fact.maker,
            fact.ts,
        )
        self._owe(booked)

    def _make_room(self, booked: BookedOrder, filled: int) -> None:
        """More has traded than the order's quantity: a modification must have been carried out."""
        if filled <= booked.qty:
            return
        amendment = booked.with_room_for(filled)
        if amendment is not None:
            self.changes.amended(amendment)
        elif booked.order is None:
            booked.qty = filled
        else:
            log.error("order %s of %s lots has traded %s", booked.wire_id, booked.qty, filled)

    # -- the end -----------------------------------------------------------------------------------------------------

    def _end(self, booked: BookedOrder, end: End) -> None:
        if booked.over:
            return
        booked.end = end
        booked.status = OrderStatus.Cancelled
        self._owe(booked)

    def _owe(self, booked: BookedOrder) -> None:
        """See whether executions are missing: wait for them, or tell the end that waited."""
        if booked.filled < booked.claimed and booked.order is not None:
            if booked.overdue is None:
                wait = self._grace << booked.fetches
                booked.overdue = self._clock.schedule(self._clock.now + wait, self._ask_for_missing, booked)
            return
        if booked.overdue is not None:
            booked.overdue.cancel()
            booked.overdue = None
            booked.fetches = 0
        self._tell_end(booked)

    def close(self) -> None:
        """Nothing is asked for and nothing told any more of what is missing."""
        self._closed = True

    def _ask_for_missing(self, booked: BookedOrder) -> None:
        booked.overdue = None
        if self._closed:
            return
        if booked.fetches >= FETCHES:
            log.error(
                "order %s: the exchange says %s lots have traded, but lists executions of only %s; its position is to "
                "be checked by hand",
                booked.wire_id,
                booked.claimed,
                booked.filled,
            )
            booked.claimed = booked.filled
            booked.fetches = 0
            self._tell_end(booked)
            return
        booked.fetches += 1
        self._fetch_executions(booked)
        self._owe(booked)

    def _tell_end(self, booked: BookedOrder) -> None:
        end, booked.end = booked.end, None
        if end is None or booked.ended:
            return
        asked = booked.cancel_asked and end.code in (CancelCode.Unset, CancelCode.CanceledByUser)
        self._note(booked, "cancelled")
        self._over(booked)
        if asked:
            for cancellation in list(booked.cancellations):
                self.changes.cancel_accepted(cancellation)
        code = CancelCode.CanceledByUser if asked else end.code
        self._events.order_cancelled(booked.wire_id, not asked, end.ts, code, end.reason)

    def _over(self, booked: BookedOrder) -> None:
        booked.ended = True
        booked.unknown = False
        booked.end = None
        self._remember(booked)

    def _remember(self, booked: BookedOrder) -> None:
        self._ended.append(booked)
        if len(self._ended) > KEPT_ORDERS:
            old = self._ended.popleft()
            self._orders.pop(old.wire_id, None)
            self._by_exchange_id.pop((old.instrument, old.exchange_id), None)

    # -- orders of others --------------------------------------------------------------------------------------------

    def _foreign_order(self, fact: OrderFact) -> BookedOrder | None:
        if fact.status in TERMINAL:
            return None
        return self._announce(fact, fact.price, fact.qty)

    def _foreign_execution(self, fact: ExecutionFact) -> BookedOrder | None:
        if fact.ts < self.horizon:
            return None
        return self._announce(fact, fact.price, max(fact.qty, fact.cumulative or 0))

    def _announce(self, fact: OrderFact | ExecutionFact, price: int, qty: int) -> BookedOrder:
        name = fact.wire_id or fact.exchange_id or getattr(fact, "exec_id", "")
        booked = BookedOrder(name, fact.instrument, price, qty, None, self._clock.now)
        booked.exchange_id = fact.exchange_id
        booked.acked = True
        self._orders[name] = booked
        self._index(booked)
        reason = fact.reason or "an order that was not sent from here"
        self._note(booked, "found")
        self._events.foreign_order(name, fact.instrument, fact.side, qty, reason)
        return booked

    def _note(self, booked: BookedOrder, what: str) -> None:
        if self.auditing:
            self.differences += 1
            log.error("%s: order %s of %s: %s", self.auditing, booked.wire_id, booked.instrument.name, what)
