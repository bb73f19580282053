"""What a store holds: rows, times, sizes and holes of each stream."""

import attrs
import numpy as np

from mlthon.data.rows import Problem, Stream
from mlthon.data.store.reading import Store
from mlthon.data.timing import HOLE


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
