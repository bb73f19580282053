"""hftbacktest: its exchange and queue model are compiled (Rust); the strategy here is a plain Python loop.

The loop steps through one small helper compiled by numba, which is twice as fast as calling the engine's methods from
Python one by one. `W1-numba` and `W2-numba` are the same strategies compiled whole, which is how its authors mean it to
be used: the strategy is then no Python program any more. Compiling is not counted in `run_s`, but in the process's
time.

Its exchange fills against depth alone, so W1, which has no quotes, gets one quote before the first trade: the number of
orders and fills is right, the fill prices are not. A quote of W2 is up to four depth events (old levels out, new ones
in); events are counted as quotes and trades.
"""

# mypy: disable-error-code="import-not-found,import-untyped", disallow-untyped-decorators=False

import time
from importlib.metadata import version
from typing import Any

import numpy as np
from hftbacktest import (
    BUY_EVENT,
    DEPTH_EVENT,
    EXCH_EVENT,
    GTC,
    GTX,
    LIMIT,
    LOCAL_EVENT,
    MARKET,
    NONE,
    SELL_EVENT,
    TRADE_EVENT,
    BacktestAsset,
    HashMapMarketDepthBacktest,
    event_dtype,
)
from numba import njit

from benchmarks import inputs
from benchmarks.outcome import Outcome, main, quotes_of

MS = 1_000_000
BOTH = EXCH_EVENT | LOCAL_EVENT
FOREVER = 10**18


def events_of(ts: Any, kind: Any, price: Any, qty: Any) -> Any:
    data = np.zeros(len(ts), event_dtype)
    data["ev"] = kind
    data["exch_ts"] = data["local_ts"] = ts
    data["px"] = price * inputs.TICK
    data["qty"] = qty * inputs.LOT
    return data


def backtest(data: Any, latency: int, keep_trades: int) -> Any:
    asset = (
        BacktestAsset()
        .data(data)
        .linear_asset(1.0)
        .constant_order_latency(latency, latency)
        .risk_adverse_queue_model()
        .no_partial_fill_exchange()
        .trading_value_fee_model(0.0002, 0.0005)
        .tick_size(inputs.TICK)
        .lot_size(inputs.LOT)
        .last_trades_capacity(keep_trades)
    )
    return HashMapMarketDepthBacktest([asset])


def w1_data(events: int | None) -> Any:
    trades = inputs.w1(events or inputs.W1_TRADES)
    rows = events_of(trades.ts, 0, trades.price, trades.qty)
    rows["ev"] = BOTH | TRADE_EVENT | np.where(trades.side > 0, BUY_EVENT, SELL_EVENT).astype(np.uint64)
    first = np.array([trades.price[0] - 1, trades.price[0] + 1])
    sides = np.array([BUY_EVENT, SELL_EVENT], np.uint64)
    quote = events_of(trades.ts[[0, 0]] - 1, BOTH | DEPTH_EVENT | sides, first, np.array([10**6, 10**6]))
    return np.concatenate([quote, rows])


def w2_data(events: int | None) -> tuple[Any, int]:
    """The rows, and how many quotes and trades they are."""
    quotes, trades = inputs.w2(quotes_of(events, inputs.W2_QUOTES))
    parts, order = [], []
    for place, kind, price, qty in (
        (2, BUY_EVENT, quotes.bid, quotes.bid_qty),
        (3, SELL_EVENT, quotes.ask, quotes.ask_qty),
    ):
        moved = np.flatnonzero(np.diff(price)) + 1
        parts += [
            events_of(quotes.ts[moved], BOTH | DEPTH_EVENT | kind, price[moved - 1], np.zeros(len(moved))),
            events_of(quotes.ts, BOTH | DEPTH_EVENT | kind, price, qty),
        ]
        order += [np.full(len(moved), place - 2), np.full(len(quotes.ts), place)]
    taker = np.where(trades.side > 0, BUY_EVENT, SELL_EVENT).astype(np.uint64)
    parts.append(events_of(trades.ts, BOTH | TRADE_EVENT | taker, trades.price, trades.qty))
    order.append(np.full(len(trades.ts), 4))
    rows = np.concatenate(parts)
    return rows[np.lexsort((np.concatenate(order), rows["exch_ts"]))], len(quotes.ts) + len(trades.ts)


