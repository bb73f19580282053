"""Write-ahead logs of SQLite copied into their files beside whoever writes: a checkpoint waits for the disk,
milliseconds on a good day, and the engine is not to.
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


class Checkpoints:
    """Makes one every `EVERY_S` and a last one when it is closed, on a thread and connections of its own. `before` is
    called before each."""

    def __init__(self, path: Path, before: Callable[[], None] = lambda: None) -> None:
        self._path = path
        self._before = before
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"checkpoints of {path.name}", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        last = False
        while not last:
            last = self._closing.wait(EVERY_S)
            try:
                self._before()
                base = sqlite3.connect(self._path, timeout=BUSY_S, isolation_level=None)
                base.execute(f"PRAGMA wal_checkpoint({'TRUNCATE' if last else 'PASSIVE'})")
                base.close()
            except sqlite3.Error as error:
                log.warning("%s: checkpoint: %s", self._path, error)

    def close(self) -> None:
        """Wait for the last one."""
        self._closing.set()
        self._thread.join()
