"""The inputs of the feed workloads: raw messages as Bybit v5 sends them, made from fixed seeds, kept in `bench-data/`.

W3 is a snapshot of 50 levels a side and deltas (`orderbook.50`) that change one to eight levels near the touch, which
drifts. W4 and W5 are public trades, one a message. A line is a message. Beside W3's file lies the top of the book at
its end.

The order in which the generator draws is part of the definition, as in `inputs`. Making needs numpy; reading needs the
standard library alone, for the files are read in the environments of the peers as well.
"""

import json
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import numpy as np

FOLDER: Final = Path(__file__).resolve().parent.parent / "bench-data"

DELTAS: Final = 500_000
TRADES: Final = 200_000
LEVELS: Final = 50
MOST_CHANGES: Final = 8
FIRST_PRICE: Final = 950_000
FIRST_ID: Final = 7_961_638_724
FIRST_SEQ: Final = 1_783_284_617
START_MS: Final = 1_735_689_600_000
"""2025-01-01T00:00:00Z."""

Levels = dict[int, int]


def price_text(ticks: int) -> str:
    return f"{ticks // 10}.{ticks % 10}"


def qty_text(lots: int) -> str:
    return f"{lots // 1000}.{lots % 1000:03}" if lots else "0"


def _rows(levels: Iterable[tuple[int, int]]) -> str:
    return ",".join(f'["{price_text(price)}","{qty_text(qty)}"]' for price, qty in levels)


def _book_message(kind: str, ts: int, bids: Levels, asks: Levels, number: int) -> str:
    below = _rows(sorted(bids.items(), reverse=True))
    above = _rows(sorted(asks.items()))
    return (
        f'{{"topic":"orderbook.50.BTCUSDT","type":"{kind}","ts":{ts},"data":{{"s":"BTCUSDT","b":[{below}],"a":[{above}],'
        f'"u":{number},"seq":{FIRST_ID + number * 3}}},"cts":{ts - 3}}}'
    )


class _Market:
    """The book that W3's messages describe."""

    def __init__(self, rng: "np.random.Generator") -> None:
        quantities = [int(rng.integers(1, 5_000)) for _ in range(2 * LEVELS)]
        self.bids = {FIRST_PRICE - 1 - i: quantities[i] for i in range(LEVELS)}
        self.asks = {FIRST_PRICE + 1 + i: quantities[LEVELS + i] for i in range(LEVELS)}

    def rise(self, new: int, far: int, bid_changes: Levels, ask_changes: Levels) -> None:
        """The best ask goes; a bid takes its place where there is room; a level far above comes in."""
        best_bid, best_ask = max(self.bids), min(self.asks)
        del self.asks[best_ask]
        ask_changes[best_ask] = 0
        joined = min(self.asks) - 1
        if joined not in self.bids and joined > best_bid:
            self.bids[joined] = bid_changes[joined] = new
        last = max(self.asks) + 1
        self.asks[last] = ask_changes[last] = far
        if len(self.bids) > LEVELS:
            worst = min(self.bids)
            del self.bids[worst]
            bid_changes[worst] = 0

    def fall(self, new: int, far: int, bid_changes: Levels, ask_changes: Levels) -> None:
        """The same downwards."""
        best_bid, best_ask = max(self.bids), min(self.asks)
        del self.bids[best_bid]
        bid_changes[best_bid] = 0
        joined = max(self.bids) + 1
        if joined not in self.asks and joined < best_ask:
            self.asks[joined] = ask_changes[joined] = new
        last = min(self.bids) - 1
        self.bids[last] = bid_changes[last] = far
        if len(self.asks) > LEVELS:
            worst = max(self.asks)
            del self.asks[worst]
            ask_changes[worst] = 0

    def change(self, is_bid: bool, place: int, qty: int, orders: dict[bool, list[int]], changes: Levels) -> None:
        """Another quantity on the level at this place from the touch, which `orders` counts, once a message."""
        side = self.bids if is_bid else self.asks
        prices = orders.setdefault(is_bid, sorted(side, reverse=is_bid))
        price = prices[min(place, len(prices) - 1)]
        side[price] = changes[price] = qty

    def top(self) -> tuple[int, int, int, int]:
        bid, ask = max(self.bids), min(self.asks)
        return bid, self.bids[bid], ask, self.asks[ask]


