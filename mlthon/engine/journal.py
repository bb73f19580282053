"""The journal: what was asked for is written down before it is sent, and what came of it before anybody acts on it.

`JournalStage` stands between a port and its gateway and has both faces: requests go down through it, events come up
through it. The intent of every request about orders is committed to a `JournalStore` before the next gateway is
called, so that whatever happens to the process, the next one knows which orders may be at the exchange. Events are
committed before the port hears of them, so that a fill that a strategy has seen is never seen again after a restart.

With a store that writes later (`DeferredStore`, for which each commit is a wait for the disk) only what leaves the
program waits: a request goes on to the gateway once it, and with it every event that the strategy had heard of before,
is safe. Events go up at once. A cancel waits for nothing but an order of its own that has not left yet.

A store that fails must not make things worse: new orders and modifications are refused, cancels still go out, and what
could not be written is kept in memory, in order, and written with the next entry that can be, or a second later.

What is written of an order is its latest standing, by the same table of states that the port uses (`mlthon.order`).
What is written is `mlthon.engine.entries`, how it is stored and read back `mlthon.live.journal_store`.
"""

import logging
from collections.abc import Callable, Collection
from typing import Any, Final

from mlthon.basics.defs import CancelCode, Exchange, GtwRejectCode, GtwStatus, OrderStatus
from mlthon.basics.instrument import Instrument
from mlthon.engine.clock import MS, SECOND, Clock
from mlthon.engine.entries import DeferredStore, Entry, Fill, JournalStore, StoreFailed, sent_of, standing_of
from mlthon.engine.faces import OrderEvents
from mlthon.engine.stages import AnswersPassed, RequestsPassed
from mlthon.engine.tracker import TrackedOrder
from mlthon.order.state import RESOLVED, OrderEvent, next_state

log = logging.getLogger("mlthon.journal")

RETRY: Final = SECOND
"""How long (ns) after a failure what could not be written is tried again."""
REFUSAL: Final = MS
"""How long (ns) it takes to refuse: who tries again at once must not stop time."""


