"""A web server on an engine that is scripted, with clocks of its own."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import trio

from mlthon.ops.client import TIMEOUT_S, AskFailed, EngineState, NoAnswer
from mlthon.ops.contract import GetFigures, GetWebhooks, News, RunCommand, Signal, WebCall, WebReply
from mlthon.ops.web.application import WebServer
from mlthon.ops.web.settings import Alert, WebSettings
from mlthon.ops.web.store import WebhookStore

SECRET = "the-webhook-secret-of-tests"
API_KEY = "the-api-key-of-these-tests"
START = 1_700_000_000_000_000_000
SECOND = 10**9


class StandIn:
    """An engine: `asked` is what it was asked to do, `reply` what a bot answers (or raises)."""

    def __init__(self) -> None:
        self.state = EngineState.LIVES
        self.asked: list[tuple[Any, str]] = []
        self.routes: dict[str, list[tuple[str, str]]] = {"bot": [("get", "balances"), ("post", "cancel_order")]}
        self.reply: Callable[[WebCall], WebReply] = lambda call: WebReply(200, {"data": call.data})
        self.failure: Exception | None = None
        self.figures = "mlthon_up 1\n"
        self.silent = False
        self.published = 0
        self.listeners: list[trio.MemorySendChannel[News]] = []

    @property
    def actions(self) -> list[Any]:
        return [what for what, _ in self.asked if not isinstance(what, GetWebhooks | GetFigures)]

    async def ask(self, what: Any, who: str, timeout_s: float = TIMEOUT_S) -> Any:
        self.asked.append((what, who))
        await trio.lowlevel.checkpoint()
        if self.silent:
            with trio.move_on_after(timeout_s):
                await trio.sleep_forever()
            raise NoAnswer(f"the engine has not answered within {timeout_s:g} s")
        if self.failure is not None:
            raise self.failure
        if isinstance(what, GetWebhooks):
            return self.routes
        if isinstance(what, GetFigures):
            return self.figures
        if isinstance(what, WebCall):
            if what.bot not in self.routes:
                raise AskFailed(f"no bot {what.bot!r} has webhooks")
            return self.reply(what)
        assert isinstance(what, Signal | RunCommand)
        return "taken"

    @asynccontextmanager
    async def listen(self, kinds: Collection[str]) -> AsyncGenerator[AsyncIterator[News], None]:
        send, receive = trio.open_memory_channel[News](1000)
        self.listeners.append(send)
        async with send, receive:
            yield receive

    def publish(self, topic: str, data: Any) -> None:
        self.published += 1
        for each in self.listeners:
            each.send_nowait(News("stream", "bot", {"type": topic, "data": data, "number": self.published}))


class Site:
    """A server and a client of it. `seconds`: how far its clocks have gone on."""

    def __init__(self, folder: Path, run: str = "run", **settings: Any) -> None:
        self.seconds = 0.0
        self.engine = StandIn()
        self.store = WebhookStore(folder / "webhook.db", self.wall)
        given: dict[str, Any] = {
            "host": "127.0.0.1",
            "port": 0,
            "webhook_secret": SECRET,
            "api_key": API_KEY,
            "alerts": {"cross": Alert("demo", "cross")},
        }
        self.settings = WebSettings(**{**given, **settings})
        self.server = WebServer(self.engine, self.settings, self.store, lambda: self.seconds, self.wall, run)
        self.app = self.server.app()

    def wall(self) -> int:
        return START + round(self.seconds * SECOND)

    def client(self, address: str = "203.0.113.7") -> httpx.AsyncClient:
        transport = httpx.ASGITransport(app=self.app, client=(address, 4711))
        return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8800")

    async def ask(self, method: str, path: str, address: str = "203.0.113.7", **options: Any) -> httpx.Response:
        async with self.client(address) as client:
            return await client.request(method, path, **options)

    async def get(self, path: str, **options: Any) -> httpx.Response:
        return await self.ask("GET", path, **options)

    async def post(self, path: str, **options: Any) -> httpx.Response:
        return await self.ask("POST", path, **options)

    def rejected(self) -> list[tuple[str, str, int, str]]:
        self.server.edge.rejections.flush()
        return [(each.what, each.who, each.status, each.reason) for each in self.store.rejections(100)]
