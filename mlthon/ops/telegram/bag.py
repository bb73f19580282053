"""The letters of one outbox: which were given out, which Telegram has.

The outbox has one mark: everything up to it is sent. Chats are not equally fast, so letters beyond the mark that are
done with are noted in the bot's store until the mark has come to them; a restart sends none of them again. Where that
cannot be written down (a full disk) letters are sent all the same, and the mark is set with the next one that can be.

One process at a time gives letters out: what is left of a run that was killed goes on for some seconds, and the next
run of the name is there already. Whoever comes second waits for the lock, which goes with its process.
"""

import fcntl
import logging
import os
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path

from mlthon.ops.letters import Message, OutboxReader, SentMark, sent_path
from mlthon.ops.private import open_private
from mlthon.ops.telegram.mail import Letter
from mlthon.ops.telegram.store import Store

log = logging.getLogger("mlthon.telegram")


class Bag:
    """See the module. Raises `UserError` where there is no outbox, OSError where its lock cannot be made."""

    def __init__(self, path: Path, store: Store) -> None:
        self._name = path.name
        self._store = store
        self._reader = OutboxReader(path)
        self._path = path
        self._lock = open_private(path.with_name(f"{path.name}.lock"))
        self._mark: SentMark | None = None
        """There as soon as the lock is held."""
        self._given = 0
        self._out: dict[int, None] = {}
        """Letters that are on their way, in order."""
        self._ahead: set[int] = set()
        self._failure = ""

    def more(self, most: int) -> Sequence[Message]:
        """Letters that were not given yet; none while the file cannot be read, which is logged."""
        try:
            if not self._mine():
                return ()
            found = self._reader.after(self._given, most)
        except (OSError, sqlite3.Error) as error:
            self._failed("the outbox cannot be read", error)
            return ()
        self._failure = ""
        if found:
            self._given = found[-1].number
        new = [each for each in found if each.number not in self._ahead]
        self._out.update((each.number, None) for each in new)
        return new

    def _mine(self) -> bool:
        """Whether this process gives the letters out. Raises `sqlite3.Error`."""
        if self._mark is None:
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                return False
            self._mark = SentMark(sent_path(self._path))
            self._given = self._mark.number
            self._ahead = self._store.ahead(self._name)
        return True

    def taken(self, number: int) -> None:
        """Telegram has it."""
        self._out.pop(number, None)
        try:
            self._note(number)
        except sqlite3.Error as error:
            self._failed("a restart may send messages again: what was sent cannot be written down", error)

    def _note(self, number: int) -> None:
        first = next(iter(self._out), None)
        mark = self._given if first is None else first - 1
        if self._mark is not None and mark > self._mark.number:
            self._mark.keep(mark)
            self._store.forget_ahead(self._name, mark)
        if number > mark:
            self._store.keep_ahead(self._name, number)

    def set_aside(self, letter: Letter, why: str) -> None:
        """Telegram will never take it."""
        try:
            self._store.set_aside(self._name, letter.number, letter.strategy, letter.text, why, time.time())
        except sqlite3.Error as error:
            self._failed("a message that Telegram refuses cannot be kept", error)
        self.taken(letter.number)

    def _failed(self, what: str, error: Exception) -> None:
        """Log it, once as long as nothing else happens."""
        told = f"{what}: {error}"
        if told != self._failure:
            self._failure = told
            log.error("%s", told)

    def close(self) -> None:
        self._reader.close()
        if self._mark is not None:
            self._mark.close()
        os.close(self._lock)
