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


class GroupCommit:
    """`commit` writes entries or raises `StoreFailed`; it is only called in the thread. `hand_over` has a call made in
    the engine's thread, soon and in order. Implements `mlthon.engine.entries.DeferredStore`."""

    def __init__(
        self, commit: Callable[[Sequence[Entry]], None], hand_over: Callable[[Callable[[], None]], object]
    ) -> None:
        self._commit = commit
        self._hand_over = hand_over
        self._lock = threading.Condition()
        self._entries: list[Entry] = []
        self._waiting: list[Done] = []
        self._busy = False
        self._closing = False
        self._thread = threading.Thread(target=self._write, name="journal", daemon=True)
        self._thread.start()

    def submit(self, entries: Sequence[Entry], done: Done) -> None:
        """Have entries written after all that were submitted before."""
        with self._lock:
            self._entries += entries
            self._waiting.append(done)
            self._lock.notify_all()

    @property
    def waiting(self) -> int:
        """How many entries are not on the disk yet, but for those that are being written."""
        return len(self._entries)

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

    def _write(self) -> None:
        while True:
            with self._lock:
                self._lock.wait_for(lambda: self._waiting or self._closing)
                last = self._closing
                entries, self._entries = self._entries, []
                waiting, self._waiting = self._waiting, []
                self._busy = True
            reason = self._try(entries)
            with self._lock:
                self._busy = False
                if reason:
                    self._entries[:0] = entries
                self._lock.notify_all()
            if last:
                return
            self._hand_over(partial(_tell, waiting, reason))

    def _try(self, entries: Sequence[Entry]) -> str:
        """Commit; why it failed, or nothing."""
        if not entries:
            return ""
        try:
            self._commit(entries)
        except StoreFailed as error:
            return str(error)
        return ""


def _tell(waiting: Sequence[Done], reason: str) -> None:
    for done in waiting:
        done(reason)
