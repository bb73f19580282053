"""What a bot's process says to its engine over Unix sockets.

`SocketHost` is the line for everything: whichever thread has something to say writes it, together with what others left
meanwhile, and one thread reads all that comes.

`CallLines` are for calls that wait for their answer. Each is used by one thread at a time, which writes the call and
reads the answer itself: handing an answer from one thread to another takes longer than the engine takes to give it.
They are made as they are needed, up to a bound; whoever finds none free goes the way of `SocketHost`.
"""

import socket
import sys
import threading
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

import msgspec

from mlthon.link import wire
from mlthon.link.contract import Answer, Call, Failed, Logged, ToHost

CHUNK: Final = 256 * 1024
"""Bytes that are read at once."""
FRAME: Final = 1 << 13
"""Bytes that are put into one frame: the engine reads a frame in one go, and has other things to do."""
MANY: Final = 10_000
"""Messages that wait for the engine before whoever says more waits too."""


class SocketHost:
    """The `HostFace` of a child: everything goes out over the socket, in the order of telling."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._items: deque[bytes] = deque()
        self._writing = threading.Lock()
        self._forked = False
        self.failed = False
        """The bot could not be loaded or constructed."""

    def tell(self, message: ToHost) -> None:
        """See `HostFace`. What a line that has closed does not take is lost: the reader hears of its end. Who says more
        than the engine takes waits until it has."""
        if self._forked:
            if isinstance(message, Logged):
                print(message.text, file=sys.stderr)
            return
        item = _said(message)
        self.failed = self.failed or isinstance(message, Failed)
        self._items.append(item)
        # Whoever holds the lock sends what others add. The look after letting it go catches what came in between.
        while self._items and self._writing.acquire(blocking=False):
            try:
                self._send()
            finally:
                self._writing.release()
        if len(self._items) > MANY:
            with self._writing:
                self._send()

    def forked(self) -> None:
        """This is a process that the bot has forked: the line is not its own, and what it logs is printed."""
        self._forked = True
        self._line.close()

    def close(self) -> None:
        """Wait until all is sent, and close the line."""
        with self._writing:
            self._send()
            with suppress(OSError):  # the other end was faster
                self._line.shutdown(socket.SHUT_RDWR)

    def _send(self) -> None:
        items = self._items
        while items:
            batch = [items.popleft() for _ in range(len(items))]
            try:
                for each in wire.frames(batch, FRAME):
                    self._line.sendall(each)
            except OSError:
                return


class CallLine:
    """One connection for one call at a time."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._decoder = wire.to_bot()
        self._buffer = memoryview(bytearray(CHUNK))

    def ask(self, call: Call) -> Mapping[str, Any] | None:
        """The envelope of the answer; None where there will be none, because the line has ended."""
        try:
            self._line.sendall(wire.frame((_said(call),)))
            while size := self._line.recv_into(self._buffer):
                for each in self._decoder.feed(self._buffer[:size]):
                    if isinstance(each, Answer) and each.call == call.call:
                        return each.envelope
        except OSError:
            return None
        return None

    def end(self) -> None:
        """Have whoever waits for an answer wait no more."""
        with suppress(OSError):  # the other end was faster
            self._line.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._line.close()


class CallLines:
    """The lines for calls of one bot, to the engine that listens at `path`."""

    def __init__(self, path: str, most: int = wire.CALL_LINES) -> None:
        self._path = path
        self._most = most
        self._lock = threading.Lock()
        self._free: list[CallLine] = []
        self._all: set[CallLine] = set()
        self._opening = 0
        self._closed = False

    def ask(self, call: Call) -> Mapping[str, Any] | None:
        """The envelope of the answer; None where the engine has gone. Raises `AllBusy` where no line is to be had."""
        line = self._take()
        try:
            answer = line.ask(call)
        except BaseException:
            # whatever cut the thread off: the answer may still come, and would be the next one's
            self._drop(line)
            raise
        if answer is None:
            self._drop(line)
        else:
            self._free.append(line)
        return answer

    def close(self) -> None:
        """Nobody is answered any more."""
        with self._lock:
            self._closed = True
            lines = list(self._all)
        for each in lines:
            each.end()

    def forked(self) -> None:
        """This is a process that the bot has forked: the lines are not its own."""
        self._lock = threading.Lock()
        self._closed = True
        for each in self._all:
            each.close()

    def _take(self) -> CallLine:
        """A line that nobody uses. Raises `AllBusy`."""
        with suppress(IndexError):
            return self._free.pop()
        with self._lock:
            if self._closed or len(self._all) + self._opening >= self._most:
                raise AllBusy
            self._opening += 1
        line = None
        try:
            line = self._open()
        finally:
            with self._lock:
                self._opening -= 1
                if line is not None:
                    self._all.add(line)
                ended = self._closed
        if ended:
            line.end()
        return line

    def _open(self) -> CallLine:
        line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            line.connect(self._path)
        except OSError:
            line.close()
            raise AllBusy from None
        return CallLine(line)

    def _drop(self, line: CallLine) -> None:
        with self._lock:
            self._all.discard(line)
        line.close()


class AllBusy(Exception):
    """There is no line for this call."""


def _said(message: ToHost) -> bytes:
    """The item of a message, whatever texts it holds."""
    try:
        return wire.encode(message)
    except wire.WireError:
        return wire.encode(_speakable(message))


def _speakable(value: Any) -> Any:
    """A message whose texts hold what UTF-8 cannot say (lone surrogates), escaped."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, list | tuple):
        return [_speakable(each) for each in value]
    if isinstance(value, dict):
        return {_speakable(key): _speakable(each) for key, each in value.items()}
    if isinstance(value, msgspec.Struct):
        return type(value)(*(_speakable(getattr(value, name)) for name in value.__struct_fields__))
    return value
