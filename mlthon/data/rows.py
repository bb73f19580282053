"""Market data as rows of integers: what is stored, replayed and hashed.

A row is one call of `MarketEvents`: its kind says which method, columns `a` to `d` are the method's arguments in
order, `exch_ts` and `recv_ts` its two times.

    kind    a     b         c     d
    QUOTE   bid   bid_qty   ask   ask_qty
    TRADE   price qty       side  trade_id
    BOOK    op    price     qty   level_id

Prices are ticks and quantities lots of the instrument, times nanoseconds since 1970 UTC. `exch_ts` is 0 where the
exchange gives no time (`mlthon.data.timing` derives one); `recv_ts` is the clock of the machine that recorded, which
may be wrong by seconds, or equals `exch_ts` where nothing was recorded.

A `Source` gives the rows of its streams in the order in which they were received, in chunks of bounded size.
"""

from collections.abc import Iterator, Mapping, Sequence
from enum import IntEnum
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, Protocol

import attrs
import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from mlthon.basics.instrument import Instrument

Ints = npt.NDArray[np.int64]

FIELDS: Final = ("exch_ts", "recv_ts", "a", "b", "c", "d")
WIDTH: Final = len(FIELDS)
CHUNK_ROWS: Final = 65_536
"""How many rows a chunk holds unless something else is asked for."""


class Kind(IntEnum):
    """Which method of `MarketEvents` a row calls. The numbers are stored and order events of one time."""

    QUOTE = 0
    TRADE = 1
    BOOK = 2
    FLOW = 3
    """No method of `MarketEvents`: an intention of the synthetic order flow, whose columns are that flow's own."""


@attrs.frozen
class Stream:
    """The rows of one kind of one instrument."""

    instrument: "Instrument"
    kind: Kind


@attrs.frozen
class Problem:
    """Something in a file that could not be read. `line` (from 1) and `byte` (from 0, in the uncompressed content)
    say where; None where the format has no such thing or the whole file is meant."""

    file: str
    what: str
    line: int | None = None
    byte: int | None = None

    def __str__(self) -> str:
        where = [self.file]
        if self.line is not None:
            where.append(f"line {self.line}")
        if self.byte is not None:
            where.append(f"byte {self.byte}")
        return f"{', '.join(where)}: {self.what}"


class Columns:
    """Rows of one stream, one int64 array a field, all of one length."""

    __slots__ = FIELDS

    def __init__(self, exch_ts: Ints, recv_ts: Ints, a: Ints, b: Ints, c: Ints, d: Ints) -> None:
        self.exch_ts = exch_ts
        self.recv_ts = recv_ts
        self.a = a
        self.b = b
        self.c = c
        self.d = d

    @classmethod
    def from_table(cls, table: Ints) -> "Columns":
        """From an array of shape (rows, 6)."""
        return cls(*np.ascontiguousarray(table.T))

    @classmethod
    def empty(cls) -> "Columns":
        return cls.from_table(np.empty((0, WIDTH), np.int64))

    @classmethod
    def concat(cls, parts: Sequence["Columns"]) -> "Columns":
        if len(parts) == 1:
            return parts[0]
        if not parts:
            return cls.empty()
        return cls(*(np.concatenate(arrays) for arrays in zip(*(part.arrays() for part in parts), strict=True)))

    def arrays(self) -> tuple[Ints, ...]:
        return (self.exch_ts, self.recv_ts, self.a, self.b, self.c, self.d)

    def __len__(self) -> int:
        return len(self.exch_ts)

    def __getitem__(self, rows: slice) -> "Columns":
        return Columns(*(array[rows] for array in self.arrays()))

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Columns):
            return all(map(np.array_equal, self.arrays(), other.arrays()))
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Columns({len(self)} rows)"


class Source(Protocol):
    """Recorded market data: streams of rows."""

    @property
    def instruments(self) -> "Sequence[Instrument]": ...

    @property
    def start(self) -> int | None:
        """The earliest `recv_ts` (ns), None when there are no rows."""

    @property
    def end(self) -> int | None:
        """The latest `recv_ts` (ns), None when there are no rows."""

    def streams(self) -> Sequence[Stream]: ...

    def chunks(self, stream: Stream) -> Iterator[Columns]:
        """The stream's rows in the order of receipt (`recv_ts` never falls), none of the chunks empty."""


