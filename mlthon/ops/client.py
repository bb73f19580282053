"""The other end of the control socket: for programs on trio (`EngineClient`) and for the command line (`ask_once`).

    async with trio.open_nursery() as nursery:
        client = await nursery.start(EngineClient(path).run)  # connects as soon as it can
        status = await client.ask(GetStatus(), "telegram 4711 @anna")
        async with client.listen(("alert",)) as news:
            async for each in news: ...

The client keeps itself connected, asks the engine several times a minute whether it lives, and tells its listeners by
an `alert` of the source `engine` when it hangs, when it is gone and when it is back (`state` says it at any time).

Each ask carries the time at which its sender gives it up, so an engine that hangs and comes back does not do then what
everybody took for failed. Only what makes trading safer (`Kill`) is done however late. Answers come as the structs of
the contract.
"""

import logging
import os
import random
import socket
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from enum import Enum
from pathlib import Path
from typing import Any, Final

import msgspec
import trio

from mlthon.errors import UserError
from mlthon.link.wire import Decoder, WireError, encode, frame
from mlthon.live.backoff import Backoff, BackoffSettings
from mlthon.ops.contract import (
    MOST_BYTES,
    TO_NOBODY,
    Action,
    Ask,
    FromEngine,
    GetCommands,
    GetFigures,
    GetOrders,
    GetPositions,
    GetProfit,
    GetStatus,
    GetWebhooks,
    Kill,
    Level,
    Listen,
    News,
    OrderRow,
    Ping,
    Position,
    Profit,
    Question,
    Status,
    Told,
    WebCall,
    WebReply,
)
from mlthon.ops.peer import peer_of

log = logging.getLogger("mlthon.ops")

TIMEOUT_S: Final = 5.0
BEAT_S: Final = 2.0
"""How often the engine is asked whether it lives."""
HANGS_S: Final = 4.0
"""An engine that has not answered for so long hangs."""
GONE_S: Final = 1.0
"""An engine that cannot be reached for so long is gone. A run that ends in order takes its clients with it before."""
CHUNK: Final = 1 << 16
LISTEN_S: Final = 0.5
"""How long whoever begins to listen waits for the engine to know it."""
NEWS_KEPT: Final = 4_096
"""How many news a listener may leave unread before the oldest are dropped."""
ENGINE: Final = "engine"
"""The source of alerts about the engine itself."""

_ANSWERS: Final[dict[type, Any]] = {
    GetStatus: Status,
    GetPositions: list[Position],
    GetOrders: list[OrderRow],
    GetProfit: list[Profit],
    GetCommands: dict[str, list[str]],
    GetFigures: str,
    GetWebhooks: dict[str, list[tuple[str, str]]],
    Ping: int,
    WebCall: WebReply,
}
_SAFE_LATE: Final = (Kill, Listen)


class AskFailed(UserError):
    """The engine refused, or could not do, what was asked: why, and what to do."""


class NoAnswer(AskFailed):
    """The engine is not there or does not answer. What was asked is not done later, unless it was just being done."""


class EngineState(Enum):
    """How the engine stands, as a client sees it."""

    AWAY = "not there"
    LIVES = "lives"
    HANGS = "hangs"


def _encoded(number: int, what: Question | Action, who: str, timeout_s: float) -> bytes:
    until = 0 if isinstance(what, _SAFE_LATE) else time.time_ns() + round(timeout_s * 1e9)
    try:
        sent = frame([encode(Ask(number, who, what, until))])
    except WireError as error:
        raise AskFailed(f"{type(what).__name__} cannot be asked: {error}") from None
    if len(sent) > MOST_BYTES:
        raise AskFailed(
            f"{type(what).__name__} of {len(sent):,} bytes: more than the {MOST_BYTES:,} that the engine takes"
        )
    return sent


def _decoder() -> Decoder[FromEngine]:
    return Decoder(msgspec.msgpack.Decoder(list[FromEngine]), MOST_BYTES)


def _value(what: Question | Action, told: Told) -> Any:
    if told.error is not None:
        raise AskFailed(told.error, told.hint)
    try:
        return msgspec.convert(told.value, _ANSWERS.get(type(what), Any))
    except msgspec.ValidationError as error:
        raise AskFailed(f"the answer to {type(what).__name__} cannot be understood: {error}") from None


