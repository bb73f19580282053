"""Writing a store: recordings and other sources into Parquet files, one for each imported file, kind and day."""

import hashlib
import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs
import numpy as np

from mlthon.basics.instrument import Instrument
from mlthon.data.importers.base import RecordedFile
from mlthon.data.recordings import Recording
from mlthon.data.rows import CHUNK_ROWS, Columns, Kind, Problem, Source
from mlthon.data.store.files import META_KEY, Meta, StoredFile, column_names, folder_of, old_folder_of, stored_file
from mlthon.engine.clock import SECOND
from mlthon.engine.faces import STALE
from mlthon.errors import UserError

if TYPE_CHECKING:
    import pyarrow.parquet as pq

_DAY: Final = 86_400 * SECOND
_SHORT: Final = 16


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
    gaps: tuple[tuple[Instrument, int], ...] = ()
    """Where a book lost its thread (ns, of receipt): from there on it is unknown until the next snapshot."""


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
    gaps: list[tuple[Instrument, int]] = []
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
                if kind is Kind.BOOK:
                    lost = columns.recv_ts[columns.a == STALE]
                    gaps += [(recording.instrument, ts) for ts in lost.tolist()]
            if progress is not None:
                progress(ImportProgress(str(file.path), number, files, rows))
        if writer is not None:
            writer.close()
            written, kept = written + writer.written, kept + writer.kept
        found += recording.problems
    return ImportResult(files, rows, written, kept, tuple(found), tuple(gaps))


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
        self._store = store
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
            writer = self._open[kind] = _FileWriter(self._store, self._instrument, kind, day, self._source)
        return writer

    def _finish(self, writer: "_FileWriter") -> None:
        if writer.close():
            self.written += 1
        else:
            self.kept += 1


class _FileWriter:
    """One Parquet file, whole only when closed."""

    def __init__(self, store: Path, instrument: Instrument, kind: Kind, day: int, source: str) -> None:
        self.day = day
        name = f"{kind.name.lower()}.{source[:_SHORT]}.parquet"
        text = datetime.fromtimestamp(day * 86_400, UTC).strftime("%Y-%m-%d")
        self._path = folder_of(store, instrument) / f"day={text}" / name
        self._old_path = old_folder_of(store, instrument) / f"day={text}" / name
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
        """Put the file in its place; False when one with no fewer rows is there already. Raises UserError when that
        place is another instrument's."""
        self._flush()
        if self._writer is None:
            return False
        meta = Meta(
            self._instrument,
            self._kind,
            self._instrument.price_scale.step.to_str(),
            self._instrument.qty_scale.step.to_str(),
            self._start,
            self._end,
            self._source,
        )
        self._writer.add_key_value_metadata({META_KEY.decode(): meta.to_bytes().decode()})
        self._writer.close()
        there, before = _stored(self._path), _stored(self._old_path)
        if there is not None and there.meta.instrument != self._instrument:
            self._temporary.unlink()
            raise UserError(
                f"{self._path} holds rows of another instrument that is called {self._instrument} too",
                "Write this one into a store of its own.",
            )
        mine = [each for each in (there, before) if each is not None and each.meta.instrument == self._instrument]
        if any(each.rows >= self._rows for each in mine):
            self._temporary.unlink()
            return False
        self._temporary.replace(self._path)
        if before in mine:
            self._old_path.unlink()
        return True

    def _flush(self) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        if not self._waiting:
            return
        columns = Columns.concat(self._waiting)
        self._waiting = []
        names = column_names(self._kind)
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


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _stored(path: Path) -> StoredFile | None:
    """The file of this name; None when it is not there or cannot be read (then it is written anew)."""
    try:
        return stored_file(path)
    except ValueError:
        return None
