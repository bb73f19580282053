"""The engine's end of the sockets that join a bot's process to it, and of the pipes that the bot prints to.

A bot has a first line (`BotLine`) for everything, and more for calls: a thread that asks reads its answer itself. An
answer goes out by the line that its call came by (`BotLines`).

Whoever answers a bot is asked by it in a blocking call, so a round trip is short: what a chunk of the bot's messages
has caused is sent by the task that has read them, as soon as they are done, and without an intermediate step. Only what
the bot does not take at once, and what the engine has to say unasked, is left to the writer's task. That is one turn of
the event loop a call instead of three.

A bot that speaks or prints without end is read slowly (`Unhurried`): its socket or pipe fills, and it waits. Of what it
logs or prints without end lines are left out (`LineLimit`), because a bot is not to wait for a log.
"""

import logging
import socket
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

import trio

from mlthon.link.contract import BACKLOG, Answer, Call, ToBot, ToHost
from mlthon.link.wire import CALL_LINES, WireError, frames, to_host
from mlthon.live.outbox import Outbox

log = logging.getLogger("mlthon.link")

CHUNK: Final = 1 << 12
"""Bytes that are read at once: some dozens of messages."""
SLICE_S: Final = 0.0003
"""How long the engine hears one bot before others have their turn."""
REST: Final = 4.0
"""A bot that says more at once than one of these is not heard for so many times as long as that took: it may say what
it likes, and takes the engine a fifth of its time at most."""
AGAIN_S: Final = 1.0
"""After so long it is tried again to accept a line."""
PIECE: Final = 1000
"""Quotes, trades and messages that are sent to a bot at once: tens of thousands may wait for it."""

LINES_AT_ONCE: Final = 1000
LINES_A_SECOND: Final = 100.0
LAST_LINES: Final = 50
"""Lines that were left out and are logged all the same when the bot ends."""