class EngineClient:
    """See the module. `run` keeps it connected; `state`: how the engine stood when that was last looked at."""

    def __init__(
        self,
        path: Path,
        *,
        engine: int | None = None,
        backoff: BackoffSettings | None = None,
        beat_s: float = BEAT_S,
        hangs_s: float = HANGS_S,
    ) -> None:
        """`engine`: the process that is asked; another one at the same place, a run that began after ours died, is
        none of ours. None: whichever is there."""
        self.path = path
        self._engine = engine
        self.state = EngineState.AWAY
        self.drops = 0
        """News that listeners left unread for too long."""
        self._backoff = Backoff(random.Random(), backoff or BackoffSettings(first_s=0.1, most_s=2.0))
        self._beat_s = beat_s
        self._hangs_s = hangs_s
        self._stream: trio.SocketStream | None = None
        self._sending = trio.Lock()
        self._connected = trio.Event()
        self._met = False
        self._number = 0
        self._answers: dict[int, Callable[[Told | None], None]] = {}
        """Who waits for which answer; None says that the connection is lost."""
        self._listeners: dict[trio.MemorySendChannel[News], _Listener] = {}
        self._heard: frozenset[str] = frozenset()
        """The kinds of news that the present connection brings."""

    async def run(self, task_status: "trio.TaskStatus[EngineClient]" = trio.TASK_STATUS_IGNORED) -> None:
        """Keep connected until cancelled."""
        task_status.started(self)
        lost = trio.current_time()
        while True:
            began = trio.current_time()
            try:
                stream = await self._reach()
            except OSError:
                if began - lost >= GONE_S:
                    self._to(EngineState.AWAY, "the engine is gone", Level.ERROR)
            else:
                why = await self._connection(stream)
                log.info("the connection to the engine is lost: %s", why)
                lost = trio.current_time()
                self._backoff.held(lost - began)
            await trio.sleep(self._backoff.pause())

    async def _reach(self) -> trio.SocketStream:
        """A connection to the engine. Raises OSError."""
        stream = await trio.open_unix_socket(os.fspath(self.path))
        if self._engine is not None and peer_of(stream.socket).pid != self._engine:
            await stream.aclose()
            raise ConnectionRefusedError(f"{self.path}: another engine's")
        return stream

    async def connected(self) -> None:
        """Wait until there is a connection."""
        await self._connected.wait()

    async def ask(self, what: Question | Action, who: str, timeout_s: float = TIMEOUT_S) -> Any:
        """What the engine answers. Raises `AskFailed`, and of its kind `NoAnswer` where there is no engine to answer,
        or none that answers within `timeout_s`."""
        self._number += 1
        number = self._number
        sent = _encoded(number, what, who, timeout_s)
        told: list[Told | None] = []
        done = trio.Event()

        def take(answer: Told | None) -> None:
            told.append(answer)
            done.set()

        with trio.move_on_after(timeout_s):
            await self._connected.wait()
            self._answers[number] = take
            try:
                await self._send(sent)
                await done.wait()
            finally:
                self._answers.pop(number, None)
        if not told:
            raise self._silence(timeout_s)
        if told[0] is None:
            raise NoAnswer("the engine went away before it answered", "Look at what became of it before trying again.")
        return _value(what, told[0])

    def _silence(self, timeout_s: float) -> NoAnswer:
        if self._stream is None:
            return NoAnswer("the engine is not there", "Has its run ended? See: python -m mlthon ctl status")
        return NoAnswer(f"the engine has not answered within {timeout_s:g} s: it is busy or hangs")

    @asynccontextmanager
    async def listen(self, kinds: Collection[str]) -> AsyncGenerator[AsyncIterator[News], None]:
        """The news of these kinds from now on, whatever becomes of the connection. A listener that does not keep up
        loses the newest."""
        send, receive = trio.open_memory_channel[News](NEWS_KEPT)
        self._listeners[send] = _Listener(frozenset(kinds))
        await self._subscribe()
        try:
            async with receive:
                yield receive
        finally:
            del self._listeners[send]
            send.close()

    # -- the connection ----------------------------------------------------------------------------------------------

    async def _connection(self, stream: trio.SocketStream) -> str:
        """One connection until it is lost; why it was."""
        why = ""
        async with stream:
            self._stream = stream
            self._heard = frozenset()
            try:
                async with trio.open_nursery() as nursery:
                    self._connected.set()
                    nursery.start_soon(self._beat)
                    nursery.start_soon(self._subscribe)
                    why = await self._read(stream)
                    nursery.cancel_scope.cancel()
            finally:
                self._stream = None
                self._connected = trio.Event()
                for take in list(self._answers.values()):
                    take(None)
        return why

    async def _send(self, data: bytes) -> None:
        async with self._sending:
            stream = self._stream
            if stream is None:
                return
            try:
                await stream.send_all(data)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                return
            except trio.Cancelled:
                # half a frame may be out: nothing can follow it
                stream.socket.close()
                raise

    async def _read(self, stream: trio.SocketStream) -> str:
        decoder = _decoder()
        try:
            while chunk := await stream.receive_some(CHUNK):
                for message in decoder.feed(bytes(chunk)):
                    if isinstance(message, News):
                        self._spread(message)
                    elif message.number == TO_NOBODY:
                        return message.error or "it closed the connection"
                    elif (take := self._answers.get(message.number)) is not None:
                        take(message)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return "the connection broke"
        except WireError as error:
            log.error("the engine sent what cannot be read: %s", error)
            return "it sent what cannot be read"
        return "it closed the connection"

    async def _beat(self) -> None:
        """Ask again and again whether the engine lives."""
        while True:
            try:
                await self.ask(Ping(), "", self._hangs_s)
            except NoAnswer:
                told = f"the engine has not answered for {self._hangs_s:g} s: it hangs"
                self._to(EngineState.HANGS, told, Level.ERROR)
            except AskFailed as error:
                log.warning("the engine did not answer a ping: %s", error.message)
            else:
                self._to(EngineState.LIVES, "the engine is back", Level.INFO)
            await trio.sleep(self._beat_s)

    def _to(self, state: EngineState, told: str, level: Level) -> None:
        """The engine stands so now: tell it, but for the first sign of life."""
        if state is self.state:
            return
        met, self._met = self._met, True
        self.state = state
        if met or state is not EngineState.LIVES:
            log.warning("%s", told)
            self._spread(News("alert", ENGINE, told, level))

    # -- news --------------------------------------------------------------------------------------------------------

    async def _subscribe(self) -> None:
        """Have the engine send what somebody listens to."""
        wanted = frozenset().union(*(each.kinds for each in self._listeners.values()))
        if self._stream is None or wanted <= self._heard:
            return
        self._heard = wanted
        try:
            await self.ask(Listen(sorted(wanted)), "", LISTEN_S)
        except NoAnswer:
            log.debug("the engine was asked for news and has not answered yet")
        except AskFailed as error:
            self._heard = frozenset()
            log.warning("no news of the engine: %s", error.message)

    def _spread(self, news: News) -> None:
        for send, listener in self._listeners.items():
            if news.kind in listener.kinds:
                try:
                    send.send_nowait(news)
                except trio.WouldBlock:
                    self.drops += 1


