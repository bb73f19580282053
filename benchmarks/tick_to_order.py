"""From a market message to the bytes of an order: how long the other side of a loopback line waits.

    python -m benchmarks.tick_to_order [COUNT]

A process sends a trade, waits for the order that a strategy sends from its `on_public_trade`, and notes the time
between: two trips over loopback, the edge, the live feed, the engine, Bybit's codec and, in the second line, the
journal's transaction. Not on the way here: the risk stage and the live gateway's rate rules and bookkeeping.
"""

import multiprocessing
import socket
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random
from typing import Any, Final, cast

import trio

from benchmarks import feeds, messages
from benchmarks.sender import CHUNK, frame, shake_hands
from gateways.bybit import codec
from mlthon.basics.defs import GtwStatus, Side
from mlthon.engine.clock import MS, Clock
from mlthon.engine.engine import Engine
from mlthon.engine.faces import Gateway
from mlthon.engine.garbage import LATENCY, rare_collections
from mlthon.engine.journal import JournalStage
from mlthon.engine.tracker import TrackedOrder
from mlthon.live.driver import Driver, WallTime
from mlthon.live.edge import EdgeSettings, TrioEdge
from mlthon.live.journal_store import SqliteJournal
from mlthon.venue.codec import Credentials, Endpoints
from mlthon.venue.wire import Frame

LINE: Final = "Bybit-linear-1"
"""The name that the live feed gives its line; here it carries the orders too."""
COUNT: Final = 3_000
WARM_UP: Final = 200
PAUSE_S: Final = 0.001


class Buyer(feeds.Listener):
    """Sends an order at each trade."""

    def on_start(self, params: str) -> None:
        self.env.request_execution_connection(feeds.EXCHANGE, [feeds.SYMBOL])
        super().on_start(params)

    def on_public_trade(self, *trade: Any) -> None:
        self.left -= 1
        self.env.send_new_order(None, feeds.EXCHANGE, feeds.SYMBOL, Side.Buy, "90000.0", "0.001")
        if not self.left:
            self.done()


class Sending:
    """A gateway that puts the codec's message on the line and hears no answers."""

    exchange = feeds.EXCHANGE
    account = feeds.ACCOUNT

    def __init__(self, edge: TrioEdge, wall: WallTime) -> None:
        endpoints = Endpoints("local", {"trade": "ws://127.0.0.1/"}, False)
        options = {"orders": "websocket"}
        key = Credentials("key", "secret")
        self._codec = codec(feeds.EXCHANGE, feeds.ACCOUNT, [feeds.INSTRUMENT], endpoints, key, options)
        self._edge = edge
        self._wall = wall

    def status(self) -> tuple[GtwStatus, str]:
        return GtwStatus.ReadyToTrade, ""

    def new_order(self, order: TrackedOrder) -> None:
        message = self._codec.new_order(order).build(self._wall.now() // MS)
        if not (isinstance(message, Frame) and self._edge.send(LINE, message.text)):
            raise RuntimeError("the order was not sent")


def ask(listener: socket.socket, count: int, told: Connection) -> None:
    """Send a trade, wait for an order, `count` times; tells the times (ns)."""
    lines = messages.trades(None)[:count]
    client, _ = listener.accept()
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    shake_hands(client)
    client.recv(CHUNK)  # the subscription
    took = []
    for line in lines:
        time.sleep(PAUSE_S)
        start = time.perf_counter_ns()
        client.sendall(frame(line))
        if not client.recv(CHUNK):
            break
        took.append(time.perf_counter_ns() - start)
    told.send(took)
    client.recv(CHUNK)


Beside = Callable[[Engine, Driver, trio.Nursery], Awaitable[None]]
"""Starts what is to run beside the engine."""


async def answer(url: str, count: int, journal: SqliteJournal | None, beside: Beside | None = None) -> None:
    over = trio.Event()
    wall = WallTime()
    driver = Driver(Clock(wall.now()), wall)
    endpoints = Endpoints("local", {"public.linear": url}, False)
    async with trio.open_nursery() as nursery:
        edge = TrioEdge(driver, nursery, endpoints, EdgeSettings(proxy=""), Random(1))
        gateway = cast(Gateway, Sending(edge, wall))
        engine = feeds.engine_of(Buyer(count, over.set), driver.clock, gateway)
        if journal is not None:
            port = engine.port(feeds.EXCHANGE, feeds.ACCOUNT)
            stage = JournalStage(port, feeds.EXCHANGE, feeds.ACCOUNT, driver.clock, journal, port.find)
            stage.gateway = gateway
            port.gateway = stage
        feeds.live_feed(engine, edge, driver, endpoints)
        nursery.start_soon(driver.run)
        if beside is not None:
            await beside(engine, driver, nursery)
        with rare_collections(LATENCY), trio.fail_after(60):
            await over.wait()
        await trio.sleep(0.1)
        nursery.cancel_scope.cancel()


def measure(count: int, journal: SqliteJournal | None, beside: Beside | None = None) -> list[int]:
    """The times (ns), sorted, without the first ones."""
    hear, tell = multiprocessing.Pipe(duplex=False)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"ws://127.0.0.1:{listener.getsockname()[1]}/"
        process = multiprocessing.get_context("fork").Process(target=ask, args=(listener, count, tell), daemon=True)
        process.start()
    try:
        trio.run(answer, url, count, journal, beside)
        return sorted(hear.recv()[WARM_UP:])
    finally:
        process.terminate()
        process.join()


def main() -> None:
    count = WARM_UP + (int(sys.argv[1]) if len(sys.argv) > 1 else COUNT)
    messages.make("W4", None)
    with tempfile.TemporaryDirectory() as folder:
        for durability in (None, "process"):
            journal = SqliteJournal(Path(folder) / "journal", now=time.time_ns()) if durability else None
            took = measure(count, journal)
            p50, p99 = took[len(took) // 2] / 1000, took[len(took) * 99 // 100] / 1000
            print(f"{'with' if journal else 'without'} the journal: p50 {p50:.0f} us, p99 {p99:.0f} us", flush=True)
            if journal is not None:
                journal.close()


if __name__ == "__main__":
    main()
