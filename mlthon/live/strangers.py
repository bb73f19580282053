"""Orders of a live account that a bot's venue did not send, heard of, found and cancelled.

What the account's streams say of an order that nobody here sent is told as it comes (`hear`), each change once.

The exchange is asked for all open orders; those that another strategy of this run has sent are told apart by their
client ids. What is left is of nobody here: sent by hand, by another program, by a run whose journal is gone. Such an
order is cancelled by a request of its own, which goes before orders like every cancel; whatever is answered, the
exchange is asked again whether the order is still open, because some acknowledge a cancel before it is carried out.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from mlthon.basics.defs import GtwRejectCode, OrderStatus
from mlthon.engine.clock import MS, Clock
from mlthon.engine.tracker import TrackedOrder
from mlthon.link.host.desk import Done, Failed, OpenOrder, Others
from mlthon.order.state import TERMINAL
from mlthon.venue.asking import Asker, Trouble, told
from mlthon.venue.codec import Codec, Refused, Unsupported
from mlthon.venue.facts import OrderFact, Reply
from mlthon.venue.throttle import Throttle, Ticket
from mlthon.venue.wire import Answer, Failure

if TYPE_CHECKING:
    from mlthon.basics.instrument import Instrument
    from mlthon.engine.router import Port
    from mlthon.engine.session import Session
    from mlthon.link.host.venue import VenueStrategy

KEPT: Final = 10_000
"""Of so many orders it is remembered what was told last."""

LOOKS_NS: Final = (200 * MS, 300 * MS, 500 * MS, 1000 * MS, 2000 * MS)
"""How long after the cancels, and then after each answer, it is asked whether the orders are still open."""


def failing(failed: Failed) -> Callable[[Trouble], None]:
    """Tells a trouble as a bot's desk does."""

    def tell(trouble: Trouble) -> None:
        limited = isinstance(trouble, Refused) and trouble.retry_after_s is not None
        failed(GtwRejectCode.RateLimited if limited else GtwRejectCode.InvalidRequest, told(trouble))

    return tell


def open_order(fact: OrderFact) -> OpenOrder:
    return OpenOrder(
        fact.instrument,
        fact.exchange_id,
        fact.side,
        fact.order_type,
        fact.price or fact.stop_price or 0,
        fact.qty,
        fact.qty - (fact.filled or 0),
        fact.ts,
    )


class Strangers:
    """Those of one account."""

    def __init__(self, codec: Codec, clock: Clock, asker: Asker, throttle: Throttle, port: "Port") -> None:
        self._codec = codec
        self._clock = clock
        self._asker = asker
        self._throttle = throttle
        self._port = port
        self._facts: dict[tuple[Instrument, str], OrderFact] = {}
        """The strangers that were found last: what has to be said to cancel them."""
        self._told: dict[tuple[Instrument, str], OrderFact] = {}
        """What was told of each last."""

    def hear(self, fact: OrderFact, told: Callable[[TrackedOrder, int], None]) -> None:
        """A stream says this of an order that nobody here sent: tell it unless it says nothing new."""
        which = fact.instrument, fact.exchange_id
        before = self._told.pop(which, None)
        self._told[which] = fact
        if len(self._told) > KEPT:
            del self._told[next(iter(self._told))]
        if before is not None and _standing(before) == _standing(fact):
            return
        known = self._port.find(fact.wire_id or fact.exchange_id)
        if known is not None:
            # of its fills it was not known what they are of
            known.exchange_id = fact.exchange_id
            known.order_type, known.price, known.stop_price = fact.order_type, fact.price, fact.stop_price
            known.tif, known.exec_instr = fact.tif, fact.exec_instr
        order = self._as_order(known.session if known is not None else self._port.sessions[0], fact)
        order.filled = fact.qty if fact.status is OrderStatus.Filled else fact.filled or 0
        order.leaves = 0 if fact.status in TERMINAL else fact.qty - order.filled
        told(order, fact.ts or self._clock.now)

    def others(
        self, venue: "VenueStrategy", instrument: "Instrument | None", done: Done[Others], failed: Failed
    ) -> None:
        """As of `AccountDesk.others`."""

        def answered(found: Sequence[OrderFact]) -> None:
            tracked, strange = [], []
            for fact in found:
                ours = self._sent_here(fact)
                if ours is None and fact.status is not OrderStatus.PendingNew:
                    strange.append(fact)
                elif ours is not None and ours.session is not venue.session and ours.is_open:
                    tracked.append(ours)
            self._facts = {(each.instrument, each.exchange_id): each for each in strange}
            done(Others(tracked, [open_order(each) for each in strange]))

        self._asker.ask(lambda: self._codec.open_orders(instrument), answered, failing(failed), urgent=True)

    def _sent_here(self, fact: OrderFact) -> TrackedOrder | None:
        """The order as a strategy of this run sent it; None where none did."""
        order = self._port.find(fact.wire_id) if fact.wire_id else None
        if order is None or order.is_foreign or order.instrument != fact.instrument:
            return None
        return order

    def cancel(
        self, venue: "VenueStrategy", orders: Sequence[OpenOrder], done: Callable[[], None], failed: Failed
    ) -> None:
        """As of `AccountDesk.cancel_strange`."""
        found = [fact for each in orders if (fact := self._facts.get((each.instrument, each.order_id))) is not None]
        cancels = _Cancels(self, found, done, failed)
        for fact in found:
            cancels.send(fact, self._as_order(venue.session, fact))
        cancels.begin()

    def _as_order(self, session: "Session", fact: OrderFact) -> TrackedOrder:
        """The order as the exchange has it, as if the session had sent it."""
        order = TrackedOrder(
            fact.wire_id,
            fact.wire_id,
            session,
            self._port.account,
            fact.instrument,
            fact.side,
            fact.order_type,
            fact.tif,
            fact.exec_instr,
            fact.price,
            fact.qty,
            fact.stop_price,
            False,
            fact.ts,
        )
        order.exchange_id = fact.exchange_id
        order.state = fact.status
        return order


