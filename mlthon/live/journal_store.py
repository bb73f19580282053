"""The journal's store: one SQLite file (WAL) with everything that was sent and everything that came of it.

Tables:

    events        every entry of the journal in order; details as MessagePack
    orders        each order as it was sent, and how it stands by its latest event
    fills         each execution once, by account, instrument and the exchange's id
    instruments   the instruments of orders and fills as they were then: ticks and lots count in their steps
    runs          the runs of this installation, numbered upwards; the installation's id stands in `meta`

An entry is one transaction, committed before `commit` returns; what has to be safe before a request leaves is one row,
the event, because each further page of the file that is touched costs as much again. With `durability="process"` it
outlives the process whenever that dies (synchronous=NORMAL: the system has the bytes, the disk may not yet); with
`"power"` it outlives a power cut too (synchronous=FULL: one fsync a commit). A thread of its own copies the write-ahead
log into the file, so that no request waits for that.

One process at a time writes a journal (a lock file beside it sees to that and goes with the process); whoever wants to
look (`JournalReader`: the guard, the command line) opens it read-only beside it.
"""

import logging
import os
import sqlite3
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from mlthon.basics.defs import TIF, Exchange, ExecInstructions, OrderStatus, OrderType
from mlthon.basics.instrument import Instrument
from mlthon.engine.entries import Entry, OpenOrder, Sent, Standing, StoreFailed
from mlthon.errors import UserError
from mlthon.live.journal_file import (
    BUSY_S,
    MOST_INTENTS,
    check_file,
    connect,
    fields_of,
    inodes,
    instrument_of,
    intent_blob,
    locked,
    make,
    make_rows,
    plain,
    show_intents,
    told,
)
from mlthon.live.journal_file import detail_of as detail_of
from mlthon.live.journal_group import GroupCommit
from mlthon.order.state import TERMINAL

log = logging.getLogger("mlthon.journal")

Durability = Literal["process", "power"]

CHECKPOINT_EVERY_S: Final = 2.0
_SYNCHRONOUS: Final = {"process": "NORMAL", "power": "FULL"}

_EVENT: Final = "INSERT INTO events (ts, run, exchange, account, kind, wire_id, detail) VALUES (?, ?, ?, ?, ?, ?, ?)"
_ORDER: Final = f"INSERT OR IGNORE INTO orders VALUES ({', '.join('?' * 24)})"
_FILL: Final = (
    "INSERT OR IGNORE INTO fills VALUES (?1, ?2, ?3, ?4, ?5, ?6, coalesce((SELECT strategy FROM orders "
    "WHERE exchange = ?1 AND account = ?2 AND wire_id = ?6), ?7), ?8, ?9, ?10, ?11, ?12, ?13, ?14)"
)
"""Its strategy is the one that sent the order, though it may not run any more."""
_STANDING: Final = (
    "UPDATE orders SET state = ?, exchange_id = ?, price = ?, qty = ?, leaves = ?, filled = ?, is_over = ? "
    "WHERE exchange = ? AND account = ? AND wire_id = ?"
)


class Holding(Struct, frozen=True, kw_only=True):
    """What a strategy holds by its own fills: `units` (10^-18 of the instrument's quantity), short negative."""

    strategy: str
    exchange: Exchange
    account: str
    number: int
    name: str
    units: int