class JournalStage(RequestsPassed, AnswersPassed):
    """Requests of a port on their way down and events of its gateway on their way up, written on the way.

    `gateway` is the next one down, set once it exists. `find` gives the order of a wire id as the port knows it.
    """

    def __init__(
        self,
        port: OrderEvents,
        exchange: Exchange,
        account: str,
        clock: Clock,
        store: JournalStore,
        find: Callable[[str], TrackedOrder | None],
        deferred: DeferredStore | None = None,
    ) -> None:
        """`deferred`: writes in place of `store`, later."""
        self._deferred = deferred
        self._unsent: dict[str, tuple[Instrument, list[Callable[[], None]]]] = {}
        """Wire id of an order that waits for the disk -> its instrument and what is to follow it."""
        self.exchange = exchange
        self.account = account
        self._port = port
        self._clock = clock
        self._store = store
        self._find = find
        self._backlog: list[Entry] = []
        self._failure = ""
        self._retrying = False

    # -- the store -------------------------------------------------------------------------------------------------

    @property
    def failure(self) -> str:
        """Why the journal cannot be written; empty while it can."""
        return self._failure

    @property
    def unwritten(self) -> int:
        """How many entries wait in memory for the store to work again."""
        return len(self._backlog)

    def _entry(self, kind: str, wire_id: str, detail: tuple[Any, ...], **more: Any) -> Entry:
        return Entry(
            ts=self._clock.now,
            exchange=self.exchange,
            account=self.account,
            kind=kind,
            wire_id=wire_id,
            detail=detail,
            **more,
        )

    def _write(self, *entries: Entry) -> bool:
        """Commit what waits and these; False if they had to be kept in memory."""
        if self._deferred is not None:
            self._deferred.submit(entries, self._written)
            return True
        self._backlog.extend(entries)
        try:
            self._store.commit(self._backlog)
        except StoreFailed as error:
            self._failed(str(error))
            return False
        self._backlog = []
        if self._failure:
            self._recovered()
        return True

    def _written(self, reason: str) -> None:
        """The deferred store has written something, or could not."""
        if reason:
            self._failed(reason)
        elif self._failure:
            self._recovered()

    def _failed(self, reason: str) -> None:
        if not self._failure:
            self._failure = reason
            log.error(
                "%s %s: the journal cannot be written: %s. New orders are refused; cancels still go out",
                self.exchange.name,
                self.account,
                reason,
            )
            self._clock.call_soon(self._tell_failure)
        if not self._retrying:
            self._retrying = True
            self._clock.call_at(self._clock.now + RETRY, self._retry)

    def _retry(self) -> None:
        self._retrying = False
        if self._backlog or self._deferred is not None:
            self._write()

    def _recovered(self) -> None:
        self._failure = ""
        log.warning("%s %s: the journal can be written again; nothing was left out", self.exchange.name, self.account)
        self._clock.call_soon(self._tell_recovery)

    def close(self) -> None:
        """The run is over: try for the last time what could not be written, and say what is lost to the journal."""
        if self._backlog and not self._write():
            log.error(
                "%s %s: the journal ends without the last %d entries, which could not be written; the next run "
                "asks the exchange for what they said",
                self.exchange.name,
                self.account,
                len(self._backlog),
            )

    def _tell_failure(self) -> None:
        if self._failure:
            self._port.gateway_status(GtwStatus.Maintenance, self._failure_text())

    def _tell_recovery(self) -> None:
        if not self._failure:
            self._port.gateway_status(*self.gateway.status())

    def _failure_text(self) -> str:
        return f"the journal cannot be written ({self._failure}): only cancels are sent"

    # -- requests --------------------------------------------------------------------------------------------------

    def status(self) -> tuple[GtwStatus, str]:
        """The gateway's own: while the journal fails cancels still have to pass, so it stays ReadyToTrade."""
        status, detail = self.gateway.status()
        return status, self._failure_text() if self._failure else detail

    def new_order(self, order: TrackedOrder) -> None:
        entry = self._entry("new", order.wire_id, (), sent=sent_of(order), standing=standing_of(order))
        if self._deferred is not None:
            self._unsent[order.wire_id] = order.instrument, []
        self._intend(
            entry,
            lambda: self._sent_at_last(order, lambda: self.gateway.new_order(order)),
            lambda: self._sent_at_last(order, lambda: self._refuse(self.new_order_reject, order.wire_id)),
        )

    def modify_order(self, order: TrackedOrder, price: int | None, qty: int | None) -> None:
        self._intend(
            self._entry("modify", order.wire_id, (price, qty)),
            lambda: self.gateway.modify_order(order, price, qty),
            lambda: self._refuse(self.modify_order_reject, order.wire_id),
        )

    def cancel_order(self, order: TrackedOrder) -> None:
        self._write(self._entry("cancel", order.wire_id, ()))
        self._after({order.wire_id} & self._unsent.keys(), lambda: self.gateway.cancel_order(order))

    def cancel_all(self, instrument: Instrument) -> None:
        self._write(self._entry("cancel_all", "", (instrument.name,)))
        unsent = [wire_id for wire_id, (where, _) in self._unsent.items() if where is instrument]
        self._after(unsent, lambda: self.gateway.cancel_all(instrument))

    def _intend(self, entry: Entry, send: Callable[[], None], refuse: Callable[[], None]) -> None:
        """Send once the intent is safe; refuse where it cannot be written."""
        if self._deferred is None:
            if self._write(entry):
                send()
            else:
                refuse()
            return

        def written(reason: str) -> None:
            self._written(reason)
            if reason:
                refuse()
            else:
                send()

        self._deferred.submit((entry,), written)

    def _after(self, wire_ids: Collection[str], call: Callable[[], None]) -> None:
        """Call once the last of the orders that wait for the disk has left; at once where there is none."""
        if wire_ids:
            self._unsent[list(wire_ids)[-1]][1].append(call)
        else:
            call()

    def _sent_at_last(self, order: TrackedOrder, send: Callable[[], None]) -> None:
        _, following = self._unsent.pop(order.wire_id, (order.instrument, []))
        send()
        for call in following:
            call()

    def _refuse(self, refuse: Callable[..., None], wire_id: str) -> None:
        self._clock.call_at(self._clock.now + REFUSAL, refuse, wire_id, GtwRejectCode.GtwNotReady, self._failure_text())

    # -- events that are written -----------------------------------------------------------------------------------

    def _note(
        self,
        kind: str,
        wire_id: str,
        detail: tuple[Any, ...],
        event: OrderEvent | None = None,
        fill: Fill | None = None,
        **changes: Any,
    ) -> None:
        """Write an event: `event` moves the order's state, `changes` say what else of its standing is new."""
        order = self._find(wire_id)
        standing = None
        if order is not None and (event is not None or changes):
            if event is not None:
                changes["state"] = next_state(order.state, event)
            standing = standing_of(order, **changes)
        self._write(self._entry(kind, wire_id, detail, standing=standing, fill=fill))

    def gateway_status(self, status: GtwStatus, detail: str) -> None:
        if self._failure and status is GtwStatus.ReadyToTrade:
            status, detail = GtwStatus.Maintenance, self._failure_text()
        self._port.gateway_status(status, detail)

    def foreign_order(self, wire_id: str, instrument: Instrument, side: int, qty: int, reason: str) -> None:
        # the port decides whose it is
        self._port.foreign_order(wire_id, instrument, side, qty, reason)
        order = self._find(wire_id)
        more = {} if order is None else {"sent": sent_of(order), "standing": standing_of(order)}
        self._write(self._entry("foreign", wire_id, (instrument.name, side, qty, reason), **more))

    def new_order_ack(self, wire_id: str, exchange_id: str, price: int, qty: int, leaves: int, engine_ts: int) -> None:
        order = self._find(wire_id)
        untriggered = order is not None and order.stop_price is not None
        self._note(
            "ack",
            wire_id,
            (exchange_id, price, qty, leaves, engine_ts),
            OrderEvent.AckedUntriggered if untriggered else OrderEvent.Acked,
            exchange_id=exchange_id,
            qty=qty,
            leaves=leaves,
        )
        self._port.new_order_ack(wire_id, exchange_id, price, qty, leaves, engine_ts)

    def new_order_reject(self, wire_id: str, code: GtwRejectCode, reason: str) -> None:
        self._note("reject", wire_id, (code.name, reason), OrderEvent.Rejected, leaves=0)
        self._port.new_order_reject(wire_id, code, reason)

    def order_unknown(self, wire_id: str, reason: str) -> None:
        self._note("unknown", wire_id, (reason,), OrderEvent.TimedOut)
        self._port.order_unknown(wire_id, reason)

    def order_resolved(self, wire_id: str, status: OrderStatus, leaves: int) -> None:
        self._note("resolved", wire_id, (status.name, leaves), RESOLVED[status], leaves=leaves)
        self._port.order_resolved(wire_id, status, leaves)

    def modify_order_ack(self, wire_id: str, price: int | None, qty: int | None, leaves: int) -> None:
        changes: dict[str, Any] = {"leaves": leaves}
        if price is not None:
            changes["price"] = price
        if qty is not None:
            changes["qty"] = qty
        self._note("modify_ack", wire_id, (price, qty, leaves), **changes)
        self._port.modify_order_ack(wire_id, price, qty, leaves)

    def modify_order_reject(self, wire_id: str, code: GtwRejectCode, reason: str) -> None:
        self._note("modify_reject", wire_id, (code.name, reason))
        self._port.modify_order_reject(wire_id, code, reason)

    def cancel_order_ack(self, wire_id: str) -> None:
        self._note("cancel_ack", wire_id, ())
        self._port.cancel_order_ack(wire_id)

    def cancel_order_reject(self, wire_id: str, code: GtwRejectCode, reason: str) -> None:
        self._note("cancel_reject", wire_id, (code.name, reason))
        self._port.cancel_order_reject(wire_id, code, reason)

    def cancel_all_ack(self, instrument: Instrument) -> None:
        self._write(self._entry("cancel_all_ack", "", (instrument.name,)))
        self._port.cancel_all_ack(instrument)

    def cancel_all_reject(self, instrument: Instrument, code: GtwRejectCode, reason: str) -> None:
        self._write(self._entry("cancel_all_reject", "", (instrument.name, code.name, reason)))
        self._port.cancel_all_reject(instrument, code, reason)

    def order_cancelled(self, wire_id: str, unsolicited: bool, engine_ts: int, code: CancelCode, reason: str) -> None:
        self._note("cancelled", wire_id, (unsolicited, engine_ts, code.name, reason), OrderEvent.Cancelled, leaves=0)
        self._port.order_cancelled(wire_id, unsolicited, engine_ts, code, reason)

    def order_execution(
        self,
        wire_id: str,
        exec_id: str,
        price: int,
        qty: int,
        leaves: int,
        fee: int,
        fee_coin: str,
        maker: bool,
        exec_ts: int,
    ) -> None:
        order = self._find(wire_id)
        fill = None
        changes: dict[str, Any] = {}
        if order is not None:
            fill = Fill(
                exec_id=exec_id,
                strategy=order.session.name,
                instrument=order.instrument,
                side=order.side,
                price=price,
                qty=qty,
                fee=fee,
                fee_coin=fee_coin,
                maker=maker,
                ts=exec_ts,
            )
            changes = {"leaves": leaves, "filled": order.filled + qty}
        event = OrderEvent.Filled if leaves else OrderEvent.FullyFilled
        detail = (exec_id, price, qty, leaves, fee, fee_coin, maker, exec_ts)
        self._note("fill", wire_id, detail, event, fill, **changes)
        self._port.order_execution(wire_id, exec_id, price, qty, leaves, fee, fee_coin, maker, exec_ts)
