"""The journal's store: one SQLite file (WAL) with everything that was sent and everything that came of it.

Tables:

    events        every entry of the journal in order; details as MessagePack
    orders        each order as it was sent, and how it stands by its latest event
    fills         each execution once, by account, instrument and the exchange's id
    instruments   the instruments of orders and fills as they were then: ticks and lots count in their steps
    runs          the runs of this installation, numbered upwards; the installation's id stands in `meta`

An entry is one transaction, committed before `commit` returns. With `durability="process"` it outlives the process
whenever that dies (synchronous=NORMAL: the system has the bytes, the disk may not yet); with `"power"` it outlives a
power cut too (synchronous=FULL: one fsync an entry). A thread of its own copies the write-ahead log into the file, so
that no request waits for that.

One process at a time writes a journal (a lock file beside it sees to that and goes with the process); whoever wants to
look (`JournalReader`: the guard, the command line) opens it read-only beside it.
"""

import fcntl
import logging
import os
import secrets
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Literal

import msgspec
from msgspec import Struct

from mlthon.basics.defs import TIF, Exchange, ExecInstructions, InstrumentType, OrderStatus, OrderType, Quantification
from mlthon.basics.instrument import Cfd, Future, Instrument, Perpetual, Spot, TickRule
from mlthon.engine.journal import Entry, OpenOrder, Sent, Standing, StoreFailed
from mlthon.engine.tracker import DIGITS36
from mlthon.errors import UserError
from mlthon.order.state import TERMINAL

log = logging.getLogger("mlthon.journal")

Durability = Literal["process", "power"]

SCHEMA_VERSION: Final = 1
APPLICATION_ID: Final = 0x6D6C746A
"""`mltj`: marks the file as a journal of ours."""
CHECKPOINT_EVERY_S: Final = 2.0
_BUSY_S: Final = 1.0
_SYNCHRONOUS: Final = {"process": "NORMAL", "power": "FULL"}

_SCHEMA: Final = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE runs (number INTEGER PRIMARY KEY, started INTEGER NOT NULL, ended INTEGER, pid INTEGER NOT NULL);
CREATE TABLE instruments (
    id INTEGER PRIMARY KEY, number INTEGER NOT NULL, name TEXT NOT NULL,
    price_step TEXT NOT NULL, qty_step TEXT NOT NULL, fields BLOB NOT NULL, UNIQUE (number, price_step, qty_step));
CREATE TABLE orders (
    exchange TEXT NOT NULL, account TEXT NOT NULL, wire_id TEXT NOT NULL, run INTEGER NOT NULL,
    strategy TEXT NOT NULL, client_id TEXT NOT NULL, instrument INTEGER NOT NULL REFERENCES instruments,
    side INTEGER NOT NULL, order_type TEXT NOT NULL, tif TEXT NOT NULL, exec_instr TEXT NOT NULL,
    sent_price INTEGER NOT NULL, sent_qty INTEGER NOT NULL, stop_price INTEGER, close_position INTEGER NOT NULL,
    created INTEGER NOT NULL, is_foreign INTEGER NOT NULL,
    state TEXT NOT NULL, exchange_id TEXT NOT NULL, price INTEGER NOT NULL, qty INTEGER NOT NULL,
    leaves INTEGER NOT NULL, filled INTEGER NOT NULL, is_over INTEGER NOT NULL,
    PRIMARY KEY (exchange, account, wire_id)) WITHOUT ROWID;
CREATE INDEX open_orders ON orders (is_over) WHERE is_over = 0;
CREATE TABLE fills (
    exchange TEXT NOT NULL, account TEXT NOT NULL, instrument INTEGER NOT NULL REFERENCES instruments,
    number INTEGER NOT NULL, exec_id TEXT NOT NULL, wire_id TEXT NOT NULL, strategy TEXT NOT NULL,
    side INTEGER NOT NULL, price INTEGER NOT NULL, qty INTEGER NOT NULL, fee TEXT NOT NULL, fee_coin TEXT NOT NULL,
    maker INTEGER NOT NULL, ts INTEGER NOT NULL,
    PRIMARY KEY (exchange, account, number, exec_id)) WITHOUT ROWID;
CREATE INDEX fills_by_time ON fills (exchange, account, ts);
CREATE TABLE events (
    seq INTEGER PRIMARY KEY, ts INTEGER NOT NULL, run INTEGER NOT NULL, exchange TEXT NOT NULL, account TEXT NOT NULL,
    kind TEXT NOT NULL, wire_id TEXT NOT NULL, detail BLOB NOT NULL);