@njit
def next_trade(hbt: Any) -> Any:
    """Whether there is another trade, and its price (no two trades of W1 are at one time)."""
    alive = hbt.wait_next_feed(False, FOREVER) == 2
    trades = hbt.last_trades(0)
    price = trades[0]["px"] if len(trades) else 0.0
    hbt.clear_last_trades(0)
    return alive, price


@njit
def next_top(hbt: Any, depth: Any) -> Any:
    """Whether there is another event, and the best prices after it in ticks."""
    alive = hbt.wait_next_feed(False, FOREVER) == 2
    return alive, depth.best_bid_tick, depth.best_ask_tick


def cross(hbt: Any, qty: float) -> int:
    """W1's strategy; returns the number of orders."""
    fast = slow = 0.0
    seen = side = orders = 0
    while True:
        alive, price = next_trade(hbt)
        if not alive:
            return orders
        if price == 0.0:  # the one quote
            continue
        if seen == 0:
            fast = slow = price
        seen += 1
        fast += 2 / 151 * (price - fast)
        slow += 2 / 601 * (price - slow)
        if seen < 600:
            continue
        want = 1 if fast > slow else -1 if fast < slow else side
        if want != side:
            size = qty if side == 0 else 2 * qty
            side = want
            orders += 1
            if side > 0:
                hbt.submit_buy_order(0, orders, price, size, GTC, MARKET, False)
            else:
                hbt.submit_sell_order(0, orders, price, size, GTC, MARKET, False)
            hbt.clear_inactive_orders(0)


def quote(hbt: Any, qty: float, tick: float) -> tuple[int, int]:
    """W2's strategy; returns the numbers of orders and cancels. A trade leaves the mid as it was: no test for it."""
    anchor = orders = cancels = 0
    depth = hbt.depth(0)
    while True:
        alive, bid, ask = next_top(hbt, depth)
        if not alive:
            return orders, cancels
        middle = bid + ask  # twice the mid
        if anchor and abs(middle - anchor) < 10:
            continue
        anchor = middle
        hbt.clear_inactive_orders(0)
        values = hbt.orders(0).values()
        while True:
            order = values.next()
            if order is None:
                break
            if order.req == NONE:
                hbt.cancel(0, order.order_id, False)
                cancels += 1
        position = round(hbt.position(0) / qty)
        if position < 50:
            orders += 1
            hbt.submit_buy_order(0, orders, (middle // 2 - 3) * tick, qty, GTX, LIMIT, False)
        if position > -50:
            orders += 1
            hbt.submit_sell_order(0, orders, (-(-middle // 2) + 3) * tick, qty, GTX, LIMIT, False)


def run_w1(events: int | None, strategy: Any) -> Outcome:
    data = w1_data(events)
    hbt = backtest(data, 5 * MS, keep_trades=100)
    start = time.perf_counter()
    orders = strategy(hbt, 10 * inputs.LOT)
    run_s = time.perf_counter() - start
    state = hbt.state_values(0)
    return Outcome(len(data) - 2, run_s, orders, 0, int(state.num_trades), round(state.position / (10 * inputs.LOT)))


def run_w2(events: int | None, strategy: Any) -> Outcome:
    data, count = w2_data(events)
    hbt = backtest(data, MS, keep_trades=0)
    start = time.perf_counter()
    orders, cancels = strategy(hbt, 10 * inputs.LOT, inputs.TICK)
    run_s = time.perf_counter() - start
    state = hbt.state_values(0)
    position = round(state.position / (10 * inputs.LOT))
    return Outcome(count, run_s, orders, cancels, int(state.num_trades), position)


def warmed(run: Any, strategy: Any) -> Any:
    """Runs once at a small size first, so that numba's compiling is not counted in `run_s`."""

    def measured(events: int | None) -> Outcome:
        run(1_000, strategy)
        result: Outcome = run(events, strategy)
        return result

    return measured


if __name__ == "__main__":
    main(
        f"hftbacktest {version('hftbacktest')}",
        {
            "W1": warmed(run_w1, cross),
            "W2": warmed(run_w2, quote),
            "W1-numba": warmed(run_w1, njit(cross)),
            "W2-numba": warmed(run_w2, njit(quote)),
        },
    )
