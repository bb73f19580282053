"""`SignalBot`: one signal bot, as a strategy of this engine.

It has a session (`bot.NAME`) of its own on one account, so that risk limits, journal, ids, recovery and the cancels of
a stop are those of any strategy. Whatever happens (a signal, a fill, an answer, a time) ends in `_think`: the type's
plan says what should be open now, and the `OrderKeeper` makes it so. Nothing is wanted, and what is open is cancelled,
while

    there was no usable signal yet      the market data is interrupted       it is outside its trading hours
    it is switched off or stopping      an exit has closed the position and no new signal has come since

and nothing at all is sent while the gateway is not ready or the account has not said what position it holds.

In a run on live market data the bot has a `BotMemory`: after a restart it goes on with its last signal, unless that is
too old (`lasts`), leaves alone what an exit has used up, finishes an exit that was under way, and its trailing stop
goes on from the best price.
"""

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from attrs import evolve

from mlthon.api.istrat_env import IStratEnv, MDSub
from mlthon.api.istrategy import IStrategy
from mlthon.basics.defs import CancelCode, Exchange, FeedHandlerStatus, GtwRejectCode, GtwStatus, OrderType, Side
from mlthon.engine.clock import NEVER, SECOND
from mlthon.errors import UserError
from mlthon.link.host.listing import Listing
from mlthon.link.host.signals import Signal
from mlthon.link.signals.account import AccountWatch, AskPosition
from mlthon.link.signals.intents import BadIntent
from mlthon.link.signals.keeper import OrderKeeper
from mlthon.link.signals.kinds import Kind, params_of
from mlthon.link.signals.market import BotMarket
from mlthon.link.signals.memory import BotMemory
from mlthon.link.signals.orders import MARKET, Wanted
from mlthon.link.signals.params import Params
from mlthon.link.signals.plans import Plan, Wish
from mlthon.link.signals.position import BotPosition

if TYPE_CHECKING:
    from mlthon.engine.clock import Clock, Handle
    from mlthon.engine.session import Session

log = logging.getLogger("mlthon.link")

NEARLY_USED: Final = 10
"""With so many percent of a rate limit left nothing new is sent until it starts anew."""


