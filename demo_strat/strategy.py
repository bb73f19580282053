"""A two-sided market maker, written as anyone would write one against the MLThon API.

It rests one order at the best bid and one at the best ask. A side is quoted only where enough others rest too (the
entry quantity), and its order is withdrawn when they leave (the exit quantity), because a price that empties is about
to move through us. A side is left out while a fill of it would take the inventory past its limit. Orders are post-only:
it never pays the spread. When the exchange allows no more requests it waits, and quotes again when it does.

What to look at, in the order in which it happens: `on_framework_connected` (log in, set up timers and commands),
`on_instruments` (choose what to trade and subscribe), `on_strat_params_update` (take the parameters), the two
best-level callbacks (trade), the order callbacks (keep the `OrderMgr` true), `on_stop` (wind down).
"""

import logging
from collections.abc import Iterable
from typing import Any

from mlthon.api.istrat_env import IStratEnv, MDSub
from mlthon.api.istrategy import IStrategy
from mlthon.basics.defs import (
    TIF,
    CancelCode,
    Exchange,
    ExecInstructions,
    FeedHandlerStatus,
    GtwRejectCode,
    GtwStatus,
    OrderType,
    Side,
)
from mlthon.basics.instrument import Instrument
from mlthon.basics.price import Price
from mlthon.basics.qty import Qty
from mlthon.order.order_mgr import OrderMgr

log = logging.getLogger("demo_strat")

ZERO = Qty("0")
SHORTEST_PAUSE_MS = 1000
"""How long to wait after a refusal for too many requests, where nothing was said of when they are allowed again."""

PARAMS: dict[str, Any] = {
    "symbol": "btc-usdt",
    "quote_qty": "0.01",
    "entry_qty": "0.5",
    "exit_qty": "0.1",
    "max_inventory": "0.05",
    "status_every_s": 600,
    "daily_reset": "00:00:00",
}
"""The parameters and their defaults; `demo_strat.toml` says what they mean."""
SIZES = ("quote_qty", "entry_qty", "exit_qty", "max_inventory")


class Quote:
    """One side of our market: what is best there, and the id of our order at it."""

    def __init__(self, side: Side) -> None:
        self.side = side
        self.best: Price | None = None
        self.best_qty = ZERO
        self.order_id: str | None = None


