"""A served exchange on sockets: HTTP and websockets on one port, driven by the wall clock.

One task moves the exchange's clock to the wall clock's time and plays what is due; every request first brings the clock
up to the present. A websocket client has a bounded queue: one that does not read is closed, and what it missed is
counted. Nothing here knows an exchange's protocol (`mlthon.exchange.dialects`).
"""

import logging
import signal
import ssl
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import msgspec
import trio
import trustme
from hypercorn.config import Config
from hypercorn.trio import serve
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from mlthon.engine.clock import MS, SECOND, Clock
from mlthon.exchange.served.contract import ServerRequest, ServerResponse
from mlthon.exchange.served.faults import FaultyDialect
from mlthon.live.driver import WallTime
from mlthon.live.exchange_admin import Admin
from mlthon.live.exchange_page import HTML, as_text

log = logging.getLogger("mlthon.exchange")

QUEUE: Final = 10_000
"""Messages that may wait for one websocket client."""
ANSWER_TIMEOUT_S: Final = 70.0
"""After so long without an answer the connection of a request is given up (answers may be lost on purpose)."""
STEP: Final = 20 * MS
"""How much time is played before other tasks get their turn, when the clock is behind."""
LONGEST_SLEEP_S: Final = 0.5
GRACE_S: Final = 1.0
SLOW: Final = 1008
GOING_AWAY: Final = 1001
METHODS: Final = ["GET", "POST", "PUT", "DELETE", "PATCH"]


class WallClock:
    """The exchange's time at this moment."""

    def __init__(self, clock: Clock, wall: WallTime) -> None:
        self._clock = clock
        self._wall = wall
        self._wake = trio.Event()

    def now(self) -> int:
        """The present (ns)."""
        return self._wall.now()

    def catch_up(self) -> None:
        """Bring the exchange to the present, before something from outside happens to it."""
        self._clock.run_until(self.now())

    def poke(self) -> None:
        """Something was queued: look again when it is due."""
        self._wake.set()

    async def run(self) -> None:
        """Play the exchange for ever."""
        clock = self._clock
        while True:
            now = self.now()
            clock.run_until(min(now, clock.now + STEP))
            if clock.now < now:
                await trio.lowlevel.checkpoint()
                continue
            self._wake = trio.Event()
            wait = min(max(0, clock.due - self.now()) / SECOND, LONGEST_SLEEP_S)
            with trio.move_on_after(wait):
                await self._wake.wait()


class Client:
    """One websocket client. Implements `ServerSocket`."""

    def __init__(self, server: "ExchangeServer", socket: WebSocket) -> None:
        self.path = socket.url.path
        self.query = socket.url.query
        self.headers: Mapping[str, str] = {name.lower(): value for name, value in socket.headers.items()}
        self._server = server
        self._socket = socket
        self._put, self._take = trio.open_memory_channel[str](QUEUE)
        self._closing: tuple[int, str] | None = None
        self._scope = trio.CancelScope()

    def send(self, text: str) -> None:
        server = self._server
        if server.latency:
            server.clock.call_at(server.clock.now + server.latency, self._enqueue, text)
            server.wall.poke()
        else:
            self._enqueue(text)

    def _enqueue(self, text: str) -> None:
        if self._closing is not None:
            return
        try:
            self._put.send_nowait(text)
        except trio.WouldBlock:
            self._server.dropped += 1 + QUEUE
            log.warning("a client of %s does not read: %d messages are dropped, and it is closed", self.path, QUEUE + 1)
            self.close(SLOW, "too slow")
            self._scope.cancel()

    def close(self, code: int = 1000, reason: str = "") -> None:
        if self._closing is None:
            self._closing = (code, reason)
            self._put.close()

    async def serve(self) -> None:
        """Talk to the client until either side ends it."""
        await self._socket.accept()
        wall = self._server.wall
        wall.catch_up()
        handler = self._server.dialect.connect(self)
        wall.poke()
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._write, nursery.cancel_scope)
                    await self._read(handler.message)
                    nursery.cancel_scope.cancel()
        finally:
            self._closing = self._closing or (1000, "")
            handler.closed()
        with trio.move_on_after(GRACE_S, shield=True):
            await self._end()

    async def _read(self, message: Callable[[str | bytes], None]) -> None:
        wall = self._server.wall
        while True:
            event = await self._socket.receive()
            if event["type"] == "websocket.disconnect":
                self._closing = self._closing or (0, "")
                return
            data = event.get("text")
            wall.catch_up()
            self._server.count()
            if self._closing is None:
                message(data if data is not None else event.get("bytes", b""))
            wall.poke()

    async def _write(self, scope: trio.CancelScope) -> None:
        try:
            async for text in self._take:
                await self._socket.send_text(text)
        except (WebSocketDisconnect, RuntimeError, OSError) as error:
            log.debug("a client of %s is gone: %s", self.path, type(error).__name__)
        scope.cancel()

    async def _end(self) -> None:
        code, reason = self._closing or (1000, "")
        if not code:
            return
        try:
            await self._socket.close(code, reason)
        except (WebSocketDisconnect, RuntimeError, OSError) as error:
            log.debug("a client of %s was gone before it was closed: %s", self.path, type(error).__name__)