class SignalBot(IStrategy):
    """See the module. `session`, `clock` are set by `attach`. `position`: what the bot holds. `intent`: the last usable
    signal. `exited`: why the position was last closed by the bot itself, until a new signal comes. `lasts`: how old a
    signal may be after a restart (ns)."""

    env: IStratEnv
    session: "Session"
    clock: "Clock"

    def __init__(
        self, kind: Kind, exchange: Exchange, params: Params, *, enabled: bool = True, lasts_s: float | None = None
    ) -> None:
        self.kind = kind
        self.lasts = round((kind.lasts_s if lasts_s is None else lasts_s) * SECOND)
        self.exchange = exchange
        self.params = params
        self.enabled = enabled
        self.intent: Any = None
        self.exited: str | None = None
        self.market: BotMarket
        self.position: BotPosition
        self._plan: Plan
        self._keeper: OrderKeeper
        self._account: AccountWatch
        self._ready = False
        self._feed_live = False
        self._closing = False
        self._stopping = False
        self._alarm: Handle | None = None
        self._turn = NEVER
        """When trading hours next begin or end (ns)."""
        self._complaint = ""
        self._memory = BotMemory()

    def attach(
        self,
        session: "Session",
        clock: "Clock",
        listing: Listing,
        ask_position: AskPosition | None = None,
        *,
        held: int = 0,
        memory: BotMemory | None = None,
    ) -> None:
        """The run is put together. Without `ask_position` the bot begins with what it `held` (lots) by its own fills.
        Raises `UserError` for sizes that the exchange does not know."""
        self.session = session
        self.clock = clock
        self.market = BotMarket(listing)
        self.position = BotPosition(inverse=self.market.inverse)
        # what a spot account holds of a coin is no position
        ask = None if listing.spot else ask_position
        self._account = AccountWatch(session, clock, self.market, self.position, ask, self._account_told)
        self._plan = self._planned(self.params)
        if memory is not None:
            self._memory = memory
        self.intent, self.exited = self._memory.recall(self.kind, clock.now, self.lasts)
        self._closing = self._memory.signal is not None and self._memory.signal.closing
        if ask is None and held:
            self.position.set(held, 0.0)
            self._memory.recall_position(self.position)

    def _planned(self, params: Params) -> Plan:
        for name in ("max_position_size", "max_order_size"):
            size = getattr(params, name, None)
            if size is not None and self.market.lots(size) < self.market.min_lots:
                raise UserError(
                    f"{self.session.name}: {name} {size:g} is less than the smallest order of "
                    f"{self.market.listing.sym}, {self.market.size(self.market.min_lots):g}"
                )
        return self.kind.plan(params, self.market)

    # -- signals -------------------------------------------------------------------------------------------------------

    def hear(self, signal: Signal) -> None:
        """A script has signalled: as a call of its own, whose errors are this bot's."""
        self.clock.call_soon(self.session.call, "on_signal", signal)

    def on_signal(self, signal: Signal) -> None:
        """Take over what a signal says. One that cannot be understood is told, and the one before stays."""
        value = signal.intents.get(self.kind.takes)
        if value is None:
            return
        try:
            intent = self.kind.read(value)
        except BadIntent as error:
            self._complain(f"a signal of {signal.by} is ignored: {error}")
            return
        if intent != self.intent:
            self.intent = intent
            self.exited = None
            self._think()
        self._memory.heard(intent, self.clock.now, self.exited, closing=self._closing)

    def _complain(self, text: str) -> None:
        """Once, until something else is wrong: a script may say the same at every trade."""
        if text != self._complaint:
            self._complaint = text
            log.warning("%s: %s", self.session.name, text)

    # -- what is wanted ------------------------------------------------------------------------------------------------

    def _think(self) -> None:
        """Make the open orders those that should be open."""
        if not self.session.running:
            return
        if self._ready and self._account.known:
            now = self.clock.now
            wish = self._wish(now)
            again = self._keeper.keep(wish.orders, now)
            self._wake_at(min((each for each in (wish.again, again) if each is not None), default=None))
        if self._stopping and self._stopped():
            self.env.send_stop_ack()
            self._stopping = False

    def _stopped(self) -> bool:
        """Whether there is nothing left to be done, or no way to do it."""
        if not (self._ready and self._account.known):
            return True
        return not self._keeper.open() and not (self.params.closes and self._holds)

    @property
    def _holds(self) -> bool:
        """Whether it has a position that an order can close."""
        return abs(self.position.lots) >= self.market.min_lots

    def _wish(self, now: int) -> Wish:
        hours = self.params.hours
        self._turn = NEVER if hours is None else hours.next_change(now)
        turn = None if hours is None else self._turn
        resting = self._stopping or not self.enabled or (hours is not None and not hours.open(now))
        if self._closing and not self._holds and not self._keeper.open():
            self._closing = False
            self._memory.spend(self.exited, closing=False)
        if self._closing or (resting and self.params.closes):
            self._plan.forget()
            return Wish(self._flat(), turn)
        if resting or self.exited is not None or self.intent is None or not self._feed_live:
            self._plan.forget()
            return Wish((), turn)
        if not self.market.two_sided:
            # neither new orders nor cancels: one empty side is a matter of moments
            return Wish(self._as_they_are(), turn)
        wish = self._plan.wanted(self.intent, now, self.position.lots)
        if turn is None:
            return wish
        return evolve(wish, again=turn if wish.again is None else min(turn, wish.again))

    def _flat(self) -> tuple[Wanted, ...]:
        lots = self.position.lots
        return (Wanted(-1 if lots > 0 else 1, MARKET, abs(lots)),) if self._holds else ()

    def _as_they_are(self) -> list[Wanted]:
        return [
            Wanted(each.side, each.price or MARKET, each.leaves, each.exec_instr.post_only)
            for each in self._keeper.open()
        ]

    def _wake_at(self, ts: int | None) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = None if ts is None else self.clock.schedule(ts, self.session.call, "on_alarm")

    def _account_told(self) -> None:
        self._memory.recall_position(self.position)
        self.session.call("on_alarm")

    def on_alarm(self) -> None:
        """The time has come that was named, or the account has said what it holds."""
        self._alarm = None
        self._think()

    def status(self) -> str:
        """How the bot stands, in a line; also the answer to the command `status`."""
        market, lots = self.market, self.position.lots
        held = f"{market.size(lots):g}" if lots else "flat"
        at = f" at {self.position.entry * market.listing.prices[1]:g}" if lots else ""
        said = "no signal yet" if self.intent is None else f"{self.kind.takes}={self.intent}"
        states = (
            ("switched off", not self.enabled),
            ("gateway not ready", not self._ready),
            ("no market data", not self._feed_live),
            (f"closed by {self.exited}", self.exited is not None),
        )
        troubles = "".join(f"; {text}" for text, is_so in states if is_so)
        return f"{market.listing.sym}: {held}{at}, {len(self._keeper.open())} open orders, {said}{troubles}"

    # -- the framework -------------------------------------------------------------------------------------------------

    def on_framework_connected(self, env: IStratEnv) -> None:
        self.env = env
        self._keeper = OrderKeeper(self.session, env, self.market)
        env.add_cmd_hook("status", lambda words: env.publish_telegram(self.status()))
        env.login(self.session.name)

    def on_start(self, params: str) -> None:
        self._stopping = False
        self.env.request_execution_connection(self.exchange)
        self.env.subscribe_to_market_data(self.exchange, [self.market.instrument.number], [MDSub.BBO])
        self._think()

    def on_stop(self, params: str) -> None:
        self._stopping = True
        self._keeper.hurry()
        self._think()

    def on_framework_disconnected(self) -> None:
        self._wake_at(None)
        self._account.end()
        self._memory.close()

    def on_strat_params_update(self, strat_params: Mapping[str, Any]) -> None:
        """What stands in the configuration now: `enabled` and `params`; with a mistake in it nothing changes."""
        enabled = bool(strat_params.get("enabled", False))
        try:
            params = params_of(self.kind, strat_params["params"], self.session.name) if enabled else self.params
            plan = self._plan if params == self.params else self._planned(params)
        except UserError as error:
            log.warning("%s: everything stays as it is: %s", self.session.name, error)
            return
        if params != self.params:
            self.params, self._plan = params, plan
            log.debug("%s: new parameters", self.session.name)
        if enabled is not self.enabled:
            log.debug("%s: switched %s", self.session.name, "on" if enabled else "off")
            self.enabled = enabled
        self._think()

    def on_gateway_status(self, exchange: Exchange, status: GtwStatus, detail: str) -> None:
        self._ready = status is GtwStatus.ReadyToTrade
        if self._ready:
            self._account.begin()
        self._think()

    def on_feed_handler_status(self, exchange: Exchange, status: FeedHandlerStatus, detail: str) -> None:
        self._feed_live = status is FeedHandlerStatus.SnapshotEnd
        self._think()

    def on_rate_limit_info(self, exchange: Exchange, rate_limit: int, rate_remaining: int, reset_ts: int) -> None:
        if rate_remaining <= NEARLY_USED:
            self._keeper.hold(reset_ts * SECOND)

    def on_unsupported_op(self, exchange: Exchange, unsupported_msg_type: str) -> None:
        if unsupported_msg_type == "ModifyOrder":
            self._keeper.cannot_amend()
            self._think()

    # -- the position --------------------------------------------------------------------------------------------------

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
        instrument = self.market.instrument
        order = self.session.orders.get(client_id)
        if order is not None and order.instrument != instrument:
            return
        lots = side.sign * instrument.qty_scale.steps(fill_qty)
        self.position.fill(lots, instrument.price_scale.steps(price))
        self._keeper.filled(client_id, over=not leaves_qty.units)
        self._think()
        self._keep_position()

    def on_best_levels_update(
        self, exchange: Exchange, instrument_id: int, bid: Any, bid_qty: Any, ask: Any, ask_qty: Any, recv_ts: int
    ) -> None:
        market = self.market
        was = market.two_sided
        market.show(bid, ask)
        if not market.two_sided:
            return
        if not was or self.clock.now >= self._turn:
            # a hole in the data may have moved the alarm for trading hours
            self._think()
        if self.position.lots and self._watches:
            best = self.position.best
            why = self.position.due(self.params.exits, market.bid, market.ask)
            if why is not None:
                self._exit(why)
            elif self.position.best != best and self.params.exits.trail is not None:
                self._keep_position()

    @property
    def _watches(self) -> bool:
        """Whether exits count now."""
        return self._feed_live and self.enabled and self.session.running and not self._stopping and not self._closing

    def _exit(self, why: str) -> None:
        """Close the position; the signal that led to it is used up."""
        log.warning("%s: %s: the position is closed until a new signal comes", self.session.name, why)
        self._closing = True
        self.exited = why
        # before the order leaves: after a restart in between it is sent again, where the position is still there
        self._memory.spend(why, closing=True)
        self._keeper.hurry()
        self._think()

    def _keep_position(self) -> None:
        if self._account.known:
            self._memory.stands(self.position)

    # -- answers -------------------------------------------------------------------------------------------------------

    def on_new_order_ack(
        self,
        exchange: Exchange,
        client_id: str,
        exchange_id: str,
        instrument_id: int,
        side: Side,
        price: Any,
        qty: Any,
        leaves_qty: Any,
        order_type: OrderType,
        *rest: Any,
    ) -> None:
        self._keeper.accepted(client_id, order_type)
        self._think()

    def on_new_order_reject(self, exchange: Exchange, client_id: str, code: GtwRejectCode, reason: str) -> None:
        self._refused(client_id, "order", code, reason)

    def on_modify_order_ack(self, exchange: Exchange, client_id: str, price: Any, qty: Any, leaves: Any) -> None:
        self._keeper.accepted(client_id)
        self._think()

    def on_modify_order_reject(self, exchange: Exchange, client_id: str, code: GtwRejectCode, reason: str) -> None:
        self._refused(client_id, "amendment", code, reason)

    def _refused(self, client_id: str, what: str, code: GtwRejectCode, reason: str) -> None:
        if code is GtwRejectCode.PostOnlyWouldTake:
            self._plan.refused()
        self._keeper.refused(client_id, what, code, reason, self.clock.now)
        self._think()

    def on_cancel_order_reject(self, exchange: Exchange, client_id: str | None, *rest: Any) -> None:
        if client_id is not None:
            self._keeper.cancel_refused(client_id, self.clock.now)
            self._think()

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
        self._keeper.over(client_id)
        if code is CancelCode.PostOnlyWouldTake:
            self._refused(client_id, "order", GtwRejectCode.PostOnlyWouldTake, reason)
            return
        if unsolicited:
            self._keeper.back_off(
                f"an order was cancelled by the exchange: {code.name} {reason}".rstrip(), self.clock.now
            )
        self._think()

    def on_order_status(self, exchange: Exchange, instrument_id: int, client_ord_id: str, *rest: Any) -> None:
        """A request went unanswered, or what became of it is known: no answer to it is to be waited for any more."""
        self._keeper.over(client_ord_id)
        self._think()
