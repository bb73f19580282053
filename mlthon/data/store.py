"""The store: market data in Parquet files.

    STORE/exchange=BinanceUsdm/instrument=BTCUSDT/day=2024-07-18/quote.<source>.parquet

One schema a kind (`SCHEMAS`), compressed with zstd, pages with checksums. Values are integers, ticks and lots; the
file's metadata holds tick and lot as exact text and the definition of the instrument, so that a store is read without
the catalogue it was made with. The day is UTC's at receipt. `<source>` is a hash of the imported file's content:
importing a file again gives the same names, and a file that is there already with no fewer rows is left alone (the
same recording has more rows when it is imported together with the one whose book it continues). Files are written
under a name that begins with a dot and renamed when they are whole.

`Store` is a `Source`: it reads one row group at a time. What cannot be read is a `Problem`; a lost row group of a book
leaves a STALE row in its place.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import attrs
import numpy as np

from mlthon.basics.catalogue import IDS_PER_EXCHANGE, define
from mlthon.basics.defs import Exchange, InstrumentType, Quantification
from mlthon.basics.instrument import Instrument
from mlthon.data.importers.base import RecordedFile
from mlthon.data.recordings import Recording
from mlthon.data.rows import CHUNK_ROWS, Columns, Ints, Kind, Problem, Source, Stream
from mlthon.data.timing import HOLE
from mlthon.engine.clock import SECOND
from mlthon.engine.faces import STALE

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

SCHEMAS: Final[Mapping[Kind, tuple[str, str, str, str]]] = {
    Kind.QUOTE: ("bid", "bid_qty", "ask", "ask_qty"),
    Kind.TRADE: ("price", "qty", "side", "trade_id"),
    Kind.BOOK: ("op", "price", "qty", "level_id"),
}
"""The columns of each kind after `exch_ts` and `recv_ts`; all are int64. `mlthon.data.rows` says what they mean."""

VERSION: Final = "1"
_META: Final = b"mlthon"
_DAY: Final = 86_400 * SECOND
_SHORT: Final = 16


class NotAStore(ValueError):
    """A folder without any file of a store."""


def is_store(path: Path) -> bool:
    """Whether the folder looks like a store."""
    return path.is_dir() and any(path.glob("exchange=*"))


@attrs.frozen
class _Meta:
    """What a file says of itself."""

    instrument: Instrument
    kind: Kind
    tick: str
    lot: str
    start: int
    end: int
    source: str

    def to_bytes(self) -> bytes:
        return json.dumps(
            {
                "version": VERSION,
                "kind": self.kind.name,
                "tick": self.tick,
                "lot": self.lot,
                "start": self.start,
                "end": self.end,
                "source": self.source,
                "instrument": definition(self.instrument),
            },
            sort_keys=True,
        ).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> "_Meta":
        """Raises ValueError for what is no such description."""
        try:
            found = json.loads(data)
            if found["version"] != VERSION:
                raise ValueError(f"version {found['version']} of the store's format; this program reads {VERSION}")
            instrument = instrument_of(found["instrument"])
            return cls(
                instrument,
                Kind[found["kind"]],
                found["tick"],
                found["lot"],
                int(found["start"]),
                int(found["end"]),
                found["source"],
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"the description of the file lacks {error}") from error


def definition(instrument: Instrument) -> dict[str, Any]:
    """An instrument as JSON values, from which `instrument_of` makes it again."""
    if instrument.exchange is None or instrument.instrument_type is None or instrument.instrument_id is None:
        raise ValueError(f"{instrument} has no exchange, type or id and cannot be stored")
    return {
        "exchange": instrument.exchange.name,
        "symbol": instrument.symbol,
        "instrument_type": instrument.instrument_type.name,
        "mlt_symbol": instrument.mlt_symbol,
        "tick": instrument.price_scale.step.to_str(),
        "lot": instrument.qty_scale.step.to_str(),
        "quantification": None if instrument.quantification is None else instrument.quantification.name,
        "min_quantity": None if instrument.min_quantity is None else instrument.min_quantity.to_str(),
        "max_quantity": None if instrument.max_quantity is None else instrument.max_quantity.to_str(),
        "min_notional": None if instrument.min_notional is None else str(instrument.min_notional),
        "multiplier": None if instrument.multiplier is None else str(instrument.multiplier),
        "settle_currency": instrument.settle_currency,
        "valid_end_ts": instrument.valid_end_ts,
        "maker_fee": str(instrument.maker_fee or 0),
        "taker_fee": str(instrument.taker_fee or 0),
        "index": instrument.instrument_id % IDS_PER_EXCHANGE,
    }


def instrument_of(definition: Mapping[str, Any]) -> Instrument:
    """The instrument of a `definition`. Raises ValueError or KeyError for one that is none."""
    fields = dict(definition)
    exchange = Exchange[fields.pop("exchange")]
    symbol = fields.pop("symbol")
    instrument_type = InstrumentType[fields.pop("instrument_type")]
    mlt_symbol = fields.pop("mlt_symbol")
    fields["quantification"] = Quantification[fields["quantification"] or "Linear"]
    fields["multiplier"] = fields["multiplier"] or "1"
    return define(exchange, symbol, instrument_type, mlt_symbol, **fields)


# Writing


@attrs.frozen
class ImportProgress:
    """How far an import is."""

    file: str
    number: int
    """Of the file, from 1."""
    files: int
    rows: int
    """Rows read so far, of all files."""


@attrs.frozen
class ImportResult:
    files: int
    rows: int
    """Rows read from the files."""
    written: int
    """Parquet files written."""
    kept: int
    """Parquet files that were there already."""
    problems: tuple[Problem, ...]


def import_files(
    recordings: Sequence[Recording],
    store: Path,
    progress: Callable[[ImportProgress], None] | None = None,
    problems: Sequence[Problem] = (),
) -> ImportResult:
    """Write the rows of recordings (see `mlthon.data.sources.open_sources`) into a store, which is made if it is not
    there. `problems` are handed on in the result, before those found while reading."""
    files = sum(len(recording.files) for recording in recordings)
    found = list(problems)
    number = rows = written = kept = 0
    for recording in recordings:
        current: RecordedFile | None = None
        writer: _SourceWriter | None = None
        for file, block in recording.blocks():
            if file is not current or writer is None:
                if writer is not None:
                    writer.close()
                    written, kept = written + writer.written, kept + writer.kept
                number += 1
                current, writer = file, _SourceWriter(store, recording.instrument, _hash(file.path))
            for kind, columns in block.items():
                writer.write(kind, columns)
                rows += len(columns)
            if progress is not None:
                progress(ImportProgress(str(file.path), number, files, rows))
        if writer is not None:
            writer.close()
            written, kept = written + writer.written, kept + writer.kept
        found += recording.problems
    return ImportResult(files, rows, written, kept, tuple(found))


def store_rows(source: Source, store: Path, name: str) -> int:
    """Write the rows of a source that is no file (generated, or in memory) into a store, as one import called `name`;
    gives the number of rows. Rows written under the same name, kind and day before are kept as they are."""
    digest = hashlib.sha256(name.encode()).hexdigest()
    rows = 0
    for instrument in source.instruments:
        writer = _SourceWriter(store, instrument, digest)
        for stream in source.streams():
            if stream.instrument == instrument:
                for columns in source.chunks(stream):
                    writer.write(stream.kind, columns)
                    rows += len(columns)
        writer.close()
    return rows


class _SourceWriter:
    """Writes the rows of one imported file: one Parquet file for each kind and day."""

    def __init__(self, store: Path, instrument: Instrument, source: str) -> None:
        self._folder = folder_of(store, instrument)
        self._instrument = instrument
        self._source = source
        self._open: dict[Kind, _FileWriter] = {}
        self.written = 0
        self.kept = 0

    def write(self, kind: Kind, columns: Columns) -> None:
        days = columns.recv_ts // _DAY
        edges = [0, *(np.flatnonzero(np.diff(days)) + 1).tolist(), len(columns)]
        for first, last in pairwise(edges):
            self._file(kind, int(days[first])).write(columns[first:last])

    def close(self) -> None:
        for writer in self._open.values():
            self._finish(writer)
        self._open.clear()

    def _file(self, kind: Kind, day: int) -> "_FileWriter":
        writer = self._open.get(kind)
        if writer is None or writer.day != day:
            if writer is not None:
                self._finish(writer)
            writer = self._open[kind] = _FileWriter(self._folder, self._instrument, kind, day, self._source)
        return writer

    def _finish(self, writer: "_FileWriter") -> None:
        if writer.close():
            self.written += 1
        else:
            self.kept += 1


class _FileWriter:
    """One Parquet file, whole only when closed."""

    def __init__(self, folder: Path, instrument: Instrument, kind: Kind, day: int, source: str) -> None:
        self.day = day
        name = f"{kind.name.lower()}.{source[:_SHORT]}.parquet"
        text = datetime.fromtimestamp(day * 86_400, UTC).strftime("%Y-%m-%d")
        self._path = folder / f"day={text}" / name
        self._temporary = self._path.with_name(f".{name}.{os.getpid()}.part")
        self._instrument = instrument
        self._kind = kind
        self._source = source
        self._writer: pq.ParquetWriter | None = None
        self._waiting: list[Columns] = []
        self._start = 0
        self._end = 0
        self._rows = 0

    def write(self, columns: Columns) -> None:
        if not self._rows:
            self._start = int(columns.recv_ts[0])
        self._end = int(columns.recv_ts[-1])
        self._rows += len(columns)
        self._waiting.append(columns)
        if sum(map(len, self._waiting)) >= CHUNK_ROWS:
            self._flush()

    def close(self) -> bool:
        """Put the file in its place; False when one with no fewer rows is there already."""
        self._flush()
        if self._writer is None:
            return False
        meta = _Meta(
            self._instrument,
            self._kind,
            self._instrument.price_scale.step.to_str(),
            self._instrument.qty_scale.step.to_str(),
            self._start,
            self._end,
            self._source,
        )
        self._writer.add_key_value_metadata({_META.decode(): meta.to_bytes().decode()})
        self._writer.close()
        if _rows_in(self._path) >= self._rows:
            self._temporary.unlink()
            return False
        self._temporary.replace(self._path)
        return True

    def _flush(self) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        if not self._waiting:
            return
        columns = Columns.concat(self._waiting)
        self._waiting = []
        names = _names(self._kind)
        table = pa.table([pa.array(array) for array in columns.arrays()], names=names)
        if self._writer is None:
            self._temporary.parent.mkdir(parents=True, exist_ok=True)
            # A dictionary of values that hardly repeat costs more than it saves; differences of times are small.
            encodings = {"exch_ts": "DELTA_BINARY_PACKED", "recv_ts": "DELTA_BINARY_PACKED"}
            self._writer = pq.ParquetWriter(
                self._temporary,
                table.schema,
                compression="zstd",
                write_page_checksum=True,
                use_dictionary=list(names[2:]),
                column_encoding=encodings,
            )
        self._writer.write_table(table, row_group_size=CHUNK_ROWS)


def folder_of(store: Path, instrument: Instrument) -> Path:
    """Where a store keeps an instrument's days."""
    exchange = instrument.exchange.name if instrument.exchange is not None else ""
    return store / f"exchange={exchange}" / f"instrument={quote(instrument.symbol, safe='')}"


