"""Servers on 127.0.0.1 and what talks to them, for the tests of the edge."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from random import Random
from typing import Any

import trio
from websockets.trio.server import ServerConnection, serve

from mlthon.engine.clock import Clock
from mlthon.live.backoff import BackoffSettings
from mlthon.live.driver import Driver, WallTime
from mlthon.live.edge import EdgeSettings, TrioEdge
from mlthon.venue.codec import Endpoints
from mlthon.venue.wire import Line

QUICK = BackoffSettings(first_s=0.01, most_s=0.05, stable_s=10.0)
Serve = Callable[[ServerConnection], Awaitable[None]]


class User:
    """A line's user that keeps what it is told, and lets tests wait for it."""

    def __init__(self) -> None:
        self.opened = 0
        self.messages: list[bytes] = []
        self.times: list[int] = []
        self.closed: list[str] = []
        self.then: dict[str, Callable[..., Any]] = {}

    def line_opened(self, name: str) -> None:
        self.opened += 1
        self.then.get("opened", lambda _name: None)(name)

    def line_message(self, name: str, data: bytes, recv_ts: int) -> None:
        self.messages.append(data)
        self.times.append(recv_ts)
        self.then.get("message", lambda _name, _data: None)(name, data)

    def line_closed(self, name: str, reason: str) -> None:
        self.closed.append(reason)
        self.then.get("closed", lambda _name, _reason: None)(name, reason)


async def until(condition: Callable[[], object], limit_s: float = 5.0) -> None:
    """Wait for something that a test expects."""
    with trio.fail_after(limit_s):
        while not condition():
            await trio.sleep(0.002)


@asynccontextmanager
async def websocket_server(handler: Serve, **options: Any) -> AsyncIterator[int]:
    """A websocket server; its port."""
    logging.getLogger("websockets.server").setLevel(logging.CRITICAL)
    async with trio.open_nursery() as nursery:
        server = await nursery.start(partial(serve, handler, 0, host="127.0.0.1", **options))
        try:
            yield server.listeners[0].socket.getsockname()[1]
        finally:
            nursery.cancel_scope.cancel()


@asynccontextmanager
async def raw_server(handler: Callable[[trio.SocketStream], Awaitable[None]]) -> AsyncIterator[int]:
    """A TCP server; its port."""
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, handler, 0, host="127.0.0.1"))
        try:
            yield listeners[0].socket.getsockname()[1]
        finally:
            nursery.cancel_scope.cancel()


@asynccontextmanager
async def edge_to(rest: str = "http://127.0.0.1:1", **settings: Any) -> AsyncIterator[TrioEdge]:
    """An edge with a running driver; no proxy unless the settings name one."""
    driver = Driver(Clock(), WallTime())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(driver.run)
        options = {"backoff": QUICK, "proxy": "", **settings}
        edge = TrioEdge(driver, nursery, Endpoints("local", {"rest": rest}, False), EdgeSettings(**options), Random(1))
        async with edge:
            yield edge
        nursery.cancel_scope.cancel()


def line(port: int, name: str = "line", scheme: str = "ws", host: str = "127.0.0.1", **options: Any) -> Line:
    return Line(name, lambda _now_ms: f"{scheme}://{host}:{port}/", **options)
