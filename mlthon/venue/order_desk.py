"""Requests about orders on their way down, what their answers mean, and how it is found out where there is none.

A request that was not answered may have been carried out. It is never sent again: the order is unknown, and the
exchange is asked for it by its wire id until everything that was open about it is known. That the exchange does not
know the order is believed only once the request could not be accepted any more: `Codec.validity_s` and a margin after
it left. An exchange's "no such order" to a cancel or a modification is asked after in the same way.

Modifications of one order go out one after the other (`mlthon.venue.changes` says why), each when the one before it has
been answered. Where that went unanswered, those that wait are refused.
"""

import logging
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from mlthon.basics.defs import GtwRejectCode
from mlthon.engine.clock import SECOND, Clock
from mlthon.venue.account_book import AccountBook
from mlthon.venue.asking import Asker, Trouble, told
from mlthon.venue.booked_order import Amendment, BookedOrder, Cancellation
from mlthon.venue.changes import UNANSWERED
from mlthon.venue.codec import BadMessage, Codec, Refused, Unsupported
from mlthon.venue.facts import OrderFact, Reply
from mlthon.venue.throttle import RateLimited, Throttle, Ticket
from mlthon.venue.wire import Answer, Failure, Loss, Request

if TYPE_CHECKING:
    from mlthon.basics.instrument import Instrument
    from mlthon.engine.faces import OrderEvents
    from mlthon.engine.tracker import TrackedOrder

log = logging.getLogger("mlthon.venue")

PAUSES_S: Final = (0.5, 1.0, 2.0, 5.0, 10.0)
"""How long after each answer that left something open it is asked again; the last from then on."""
MOST_CANCELS: Final = 20
"""How often a cancel that was refused for its rate is sent again."""

Action = BookedOrder | Amendment | Cancellation
"""What a request was for: a new order is its booked order."""


class _Doubt:
    """What is open about an order, and since when. `reasons`: why the exchange refused an action, where it said so."""

    __slots__ = ("actions", "asked", "fetching", "tries", "waiters")

    def __init__(self) -> None:
        self.actions: dict[Action, str] = {}
        self.tries = 0
        self.asked = False
        self.fetching = False
        self.waiters: list[Callable[[], None]] = []


