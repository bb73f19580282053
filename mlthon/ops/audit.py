"""The audit log: who asked the engine to do what, when, and what came of it.

One SQLite file (WAL) a state folder, appended to by the engine's process alone. What is written holds no secrets:
callers name themselves (`telegram 4711 @anna`), and an action's parameters are cut to `LONGEST` characters.
"""

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from attrs import frozen

from mlthon.errors import UserError
from mlthon.ops.checkpoints import NEVER, Checkpoints

LONGEST: Final = 500
"""Characters of an action's parameters that are kept."""

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS audit (
    number INTEGER PRIMARY KEY, ts INTEGER NOT NULL, run TEXT NOT NULL, who TEXT NOT NULL, action TEXT NOT NULL,
    detail TEXT NOT NULL, outcome TEXT NOT NULL)
"""


@frozen
class AuditEntry:
    """One action: `ts` in ns, `run` the run's name, `outcome` is `done` or why not."""

    ts: int
    run: str
    who: str
    action: str
    detail: str
    outcome: str


def one_line(text: str, longest: int = LONGEST) -> str:
    """What may come from outside, as one line of a log: cut, and without what could pass for another line."""
    return "".join(each if each.isprintable() else "?" for each in text[:longest])


class AuditLog:
    """The file. Raises `UserError` where it cannot be opened."""

    def __init__(self, path: Path, *, engine: bool = False) -> None:
        """`engine`: whoever writes must not wait for the disk."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            path.touch(0o600)  # before SQLite makes the files beside it, which are then as private
            path.chmod(0o600)
            self._base = sqlite3.connect(path, isolation_level=None)
            self._base.execute("PRAGMA journal_mode=WAL")
            self._base.execute("PRAGMA synchronous=NORMAL")
            self._base.execute("PRAGMA busy_timeout=200")
            if engine:
                self._base.execute(NEVER)
            self._base.execute(_SCHEMA)
        except (OSError, sqlite3.Error) as error:
            raise UserError(f"{path}: the audit log cannot be opened: {error}", "Look at the state folder.") from None
        self.path = path
        self._checkpoints = Checkpoints(path) if engine else None

    def write(self, entry: AuditEntry) -> None:
        """Append. Raises `sqlite3.Error`; the caller decides whether the action goes on."""
        self._base.execute(
            "INSERT INTO audit (ts, run, who, action, detail, outcome) VALUES (?, ?, ?, ?, ?, ?)",
            (entry.ts, entry.run, *map(one_line, (entry.who, entry.action, entry.detail, entry.outcome))),
        )

    def last(self, count: int) -> Iterator[AuditEntry]:
        """The newest `count` entries, newest first."""
        rows = self._base.execute(
            "SELECT ts, run, who, action, detail, outcome FROM audit ORDER BY number DESC LIMIT ?", (count,)
        )
        return (AuditEntry(*row) for row in rows)

    def close(self) -> None:
        if self._checkpoints is not None:
            self._checkpoints.close()
        self._base.close()
