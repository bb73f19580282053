"""Recorded files as a `Source`: read through their importers, nothing stored.

Files are grouped by format and instrument and put in order of their first rows. What has been read stays in memory
while it is little; when the files are larger than `KEEP_BYTES` on disk, each stream of each run reads them anew, in
bounded memory but several times: import such recordings into a store (`mlthon.data.store`).
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from types import ModuleType
from typing import Final, cast

from mlthon.basics.instrument import Instrument
from mlthon.data.importers import binance, bitmex, candles, cryptofeed, oanda
from mlthon.data.importers.base import Block, Format, ReadOptions, RecordedFile
from mlthon.data.rows import Columns, Kind, Problem, Stream

FORMATS: Final = tuple(
    cast(Format, module) for module in cast(tuple[ModuleType, ...], (binance, bitmex, cryptofeed, oanda, candles))
)
KEEP_BYTES: Final = 64 << 20
"""Recordings up to this size (as they are on disk) are kept in memory once read: some 400 MB of rows."""


class Recording:
    """The files of one format and one instrument, in order of time; a `Source`."""

    def __init__(self, reader: Format, files: Sequence[RecordedFile], options: ReadOptions | None = None) -> None:
        self.files = tuple(sorted(files, key=lambda file: (file.start, str(file.path))))
        self.problems: list[Problem] = []
        """What could not be read, known once the rows have been read."""
        self._reader = reader
        self._options = options or ReadOptions()
        self._keep = sum(file.path.stat().st_size for file in self.files) <= KEEP_BYTES
        self._kept: Mapping[Kind, Sequence[Columns]] | None = None
        self._end: int | None = None

    @property
    def instrument(self) -> Instrument:
        return self.files[0].instrument

    @property
    def instruments(self) -> list[Instrument]:
        return [self.instrument]

    @property
    def start(self) -> int:
        return self.files[0].start

    @property
    def end(self) -> int | None:
        """Reads the files if they have not been read yet."""
        if self._end is None:
            chunks = [list(self.chunks(stream))[-1:] for stream in self.streams()] if self._keep else self._ends()
            self._end = max((int(chunk.recv_ts[-1]) for last in chunks for chunk in last), default=None)
        return self._end

    @property
    def notes(self) -> list[str]:
        """What a user should know who runs on them."""
        return [each for each in dict.fromkeys(file.note for file in self.files) if each]

    def streams(self) -> list[Stream]:
        kinds = {kind for file in self.files for kind in file.kinds}
        return [Stream(self.instrument, kind) for kind in sorted(kinds)]

    def chunks(self, stream: Stream) -> Iterator[Columns]:
        if stream.instrument != self.instrument:
            return
        if self._keep:
            yield from self._all().get(stream.kind, ())
            return
        for _, block in self.blocks():
            if stream.kind in block:
                yield block[stream.kind]

    def blocks(self) -> Iterator[tuple[RecordedFile, Block]]:
        """All kinds together, in blocks, in the order of the files, each with its file."""
        self.problems.clear()
        return self._reader.read(self.files, self._options, self.problems.append)

    def _all(self) -> Mapping[Kind, Sequence[Columns]]:
        if self._kept is None:
            kept: dict[Kind, list[Columns]] = {}
            for _, block in self.blocks():
                for kind, columns in block.items():
                    kept.setdefault(kind, []).append(columns)
            self._kept = kept
        return self._kept

    def _ends(self) -> list[list[Columns]]:
        last: dict[Kind, Columns] = {}
        for _, block in self.blocks():
            last.update(block)
        return [[columns] for columns in last.values()]


def group(found: Sequence[tuple[Format, RecordedFile]], options: ReadOptions | None = None) -> list[Recording]:
    """Recordings of files: one for each format and instrument."""

    def key(item: tuple[Format, RecordedFile]) -> tuple[str, int]:
        return item[0].NAME, item[1].instrument.instrument_id or 0

    recordings = []
    for _, items in groupby(sorted(found, key=key), key):
        members = list(items)
        recordings.append(Recording(members[0][0], [file for _, file in members], options))
    return recordings
