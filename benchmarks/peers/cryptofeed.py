"""cryptofeed: its Bybit feed's `message_handler` with its callbacks; W5 over its own websocket connection.

Its list of symbols, which it fetches from the exchange, is given to it. Its connection accepts wss:// alone, so W5
makes one and then points it at the local server. The checks are the count of callbacks and the last top.
"""

# mypy: disable-error-code="import-not-found,import-untyped"

import asyncio
import time
from decimal import Decimal
from typing import Any

from cryptofeed.connection import WSAsyncConn
from cryptofeed.defines import L2_BOOK, TRADES
from cryptofeed.exchanges import Bybit
from cryptofeed.symbols import Symbols

from benchmarks import messages
from benchmarks.outcome import Outcome, main
from benchmarks.sender import sending

VERSION = "cryptofeed 2.4.1"
LINEAR = "wss://stream.bybit.com/v5/public/linear"


class Heard:
    """The callbacks."""

    def __init__(self) -> None:
        self.count = 0
        self.top: tuple[Any, ...] = ()
        self.trade: tuple[Any, ...] = ()

    async def on_book(self, book: Any, receipt: float) -> None:
        self.count += 1
        bid, bid_qty = book.book.bids.index(0)
        ask, ask_qty = book.book.asks.index(0)
        self.top = (bid, bid_qty, ask, ask_qty)

    async def on_trade(self, trade: Any, receipt: float) -> None:
        self.count += 1
        self.trade = (trade.price, trade.amount, trade.side, trade.timestamp, receipt)


class Line:
    """What a feed asks of its connection in W3 and W4."""

    address = LINEAR
    uuid = "line"


def feed(channel: str, callback: Any) -> Any:
    Symbols.set(Bybit.id, {"BTC-USDT-PERP": "BTCUSDT"}, {"instrument_type": {"BTC-USDT-PERP": "perpetual"}})
    return Bybit(symbols=["BTC-USDT-PERP"], channels=[channel], callbacks={channel: callback})


def outcome(count: int, run_s: float, expected: int) -> Outcome:
    if count != expected:
        raise RuntimeError(f"{count} callbacks for {expected} messages")
    return Outcome(count, run_s, 0, 0, 0, 0)


async def handle(handler: Any, lines: list[str]) -> float:
    line = Line()
    start = time.perf_counter()
    for text in lines:
        await handler.message_handler(text, line, 1735689600.0)
    return time.perf_counter() - start


def w3(events: int | None) -> Outcome:
    raw, (bid, bid_qty, ask, ask_qty) = messages.book(events)
    heard = Heard()
    run_s = asyncio.run(handle(feed(L2_BOOK, heard.on_book), [line.decode() for line in raw]))
    expected = (Decimal(bid) / 10, Decimal(bid_qty) / 1000, Decimal(ask) / 10, Decimal(ask_qty) / 1000)
    if heard.top != expected:
        raise RuntimeError(f"the book ends with {heard.top}, not with {expected}")
    return outcome(heard.count, run_s, len(raw))


def w4(events: int | None) -> Outcome:
    lines = [line.decode() for line in messages.trades(events)]
    heard = Heard()
    run_s = asyncio.run(handle(feed(TRADES, heard.on_trade), lines))
    return outcome(heard.count, run_s, len(lines))


async def listen(handler: Any, url: str, expected: int) -> float:
    line = WSAsyncConn(LINEAR, "bybit", compression=None)
    line.address = url + "linear"
    await line._open()
    start = time.perf_counter()
    left = expected
    async for text in line.read():
        await handler.message_handler(text, line, line.last_message)
        left -= 1
        if not left:
            break
    run_s = time.perf_counter() - start
    await line.close()
    return run_s


def w5(events: int | None) -> Outcome:
    expected = len(messages.trades(events))
    heard = Heard()
    with sending(messages.trades_path(events)) as url:
        run_s = asyncio.run(listen(feed(TRADES, heard.on_trade), url, expected))
    return outcome(heard.count, run_s, expected)


if __name__ == "__main__":
    main(VERSION, {"W3": w3, "W4": w4, "W5": w5})
