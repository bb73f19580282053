"""The live feed over real sockets: an exchange that loses the connection, and a strategy's book that comes back."""

import json
from typing import Any

import pytest
import trio
from websockets.trio.server import ServerConnection

from feedhandlers import binance
from mlthon.basics.catalogue import resolve
from mlthon.basics.defs import Exchange
from mlthon.data.rows import Kind
from mlthon.engine.exchange_feed import ExchangeFeed
from mlthon.engine.faces import LIVE, STALE
from mlthon.venue.codec import Endpoints
from mlthon.venue.live_feed import LiveFeed
from tests.live.servers import edge_to, raw_server, until, websocket_server

pytestmark = pytest.mark.trio

BTC = resolve(Exchange.BinanceUsdm, "BTCUSDT")


class Ops:
    """A tap that keeps the book's operations."""

    def __init__(self) -> None:
        self.ops: list[int] = []

    def quote(self, *args: int) -> None: ...

    def trade(self, *args: int) -> None: ...

    def book(self, op: int, *args: int) -> None:
        self.ops.append(op)


async def test_a_book_survives_the_loss_of_its_line() -> None:
    subscribed: list[list[str]] = []
    snapshots: list[bytes] = []

    async def streams(socket: ServerConnection) -> None:
        message = json.loads(await socket.recv())
        subscribed.append(message["params"])
        await socket.send(json.dumps({"result": None, "id": message["id"]}))
        for number in range(40):
            data: dict[str, Any] = {"s": "BTCUSDT", "E": 1, "T": 1, "U": number + 1, "u": number + 1, "pu": number}
            data |= {"b": [["100.0", str(number + 1)]], "a": []}
            await socket.send(json.dumps({"stream": "btcusdt@depth@100ms", "data": data}, separators=(",", ":")))
            await trio.sleep(0.02)
        if len(subscribed) == 1:
            await socket.stream.aclose()
        await trio.sleep_forever()

    async def depth(stream: trio.SocketStream) -> None:
        async for request in stream:
            snapshots.append(request)
            body = b'{"lastUpdateId":5,"T":1,"bids":[["99.0","1"]],"asks":[["101.0","1"]]}'
            await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))

    async with (
        websocket_server(streams) as port,
        raw_server(depth) as rest,
        edge_to(f"http://127.0.0.1:{rest}") as edge,
    ):
        driver = edge._driver
        driver.advance(driver.wall.now())
        statuses = ExchangeFeed(Exchange.BinanceUsdm, driver.clock)
        receiver = statuses.feed(BTC)
        receiver.expect_books()
        tap = Ops()
        receiver.add_tap(tap)
        endpoints = Endpoints("local", {"public": f"ws://127.0.0.1:{port}"}, False)
        feed = LiveFeed(Exchange.BinanceUsdm, binance, endpoints, edge, driver.clock, statuses, {BTC: receiver})
        feed.start()
        feed.want("test", {BTC: {Kind.BOOK}})
        driver.look()
        await until(lambda: tap.ops.count(LIVE) == 2)
        await until(lambda: receiver._levels[0].get(1000) == 40_000)
        feed.stop()
    assert subscribed == [["btcusdt@depth@100ms"]] * 2
    assert tap.ops.count(STALE) >= 1
    assert snapshots[0].startswith(b"GET /fapi/v1/depth?symbol=BTCUSDT&limit=1000 HTTP/1.1")
    assert feed.problems == feed.faults == 0
