"""Floors of W3 to W5: what the interpreter and the libraries cost by themselves, with no engine around them.

- `decode`: msgspec makes objects of the messages, and that is all.
- W3: the same, a dict a side, the best prices kept beside them, one call a message with the top. W4: the same and one
  call a trade. No checks, no sequence rule, no times.
- W5: what W4 does with messages that a bare trio loop cuts out of the frames of each read. `frames`: each message goes
  to a callback as it is. `sansio`: so too, the frames read by the protocol of the library websockets.
"""

from collections.abc import Callable
from typing import Any, Final

import msgspec
import trio
from websockets.client import ClientProtocol
from websockets.frames import Frame
from websockets.uri import parse_uri

from benchmarks import messages
from benchmarks.outcome import Outcome, main, now
from benchmarks.sender import SHORT, sending

READ_BYTES: Final = 65_536


class Levels(msgspec.Struct, gc=False):
    b: list[tuple[str, str]]
    a: list[tuple[str, str]]


class BookMessage(msgspec.Struct, gc=False):
    data: Levels


class Trade(msgspec.Struct, gc=False):
    T: int
    S: str
    v: str
    p: str


class TradeMessage(msgspec.Struct, gc=False):
    data: list[Trade]


def learn(known: dict[str, int], text: str, places: int) -> int:
    """Text to whole steps of 10^-`places`, remembered in `known`."""
    value = known[text] = round(float(text) * float(10**places))
    return value


class Last:
    """The callbacks: they count and remember."""

    def __init__(self) -> None:
        self.count = 0
        self.last: tuple[Any, ...] = ()

    def on_top(self, bid: int, bid_qty: int, ask: int, ask_qty: int) -> None:
        self.count += 1
        self.last = (bid, bid_qty, ask, ask_qty)

    def on_trade(self, price: int, qty: int, buy: bool, ts: int) -> None:
        self.count += 1
        self.last = (price, qty, buy, ts)

    def on_message(self, data: bytes) -> None:
        self.count += 1
        self.last = (data,)


def outcome(last: Last, expected: int, run_s: float) -> Outcome:
    if last.count != expected:
        raise RuntimeError(f"{last.count} callbacks for {expected} messages")
    return Outcome(expected, run_s, 0, 0, 0, 0)


def decode_only(lines: list[bytes], kind: type[msgspec.Struct]) -> Outcome:
    decode = msgspec.json.Decoder(kind).decode
    start = now()
    for line in lines:
        decode(line)
    return Outcome(len(lines), now() - start, 0, 0, 0, 0)


def w3_decode(events: int | None) -> Outcome:
    return decode_only(messages.book(events)[0], BookMessage)


def w4_decode(events: int | None) -> Outcome:
    return decode_only(messages.trades(events), TradeMessage)


def w3(events: int | None) -> Outcome:
    lines, expected = messages.book(events)
    decode = msgspec.json.Decoder(BookMessage).decode
    ticks: dict[str, int] = {}
    lots: dict[str, int] = {}
    bids: dict[int, int] = {}
    asks: dict[int, int] = {}
    bid, ask = -1, 1 << 62
    last = Last()
    start = now()
    for line in lines:
        data = decode(line).data
        for text, qty_text in data.b:
            try:
                price, qty = ticks[text], lots[qty_text]
            except KeyError:
                price, qty = learn(ticks, text, 1), learn(lots, qty_text, 3)
            if qty:
                bids[price] = qty
                if price > bid:
                    bid = price
            else:
                bids.pop(price, None)
        if bid not in bids:
            bid = max(bids)
        for text, qty_text in data.a:
            try:
                price, qty = ticks[text], lots[qty_text]
            except KeyError:
                price, qty = learn(ticks, text, 1), learn(lots, qty_text, 3)
            if qty:
                asks[price] = qty
                if price < ask:
                    ask = price
            else:
                asks.pop(price, None)
        if ask not in asks:
            ask = min(asks)
        last.on_top(bid, bids[bid], ask, asks[ask])
    run_s = now() - start
    if last.last != expected:
        raise RuntimeError(f"the book ends with {last.last}, not with {expected}")
    return outcome(last, len(lines), run_s)


