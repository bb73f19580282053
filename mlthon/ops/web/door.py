"""The door of the web server: lets connections in, as many as there is room for, and puts hypercorn on each.

hypercorn itself takes every connection that comes, and a fault in one of them ends the whole server. So connections are
accepted here. Whoever has not sent a whole request yet **waits**: he is idle, or sends his request slowly, or only a
part of it, or means to. Who has is **served**. When there is no more room for a connection (altogether, or of one
address), the one that has waited longest is cut for it. So thousands of connections that send nothing, or little, only
take the place of each other: whoever sends his request as soon as he is connected is served. Where nobody waits (which
takes as many clients of the stream) the newcomer is turned away. Nobody waits longer than `WAIT_S`.

The addresses of proxies and of this machine itself have no limit of their own: everybody comes from there.
"""

import logging
from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Any, Final

import trio
from attrs import field, frozen
from attrs.validators import gt
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ConnectionState
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mlthon.ops.web.addresses import UNKNOWN, Network, parse, shown, within

log = logging.getLogger("mlthon.ops.web")

GRACE_S: Final = 1.0
SWEEP_S: Final = 1.0
TELL_S: Final = 10.0
_FULL: Final = b'{"error":"there are too many connections"}'
_TURNED_AWAY: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\nretry-after: 1\r\ncontent-type: application/json\r\n"
    b"content-length: %d\r\n\r\n%b" % (len(_FULL), _FULL)
)


@frozen(kw_only=True)
class DoorLimits:
    """`most`: connections at once; `most_one`: those of one address (of IPv6 a /64); `wait_s`: how long one may wait
    that has not sent a whole request."""

    most: int = field(default=500, validator=gt(0))
    most_one: int = field(default=100, validator=gt(0))
    wait_s: float = field(default=20.0, validator=gt(0))


class _Connection:
    """One connection: whose it is, and since when (s) it waits."""

    def __init__(self, sender: str | None) -> None:
        self.sender = sender
        """None: of an address without a limit of its own."""
        self.since = 0.0
        self.scope = trio.CancelScope()