"""

_EVENT: Final = "INSERT INTO events (ts, run, exchange, account, kind, wire_id, detail) VALUES (?, ?, ?, ?, ?, ?, ?)"
_ORDER: Final = f"INSERT OR IGNORE INTO orders VALUES ({', '.join('?' * 24)})"
_FILL: Final = f"INSERT OR IGNORE INTO fills VALUES ({', '.join('?' * 14)})"
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
        with _told(path):
            self._db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=_BUSY_S)
            try:
                _check(self._db, path)
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
        with _told(self.path):
            return self._db.execute(query, values).fetchall()

    def instrument(self, key: int) -> Instrument:
        """An instrument by its key in the table."""
        found = self._instruments.get(key)
        if found is None:
            ((fields,),) = self.rows("SELECT fields FROM instruments WHERE id = ?", key)
            found = self._instruments[key] = _instrument(fields)
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
        self._lock = _locked(path)
        try:
            with _told(path):
                _make(path)
            super().__init__(path)
            with _told(path):
                self._write = _connect(path)
                self._write.execute(f"PRAGMA synchronous = {_SYNCHRONOUS[durability]}")
                self._write.execute("PRAGMA wal_autocheckpoint = 0")
                self.run = self._begin_run(now)
        except BaseException:
            self._lock.close()
            raise
        self._keys: dict[Instrument, int] = {}
        self._closing = threading.Event()
        self._checkpoints = threading.Thread(target=self._checkpoint, name="journal checkpoints", daemon=True)
        self._checkpoints.start()

    def _begin_run(self, now: int) -> int:
        cursor = self._write.execute("INSERT INTO runs (started, pid) VALUES (?, ?)", (now, os.getpid()))
        return int(cursor.lastrowid or 0)

    def end_run(self, now: int) -> None:
        """The run ended in order, at `now` (ns)."""
        with _told(self.path):
            self._write.execute("UPDATE runs SET ended = ? WHERE number = ?", (now, self.run))

    def close(self) -> None:
        """Bring everything into the file and let others open it."""
        self._closing.set()
        self._checkpoints.join()
        super().close()
        self._write.close()
        self._lock.close()

    # -- writing ---------------------------------------------------------------------------------------------------

    def commit(self, entries: Sequence[Entry]) -> None:
        db = self._write
        before = len(self._keys)
        try:
            db.execute("BEGIN IMMEDIATE")
            for entry in entries:
                self._put(entry)
            db.execute("COMMIT")
        except (sqlite3.Error, OSError) as error:
            if len(self._keys) != before:
                self._keys.clear()
            self._roll_back()
            raise StoreFailed(f"{self.path}: {error}") from error

    def _roll_back(self) -> None:
        try:
            if self._write.in_transaction:
                self._write.execute("ROLLBACK")
        except sqlite3.Error as error:
            log.debug("%s: rollback: %s", self.path, error)

    def _put(self, entry: Entry) -> None:
        db = self._write
        where = (entry.exchange.name, entry.account, entry.wire_id)
        detail = msgspec.msgpack.encode([_plain(each) for each in entry.detail])
        db.execute(_EVENT, (entry.ts, self.run, *where[:2], entry.kind, entry.wire_id, detail))
        standing, sent, fill = entry.standing, entry.sent, entry.fill
        if standing is not None:
            values = (
                standing.state.name,
                standing.exchange_id,
                standing.price,
                standing.qty,
                standing.leaves,
                standing.filled,
                standing.state in TERMINAL,
            )
            if sent is not None:
                db.execute(_ORDER, (*where, self.run, *self._as_sent(sent), entry.kind == "foreign", *values))
            else:
                db.execute(_STANDING, (*values, *where))
        if fill is not None:
            number, key = fill.instrument.number, self._key(fill.instrument)
            what = (fill.exec_id, entry.wire_id, fill.strategy, fill.side, fill.price, fill.qty)
            db.execute(_FILL, (*where[:2], key, number, *what, str(fill.fee), fill.fee_coin, fill.maker, fill.ts))

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
                (*steps, instrument.name, _fields(instrument)),
            )
            query = "SELECT id FROM instruments WHERE number = ? AND price_step = ? AND qty_step = ?"
            key = self._keys[instrument] = int(self._write.execute(query, steps).fetchone()[0])
        return key

    def _checkpoint(self) -> None:
        """Copy the write-ahead log into the file from time to time, on a connection of this thread's own."""
        try:
            db = _connect(self.path)
        except sqlite3.Error as error:
            log.error("%s: no checkpoints: %s", self.path, error)
            return
        last = False
        while not last:
            last = self._closing.wait(CHECKPOINT_EVERY_S)
            try:
                db.execute(f"PRAGMA wal_checkpoint({'TRUNCATE' if last else 'PASSIVE'})")
            except sqlite3.Error as error:
                log.warning("%s: checkpoint: %s", self.path, error)
        db.close()


