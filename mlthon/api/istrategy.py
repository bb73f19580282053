"""`IStrategy`: what a strategy implements. Each method is a callback of the environment, made when something happened.

Callbacks come one at a time and positionally (their arguments may be named otherwise), and none is required: each has
a default that does nothing. A callback must not block. The answer to a request never arrives inside the call that made
the request.

Times (`recv_ts`, `exec_ts`, `engine_ts`, `next_funding_ts`) are milliseconds since 1970 UTC; `reset_ts` of
`on_rate_limit_info` is in seconds, as documented. Client ids are text. An `instrument_id` is the number that
`on_instruments` told.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlthon.api.istrat_env import IStratEnv
    from mlthon.basics.defs import (
        TIF,
        CancelCode,
        Exchange,
        ExecInstructions,
        FeedHandlerStatus,
        GtwRejectCode,
        GtwStatus,
        OrderStatus,
        OrderType,
        Side,
    )
    from mlthon.basics.instrument import Instrument
    from mlthon.basics.price import Price
    from mlthon.basics.qty import Qty
    from mlthon.order.order import Order


class IStrategy:
    """The base of every strategy.

    The order of the first callbacks: the constructor (with the configuration dict where it takes an argument),
    `on_framework_connected`, in which the strategy logs in, `on_start`, `on_instruments`, `on_strat_params_update`,
    then the status of each gateway and feed that was asked for, and each change of it.

    An extension that is not defined here, because it counts only where a strategy defines it:

    `on_best_levels_update(self, exchange, instrument_id, bid_price, bid_qty, ask_price, ask_qty, recv_ts)` is called
    once a quote in place of `on_best_bid_level_update` and `on_best_ask_level_update`, with the complete pair of best
    levels. An empty side has the price 0 and the quantity 0.

    Another: `on_position_details(self, exchange, instrument_id, lots, entry_price, mark_price, liquidation_price)`
    follows `on_position_info` with what that leaves out: whole lots (short negative), and prices as floats, the last
    one None where there is none.
    """

    # The framework

    def on_framework_connected(self, env: IStratEnv) -> None:
        """The engine is there. A strategy keeps `env` and calls `env.login(name)` here."""

    def on_framework_disconnected(self) -> None:
        """The engine ends or is lost; nothing follows."""

    def on_start(self, params: str) -> None:
        """Trading begins: after login by itself ('' as `params`), later by the command `start`, whose parameters come
        as one string."""

    def on_stop(self, params: str) -> None:
        """The strategy shall stop. It may still send requests (cancel its orders) until it calls
        `env.send_stop_ack()`."""

    def on_instruments(self, instruments: Iterable[Instrument]) -> None:
        """Every instrument of the configured exchanges, once."""

    def on_strat_params_update(self, strat_params: dict[str, Any]) -> None:
        """The strategy's parameters, at the start and whenever they change."""

    def on_gateway_status(self, exchange: Exchange, status: GtwStatus, detail: str) -> None:
        """Orders are accepted only while the status is `ReadyToTrade`."""

    def on_feed_handler_status(self, exchange: Exchange, status: FeedHandlerStatus, detail: str) -> None:
        """`Disconnected`: the market data has a hole, books must be cleared. `SnapshotStart`: whole books follow, up to
        `SnapshotEnd`; after that, changes. `detail` names the instrument where it is about one."""

    def on_rate_limit_info(self, exchange: Exchange, rate_limit: int, rate_remaining: int, reset_ts: int) -> None:
        """Half, nine tenths or all of the requests that the exchange allows are used. Limit and remainder are in
        percent (100 and 10 at nine tenths); `reset_ts` in seconds since 1970 UTC."""

    def on_unsupported_op(self, exchange: Exchange, unsupported_msg_type: str) -> None:
        """The exchange cannot do what was asked; `unsupported_msg_type` as in `ModifyOrder`."""

    def on_request_reject(
        self, exchange: Exchange, reject_code: GtwRejectCode, detail: str, rejected_rqst_type: str
    ) -> None:
        """A request was refused before it became an order, a cancel or a modification."""

    # Orders

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
        """The exchange accepted the order; `leaves_qty` may still be filled."""

    def on_new_order_reject(
        self, exchange: Exchange, client_id: str, reject_code: GtwRejectCode, reject_reason: str
    ) -> None:
        """The order was refused. `reject_reason` may be empty."""

    def on_modify_order_ack(
        self, exchange: Exchange, client_id: str, new_price: Price | None, new_qty: Qty | None, leaves_qty: Qty
    ) -> None:
        """The order is modified; what the request did not change is None."""

    def on_modify_order_reject(
        self, exchange: Exchange, client_id: str, reject_code: GtwRejectCode, reject_reason: str
    ) -> None:
        """The modification was refused; the order stays as it was."""

    def on_cancel_order_ack(self, exchange: Exchange, client_id: str) -> None:
        """The request to cancel is accepted. That the order is gone says `on_order_cancelled`."""

    def on_cancel_order_reject(
        self, exchange: Exchange, nullable_client_id: str | None, reject_code: GtwRejectCode, reject_reason: str
    ) -> None:
        """The request to cancel was refused. Without a client id it was a cancel-all."""

    def on_cancel_all_ack(self, exchange: Exchange, instrument_id: int) -> None:
        """The request is accepted. Which orders are gone says `on_order_cancelled`."""

    def on_cancel_all_reject(
        self, exchange: Exchange, instrument_id: int, reject_code: GtwRejectCode, reject_reason: str
    ) -> None:
        """The request to cancel all orders was refused."""

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
        """The order is gone, asked for or not (`unsolicited`). `engine_ts` is the exchange's time, 0 if unknown."""

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
        """A fill of the order, at `price`; 0 in `leaves_qty` means that it is complete."""

    # Answers to questions

    def on_order_status(
        self,
        exchange: Exchange,
        instrument_id: int,
        client_ord_id: str,
        exch_ord_id: str,
        side: Side,
        price: Price,
        leaves_qty: Qty,
        status: OrderStatus,
        order_type: OrderType,
        tif: TIF,
        exec_instr: ExecInstructions,
    ) -> None:
        """The answer to `fetch_order_status`. It also comes unasked with the status `Unknown` when a request got no
        answer."""

    def on_orders_info(self, exchange: Exchange, orders: list[Order]) -> None:
        """The open orders that `fetch_orders_info` asked for."""

    def on_position_info(self, exchange: Exchange, instrument_id: int, position: Qty) -> None:
        """The account's position, negative when short."""

    def on_wallet_info(self, exchange: Exchange, coin: str, total_balance: Qty, available_balance: Qty) -> None:
        """The account's balance of the coin."""

    def on_funding_info(
        self, exchange: Exchange, instrument_id: int, funding_rate: float, next_funding_ts: int
    ) -> None:
        """The funding rate to be paid (by longs when positive) at `next_funding_ts`."""

    def on_account_info(self, exchange: Exchange, user_id: str) -> None:
        """The account's id on the exchange."""

    # Market data

    def on_best_bid_level_update(
        self, exchange: Exchange, instrument_id: int, price: Price, qty: Qty, recv_ts: int
    ) -> None:
        """The best bid (`MDSub.BBO`)."""

    def on_best_ask_level_update(
        self, exchange: Exchange, instrument_id: int, price: Price, qty: Qty, recv_ts: int
    ) -> None:
        """The best ask (`MDSub.BBO`)."""

    def on_add_price_level(
        self, exchange: Exchange, instrument_id: int, side: Side, price: Price, qty: Qty, recv_ts: int
    ) -> None:
        """A price that was empty has `qty` (`MDSub.PriceLevelBook`)."""

    def on_modify_price_level(
        self, exchange: Exchange, instrument_id: int, side: Side, price: Price, new_qty: Qty, recv_ts: int
    ) -> None:
        """The quantity at a price is now `new_qty` (`MDSub.PriceLevelBook`)."""

    def on_delete_price_level(
        self, exchange: Exchange, instrument_id: int, side: Side, price: Price, recv_ts: int
    ) -> None:
        """A price is empty (`MDSub.PriceLevelBook`)."""

    def on_add_level(
        self, exchange: Exchange, instrument_id: int, side: Side, level_id: int, price: Price, qty: Qty, recv_ts: int
    ) -> None:
        """A new level (`MDSub.LevelBook`), or a new order whose id is `level_id` (`MDSub.OrderBook`)."""

    def on_modify_level(
        self, exchange: Exchange, instrument_id: int, side: Side, level_id: int, new_qty: Qty, recv_ts: int
    ) -> None:
        """The level's quantity is now `new_qty`."""

    def on_delete_level(self, exchange: Exchange, instrument_id: int, side: Side, level_id: int, recv_ts: int) -> None:
        """The level is gone."""

    def on_public_trade(
        self, exchange: Exchange, instrument_id: int, side: Side, price: Price, qty: Qty, exec_ts: int, recv_ts: int
    ) -> None:
        """A trade between others (`MDSub.PublicTrades`); `side` is the taker's."""
