"""The floor of whoever calls these strategies: W1 and W2's own, called row after row with objects made beforehand.

No engine can be faster than this with the same strategy, however little it does itself. Orders go nowhere, so nothing
is ever filled, and W2's counts are others.
"""

import time
from typing import Any

from benchmarks import inputs
from benchmarks.ours import INSTRUMENT
from benchmarks.outcome import Outcome, main, quotes_of
from benchmarks.strategies import EXCHANGE, EmaCross, QuotingOnPairs
from mlthon.basics.defs import SIDES

MS = 1_000_000


class Nowhere:
    """An environment that counts requests and answers none."""

    def __init__(self) -> None:
        self.orders = 0
        self.cancels = 0

    def login(self, strat_name: str) -> None:
        """Nobody is there."""

    def send_new_order(self, *request: Any) -> None:
        self.orders += 1

    def send_cancel_order(self, *request: Any) -> None:
        self.cancels += 1


def _connected(strategy: Any) -> Nowhere:
    env = Nowhere()
    strategy.on_framework_connected(env)
    return env


def w1(events: int | None) -> Outcome:
    trades = inputs.w1(events or inputs.W1_TRADES)
    strategy = EmaCross()
    env = _connected(strategy)
    rows = list(
        zip(
            [SIDES[side] for side in trades.side.tolist()],
            [INSTRUMENT.price_scale.values[price] for price in trades.price.tolist()],
            [INSTRUMENT.qty_scale.values[qty] for qty in trades.qty.tolist()],
            (trades.ts // MS).tolist(),
            strict=True,
        )
    )
    call, number = strategy.on_public_trade, INSTRUMENT.number
    start = time.perf_counter()
    for side, price, qty, ms in rows:
        call(EXCHANGE, number, side, price, qty, ms, ms)
    return Outcome(len(rows), time.perf_counter() - start, env.orders, 0, 0, 0)


def w2(events: int | None) -> Outcome:
    quotes, trades = inputs.w2(quotes_of(events, inputs.W2_QUOTES))
    strategy = QuotingOnPairs()
    env = _connected(strategy)
    prices, qtys = INSTRUMENT.price_scale.values, INSTRUMENT.qty_scale.values
    rows = list(
        zip(
            [prices[price] for price in quotes.bid.tolist()],
            [qtys[qty] for qty in quotes.bid_qty.tolist()],
            [prices[price] for price in quotes.ask.tolist()],
            [qtys[qty] for qty in quotes.ask_qty.tolist()],
            (quotes.ts // MS).tolist(),
            strict=True,
        )
    )
    call, number = strategy.on_best_levels_update, INSTRUMENT.number
    start = time.perf_counter()
    for bid, bid_qty, ask, ask_qty, ms in rows:
        call(EXCHANGE, number, bid, bid_qty, ask, ask_qty, ms)
    # trades are events too, of which this strategy hears nothing
    return Outcome(len(rows) + len(trades.ts), time.perf_counter() - start, env.orders, env.cancels, 0, 0)


if __name__ == "__main__":
    main("pure", {"W1": w1, "W2": w2})
