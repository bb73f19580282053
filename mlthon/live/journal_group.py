"""Group commit: a thread of its own writes entries, as many at once as have come while it wrote the last ones.

For `durability = "power"`, where each commit waits for the disk: whoever hands entries in goes on at once, and is
called back, in the engine's thread and in order, when they are safe. So requests leave the program later by one commit,
while nothing else waits (`mlthon.engine.journal`).

Where the store fails, those who wait are told why, once; the entries are kept, in order, and written with the next that
are handed in (none at all, for a second try).
"""

import logging
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from mlthon.engine.entries import Entry, StoreFailed

log = logging.getLogger("mlthon.journal")

FLUSH_S: Final = 2.0
"""How long a flush waits at most for a disk that does not answer."""

Done = Callable[[str], None]
"""Called with why entries could not be written; empty: they are safe."""


class Group:
    """What waits for the next commit, and whom it is told: everything but the thread. `commit` writes entries or raises
    `StoreFailed`. Implements `mlthon.engine.entries.DeferredStore` for whoever has groups taken and written."""

    def __init__(self, commit: Callable[[Sequence[Entry]], None]) -> None:
        self._commit = commit
        self._entries: list[Entry] = []
        self._waiting: list[Done] = []

    def submit(self, entries: Sequence[Entry], done: Done) -> None:
        """Have entries written after all that were submitted before."""
        self._entries += entries
        self._waiting.append(done)

    @property
    def waiting(self) -> int:
        """How many entries are not on the disk yet, but for those that are being written."""
        return len(self._entries)

    def take(self) -> tuple[list[Entry], list[Done]]:
        """What is to be written next, and who waits for it."""
        group = self._entries, self._waiting
        self._entries, self._waiting = [], []
        return group

    def put_back(self, entries: Sequence[Entry]) -> None:
        """Entries that could not be written are the first of the next group."""
        self._entries[:0] = entries

    def write(self, entries: Sequence[Entry]) -> str:
        """Commit; why it failed, or nothing."""
        if not entries:
            return ""
        try:
            self._commit(entries)
        except StoreFailed as error:
            return str(error)
        return ""


class GroupCommit(Group):
    """`commit` is only called in the thread. `hand_over` has a call made in the engine's thread, soon and in order."""

    def __init__(
        self, commit: Callable[[Sequence[Entry]], None], hand_over: Callable[[Callable[[], None]], object]
    ) -> None:
        super().__init__(commit)
        self._hand_over = hand_over
        self._lock = threading.Condition()
        self._busy = False
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    def submit(self, entries: Sequence[Entry], done: Done) -> None:
        with self._lock:
            super().submit(entries, done)
            self._lock.notify_all()

    def flush(self) -> bool:
        """Wait until everything submitted is written, not for ever; whether it is."""
        with self._lock:
            return self._lock.wait_for(lambda: not (self._waiting or self._busy), FLUSH_S) and not self._entries

    def close(self) -> None:
        """Write what is left and end the thread. Nobody is called back any more."""
        with self._lock:
            self._closing = True
            self._lock.notify_all()
        self._thread.join(FLUSH_S)
        if self._entries:
            log.error("the journal ended with %d entries that could not be written", len(self._entries))

    def _run(self) -> None:
        while True:
            with self._lock:
                self._lock.wait_for(lambda: self._waiting or self._closing)
                last = self._closing
                entries, waiting = self.take()
                self._busy = True
            reason = self.write(entries)
            with self._lock:
                self._busy = False
                if reason:
                    self.put_back(entries)
                self._lock.notify_all()
            if last:
                return
            self._hand_over(partial(tell, waiting, reason))


def tell(waiting: Sequence[Done], reason: str) -> None:
    """Call everybody back who waited for a group."""
    for done in waiting:
        done(reason)