def _names(kind: Kind) -> tuple[str, ...]:
    return ("exch_ts", "recv_ts", *SCHEMAS[kind])


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _rows_in(path: Path) -> int:
    """How many rows a file holds; -1 when it is not there or cannot be read (then it is written anew)."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return int(pq.read_metadata(path).num_rows)
    except (OSError, pa.ArrowException):
        return -1


# Reading


@attrs.frozen
class StoredFile:
    """One Parquet file of a store."""

    path: Path
    meta: _Meta
    rows: int
    size: int
    """Bytes on disk."""


class Store:
    """A store as a `Source`. Its files are looked through once, when it is opened; one that cannot be read, or whose
    tick or lot is another than that of the instrument's other files, is a problem and left out."""

    def __init__(self, path: Path | str) -> None:
        """Raises NotAStore."""
        self.path = Path(path)
        if not is_store(self.path):
            raise NotAStore(f"{path} is not a store: it has no folder exchange=...")
        self.problems: list[Problem] = []
        self._files: dict[Stream, list[StoredFile]] = {}
        scales: dict[Instrument, tuple[str, str]] = {}
        for file in sorted(self.path.glob("exchange=*/instrument=*/day=*/[!.]*.parquet")):
            stored = self._look(file)
            if stored is None:
                continue
            meta = stored.meta
            scale = scales.setdefault(meta.instrument, (meta.tick, meta.lot))
            if scale != (meta.tick, meta.lot):
                what = f"tick {meta.tick} and lot {meta.lot}, other files of {meta.instrument} have {scale}"
                self._problem(file, f"{what}: keep them in stores of their own")
                continue
            self._files.setdefault(Stream(meta.instrument, meta.kind), []).append(stored)
        for files in self._files.values():
            files.sort(key=lambda stored: (stored.meta.start, stored.meta.end, str(stored.path)))

    @property
    def instruments(self) -> list[Instrument]:
        return list(dict.fromkeys(stream.instrument for stream in self._files))

    @property
    def start(self) -> int | None:
        return min((file.meta.start for files in self._files.values() for file in files), default=None)

    @property
    def end(self) -> int | None:
        return max((file.meta.end for files in self._files.values() for file in files), default=None)

    def streams(self) -> list[Stream]:
        return sorted(self._files, key=lambda stream: (stream.instrument.instrument_id or 0, stream.kind))

    def files(self, stream: Stream) -> Sequence[StoredFile]:
        """In order of time."""
        return tuple(self._files.get(stream, ()))

    def chunks(self, stream: Stream) -> Iterator[Columns]:
        last = 0
        for file in self.files(stream):
            if file.meta.start < last:
                self._problem(file.path, "overlaps with another file of the stream; only what comes after it is read")
            for columns in self._groups(file):
                # Rows of a time that other files already gave would be there twice.
                later = columns[int(np.searchsorted(columns.recv_ts, last)) :]
                if len(later):
                    yield later
                    last = int(later.recv_ts[-1])

    def receipt_times(self, stream: Stream) -> Iterator[Ints]:
        """The `recv_ts` column alone."""
        for file in self.files(stream):
            for table in self._tables(file, ["recv_ts"]):
                if table is not None:
                    yield table.column(0).to_numpy()

    def _groups(self, file: StoredFile) -> Iterator[Columns]:
        lost = False
        for table in self._tables(file, list(_names(file.meta.kind))):
            if table is None:
                lost = file.meta.kind is Kind.BOOK
                continue
            columns = Columns(*(column.to_numpy() for column in table.columns))
            if lost:
                yield _stale(columns)
                lost = False
            yield columns

    def _tables(self, file: StoredFile, columns: list[str]) -> "Iterator[pa.Table | None]":
        """The row groups of a file, None in place of one that cannot be read."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            reader = pq.ParquetFile(file.path, page_checksum_verification=True)
        except (OSError, pa.ArrowException) as error:
            self._problem(file.path, str(error))
            return
        with reader:
            for number in range(reader.num_row_groups):
                try:
                    yield reader.read_row_group(number, columns, use_threads=False)
                except (OSError, pa.ArrowException) as error:
                    first = reader.metadata.row_group(number).column(0)
                    what = f"row group {number} cannot be read: {error}"
                    self._problem(file.path, what, min(first.data_page_offset, first.dictionary_page_offset or 1 << 62))
                    yield None

    def _look(self, path: Path) -> StoredFile | None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            found = pq.read_metadata(path)
            described = (found.metadata or {}).get(_META)
            if described is None:
                raise ValueError("a Parquet file, but not one of a store")
            return StoredFile(path, _Meta.from_bytes(described), found.num_rows, path.stat().st_size)
        except (OSError, pa.ArrowException, ValueError) as error:
            self._problem(path, str(error))
            return None

    def _problem(self, path: Path, what: str, byte: int | None = None) -> None:
        problem = Problem(str(path), what, None, byte)
        if problem not in self.problems:
            self.problems.append(problem)


def _stale(columns: Columns) -> Columns:
    """A STALE row at the time of the first of these rows."""
    first = np.array([[columns.exch_ts[0], columns.recv_ts[0], STALE, 0, 0, 0]], np.int64)
    return Columns.from_table(first)


# What is in a store


@attrs.frozen
class StreamInfo:
    stream: Stream
    rows: int
    start: int
    """Receipt of the first row (ns)."""
    end: int
    files: int
    size: int
    """Bytes on disk."""
    tick: str
    lot: str
    holes: tuple[tuple[int, int], ...]
    """Over 10 minutes without a row: from when until when (ns)."""


@attrs.frozen
class StoreInfo:
    path: str
    streams: tuple[StreamInfo, ...]
    problems: tuple[Problem, ...]

    @property
    def rows(self) -> int:
        return sum(stream.rows for stream in self.streams)

    @property
    def size(self) -> int:
        return sum(stream.size for stream in self.streams)


def info(store: Store) -> StoreInfo:
    """What a store holds. Reads one column of everything, for the holes."""
    streams = tuple(_stream_info(store, stream) for stream in store.streams())
    return StoreInfo(str(store.path), streams, tuple(store.problems))


def _stream_info(store: Store, stream: Stream) -> StreamInfo:
    files = store.files(stream)
    holes: list[tuple[int, int]] = []
    last: int | None = None
    for times in store.receipt_times(stream):
        joined = times if last is None else np.concatenate([[last], times])
        before = np.flatnonzero(np.diff(joined) > HOLE)
        holes += zip(joined[before].tolist(), joined[before + 1].tolist(), strict=True)
        last = int(times[-1])
    return StreamInfo(
        stream,
        sum(file.rows for file in files),
        files[0].meta.start,
        max(file.meta.end for file in files),
        len(files),
        sum(file.size for file in files),
        files[0].meta.tick,
        files[0].meta.lot,
        tuple(holes),
    )
