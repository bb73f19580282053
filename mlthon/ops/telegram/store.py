"""What is known of a bot's messages across restarts: one SQLite file a token.

Telegram gives messages again until it is asked for those after them, so a program that dies in between sees them twice.
A number (`update_id`) is written down before its command is carried out: a command is carried out once or, where the
program dies in that very moment, not at all, and its sender, who sees no answer, gives it again.

Numbers go up by one, but after a week without messages Telegram draws a new first one at random
(https://core.telegram.org/bots/api#update). So they are forgotten after that, and no offset is sent then.
"""

import sqlite3
from pathlib import Path
from typing import Final

from attrs import frozen

from mlthon.errors import UserError
from mlthon.ops.private import make_private
from mlthon.ops.telegram.said import Message

WEEK_S: Final = 6 * 86_400
"""A day less than Telegram's week."""
MOST_TALKERS: Final = 50
MOST_ASIDE: Final = 1_000

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS seen (number INTEGER PRIMARY KEY, ts REAL NOT NULL);
CREATE TABLE IF NOT EXISTS moved (old INTEGER PRIMARY KEY, new INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS talkers (chat INTEGER, user INTEGER, name TEXT NOT NULL, ts REAL NOT NULL,
    PRIMARY KEY (chat, user));
CREATE TABLE IF NOT EXISTS ahead (outbox TEXT, number INTEGER, PRIMARY KEY (outbox, number));
CREATE TABLE IF NOT EXISTS aside (outbox TEXT, number INTEGER, strategy TEXT NOT NULL, text TEXT NOT NULL,
    why TEXT NOT NULL, ts REAL NOT NULL, PRIMARY KEY (outbox, number));
"""


@frozen
class Talker:
    """Someone who wrote to the bot, in a chat, last at `ts` (s since 1970 UTC)."""

    chat: int
    user: int
    name: str
    ts: float


def talker(message: Message) -> Talker:
    """Who wrote a message, and where."""
    sender = message.sender
    name = "" if sender is None else f"@{sender.username}" if sender.username else sender.first_name
    place = f" in {message.chat.title}" if message.chat.title else ""
    return Talker(message.chat.id, 0 if sender is None else sender.id, f"{name}{place}"[:60], float(message.date))


class Store:
    """The file. Times are s since 1970 UTC. Raises `UserError` where it cannot be opened."""

    def __init__(self, path: Path) -> None:
        try:
            make_private(path)
            self._base = sqlite3.connect(path, isolation_level=None)
            self._base.execute("PRAGMA journal_mode=WAL")
            # each message that comes is noted, also those of strangers: none of them is to wait for the disk
            self._base.execute("PRAGMA synchronous=NORMAL")
            self._base.execute("PRAGMA busy_timeout=1000")
            self._base.executescript(_SCHEMA)
        except (OSError, sqlite3.Error) as error:
            raise UserError(f"{path}: cannot be opened: {error}", "Look at the state folder.") from None

    def close(self) -> None:
        self._base.close()

    def offset(self, now: float) -> int | None:
        """From which number on Telegram is to be asked; None: whatever it has."""
        last, ts = self._base.execute("SELECT max(number), max(ts) FROM seen").fetchone()
        return None if last is None or now - ts > WEEK_S else int(last) + 1

    def first_time(self, number: int, now: float) -> bool:
        """Write the number down; whether it was not known."""
        self._base.execute("DELETE FROM seen WHERE ts < ?", (now - WEEK_S,))
        return self._base.execute("INSERT OR IGNORE INTO seen VALUES (?, ?)", (number, now)).rowcount == 1

    def move(self, old: int, new: int) -> None:
        """A group's id has changed."""
        self._base.execute("INSERT OR REPLACE INTO moved VALUES (?, ?)", (old, new))

    def present_id(self, chat: int) -> int:
        """A chat's id as it is now."""
        row = self._base.execute("SELECT new FROM moved WHERE old = ?", (chat,)).fetchone()
        return chat if row is None else int(row[0])

    def ahead(self, outbox: str) -> set[int]:
        """Which letters of an outbox are done with although one before them is not."""
        return {number for (number,) in self._base.execute("SELECT number FROM ahead WHERE outbox = ?", (outbox,))}

    def keep_ahead(self, outbox: str, number: int) -> None:
        """A letter is done with, and one before it is not."""
        self._base.execute("INSERT OR IGNORE INTO ahead VALUES (?, ?)", (outbox, number))

    def forget_ahead(self, outbox: str, mark: int) -> None:
        """Every letter up to this one is done with."""
        self._base.execute("DELETE FROM ahead WHERE outbox = ? AND number <= ?", (outbox, mark))

    def set_aside(self, outbox: str, number: int, strategy: str, text: str, why: str, now: float) -> None:
        """Keep a letter that Telegram refuses, for whoever looks for it."""
        self._base.execute(
            "INSERT OR REPLACE INTO aside VALUES (?, ?, ?, ?, ?, ?)", (outbox, number, strategy, text, why, now)
        )
        self._base.execute(
            "DELETE FROM aside WHERE rowid NOT IN (SELECT rowid FROM aside ORDER BY ts DESC LIMIT ?)", (MOST_ASIDE,)
        )

    def talked(self, who: Talker) -> None:
        """Someone wrote."""
        self._base.execute("INSERT OR REPLACE INTO talkers VALUES (?, ?, ?, ?)", (who.chat, who.user, who.name, who.ts))
        self._base.execute(
            "DELETE FROM talkers WHERE rowid NOT IN (SELECT rowid FROM talkers ORDER BY ts DESC LIMIT ?)",
            (MOST_TALKERS,),
        )

    def talkers(self) -> list[Talker]:
        """Who wrote, the last first."""
        return [Talker(*row) for row in self._base.execute("SELECT * FROM talkers ORDER BY ts DESC")]
