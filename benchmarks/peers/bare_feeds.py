"""The interpreter's own cost of W3 and W4: decoding, a dict a side, one call; no checks, no engine, no times kept."""

import time
from typing import Any

import msgspec

from benchmarks import messages
from benchmarks.feeds import Tops, heard
from benchmarks.outcome import Outcome, main


class Book(msgspec.Struct):
    b: list[tuple[str, str]]
    a: list[tuple[str, str]]


class BookMessage(msgspec.Struct):
    data: Book


class Trade(msgspec.Struct):
    T: int
    S: str
    v: str
    p: str


class TradeMessage(msgspec.Struct):
    data: list[Trade]


class Ticks(dict[str, int]):
    """Text to whole steps of 10^-`places`, remembered."""

    def __init__(self, places: int) -> None:
        self.unit: int = 10**places

    def __missing__(self, text: str) -> int:
        value = self[text] = round(float(text) * self.unit)
        return value


def w3(events: int | None) -> Outcome:
    lines, expected = messages.book(events)
    decode = msgspec.json.Decoder(BookMessage).decode
    ticks, lots = Ticks(1), Ticks(3)
    bids: dict[int, int] = {}
    asks: dict[int, int] = {}
    tops = Tops()
    start = time.perf_counter()
    for line in lines:
        data = decode(line).data
        for levels, changes in ((bids, data.b), (asks, data.a)):
            for price, qty in changes:
                lot = lots[qty]
                if lot:
                    levels[ticks[price]] = lot
                else:
                    levels.pop(ticks[price], None)
        bid, ask = max(bids), min(asks)
        tops.on_top(bid, bids[bid], ask, asks[ask])
    run_s = time.perf_counter() - start
    if (tops.count, tops.last) != (len(lines), expected):
        raise RuntimeError(f"the book ends with {tops.last}, not with {expected}")
    return heard(len(lines), run_s)


class Last:
    """W4's callback."""

    def __init__(self) -> None:
        self.count = 0
        self.trade: tuple[Any, ...] = ()

    def on_trade(self, price: int, qty: int, buy: bool, ts: int) -> None:
        self.count += 1
        self.trade = (price, qty, buy, ts)


def w4(events: int | None) -> Outcome:
    lines = messages.trades(events)
    decode = msgspec.json.Decoder(TradeMessage).decode
    ticks, lots = Ticks(1), Ticks(3)
    last = Last()
    start = time.perf_counter()
    for line in lines:
        for trade in decode(line).data:
            last.on_trade(ticks[trade.p], lots[trade.v], trade.S == "Buy", trade.T)
    run_s = time.perf_counter() - start
    if last.count != len(lines):
        raise RuntimeError(f"{last.count} callbacks for {len(lines)} messages")
    return heard(last.count, run_s)


if __name__ == "__main__":
    main("python", {"W3": w3, "W4": w4})
