"""The audit log: who asked the engine to do what, when, and what came of it.

One SQLite file (WAL) a state folder, appended to by the engines' processes alone. What is written holds no secrets:
callers name themselves (`telegram 4711 @anna`), and an action's parameters are cut to `LONGEST` characters.

What is older, or more, than is kept (`Retention`) is removed, the oldest first, a little at a time and beside the
engine; an entry says what went, so that nobody empties the log by filling it without leaving a trace.
"""

import logging
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

from attrs import frozen

from mlthon.engine.clock import SECOND
from mlthon.errors import UserError
from mlthon.ops.checkpoints import BUSY_S, NEVER, Checkpoints
from mlthon.ops.private import make_private

log = logging.getLogger("mlthon.ops")

LONGEST: Final = 500
"""Characters of an action's parameters that are kept."""
PRUNE_S: Final = 3600.0
"""How often it is looked whether there is too much."""
AT_ONCE: Final = 200
"""Entries that are removed in one transaction: for so long whoever writes may have to wait."""
ROUNDS: Final = 50
"""Transactions a look; what is left is removed at the next, which comes soon then."""
PAUSE_S: Final = 0.002
DAY: Final = 86_400 * SECOND
MEGABYTE: Final = 1_000_000

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


@frozen(kw_only=True)
class Retention:
    """How long entries are kept (days), and how much there may be of them (megabytes)."""

    days: float
    megabytes: float


def one_line(text: str, longest: int = LONGEST) -> str:
    """What may come from outside, as one line of a log: cut, and without what could pass for another line."""
    return "".join(each if each.isprintable() else "?" for each in text[:longest])


class AuditLog:
    """The file. Raises `UserError` where it cannot be opened."""

    def __init__(self, path: Path, *, engine: bool = False, keep: Retention | None = None) -> None:
        """`engine`: whoever writes must not wait for the disk. `keep`: what is more than that is removed; None: nothing
        is. Both go on beside whoever writes."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            make_private(path)  # before SQLite makes the files beside it, which are then as private
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
        self._keep = keep
        self._pruned = -PRUNE_S
        self._checkpoints = Checkpoints(path, self._tidy) if engine else None

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

    def _tidy(self) -> None:
        """Remove what is too much (called by the thread of checkpoints)."""
        if self._keep is None or time.monotonic() - self._pruned < PRUNE_S:
            return
        if prune(self.path, self._keep, time.time_ns()) < ROUNDS * AT_ONCE:
            self._pruned = time.monotonic()

    def close(self) -> None:
        if self._checkpoints is not None:
            self._checkpoints.close()
        self._base.close()


def prune(path: Path, keep: Retention, now: int) -> int:
    """Remove the oldest entries that are more than is kept at `now` (ns), as far as one look goes; how many went.
    Raises `sqlite3.Error`."""
    removed = 0
    with closing(sqlite3.connect(path, timeout=BUSY_S, isolation_level=None)) as base:
        for _ in range(ROUNDS):
            before = now + 1 if _megabytes(base) > keep.megabytes else now - round(keep.days * DAY)
            gone = base.execute(
                "DELETE FROM audit WHERE number IN (SELECT number FROM audit WHERE ts < ? ORDER BY number LIMIT ?)",
                (before, AT_ONCE),
            ).rowcount
            removed += gone
            if gone < AT_ONCE:
                break
            time.sleep(PAUSE_S)
        if removed:
            first = base.execute("SELECT min(ts) FROM audit").fetchone()[0] or now
            since = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(first / 1e9))
            told = f"{removed:,} old entries were removed; what is left begins at {since} UTC"
            base.execute(
                "INSERT INTO audit (ts, run, who, action, detail, outcome) VALUES (?, '', 'audit log', 'Prune', ?, ?)",
                (now, f"more than {keep.days:g} days or {keep.megabytes:g} MB", told),
            )
            log.info("the audit log: %s", told)
    return removed


def _megabytes(base: sqlite3.Connection) -> float:
    """What entries take; the file itself does not shrink, but what is free in it is used again."""
    pages, free, size = (
        int(base.execute(f"PRAGMA {name}").fetchone()[0]) for name in ("page_count", "freelist_count", "page_size")
    )
    return (pages - free) * size / MEGABYTE
