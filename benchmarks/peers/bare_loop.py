"""The floor: W1 and W2 in one Python loop each, with the least machinery that gives the right counts.

It is no engine (one strategy, one instrument, no accounts, no checks), it shows what the interpreter itself costs, and
as an independent statement of W2's rules it gives the counts that the engine is held to.
"""

import itertools
import time
from heapq import heappop, heappush

from benchmarks import inputs
from benchmarks.outcome import Outcome, main, quotes_of

LATENCY = 1_000_000
INVENTORY = 50


class Crossing:
    """Two averages of the price; long above, short below."""

    def __init__(self) -> None:
        self.fast = self.slow = 0.0
        self.seen = 0
        self.side = 0
        self.orders = 0

    def on_trade(self, price: int) -> None:
        if not self.seen:
            self.fast = self.slow = price
        self.seen += 1
        self.fast += 2 / 151 * (price - self.fast)
        self.slow += 2 / 601 * (price - self.slow)
        if self.seen < 600:
            return
        side = 1 if self.fast > self.slow else -1 if self.fast < self.slow else self.side
        if side != self.side:
            self.side = side
            self.orders += 1


def w1(events: int | None) -> Outcome:
    prices = inputs.w1(events or inputs.W1_TRADES).price.tolist()
    strategy = Crossing()
    start = time.perf_counter()
    on_trade = strategy.on_trade
    for price in prices:
        on_trade(price)
    run_s = time.perf_counter() - start
    return Outcome(len(prices), run_s, strategy.orders, 0, strategy.orders, strategy.side)


class Quoting:
    """W2's exchange and strategy in one.

    `resting` is the exchange's: id -> [side, price, queue ahead]; `known` the strategy's: id -> [side, price, cancel
    asked]. `later` holds what is under way: (time, number, call, id).
    """

    def __init__(self) -> None:
        self.bid = self.bid_qty = self.ask = self.ask_qty = 0
        self.resting: dict[int, list[int]] = {}
        self.known: dict[int, list[int]] = {}
        self.later: list[tuple[int, int, object, int]] = []
        self.number = itertools.count()
        self.anchor: int | None = None
        self.orders = self.cancels = self.fills = self.position = 0

    def queue(self, ts: int, call: object, order: int) -> None:
        heappush(self.later, (ts, next(self.number), call, order))

    def run_until(self, ts: int) -> None:
        later = self.later
        while later and later[0][0] <= ts:
            at, _, call, order = heappop(later)
            call(at, order)  # type: ignore[operator]

    def arrive(self, ts: int, order: int) -> None:
        side, price, _ = self.known[order]
        if price >= self.ask if side > 0 else price <= self.bid:
            self.queue(ts + LATENCY, self.gone, order)
            return
        touch, ahead = (self.bid, self.bid_qty) if side > 0 else (self.ask, self.ask_qty)
        self.resting[order] = [side, price, ahead if price == touch else 0]

    def cancel(self, ts: int, order: int) -> None:
        if self.resting.pop(order, None):
            self.queue(ts + LATENCY, self.gone, order)

    def gone(self, _: int, order: int) -> None:
        self.known.pop(order, None)

    def filled(self, _: int, order: int) -> None:
        self.position += self.known.pop(order)[0]

    def fill(self, ts: int, order: int) -> None:
        del self.resting[order]
        self.fills += 1
        self.queue(ts + LATENCY, self.filled, order)

    def on_trade(self, ts: int, price: int, qty: int, side: int) -> None:
        for order, rest in list(self.resting.items()):
            if rest[0] == side:
                continue
            beyond = (rest[1] - price) * rest[0]
            if beyond == 0:
                rest[2] -= qty
            if beyond > 0 or (beyond == 0 and rest[2] < 0):
                self.fill(ts, order)

    def on_quote(self, ts: int, bid: int, bid_qty: int, ask: int, ask_qty: int) -> None:
        self.bid, self.bid_qty, self.ask, self.ask_qty = bid, bid_qty, ask, ask_qty
        for order, (side, price, _) in list(self.resting.items()):
            if price >= ask if side > 0 else price <= bid:
                self.fill(ts, order)
        middle = bid + ask  # twice the mid
        if self.anchor is None or abs(middle - self.anchor) >= 10:
            self.anchor = middle
            self.requote(ts + LATENCY, middle // 2 - 3, -(-middle // 2) + 3)

    def requote(self, arrival: int, bid: int, ask: int) -> None:
        for order, known in self.known.items():
            if not known[2]:
                known[2] = 1
                self.cancels += 1
                self.queue(arrival, self.cancel, order)
        for side, price in ((1, bid), (-1, ask)):
            if self.position * side < INVENTORY:
                self.orders += 1
                self.known[self.orders] = [side, price, 0]
                self.queue(arrival, self.arrive, self.orders)


def w2(events: int | None) -> Outcome:
    rows = inputs.merge(*inputs.w2(quotes_of(events, inputs.W2_QUOTES)))
    columns = [column.tolist() for column in (rows.ts, rows.is_trade, rows.a, rows.b, rows.c, rows.d)]
    strategy = Quoting()
    start = time.perf_counter()
    later, resting, on_quote, on_trade = strategy.later, strategy.resting, strategy.on_quote, strategy.on_trade
    for ts, is_trade, a, b, c, d in zip(*columns, strict=True):
        if later and later[0][0] <= ts:
            strategy.run_until(ts)
        if not is_trade:
            on_quote(ts, a, b, c, d)
        elif resting:
            on_trade(ts, a, b, c)
    strategy.run_until(inputs.START * 2)
    strategy.cancels += len(strategy.resting)  # as an engine cancels what is left open; none of the whole workload
    run_s = time.perf_counter() - start
    done = strategy
    return Outcome(len(columns[0]), run_s, done.orders, done.cancels, done.fills, done.position)


if __name__ == "__main__":
    main("python", {"W1": w1, "W2": w2})
