"""The file of a journal: its tables, who may open it, and how values are written in it.

The tables are described in `mlthon.live.journal_store`. An order's row is made from its first event, which holds
everything that was sent, with the first later entry: what has to be safe before a request leaves is one row. Whoever
reads sees both as one table, `orders` (a view of the reader's connection).
"""

import fcntl
import os
import secrets
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from decimal import Decimal
from pathlib import Path
from typing import IO, Any, Final

import msgspec

from mlthon.basics.defs import Exchange, InstrumentType, Quantification
from mlthon.basics.instrument import Cfd, Future, Instrument, Perpetual, Spot, TickRule
from mlthon.engine.tracker import DIGITS36
from mlthon.errors import UserError

SCHEMA_VERSION: Final = 1
APPLICATION_ID: Final = 0x6D6C746A
"""`mltj`: marks the file as a journal of ours."""
BUSY_S: Final = 1.0

SCHEMA: Final = """
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

MOST_INTENTS: Final = 256
"""At most so many entries lie between an order's first event and the commit that makes its row."""
_COLUMNS: Final = (
    *("strategy", "client_id", "instrument", "side", "order_type", "tif", "exec_instr", "sent_price", "sent_qty"),
    *("stop_price", "close_position", "created"),
)
_STANDING_COLUMNS: Final = ("state", "exchange_id", "price", "qty", "leaves", "filled", "is_over")
_INTENTS: Final = f"""
SELECT e.exchange, e.account, e.wire_id, e.run,
    {", ".join(f"intent(e.detail, {place}) AS {name}" for place, name in enumerate(_COLUMNS))},
    0 AS is_foreign,
    {", ".join(f"intent(e.detail, {12 + place}) AS {name}" for place, name in enumerate(_STANDING_COLUMNS))}
FROM main.events e
WHERE e.seq > (SELECT max(seq) FROM main.events) - {2 * MOST_INTENTS} AND e.kind = 'new' AND length(e.detail) > 1
    AND NOT EXISTS (SELECT 1 FROM main.orders o
        WHERE o.exchange = e.exchange AND o.account = e.account AND o.wire_id = e.wire_id)
"""
"""The orders whose rows have not been made yet."""
_VIEW: Final = f"CREATE TEMP VIEW orders AS SELECT * FROM main.orders UNION ALL {_INTENTS}"


def _intent(detail: bytes, place: int) -> Any:
    return msgspec.msgpack.decode(detail)[place]


def show_intents(db: sqlite3.Connection) -> None:
    """Let the connection see orders whose rows have not been made yet."""
    db.create_function("intent", 2, _intent, deterministic=True)
    db.execute(_VIEW)


def make_rows(db: sqlite3.Connection) -> None:
    """Make the rows that an earlier run has not come to."""
    db.create_function("intent", 2, _intent, deterministic=True)
    db.execute(f"INSERT INTO main.orders {_INTENTS}")


def intent_blob(sent: Sequence[Any], standing: Sequence[Any]) -> bytes:
    """What the first event of an order holds: it as it was sent, and how it stands."""
    return msgspec.msgpack.encode([*map(plain, sent), *map(plain, standing)])


@contextmanager
def told(path: Path) -> Iterator[None]:
    """Turn what SQLite says of a file into what a user can do about it."""
    try:
        yield
    except sqlite3.OperationalError as error:
        raise UserError(f"{path}: the journal cannot be opened or read: {error}", _place(path)) from error
    except sqlite3.DatabaseError as error:
        raise UserError(
            f"{path}: the journal is damaged or no journal: {error}",
            "Keep the file, move it away together with its -wal file, and check open orders at the exchange before "
            "trading with a new one.",
        ) from error


def _place(path: Path) -> str:
    return f"Check that {path.parent} exists, can be written and has room."


def connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)


def inodes(path: Path) -> dict[Path, int]:
    """Which files on the disk the journal's are at present; 0: there is none."""
    found = {}
    for each in (path, Path(f"{path}-wal")):
        try:
            found[each] = each.stat().st_ino
        except OSError:
            found[each] = 0
    return found


def locked(path: Path) -> IO[str]:
    """The lock that keeps other processes from writing the journal; it goes with the process."""
    try:
        file = open(f"{path}.lock", "a+", encoding="ascii")  # noqa: SIM115 - stays open as long as the journal
    except OSError as error:
        raise UserError(f"{path}: the journal cannot be locked: {error.strerror}", _place(path)) from error
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
    try:
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
    except OSError as error:
        with suppress(OSError):  # what could not be flushed is tried again
            file.close()
        raise UserError(f"{path}: the journal cannot be locked: {error.strerror}", _place(path)) from error
    return file


def make(path: Path) -> None:
    """Make the file where there is none; one that was left empty while being made is made anew."""
    db = connect(path)
    try:
        if db.execute("PRAGMA schema_version").fetchone()[0]:
            return
        installation = "".join(secrets.choice(DIGITS36) for _ in range(4))
        db.execute("PRAGMA journal_mode = WAL")
        db.executescript(
            f"BEGIN IMMEDIATE; {SCHEMA} INSERT INTO meta VALUES ('installation', '{installation}'); "
            f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
        )
    finally:
        db.close()


def check_file(db: sqlite3.Connection, path: Path) -> None:
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


# -- values ----------------------------------------------------------------------------------------------------------


def plain(value: object) -> object:
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


def fields_of(instrument: Instrument) -> bytes:
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


def instrument_of(blob: bytes) -> Instrument:
    fields: dict[str, Any] = msgspec.msgpack.decode(blob)
    cls = _CLASSES[fields.pop("class")]
    for name, enum in _ENUMS.items():
        if name in fields:
            fields[name] = enum[fields[name]]
    for name in _RULES:
        if name in fields:
            fields[name] = tuple(TickRule(Decimal(above), Decimal(step)) for above, step in fields[name])
    return cls(**fields)
