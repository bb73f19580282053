"""The stream: `/stream?token=API_KEY`, a websocket on which every client gets what bots publish.

Each message is `{"type": topic, "data": data}`. A client that does not keep up is closed (1008, the reason tells how
many messages it lost) once `backlog` messages wait for it: so whoever is connected has had everything since it came,
and one that was too slow knows it. What clients send is not read.
"""

import hmac
import logging
from typing import Final

import msgspec
import trio
from starlette.websockets import WebSocket, WebSocketDisconnect

from mlthon.ops.contract import News
from mlthon.ops.web.bodies import Refused
from mlthon.ops.web.edge import Edge
from mlthon.ops.web.engine import Engine

log = logging.getLogger("mlthon.ops.web")

KIND: Final = "stream"
MOST_BYTES: Final = 4 * 1024 * 1024
"""What may wait for one client, however few the messages are."""
SLOW: Final = 1008
GOING_AWAY: Final = 1001
BEARER: Final = "bearer "
GRACE_S: Final = 1.0


class _Client:
    """One client: what waits for it."""

    def __init__(self, backlog: int) -> None:
        self.put, self.take = trio.open_memory_channel[str](backlog)
        self.waiting = 0
        self.lost = 0
        self.scope = trio.CancelScope()

    def offer(self, text: str) -> bool:
        """Have a message sent; False where there is no room for it: the client has lost."""
        try:
            if self.waiting + len(text) > MOST_BYTES:
                raise trio.WouldBlock
            self.put.send_nowait(text)
        except trio.WouldBlock:
            self.lost = 1 + self.put.statistics().current_buffer_used
            return False
        self.waiting += len(text)
        return True


class Streams:
    """The endpoint and its clients. `lost`: messages that slow clients did not get."""

    def __init__(self, engine: Engine, edge: Edge, api_key: str, *, most: int, backlog: int) -> None:
        self.lost = 0
        self._engine = engine
        self._edge = edge
        self._api_key = api_key
        self._most = most
        self._backlog = backlog
        self._clients: set[_Client] = set()
        self._over = False
        self._last: int | None = None
        """The number of the message that came last."""

    @property
    def clients(self) -> int:
        """How many are connected."""
        return len(self._clients)

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Pass on what bots publish until cancelled."""
        async with self._engine.listen((KIND,)) as news:
            task_status.started()
            async for each in news:
                self.publish(each)

    def publish(self, news: News) -> None:
        """Send to every client; those that were there before a gap in the messages' numbers are closed first."""
        number = news.value["number"]
        if self._last is not None and number > self._last + 1:
            self._cut_all(number - self._last - 1)
        self._last = number
        if not self._clients:
            return
        text = msgspec.json.encode({"type": news.value["type"], "data": news.value["data"]}).decode()
        for client in tuple(self._clients):
            if not client.offer(text):
                self._cut(client)

    def _cut(self, client: _Client) -> None:
        """Close a client that has lost messages."""
        # what is on its way to it cannot be called back: the connection may take a while to end
        self._clients.discard(client)
        client.scope.cancel()
        self.lost += client.lost
        log.warning("a client of the stream lost %d messages and is closed", client.lost)

    def _cut_all(self, lost: int) -> None:
        """Messages were lost before they came here: every client has to know."""
        for client in tuple(self._clients):
            client.lost = lost
            self._cut(client)

    def end(self) -> None:
        """Close every client: the run ends."""
        self._over = True
        for client in tuple(self._clients):
            client.scope.cancel()

    async def serve(self, socket: WebSocket) -> None:
        """One client, until either side ends it; one without the key is refused before it is let in."""
        visit = self._edge.visit(socket)
        try:
            self._edge.admit(visit)
            if not hmac.compare_digest(_token(socket).encode("utf-8", "replace"), self._api_key.encode()):
                raise self._edge.wrong_secret(visit, "the API key is wrong")
            if self._over or len(self._clients) >= self._most:
                raise Refused(503, f"there are {len(self._clients)} clients of the stream already")
        except Refused as refused:
            self._edge.rejections.note(visit.now, visit.sender, KIND, "", refused.status, refused.message)
            await socket.close(SLOW, refused.message)  # before it is accepted: HTTP 403
            return
        await socket.accept()
        client = _Client(self._backlog)
        self._clients.add(client)
        gone = False
        try:
            with client.scope:
                gone = await self._talk(socket, client)
        finally:
            self._clients.discard(client)
        if not gone:
            await self._close(socket, client)

    async def _talk(self, socket: WebSocket, client: _Client) -> bool:
        """Send what comes until the client has gone."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._write, socket, client, nursery.cancel_scope)
            while (await socket.receive())["type"] != "websocket.disconnect":
                pass
            nursery.cancel_scope.cancel()
        return True

    async def _write(self, socket: WebSocket, client: _Client, scope: trio.CancelScope) -> None:
        async for text in client.take:
            try:
                await socket.send_text(text)
            except (WebSocketDisconnect, RuntimeError, OSError):
                scope.cancel()
                return
            client.waiting -= len(text)

    async def _close(self, socket: WebSocket, client: _Client) -> None:
        code, reason = (SLOW, f"too slow: {client.lost} messages lost") if client.lost else (GOING_AWAY, "the run ends")
        with trio.move_on_after(GRACE_S, shield=True):
            try:
                await socket.close(code, reason)
            except (WebSocketDisconnect, RuntimeError, OSError) as error:
                log.debug("a client of the stream was gone before it was closed: %s", type(error).__name__)


def _token(socket: WebSocket) -> str:
    """The key that a client gives: as `token` in the address, or as a bearer token in its headers."""
    header = socket.headers.get("authorization", "")
    if header.lower().startswith(BEARER):
        return header[len(BEARER) :].strip()
    return socket.query_params.get("token", "")