# -- the file ------------------------------------------------------------------------------------------------------


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Turn what SQLite says of a file into what a user can do about it."""
    try:
        yield
    except sqlite3.OperationalError as error:
        raise UserError(f"{path}: the journal cannot be opened or read: {error}", _check_place(path)) from error
    except sqlite3.DatabaseError as error:
        raise UserError(
            f"{path}: the journal is damaged or no journal: {error}",
            "Keep the file, move it away together with its -wal file, and check open orders at the exchange before "
            "trading with a new one.",
        ) from error


def _check_place(path: Path) -> str:
    return f"Check that {path.parent} exists, can be written and has room."


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)


def _locked(path: Path) -> IO[str]:
    """The lock that keeps other processes from writing the journal; it goes with the process."""
    try:
        file = open(f"{path}.lock", "a+", encoding="ascii")  # noqa: SIM115 - stays open as long as the journal
    except OSError as error:
        raise UserError(f"{path}: the journal cannot be locked: {error.strerror}", _check_place(path)) from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.seek(0)
        holder = file.read().strip() or "unknown"
        file.close()
        raise UserError(
            f"{path}: the journal is in use by another process (id {holder})",
            "Stop that one first, or give this run a journal of its own.",
        ) from None
    file.truncate(0)
    file.write(f"{os.getpid()}\n")
    file.flush()
    return file


def _make(path: Path) -> None:
    """Make the file where there is none; one that was left empty while being made is made anew."""
    db = _connect(path)
    try:
        if db.execute("PRAGMA schema_version").fetchone()[0]:
            return
        installation = "".join(secrets.choice(DIGITS36) for _ in range(4))
        db.execute("PRAGMA journal_mode = WAL")
        db.executescript(
            f"BEGIN IMMEDIATE; {_SCHEMA} INSERT INTO meta VALUES ('installation', '{installation}'); "
            f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
        )
    finally:
        db.close()


def _check(db: sqlite3.Connection, path: Path) -> None:
    """Raise for what is no whole journal of this version."""
    ((application,),) = db.execute("PRAGMA application_id").fetchall()
    if application != APPLICATION_ID:
        raise UserError(f"{path} is no journal of mlthon", "Give another path.")
    ((version,),) = db.execute("PRAGMA user_version").fetchall()
    if version != SCHEMA_VERSION:
        raise UserError(
            f"{path}: the journal is of version {version}, and this mlthon reads version {SCHEMA_VERSION}",
            "Use the mlthon that wrote it, or a newer one.",
        )
    ((verdict,),) = db.execute("PRAGMA quick_check(1)").fetchall()
    if verdict != "ok":
        raise sqlite3.DatabaseError(verdict)


# -- values --------------------------------------------------------------------------------------------------------


def _plain(value: object) -> object:
    """A value that MessagePack can hold: integers over 64 bits become text."""
    if isinstance(value, int) and not -(1 << 63) <= value < 1 << 63:
        return str(value)
    return value


def detail_of(blob: bytes) -> list[Any]:
    """The details of an event, as they were given to the journal."""
    return list(msgspec.msgpack.decode(blob))


_CLASSES: Final[dict[str, type[Instrument]]] = {
    each.__name__: each for each in (Instrument, Spot, Perpetual, Future, Cfd)
}
_ENUMS: Final = {"instrument_type": InstrumentType, "exchange": Exchange, "quantification": Quantification}
_RULES: Final = ("price_tick_rules", "quantity_tick_rules")
_NAMES: Final = tuple(name for name in Instrument.__annotations__ if name != "TYPE")


def _fields(instrument: Instrument) -> bytes:
    """An instrument as MessagePack: its class and its fields, numbers as text."""
    kind = type(instrument).__name__
    fields: dict[str, Any] = {"class": kind if kind in _CLASSES else "Instrument"}
    for name in _NAMES:
        value = getattr(instrument, name)
        if value is None:
            continue
        if name in _ENUMS:
            fields[name] = value.name
        elif name in _RULES:
            fields[name] = [(str(rule.above), str(rule.step)) for rule in value]
        else:
            fields[name] = value if isinstance(value, (int, str)) else str(value)
    return msgspec.msgpack.encode(fields)


def _instrument(blob: bytes) -> Instrument:
    fields: dict[str, Any] = msgspec.msgpack.decode(blob)
    cls = _CLASSES[fields.pop("class")]
    for name, enum in _ENUMS.items():
        if name in fields:
            fields[name] = enum[fields[name]]
    for name in _RULES:
        if name in fields:
            fields[name] = tuple(TickRule(Decimal(above), Decimal(step)) for above, step in fields[name])
    return cls(**fields)