class DemoStrat(IStrategy):
    """See the module. `cfg` is the `[params]` table of the configuration."""

    def __init__(self, cfg: dict[str, Any]) -> None:
        self._env: IStratEnv | None = None
        self._instrument: Instrument | None = None
        self._orders = OrderMgr("1")
        self._quotes = {Side.Buy: Quote(Side.Buy), Side.Sell: Quote(Side.Sell)}
        self._position = ZERO
        self._gateway_ready = False
        self._feed_ready = False
        self._trading = False
        self._pausing = self._cancels_refused = False
        self._now_ms = 0
        self._reset_ms = 0
        self._fills_today = 0
        self._volume_today = ZERO
        self._take_params(cfg)

    def _take_params(self, params: dict[str, Any]) -> None:
        """Take all of them or none: what cannot be used raises before anything is changed."""
        for name in params:
            if name not in PARAMS:
                raise ValueError(f"there is no parameter {name}; there are {', '.join(PARAMS)}")
        cfg = PARAMS | params
        sizes = {name: Qty(cfg[name]) for name in SIZES}
        for name, size in sizes.items():
            if size < ZERO:
                raise ValueError(f"{name} = {size} is below 0")
        self._cfg = cfg
        self._symbol = str(cfg["symbol"])
        self._quote_qty = sizes["quote_qty"]
        self._entry_qty = sizes["entry_qty"]
        self._exit_qty = sizes["exit_qty"]
        self._max_inventory = sizes["max_inventory"]

    # -- start-up --------------------------------------------------------------------------------------------------

    def on_framework_connected(self, env: IStratEnv) -> None:
        self._env = env
        env.add_cmd_hook("status", self._on_status_command)
        env.add_cmd_hook("params", self._on_params_command)
        every_s = int(self._cfg["status_every_s"])
        if every_s > 0:
            env.setup_timer(every_s * 1000, self._on_status_timer)
        env.setup_daily_callback(str(self._cfg["daily_reset"]), self._on_new_day)
        env.login("demo_strat")

    def on_start(self, params: str) -> None:
        self._trading = True

    def on_instruments(self, instruments: Iterable[Instrument]) -> None:
        """Take the instrument with the wanted symbol and ask for its quotes and for a way to trade it."""
        offered = {str(each.get_mlt_symbol()): each for each in reversed(list(instruments))}
        if self._symbol not in offered:
            # trading something else instead would be a surprise: who runs it says what
            there = ", ".join(sorted(offered)) or "nothing"
            log.error("this run has no %s but %s: choose with --set symbol=NAME", self._symbol, there)
            return
        self._instrument = offered[self._symbol]
        self._quote_enough(self._instrument)
        exchange, number = self._instrument.venue, self._instrument.number
        self._environment().subscribe_to_market_data(exchange, [number], [MDSub.BBO])
        self._environment().request_execution_connection(exchange, [number])
        log.info("trading %s", self._instrument.get_instrument_name())

    def _quote_enough(self, instrument: Instrument) -> None:
        """Where the exchange takes no order as small as ours (contracts of 100 dollars, say), quote its smallest."""
        smallest = instrument.get_min_quantity()
        if smallest is not None and self._quote_qty < smallest:
            log.info("quoting %s, the smallest order of %s, not %s", smallest, instrument, self._quote_qty)
            self._quote_qty = smallest
            self._max_inventory = max(self._max_inventory, smallest * 5)

    def on_strat_params_update(self, strat_params: dict[str, Any]) -> None:
        self._take_params(strat_params)
        if self._instrument is not None:
            self._quote_enough(self._instrument)

    def on_gateway_status(self, exchange: Exchange, status: GtwStatus, detail: str) -> None:
        self._gateway_ready = status is GtwStatus.ReadyToTrade
        if self._gateway_ready and self._instrument is not None:
            self._environment().fetch_position_info(exchange, self._instrument.number)

    def on_feed_handler_status(self, exchange: Exchange, status: FeedHandlerStatus, detail: str) -> None:
        self._feed_ready = status is FeedHandlerStatus.SnapshotEnd
        if status is FeedHandlerStatus.Disconnected:
            for quote in self._quotes.values():
                quote.best = None
                self._withdraw(quote)

    def on_position_info(self, exchange: Exchange, instrument_id: int, position: Qty) -> None:
        if not self._orders.get_num_open_orders():
            self._position = position

    # -- trading ---------------------------------------------------------------------------------------------------

    def on_best_bid_level_update(
        self, exchange: Exchange, instrument_id: int, price: Price, qty: Qty, recv_ts: int
    ) -> None:
        self._now_ms = recv_ts
        self._best_is(self._quotes[Side.Buy], price, qty)

    def on_best_ask_level_update(
        self, exchange: Exchange, instrument_id: int, price: Price, qty: Qty, recv_ts: int
    ) -> None:
        self._now_ms = recv_ts
        self._best_is(self._quotes[Side.Sell], price, qty)

    def _best_is(self, quote: Quote, price: Price, qty: Qty) -> None:
        """The market moved on one side: keep our order where it belongs, or take it away."""
        quote.best, quote.best_qty = price, qty
        if quote.order_id is None:
            if self._wants(quote):
                self._place(quote)
            return
        order = self._orders.get_order_with_client_id(quote.order_id)
        if order is not None and not self._cancels_refused and (order.get_price() != price or qty < self._exit_qty):
            self._withdraw(quote)

    def _wants(self, quote: Quote) -> bool:
        """Whether this side should have an order now."""
        if not (self._trading and self._gateway_ready and self._feed_ready) or quote.best is None or self._pausing:
            return False
        if quote.best_qty < self._entry_qty:
            return False
        after = self._position + (self._quote_qty if quote.side is Side.Buy else -self._quote_qty)
        return -self._max_inventory <= after <= self._max_inventory

    def _place(self, quote: Quote) -> None:
        instrument = self._instrument
        if instrument is None:
            return
        order = self._orders.prepare_new_order(
            instrument_id=instrument.number,
            side=quote.side,
            price=quote.best,
            qty=self._quote_qty,
            exec_instr=ExecInstructions.PostOnly,
            order_type=OrderType.Limit,
            tif=TIF.GTC,
            nullable_attachment=quote,
        )
        if order is None:
            return
        quote.order_id = order.get_client_id()
        self._environment().send_new_order(
            quote.order_id,
            instrument.venue,
            instrument.number,
            quote.side,
            quote.best,
            self._quote_qty,
            ExecInstructions.PostOnly,
            OrderType.Limit,
            TIF.GTC,
            False,
        )

    def _withdraw(self, quote: Quote) -> None:
        instrument, client_id = self._instrument, quote.order_id
        if instrument is None or client_id is None:
            return
        if self._orders.prepare_cancel_order(client_id=client_id):
            self._environment().send_cancel_order(instrument.venue, instrument.number, client_id)

    # -- the exchange's rate limit -----------------------------------------------------------------------------------

    def on_rate_limit_info(self, exchange: Exchange, rate_limit: int, rate_remaining: int, reset_ts: int) -> None:
        """Half, nine tenths or all of the requests that the exchange allows are used. With none left new orders stop:
        sending on would be refused, and an exchange bans who does not listen. Cancels go on, so our orders still leave
        the market when they should; the framework keeps part of the limit for them."""
        # An exchange may have several limits, and a refusal does not say which one it was: wait for all of them. Times
        # are told in whole seconds, rounded down.
        self._reset_ms = max(self._reset_ms, (reset_ts + 1) * 1000)
        if rate_remaining == 0:
            self._pause()

    def _pause(self) -> None:
        """Quote nothing until the limit starts anew. The time is that of the last quote: the same in a backtest, where
        the clock on the wall means nothing."""
        if self._pausing:
            return
        self._pausing = True
        wait_ms = max(self._reset_ms - self._now_ms, SHORTEST_PAUSE_MS)
        log.info("the rate limit is used up: quoting again in %.1f s", wait_ms / 1000)
        self._environment().setup_timer(wait_ms, self._on_pause_over)

    def _on_pause_over(self) -> bool:
        """Look at the market as it is now, without waiting for its next move. False: the timer is not set up again."""
        self._pausing = self._cancels_refused = False
        for quote in self._quotes.values():
            if quote.best is not None:
                self._best_is(quote, quote.best, quote.best_qty)
        return False

    # -- what became of our orders ---------------------------------------------------------------------------------

    def on_new_order_ack(
        self,
        exchange: Exchange,
        client_id: str,
        exchange_id: str,
        instrument_id: int,
        side: Side,
        price: Price,
        qty: Qty,
        leaves_qty: Qty,
        order_type: OrderType,
        tif: TIF,
        exec_instr: ExecInstructions,
    ) -> None:
        self._orders.apply_new_order_ack(
            client_id=client_id, exchange_id=exchange_id, price=price, leaves_qty=leaves_qty
        )

    def on_new_order_reject(
        self, exchange: Exchange, client_id: str, reject_code: GtwRejectCode, reject_reason: str
    ) -> None:
        self._orders.apply_new_order_reject(client_id=client_id)
        self._gone(client_id)
        if reject_code is GtwRejectCode.RateLimited:
            self._pause()

    def on_cancel_order_ack(self, exchange: Exchange, client_id: str) -> None:
        self._orders.apply_cancel_order_ack(client_id=client_id)

    def on_cancel_order_reject(
        self, exchange: Exchange, nullable_client_id: str | None, reject_code: GtwRejectCode, reject_reason: str
    ) -> None:
        if nullable_client_id is not None:
            self._orders.apply_cancel_order_reject(client_id=nullable_client_id)
        if reject_code is GtwRejectCode.RateLimited:
            self._cancels_refused = True
            self._pause()

    def on_order_cancelled(
        self,
        exchange: Exchange,
        client_id: str,
        unsolicited: bool,
        engine_ts: int,
        recv_ts: int,
        cancel_code: CancelCode,
        cancel_reason: str,
    ) -> None:
        self._orders.apply_order_cancelled(client_id=client_id)
        self._gone(client_id)

    def on_order_execution(
        self,
        exchange: Exchange,
        client_id: str,
        side: Side,
        price: Price,
        fill_qty: Qty,
        leaves_qty: Qty,
        exec_ts: int,
        recv_ts: int,
    ) -> None:
        self._position += fill_qty if side is Side.Buy else -fill_qty
        self._fills_today += 1
        self._volume_today += fill_qty
        if self._orders.apply_order_execution(client_id=client_id, fill_qty=fill_qty, nullable_leaves_qty=leaves_qty):
            self._gone(client_id)

    def _gone(self, client_id: str) -> None:
        """An order is over: its side is free again, and the next quote of the market may fill it."""
        for quote in self._quotes.values():
            if quote.order_id == client_id:
                quote.order_id = None

    # -- commands and timers ---------------------------------------------------------------------------------------

    def _status(self) -> str:
        return (
            f"position {self._position.to_str()}, {self._orders.get_num_open_orders()} open orders, "
            f"{self._fills_today} fills and {self._volume_today.to_str()} traded today"
        )

    def _on_status_command(self, params: list[str]) -> None:
        self._environment().publish_telegram(self._status())

    def _on_params_command(self, params: list[str]) -> None:
        self._environment().publish_telegram(
            f"quote {self._quote_qty.to_str()}, entry {self._entry_qty.to_str()}, exit {self._exit_qty.to_str()}, "
            f"inventory up to {self._max_inventory.to_str()}"
        )

    def _on_status_timer(self) -> bool:
        log.info("%s", self._status())
        return True

    def _on_new_day(self) -> bool:
        self._fills_today = 0
        self._volume_today = ZERO
        return True

    # -- the end ---------------------------------------------------------------------------------------------------

    def on_stop(self, params: str) -> None:
        """Trade no more, take our orders out of the market, and say that we are done."""
        self._trading = False
        for quote in self._quotes.values():
            self._withdraw(quote)
        self._environment().send_stop_ack()

    def _environment(self) -> IStratEnv:
        if self._env is None:
            raise RuntimeError("the strategy is not connected to the framework yet")
        return self._env
