"""`Trader`: what a strategy file and webhook signals have in common, as a strategy of this engine.

Everything that is done on the strategy's account is done in a turn (`turns.py`), in which balances, positions and
orders are frozen (`Trader.frozen`).

    wish → lots (`sizing`) → order → fills → holdings
                                    → filled: its children, and the orders that protect the position (`protection`)
                                    → each change: `order_changed`
"""

import logging
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from attrs import frozen

from mlthon.api.istrat_env import IStratEnv, MDSub
from mlthon.api.istrategy import IStrategy
from mlthon.arsenal.account import Detail, Frozen
from mlthon.arsenal.children import Children
from mlthon.arsenal.comparison import Comparison
from mlthon.arsenal.holdings import Holdings
from mlthon.arsenal.market import Pair
from mlthon.arsenal.orders import OVER, OrderStatus, OrderView, Purpose, Ticket
from mlthon.arsenal.outcomes import Outcomes
from mlthon.arsenal.placing import Placing
from mlthon.arsenal.protection import Protection
from mlthon.arsenal.sizing import Funds
from mlthon.arsenal.tickets import Tickets
from mlthon.arsenal.turns import Turns
from mlthon.arsenal.wishes import ArgumentError, shown
from mlthon.basics.defs import (
    CancelCode,
    Exchange,
    ExecInstructions,
    GtwRejectCode,
    GtwStatus,
    OrderType,
    Side,
)
from mlthon.engine.state import State

if TYPE_CHECKING:
    from mlthon.engine.session import Session

log = logging.getLogger("mlthon.arsenal")


@frozen(kw_only=True)
class TraderSettings:
    """`leverage`: the greatest value of what is held, as a multiple of its margin. `fee`: what is taken of an order's
    value, and left room for. `of_margin`: percentages of opens are of the margin, so they are multiplied by the
    leverage; None: those of signals that are carried out by the rules."""

    leverage: Fraction = Fraction(1)
    fee: Fraction = Fraction(1, 1000)
    of_margin: bool | None = None