class RowLists:
    """A `MarketEvents` that keeps what it is told as rows, in three flat lists; `take` hands them over."""

    __slots__ = ("_book", "_lists", "_quotes", "_trades")

    def __init__(self) -> None:
        self._quotes: list[int] = []
        self._trades: list[int] = []
        self._book: list[int] = []
        self._lists: Mapping[Kind, list[int]] = {
            Kind.QUOTE: self._quotes,
            Kind.TRADE: self._trades,
            Kind.BOOK: self._book,
        }

    def quote(self, bid: int, bid_qty: int, ask: int, ask_qty: int, exch_ts: int, recv_ts: int) -> None:
        self._quotes += (exch_ts, recv_ts, bid, bid_qty, ask, ask_qty)

    def trade(self, price: int, qty: int, side: int, trade_id: int, exch_ts: int, recv_ts: int) -> None:
        self._trades += (exch_ts, recv_ts, price, qty, side, trade_id)

    def book(self, op: int, price: int, qty: int, level_id: int, exch_ts: int, recv_ts: int) -> None:
        self._book += (exch_ts, recv_ts, op, price, qty, level_id)

    def __len__(self) -> int:
        """How many rows wait to be taken."""
        return sum(map(len, self._lists.values())) // WIDTH

    def full(self, rows: int) -> bool:
        """Whether one of the kinds has so many rows."""
        values = rows * WIDTH
        return len(self._book) >= values or len(self._quotes) >= values or len(self._trades) >= values

    def take(self) -> dict[Kind, Columns]:
        """The rows since the last call, kinds without rows left out."""
        taken: dict[Kind, Columns] = {}
        for kind, values in self._lists.items():
            if values:
                taken[kind] = Columns.from_table(np.array(values, np.int64).reshape(-1, WIDTH))
                values.clear()
        return taken


class MemorySource:
    """Rows that are already in memory."""

    def __init__(self, rows: Mapping[Stream, Columns], chunk_rows: int = CHUNK_ROWS) -> None:
        """Raises ValueError for a stream whose `recv_ts` falls or whose columns differ in length."""
        self._rows = {stream: columns for stream, columns in rows.items() if len(columns)}
        self._chunk_rows = chunk_rows
        for stream, columns in self._rows.items():
            _check(stream, columns)

    @classmethod
    def from_arrays(cls, rows: Mapping[Stream, Mapping[str, Any]]) -> "MemorySource":
        """From arrays by field name; `recv_ts` may be left out (then it equals `exch_ts`), and so may `c` and `d`
        (then they are 0)."""
        return cls({stream: _columns(arrays) for stream, arrays in rows.items()})

    @property
    def instruments(self) -> "list[Instrument]":
        return list(dict.fromkeys(stream.instrument for stream in self._rows))

    @property
    def start(self) -> int | None:
        return min((int(columns.recv_ts[0]) for columns in self._rows.values()), default=None)

    @property
    def end(self) -> int | None:
        return max((int(columns.recv_ts[-1]) for columns in self._rows.values()), default=None)

    def streams(self) -> list[Stream]:
        return list(self._rows)

    def chunks(self, stream: Stream) -> Iterator[Columns]:
        columns = self._rows.get(stream)
        return iter(()) if columns is None else slices(columns, self._chunk_rows)


def slices(columns: Columns, rows: int) -> Iterator[Columns]:
    """The same rows in pieces of at most `rows`."""
    for first, last in pairwise((*range(0, len(columns), rows), len(columns))):
        yield columns[first:last]


def _columns(arrays: Mapping[str, Any]) -> Columns:
    exch_ts = np.ascontiguousarray(arrays["exch_ts"], np.int64)
    given = {"recv_ts": exch_ts, **arrays}
    nothing = np.zeros(len(exch_ts), np.int64)
    rest = (np.ascontiguousarray(given[name], np.int64) if name in given else nothing for name in FIELDS[1:])
    return Columns(exch_ts, *rest)


def _check(stream: Stream, columns: Columns) -> None:
    if len({len(array) for array in columns.arrays()}) > 1:
        raise ValueError(f"the columns of {stream} differ in length: {[len(array) for array in columns.arrays()]}")
    falls = np.flatnonzero(np.diff(columns.recv_ts) < 0)
    if len(falls):
        raise ValueError(f"recv_ts of {stream} falls at row {falls[0] + 1}: sort the rows by time")
