"""The inputs of the workloads, made from fixed seeds, in memory.

One BTC-USDT perpetual: prices are whole ticks of 0.1, quantities whole lots of 0.001, times nanoseconds since 1970 UTC
from 2025-01-01 on. Every array is a C-contiguous int64.

W1 is a million trades about 80 ms apart whose price walks by at most two ticks. W2 is a million top-of-book quotes,
one or two ticks wide and walking by at most one tick, with a trade at the touch one microsecond after every fifth quote
or so.

The order in which the generator draws is part of the definition: drawing in another order gives other inputs, and a
test compares checksums. This module needs numpy alone, for it is imported in the environments of the peers as well.
"""

import hashlib
from dataclasses import dataclass, fields
from typing import Final

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

TICK: Final = 0.1
LOT: Final = 0.001
START: Final = 1_735_689_600_000_000_000
"""2025-01-01T00:00:00Z in ns."""

W1_TRADES: Final = 1_000_000
W2_QUOTES: Final = 1_000_000
TRADES_PER_QUOTE: Final = 0.2

FIRST_PRICE: Final = 950_000
MEAN_GAP: Final = 80e6
"""The mean time between two events (ns)."""


@dataclass(frozen=True, slots=True)
class Trades:
    """Public trades in order of time; `side` is the taker's, +1 or -1."""

    ts: Ints
    price: Ints
    qty: Ints
    side: Ints


@dataclass(frozen=True, slots=True)
class Quotes:
    """Top-of-book quotes in order of time."""

    ts: Ints
    bid: Ints
    bid_qty: Ints
    ask: Ints
    ask_qty: Ints


def _times(rng: np.random.Generator, n: int, least: int) -> Ints:
    gaps = rng.exponential(MEAN_GAP, n).astype(np.int64) + least
    return START + np.cumsum(gaps)


def _sizes(rng: np.random.Generator, mean: float, n: int) -> Ints:
    return np.maximum(1, rng.exponential(mean, n)).astype(np.int64)


def _sides(rng: np.random.Generator, n: int) -> Ints:
    return np.where(rng.random(n) < 0.5, 1, -1).astype(np.int64)


def w1(n: int = W1_TRADES) -> Trades:
    """The `n` trades of W1."""
    rng = np.random.default_rng(1)
    ts = _times(rng, n, least=1_000)
    price = FIRST_PRICE + np.cumsum(rng.choice([-2, -1, 0, 0, 0, 0, 1, 2], n))
    side = _sides(rng, n)
    return Trades(ts, price, _sizes(rng, 20, n), side)


def w2(n: int = W2_QUOTES) -> tuple[Quotes, Trades]:
    """The `n` quotes of W2 and the trades among them, a fifth as many."""
    rng = np.random.default_rng(2)
    ts = _times(rng, n, least=2_000)
    bid = FIRST_PRICE + np.cumsum(rng.choice([-1, 0, 0, 0, 0, 0, 0, 1], n))
    ask = bid + rng.choice([1, 1, 1, 1, 2], n)
    bid_qty = _sizes(rng, 2_000, n)
    quotes = Quotes(ts, bid, bid_qty, ask, _sizes(rng, 2_000, n))

    trades = int(n * TRADES_PER_QUOTE)
    after = np.sort(rng.choice(n - 1, trades, replace=False))
    side = _sides(rng, trades)
    price = np.where(side == 1, ask[after], bid[after])
    return quotes, Trades(ts[after] + 1_000, price, _sizes(rng, 50, trades), side)


@dataclass(frozen=True, slots=True)
class Merged:
    """W2 as one stream; at the same time a quote comes before a trade.

    `is_trade` is 0 or 1; `a, b, c, d` are bid, bid quantity, ask, ask quantity of a quote, and price, quantity, side, 0
    of a trade.
    """

    ts: Ints
    is_trade: Ints
    a: Ints
    b: Ints
    c: Ints
    d: Ints


def merge(quotes: Quotes, trades: Trades) -> Merged:
    """Both in one stream by time. Peers that take one stream get this one."""
    ts = np.concatenate([quotes.ts, trades.ts])
    is_trade = np.concatenate([np.zeros(len(quotes.ts), np.int64), np.ones(len(trades.ts), np.int64)])
    order = np.lexsort((is_trade, ts))
    pairs = (
        (quotes.bid, trades.price),
        (quotes.bid_qty, trades.qty),
        (quotes.ask, trades.side),
        (quotes.ask_qty, np.zeros(len(trades.ts), np.int64)),
    )
    return Merged(ts[order], is_trade[order], *(np.concatenate(pair)[order] for pair in pairs))


def checksum(*tables: Trades | Quotes) -> str:
    """SHA-256 over the bytes of all columns, in the order of their definition, little-endian."""
    sha = hashlib.sha256()
    for table in tables:
        for field in fields(table):
            sha.update(np.ascontiguousarray(getattr(table, field.name), dtype="<i8").tobytes())
    return sha.hexdigest()