class _Listener:
    def __init__(self, kinds: frozenset[str]) -> None:
        self.kinds = kinds


def ask_once(path: Path, what: Question | Action, who: str, timeout_s: float = TIMEOUT_S) -> Any:
    """Connect, ask, and give the answer: for programs without trio. Raises `AskFailed` and `NoAnswer`."""
    sent = _encoded(1, what, who, timeout_s)
    until = time.monotonic() + timeout_s
    decoder = _decoder()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        try:
            connection.settimeout(timeout_s)
            connection.connect(os.fspath(path))
            connection.sendall(sent)
            while True:
                connection.settimeout(max(until - time.monotonic(), 0.001))
                chunk = connection.recv(CHUNK)
                if not chunk:
                    raise NoAnswer("the engine closed the connection without an answer")
                for message in decoder.feed(chunk):
                    if isinstance(message, Told):
                        return _value(what, message)
        except TimeoutError:
            raise NoAnswer(f"the engine has not answered within {timeout_s:g} s: it is busy or hangs") from None
        except (FileNotFoundError, ConnectionRefusedError):
            raise NoAnswer(f"no engine answers at {path}: its run has ended") from None
        except OSError as error:
            raise NoAnswer(f"{path}: {error.strerror or error}") from None
        except WireError as error:
            raise AskFailed(f"the engine sent what cannot be read: {error}") from None
