"""The control socket: `Ask`s of local clients, answered in the engine's turn.

A Unix socket (mode 0600, in a folder that only its owner may enter) to which only processes of the engine's own user
are let, as the kernel tells them. Frames are those of bots (`mlthon.link.wire`): a length, then a list of messages,
`MOST_BYTES` at most. Everything a client could do to the engine by being many, fast, slow or broken is bounded
(`ServiceLimits`): too many clients are turned away, too many asks refused and their sender read more slowly, one that
does not read what it is told is dropped, and one that sends what cannot be read is told so and let go. A call into the
engine is made by `Host.deliver`, one ask at a time.

`publish` is for the engine's side: it tells those clients that listen, and never waits.
"""

import logging
import os
import socket
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec
import trio
from attrs import field, frozen
from attrs.validators import gt

from mlthon.engine.clock import SECOND
from mlthon.errors import UserError
from mlthon.link.wire import Decoder, WireError, encode, frame
from mlthon.live.services import Host
from mlthon.ops.contract import MOST_BYTES, TO_NOBODY, Ask, FromEngine, Level, Listen, News, Ping, Told
from mlthon.ops.peer import AnySocket, Peer, peer_of

log = logging.getLogger("mlthon.ops")

Answer = Callable[[Ask, Callable[[Told], None]], None]
"""`Control.answer`."""

CHUNK: Final = 4096
"""Bytes read at once: as much as is decoded before other tasks have their turn."""
BACKLOG: Final = 16
LONGEST_WHO: Final = 120
KINDS: Final = ("stream", "alert")
FRAME_ROOM: Final = 64
"""What a frame needs beside its one message."""


@frozen(kw_only=True)
class ServiceLimits:
    """What clients may do. `clients`: connections at once; `at_once`: asks of one client that wait for their answers;
    `per_s`: asks a second of one client, after a burst of as many; `waiting_bytes`: what a client may leave unread
    before news to it are dropped, and at four times that the client; `slow_s`: how long it may read nothing at all."""

    clients: int = field(default=32, validator=gt(0))
    at_once: int = field(default=32, validator=gt(0))
    per_s: float = field(default=200.0, validator=gt(0))
    waiting_bytes: int = field(default=256 * 1024, validator=gt(0))
    slow_s: float = field(default=5.0, validator=gt(0))
    refused_pause_s: float = field(default=0.05, validator=gt(0))


