"""`ServedAccount`: one account as a server sees it: its requests, and all that happened to its orders.

A request goes to the embedded exchange and takes its entry latency; what the exchange says comes back at the same
instant (the way back to the client is the server's affair). `done` callbacks are called once the exchange has answered
and everything of the same instant (fills of a taker, the cancel of an IOC's rest) is in the record. So a dialect whose
answer carries the result waits for `done`; one that only acknowledges answers at once.

Client ids are the client's own and may repeat: whether a duplicate is refused is the dialect's business (`by_client`).
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

from mlthon.basics.defs import CancelCode, GtwRejectCode, GtwStatus, OrderStatus, OrderType
from mlthon.basics.money import UNIT, ratio
from mlthon.engine.clock import Clock
from mlthon.exchange.account import Account
from mlthon.exchange.contracts import Position
from mlthon.exchange.gateway import EmbeddedGateway
from mlthon.exchange.margin import liquidation_price, taken_up
from mlthon.exchange.served.records import (
    AccountListener,
    CoinView,
    NewOrder,
    PositionView,
    Refusal,
    ServedExecution,
    ServedOrder,
)

if TYPE_CHECKING:
    from mlthon.basics.instrument import Instrument
    from mlthon.exchange.served.exchange import ServedExchange

KEPT: Final = 10_000
"""How many orders that are over, and how many executions, are remembered."""

OrderDone = Callable[[ServedOrder], None]
ChangeDone = Callable[[ServedOrder, Refusal | None], None]
"""The order as it is now, and why nothing was changed, if so."""
ManyDone = Callable[[list[ServedOrder]], None]


class ServedAccount:
    """See the module text. `orders`: by exchange id, the open ones and the last 10,000 that are over; `history`: those
    that are over, oldest first; `executions`: the last 10,000, oldest first. `extra`: settings that a dialect keeps
    for its account (leverage and the like)."""

    def __init__(self, exchange: "ServedExchange", name: str, number: int) -> None:
        self.exchange = exchange
        self.clock: Clock = exchange.clock
        self.name = name
        self.number = number
        self.listeners: list[AccountListener] = []
        self.orders: dict[str, ServedOrder] = {}
        self.history: deque[ServedOrder] = deque()
        self.executions: deque[ServedExecution] = deque(maxlen=KEPT)
        self.extra: dict[str, object] = {}
        self.connected = True
        self._open: dict[str, ServedOrder] = {}
        self._clients: dict[str, ServedOrder] = {}
        self._wires: dict[str, ServedOrder] = {}
        self._placing: dict[str, OrderDone] = {}
        self._amending: dict[str, deque[tuple[int | None, int | None, ChangeDone]]] = {}
        self._cancelling: dict[str, deque[ChangeDone]] = {}
        self._shadows: dict[Instrument, Position] = {}
        self._cash: dict[str, int] = {}
        self._waiting: dict[str, ServedOrder] = {}
        self.gateway: EmbeddedGateway

    def open_with(self, gateway: EmbeddedGateway) -> None:
        """The exchange's own: the account's way in."""
        self.gateway = gateway
        self._cash = dict(gateway.ledger.cash)

    @property
    def ledger(self) -> Account:
        """Its money and positions at the embedded exchange."""
        return self.gateway.ledger

    # -- what can be asked -------------------------------------------------------------------------------------------

    def open_orders(self, instrument: "Instrument | None" = None) -> Iterator[ServedOrder]:
        """Open orders, oldest first; those on their way to the exchange are among them (`PendingNew`)."""
        self.look_at_stops()
        return (each for each in list(self._open.values()) if instrument is None or each.instrument == instrument)

    def find(self, order_id: str = "", client_id: str = "") -> ServedOrder | None:
        """An order by its exchange id, else the latest with this client id."""
        self.look_at_stops()
        return self.orders.get(order_id) if order_id else self.by_client(client_id)

    def by_client(self, client_id: str) -> ServedOrder | None:
        """The latest order with this client id (never one without)."""
        return self._clients.get(client_id) if client_id else None

    def position(self, instrument: "Instrument") -> PositionView:
        """The position in the instrument, flat if there never was one. Spot has none: always flat."""
        market = self.exchange.embedded.market(instrument)
        contract = market.contract
        market.sync()
        mark = market.mark or 0
        stake = self.ledger.stakes.get(instrument)
        if stake is None or contract.spot:
            return PositionView(instrument, 0, 0.0, 0, mark * contract.tick_units, None, 0, 0, 0, 0)
        held = stake.position
        bound = liquidation_price(stake)
        unit = contract.unit_value(mark) if mark > 0 else 0
        return PositionView(
            instrument,
            held.lots,
            held.entry_price,
            _entry_units(held, contract.lot_units * instrument.multiplier_units),
            mark * contract.tick_units,
            None if bound is None else bound * contract.tick_units,
            abs(held.lots) * unit,
            held.unrealised(unit) if held.lots else 0,
            held.realised - held.fees + held.funding,
            ratio(abs(held.cost) * UNIT, self.exchange.embedded.margin.leverage),
        )

    def coins(self) -> list[str]:
        """Every coin the account has or had, in order of name."""
        return sorted(self.ledger.cash)

    def coin(self, coin: str) -> CoinView:
        """One coin of the wallet."""
        ledger, embedded = self.ledger, self.exchange.embedded
        unrealised = position_margin = order_margin = 0
        leverage = embedded.margin.leverage
        for stake in ledger.stakes.values():
            if stake.contract.spot or stake.contract.coin != coin:
                continue
            held = abs(stake.position.cost)
            used = taken_up(stake, stake.buys, stake.sells)
            position_margin += ratio(held * UNIT, leverage)
            order_margin += ratio(max(0, used - held) * UNIT, leverage)
            unrealised += self.position(stake.market.instrument).unrealised
        cash = ledger.cash.get(coin, 0)
        return CoinView(
            coin,
            cash,
            unrealised,
            cash + unrealised,
            embedded.spendable(ledger, coin),
            ledger.held(coin),
            position_margin,
            order_margin,
        )

    # -- requests ----------------------------------------------------------------------------------------------------

    def place(self, new: NewOrder, done: OrderDone | None = None) -> ServedOrder:
        """Send a new order. The record is there at once (`PendingNew`) with its ids; `done` is called with it when the
        exchange has accepted or rejected it (`order.status`, `order.reject_code`)."""
        order = self.exchange.new_record(self, new)
        self._remember(order)
        if done is not None:
            self._placing[order.wire_id] = done
        if self.exchange.halted:
            reason = self.exchange.halted
            self.clock.call_soon(self.new_order_reject, order.wire_id, GtwRejectCode.GtwNotReady, reason)
        else:
            self.gateway.new_order(order)
        return order

    def amend(self, order: ServedOrder, price: int | None, qty: int | None, done: ChangeDone | None = None) -> None:
        """Change price (ticks) and the whole quantity (lots, filled part included); None leaves it."""
        self._amending.setdefault(order.wire_id, deque()).append((price, qty, done or _ignored))
        self.gateway.modify_order(order, price, qty)

    def rename(self, order: ServedOrder, client_id: str) -> None:
        """Give an order another client id, as an amendment may."""
        if self._clients.get(order.client_id) is order:
            del self._clients[order.client_id]
        order.client_id = client_id
        if client_id:
            self._clients[client_id] = order

    def cancel(self, order: ServedOrder, done: ChangeDone | None = None) -> None:
        """Cancel an order."""
        self._cancelling.setdefault(order.wire_id, deque()).append(done or _ignored)
        self.gateway.cancel_order(order)

    def cancel_many(self, orders: Iterable[ServedOrder], done: ManyDone | None = None) -> list[ServedOrder]:
        """Cancel these; returns them. `done` is called with those that were cancelled, when all are answered."""
        wanted = list(orders)
        cancelled: list[ServedOrder] = []
        left = len(wanted)

        def answered(order: ServedOrder, refusal: Refusal | None) -> None:
            nonlocal left
            left -= 1
            if refusal is None:
                cancelled.append(order)
            if left == 0 and done is not None:
                done(cancelled)

        for order in wanted:
            self.cancel(order, answered)
        if not wanted and done is not None:
            self.clock.call_soon(done, cancelled)
        return wanted

    def deposit(self, coin: str, units: int) -> None:
        """Add (or, negative, take) money from outside."""
        self.ledger.deposits[coin] = self.ledger.deposits.get(coin, 0) + units
        self.ledger.paid(coin, -units)
        self.review()

    def review(self) -> None:
        """Tell of cash that changed without a fill (funding, deposits). The exchange calls it once a second."""
        changed = tuple(coin for coin, cash in self.ledger.cash.items() if self._cash.get(coin) != cash)
        if not changed:
            return
        self._cash = dict(self.ledger.cash)
        for listener in tuple(self.listeners):
            listener.wallet_changed(changed)

    def stops_due(self) -> None:
        """The market moved: look at the stops once the present event is over."""
        if self._waiting:
            self.clock.call_soon(self.look_at_stops)

    def look_at_stops(self) -> None:
        """The embedded exchange says nothing when a stop triggers: look which did."""
        for order in list(self._waiting.values()):
            there = self.ledger.orders.get(order.wire_id)
            if there is not None and there.state is OrderStatus.New:
                self._triggered(order)
                self._tell(order)

    # -- what the exchange says (OrderEvents) ------------------------------------------------------------------------

    def gateway_status(self, status: GtwStatus, detail: str) -> None:
        self.connected = status is GtwStatus.ReadyToTrade

    def foreign_order(self, wire_id: str, instrument: "Instrument", side: int, qty: int, reason: str) -> None:
        """A liquidation: the exchange's own order on the account."""
        new = NewOrder(instrument=instrument, side=side, qty=qty, order_type=OrderType.Market, reduce_only=True)
        order = self.exchange.new_record(self, new, wire_id)
        order.status = OrderStatus.New
        order.reason = reason
        order.extra["liquidation"] = True
        self._remember(order)
        self._tell(order)

    def new_order_ack(self, wire_id: str, exchange_id: str, price: int, qty: int, leaves: int, engine_ts: int) -> None:
        order = self._wires[wire_id]
        waits = order.order_type not in (OrderType.Limit, OrderType.Market)
        order.status = OrderStatus.Untriggered if waits else OrderStatus.New
        if waits:
            self._waiting[wire_id] = order
        order.price, order.qty, order.leaves = price, qty, leaves
        self._tell(order)
        self._placed(order)

    def new_order_reject(self, wire_id: str, code: GtwRejectCode, reason: str) -> None:
        order = self._wires[wire_id]
        order.status, order.reject_code, order.reason, order.leaves = OrderStatus.Rejected, code, reason, 0
        self._over(order)
        self._tell(order)
        self._placed(order)

    def order_unknown(self, wire_id: str, reason: str) -> None:
        """The embedded exchange always answers."""

    def order_resolved(self, wire_id: str, status: OrderStatus, leaves: int) -> None:
        """No order is ever unknown to the embedded exchange."""

    def modify_order_ack(self, wire_id: str, price: int | None, qty: int | None, leaves: int) -> None:
        order = self._wires[wire_id]
        pending = self._amending.get(wire_id)
        asked = False
        if pending:
            wanted_price, wanted_qty, done = pending[0]
            asked = _agrees(wanted_price, price, order.price) and _agrees(wanted_qty, qty, order.qty)
        order.price = order.price if price is None else price
        order.qty = order.qty if qty is None else qty
        order.leaves = leaves
        self._tell(order)
        if pending and asked:
            pending.popleft()
            self.clock.call_soon(done, order, None)

    def modify_order_reject(self, wire_id: str, code: GtwRejectCode, reason: str) -> None:
        _, _, done = self._amending[wire_id].popleft()
        self.clock.call_soon(done, self._wires[wire_id], Refusal(code, reason))

    def cancel_order_ack(self, wire_id: str) -> None:
        self.clock.call_soon(self._cancelling[wire_id].popleft(), self._wires[wire_id], None)

    def cancel_order_reject(self, wire_id: str, code: GtwRejectCode, reason: str) -> None:
        done = self._cancelling[wire_id].popleft()
        self.clock.call_soon(done, self._wires[wire_id], Refusal(code, reason))

    def cancel_all_ack(self, instrument: "Instrument") -> None:
        """Not asked for here: orders are cancelled one by one."""

    def cancel_all_reject(self, instrument: "Instrument", code: GtwRejectCode, reason: str) -> None:
        """Not asked for here."""

    def order_cancelled(self, wire_id: str, unsolicited: bool, engine_ts: int, code: CancelCode, reason: str) -> None:
        order = self._wires[wire_id]
        self._waiting.pop(wire_id, None)
        order.status, order.cancel_code, order.reason, order.leaves = OrderStatus.Cancelled, code, reason, 0
        self._over(order)
        self._tell(order)

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
        order = self._wires[wire_id]
        if wire_id in self._waiting:
            self._triggered(order)
        unit = self.exchange.embedded.market(order.instrument).contract.unit_value(price)
        closed, gain = self._book(order, qty, unit)
        number, styled = self.exchange.next_execution()
        execution = ServedExecution(
            order, number, styled, price, qty, leaves, qty * unit, fee, fee_coin, maker, self.clock.now, closed, gain
        )
        order.filled += qty
        order.leaves = leaves
        order.value += qty * unit
        order.price_sum += price * qty
        order.fees += fee
        order.fee_coin = fee_coin
        order.executions.append(execution)
        self.executions.append(execution)
        order.status = OrderStatus.PartiallyFilled if leaves else OrderStatus.Filled
        if not leaves:
            self._over(order)
        self._tell(order)
        for listener in tuple(self.listeners):
            listener.executed(execution)
        for listener in tuple(self.listeners):
            listener.position_changed(order.instrument)
        self.review()

    # Answers to questions and limits: the embedded exchange is not asked these ways.

    def order_status(self, request_id: int, wire_id: str, status: OrderStatus, price: int, leaves: int) -> None: ...

    def orders_info(self, request_id: int, wire_ids: Sequence[str]) -> None: ...

    def position_info(
        self,
        request_id: int,
        instrument: "Instrument",
        position: int,
        entry_price: float,
        mark_price: float,
        liquidation_price: float | None,
    ) -> None: ...

    def wallet_info(self, request_id: int, coin: str, total: int, available: int) -> None: ...

    def funding_info(self, request_id: int, instrument: "Instrument", rate: float, next_ts: int) -> None: ...

    def account_info(self, request_id: int, user_id: str) -> None: ...

    def rate_limit_info(self, used_percent: int, reset_ts: int) -> None: ...

    def unsupported(self, request_type: str) -> None: ...

    def request_reject(self, request_id: int, code: GtwRejectCode, detail: str, request_type: str) -> None: ...

    # -- the records -------------------------------------------------------------------------------------------------

    def _remember(self, order: ServedOrder) -> None:
        self.orders[order.order_id] = self._open[order.wire_id] = self._wires[order.wire_id] = order
        if order.client_id:
            self._clients[order.client_id] = order

    def _over(self, order: ServedOrder) -> None:
        if self._open.pop(order.wire_id, None) is None:
            return
        self._waiting.pop(order.wire_id, None)
        self.history.append(order)
        if len(self.history) > KEPT:
            old = self.history.popleft()
            self.orders.pop(old.order_id, None)
            self._wires.pop(old.wire_id, None)
            self._amending.pop(old.wire_id, None)
            self._cancelling.pop(old.wire_id, None)
            if self._clients.get(old.client_id) is old:
                del self._clients[old.client_id]

    def _placed(self, order: ServedOrder) -> None:
        done = self._placing.pop(order.wire_id, None)
        if done is not None:
            self.clock.call_soon(done, order)

    def _triggered(self, order: ServedOrder) -> None:
        self._waiting.pop(order.wire_id, None)
        order.triggered = True
        if order.status is OrderStatus.Untriggered:
            order.status = OrderStatus.New

    def _tell(self, order: ServedOrder) -> None:
        order.updated_ts = self.clock.now
        for listener in tuple(self.listeners):
            listener.order_changed(order)

    def _book(self, order: ServedOrder, qty: int, unit: int) -> tuple[int, int]:
        """How many lots of a fill closed a position, and what that gained; spot has no positions."""
        contract = self.exchange.embedded.market(order.instrument).contract
        if contract.spot:
            return 0, 0
        shadow = self._shadows.get(order.instrument)
        if shadow is None:
            shadow = self._shadows[order.instrument] = Position(contract)
        held = shadow.lots
        closed = min(abs(held), qty) if held and (held > 0) != (order.side > 0) else 0
        return closed, shadow.trade(order.side * qty, unit)


def _entry_units(held: Position, lot: int) -> int:
    """The average price of what is held in 10^-18; `lot`: what a lot counts, in 10^-36."""
    if not held.lots or not held.cost:
        return 0
    if held.contract.direction < 0:
        return ratio(held.lots * lot, held.cost)
    return ratio(held.cost * UNIT * UNIT, held.lots * lot)


def _agrees(wanted: int | None, said: int | None, has: int) -> bool:
    """Whether an acknowledged change can be the one asked for: what is not said did not change."""
    return wanted is None or wanted == (has if said is None else said)


def _ignored(order: ServedOrder, refusal: Refusal | None) -> None:
    """Nobody waits for the answer."""
