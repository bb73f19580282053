"""Replay: the streams of all sources merged by time into batches of plain lists.

A row that takes effect on the exchange at one time and is heard of later becomes two rows: phase `EXCHANGE` at its
exchange time and phase `FEED` at its time of receipt (`mlthon.data.timing`); without feed latency it is one row of
phase `BOTH`. A lane is one stream in one phase, and the number in a batch's `stream` column is its lane's.

Order: by time; at one time what happens on the exchange comes before what is heard of it, a quote before a trade, a
trade before the book, then streams in the order of the sources; rows of one stream keep their order. Nothing depends
on how the sources cut their chunks: lanes are read until each holds rows past a common time, and what lies before
that time is sorted (stable, vectorised). Memory is bounded by a few chunks a lane.

Where nothing happens for over 10 minutes in the merged data, a `Gap` stands between two batches.

With `start`, earlier rows are not replayed but what they left behind is: at `start` each stream gives its last quote
and its book.
"""

from collections.abc import Iterator, Sequence
from enum import IntEnum
from itertools import pairwise
from typing import Final, Protocol

import attrs
import numpy as np

from mlthon.data.rows import Columns, Ints, Kind, Source, Stream
from mlthon.data.timing import ClockOffsets, FeedModel, FeedTiming, StreamClock
from mlthon.engine.clock import NEVER, SECOND
from mlthon.engine.faces import LIVE, ORDER_ASK, ORDER_BID, RESET, STALE

GAP: Final = 600 * SECOND
"""A hole in the data longer than this (ns) is a `Gap`."""


class Phase(IntEnum):
    """On whom a row takes effect."""

    EXCHANGE = 0
    BOTH = 1
    FEED = 2


BATCH_ROWS: Final = 2_048
"""Rows of a batch unless something else is asked for: few enough for its numbers to stay in the processor's cache,
which makes going through them a third faster than with 65,536."""

Lane = tuple[Stream, Phase]

_FIELDS: Final = ("ts", "stream", "a", "b", "c", "d", "exch_ts")
_TIMES: Final = ("ts", "exch_ts")


class Hash(Protocol):
    """What hashlib's objects are."""

    def update(self, data: bytes, /) -> None: ...


@attrs.frozen
class Gap:
    """Nothing happened after `start` and before `end` (ns), the times of the rows either side."""

    start: int
    end: int


class Batch:
    """Rows in order of time, one list a field (`ts`, `stream`, `a`, `b`, `c`, `d`, `exch_ts`), each made when it is
    first asked for. `stream[i]` is the number of row i's lane in `Replay.lanes`. `arrays`: the same fields as arrays.
    `moved`: how much later (ns) than recorded it is played; `ts` and `exch_ts` say when, arrays and digest do not."""

    __slots__ = ("a", "arrays", "b", "c", "d", "exch_ts", "moved", "stream", "ts")

    ts: list[int]
    stream: list[int]
    a: list[int]
    b: list[int]
    c: list[int]
    d: list[int]
    exch_ts: list[int]

    def __init__(self, ts: Ints, lanes: Ints, a: Ints, b: Ints, c: Ints, d: Ints, exch_ts: Ints) -> None:
        self.arrays = (ts, lanes, a, b, c, d, exch_ts)
        self.moved = 0

    def __getattr__(self, name: str) -> list[int]:
        """The list of a field that has not been asked for yet."""
        if name not in _FIELDS:
            raise AttributeError(f"a batch has no {name!r}")
        column: list[int]
        if name == "exch_ts" and self.one_time:
            column = self.ts
        else:
            array = self.arrays[_FIELDS.index(name)]
            column = (array + self.moved if self.moved and name in _TIMES else array).tolist()
        setattr(self, name, column)
        return column

    @property
    def one_time(self) -> bool:
        """Whether every row is heard of when it happens."""
        return self.arrays[6] is self.arrays[0]

    def __len__(self) -> int:
        return len(self.arrays[0])

    def count(self, lane: int, first: int, last: int) -> int:
        """How many of the rows from `first` until before `last` belong to this lane or a later one."""
        return int(np.count_nonzero(self.arrays[1][first:last] >= lane))

    def digest_into(self, digest: Hash) -> None:
        """Feed the rows to a hashlib object, row by row as little-endian int64: the digest of a run of batches depends
        on the rows alone, not on where the batches are cut."""
        rows = np.empty((len(self), len(self.arrays)), "<i8")
        for number, array in enumerate(self.arrays):
            rows[:, number] = array
        digest.update(rows.data.cast("B"))  # type: ignore[arg-type]