class OrderDesk:
    """The requests of one account. `deal` is given the facts that answers carry; `bad` what could not be understood."""

    def __init__(
        self,
        codec: Codec,
        clock: Clock,
        throttle: Throttle,
        asker: Asker,
        book: AccountBook,
        events: "OrderEvents",
        margin_s: float,
        deal: Callable[[Reply], None],
        bad: Callable[[str, bytes, Exception], None],
        fetch_executions: Callable[[BookedOrder, Callable[[bool], None]], None],
    ) -> None:
        self._codec = codec
        self._clock = clock
        self._throttle = throttle
        self._asker = asker
        self._book = book
        self._events = events
        self._validity = round((codec.validity_s + margin_s) * SECOND)
        self._deal = deal
        self._bad = bad
        self._fetch_executions = fetch_executions
        self._doubts: dict[BookedOrder, _Doubt] = {}
        self._actions: dict[Ticket, tuple[Action, Request, int]] = {}
        self._left: dict[Action, Ticket] = {}
        self._waiting: dict[BookedOrder, deque[tuple[int | None, int | None]]] = {}
        """Modifications, price and quantity, that wait for the answer to the one before them."""
        book.changes.on_modified = self._modify_next
        self.stopped = False

    # -- down --------------------------------------------------------------------------------------------------------

    def new_order(self, order: "TrackedOrder") -> None:
        booked = self._book.sent(order)
        self._send(booked, "NewOrder", lambda: self._codec.new_order(order))

    def modify_order(self, order: "TrackedOrder", price: int | None, qty: int | None) -> None:
        booked = self._known(order)
        if booked.amendment is None and booked not in self._waiting:
            self._modify(booked, order, price, qty)
        elif booked.unknown:
            self._clock.call_soon(
                self._events.modify_order_reject, booked.wire_id, GtwRejectCode.GtwNotReady, UNANSWERED
            )
        else:
            self._waiting.setdefault(booked, deque()).append((price, qty))

    def _modify(self, booked: BookedOrder, order: "TrackedOrder", price: int | None, qty: int | None) -> None:
        amendment = self._book.changes.modifying(booked, price, qty)
        self._send(amendment, "ModifyOrder", lambda: self._codec.modify_order(order, price, qty))

    def _modify_next(self, booked: BookedOrder) -> None:
        """The modification under way has been answered: those that wait have their turn."""
        waiting, order = self._waiting.get(booked), booked.order
        if waiting is None or order is None or booked.amendment is not None:
            return
        if booked.over:
            self._refuse_waiting(booked, GtwRejectCode.OrderNotOpen, f"the order is over: {booked.status.name}")
            return
        price, qty = waiting.popleft()
        if not waiting:
            del self._waiting[booked]
        self._modify(booked, order, price, qty)

    def _refuse_waiting(self, booked: BookedOrder, code: GtwRejectCode, reason: str) -> None:
        for _ in self._waiting.pop(booked, ()):
            self._events.modify_order_reject(booked.wire_id, code, reason)

    def cancel_order(
        self, order: "TrackedOrder", heard: Callable[[tuple[GtwRejectCode, str] | None], None] | None = None
    ) -> None:
        """`heard`: who hears of the answer instead of the events (a cancel-all)."""
        cancellation = self._book.changes.cancelling(self._known(order), heard)
        self._send(cancellation, "CancelOrder", lambda: self._codec.cancel_order(order))

    def cancel_all(self, instrument: "Instrument") -> None:
        """One cancel for each open order of ours, so that no order of others is touched; answered as one."""
        orders = [booked.order for booked in self._book.open_orders(instrument) if booked.order is not None]
        if not orders:
            self._clock.call_soon(self._events.cancel_all_ack, instrument)
        waiting = len(orders)
        answered = False

        def heard(refusal: tuple[GtwRejectCode, str] | None) -> None:
            nonlocal waiting, answered
            waiting -= 1
            if refusal is None and not answered:
                answered = True
                self._events.cancel_all_ack(instrument)
            elif refusal is not None and not waiting and not answered:
                answered = True
                self._events.cancel_all_reject(instrument, *refusal)

        for order in orders:
            self.cancel_order(order, heard)

    def _known(self, order: "TrackedOrder") -> BookedOrder:
        """The order as booked. One that is not was refused before it got here, or has been forgotten since its end."""
        booked = self._book.find(order.wire_id)
        if booked is None:
            self._book.restore([order], ())
            booked = self._book.find(order.wire_id)
            if booked is not None and not order.exchange_id:
                # whoever refused it tells its end
                booked.ended = True
        return booked or self._book.sent(order)

    def _send(self, action: Action, name: str, make: Callable[[], Request]) -> None:
        try:
            request = make()
        except Unsupported as error:
            self._clock.call_soon(self._events.unsupported, name)
            self._clock.call_soon(self._refuse, action, GtwRejectCode.UnsupportedOrder, told(error))
            return
        self._dispatch(action, request, 0)

    def _dispatch(self, action: Action, request: Request, tries: int) -> None:
        ticket = self._throttle.send(request, lambda answer: self._answered(ticket, answer))
        self._actions[ticket] = action, request, tries
        self._left[action] = ticket

    def _refuse(self, action: Action, code: GtwRejectCode, reason: str) -> None:
        if isinstance(action, BookedOrder):
            self._book.refused(action, code, reason)
        elif isinstance(action, Amendment):
            self._book.changes.amendment_refused(action, code, reason)
        else:
            self._book.changes.cancel_refused(action, code, reason)

    # -- answers -----------------------------------------------------------------------------------------------------

    def _answered(self, ticket: Ticket, answer: Answer) -> None:
        action, request, _ = self._actions[ticket]
        if isinstance(answer, RateLimited):
            self._finish(ticket)
            self._refuse(action, GtwRejectCode.RateLimited, answer.reason)
        elif isinstance(answer, Failure):
            self._failed(ticket, action, answer)
        else:
            try:
                reply = self._codec.reply(request, answer)
            except Exception as error:  # noqa: BLE001  a codec's mistake must not end the program
                self._bad(request.name, answer.body, error)
                reply = Reply(unknown=True, reason="the exchange's answer could not be understood")
            self.replied(ticket, reply)

    def _failed(self, ticket: Ticket, action: Action, failure: Failure) -> None:
        if failure.loss is Loss.NOT_SENT:
            self._finish(ticket)
            reason = f"the request was not sent: {failure.reason}"
            self._refuse(action, GtwRejectCode.GtwNotReady, reason)
        else:
            self.replied(ticket, Reply(unknown=True, reason=failure.reason))

    def _finish(self, ticket: Ticket) -> None:
        action, _, _ = self._actions.pop(ticket)
        if self._left.get(action) is ticket:
            del self._left[action]

    def replied(self, ticket: Ticket, reply: Reply) -> None:
        """The exchange's answer to a request of this desk, whichever way it came."""
        if ticket not in self._actions:
            self._deal(reply)
            return
        action, request, tries = self._actions[ticket]
        booked = action if isinstance(action, BookedOrder) else action.order
        sent_ts = ticket.sent_ts
        self._finish(ticket)
        if reply.limited:
            self._throttle.limited(ticket, reply.retry_after_s)
        if reply.unknown:
            self._book.unsure(booked, f"{request.name}: {reply.reason or 'no answer'}")
            if isinstance(action, Amendment):
                self._refuse_waiting(booked, GtwRejectCode.GtwNotReady, UNANSWERED)
            self._doubt(booked, action, "", sent_ts)
        elif reply.accepted:
            self._accept(action, reply)
        elif reply.limited and isinstance(action, Cancellation) and tries < MOST_CANCELS:
            self._dispatch(action, request, tries + 1)
        elif reply.missing and not isinstance(action, BookedOrder):
            self._doubt(booked, action, reply.reason or "the exchange does not know the order", sent_ts)
        else:
            code = GtwRejectCode.RateLimited if reply.limited else reply.code
            self._refuse(action, code, reply.reason or "the exchange gave no reason")
        self._deal(reply)

    def _accept(self, action: Action, reply: Reply) -> None:
        if isinstance(action, BookedOrder):
            self._book.accepted(action, reply.exchange_id)
        elif isinstance(action, Amendment):
            self._book.changes.amended(action)
        else:
            self._book.changes.cancel_accepted(action)

    # -- what nobody here knows --------------------------------------------------------------------------------------

    def _doubt(self, booked: BookedOrder, action: Action, refusal: str, sent_ts: int) -> None:
        doubt = self._doubts.get(booked)
        if isinstance(action, BookedOrder):
            booked.created_ts = max(booked.created_ts, sent_ts)
        elif sent_ts:
            action.sent_ts = sent_ts
        if doubt is None:
            doubt = self._doubts[booked] = _Doubt()
            self._clock.call_soon(self._inquire, booked)
        doubt.actions[action] = refusal
        doubt.tries = 0

    def inquire(self, booked: BookedOrder, then: Callable[[], None] | None = None) -> None:
        """Ask what became of an order that should be open (a list of open orders lacks it) or was left open by an
        earlier run; `then` is called after the first answer."""
        doubt = self._doubts.get(booked)
        if doubt is None:
            doubt = self._doubts[booked] = _Doubt()
            self._clock.call_soon(self._inquire, booked)
        if not booked.acked:
            doubt.actions.setdefault(booked, "")
        if then is not None:
            doubt.waiters.append(then)

    def _inquire(self, booked: BookedOrder) -> None:
        doubt = self._doubts.get(booked)
        order = booked.order
        if doubt is None or doubt.asked or order is None or self.stopped:
            return
        if booked.ended:
            self._after(booked, doubt, known=True)
            return
        doubt.asked = True
        asked = self._clock.now
        self._asker.ask(
            lambda: self._codec.order_status(order),
            lambda fact: self._told(booked, fact, asked),
            lambda trouble: self._not_told(booked, trouble),
            urgent=True,
        )

    def _told(self, booked: BookedOrder, fact: OrderFact | None, asked: int) -> None:
        doubt = self._doubts[booked]
        doubt.asked = False
        if fact is not None:
            self._book.order(fact, asked)
        late = asked > self._last_sent(booked, doubt) + self._validity
        if fact is None and late and not booked.over:
            self._vanished(booked, doubt)
        self._settle(booked, doubt, late)
        self._after(booked, doubt, known=fact is not None)

    def _last_sent(self, booked: BookedOrder, doubt: _Doubt) -> int:
        """When the last request about the order that is in doubt, or still under way, left."""
        return max([booked.created_ts, *(each.sent_ts for each in doubt.actions if not isinstance(each, BookedOrder))])

    def _vanished(self, booked: BookedOrder, doubt: _Doubt) -> None:
        """The exchange does not know the order, and it can come no more. One that was open before has traded or was
        cancelled: only its executions can tell."""
        reason = "the exchange does not know the order"
        if not booked.acked:
            self._book.refused(booked, GtwRejectCode.UnknownOrder, f"{reason}: the request never arrived")
        elif not doubt.fetching:
            doubt.fetching = True
            self._fetch_executions(booked, lambda whole: self._fetched(booked, whole, reason))

    def _fetched(self, booked: BookedOrder, whole: bool, reason: str) -> None:
        doubt = self._doubts.get(booked)
        if doubt is not None:
            doubt.fetching = False
        if whole:
            self._book.gone(booked, f"{reason} any more")

    def _settle(self, booked: BookedOrder, doubt: _Doubt, late: bool) -> None:
        """Answer what the order as it is now answers."""
        for action, refusal in list(doubt.actions.items()):
            if self._settled(booked, action, refusal, late):
                del doubt.actions[action]

    def _settled(self, booked: BookedOrder, action: Action, refusal: str, late: bool) -> bool:
        if isinstance(action, BookedOrder):
            return booked.acked or booked.over
        if action.done:
            return True
        if booked.ended:
            self._refuse(action, GtwRejectCode.OrderNotOpen, f"the order is over: {booked.status.name}")
        elif booked.over or not booked.acked:
            return False
        elif refusal:
            self._refuse(action, GtwRejectCode.OrderNotOpen, refusal)
        elif late:
            self._refuse(
                action, GtwRejectCode.InvalidRequest, "the request was not carried out: the order is as it was"
            )
        return action.done

    def _not_told(self, booked: BookedOrder, trouble: Trouble) -> None:
        doubt = self._doubts[booked]
        doubt.asked = False
        if isinstance(trouble, Unsupported) or (isinstance(trouble, Refused) and trouble.final):
            doubt.tries = len(PAUSES_S)
            log.error("the exchange cannot be asked for order %s: %s", booked.wire_id, told(trouble))
        if isinstance(trouble, BadMessage):
            self._bad("order status", b"", trouble)
        self._after(booked, doubt, known=False)

    def _after(self, booked: BookedOrder, doubt: _Doubt, *, known: bool) -> None:
        """Be done with it, or ask again."""
        if booked.ended:
            # the end answers what was open, though nobody may have been told it in answer to the question
            self._settle(booked, doubt, late=True)
        waiters, doubt.waiters = doubt.waiters, []
        open_still = bool(doubt.actions) or not known
        if booked.ended or not open_still:
            del self._doubts[booked]
            self._book.resolved(booked)
        else:
            pause = PAUSES_S[min(doubt.tries, len(PAUSES_S) - 1)]
            doubt.tries += 1
            self._clock.call_at(self._clock.now + round(pause * SECOND), self._inquire, booked)
        for then in waiters:
            then()
