"""basana, all Python on asyncio, through its backtesting exchange.

Its exchange knows bars alone and has no latency and no queue position, so every trade is a bar of one price and every
quote a bar from bid to ask whose close is the mid: an order is filled by the first bar that reaches its price, so W2
gives other counts. The account starts with plenty of both coins, which stands in for short selling; liquidity is
unlimited.
"""

# mypy: disable-error-code="import-not-found,import-untyped", disallow-subclassing-any=False

import asyncio
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from importlib.metadata import version
from typing import Any

import basana as bs
from basana.backtesting import exchange, fees, liquidity
from basana.core.enums import OrderOperation

from benchmarks import inputs
from benchmarks.outcome import Outcome, main, quotes_of

PAIR = bs.Pair("BTC", "USDT")
ORDER = Decimal("0.010")
TICK = Decimal("0.1")
HALF = Decimal("0.05")
FEE_PERCENT = Decimal("0.05")
NOTHING = Decimal(0)
MOMENT = timedelta(microseconds=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Counting:
    def __init__(self, sim: exchange.Exchange) -> None:
        self.exchange = sim
        self.sent = self.cancels = self.fills = self.position = 0

    async def on_order_event(self, event: Any) -> None:
        order = event.order
        if not order.is_open and order.amount_filled:
            self.fills += 1
            units = int(order.amount_filled / ORDER)
            self.position += units if order.operation == OrderOperation.BUY else -units


class Cross(Counting):
    def __init__(self, sim: exchange.Exchange) -> None:
        super().__init__(sim)
        self.fast = self.slow = 0.0
        self.seen = self.side = 0

    async def on_bar_event(self, event: Any) -> None:
        price = float(event.bar.close)
        if not self.seen:
            self.fast = self.slow = price
        self.seen += 1
        self.fast += 2 / 151 * (price - self.fast)
        self.slow += 2 / 601 * (price - self.slow)
        if self.seen < 600:
            return
        side = 1 if self.fast > self.slow else -1 if self.fast < self.slow else self.side
        if side != self.side:
            qty = 2 * ORDER if self.side else ORDER
            self.side = side
            self.sent += 1
            await self.exchange.create_market_order(OrderOperation.BUY if side > 0 else OrderOperation.SELL, PAIR, qty)


class Quote(Counting):
    def __init__(self, sim: exchange.Exchange) -> None:
        super().__init__(sim)
        self.anchor: Decimal | None = None
        self.open: set[str] = set()

    async def on_order_event(self, event: Any) -> None:
        await super().on_order_event(event)
        if not event.order.is_open:
            self.open.discard(event.order.id)

    async def on_bar_event(self, event: Any) -> None:
        bar = event.bar
        if bar.volume:  # a trade
            return
        middle = bar.low + bar.high
        if self.anchor is not None and abs(middle - self.anchor) < 1:
            return
        self.anchor = middle
        for order in list(self.open):
            self.cancels += 1
            await self.exchange.cancel_order(order)
        ticks = int(middle / TICK)
        if self.position < 50:
            await self.send(OrderOperation.BUY, ticks // 2 - 3)
        if self.position > -50:
            await self.send(OrderOperation.SELL, -(-ticks // 2) + 3)

    async def send(self, operation: OrderOperation, price: int) -> None:
        self.sent += 1
        order = await self.exchange.create_limit_order(operation, PAIR, ORDER, price * TICK)
        self.open.add(order.id)


def event_of(ts: int, low: Decimal, high: Decimal, middle: Decimal, volume: Decimal) -> Any:
    when = EPOCH + timedelta(microseconds=ts // 1000)
    return bs.BarEvent(when, bs.Bar(when, PAIR, middle, high, low, middle, volume, MOMENT))


async def run(strategy_type: type[Cross] | type[Quote], events: list[Any]) -> Outcome:
    dispatcher = bs.backtesting_dispatcher()
    balances = {"BTC": Decimal(1_000), "USDT": Decimal(100_000_000)}
    sim = exchange.Exchange(
        dispatcher,
        balances,
        liquidity_strategy_factory=liquidity.InfiniteLiquidity,
        fee_strategy=fees.Percentage(percentage=FEE_PERCENT),
        default_pair_info=bs.PairInfo(base_precision=8, quote_precision=8),
    )
    strategy = strategy_type(sim)
    sim.add_bar_source(bs.FifoQueueEventSource(events=events))
    sim.subscribe_to_bar_events(PAIR, strategy.on_bar_event)
    sim.subscribe_to_order_events(strategy.on_order_event)
    start = time.perf_counter()
    await dispatcher.run(stop_signals=[])
    run_s = time.perf_counter() - start
    return Outcome(len(events), run_s, strategy.sent, strategy.cancels, strategy.fills, strategy.position)


def w1(events: int | None) -> Outcome:
    trades = inputs.w1(events or inputs.W1_TRADES)
    bars = []
    for ts, ticks, lots in zip(trades.ts.tolist(), trades.price.tolist(), trades.qty.tolist(), strict=True):
        price = ticks * TICK
        bars.append(event_of(ts, price, price, price, lots * Decimal("0.001")))
    return asyncio.run(run(Cross, bars))


def w2(events: int | None) -> Outcome:
    rows = inputs.merge(*inputs.w2(quotes_of(events, inputs.W2_QUOTES)))
    bars = []
    for ts, is_trade, a, b, c in zip(
        *(x.tolist() for x in (rows.ts, rows.is_trade, rows.a, rows.b, rows.c)), strict=True
    ):
        if is_trade:
            price = a * TICK
            bars.append(event_of(ts, price, price, price, b * Decimal("0.001")))
        else:
            bars.append(event_of(ts, a * TICK, c * TICK, (a + c) * HALF, NOTHING))
    return asyncio.run(run(Quote, bars))


if __name__ == "__main__":
    main(f"basana {version('basana')}", {"W1": w1, "W2": w2})