class _LaneRows:
    """Rows of one lane that wait to be merged: ts, a, b, c, d, exch_ts."""

    __slots__ = ("arrays", "number", "phase")

    def __init__(self, phase: Phase) -> None:
        self.phase = phase
        self.number = 0
        self.arrays: list[Ints] = [np.empty(0, np.int64)] * 6

    def __len__(self) -> int:
        return len(self.arrays[0])

    @property
    def last(self) -> int:
        return int(self.arrays[0][-1])

    def add(self, arrays: Sequence[Ints]) -> None:
        if len(self):
            self.arrays = [np.concatenate(pair) for pair in zip(self.arrays, arrays, strict=True)]
        else:
            self.arrays = list(arrays)

    def take_before(self, ts: int) -> list[Ints]:
        """Remove and return the rows with times below `ts`."""
        count = int(np.searchsorted(self.arrays[0], ts)) if ts < NEVER else len(self)
        taken = [array[:count] for array in self.arrays]
        self.arrays = [array[count:] for array in self.arrays]
        return taken


class _Reader:
    """One stream of one source: reads chunks and lays their rows into its lanes."""

    __slots__ = ("_chunks", "_clock", "_openings", "done", "lanes", "stream")

    def __init__(self, source: Source, stream: Stream, clock: StreamClock, phases: Sequence[Phase], start: int) -> None:
        self.stream = stream
        self.done = False
        self.lanes = [_LaneRows(phase) for phase in phases]
        self._clock = clock
        self._chunks = source.chunks(stream)
        self._openings = [Opening(stream.kind, start) if start else None for _ in phases]

    def short(self) -> bool:
        return not self.done and not all(map(len, self.lanes))

    def bound(self) -> int:
        """No row with a time below this is still to come."""
        return NEVER if self.done else min(lane.last for lane in self.lanes)

    def read(self) -> None:
        """Lay one more chunk into the lanes, or find that there is none."""
        chunk = next(self._chunks, None)
        if chunk is None:
            self.done = True
            self._close()
            return
        exch, recv = self._clock.times(chunk)
        for number, lane in enumerate(self.lanes):
            ts = recv if lane.phase is Phase.FEED else exch
            arrays: Sequence[Ints] = (ts, chunk.a, chunk.b, chunk.c, chunk.d, exch)
            opening = self._openings[number]
            if opening is not None:
                arrays = opening.pass_on(arrays)
                if opening.over:
                    self._openings[number] = None
            lane.add(arrays)

    def _close(self) -> None:
        """The data ended: what was left behind before the start stands, though no row follows."""
        for number, (lane, opening) in enumerate(zip(self.lanes, self._openings, strict=True)):
            if opening is not None:
                lane.add(opening.rows())
                self._openings[number] = None


def clocks_of(sources: Sequence[Source], timing: FeedTiming) -> list[tuple[Source, Stream, StreamClock]]:
    """Each stream of the sources with a clock that gives its rows the times of a replay. Clock offsets are estimated
    once an instrument of a source, when they are first needed."""
    made: dict[tuple[int, object], ClockOffsets] = {}
    found: list[tuple[Source, Stream, StreamClock]] = []
    for source in sources:
        for stream in source.streams():
            key = (id(source), stream.instrument)
            if key not in made:
                streams = [other for other in source.streams() if other.instrument == stream.instrument]
                rows = [(other.kind, _Chunks(source, other)) for other in streams]
                made[key] = ClockOffsets(rows, timing.offset_ms)
            seed = (len(found), stream.instrument.instrument_id or 0, stream.kind)
            found.append((source, stream, StreamClock(timing, made[key], seed)))
    return found