class LineLimit:
    """How many lines of one bot are logged: `LINES_AT_ONCE`, and after that `LINES_A_SECOND`."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._left = float(LINES_AT_ONCE)
        self._at = 0.0
        self._skipped = 0
        self._last: deque[str] = deque(maxlen=LAST_LINES)

    def allows(self, now: float, line: str) -> bool:
        """Whether a line is to be logged at this time (s)."""
        self._left = min(self._left + (now - self._at) * LINES_A_SECOND, LINES_AT_ONCE)
        self._at = now
        if self._left >= LINES_A_SECOND:
            self._report()
        if self._skipped or self._left < 1:
            self._skipped += 1
            self._last.append(line)
            return False
        self._left -= 1
        return True

    def end(self) -> list[str]:
        """The bot has ended: the last of the lines that were left out, which may say why."""
        last = list(self._last)
        self._skipped -= len(last)
        self._report()
        return last

    def _report(self) -> None:
        """Say how many lines were left out."""
        if self._skipped > 0:
            log.warning("%s logs or prints too much: %d lines are left out", self._name, self._skipped)
        self._skipped = 0
        self._last.clear()


class Unhurried(trio.abc.ReceiveStream):
    """A stream that is read in small pieces, with rests as of `BotLine` where there is always more, until `hurry`."""

    def __init__(self, stream: trio.abc.ReceiveStream) -> None:
        self._stream = stream
        self._given: float | None = None
        self._rest = REST

    def hurry(self) -> None:
        """Nothing more is written into it: read what is left without rests."""
        self._rest = 0.0

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """See `trio.abc.ReceiveStream`."""
        if self._given is not None:
            await trio.sleep(self._rest * (trio.current_time() - self._given))
        data = bytes(await self._stream.receive_some(min(max_bytes or CHUNK, CHUNK)))
        self._given = trio.current_time() if len(data) == CHUNK else None
        return data

    async def aclose(self) -> None:
        """See `trio.abc.AsyncResource`."""
        await self._stream.aclose()


class BotLine:
    """One connected socket. `hear` is given each message of the bot. `outbox`: the bot, for who has to tell it
    something; `trades_kept`: as of it."""

    def __init__(self, line: socket.socket, hear: Callable[[ToHost], object], trades_kept: int = BACKLOG) -> None:
        line.setblocking(False)
        self.outbox = Outbox(self._wake, trades_kept)
        self._line = line
        self._hear = hear
        self._unsent: deque[memoryview] = deque()
        """Frames that the bot has not taken: its socket is full, and the writer's task waits for room."""
        self._reading = False
        self._due = trio.Event()

    def _wake(self) -> None:
        """Something waits for the bot that did not before."""
        if not self._reading:
            self._due.set()

    async def carry(self) -> str:
        """Carry both ways until the bot hangs up; what was wrong with what it said, if anything was."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._write)
                broken = await self._read()
                nursery.cancel_scope.cancel()
        finally:
            trio.lowlevel.notify_closing(self._line)
            self._line.close()
        return broken

    async def _read(self) -> str:
        decoder = to_host()
        while True:
            await trio.lowlevel.wait_readable(self._line)
            began = trio.current_time()
            try:
                chunk = self._line.recv(CHUNK)
            except (BlockingIOError, InterruptedError):
                continue
            except OSError:
                return ""
            if not chunk:
                return ""
            try:
                messages = deque(decoder.feed(chunk))
            except WireError as error:
                return f"what it says cannot be read: {error}"
            more = len(chunk) == CHUNK
            while self._give(messages, began + SLICE_S) or more:
                more = False
                await trio.sleep(REST * (trio.current_time() - began))
                began = trio.current_time()

    def _give(self, messages: deque[ToHost], until: float) -> bool:
        """Give messages on until a time, and send what they have caused; whether there are more."""
        self._reading = True
        try:
            while messages:
                self._hear(messages.popleft())
                if trio.current_time() > until:
                    break
            return bool(messages)
        finally:
            self._reading = False
            self._send()

    async def _write(self) -> None:
        """Send what the engine says unasked, and what the bot has not taken at once."""
        while True:
            if self._unsent:
                await trio.lowlevel.wait_writable(self._line)
            else:
                await self._due.wait()
                self._due = trio.Event()
            self._send()

    def _send(self) -> None:
        """Send what waits, as far as the bot takes it and no more than `PIECE`: what is left has its turn after
        others."""
        unsent = self._unsent
        if not unsent:
            unsent.extend(map(memoryview, frames(self.outbox.take(PIECE))))
        try:
            while unsent:
                sent = self._line.send(unsent[0])
                if sent < len(unsent[0]):
                    unsent[0] = unsent[0][sent:]
                else:
                    unsent.popleft()
        except (BlockingIOError, InterruptedError):
            self._due.set()
        except OSError:
            # the bot has hung up: whoever reads hears of it
            unsent.clear()
        else:
            if len(self.outbox):
                self._due.set()


class BotLines:
    """All lines of one bot. `hear` is given each message. `face`: the bot, for who has to tell it something;
    `trades_kept`: as of the outbox."""

    def __init__(self, first: socket.socket, hear: Callable[[ToHost], object], trades_kept: int = BACKLOG) -> None:
        self._hear = hear
        self._callers: dict[int, BotLine] = {}
        """By which line each call came."""
        self._first = BotLine(first, hear, trades_kept)
        self.face = _Face(self._first.outbox, self._callers)
        self._count = 0

    async def carry(self, accept: Callable[[], Awaitable[socket.socket]]) -> str:
        """Carry all ways until the bot hangs up; what was wrong with what it said, if anything was. `accept` gives
        further connections."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._join, accept, nursery)
            broken = await self._first.carry()
            nursery.cancel_scope.cancel()
        return broken

    async def _join(self, accept: Callable[[], Awaitable[socket.socket]], nursery: trio.Nursery) -> None:
        while True:
            try:
                connected = await accept()
            except OSError as error:
                # no descriptors are left, say; the bot does with the lines that it has
                log.warning("a bot gets no further line: %s", error)
                await trio.sleep(AGAIN_S)
                continue
            if self._count < CALL_LINES:
                self._count += 1
                nursery.start_soon(self._carry_calls, connected)
            else:
                connected.close()

    async def _carry_calls(self, connected: socket.socket) -> None:
        def heard(message: ToHost) -> None:
            if isinstance(message, Call):
                self._callers[message.call] = line
            self._hear(message)

        line = BotLine(connected, heard)
        broken = await line.carry()
        if broken:
            log.error("a line for calls of a bot is closed: %s", broken)
        self._count -= 1
        for call in [call for call, caller in self._callers.items() if caller is line]:
            del self._callers[call]


class _Face:
    """The `BotFace` of a bot of several lines: answers go back where their calls came from."""

    def __init__(self, outbox: Outbox, callers: dict[int, BotLine]) -> None:
        self.quote = outbox.quote
        self.trade = outbox.trade
        self._outbox = outbox
        self._callers = callers

    def tell(self, message: ToBot) -> None:
        """See `BotFace`."""
        caller = self._callers.pop(message.call, None) if isinstance(message, Answer) else None
        (self._outbox if caller is None else caller.outbox).tell(message)
