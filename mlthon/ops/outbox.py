"""Where the messages of strategies (`publish_telegram`) wait until Telegram has taken them: the engine's end.

Nobody ever waits for anybody: the engine alone writes the **outbox** (`mlthon.ops.letters`), and to publish is to
append to a file, a few microseconds; a message that was appended survives the death of this program. The reader alone
writes the **sent mark**: the number of the last message that Telegram has taken. Messages are numbered from 1 on
without end, so a reader that is started again goes on after its mark and loses none. What waits for the disk, the mark,
and files in which everything was sent are looked after on a thread beside the engine.

    engine      outbox.put("grid", "filled")
    reader      for message in reader.after(mark.number): send it; mark.keep(message.number)

A message can reach Telegram twice where the reader dies between sending and marking, never not at all. (A power cut can
take what was published in the seconds before it.)

Telegram takes one message a second of a chat. Of each strategy as many messages wait as `MOST_WAITING` and `MOST_LONG`
say; one that publishes more is not heard while it is so, and when it is again, its chat is told how much is missing.
The others do not feel it.
"""

import logging
import os
import sqlite3
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from mlthon.errors import UserError
from mlthon.ops.checkpoints import Beside
from mlthon.ops.letters import Frames, Message, framed, last_sent, segment, segments, sent_path

log = logging.getLogger("mlthon.ops")

LONGEST_TEXT: Final = 64 * 1024
"""Characters of one message that are kept."""
MOST_WAITING: Final = 5_000
"""Messages of one strategy that wait at once: over an hour's worth."""
MOST_LONG: Final = 16 * 1024 * 1024
"""Characters that those of one strategy may have."""
SEGMENT_BYTES: Final = 1024 * 1024
"""Beyond this a new file is begun."""
SETTLED_AT_ONCE: Final = 16
"""Messages that were sent and are forgotten for each that comes."""
IDLE_S: Final = 1.0
"""Files are brought to the disk when nothing was written for so long: whoever writes then waits for nothing."""
CUT: Final = " […]"


class _Waiting:
    """What waits of one strategy: messages and characters; `lost`: messages since the last one that was kept, and
    `why`."""

    __slots__ = ("count", "long", "lost", "why")

    def __init__(self) -> None:
        self.count = self.long = self.lost = 0
        self.why = ""

    def full(self, text: str) -> bool:
        """Whether there is no room for one more."""
        return self.count >= MOST_WAITING or self.long + len(text) > MOST_LONG


class Outbox:
    """See the module. Raises `UserError` where the folder cannot be used."""

    def __init__(self, path: Path, run: str) -> None:
        self.path = path
        self.lost = 0
        """Messages that could not be kept."""
        self._run = run
        self._of: dict[str, _Waiting] = {}
        self._out: deque[tuple[int, str, int]] = deque()
        """What waits: number, strategy, characters."""
        try:
            path.mkdir(mode=0o700, exist_ok=True)
            path.chmod(0o700)
            self._sent = last_sent(sent_path(path))
            self._last = self._sent
            self._segments = segments(path)
            self._take_up()
            self._descriptor = self._begin()
        except (OSError, sqlite3.Error) as error:
            raise UserError(f"{path}: the outbox cannot be used: {error}", "Look at the state folder.") from None
        self._beside = Beside(path, self._look)

    def _take_up(self) -> None:
        """What earlier runs left."""
        for first in self._segments:
            frames = Frames(segment(self.path, first))
            while (message := frames.next()) is not None:
                self._last = max(self._last, message.number)
                if message.number > self._sent:
                    self._count(message.number, message.strategy, len(message.text))
            frames.close()

    def _begin(self) -> int:
        """Begin a segment; its file."""
        first = self._last + 1
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(segment(self.path, first), flags, 0o600)
        if first not in self._segments:
            self._segments.append(first)
        self._size = 0
        self._written = self._synced = 0.0
        return descriptor

    def waiting(self) -> Iterator[tuple[tuple[str], int]]:
        """How many messages wait of each strategy, as far as is known."""
        self._settle(len(self._out))
        return (((strategy,), waiting.count) for strategy, waiting in self._of.items())

    def put(self, strategy: str, text: str) -> None:
        """Keep a message. Never raises: a strategy is not to fail because nobody can be told."""
        waiting = self._of.get(strategy)
        if waiting is None:
            waiting = self._of[strategy] = _Waiting()
        self._settle(SETTLED_AT_ONCE)
        if len(text) > LONGEST_TEXT:
            text = text[: LONGEST_TEXT - len(CUT)] + CUT
        if waiting.full(text):
            self._settle(len(self._out))
            if waiting.full(text):
                self._lose(strategy, waiting, f"{waiting.count:,} of them wait already")
                return
        if waiting.lost and not self._append(strategy, f"({waiting.lost:,} messages were not kept: {waiting.why})"):
            return
        waiting.lost = 0
        self._append(strategy, text)

    def _append(self, strategy: str, text: str) -> bool:
        """Append a message; whether it is kept."""
        number = self._last + 1
        try:
            # what is no text (half a surrogate pair) could not be encoded
            plain = text if text.isascii() else text.encode("utf-8", "replace").decode()
            frame = framed(Message(number, self._run, strategy, time.time_ns(), plain))
            written = os.write(self._descriptor, frame)
            if written != len(frame):
                os.ftruncate(self._descriptor, self._size)
                raise OSError(28, "no room for the whole of it")
        except OSError as error:
            self._lose(strategy, self._of[strategy], str(error))
            return False
        self._last = number
        self._size += written
        self._written = time.monotonic()
        self._count(number, strategy, len(text))
        if self._size >= SEGMENT_BYTES:
            self._turn_over()
        return True

    def _turn_over(self) -> None:
        """Begin the next segment; where that cannot be, the old one goes on."""
        old = self._descriptor
        try:
            self._descriptor = self._begin()
        except OSError as error:
            log.error("%s: no new file can be begun: %s", self.path, error)
        else:
            os.close(old)

    def _count(self, number: int, strategy: str, size: int) -> None:
        waiting = self._of.setdefault(strategy, _Waiting())
        waiting.count += 1
        waiting.long += size
        self._out.append((number, strategy, size))

    def _settle(self, most: int) -> None:
        """Forget what was sent."""
        out, sent = self._out, self._sent
        while most and out and out[0][0] <= sent:
            _, strategy, size = out.popleft()
            waiting = self._of[strategy]
            waiting.count -= 1
            waiting.long -= size
            most -= 1

    def _lose(self, strategy: str, waiting: _Waiting, why: str) -> None:
        self.lost += 1
        waiting.lost += 1
        if waiting.lost == 1:
            waiting.why = why
            log.error("A MESSAGE OF %s FOR TELEGRAM IS LOST, and those after it while it is so: %s", strategy, why)

    # -- beside the engine -------------------------------------------------------------------------------------------

    def _look(self, last: bool) -> None:
        """See what was sent, remove files in which everything was, bring what was written to the disk."""
        self._sent = max(self._sent, last_sent(sent_path(self.path)))
        while len(self._segments) > 1 and self._segments[1] <= self._sent + 1:
            segment(self.path, self._segments.pop(0)).unlink(missing_ok=True)
        written = self._written
        if written > self._synced and (last or time.monotonic() - written > IDLE_S):
            descriptor = os.open(segment(self.path, self._segments[-1]), os.O_RDONLY)
            try:
                os.fdatasync(descriptor)
            finally:
                os.close(descriptor)
            self._synced = written

    def close(self) -> None:
        """No more messages; those that wait, wait for the next reader."""
        self._beside.close()
        os.close(self._descriptor)
