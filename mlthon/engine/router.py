"""Between strategies and accounts: whose order is it, and who must hear of it.

A `Port` stands for one account on one exchange. Requests of sessions go down through it into the account's gateway;
the gateway's `OrderEvents` come up into it, are found their order, and reach the strategy that owns the order in the
documented form. Everything that passes is shown to the taps.

What this side refuses (an unknown instrument, a price between ticks, a gateway that is not ready) is refused by an
event too, queued behind the call that asked.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mlthon.basics.defs import (
    SIDES,
    TIF,
    CancelCode,
    Exchange,
    ExecInstructions,
    GtwRejectCode,
    GtwStatus,
    OrderStatus,
    OrderType,
)
from mlthon.basics.instrument import Instrument
from mlthon.basics.qty import Qty
from mlthon.engine.clock import MS, SECOND, Clock
from mlthon.engine.entries import OpenOrder, restored
from mlthon.engine.faces import Gateway
from mlthon.engine.taps import KINDS, OrderFlowTap
from mlthon.engine.tracker import CancelAll, TrackedOrder, Tracker
from mlthon.order.order import Order
from mlthon.order.state import RESOLVED, OrderEvent, next_state

if TYPE_CHECKING:
    from mlthon.engine.session import Session

log = logging.getLogger("mlthon.orders")

RATE_LIMIT_PERCENT = 100
"""The documented form of a rate limit: percent, whatever the exchange counts."""
REFUSAL = MS
"""How long (ns) it takes to refuse what a gateway is not ready for: who tries again at once must not stop time."""

# Bound to names of their own because looking a member up in its class is slow in Python 3.11.
_READY = GtwStatus.ReadyToTrade
_REJECTED = OrderEvent.Rejected
_CANCELLED = OrderEvent.Cancelled
_FILLED = OrderEvent.Filled
_TIMED_OUT = OrderEvent.TimedOut
_FULLY_FILLED = OrderEvent.FullyFilled
_ACKED = (OrderEvent.Acked, OrderEvent.AckedUntriggered)
"""What an acknowledgement means for an order without and with a stop price."""


class Port:
    """One account on one exchange. Implements `OrderEvents` upwards; `gateway` is set once it exists.

    `holdings`: set where an account goes on from an earlier run; says what it holds (lots by instrument). Each strategy
    is then told its restored orders and these positions before it first hears that it may trade.
    """

    gateway: Gateway

    def __init__(
        self,
        exchange: Exchange,
        account: str,
        clock: Clock,
        tracker: Tracker,
        taps: Sequence[OrderFlowTap],
        house: "Session",
    ) -> None:
        """`house`: who owns the orders of an account shared by several strategies that none of them sent."""
        self.exchange = exchange
        self._house = house
        self.account = account
        self.sessions: list[Session] = []
        self._clock = clock
        self._tracker = tracker
        self._taps = {kind: tuple(tap.record for tap in taps if kind in getattr(tap, "kinds", KINDS)) for kind in KINDS}
        self._cancel_alls: dict[Instrument, list[Session]] = {}
        self._asked: dict[int, tuple[Session, Any]] = {}
        self._foreign: dict[str, TrackedOrder] = {}
        self._questions = 0
        self.strange_events = 0
        self.holdings: Callable[[], Mapping[Instrument, int]] | None = None
        self._adopted: list[TrackedOrder] = []
        self._informed: set[Session] = set()

    def record(self, kind: str, order: TrackedOrder | None, detail: tuple[Any, ...]) -> None:
        now = self._clock.now
        for record in self._taps[kind]:
            record(now, kind, order, detail)

    # -- requests --------------------------------------------------------------------------------------------------

    def new_order(self, order: TrackedOrder) -> None:
        self._tracker.orders[order.wire_id] = order
        self.record("new", order, ())
        if self.gateway.status()[0] is _READY:
            self.gateway.new_order(order)
        else:
            self._refuse_unready(self.new_order_reject, order.wire_id)

    def modify_order(self, order: TrackedOrder, price: int | None, qty: int | None) -> None:
        self.record("modify", order, (price, qty))
        if self.gateway.status()[0] is _READY:
            self.gateway.modify_order(order, price, qty)
        else:
            self._refuse_unready(self.modify_order_reject, order.wire_id)

    def cancel_order(self, order: TrackedOrder) -> None:
        self.record("cancel", order, ())
        if self.gateway.status()[0] is _READY:
            order.cancels.append(None)
            self.gateway.cancel_order(order)
        else:
            self._refuse_unready(self._reject_cancel, order)

    def cancel_for_account(self, order: TrackedOrder) -> None:
        """Cancel an order for somebody else than the strategy that sent it: that one is not told of the cancel's
        answer, only of the order's end."""
        self.record("cancel", order, ())
        if self.gateway.status()[0] is not _READY:
            refusal = ("cancel_reject", order, (GtwRejectCode.GtwNotReady.name, self._why_unready()))
            self._clock.call_at(self._clock.now + REFUSAL, self.record, *refusal)
            return
        nobody = CancelAll(order.instrument, 1)
        nobody.acknowledged = True
        order.cancels.append(nobody)
        self.gateway.cancel_order(order)

    def cancel_all(self, session: "Session", instrument: Instrument) -> None:
        """Cancel the strategy's own orders: in one request where the account is its alone, else one by one."""
        self.record("cancel_all", None, (session.name, instrument.name))
        if self.gateway.status()[0] is not _READY:
            self._refuse_unready(self._reject_cancel_all, session, instrument)
            return
        if self.sessions == [session]:
            self._cancel_alls.setdefault(instrument, []).append(session)
            self.gateway.cancel_all(instrument)
            return
        mine = [each for each in session.open_orders(self.exchange) if each.instrument is instrument]
        group = CancelAll(instrument, len(mine))
        if not mine:
            self._clock.call_soon(self._acknowledge_cancel_all, session, instrument)
        for order in mine:
            order.cancels.append(group)
            self.gateway.cancel_order(order)

    def ask(self, session: "Session", about: Any, send: Callable[[int], None]) -> None:
        """Send a question; the answer with its number reaches `session`."""
        self._questions += 1
        self._asked[self._questions] = (session, about)
        send(self._questions)

    def _refuse_unready(self, refuse: Callable[..., None], *args: Any) -> None:
        self._clock.call_at(self._clock.now + REFUSAL, refuse, *args, GtwRejectCode.GtwNotReady, self._why_unready())

    def _why_unready(self) -> str:
        status, detail = self.gateway.status()
        return f"the {self.exchange.name} gateway is {status.name}: {detail or 'wait for ReadyToTrade'}"

    # -- events ----------------------------------------------------------------------------------------------------

    def gateway_status(self, status: GtwStatus, detail: str) -> None:
        for session in list(self.sessions):
            if session.running:
                self.tell_status(session, status, detail)

    def tell_status(self, session: "Session", status: GtwStatus, detail: str) -> None:
        """Tell one strategy how the gateway stands, and before it may trade for the first time, what it has."""
        if status is _READY and self.holdings is not None and session not in self._informed:
            self._informed.add(session)
            mine = [as_order(each) for each in self._adopted if each.session is session and each.is_open]
            session.call("on_orders_info", self.exchange, mine)
            for instrument, lots in self.holdings().items():
                if lots:
                    position = instrument.qty_scale.values[lots]
                    session.call("on_position_info", self.exchange, instrument.number, position)
            if len(self._informed) == len(self.sessions):
                self._adopted.clear()
        session.gateway_status(self.exchange, status, detail)

    def adopt(self, order: OpenOrder, instrument: Instrument) -> TrackedOrder:
        """Go on with an order of an earlier run: it belongs to the strategy of that name, or to the house where there
        is none. Raises `mlthon.engine.entries.ChangedSteps`."""
        owner = next((each for each in self.sessions if each.name == order.sent.strategy), self._house)
        tracked = restored(order, owner, instrument)
        if tracked.client_id in owner.orders:  # two runs used the same
            tracked.client_id = tracked.wire_id
        self._tracker.orders[tracked.wire_id] = tracked
        owner.orders[tracked.client_id] = owner.open[tracked.client_id] = tracked
        self._adopted.append(tracked)
        return tracked

    def foreign_order(self, wire_id: str, instrument: Instrument, side: int, qty: int, reason: str) -> None:
        """Nobody here sent it, but its fills are the account's: they go to the strategy that has the account to itself,
        and where several share it, into the books alone."""
        log.warning("%s %s: %s: order %s of %s", self.exchange.name, self.account, reason, wire_id, instrument.name)
        owner = self.sessions[0] if len(self.sessions) == 1 else self._house
        self._foreign[wire_id] = TrackedOrder(
            wire_id,
            wire_id,
            owner,
            self.account,
            instrument,
            side,
            OrderType.Market,
            TIF.IOC,
            ExecInstructions.Unset,
            0,
            qty,
            None,
            True,
            self._clock.now,
        )
        self._foreign[wire_id].exchange_id = wire_id

    def new_order_ack(self, wire_id: str, exchange_id: str, price: int, qty: int, leaves: int, engine_ts: int) -> None:
        order = self._tracker.orders.get(wire_id) or self._order(wire_id)
        if order is None:
            return
        order.state = next_state(order.state, _ACKED[order.stop_price is not None])
        order.exchange_id = exchange_id
        # a reduce-only order is cut to the position
        order.qty = qty
        order.leaves = leaves
        self.record("ack", order, (exchange_id, price, qty, leaves, engine_ts))
        instrument = order.instrument
        qtys = instrument.qty_scale.values
        order.session.call(
            "on_new_order_ack",
            self.exchange,
            order.client_id,
            exchange_id,
            instrument.number,
            SIDES[order.side],
            instrument.price_scale.values[price],
            qtys[qty],
            qtys[leaves],
            order.order_type,
            order.tif,
            order.exec_instr,
        )

    def new_order_reject(self, wire_id: str, code: GtwRejectCode, reason: str) -> None:
        order = self._tracker.orders.get(wire_id) or self._order(wire_id)
        if order is None:
            return
        order.state = next_state(order.state, _REJECTED)
        order.leaves = 0
        self._tracker.ended(order)
        self.record("reject", order, (code.name, reason))
        order.session.call("on_new_order_reject", self.exchange, order.client_id, code, reason)

    def order_unknown(self, wire_id: str, reason: str) -> None:
        order = self._tracker.orders.get(wire_id) or self._order(wire_id)
        if order is None:
            return
        order.state = next_state(order.state, _TIMED_OUT)
        log.warning("%s %s: order %s: %s", self.exchange.name, self.account, wire_id, reason)
        self.record("unknown", order, (reason,))
        self._tell_status(order, order.state, order.price, order.leaves)

    def order_resolved(self, wire_id: str, status: OrderStatus, leaves: int) -> None:
        order = self._tracker.orders.get(wire_id) or self._order(wire_id)
        if order is None:
            return
        order.state = next_state(order.state, RESOLVED[status])
        order.leaves = leaves
        self._tell_status(order, order.state, order.price, leaves)

    def modify_order_ack(self, wire_id: str, price: int | None, qty: int | None, leaves: int) -> None:
        order = self._tracker.orders.get(wire_id) or self._order(wire_id)
        if order is None:
            return
        if price is not None:
            order.price = price
        if qty is not None:
            order.qty = qty
        order.leaves = leaves
        self.record("modify_ack", order, (price, qty, leaves))
        instrument = order.instrument
        qtys = instrument.qty_scale.values
        order.session.call(
            "on_modify_order_ack",
            self.exchange,
            order.client_id,
            None if price is None else instrument.price_scale.values[price],
            None if qty is None else qtys[qty],
            qtys[leaves],
        )

    def modify_order_reject(self, wire_id: str, code: GtwRejectCode, reason: str) -> None:
        order = self._order(wire_id)
        if order is not None:
            self.record("modify_reject", order, (code.name, reason))
            order.session.call("on_modify_order_reject", self.exchange, order.client_id, code, reason)

    def cancel_order_ack(self, wire_id: str) -> None:
        order = self._tracker.orders.get(wire_id) or self._order(wire_id)
        if order is None:
            return
        self.record("cancel_ack", order, ())
        group = order.cancels.pop(0) if order.cancels else None
        if group is None:
            order.session.call("on_cancel_order_ack", self.exchange, order.client_id)
        elif not group.acknowledged:
            group.acknowledged = True
            self._acknowledge_cancel_all(order.session, group.instrument)

    def cancel_order_reject(self, wire_id: str, code: GtwRejectCode, reason: str) -> None:
        order = self._tracker.orders.get(wire_id) or self._order(wire_id)
        if order is None:
            return
        group = order.cancels.pop(0) if order.cancels else None
        if group is None:
            self._reject_cancel(order, code, reason)
            return
        self.record("cancel_reject", order, (code.name, reason))
        group.waiting -= 1
        if not group.waiting and not group.acknowledged:
            self._reject_cancel_all(order.session, group.instrument, code, reason)

    def _reject_cancel(self, order: TrackedOrder, code: GtwRejectCode, reason: str) -> None:
        self.record("cancel_reject", order, (code.name, reason))
        order.session.call("on_cancel_order_reject", self.exchange, order.client_id, code, reason)

    def cancel_all_ack(self, instrument: Instrument) -> None:
        waiting = self._cancel_alls.get(instrument)
        if waiting:
            self._acknowledge_cancel_all(waiting.pop(0), instrument)

    def cancel_all_reject(self, instrument: Instrument, code: GtwRejectCode, reason: str) -> None:
        waiting = self._cancel_alls.get(instrument)
        if waiting:
            self._reject_cancel_all(waiting.pop(0), instrument, code, reason)

    def _acknowledge_cancel_all(self, session: "Session", instrument: Instrument) -> None:
        self.record("cancel_all_ack", None, (session.name, instrument.name))
        session.call("on_cancel_all_ack", self.exchange, instrument.number)

    def _reject_cancel_all(self, session: "Session", instrument: Instrument, code: GtwRejectCode, reason: str) -> None:
        self.record("cancel_all_reject", None, (session.name, instrument.name, code.name, reason))
        session.call("on_cancel_all_reject", self.exchange, instrument.number, code, reason)

    def order_cancelled(self, wire_id: str, unsolicited: bool, engine_ts: int, code: CancelCode, reason: str) -> None:
        order = self._tracker.orders.get(wire_id) or self._order(wire_id)
        if order is None:
            return
        order.state = next_state(order.state, _CANCELLED)
        order.leaves = 0
        self._tracker.ended(order)
        self.record("cancelled", order, (unsolicited, engine_ts, code.name, reason))
        order.session.call(
            "on_order_cancelled",
            self.exchange,
            order.client_id,
            unsolicited,
            engine_ts // 1_000_000,
            self._clock.now // 1_000_000,
            code,
            reason,
        )

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
        order = self._tracker.orders.get(wire_id) or self._order(wire_id)
        if order is None:
            return
        order.filled += qty
        order.leaves = leaves
        order.state = next_state(order.state, _FILLED if leaves else _FULLY_FILLED)
        if not leaves:
            self._tracker.ended(order)
        self.record("fill", order, (exec_id, price, qty, leaves, fee, fee_coin, maker, exec_ts))
        instrument = order.instrument
        qtys = instrument.qty_scale.values
        order.session.call(
            "on_order_execution",
            self.exchange,
            order.client_id,
            SIDES[order.side],
            instrument.price_scale.values[price],
            qtys[qty],
            qtys[leaves],
            exec_ts // 1_000_000,
            self._clock.now // 1_000_000,
        )

    # -- answers ---------------------------------------------------------------------------------------------------

    def order_status(self, request_id: int, wire_id: str, status: OrderStatus, price: int, leaves: int) -> None:
        _, order = self._asked.pop(request_id)
        self._tell_status(order, status, price, leaves)

    def _tell_status(self, order: TrackedOrder, status: OrderStatus, price: int, leaves: int) -> None:
        instrument = order.instrument
        order.session.call(
            "on_order_status",
            self.exchange,
            instrument.number,
            order.client_id,
            order.exchange_id,
            SIDES[order.side],
            instrument.price_scale.values[price],
            instrument.qty_scale.values[leaves],
            status,
            order.order_type,
            order.tif,
            order.exec_instr,
        )

    def orders_info(self, request_id: int, wire_ids: Sequence[str]) -> None:
        session, _ = self._asked.pop(request_id)
        known = (self.find(each) for each in wire_ids)
        mine = [as_order(each) for each in known if each is not None and each.session is session]
        session.call("on_orders_info", self.exchange, mine)

    def position_info(
        self,
        request_id: int,
        instrument: Instrument,
        position: int,
        entry_price: float,
        mark_price: float,
        liquidation_price: float | None,
    ) -> None:
        session, _ = self._asked.pop(request_id)
        session.call(
            "on_position_info",
            self.exchange,
            instrument.number,
            instrument.qty_scale.values[position],
        )
        if hasattr(session.strategy, "on_position_details"):
            details = (position, entry_price, mark_price, liquidation_price)
            session.call("on_position_details", self.exchange, instrument.number, *details)

    def wallet_info(self, request_id: int, coin: str, total: int, available: int) -> None:
        session, _ = self._asked.pop(request_id)
        session.call("on_wallet_info", self.exchange, coin, Qty.from_units(total), Qty.from_units(available))

    def funding_info(self, request_id: int, instrument: Instrument, rate: float, next_ts: int) -> None:
        session, _ = self._asked.pop(request_id)
        session.call("on_funding_info", self.exchange, instrument.number, rate, next_ts // 1_000_000)

    def account_info(self, request_id: int, user_id: str) -> None:
        session, _ = self._asked.pop(request_id)
        session.call("on_account_info", self.exchange, user_id)

    def rate_limit_info(self, used_percent: int, reset_ts: int) -> None:
        for session in list(self.sessions):
            session.call(
                "on_rate_limit_info",
                self.exchange,
                RATE_LIMIT_PERCENT,
                max(0, RATE_LIMIT_PERCENT - used_percent),
                reset_ts // SECOND,
            )

    def unsupported(self, request_type: str) -> None:
        for session in list(self.sessions):
            session.call("on_unsupported_op", self.exchange, request_type)

    def request_reject(self, request_id: int, code: GtwRejectCode, detail: str, request_type: str) -> None:
        session, _ = self._asked.pop(request_id)
        session.call("on_request_reject", self.exchange, code, detail, request_type)

    def find(self, wire_id: str) -> TrackedOrder | None:
        """The order of this id. Ids of foreign orders are the exchange's, and two exchanges may choose the same."""
        return self._tracker.orders.get(wire_id) or self._foreign.get(wire_id)

    def _order(self, wire_id: str) -> TrackedOrder | None:
        order = self.find(wire_id)
        if order is None:
            self.strange_events += 1
            log.warning(
                "%s %s: something happened to order %s, which is not known here",
                self.exchange.name,
                self.account,
                wire_id,
            )
        return order


def as_order(order: TrackedOrder) -> Order:
    """A tracked order in the form that strategies know."""
    instrument = order.instrument
    qtys = instrument.qty_scale.values
    shown = Order(
        order.client_id,
        instrument.number,
        SIDES[order.side],
        instrument.price_scale.values[order.price] if order.price else None,
        qtys[order.qty],
        order.order_type,
        order.tif,
        order.exec_instr,
        status=order.state,
        exchange_id=order.exchange_id or None,
    )
    if order.filled:
        shown.executed(qtys[order.filled], qtys[order.leaves])
    return shown