def _standing(fact: OrderFact) -> tuple[Any, ...]:
    """What of a fact is news where it differs."""
    return fact.status, fact.price, fact.qty, fact.filled, fact.stop_price


class _Cancels:
    """The cancels of one call. `refusals`: why an order would not be cancelled."""

    def __init__(
        self, strangers: Strangers, facts: Sequence[OrderFact], done: Callable[[], None], failed: Failed
    ) -> None:
        self._of = strangers
        self._left = {(each.instrument, each.exchange_id) for each in facts}
        self._done = done
        self._failed = failed
        self._looks = 0
        self._refusals: dict[tuple[Instrument, str], tuple[GtwRejectCode, str]] = {}

    def send(self, fact: OrderFact, order: TrackedOrder) -> None:
        which = fact.instrument, fact.exchange_id
        try:
            request = self._of._codec.cancel_order(order)
        except (Unsupported, Refused) as trouble:
            self._refusals[which] = GtwRejectCode.UnsupportedOrder, told(trouble)
            return

        def answered(answer: Answer) -> None:
            if isinstance(answer, Failure):
                self._refusals[which] = GtwRejectCode.GtwNotReady, answer.reason
                return
            try:
                reply = self._of._codec.reply(request, answer)
            except Exception as error:  # noqa: BLE001  a codec's mistake must not end the program
                reply = Reply(unknown=True, reason=f"the answer could not be understood: {type(error).__name__}")
            self._replied(which, ticket, reply)

        ticket = self._of._throttle.send(request, answered)

    def _replied(self, which: "tuple[Instrument, str]", ticket: Ticket, reply: Reply) -> None:
        if reply.limited:
            self._of._throttle.limited(ticket, reply.retry_after_s)
            self._refusals[which] = GtwRejectCode.RateLimited, reply.reason or "too many requests"
        elif not reply.accepted and not reply.missing:
            self._refusals[which] = reply.code, reply.reason or "the exchange gave no reason"

    def begin(self) -> None:
        self._of._clock.call_at(self._of._clock.now + LOOKS_NS[self._looks], self._look)

    def _look(self) -> None:
        self._looks += 1
        instruments = {instrument for instrument, _ in self._left}
        one = next(iter(instruments)) if len(instruments) == 1 else None
        self._of._asker.ask(lambda: self._of._codec.open_orders(one), self._told, failing(self._failed), urgent=True)

    def _told(self, found: Sequence[OrderFact]) -> None:
        self._left &= {(each.instrument, each.exchange_id) for each in found}
        refused = [self._refusals[each] for each in self._left if each in self._refusals]
        if not self._left:
            self._done()
        elif refused:
            self._failed(*refused[0])
        elif self._looks == len(LOOKS_NS):
            listed = ", ".join(sorted(order_id for _, order_id in self._left))
            self._failed(GtwRejectCode.RequestPending, f"the cancels were accepted, but still open are: {listed}")
        else:
            self.begin()
