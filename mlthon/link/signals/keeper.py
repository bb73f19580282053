"""`OrderKeeper`: makes the open orders of one bot the wanted ones, and knows which of its requests are unanswered.

What is open is the engine's own knowledge (`Session.open`), so that orders of an earlier run and those whose fate is
unknown are in it. After a refusal nothing new is sent for a while: a quarter of a second where an order would have
taken or was just over, else twice as long each time, up to a minute, until an order is accepted. Cancels are sent even
then.
"""

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from mlthon.basics.defs import ExecInstructions, GtwRejectCode, OrderStatus, OrderType, Side
from mlthon.engine.clock import MS, SECOND
from mlthon.link.signals.market import BotMarket
from mlthon.link.signals.orders import MARKET, Amend, Cancel, Change, Place, Wanted, Working, capped, changes

if TYPE_CHECKING:
    from mlthon.api.istrat_env import IStratEnv
    from mlthon.engine.session import Session
    from mlthon.engine.tracker import TrackedOrder

log = logging.getLogger("mlthon.link")

SOON: Final = 250 * MS
"""How long nothing new is sent after a refusal that the market caused."""
FIRST_PAUSE: Final = SECOND
LONGEST_PAUSE: Final = 60 * SECOND
PASSING: Final = (
    GtwRejectCode.PostOnlyWouldTake,
    GtwRejectCode.OrderNotOpen,
    GtwRejectCode.UnknownOrder,
    GtwRejectCode.RequestPending,
)
"""Refusals that say nothing about the next request."""


class OrderKeeper:
    """See the module."""

    def __init__(self, session: "Session", env: "IStratEnv", market: BotMarket) -> None:
        self._session = session
        self._env = env
        self._market = market
        self._exchange = market.instrument.venue
        self._busy: dict[str, tuple[int, int] | None] = {}
        """Orders with an outstanding change: price and whole quantity asked for; None for a new order or a cancel."""
        self._can_amend = True
        self._pause = FIRST_PAUSE
        self._hold_until = 0
        self._cancels_hold_until = 0

    # -- what is open ------------------------------------------------------------------------------------------------

    def open(self) -> "list[TrackedOrder]":
        """The bot's open orders in its symbol."""
        mine = self._market.instrument
        return [each for each in self._session.open.values() if each.instrument == mine]

    def _working(self) -> list[Working]:
        found = []
        self._busy = {each: asked for each, asked in self._busy.items() if each in self._session.open}
        for order in self.open():
            asked = self._busy.get(order.client_id)
            price, qty = asked or (order.price, order.qty)
            lots = max(0, qty - order.filled) if asked else order.leaves
            found.append(
                Working(
                    order.client_id,
                    order.side,
                    MARKET if order.order_type is OrderType.Market else price,
                    lots,
                    order.filled,
                    order.exec_instr.post_only,
                    order.client_id in self._busy or order.state is OrderStatus.Unknown,
                    max(lots, order.leaves),
                )
            )
        return found

    # -- changing it -------------------------------------------------------------------------------------------------

    def keep(self, wanted: Sequence[Wanted], now: int) -> int | None:
        """Send what makes the open orders the wanted ones; when to try again where something has to wait (ns)."""
        again: int | None = None
        wanted = capped(wanted, self._market.max_lots)
        for change in changes(wanted, self._working(), can_amend=self._can_amend):
            until = self._cancels_hold_until if isinstance(change, Cancel) else self._hold_until
            if now < until:
                again = until if again is None else min(again, until)
            else:
                self._send(change)
        return again

    def _send(self, change: Change) -> None:
        if isinstance(change, Place):
            self._place(change.wanted)
        elif isinstance(change, Amend):
            self._amend(change)
        else:
            self._busy[change.client_id] = None
            self._env.send_cancel_order(self._exchange, self._market.instrument.number, change.client_id)

    def _place(self, want: Wanted) -> None:
        if want.lots < self._market.min_lots:
            return
        instrument = self._market.instrument
        client_id = self._session.new_client_id()
        self._busy[client_id] = None
        self._env.send_new_order(
            client_id,
            self._exchange,
            instrument.number,
            Side.Buy if want.side > 0 else Side.Sell,
            None if want.price is None else instrument.price_scale.values[want.price],
            instrument.qty_scale.values[want.lots],
            ExecInstructions.PostOnly if want.post_only else ExecInstructions.Unset,
            OrderType.Market if want.price is None else OrderType.Limit,
        )

    def _amend(self, change: Amend) -> None:
        order = self._session.open[change.client_id]
        price = order.price if change.price is None else change.price
        qty = order.qty if change.qty is None else change.qty
        instrument = self._market.instrument
        self._busy[change.client_id] = (price, qty)
        self._env.send_modify_order(
            self._exchange,
            change.client_id,
            None if change.price is None else instrument.price_scale.values[price],
            None if change.qty is None else instrument.qty_scale.values[qty],
        )

    # -- what came of it ---------------------------------------------------------------------------------------------

    def accepted(self, client_id: str, order_type: OrderType = OrderType.Limit) -> None:
        """A new order or a change was accepted. A market order has still to find somebody to trade with."""
        self._busy.pop(client_id, None)
        if order_type is not OrderType.Market:
            self._pause = FIRST_PAUSE

    def filled(self, client_id: str, *, over: bool) -> None:
        """An order was filled, in part or to its end."""
        self._pause = FIRST_PAUSE
        if over:
            self.over(client_id)

    def over(self, client_id: str) -> None:
        """An order has ended, or no answer about it will come any more."""
        self._busy.pop(client_id, None)

    def refused(self, client_id: str, what: str, code: GtwRejectCode, reason: str, now: int) -> None:
        """A new order or a change was refused."""
        self._busy.pop(client_id, None)
        if code is GtwRejectCode.UnsupportedOrder and what == "amendment":
            self.cannot_amend()
            return
        if code in PASSING:
            self.hold(now + SOON)
            return
        self.back_off(f"{what} refused: {code.name}{f': {reason}' if reason else ''}", now)

    def cancel_refused(self, client_id: str, now: int) -> None:
        """A cancel was refused: the order's end, or another attempt, follows."""
        self._busy.pop(client_id, None)
        self._cancels_hold_until = now + SECOND

    def cannot_amend(self) -> None:
        """The exchange amends nothing: orders are cancelled and placed anew from now on."""
        self._can_amend = False
        self._busy = {each: asked for each, asked in self._busy.items() if asked is None}

    def back_off(self, reason: str, now: int) -> None:
        """Send nothing new for a while, longer each time. Several refusals at once are one."""
        if now < self._hold_until:
            return
        log.warning("%s: %s; the next attempt in %g s", self._session.name, reason, self._pause / SECOND)
        self.hold(now + self._pause)
        self._pause = min(2 * self._pause, LONGEST_PAUSE)

    def hurry(self) -> None:
        """What comes now does not wait for what was refused before."""
        self._hold_until = self._cancels_hold_until = 0
        self._pause = FIRST_PAUSE

    def hold(self, until: int) -> None:
        """Send nothing new until then (ns)."""
        self._hold_until = max(self._hold_until, until)