class JournalReader:
    """A journal opened for looking at it. Raises `UserError` for a file that is missing, damaged or no journal."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.is_file():
            raise UserError(f"{path}: there is no such journal")
        with told(path):
            self._db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=BUSY_S)
            try:
                check_file(self._db, path)
                show_intents(self._db)
            except BaseException:
                self._db.close()
                raise
        self._instruments: dict[int, Instrument] = {}

    def close(self) -> None:
        self._db.close()

    def __enter__(self) -> "JournalReader":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """What a query gives. Raises `UserError` where the file is damaged."""
        with told(self.path):
            return self._db.execute(query, values).fetchall()

    def instrument(self, key: int) -> Instrument:
        """An instrument by its key in the table."""
        found = self._instruments.get(key)
        if found is None:
            ((fields,),) = self.rows("SELECT fields FROM instruments WHERE id = ?", key)
            found = self._instruments[key] = instrument_of(fields)
        return found

    @property
    def installation(self) -> str:
        """The id of this installation: four lower-case letters or digits."""
        ((value,),) = self.rows("SELECT value FROM meta WHERE key = 'installation'")
        return str(value)

    def open_orders(self, exchange: Exchange | None = None, account: str | None = None) -> list[OpenOrder]:
        """Every order of ours that was sent and is not known to be over, oldest first; of one exchange or account if
        asked for. Those that nobody here sent are left out."""
        found = self.rows(
            "SELECT wire_id, exchange, account, strategy, client_id, instrument, side, order_type, tif, exec_instr, "
            "sent_price, sent_qty, stop_price, close_position, created, state, exchange_id, price, qty, leaves, filled "
            "FROM orders WHERE is_over = 0 AND is_foreign = 0 ORDER BY created, wire_id"
        )
        every = (self._open_order(row) for row in found)
        return [each for each in every if exchange in (None, each.exchange) and account in (None, each.account)]

    def _open_order(self, row: tuple[Any, ...]) -> OpenOrder:
        wire_id, exchange, account, strategy, client_id, instrument, side, order_type, tif, instr = row[:10]
        sent_price, sent_qty, stop_price, close, created, state, exchange_id, price, qty, leaves, filled = row[10:]
        return OpenOrder(
            wire_id=wire_id,
            exchange=Exchange[exchange],
            account=account,
            sent=Sent(
                strategy=strategy,
                client_id=client_id,
                instrument=self.instrument(instrument),
                side=side,
                order_type=OrderType[order_type],
                tif=TIF[tif],
                exec_instr=ExecInstructions[instr],
                price=sent_price,
                qty=sent_qty,
                stop_price=stop_price,
                close_position=bool(close),
                created_ts=created,
            ),
            standing=Standing(
                state=OrderStatus[state], exchange_id=exchange_id, price=price, qty=qty, leaves=leaves, filled=filled
            ),
        )

    def exec_ids(self, exchange: Exchange, account: str, since: int) -> set[tuple[int, str]]:
        """(instrument number, execution id) of every known fill from `since` (ns) on."""
        query = "SELECT number, exec_id FROM fills WHERE exchange = ? AND account = ? AND ts >= ?"
        return set(self.rows(query, exchange.name, account, since))

    def last_execution_ts(self, exchange: Exchange, account: str) -> int | None:
        """When the latest known fill of the account was (ns); None: there is none."""
        query = "SELECT max(ts) FROM fills WHERE exchange = ? AND account = ?"
        ((latest,),) = self.rows(query, exchange.name, account)
        return None if latest is None else int(latest)

    def holdings(self) -> list[Holding]:
        """What each strategy holds by its fills; nothing that is flat."""
        rows = self.rows(
            "SELECT f.strategy, f.exchange, f.account, f.number, i.name, i.qty_step, sum(f.side * f.qty) FROM fills f "
            "JOIN instruments i ON i.id = f.instrument GROUP BY f.strategy, f.exchange, f.account, f.instrument "
            "ORDER BY 1, 2, 3, 4"
        )
        sums: dict[tuple[str, str, str, int], tuple[str, int]] = {}
        for strategy, exchange, account, number, name, step, lots in rows:
            key = (strategy, exchange, account, number)
            sums[key] = (name, sums.get(key, (name, 0))[1] + lots * int(step))
        return [
            Holding(strategy=key[0], exchange=Exchange[key[1]], account=key[2], number=key[3], name=name, units=units)
            for key, (name, units) in sums.items()
            if units
        ]


class SqliteJournal(JournalReader):
    """The journal of a live run: reads what earlier runs left, and is the store of this one.

    `run` and `installation` are what `mlthon.engine.tracker.Tracker` makes wire ids of. Raises `UserError` for a file
    that is damaged, no journal, of a newer version or in use by another process.
    """

    def __init__(self, path: Path, *, durability: Durability = "process", now: int) -> None:
        """`now`: the time (ns) at which the run starts."""
        self._durability = durability
        self._group: GroupCommit | None = None
        self._lock = locked(path)
        try:
            with told(path):
                make(path)
            super().__init__(path)
            with told(path):
                self._write = connect(path)
                self._write.execute(f"PRAGMA synchronous = {_SYNCHRONOUS[durability]}")
                self._write.execute("PRAGMA wal_autocheckpoint = 0")
                make_rows(self._write)
                self.run = self._begin_run(now)
        except BaseException:
            self._lock.close()
            raise
        self._keys: dict[Instrument, int] = {}
        self._rowless: list[Entry] = []
        """Orders of which only the first event is written."""
        self._since_rows = 0
        """How many entries have been written since all orders had their rows."""
        self._files = inodes(path)
        self._gone = ""
        """Which file was deleted, so that nothing that is written can be found again; empty: none."""
        self._closing = threading.Event()
        self._checkpoints = threading.Thread(target=self._checkpoint, name="journal checkpoints", daemon=True)
        self._checkpoints.start()

    def _begin_run(self, now: int) -> int:
        cursor = self._write.execute("INSERT INTO runs (started, pid) VALUES (?, ?)", (now, os.getpid()))
        return int(cursor.lastrowid or 0)

    def write_later(self, hand_over: Callable[[Callable[[], None]], object]) -> GroupCommit | None:
        """Who writes entries in a thread of its own, where each commit waits for the disk; None where none does.
        `hand_over` has a call made in the engine's thread."""
        if self._durability == "power" and self._group is None:
            self._group = GroupCommit(self.commit, hand_over)
        return self._group

    @property
    def waiting(self) -> int:
        """How many entries wait for the disk: none where each is written when it is handed in."""
        return 0 if self._group is None else self._group.waiting

    def flush(self) -> None:
        """Wait until everything that was handed in is written, not for ever."""
        if self._group is not None and not self._group.flush():
            log.error("%s: the disk does not take the journal's last entries", self.path)

    def end_run(self, now: int) -> None:
        """The run ended in order, at `now` (ns). A run of which that cannot be written has still ended."""
        self.flush()
        try:
            self._write.execute("UPDATE runs SET ended = ? WHERE number = ?", (now, self.run))
        except sqlite3.Error as error:
            log.error("%s: that the run has ended cannot be written: %s", self.path, error)

    def close(self) -> None:
        """Bring everything into the file and let others open it."""
        if self._group is not None:
            self._group.close()
        if self._rowless:
            try:
                self.commit(())
            except StoreFailed as error:
                log.warning("%s; the next run makes the rows of its last orders", error)
        self._closing.set()
        self._checkpoints.join()
        super().close()
        self._write.close()
        self._lock.close()

    # -- writing ---------------------------------------------------------------------------------------------------

    def commit(self, entries: Sequence[Entry]) -> None:
        if self._gone:
            raise StoreFailed(f"{self._gone} was deleted or replaced")
        before = len(self._keys)
        try:
            if len(entries) == 1 and _is_one_row(entries[0]) and self._since_rows < MOST_INTENTS:
                self._put_event(entries[0])
                self._since_rows += 1
            else:
                self._commit_all(entries)
        except (sqlite3.Error, OSError) as error:
            if len(self._keys) != before:
                self._keys.clear()
            self._roll_back()
            raise StoreFailed(f"{self.path}: {error}") from error
        self._rowless += [entry for entry in entries if entry.kind == "new"] if self._since_rows else []

    def _commit_all(self, entries: Sequence[Entry]) -> None:
        """In one transaction, and with them the rows of orders that have none yet."""
        db = self._write
        db.execute("BEGIN IMMEDIATE")
        for entry in self._rowless:
            self._put_order(entry)
        for entry in entries:
            self._put_event(entry)
            self._put_order(entry)
            self._put_fill(entry)
        db.execute("COMMIT")
        self._rowless = []
        self._since_rows = 0

    def _roll_back(self) -> None:
        try:
            if self._write.in_transaction:
                self._write.execute("ROLLBACK")
        except sqlite3.Error as error:
            log.debug("%s: rollback: %s", self.path, error)

    def _put_event(self, entry: Entry) -> None:
        """One row, which of a new order holds everything that was sent."""
        if entry.kind == "new" and entry.sent is not None and entry.standing is not None:
            detail = intent_blob(self._as_sent(entry.sent), _as_standing(entry.standing))
        else:
            detail = msgspec.msgpack.encode([plain(each) for each in entry.detail])
        where = (entry.exchange.name, entry.account, entry.kind, entry.wire_id)
        self._write.execute(_EVENT, (entry.ts, self.run, *where, detail))

    def _put_order(self, entry: Entry) -> None:
        standing, sent = entry.standing, entry.sent
        if standing is None:
            return
        where, values = (entry.exchange.name, entry.account, entry.wire_id), _as_standing(standing)
        if sent is not None:
            self._write.execute(_ORDER, (*where, self.run, *self._as_sent(sent), entry.kind == "foreign", *values))
        else:
            self._write.execute(_STANDING, (*values, *where))

    def _put_fill(self, entry: Entry) -> None:
        fill = entry.fill
        if fill is not None:
            number, key = fill.instrument.number, self._key(fill.instrument)
            what = (fill.exec_id, entry.wire_id, fill.strategy, fill.side, fill.price, fill.qty)
            where = (entry.exchange.name, entry.account, key, number)
            self._write.execute(_FILL, (*where, *what, str(fill.fee), fill.fee_coin, fill.maker, fill.ts))

    def _as_sent(self, sent: Sent) -> tuple[Any, ...]:
        return (
            sent.strategy,
            sent.client_id,
            self._key(sent.instrument),
            sent.side,
            sent.order_type.name,
            sent.tif.name,
            sent.exec_instr.name,
            sent.price,
            sent.qty,
            sent.stop_price,
            sent.close_position,
            sent.created_ts,
        )

    def _key(self, instrument: Instrument) -> int:
        """The key of the instrument with the steps that it has now; it is put into the table where it is new."""
        key = self._keys.get(instrument)
        if key is None:
            steps = (instrument.number, str(instrument.price_scale.step_units), str(instrument.qty_scale.step_units))
            self._write.execute(
                "INSERT OR IGNORE INTO instruments (number, price_step, qty_step, name, fields) VALUES (?, ?, ?, ?, ?)",
                (*steps, instrument.name, fields_of(instrument)),
            )
            query = "SELECT id FROM instruments WHERE number = ? AND price_step = ? AND qty_step = ?"
            key = self._keys[instrument] = int(self._write.execute(query, steps).fetchone()[0])
        return key

    def look(self) -> None:
        """See that the files are still those that were opened: SQLite goes on writing into one that was deleted."""
        self._gone = ", ".join(str(each) for each, inode in inodes(self.path).items() if inode != self._files[each])

    def _checkpoint(self) -> None:
        """Copy the write-ahead log into the file from time to time, on a connection of this thread's own."""
        try:
            db = connect(self.path)
        except sqlite3.Error as error:
            log.error("%s: no checkpoints: %s", self.path, error)
            return
        last = False
        failure = ""
        while not last:
            last = self._closing.wait(CHECKPOINT_EVERY_S)
            self.look()
            try:
                db.execute(f"PRAGMA wal_checkpoint({'TRUNCATE' if last else 'PASSIVE'})")
                failure = ""
            except sqlite3.Error as error:
                if str(error) != failure:
                    failure = str(error)
                    log.warning("%s: checkpoint: %s", self.path, error)
        db.close()


def _is_one_row(entry: Entry) -> bool:
    """Whether the entry's event says everything: a request, or an answer that changes nothing."""
    return entry.kind == "new" or (entry.standing is None and entry.fill is None)


def _as_standing(standing: Standing) -> tuple[Any, ...]:
    return (
        standing.state.name,
        standing.exchange_id,
        standing.price,
        standing.qty,
        standing.leaves,
        standing.filled,
        standing.state in TERMINAL,
    )
