"""Where the messages of strategies (`publish_telegram`) wait until Telegram has taken them.

Two files, so that nobody ever waits for anybody: the **outbox**, which the engine alone writes (SQLite, WAL; each
message is on its way to the disk when `put` returns, and survives the death of this program), and the **sent mark**,
which the reader alone writes: the number of the last message that Telegram has taken. Messages are numbered from 1 on
without end, so a reader that is started again goes on after its mark and loses none. What was sent is taken out of the
outbox again, two for each one that comes, so that neither the file nor any call grows with the run.

    engine      outbox.put("grid", "filled")
    reader      for message in reader.after(mark.number): send it; mark.keep(message.number)

A message can reach Telegram twice where the reader dies between sending and marking, never not at all.
"""

import logging
import sqlite3
import time
from pathlib import Path
from typing import Final

from attrs import frozen

from mlthon.errors import UserError
from mlthon.ops.checkpoints import BUSY_S, NEVER, Checkpoints

log = logging.getLogger("mlthon.ops")

LONGEST_TEXT: Final = 64 * 1024
"""Characters of one message that are kept."""
MOST_WAITING: Final = 20_000
"""Messages that wait at once: a strategy that publishes more is told of and not heard while it is so."""
CLEARED_AT_ONCE: Final = 2
"""Messages that were sent and are taken out for each that comes."""
CUT: Final = " […]"

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS messages (
    number INTEGER PRIMARY KEY AUTOINCREMENT, run TEXT NOT NULL, strategy TEXT NOT NULL, ts INTEGER NOT NULL,
    text TEXT NOT NULL)
"""
_INSERT: Final = "INSERT INTO messages (run, strategy, ts, text) VALUES (?, ?, ?, ?)"
_MARK_SCHEMA: Final = (
    "CREATE TABLE IF NOT EXISTS sent (one INTEGER PRIMARY KEY CHECK (one = 1), number INTEGER NOT NULL)"
)


@frozen
class Message:
    """A message of a strategy. `ts`: ns since 1970 UTC."""

    number: int
    run: str
    strategy: str
    ts: int
    text: str


def sent_path(outbox: Path) -> Path:
    """The file of the sent mark that belongs to an outbox: `NAME.telegram.db` beside `NAME.outbox.db`."""
    return outbox.with_name(outbox.name.removesuffix(".outbox.db") + ".telegram.db")


class Outbox:
    """The engine's end. Raises `UserError` where the file cannot be used."""

    def __init__(self, path: Path, run: str) -> None:
        self.path = path
        self.lost = 0
        """Messages that could not be kept."""
        self._run = run
        self._failure = ""
        try:
            path.touch(0o600)  # before SQLite makes the files beside it, which are then as private
            path.chmod(0o600)
            self._base = _connect(path)
            self._base.execute("PRAGMA journal_mode = WAL")
            self._base.execute("PRAGMA synchronous = NORMAL")
            self._base.execute(NEVER)
            self._base.execute(_SCHEMA)
            self._sent = last_sent(sent_path(path))
            self._base.execute("DELETE FROM messages WHERE number <= ?", (self._sent,))
            self._last = self._number_on(self._sent)
            self._cleared = self._sent
        except (OSError, sqlite3.Error) as error:
            raise UserError(f"{path}: the outbox cannot be used: {error}", "Look at the state folder.") from None
        self._checkpoints = Checkpoints(path, self._look)

    def put(self, strategy: str, text: str) -> None:
        """Keep a message. Never raises: a strategy is not to fail because nobody can be told."""
        if self._last - self._sent >= MOST_WAITING:
            self._lose(f"{MOST_WAITING:,} messages wait already")
            return
        if len(text) > LONGEST_TEXT:
            text = text[: LONGEST_TEXT - len(CUT)] + CUT
        # what is no text (half a surrogate pair) would be refused by the file
        plain = text.encode("utf-8", "replace").decode()
        try:
            kept = self._base.execute(_INSERT, (self._run, strategy, time.time_ns(), plain))
        except sqlite3.Error as error:
            self._lose(str(error))
            return
        self._last = kept.lastrowid or self._last + 1
        self._failure = ""
        self._clear()

    def _clear(self) -> None:
        """Take out what was sent, as much as a call may take."""
        if self._cleared >= self._sent:
            return
        upto = min(self._cleared + CLEARED_AT_ONCE, self._sent)
        try:
            self._base.execute("DELETE FROM messages WHERE number <= ?", (upto,))
        except sqlite3.Error as error:  # the next one takes out what this one left
            log.debug("%s: what was sent stays for now: %s", self.path, error)
        else:
            self._cleared = upto

    def _number_on(self, sent: int) -> int:
        """The number of the last message ever. What comes next has one after the mark even where the file was made
        anew and the mark was not: everything up to it counts as sent."""
        row = self._base.execute("SELECT seq FROM sqlite_sequence WHERE name = 'messages'").fetchone()
        last = max(row[0] if row else 0, sent)
        if row is None:
            self._base.execute("INSERT INTO sqlite_sequence VALUES ('messages', ?)", (last,))
        elif row[0] < last:
            self._base.execute("UPDATE sqlite_sequence SET seq = ? WHERE name = 'messages'", (last,))
        return int(last)

    def _lose(self, why: str) -> None:
        self.lost += 1
        if why != self._failure:
            self._failure = why
            log.error("A MESSAGE FOR TELEGRAM IS LOST, and those after it while it is so: %s", why)

    def _look(self) -> None:
        """See what was sent meanwhile (called by the thread of checkpoints)."""
        self._sent = max(self._sent, last_sent(sent_path(self.path)))

    def close(self) -> None:
        """No more messages; those that wait, wait for the next reader."""
        self._checkpoints.close()
        self._base.close()


class OutboxReader:
    """The other end, which only reads. Raises `UserError` where there is no outbox."""

    def __init__(self, path: Path) -> None:
        try:
            self._base = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=BUSY_S)
            self._base.execute("SELECT 1 FROM messages LIMIT 1")
        except sqlite3.Error as error:
            raise UserError(
                f"{path}: no outbox can be read here: {error}", "The run makes it when it starts."
            ) from None

    def after(self, number: int, most: int = 100) -> list[Message]:
        """The first messages after this number, in order. Raises `sqlite3.Error`."""
        rows = self._base.execute(
            "SELECT number, run, strategy, ts, text FROM messages WHERE number > ? ORDER BY number LIMIT ?",
            (number, most),
        )
        return [Message(*row) for row in rows]

    def waiting(self, number: int) -> int:
        """How many messages come after this number. Raises `sqlite3.Error`."""
        return int(self._base.execute("SELECT count(*) FROM messages WHERE number > ?", (number,)).fetchone()[0])

    def close(self) -> None:
        self._base.close()


class SentMark:
    """The number of the last message that Telegram has taken, in the reader's own file; 0 at first. A number is on the
    disk when `keep` returns. Raises `sqlite3.Error`."""

    def __init__(self, path: Path) -> None:
        path.touch(0o600)
        path.chmod(0o600)
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
    return sqlite3.connect(path, timeout=BUSY_S, isolation_level=None)