class Trader(IStrategy):
    """See the module. `pairs`: the first is the one meant when none is named. `orders_placed`: since the
    beginning, with those that protect."""

    env: IStratEnv
    session: "Session"
    state: State

    def __init__(self, name: str) -> None:
        self.name = name
        self.pairs: list[Pair] = []
        self.holdings: dict[Pair, Holdings] = {}
        self.settings = TraderSettings()
        self.frozen = Frozen()
        self.orders_placed = 0
        self.placing = Placing(self)
        self.ready = False
        self._resuming = True
        self._stopped = False
        self.turns = Turns(self)
        self.comparison = Comparison(self)
        self.children = Children(self)
        self.outcomes = Outcomes()

    def attach(self, session: "Session", pairs: Sequence[Pair], state: State, settings: TraderSettings) -> None:
        """Join it to its session, before the run starts."""
        self.session = session
        self.pairs = list(pairs)
        self.state = state
        self.settings = settings
        self.holdings = {each: Holdings(each) for each in self.pairs}
        self._by_number = {(each.instrument.venue, each.instrument.number): each for each in self.pairs}
        self.tickets = Tickets(state, self.find_pair)
        self.protection = Protection(self)
        for pair, held in self.holdings.items():
            text = state.get(_leg_key(pair))
            if text is not None:
                held.load(text)

    # -- for what is above -------------------------------------------------------------------------------------------

    def began(self) -> None:
        """The first turn: the account may trade and is known."""

    def order_changed(self, order: OrderView) -> None:
        """An order has a new status or was filled in part."""

    def stopped(self) -> None:
        """No more is to be done."""

    def say(self, text: str, level: int = logging.INFO) -> None:
        """A line in the log."""
        log.log(level, "%s: %s", self.name, text)

    @property
    def now(self) -> int:
        return self.session.clock.now

    @property
    def is_stopped(self) -> bool:
        """Whether it was stopped and not started again."""
        return self._stopped

    def find_pair(self, exchange: str | None, pair: str | None) -> Pair:
        """The pair of these names, in any case; None stands for the run's own. Raises `ArgumentError`."""
        for each in self.pairs:
            if (exchange is None or _plain(exchange) == _plain(each.exchange)) and (
                pair is None or _plain(pair) == _plain(each.name)
            ):
                return each
        known = ", ".join(f"{each.exchange} {each.name}" for each in self.pairs)
        wrong = "exchange" if exchange is not None and not self._has_exchange(exchange) else "pair"
        given = exchange if wrong == "exchange" else pair
        raise ArgumentError(wrong, f"this run has no {shown(given)}; it has {known}")

    def _has_exchange(self, name: str) -> bool:
        return any(_plain(name) == _plain(each.exchange) for each in self.pairs)

    # -- turns -------------------------------------------------------------------------------------------------------

    def turn(self, what: str, call: Callable[[], None]) -> None:
        """Have `call` made once the account is known as it is now. `what` names it in errors."""
        if not self._stopped:
            self.turns.add(what, call)

    def asking(self) -> None:
        """The exchange is about to be asked."""
        self.comparison.asking()

    def account_told(self, frozen: Frozen) -> None:
        """What the account is now, for the turns that follow."""
        self.frozen = frozen
        for pair, detail in frozen.positions.items():
            self.comparison.hold(pair, detail)
        if self._resuming:
            self._resuming = False
            self.protection.resume(self.tickets.lost())
            self.children.resume()

    def look(self) -> None:
        """Ask the exchange for the account, for its own sake."""
        self.turn("a look at the account", lambda: None)

    def guarded(self, what: str, call: Callable[[], Any]) -> Any:
        """Make a call of the strategy's own; one that raises counts as a callback that raised."""
        try:
            return call()
        except Exception as error:  # noqa: BLE001 - a strategy's own error must not stop the engine
            return self.session.failed(what, error)

    # -- orders ------------------------------------------------------------------------------------------------------

    def funds(self, pair: Pair) -> Funds:
        """What there is for an order in the pair, as frozen."""
        venue = pair.instrument.venue
        return Funds(
            available={coin: there for (where, coin), (_, there) in self.frozen.wallets.items() if where is venue},
            long=self.placing.closable(pair, 1),
            short=self.placing.closable(pair, -1),
            entries=(self.holdings[pair].entry(1), self.holdings[pair].entry(-1)),
            leverage=self.settings.leverage,
            fee=self.settings.fee,
        )

    def send(self, ticket: Ticket) -> Ticket:
        """Send an order."""
        pair, instrument = ticket.pair, ticket.pair.instrument
        self.orders_placed += 1
        self.tickets.add(ticket)
        prices = instrument.price_scale.values
        order_type = OrderType.Limit if ticket.ticks else OrderType.Market
        if ticket.purpose is not Purpose.WISH:
            order_type = ticket.purpose.order_type
        reduces = ticket.closes and not self.holdings[pair].lots(-ticket.action.leg)
        self.env.send_new_order(
            ticket.client_id,
            instrument.venue,
            instrument.number,
            Side.Buy if ticket.action.side > 0 else Side.Sell,
            prices[ticket.ticks] if ticket.ticks else None,
            instrument.qty_scale.values[ticket.lots],
            ExecInstructions.ReduceOnly if reduces else ExecInstructions.Unset,
            order_type,
            stop_price=prices[ticket.trigger] if ticket.trigger else None,
        )
        return ticket

    def cancel(self, ticket: Ticket) -> None:
        """Ask for an order's cancel."""
        self.protection.leave(ticket)
        instrument = ticket.pair.instrument
        self.env.send_cancel_order(instrument.venue, instrument.number, ticket.client_id)

    def cancel_all(self) -> int:
        """Cancel every open order but those that protect a position; gives their number."""
        mine = [each for each in self.tickets.open() if each.purpose is Purpose.WISH]
        for each in mine:
            self.cancel(each)
        return len(mine)

    # -- what becomes of orders --------------------------------------------------------------------------------------

    def _changed(self, ticket: Ticket) -> None:
        """An order has changed: keep it, tell of it, and do what follows from it."""
        self.comparison.moved()
        self.outcomes.changed(ticket)
        self.children.changed(ticket)
        protects = ticket.purpose is not Purpose.WISH
        self.tickets.keep(ticket, remember=protects and self._stopped and ticket.status is OrderStatus.CANCELED)
        if not protects or (ticket.status in OVER and not self.protection.is_replaced(ticket)):
            self.order_changed(ticket.view())
        self.protection.changed(ticket)

    def keep(self, pair: Pair) -> None:
        """Keep what is held over a restart."""
        self.state.put(_leg_key(pair), self.holdings[pair].dump())

    # -- the framework -----------------------------------------------------------------------------------------------

    def on_framework_connected(self, env: IStratEnv) -> None:
        self.env = env
        self.turns.connect(env, self.pairs)
        env.login(self.session.name)

    def on_start(self, params: str) -> None:
        self._stopped = False
        self._resuming = True
        for venue in dict.fromkeys(each.instrument.venue for each in self.pairs):
            numbers = [each.instrument.number for each in self.pairs if each.instrument.venue is venue]
            self.env.request_execution_connection(venue)
            self.env.subscribe_to_market_data(venue, numbers, [MDSub.BBO, MDSub.PublicTrades])
        if self.turns.open:
            self.turn("the start", self.began)

    def on_stop(self, params: str) -> None:
        self._stopped = True
        self.turns.clear()
        self.children.suspend()
        self.stopped()
        for each in self.tickets.open():
            if each.purpose is Purpose.WISH:
                self.cancel(each)
        self.env.send_stop_ack()

    def on_framework_disconnected(self) -> None:
        self.state.close()

    def on_gateway_status(self, exchange: Exchange, status: GtwStatus, detail: str) -> None:
        self.ready = status is GtwStatus.ReadyToTrade
        if self.ready and not self.turns.open:
            self.turns.begin(self.began)

    def on_best_levels_update(self, *quote: Any) -> None:
        """Pairs hear their feeds themselves."""

    def on_public_trade(self, *trade: Any) -> None:
        """Pairs hear their feeds themselves."""

    # -- answers -----------------------------------------------------------------------------------------------------

    def on_wallet_info(self, exchange: Exchange, coin: str, total_balance: Any, available_balance: Any) -> None:
        self.turns.enquiry.wallet(exchange, coin, total_balance.units, available_balance.units)

    def on_position_details(
        self, exchange: Exchange, instrument_id: int, lots: int, entry: float, mark: float, liquidation: float | None
    ) -> None:
        """The wide form of `on_position_info`."""
        self.turns.enquiry.position(exchange, instrument_id, Detail(lots, entry, mark, liquidation))

    def on_request_reject(self, exchange: Exchange, code: GtwRejectCode, detail: str, request: str) -> None:
        if not self.turns.enquiry.refused(exchange, request):
            self.say(f"{request} was refused: {detail}", logging.WARNING)

    def on_orders_info(self, exchange: Exchange, orders: Sequence[Any]) -> None:
        """What earlier runs left open, before the first `ReadyToTrade`."""
        for order in orders:
            pair = self._by_number.get((exchange, order.get_instrument_id()))
            if pair is not None and not self.tickets.knows(str(order.get_client_id())):
                self.tickets.adopt(order, pair, self.now)

    def on_new_order_ack(self, exchange: Exchange, client_id: str, *rest: Any) -> None:
        ticket = self.tickets.find(str(client_id))
        if ticket is None:
            return
        scale = ticket.pair.instrument.qty_scale
        qty = rest[4]
        ticket.lots = scale.steps(qty)  # a reduce-only order is cut to the position
        ticket.accepted = True
        self._changed(ticket)

    def on_new_order_reject(self, exchange: Exchange, client_id: str, code: GtwRejectCode, reason: str) -> None:
        ticket = self.tickets.find(str(client_id))
        if ticket is None:
            return
        self.say(f"order {client_id} ({ticket.action.value} {ticket.pair.name}) was refused: {reason}", logging.ERROR)
        self.outcomes.refused(ticket, reason)
        ticket.status = OrderStatus.CANCELED
        self.protection.refused(ticket, code)
        self._changed(ticket)

    def on_order_execution(
        self,
        exchange: Exchange,
        client_id: str,
        side: Side,
        price: Any,
        fill_qty: Any,
        leaves_qty: Any,
        exec_ts: int,
        recv_ts: int,
    ) -> None:
        ticket = self.tickets.find(str(client_id))
        if ticket is None:
            self._foreign(exchange, str(client_id), side, price, fill_qty)
            return
        pair = ticket.pair
        lots = pair.instrument.qty_scale.steps(fill_qty)
        ticks = pair.instrument.price_scale.steps(price)
        ticket.filled += lots
        ticket.cost += lots * ticks
        left = pair.instrument.qty_scale.steps(leaves_qty)
        ticket.status = OrderStatus.PARTIALLY_FILLED if left else OrderStatus.FILLED
        if not pair.spot:
            self.holdings[pair].fill(ticket.action.leg, ticket.action.side, lots, ticks)
            self.keep(pair)
            self.protection.fit(pair)
        self._changed(ticket)

    def _foreign(self, exchange: Exchange, client_id: str, side: Side, price: Any, qty: Any) -> None:
        """A fill of an order that is not ours, such as a liquidation. The account knows which pair it is about."""
        order = self.session.ports[exchange].find(client_id)
        pair = None if order is None else self._by_number.get((exchange, order.instrument.number))
        self.say(f"a fill of order {client_id}, which is not ours: {side.name} {qty} at {price}", logging.WARNING)
        self.comparison.moved()
        self.look()
        if pair is not None and not pair.spot:
            scales = pair.instrument.qty_scale, pair.instrument.price_scale
            self.holdings[pair].foreign(side.sign, scales[0].steps(qty), scales[1].steps(price))
            self.keep(pair)
            self.protection.fit(pair)

    def on_order_cancelled(
        self,
        exchange: Exchange,
        client_id: str,
        unsolicited: bool,
        engine_ts: int,
        recv_ts: int,
        code: CancelCode,
        reason: str,
    ) -> None:
        ticket = self.tickets.find(str(client_id))
        if ticket is None:
            return
        if unsolicited:
            self.say(f"order {client_id} was cancelled by the exchange: {reason or code.name}", logging.WARNING)
            if not ticket.filled:
                self.outcomes.refused(ticket, reason or code.name)
        # the exchange had it, also where that was an earlier run's to hear
        ticket.accepted = True
        ticket.status = OrderStatus.CANCELED
        self._changed(ticket)

    def on_cancel_order_reject(self, exchange: Exchange, client_id: Any, code: GtwRejectCode, reason: str) -> None:
        ticket = self.tickets.find(str(client_id))
        if ticket is not None and not ticket.leaves:
            return  # it was over before its cancel arrived
        self.say(f"the cancel of order {client_id} was refused: {reason}", logging.WARNING)
        if ticket is not None:
            self.protection.stays(ticket)


def _leg_key(pair: Pair) -> str:
    return f"held/{pair.exchange}/{pair.name}"


def _plain(name: str) -> str:
    return "".join(each for each in str(name).casefold() if each.isalnum())