class ControlService:
    """See the module. `drops`: news that found no room; `asked`, `refused`: asks so far, and those over the limits."""

    name = "the control socket"

    def __init__(
        self,
        path: Path,
        answer: Answer,
        limits: ServiceLimits | None = None,
        peer: Callable[[AnySocket], Peer] = peer_of,
    ) -> None:
        """`peer` says who a connection's other end is."""
        self.path = path
        self.limits = limits or ServiceLimits()
        self.drops = self.asked = self.refused = 0
        self._answer = answer
        self._peer = peer
        self._clients: set[_Client] = set()

    @property
    def clients(self) -> int:
        """How many are connected."""
        return len(self._clients)

    @property
    def waiting(self) -> int:
        """Bytes that wait for clients to read them."""
        return sum(each.waiting for each in self._clients)

    def publish(self, kind: str, source: str, value: Any, level: Level = Level.INFO) -> None:
        """Tell those clients that listen to this kind of news. Never waits, never raises."""
        listening = [each for each in self._clients if kind in each.kinds]
        if not listening:
            return
        try:
            item = _framed(News(kind, source, value, level))
        except WireError as error:
            self.drops += 1
            log.warning("%s of %s cannot be told: %s", kind, source, error)
            return
        for client in listening:
            self.drops += not client.put_news(item)

    async def serve(self, host: Host, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Listen until cancelled. Raises `UserError` where the socket cannot be made."""
        listener = trio.SocketListener(trio.socket.from_stdlib_socket(_listening(self.path)))
        ours = _inode(self.path)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.serve_listeners, partial(self._meet, host), [listener])
                task_status.started()
        finally:
            # where somebody removed the folder, the next run of the name may have its own here
            if ours is not None and _inode(self.path) == ours:
                self.path.unlink(missing_ok=True)

    async def _meet(self, host: Host, stream: trio.SocketStream) -> None:
        """One connection, from its beginning to its end; nothing that happens to it goes further."""
        try:
            async with stream:
                refusal, who = self._judge(stream)
                if refusal is not None:
                    with trio.move_on_after(self.limits.slow_s):
                        await stream.send_all(_framed(Told(TO_NOBODY, None, refusal)))
                    return
                client = _Client(self, stream, who, host)
                self._clients.add(client)
                try:
                    await client.live()
                finally:
                    self._clients.discard(client)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return
        except Exception:
            log.exception("a connection to the control socket failed; the others go on")

    def _judge(self, stream: trio.SocketStream) -> tuple[str | None, str]:
        """Why a connection is refused, if it is, and who it is."""
        try:
            peer = self._peer(stream.socket)
        except OSError as error:
            return f"nobody knows who you are: {error.strerror}", ""
        if not peer.is_me:
            log.warning("the control socket refused %s: it is for its own user", peer)
            return "this control socket is for its own user", str(peer)
        if len(self._clients) >= self.limits.clients:
            log.warning("the control socket refused %s: it has %d clients", peer, len(self._clients))
            return f"there are {len(self._clients)} clients already", str(peer)
        return None, str(peer)

    def answer(self, host: Host, ask: Ask, reply: Callable[[Told], None]) -> None:
        """Bring one ask into the engine's turn."""
        self.asked += 1
        if ask.until and time.time_ns() > ask.until:
            late = (time.time_ns() - ask.until) / SECOND
            reply(Told(ask.number, None, f"not done: the engine came to it {late:.1f} s too late", "Try it again."))
        elif isinstance(ask.what, Ping):
            reply(Told(ask.number, host.now()))
        elif not host.deliver(self._answer, ask, reply):
            reply(Told(ask.number, None, "the engine could not take it; the run's log says why"))


class _Client:
    """One connection that was let in."""

    def __init__(self, service: ControlService, stream: trio.SocketStream, peer: str, host: Host) -> None:
        self.kinds: frozenset[str] = frozenset()
        self.waiting = 0
        """Bytes that it has not been sent yet."""
        self._service = service
        self._limits = service.limits
        self._stream = stream
        self._peer = peer
        self._host = host
        self._queue: deque[bytes] = deque()
        self._wake = trio.Event()
        self._scope = trio.CancelScope()
        self._asks: set[int] = set()
        """Numbers of asks that wait for their answers."""
        self._tokens = self._limits.per_s
        self._filled = trio.current_time()
        self._refused = False
        self._closing = False

    async def live(self) -> None:
        with self._scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._write)
                await self._read()
                self._closing = True
                self._wake.set()

    # -- what it is told ---------------------------------------------------------------------------------------------

    def put_news(self, item: bytes) -> bool:
        """Have news sent; False where too much waits already."""
        if self.waiting + len(item) > self._limits.waiting_bytes:
            return False
        self._put(item)
        return True

    def _put(self, item: bytes) -> None:
        self.waiting += len(item)
        self._queue.append(item)
        self._wake.set()
        if self.waiting > 4 * self._limits.waiting_bytes:
            self._drop(f"it left {self.waiting:,} bytes unread")

    def _drop(self, why: str) -> None:
        log.warning("the control socket dropped %s: %s", self._peer, why)
        self._scope.cancel()

    async def _write(self) -> None:
        """Send what waits, as fast as it is read; ends when all is said after the last ask."""
        while True:
            while self._queue:
                item = self._queue.popleft()
                try:
                    with trio.fail_after(self._limits.slow_s):
                        await self._stream.send_all(item)
                except trio.TooSlowError:
                    self._drop(f"it has read nothing for {self._limits.slow_s:g} s")
                    return
                except (trio.BrokenResourceError, trio.ClosedResourceError):
                    self._scope.cancel()
                    return
                self.waiting -= len(item)
            if self._closing:
                return
            self._wake = trio.Event()
            await self._wake.wait()

    def _tell(self, told: Told) -> None:
        """Send an answer; nothing where its client is gone or it was given already."""
        if told.number not in self._asks:
            return
        self._asks.discard(told.number)
        try:
            item = _framed(told)
        except WireError as error:
            log.error("an answer to %s cannot be told: %s", self._peer, error)
            item = _framed(Told(told.number, None, f"the answer cannot be told: {error}"))
        self._put(item)

    # -- what it asks ------------------------------------------------------------------------------------------------

    async def _read(self) -> None:
        decoder: Decoder[Ask] = Decoder(msgspec.msgpack.Decoder(list[Ask]), MOST_BYTES)
        while chunk := await self._hear():
            try:
                asks = decoder.feed(chunk)
            except WireError as error:
                log.warning("%s sent to the control socket what cannot be read: %s", self._peer, error)
                self._put(_framed(Told(TO_NOBODY, None, str(error), "The connection is closed.")))
                return
            for ask in asks:
                self._take(ask)
            if self._refused:
                self._refused = False
                await trio.sleep(self._limits.refused_pause_s)

    async def _hear(self) -> bytes:
        try:
            return bytes(await self._stream.receive_some(CHUNK))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return b""

    def _take(self, ask: Ask) -> None:
        why = self._over_limits(ask)
        if why is not None:
            self._refused = True
            self._service.refused += 1
            self._put(_framed(Told(ask.number, None, why, "Wait a moment and try again.")))
            return
        self._asks.add(ask.number)
        if isinstance(ask.what, Listen):
            self._tell(self._listen(ask.number, ask.what.kinds))
            return
        self._service.answer(self._host, msgspec.structs.replace(ask, who=self._named(ask.who)), self._tell)

    def _over_limits(self, ask: Ask) -> str | None:
        if ask.number in self._asks or ask.number < 0:
            return f"number {ask.number} is taken"
        if len(self._asks) >= self._limits.at_once:
            return f"{len(self._asks)} asks wait for their answers already"
        now = trio.current_time()
        most = max(self._limits.per_s, 1.0)
        self._tokens = min(most, self._tokens + (now - self._filled) * self._limits.per_s)
        self._filled = now
        if self._tokens < 1:
            return f"more than {self._limits.per_s:g} asks a second"
        self._tokens -= 1
        return None

    def _listen(self, number: int, kinds: Sequence[str]) -> Told:
        unknown = [each for each in kinds if each not in KINDS]
        if unknown:
            return Told(
                number, None, f"no news are called {unknown[0][:LONGEST_WHO]!r}", f"There are {', '.join(KINDS)}."
            )
        self.kinds = frozenset(kinds)
        return Told(number, sorted(self.kinds))

    def _named(self, who: str) -> str:
        """Who asks, as the kernel says and then as they say themselves, on one line."""
        plain = "".join(each if each.isprintable() else "?" for each in who[:LONGEST_WHO])
        return f"{self._peer} {plain}".rstrip()