def book_messages(deltas: int, end: Callable[[tuple[int, int, int, int]], object]) -> Iterator[str]:
    """W3: one snapshot and as many deltas; `end` is told the last best bid, its quantity, ask and its quantity."""
    import numpy as np

    rng = np.random.default_rng(3)
    market = _Market(rng)
    ts = START_MS
    yield _book_message("snapshot", ts, market.bids, market.asks, 1)
    moves = rng.random((deltas, 4)).tolist()
    counts = rng.integers(1, MOST_CHANGES + 1, deltas).tolist()
    places = np.minimum(LEVELS - 1, rng.exponential(6, (deltas, MOST_CHANGES)).astype(int)).tolist()
    quantities = rng.integers(1, 5_000, (deltas, MOST_CHANGES)).tolist()
    sides = rng.random((deltas, MOST_CHANGES)).tolist()
    for i in range(deltas):
        ts += int(moves[i][3] * 40) + 1
        bids: Levels = {}
        asks: Levels = {}
        if moves[i][0] < 0.08:
            market.rise(quantities[i][0], quantities[i][1], bids, asks)
        elif moves[i][0] < 0.16:
            market.fall(quantities[i][0], quantities[i][1], bids, asks)
        orders: dict[bool, list[int]] = {}
        for j in range(counts[i]):
            is_bid = sides[i][j] < 0.5
            market.change(is_bid, places[i][j], quantities[i][j], orders, bids if is_bid else asks)
        yield _book_message("delta", ts, bids, asks, i + 2)
    end(market.top())


def trade_messages(trades: int) -> Iterator[str]:
    """W4 and W5: as many messages of one public trade each."""
    import numpy as np

    rng = np.random.default_rng(4)
    prices = FIRST_PRICE + np.cumsum(rng.choice([-1, 0, 0, 1], trades))
    quantities = np.maximum(1, rng.exponential(30, trades)).astype(int)
    buys = rng.random(trades) < 0.5
    times = START_MS + np.cumsum(rng.integers(0, 60, trades))
    rows = zip(prices.tolist(), quantities.tolist(), buys.tolist(), times.tolist(), strict=True)
    for i, (price, qty, buy, ts) in enumerate(rows):
        side, tick = ("Buy", "PlusTick") if buy else ("Sell", "ZeroMinusTick")
        yield (
            f'{{"topic":"publicTrade.BTCUSDT","type":"snapshot","ts":{ts + 2},"data":[{{"T":{ts},"s":"BTCUSDT",'
            f'"S":"{side}","v":"{qty_text(qty)}","p":"{price_text(price)}","L":"{tick}",'
            f'"i":"20f43950-d8dd-5b31-9112-{i:012x}","BT":false,"RPI":false,"seq":{FIRST_SEQ + i}}}]}}'
        )


def _book_path(deltas: int) -> Path:
    return FOLDER / f"book-{deltas}.jsonl"


def _trades_path(trades: int) -> Path:
    return FOLDER / f"trades-{trades}.jsonl"


def _write(path: Path, text: Iterable[str]) -> None:
    """Whole or not at all, for several processes may make it at once."""
    path.parent.mkdir(exist_ok=True)
    unfinished = path.with_name(f"{path.name}.{os.getpid()}")
    with unfinished.open("w") as file:
        file.writelines(line + "\n" for line in text)
    unfinished.rename(path)


def make(workload: str, events: int | None) -> None:
    """Make the file of a workload (W3, W4, W5) of this size, unless it is there."""
    if workload != "W3":
        path = _trades_path(events or TRADES)
        if not path.exists():
            _write(path, trade_messages(events or TRADES))
        return
    path = _book_path(events or DELTAS)
    top = path.with_suffix(".top")
    if not (path.exists() and top.exists()):
        _write(path, book_messages(events or DELTAS, lambda end: _write(top, [json.dumps(end)])))


def book(events: int | None) -> tuple[list[bytes], tuple[int, ...]]:
    """W3's messages, and the top of the book at their end in ticks and lots. Raises FileNotFoundError before `make`."""
    path = _book_path(events or DELTAS)
    top: Any = json.loads(path.with_suffix(".top").read_text())
    return path.read_bytes().splitlines(), tuple(top)


def trades_path(events: int | None) -> Path:
    """Where the messages of W4 and W5 are."""
    return _trades_path(events or TRADES)


def trades(events: int | None) -> list[bytes]:
    """W4's messages. Raises FileNotFoundError before `make`."""
    return trades_path(events).read_bytes().splitlines()
