"""What waits for the disk, done beside whoever writes: milliseconds on a good day, and the engine is not to wait.

`Beside` is the thread on which that happens; `Checkpoints` are those of a write-ahead log of SQLite, which is copied
into its file.
"""

import logging
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

log = logging.getLogger("mlthon.ops")

EVERY_S: Final = 5.0
BUSY_S: Final = 0.2
NEVER: Final = "PRAGMA wal_autocheckpoint = 0"
"""For the connection of whoever writes, which then makes none itself."""


class Beside:
    """Calls `work` every `EVERY_S`, and a last time (told so) when it is closed. What it raises of files is logged."""

    def __init__(self, path: Path, work: Callable[[bool], None]) -> None:
        """`path`: of what is worked on, for the log."""
        self._path = path
        self._work = work
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"beside {path.name}", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        last = False
        while not last:
            last = self._closing.wait(EVERY_S)
            try:
                self._work(last)
            except (OSError, sqlite3.Error) as error:
                log.warning("%s: %s", self._path, error)

    def close(self) -> None:
        """Wait for the last one."""
        self._closing.set()
        self._thread.join()


class Checkpoints(Beside):
    """Makes checkpoints on connections of its own. `before` is called before each."""

    def __init__(self, path: Path, before: Callable[[], None] = lambda: None) -> None:
        self._before = before
        super().__init__(path, self._checkpoint)

    def _checkpoint(self, last: bool) -> None:
        try:
            self._before()
        finally:
            base = sqlite3.connect(self._path, timeout=BUSY_S, isolation_level=None)
            base.execute(f"PRAGMA wal_checkpoint({'TRUNCATE' if last else 'PASSIVE'})")
            base.close()