class Opening:
    """What the rows of a stream before `start` leave behind: the last quote, or the book."""

    __slots__ = ("_complete", "_exch_ts", "_kind", "_levels", "_quote", "_seen", "_start", "over")

    def __init__(self, kind: Kind, start: int) -> None:
        self._kind = kind
        self._start = start
        self._quote: tuple[int, ...] | None = None
        self._levels: dict[tuple[int, int], tuple[int, int, int, int]] = {}
        self._seen = False
        self._complete = False
        self._exch_ts = 0
        self.over = False

    def pass_on(self, arrays: Sequence[Ints]) -> list[Ints]:
        """Take in the rows before the start; return those from it on, led by what the earlier ones left behind."""
        count = int(np.searchsorted(arrays[0], self._start))
        if count:
            self._take_in([array[:count] for array in arrays])
        rest = [array[count:] for array in arrays]
        if not len(rest[0]):
            return rest
        return [np.concatenate(pair) for pair in zip(self.rows(), rest, strict=True)]

    def rows(self) -> list[Ints]:
        """What was left behind, as rows at the start."""
        self.over = True
        rows = [(self._start, *row, self._exch_ts) for row in self._left()]
        return list(np.ascontiguousarray(np.array(rows, np.int64).reshape(-1, 6).T))

    def _left(self) -> list[tuple[int, ...]]:
        if self._quote is not None:
            return [self._quote]
        if not self._seen:
            return []
        end = [(LIVE, 0, 0, 0)] if self._complete else []
        return [(RESET, 0, 0, 0), *self._levels.values(), *end]

    def _take_in(self, arrays: Sequence[Ints]) -> None:
        self._exch_ts = int(arrays[5][-1])
        rows = [array.tolist() for array in arrays[1:5]]
        if self._kind is Kind.QUOTE:
            self._quote = tuple(column[-1] for column in rows)
        elif self._kind is Kind.BOOK:
            for row in zip(*rows, strict=True):
                self._book(row)

    def _book(self, row: tuple[int, int, int, int]) -> None:
        op, price, qty, level_id = row
        if op in (RESET, STALE):
            self._levels.clear()
            self._complete = False
            self._seen = op == RESET
        elif op == LIVE:
            self._complete = True
        else:
            key = (op, level_id if op in (ORDER_BID, ORDER_ASK) else price)
            if qty:
                self._levels[key] = row
            else:
                self._levels.pop(key, None)


