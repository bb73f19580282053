"""nautilus_trader on W3 and W4: the decoders and parsers of its own Bybit adapter. W3 applies the deltas to its
`OrderBook` and reads the top; W4 makes `TradeTick`s and calls back with them, without its data engine and message
bus. There is no W5: its websocket client is part of its live node.
"""

# mypy: disable-error-code="import-not-found,import-untyped"

import time
from importlib.metadata import version
from typing import Any

from nautilus_trader.adapters.bybit.schemas.ws import decoder_ws_orderbook, decoder_ws_trade
from nautilus_trader.model.book import OrderBook
from nautilus_trader.model.enums import BookType
from nautilus_trader.model.identifiers import InstrumentId

from benchmarks import messages
from benchmarks.outcome import Outcome, main

MS = 1_000_000
INSTRUMENT = InstrumentId.from_str("BTCUSDT-LINEAR.BYBIT")
PRICE_DIGITS = 1
QTY_DIGITS = 3


class Heard:
    """The callbacks."""

    def __init__(self) -> None:
        self.count = 0
        self.last: Any = None

    def on_top(self, *top: Any) -> None:
        self.count += 1
        self.last = top

    def on_trade_tick(self, tick: Any) -> None:
        self.count += 1
        self.last = tick


def outcome(count: int, run_s: float, expected: int) -> Outcome:
    if count != expected:
        raise RuntimeError(f"{count} callbacks for {expected} messages")
    return Outcome(count, run_s, 0, 0, 0, 0)


def w3(events: int | None) -> Outcome:
    lines, expected = messages.book(events)
    decode = decoder_ws_orderbook().decode
    book = OrderBook(INSTRUMENT, BookType.L2_MBP)
    heard = Heard()
    start = time.perf_counter()
    for line in lines:
        message = decode(line)
        snapshot = message.type == "snapshot"
        ts = message.ts * MS
        book.apply_deltas(message.data.parse_to_deltas(INSTRUMENT, PRICE_DIGITS, QTY_DIGITS, ts, ts, snapshot))
        heard.on_top(book.best_bid_price(), book.best_bid_size(), book.best_ask_price(), book.best_ask_size())
    run_s = time.perf_counter() - start
    scales = (10, 1000, 10, 1000)
    top = tuple(round(float(each) * scale) for each, scale in zip(heard.last, scales, strict=True))
    if top != expected:
        raise RuntimeError(f"the book ends with {top}, not with {expected}")
    return outcome(heard.count, run_s, len(lines))


def w4(events: int | None) -> Outcome:
    lines = messages.trades(events)
    decode = decoder_ws_trade().decode
    heard = Heard()
    start = time.perf_counter()
    for line in lines:
        message = decode(line)
        for trade in message.data:
            heard.on_trade_tick(trade.parse_to_trade_tick(INSTRUMENT, PRICE_DIGITS, QTY_DIGITS, message.ts * MS))
    return outcome(heard.count, time.perf_counter() - start, len(lines))


if __name__ == "__main__":
    main(f"nautilus_trader {version('nautilus_trader')}", {"W3": w3, "W4": w4})