class Door:
    """See the module. `cut`, `turned_away`, `failed`: connections so far that lost their place, that got none, and in
    which the server itself failed."""

    def __init__(self, app: ASGIApp, trusted: Sequence[Network] = (), limits: DoorLimits | None = None) -> None:
        self.limits = limits or DoorLimits()
        self.cut = self.turned_away = self.failed = 0
        self._app = app
        self._trusted = trusted
        self._all: set[_Connection] = set()
        self._waiting: dict[_Connection, None] = {}
        """Who has waited longest stands first."""
        self._of: Counter[str] = Counter()
        self._told = -TELL_S

    @property
    def connections(self) -> int:
        """How many there are."""
        return len(self._all)

    @property
    def waiting(self) -> int:
        """How many of them have not sent a whole request."""
        return len(self._waiting)

    async def serve(self, listener: trio.SocketListener, config: Config, over: trio.Event) -> None:
        """Serve until `over` is set; then connections have `GRACE_S` to end."""
        context = WorkerContext(None)
        meet = partial(self._meet, config, context, config.create_ssl_context() if config.ssl_enabled else None)
        async with trio.open_nursery() as connections, trio.open_nursery() as accepting:
            accepting.start_soon(partial(trio.serve_listeners, meet, [listener], handler_nursery=connections))
            accepting.start_soon(self._sweep)
            await over.wait()
            accepting.cancel_scope.cancel()
            await context.terminated.set()
            connections.cancel_scope.deadline = trio.current_time() + GRACE_S

    async def _meet(self, config: Config, context: WorkerContext, tls: Any, stream: trio.SocketStream) -> None:
        """One connection from its beginning to its end; nothing that happens in it goes further."""
        try:
            connection = _Connection(self._sender(stream))
            if not self._room_for(connection):
                self.turned_away += 1
                self._tell("a connection was turned away: all others are being served")
                if tls is None:
                    with trio.move_on_after(GRACE_S):
                        await stream.send_all(_TURNED_AWAY)
                return
            self._enter(connection)
            try:
                with connection.scope:
                    await self._serve(connection, config, context, tls, stream)
            finally:
                self._leave(connection)
        except (OSError, trio.BrokenResourceError, trio.ClosedResourceError) as error:
            log.debug("a connection ended: %s", type(error).__name__)
        except Exception as error:  # noqa: BLE001 - a connection fails alone; what it said may hold a secret
            self.failed += 1
            self._tell(f"a connection failed ({_kinds(error)}), and the others go on")
        finally:
            await trio.aclose_forcefully(stream)

    async def _serve(
        self, connection: _Connection, config: Config, context: WorkerContext, tls: Any, stream: trio.SocketStream
    ) -> None:
        application = ASGIWrapper(partial(self._application, connection))
        carried: Any = stream if tls is None else trio.SSLStream(stream, tls, server_side=True, https_compatible=True)
        await TCPServer(application, config, context, ConnectionState({}), carried).run()

    def _sender(self, stream: trio.SocketStream) -> str | None:
        """Whose connections are counted with this one. Raises OSError where it is gone already."""
        address = parse(str(stream.socket.getpeername()[0]))
        if address is not None and (address.is_loopback or within(address, self._trusted)):
            return None
        return UNKNOWN if address is None else shown(address)

    # -- room --------------------------------------------------------------------------------------------------------

    def _room_for(self, new: _Connection) -> bool:
        """Whether there is room, or could be made."""
        sender = new.sender
        if sender is not None and self._of[sender] >= self.limits.most_one:
            return self._cut(next((each for each in self._waiting if each.sender == sender), None))
        if len(self._all) >= self.limits.most:
            return self._cut(next(iter(self._waiting), None))
        return True

    def _cut(self, connection: _Connection | None) -> bool:
        """Cut a connection, if there is one to cut."""
        if connection is None:
            return False
        self.cut += 1
        self._tell("there are as many connections as are let in: those that send nothing are cut")
        connection.scope.cancel()
        self._leave(connection)
        return True

    def _enter(self, connection: _Connection) -> None:
        self._all.add(connection)
        if connection.sender is not None:
            self._of[connection.sender] += 1
        self._wait(connection)

    def _leave(self, connection: _Connection) -> None:
        """It is over; its place is free at once, though it may take a moment to end."""
        if connection not in self._all:
            return
        self._all.remove(connection)
        self._waiting.pop(connection, None)
        if connection.sender is not None:
            self._of[connection.sender] -= 1
            if not self._of[connection.sender]:
                del self._of[connection.sender]

    def _wait(self, connection: _Connection) -> None:
        """It has its next request to send."""
        if connection in self._all:
            self._waiting.pop(connection, None)
            self._waiting[connection] = None
            connection.since = trio.current_time()

    async def _sweep(self) -> None:
        """Cut whoever has waited for too long."""
        while True:
            await trio.sleep(SWEEP_S)
            late = trio.current_time() - self.limits.wait_s
            for connection in [each for each in self._waiting if each.since < late]:
                connection.scope.cancel()
                self._leave(connection)

    def _tell(self, what: str) -> None:
        """Log it, but not as often as anybody outside can have it happen."""
        now = trio.current_time()
        if now - self._told >= TELL_S:
            self._told = now
            log.warning("%s (%d connections, %d wait)", what, len(self._all), len(self._waiting))

    # -- who waits ---------------------------------------------------------------------------------------------------

    async def _application(self, connection: _Connection, scope: Scope, receive: Receive, send: Send) -> None:
        """The application, watched: when a request is whole its connection is served, and afterwards it waits again."""

        async def receiving() -> Message:
            message = await receive()
            if message["type"] == "http.request" and not message.get("more_body", False):
                self._waiting.pop(connection, None)
            return message

        async def sending(message: Message) -> None:
            if message["type"] == "websocket.accept":
                self._waiting.pop(connection, None)
            await send(message)

        first = scope.get("http_version", "1.1").startswith("1")
        if first and scope["type"] == "http" and not _has_body(scope):
            self._waiting.pop(connection, None)
        try:
            await self._app(scope, receiving, sending)
        finally:
            if first:  # whoever speaks another version is only told so, and has no more time for it
                self._wait(connection)


def _has_body(scope: Scope) -> bool:
    """Whether the request has a body, which may take its time."""
    lengths = [value for name, value in scope["headers"] if name in (b"content-length", b"transfer-encoding")]
    return any(value.strip() != b"0" for value in lengths)


def _kinds(error: BaseException) -> str:
    """What kinds of errors these are, without what they say."""
    if isinstance(error, BaseExceptionGroup):
        return ", ".join(sorted({_kinds(each) for each in error.exceptions}))
    return type(error).__name__
