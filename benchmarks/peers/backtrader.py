"""backtrader, all Python, through `Cerebro` with one data feed read from lists.

It knows bars alone and has no latency and no queue position, so every trade is a bar of one price and every quote a bar
from bid to ask whose close is the mid: an order is filled by the first bar that reaches its price, so W2 gives other
counts. Its loading of the feed is part of its run and so of `run_s`.
"""

# mypy: disable-error-code="import-not-found,import-untyped", disallow-subclassing-any=False

import time
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import backtrader as bt

from benchmarks import inputs
from benchmarks.outcome import Outcome, main, quotes_of

ORDER = 10 * inputs.LOT
DAY_NS = 86_400 * 10**9
DAY_OF_1970 = 719_163.0
"""backtrader counts days from year 1."""

Row = tuple[int, float, float, float, float]
"""Time (ns), low, high, close, volume."""


class Feed(bt.feed.DataBase):
    params = (("rows", ()), ("timeframe", bt.TimeFrame.Ticks))

    def start(self) -> None:
        super().start()
        self.iterator: Iterator[Row] = iter(self.p.rows)

    def _load(self) -> bool:
        row = next(self.iterator, None)
        if row is None:
            return False
        ts, low, high, close, volume = row
        lines = self.lines
        lines.datetime[0] = DAY_OF_1970 + ts / DAY_NS
        lines.open[0] = lines.close[0] = close
        lines.high[0] = high
        lines.low[0] = low
        lines.volume[0] = volume
        lines.openinterest[0] = 0.0
        return True


class Counting(bt.Strategy):
    def __init__(self) -> None:
        self.sent = self.cancels = self.fills = 0

    def notify_order(self, order: Any) -> None:
        if order.status == order.Completed:
            self.fills += 1


class Cross(Counting):
    def __init__(self) -> None:
        super().__init__()
        self.fast = self.slow = 0.0
        self.seen = self.side = 0

    def next(self) -> None:
        price = self.data.close[0]
        if not self.seen:
            self.fast = self.slow = price
        self.seen += 1
        self.fast += 2 / 151 * (price - self.fast)
        self.slow += 2 / 601 * (price - self.slow)
        if self.seen < 600:
            return
        side = 1 if self.fast > self.slow else -1 if self.fast < self.slow else self.side
        if side != self.side:
            size = 2 * ORDER if self.side else ORDER
            self.side = side
            self.sent += 1
            if side > 0:
                self.buy(size=size)
            else:
                self.sell(size=size)


class Quote(Counting):
    def __init__(self) -> None:
        super().__init__()
        self.anchor: int | None = None
        self.open: dict[int, Any] = {}

    def notify_order(self, order: Any) -> None:
        super().notify_order(order)
        if not order.alive():
            self.open.pop(order.ref, None)

    def next(self) -> None:
        if self.data.volume[0]:  # a trade
            return
        middle = round((self.data.low[0] + self.data.high[0]) * 10)
        if self.anchor is not None and abs(middle - self.anchor) < 10:
            return
        self.anchor = middle
        for order in list(self.open.values()):
            self.cancels += 1
            self.cancel(order)
        position = round(self.position.size / ORDER)
        if position < 50:
            self.send(self.buy, middle // 2 - 3)
        if position > -50:
            self.send(self.sell, -(-middle // 2) + 3)

    def send(self, call: Any, price: int) -> None:
        self.sent += 1
        order = call(size=ORDER, price=price * inputs.TICK, exectype=bt.Order.Limit)
        self.open[order.ref] = order


def run(strategy: type[Counting], rows: list[Row]) -> Outcome:
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.broker.setcash(100_000_000)
    cerebro.broker.setcommission(commission=0.0005)
    cerebro.adddata(Feed(rows=rows))
    cerebro.addstrategy(strategy)
    start = time.perf_counter()
    (done,) = cerebro.run()
    run_s = time.perf_counter() - start
    return Outcome(len(rows), run_s, done.sent, done.cancels, done.fills, round(done.position.size / ORDER))


def w1(events: int | None) -> Outcome:
    trades = inputs.w1(events or inputs.W1_TRADES)
    prices = (trades.price * inputs.TICK).tolist()
    qtys = (trades.qty * inputs.LOT).tolist()
    return run(Cross, list(zip(trades.ts.tolist(), prices, prices, prices, qtys, strict=True)))


def w2(events: int | None) -> Outcome:
    merged = inputs.merge(*inputs.w2(quotes_of(events, inputs.W2_QUOTES)))
    tick, lot = inputs.TICK, inputs.LOT
    rows: list[Row] = []
    for ts, is_trade, a, b, c in zip(
        *(x.tolist() for x in (merged.ts, merged.is_trade, merged.a, merged.b, merged.c)), strict=True
    ):
        if is_trade:
            rows.append((ts, a * tick, a * tick, a * tick, b * lot))
        else:
            rows.append((ts, a * tick, c * tick, (a + c) * tick / 2, 0.0))
    return run(Quote, rows)


if __name__ == "__main__":
    main(f"backtrader {version('backtrader')}", {"W1": w1, "W2": w2})
