"""How many messages a second come out of the socket loop: a loopback websocket, through the edge, into a callback.

    python -m benchmarks.loopback [COUNT]

The sender is a process of its own that sends one prepared frame over and over, so that it costs next to nothing. Two
figures: a callback that only counts (the edge alone), and Binance's feed handler behind it (trades to ticks and lots).
"""

import multiprocessing
import socket
import sys
import time
from collections.abc import Callable
from random import Random
from typing import Final

import trio
from websockets.protocol import Event
from websockets.server import ServerProtocol

from feedhandlers.binance import feed_handler
from mlthon.basics.catalogue import resolve
from mlthon.basics.defs import Exchange
from mlthon.engine.clock import Clock
from mlthon.live.driver import Driver, WallTime
from mlthon.live.edge import EdgeSettings, TrioEdge
from mlthon.venue.codec import Endpoints
from mlthon.venue.wire import Line

MESSAGE: Final = (
    b'{"stream":"btcusdt@trade","data":{"e":"trade","E":1700000000001,"T":1700000000000,"s":"BTCUSDT","t":4000000001,'
    b'"p":"64000.10","q":"0.012","X":"MARKET","m":true}}'
)
FRAMES_A_SEND: Final = 200


class Nobody:
    """A receiver that does nothing."""

    def quote(self, bid: int, bid_qty: int, ask: int, ask_qty: int, exch_ts: int, recv_ts: int) -> None: ...

    def trade(self, price: int, qty: int, side: int, trade_id: int, exch_ts: int, recv_ts: int) -> None: ...

    def book(self, op: int, price: int, qty: int, level_id: int, exch_ts: int, recv_ts: int) -> None: ...


class Counter:
    """A line's user that hands messages on and counts them."""

    def __init__(self, message: Callable[[bytes, int], None] | None, count: int) -> None:
        self.done = trio.Event()
        self.began = 0.0
        self.took = 0.0
        self._message = message
        self._left = count

    def line_opened(self, name: str) -> None:
        self.began = time.perf_counter()

    def line_message(self, name: str, data: bytes, recv_ts: int) -> None:
        if self._message is not None:
            self._message(data, recv_ts)
        self._left -= 1
        if not self._left:
            self.took = time.perf_counter() - self.began
            self.done.set()

    def line_closed(self, name: str, reason: str) -> None:
        """The end of the run closes it."""


def blast(listener: socket.socket, count: int) -> None:
    """Serve one client: its handshake, then `count` frames as fast as it takes them."""
    client, _ = listener.accept()
    protocol = ServerProtocol()
    requests: list[Event] = []
    while not requests:
        protocol.receive_data(client.recv(65_536))
        requests = protocol.events_received()
    protocol.send_response(protocol.accept(requests[0]))  # type: ignore[arg-type]
    client.sendall(b"".join(protocol.data_to_send()))
    protocol.send_text(MESSAGE)
    batch = b"".join(protocol.data_to_send()) * FRAMES_A_SEND
    for _ in range(count // FRAMES_A_SEND):
        client.sendall(batch)
    client.recv(1)


async def measure(message: Callable[[bytes, int], None] | None, count: int) -> float:
    """Messages a second."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        sender = multiprocessing.get_context("fork").Process(target=blast, args=(listener, count), daemon=True)
        sender.start()
    user = Counter(message, count)
    driver = Driver(Clock(), WallTime())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(driver.run)
        edge = TrioEdge(driver, nursery, Endpoints("local", {}, False), EdgeSettings(proxy=""), Random(1))
        edge.open_line(Line("loopback", lambda _now_ms: f"ws://127.0.0.1:{port}/"), user)
        await user.done.wait()
        await edge.aclose()
        nursery.cancel_scope.cancel()
    sender.terminate()
    sender.join()
    return count / user.took


def main() -> None:
    """Measure and print."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 400_000
    count -= count % FRAMES_A_SEND
    instrument = resolve(Exchange.BinanceUsdm, "BTCUSDT")
    handler = feed_handler(Exchange.BinanceUsdm, {instrument: Nobody()}, lambda what, data: print(what, data))
    for name, message in (("edge alone", None), ("edge and trades decoded", handler.message)):
        print(f"{name:25} {trio.run(measure, message, count) / 1e6:.3f} M messages/s")


if __name__ == "__main__":
    main()
