"""The files of an outbox: messages one after the other, in segments, and how they are read; and the mark of what was
sent of them.

An outbox is a folder, `NAME.outbox`. A segment is called after the number of its first message; a message is its length
(four bytes, little endian) and a MessagePack array. Whoever writes only appends, and begins a segment anew at each
start: so half a message, left by a full disk or a power cut, stands at the end of a segment and nowhere else.
"""

import logging
import os
import sqlite3
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from mlthon.errors import UserError
from mlthon.ops.checkpoints import BUSY_S
from mlthon.ops.private import make_private

log = logging.getLogger("mlthon.ops")

SUFFIX: Final = ".outbox"
LONGEST_FRAME: Final = 512 * 1024
CHUNK: Final = 256 * 1024
_HEAD: Final = 4
_SEGMENT: Final = "[0-9]" * 16
_MARK_SCHEMA: Final = (
    "CREATE TABLE IF NOT EXISTS sent (one INTEGER PRIMARY KEY CHECK (one = 1), number INTEGER NOT NULL)"
)


class Message(Struct, frozen=True, array_like=True):
    """A message of a strategy. `ts`: ns since 1970 UTC."""

    number: int
    run: str
    strategy: str
    ts: int
    text: str


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Message).decode


def framed(message: Message) -> bytes:
    """A message as it stands in a segment."""
    content = _encode(message)
    return len(content).to_bytes(_HEAD, "little") + content


def segment(folder: Path, first: int) -> Path:
    """The file of the messages from this number on."""
    return folder / f"{first:016}"


def segments(folder: Path) -> list[int]:
    """The numbers of the first messages of the segments that there are, in order. Raises OSError."""
    return sorted(int(each.name) for each in folder.glob(_SEGMENT))


class Frames:
    """The messages of one segment, as far as they have been written."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self._rest = b""
        self._at = 0

    def next(self) -> Message | None:
        """The next message; None where there is none yet, or something that is none. Raises OSError."""
        while True:
            message = self._whole()
            if message is not None:
                return message
            more = self._file.read(CHUNK)
            if not more:
                return None
            self._rest = self._rest[self._at :] + more
            self._at = 0

    def _whole(self) -> Message | None:
        begin = self._at + _HEAD
        if begin > len(self._rest):
            return None
        end = begin + int.from_bytes(self._rest[self._at : begin], "little")
        if end - begin > LONGEST_FRAME or end > len(self._rest):
            return None
        try:
            message = _decode(self._rest[begin:end])
        except msgspec.MsgspecError:
            return None
        self._at = end
        return message

    @property
    def left(self) -> int:
        """Bytes that make no message."""
        return len(self._rest) - self._at

    def close(self) -> None:
        self._file.close()


class OutboxReader:
    """Reads an outbox while it is written. Raises `UserError` where there is none."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._number = -1
        """Everything up to it was given."""
        self._first = 0
        """The segment that is read, as it is called; what is before it was read."""
        self._frames: Frames | None = None
        if not folder.is_dir():
            raise UserError(f"{folder}: no outbox can be read here", "The run makes it when it starts.")

    def after(self, number: int, most: int = 100) -> list[Message]:
        """The first messages after this number, in order. Raises OSError."""
        if number != self._number:
            self._go_to(number)
        found: list[Message] = []
        while len(found) < most:
            message = self._next()
            if message is None:
                break
            if message.number > number:
                found.append(message)
        if found:
            self._number = found[-1].number
        return found

    def _go_to(self, number: int) -> None:
        self.close()
        self._number = number
        before = [each for each in segments(self._folder) if each <= number + 1]
        self._first = before[-1] - 1 if before else 0

    def _next(self) -> Message | None:
        while True:
            if self._frames is not None and (message := self._frames.next()) is not None:
                return message
            following = next((each for each in segments(self._folder) if each > self._first), None)
            if following is None:
                return None
            if self._frames is not None:
                message = self._frames.next()
                if message is not None:  # appended before the next segment was begun
                    return message
                if self._frames.left:
                    log.error("%s: %d bytes are no message", segment(self._folder, self._first), self._frames.left)
            self._open(following)

    def _open(self, first: int) -> None:
        opened = Frames(segment(self._folder, first))
        self.close()
        self._frames, self._first = opened, first

    def close(self) -> None:
        if self._frames is not None:
            self._frames.close()
        self._frames = None


# -- what was sent -----------------------------------------------------------------------------------------------------


def sent_path(outbox: Path) -> Path:
    """The file of the sent mark that belongs to an outbox: `NAME.telegram.db` beside `NAME.outbox`."""
    return outbox.with_name(outbox.name.removesuffix(SUFFIX) + ".telegram.db")


class SentMark:
    """The number of the last message that Telegram has taken, in the reader's own file; 0 at first. A number is on the
    disk when `keep` returns. Raises `sqlite3.Error`, and where the file cannot be had OSError and `UserError`."""

    def __init__(self, path: Path) -> None:
        make_private(path)
        self._base = _connect(path)
        self._base.execute("PRAGMA journal_mode = WAL")
        self._base.execute("PRAGMA synchronous = FULL")
        self._base.execute(_MARK_SCHEMA)
        self.number = _marked(self._base)

    def keep(self, number: int) -> None:
        """Everything up to this number is sent."""
        self._base.execute("INSERT OR REPLACE INTO sent (one, number) VALUES (1, ?)", (number,))
        self.number = number

    def close(self) -> None:
        self._base.close()


def last_sent(path: Path) -> int:
    """The mark in a file; 0 where there is none. Raises `sqlite3.Error`."""
    if not path.exists():
        return 0
    base = _connect(path)
    try:
        return _marked(base)
    except sqlite3.OperationalError:  # a file of which the table is not made yet
        return 0
    finally:
        base.close()


def _marked(base: sqlite3.Connection) -> int:
    row = base.execute("SELECT number FROM sent").fetchone()
    return 0 if row is None else int(row[0])


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(os.fspath(path), timeout=BUSY_S, isolation_level=None)
