"""Where strategies keep what outlives a run, an SQLite file each: those of Crypto Arsenal, and signal bots."""

import re
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from mlthon.config import RunConfig
from mlthon.engine.state import MemoryState, State
from mlthon.errors import UserError
from mlthon.live.state import state_folder

_TABLE: Final = "CREATE TABLE IF NOT EXISTS kept (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID"


class FileState:
    """A `State` in an SQLite file. Raises `UserError` where it cannot be opened."""

    def __init__(self, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._db = sqlite3.connect(path, isolation_level=None)
            # survives the death of this program; a write is some microseconds
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.execute(_TABLE)
        except (OSError, sqlite3.Error) as error:
            text = f"{path}: no place for a strategy's state: {error}"
            raise UserError(text, "Set ops.state or arsenal.state.") from None

    def get(self, key: str) -> str | None:
        row = self._db.execute("SELECT value FROM kept WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def put(self, key: str, value: str | None) -> None:
        if value is None:
            self._db.execute("DELETE FROM kept WHERE key = ?", (key,))
        else:
            self._db.execute("INSERT OR REPLACE INTO kept VALUES (?, ?)", (key, value))

    def items(self, prefix: str) -> Iterator[tuple[str, str]]:
        # the first text after all that begin so: keys are ASCII up to their own last part
        end = prefix[:-1] + chr(ord(prefix[-1]) + 1)
        yield from self._db.execute(
            "SELECT key, value FROM kept WHERE key >= ? AND key < ? ORDER BY key", (prefix, end)
        ).fetchall()

    def close(self) -> None:
        self._db.close()


def state_files(config: RunConfig, mode: str) -> Callable[[str], State]:
    """Where the Crypto Arsenal strategies of a run keep what outlives it: in the state folder, in a backtest in memory,
    or in the file that is configured."""
    named = config.arsenal.state

    def state(name: str) -> State:
        if named is not None:
            return FileState(Path(named).expanduser())
        return MemoryState() if mode == "backtest" else _in_folder(config, f"{name}.{mode}.arsenal")

    return state


def bot_state(config: RunConfig, name: str, where: str) -> State:
    """Where a signal bot in a run on live market data keeps what outlives it: in the state folder. `where` it trades:
    what it knows of a test network, of paper and of real money has nothing to do with one another."""
    return _in_folder(config, re.sub(r"[^\w.+-]", "_", f"{name}.{where}.signals"))


def _in_folder(config: RunConfig, file: str) -> FileState:
    folder = state_folder() if config.ops.state is None else Path(config.ops.state).expanduser()
    return FileState(folder / file)
