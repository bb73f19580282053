"""Reading a store: its files as a `Source`, a row group at a time, and what in them cannot be read."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mlthon.basics.instrument import Instrument
from mlthon.data.rows import Columns, Ints, Kind, Problem, Stream
from mlthon.data.store.files import StoredFile, column_names, folder_of, old_folder_of, stored_file
from mlthon.engine.faces import STALE

if TYPE_CHECKING:
    import pyarrow as pa


class NotAStore(ValueError):
    """A folder without any file of a store."""


def is_store(path: Path) -> bool:
    """Whether the folder looks like a store."""
    return path.is_dir() and any(path.glob("exchange=*"))


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
        for table in self._tables(file, list(column_names(file.meta.kind))):
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
        try:
            stored = stored_file(path)
        except ValueError as error:
            self._problem(path, str(error))
            return None
        instrument = stored.meta.instrument
        if path.parents[1] not in (folder_of(self.path, instrument), old_folder_of(self.path, instrument)):
            where = folder_of(Path(), instrument)
            self._problem(path, f"holds rows of {instrument}, whose files stand in {where}: put it there")
            return None
        return stored

    def _problem(self, path: Path, what: str, byte: int | None = None) -> None:
        problem = Problem(str(path), what, None, byte)
        if problem not in self.problems:
            self.problems.append(problem)


def _stale(columns: Columns) -> Columns:
    """A STALE row at the time of the first of these rows."""
    first = np.array([[columns.exch_ts[0], columns.recv_ts[0], STALE, 0, 0, 0]], np.int64)
    return Columns.from_table(first)
