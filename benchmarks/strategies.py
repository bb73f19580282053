"""The strategies of W1 and W2, written against the documented API as a user would write them."""

from mlthon.api.istrat_env import IStratEnv, MDSub
from mlthon.api.istrategy import IStrategy
from mlthon.basics.defs import (
    TIF,
    CancelCode,
    Exchange,
    ExecInstructions,
    GtwRejectCode,
    OrderType,
    Side,
)
from mlthon.basics.price import Price
from mlthon.basics.qty import Qty

EXCHANGE = Exchange.BinanceUsdm
SYMBOL = "BTCUSDT"
TICK = 0.1

FAST = 2 / 151
SLOW = 2 / 601
WARM_UP = 600

REQUOTE = 5 * TICK - TICK / 4  # the mid moves by half ticks
AWAY = 3
INVENTORY = 50


class EmaCross(IStrategy):
    """W1: long 0.010 while the fast average of the trades' prices is above the slow one, short 0.010 while below."""

    def __init__(self) -> None:
        self.fast = 0.0
        self.slow = 0.0
        self.seen = 0
        self.long: bool | None = None

    def on_framework_connected(self, env: IStratEnv) -> None:
        self.env = env
        env.login("ema_cross")

    def on_start(self, params: str) -> None:
        self.env.request_execution_connection(EXCHANGE, [SYMBOL])
        self.env.subscribe_to_market_data(EXCHANGE, [SYMBOL], [MDSub.PublicTrades])

    def on_stop(self, params: str) -> None:
        self.env.send_stop_ack()

    def on_public_trade(
        self, exchange: Exchange, instrument_id: int, side: Side, price: Price, qty: Qty, exec_ts: int, recv_ts: int
    ) -> None:
        value = price.to_float()
        if not self.seen:
            self.fast = self.slow = value
        self.seen += 1
        self.fast += FAST * (value - self.fast)
        self.slow += SLOW * (value - self.slow)
        if self.seen >= WARM_UP and self.fast != self.slow:
            long = self.fast > self.slow
            if long is not self.long:
                self.turn(exchange, instrument_id, long)

    def turn(self, exchange: Exchange, instrument_id: int, long: bool) -> None:
        size = "0.010" if self.long is None else "0.020"
        self.long = long
        self.env.send_new_order(
            None,
            exchange,
            instrument_id,
            Side.Buy if long else Side.Sell,
            None,
            size,
            ExecInstructions.Unset,
            OrderType.Market,
            TIF.IOC,
            False,
        )


class Quoting(IStrategy):
    """W2 but for the market data: 0.010 at three ticks either side of the mid, anew when it has moved five or more."""

    def __init__(self) -> None:
        self.anchor: float | None = None
        self.position = 0
        self.next_id = 0
        self.quotes: dict[str, int] = {}
        self.leaving: dict[str, int] = {}

    def on_framework_connected(self, env: IStratEnv) -> None:
        self.env = env
        env.login("quoting")

    def on_start(self, params: str) -> None:
        self.env.request_execution_connection(EXCHANGE, [SYMBOL])
        self.env.subscribe_to_market_data(EXCHANGE, [SYMBOL], [MDSub.BBO])

    def on_stop(self, params: str) -> None:
        self.env.send_stop_ack()

    def requote(self, exchange: Exchange, instrument_id: int, mid: float) -> None:
        self.anchor = mid
        for client_id in self.quotes:
            self.env.send_cancel_order(exchange, instrument_id, client_id)
        self.leaving.update(self.quotes)
        self.quotes.clear()
        half_ticks = round(mid / TICK * 2)
        if self.position < INVENTORY:
            self.quote(exchange, instrument_id, Side.Buy, half_ticks // 2 - AWAY)
        if self.position > -INVENTORY:
            self.quote(exchange, instrument_id, Side.Sell, -(-half_ticks // 2) + AWAY)

    def quote(self, exchange: Exchange, instrument_id: int, side: Side, ticks: int) -> None:
        self.next_id += 1
        price = f"{ticks * TICK:.1f}"
        self.env.send_new_order(
            self.next_id,
            exchange,
            instrument_id,
            side,
            price,
            "0.010",
            ExecInstructions.PostOnly,
            OrderType.Limit,
            TIF.GTC,
            False,
        )
        self.quotes[str(self.next_id)] = 1 if side is Side.Buy else -1

    def forget(self, client_id: str) -> int:
        """Which way the order was, 0 if it is unknown."""
        return self.quotes.pop(client_id, 0) or self.leaving.pop(client_id, 0)

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
        if not leaves_qty:
            self.position += self.forget(client_id)

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
        self.forget(client_id)

    def on_new_order_reject(
        self, exchange: Exchange, client_id: str, reject_code: GtwRejectCode, reject_reason: str
    ) -> None:
        self.forget(client_id)


class QuotingOnPairs(Quoting):
    """W2 as it is defined: it acts once a quote, on both best levels, through the combined callback."""

    def on_best_levels_update(
        self,
        exchange: Exchange,
        instrument_id: int,
        bid_price: Price,
        bid_qty: Qty,
        ask_price: Price,
        ask_qty: Qty,
        recv_ts: int,
    ) -> None:
        mid = (bid_price.to_float() + ask_price.to_float()) / 2
        if self.anchor is None or abs(mid - self.anchor) >= REQUOTE:
            self.requote(exchange, instrument_id, mid)


class QuotingOnSides(Quoting):
    """W2 with the two documented callbacks: it acts on each side's update, so its counts are its own."""

    def __init__(self) -> None:
        super().__init__()
        self.bid = 0.0
        self.ask = 0.0

    def on_best_bid_level_update(
        self, exchange: Exchange, instrument_id: int, price: Price, qty: Qty, recv_ts: int
    ) -> None:
        self.bid = price.to_float()
        if self.ask:
            self.on_side(exchange, instrument_id)

    def on_best_ask_level_update(
        self, exchange: Exchange, instrument_id: int, price: Price, qty: Qty, recv_ts: int
    ) -> None:
        self.ask = price.to_float()
        if self.bid:
            self.on_side(exchange, instrument_id)

    def on_side(self, exchange: Exchange, instrument_id: int) -> None:
        mid = (self.bid + self.ask) / 2
        if self.anchor is None or abs(mid - self.anchor) >= REQUOTE:
            self.requote(exchange, instrument_id, mid)