def _framed(message: FromEngine) -> bytes:
    """One frame of one message. Raises `WireError` where it is too long or cannot be said."""
    item = encode(message)
    if len(item) + FRAME_ROOM > MOST_BYTES:
        raise WireError(f"{len(item):,} bytes: more than a frame holds")
    return frame([item])


def _inode(path: Path) -> tuple[int, int] | None:
    """Which file it is; None where there is none."""
    try:
        told = path.stat()
    except OSError:
        return None
    return told.st_dev, told.st_ino


def _listening(path: Path) -> socket.socket:
    """The socket, in place of one that a dead run left. Raises `UserError`."""
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if path.exists():
            _refuse_living(path)
            path.unlink()
        listening.bind(os.fspath(path))
        path.chmod(0o600)
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        raise UserError(
            f"{path}: no control socket can be made here: {error.strerror or error}", "Set [ops] state."
        ) from None
    except UserError:
        listening.close()
        raise
    return listening


def _refuse_living(path: Path) -> None:
    """Raise `UserError` where somebody answers at the socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(os.fspath(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return
        except BlockingIOError:  # its queue is full: it lives, and hangs
            holder = ""
        else:
            holder = f" (process {peer_of(probe).pid})"
    raise UserError(f"{path}: the control socket of a run that lives{holder}", "Stop that run first.")