def trade_reader(last: Last) -> Callable[[bytes], None]:
    decode = msgspec.json.Decoder(TradeMessage).decode
    ticks: dict[str, int] = {}
    lots: dict[str, int] = {}

    def read(line: bytes) -> None:
        for trade in decode(line).data:
            try:
                price, qty = ticks[trade.p], lots[trade.v]
            except KeyError:
                price, qty = learn(ticks, trade.p, 1), learn(lots, trade.v, 3)
            last.on_trade(price, qty, trade.S == "Buy", trade.T)

    return read


def w4(events: int | None) -> Outcome:
    lines = messages.trades(events)
    last = Last()
    read = trade_reader(last)
    start = now()
    for line in lines:
        read(line)
    return outcome(last, len(lines), now() - start)


async def shake_hands(url: str) -> tuple[trio.SocketStream, ClientProtocol, bytes]:
    """An open connection, and what came with the answer to its request."""
    uri = parse_uri(url)
    protocol = ClientProtocol(uri)
    stream = await trio.open_tcp_stream(uri.host, uri.port)
    protocol.send_request(protocol.connect())
    await stream.send_all(b"".join(protocol.data_to_send()))
    head = b""
    while b"\r\n\r\n" not in head:
        head += await stream.receive_some(READ_BYTES)
    head, _, early = head.partition(b"\r\n\r\n")
    protocol.receive_data(head + b"\r\n\r\n")
    protocol.events_received()
    return stream, protocol, early


async def cut_by_hand(url: str, last: Last, on_message: Callable[[bytes], None], expected: int) -> float:
    """All messages to the callback; how long that took. Frames of whole, short messages alone are known."""
    stream, _, rest = await shake_hands(url)
    start = now()
    while True:
        at, size = 0, len(rest)
        while size - at >= SHORT:
            length = rest[at + 1]
            begin = at + 2
            if length == SHORT:
                length = rest[at + 2] << 8 | rest[at + 3]
                begin = at + 4
            if begin + length > size:
                break
            at = begin + length
            on_message(rest[begin:at])
        if last.count >= expected:
            break
        rest = rest[at:] + await stream.receive_some(READ_BYTES)
    run_s = now() - start
    await stream.aclose()
    return run_s


async def read_by_websockets(url: str, last: Last, on_message: Callable[[bytes], None], expected: int) -> float:
    stream, protocol, data = await shake_hands(url)
    start = now()
    while True:
        protocol.receive_data(data)
        for frame in protocol.events_received():
            if isinstance(frame, Frame):
                on_message(bytes(frame.data))
        if last.count >= expected:
            break
        data = await stream.receive_some(READ_BYTES)
    run_s = now() - start
    await stream.aclose()
    return run_s


def w5(events: int | None) -> Outcome:
    last = Last()
    return _received(events, cut_by_hand, last, trade_reader(last))


def w5_frames(events: int | None) -> Outcome:
    last = Last()
    return _received(events, cut_by_hand, last, last.on_message)


def w5_sansio(events: int | None) -> Outcome:
    last = Last()
    return _received(events, read_by_websockets, last, last.on_message)


def _received(events: int | None, receive: Any, last: Last, on_message: Callable[[bytes], None]) -> Outcome:
    expected = events or messages.TRADES
    with sending(messages.trades_path(events)) as url:
        return outcome(last, expected, trio.run(receive, url, last, on_message, expected))


WORKLOADS: Final = {
    "W3": w3,
    "W3-decode": w3_decode,
    "W4": w4,
    "W4-decode": w4_decode,
    "W5": w5,
    "W5-frames": w5_frames,
    "W5-sansio": w5_sansio,
}

if __name__ == "__main__":
    main("python", WORKLOADS)