class Replay:
    """Iterate for `Batch`es and `Gap`s; each iteration starts from the beginning."""

    def __init__(
        self,
        sources: Sequence[Source],
        timing: FeedTiming | None = None,
        start: int | None = None,
        end: int | None = None,
        rows: int = BATCH_ROWS,
    ) -> None:
        """`start` and `end`: replay what happens or is heard of from `start` until before `end` (ns). `rows`: the
        largest batch."""
        if start is not None and end is not None and end <= start:
            raise ValueError(f"the end of the replay ({end}) must come after its start ({start})")
        if rows < 1:
            raise ValueError(f"a batch needs at least one row, not {rows}")
        self._timing = timing or FeedTiming()
        self._start = start or 0
        self._end = NEVER if end is None else end
        self._rows = rows
        self._sources = list(sources)
        self._streams = [(source, stream) for source in sources for stream in source.streams()]
        phases = [Phase.BOTH] if self._timing.model is FeedModel.NONE else [Phase.EXCHANGE, Phase.FEED]
        self._phases: Final = phases
        self._order = sorted(
            ((phase, stream.kind, number) for number, (_, stream) in enumerate(self._streams) for phase in phases)
        )
        self.lanes: list[Lane] = [(self._streams[number][1], phase) for phase, _, number in self._order]
        """`lanes[n]` is `(stream, phase)` for the number n in a batch's `stream`."""

    @property
    def first_heard(self) -> int:
        """The lanes from this number on are heard of by strategies; those before are the exchange's side of them."""
        return sum(phase is Phase.EXCHANGE for _, phase in self.lanes)

    @property
    def streams(self) -> list[Stream]:
        return [stream for _, stream in self._streams]

    def digest_into(self, digest: Hash) -> None:
        """Feed what the numbers of the lanes mean to a hashlib object."""
        for stream, phase in self.lanes:
            name = f"{stream.instrument.instrument_id} {stream.kind.name} {phase.name}\n"
            digest.update(name.encode())

    def __iter__(self) -> Iterator[Batch | Gap]:
        last: int | None = None
        for arrays in self._merged():
            ts = arrays[0]
            holes = (np.flatnonzero(np.diff(ts) > GAP) + 1).tolist()
            if last is not None and int(ts[0]) - last > GAP:
                yield Gap(last, int(ts[0]))
            edges = [0, *holes, len(ts)]
            for first, end in pairwise(edges):
                if first:
                    yield Gap(int(ts[first - 1]), int(ts[first]))
                yield from self._batches([array[first:end] for array in arrays])
            last = int(ts[-1])

    def _batches(self, arrays: Sequence[Ints]) -> Iterator[Batch]:
        one_time = self._timing.model is FeedModel.NONE
        for first in range(0, len(arrays[0]), self._rows):
            ts, lane, a, b, c, d, exch_ts = (array[first : first + self._rows] for array in arrays)
            yield Batch(ts, lane, a, b, c, d, ts if one_time else exch_ts)

    def _readers(self) -> tuple[list[_Reader], list[_LaneRows]]:
        readers = [
            _Reader(source, stream, clock, self._phases, self._start)
            for source, stream, clock in clocks_of(self._sources, self._timing)
        ]
        lanes = []
        for lane_number, (phase, _, number) in enumerate(self._order):
            lane = readers[number].lanes[self._phases.index(phase)]
            lane.number = lane_number
            lanes.append(lane)
        return readers, lanes

    def _merged(self) -> Iterator[list[Ints]]:
        """Blocks of rows in order: ts, lane, a, b, c, d, exch_ts."""
        readers, lanes = self._readers()
        while True:
            for reader in readers:
                while reader.short():
                    reader.read()
            bound = min((reader.bound() for reader in readers), default=NEVER)
            block = _merge(lanes, min(bound, self._end))
            if block is not None:
                yield block
            if bound >= self._end:
                return
            if block is None:
                for reader in readers:
                    if reader.bound() == bound:
                        reader.read()


class _Chunks:
    """The chunks of a stream, as an iterable that can be begun anew."""

    __slots__ = ("_source", "_stream")

    def __init__(self, source: Source, stream: Stream) -> None:
        self._source = source
        self._stream = stream

    def __iter__(self) -> Iterator[Columns]:
        return self._source.chunks(self._stream)


def _merge(lanes: Sequence[_LaneRows], before: int) -> list[Ints] | None:
    """Take the rows with times below `before` out of the lanes, in order; None when there are none."""
    numbers = []
    parts = []
    for lane in lanes:
        taken = lane.take_before(before)
        if len(taken[0]):
            parts.append(taken)
            numbers.append(np.full(len(taken[0]), lane.number, np.int16))
    if not parts:
        return None
    ts, a, b, c, d, exch_ts = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    merged = [ts, np.concatenate(numbers), a, b, c, d, exch_ts]
    if len(parts) == 1:
        return merged
    order = np.argsort(ts, kind="stable")
    return [array[order] for array in merged]