class ExchangeServer:
    """The sockets of one served exchange. `latency` (ns): how long answers and pushes take on their way back. `wall`:
    what its clock goes by; without it time goes on from the clock's present."""

    def __init__(self, dialect: FaultyDialect, clock: Clock, latency: int = 0, wall: WallTime | None = None) -> None:
        self.dialect = dialect
        self.clock = clock
        self.latency = latency
        self.wall = WallClock(clock, wall or WallTime(clock.now))
        self.clients: set[Client] = set()
        self.dropped = 0
        self.admin: Admin | None = None

    def disconnect(self) -> int:
        """Close every websocket; how many there were."""
        clients = list(self.clients)
        for client in clients:
            client.close(GOING_AWAY, "the exchange closes the connection")
        return len(clients)

    def counts(self) -> dict[str, int]:
        """How many websocket clients there are, and how many messages slow ones missed."""
        return {"websockets": len(self.clients), "dropped": self.dropped}

    def app(self) -> Starlette:
        """The ASGI application."""
        routes = [
            Route("/", self._page, methods=["GET"]),
            Route("/admin/{name}", self._admin, methods=["GET", "POST"]),
            WebSocketRoute("/{path:path}", self._websocket),
            Route("/{path:path}", self._http, methods=METHODS),
        ]
        return Starlette(routes=routes)

    async def _admin(self, request: Request) -> Response:
        if self.admin is None:
            return Response(status_code=404)
        body = await request.body()
        self.wall.catch_up()
        status, found = self.admin.answer(request.method, request.path_params["name"], request.query_params, body)
        self.wall.poke()
        return Response(msgspec.json.encode(found), status, media_type="application/json")

    async def _page(self, request: Request) -> Response:
        """The page for browsers; its content as text for everything else."""
        if self.admin is None:
            return Response(status_code=404)
        if "text/html" in request.headers.get("accept", ""):
            return Response(HTML, media_type="text/html")
        self.wall.catch_up()
        return Response(as_text(self.admin.view({})), media_type="text/plain")

    async def _websocket(self, socket: WebSocket) -> None:
        client = Client(self, socket)
        self.clients.add(client)
        try:
            await client.serve()
        finally:
            self.clients.discard(client)

    def count(self) -> None:
        """A request came."""
        if self.admin is not None:
            self.admin.traffic.count(self.clock.now)

    async def _http(self, request: Request) -> Response:
        body = await request.body()
        asked = ServerRequest(
            request.method,
            request.url.path,
            request.scope["query_string"].decode("latin-1"),
            {name.lower(): value for name, value in request.headers.items()},
            body,
            request.client.host if request.client is not None else "",
        )
        answered = trio.Event()
        found: list[ServerResponse] = []

        def respond(response: ServerResponse) -> None:
            found.append(response)
            if self.latency:
                self.clock.call_at(self.clock.now + self.latency, answered.set)
                self.wall.poke()
            else:
                answered.set()

        self.wall.catch_up()
        self.count()
        self.dialect.http(asked, respond)
        self.wall.poke()
        with trio.move_on_after(ANSWER_TIMEOUT_S):
            await answered.wait()
        if not found:
            return Response(status_code=504)
        return Response(found[0].body, found[0].status, dict(found[0].headers))

    # -- running -----------------------------------------------------------------------------------------------------

    async def run(
        self,
        host: str,
        port: int,
        *,
        certificates: tuple[Path, Path] | None = None,
        started: Callable[[str], None] | None = None,
        stop: trio.Event | None = None,
    ) -> None:
        """Serve until `stop` is set or cancelled. `certificates`: files of the certificate chain and key, for TLS.
        `started` is told the URL (with the port that was given, where it was 0). Raises OSError where the port cannot
        be had."""
        over = trio.Event() if stop is None else stop
        config = Config()
        config.bind = [f"{host}:{port}"]
        config.graceful_timeout = GRACE_S
        config.shutdown_timeout = GRACE_S
        config.websocket_ping_interval = None
        config.loglevel = "WARNING"
        config.errorlog = None
        if certificates is not None:
            config.certfile, config.keyfile = map(str, certificates)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.wall.run)
            urls = await nursery.start(self._serve, config, over)
            if started is not None:
                started(urls[0])
            await over.wait()
            self.disconnect()
            # what was told not to go on is given a moment to say good-bye
            await trio.sleep(0.1)
            nursery.cancel_scope.cancel()

    async def _serve(
        self, config: Config, over: trio.Event, *, task_status: trio.TaskStatus[list[str]] = trio.TASK_STATUS_IGNORED
    ) -> None:
        await serve(self.app(), config, shutdown_trigger=over.wait, task_status=task_status)  # type: ignore[arg-type]


async def run_until_signal(server: ExchangeServer, host: str, port: int, **options: object) -> None:
    """Serve until SIGINT or SIGTERM."""
    stop = trio.Event()

    async def watch(task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            task_status.started()
            async for number in signals:
                log.info("stopping: %s", signal.Signals(number).name)
                stop.set()
                return

    async with trio.open_nursery() as nursery:
        await nursery.start(watch)
        await server.run(host, port, stop=stop, **options)  # type: ignore[arg-type]
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def certificates(host: str, authority: Path) -> AsyncIterator[tuple[Path, Path]]:
    """Certificate and key for `host`, localhost and 127.0.0.1, of a new authority whose own certificate is written to
    `authority` for clients to trust. The files of the key are gone afterwards. Raises OSError."""
    made = trustme.CA()
    made.cert_pem.write_to_path(str(authority))
    names = dict.fromkeys((host, "localhost", "127.0.0.1"))
    issued = made.issue_cert(*names)
    with tempfile.TemporaryDirectory(prefix="mlthon-exchange-") as folder:
        chain, key = Path(folder, "chain.pem"), Path(folder, "key.pem")
        chain.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        key.touch(0o600)
        issued.private_key_pem.write_to_path(str(key))
        yield chain, key


def trusting(authority: Path) -> ssl.SSLContext:
    """A client's context that trusts the authority."""
    return ssl.create_default_context(cafile=str(authority))
