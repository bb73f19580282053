"""vnpy with vnpy_ctastrategy, all Python, through `BacktestingEngine` in tick mode.

It has no latency, queue position, balances or trades of others: an order is tried against the next tick's best prices
and filled whole. It has no market orders either: as its users do, W1 sends a limit order far through the price. A trade
of W2 is a tick that repeats the best prices of the quote before it. The data go into the engine's list of history
directly instead of through a database.
"""

# mypy: disable-error-code="import-not-found,import-untyped", disallow-subclassing-any=False

import time
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from vnpy.trader.constant import Exchange, Interval
from vnpy.trader.object import TickData
from vnpy_ctastrategy import CtaTemplate
from vnpy_ctastrategy.backtesting import BacktestingEngine, BacktestingMode

from benchmarks import inputs
from benchmarks.outcome import Outcome, main, quotes_of

ORDER = 10 * inputs.LOT


class Counting(CtaTemplate):
    author = "benchmark"

    def on_init(self) -> None:
        self.sent = self.cancels = self.fills = 0

    def on_trade(self, trade: Any) -> None:
        self.fills += 1


class Cross(Counting):
    def on_start(self) -> None:
        self.fast = self.slow = 0.0
        self.seen = self.side = 0

    def on_tick(self, tick: Any) -> None:
        price = tick.last_price
        if not self.seen:
            self.fast = self.slow = price
        self.seen += 1
        self.fast += 2 / 151 * (price - self.fast)
        self.slow += 2 / 601 * (price - self.slow)
        if self.seen < 600:
            return
        side = 1 if self.fast > self.slow else -1 if self.fast < self.slow else self.side
        if side != self.side:
            volume = 2 * ORDER if self.side else ORDER
            self.side = side
            self.sent += 1
            if side > 0:
                self.buy(price * 1.05, volume)
            else:
                self.short(price * 0.95, volume)


class Quote(Counting):
    def on_start(self) -> None:
        self.anchor: int | None = None
        self.open: set[str] = set()

    def on_order(self, order: Any) -> None:
        if not order.is_active():
            self.open.discard(order.vt_orderid)

    def on_tick(self, tick: Any) -> None:
        middle = round((tick.bid_price_1 + tick.ask_price_1) * 10)
        if self.anchor is not None and abs(middle - self.anchor) < 10:
            return
        self.anchor = middle
        for order in list(self.open):
            self.cancels += 1
            self.cancel_order(order)
        position = round(self.pos / ORDER)
        if position < 50:
            self.sent += 1
            self.open.update(self.buy((middle // 2 - 3) * inputs.TICK, ORDER))
        if position > -50:
            self.sent += 1
            self.open.update(self.short((-(-middle // 2) + 3) * inputs.TICK, ORDER))


def run(strategy: type[Counting], ticks: list[Any]) -> Outcome:
    engine = BacktestingEngine()
    engine.output = lambda _: None
    engine.set_parameters(
        vt_symbol="BTCUSDT.GLOBAL",
        interval=Interval.TICK,
        start=datetime(2025, 1, 1, tzinfo=UTC),
        end=datetime(2026, 1, 1, tzinfo=UTC),
        rate=0.0005,
        slippage=0,
        size=1,
        pricetick=inputs.TICK,
        capital=10_000_000,
        mode=BacktestingMode.TICK,
    )
    engine.add_strategy(strategy, {})
    engine.history_data = ticks
    start = time.perf_counter()
    engine.run_backtesting()
    run_s = time.perf_counter() - start
    done = engine.strategy
    return Outcome(len(ticks), run_s, done.sent, done.cancels, done.fills, round(done.pos / ORDER))


def tick_of(ts: int, **fields: float) -> Any:
    when = datetime.fromtimestamp(ts / 1e9, tz=UTC)
    return TickData(gateway_name="SIM", symbol="BTCUSDT", exchange=Exchange.GLOBAL, datetime=when, **fields)


def w1(events: int | None) -> Outcome:
    trades = inputs.w1(events or inputs.W1_TRADES)
    rows = zip(trades.ts.tolist(), (trades.price * inputs.TICK).tolist(), strict=True)
    return run(Cross, [tick_of(ts, last_price=price, bid_price_1=price, ask_price_1=price) for ts, price in rows])


def w2(events: int | None) -> Outcome:
    rows = inputs.merge(*inputs.w2(quotes_of(events, inputs.W2_QUOTES)))
    ticks = []
    top: dict[str, float] = {}
    last = 0.0
    for ts, is_trade, a, b, c, d in zip(
        *(x.tolist() for x in (rows.ts, rows.is_trade, rows.a, rows.b, rows.c, rows.d)), strict=True
    ):
        if is_trade:
            last = a * inputs.TICK
        else:
            top = {
                "bid_price_1": a * inputs.TICK,
                "bid_volume_1": b * inputs.LOT,
                "ask_price_1": c * inputs.TICK,
                "ask_volume_1": d * inputs.LOT,
            }
        ticks.append(tick_of(ts, last_price=last, **top))
    return run(Quote, ticks)


if __name__ == "__main__":
    main(f"vnpy {version('vnpy')}", {"W1": w1, "W2": w2})
