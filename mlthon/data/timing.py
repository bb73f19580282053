"""When a row took effect on the exchange, and when a strategy hears of it.

Recordings stamp each message with the clock of the machine that recorded. That clock was off by seconds in some of
them, and drifted. What can be known is the difference

    local time - exchange time = clock offset + delay,   delay > 0

whose lower edge is the offset plus the smallest delay. The estimate of that edge (`estimate`): the differences of all
streams of an instrument are put into windows of 10 s of local time; a window's low is its 1 % quantile (one message
with a wrong time does not move it); the line under all lows that is nearest to them on average (the edge of their
lower convex hull under the mean time) is the offset and its drift. One line for each contiguous recording (no hole
over 10 minutes) and at most one hour. All of it in integers: the same on every machine.

The delay above the edge is in the data, the smallest delay itself is not: it is given as `base_ms`.

    received = exchange time + max(local - offset - exchange time, 0) + base

Times never go back within a stream: where the exchange or the clock says so, the latest time so far stands.

Spot bookTicker and snapshots carry no exchange time (`exch_ts` 0): they take local time - offset - the usual delay of
the instrument's trades in that recording (the median over windows of the median).
"""

from collections.abc import Iterable, Iterator, Sequence
from enum import Enum
from itertools import pairwise
from typing import Final

import attrs
import numpy as np

from mlthon.data.rows import Columns, Ints, Kind
from mlthon.engine.clock import MS, SECOND

WINDOW: Final = 10 * SECOND
LOW_SHARE: Final = 100
"""A window's low is the smallest difference but one of so many."""
LOWS_KEPT: Final = 64
"""How many of a window's smallest differences are kept."""
HOLE: Final = 600 * SECOND
"""Longer than this without a row: another recording."""
LINE_SPAN: Final = 3600 * SECOND
"""A clock's drift is taken as constant for so long."""
BILLION: Final = 1_000_000_000


class FeedModel(Enum):
    """Where feed latency comes from."""

    NONE = "none"
    """Strategies hear of everything when it happens."""
    RECORDED = "recorded"
    CONSTANT = "constant"
    DISTRIBUTION = "distribution"


@attrs.frozen
class FeedTiming:
    """Feed latency. Times in milliseconds."""

    model: FeedModel = FeedModel.RECORDED
    base_ms: float = attrs.field(default=1.0, validator=attrs.validators.ge(0))
    """RECORDED: the delay of the fastest message."""
    constant_ms: float = attrs.field(default=1.0, validator=attrs.validators.ge(0))
    """CONSTANT: the delay of every message."""
    quantiles_ms: tuple[float, ...] = attrs.field(default=(1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 8.0, 15.0, 40.0))
    """DISTRIBUTION: delays at evenly spaced probabilities, the smallest first, the largest last; between two of them
    all delays are equally likely."""
    seed: int = attrs.field(default=0, validator=attrs.validators.ge(0))
    """DISTRIBUTION: the same seed gives the same delays."""
    offset_ms: float | None = None
    """The recording clock's offset (local minus exchange time) where it is known; None: estimated."""

    @quantiles_ms.validator
    def _rising(self, _attribute: object, value: tuple[float, ...]) -> None:
        if len(value) < 2 or value[0] < 0 or list(value) != sorted(value):
            raise ValueError(f"quantiles_ms must be two or more delays from small to large, not {value}")


@attrs.frozen
class ClockLine:
    """The clock offset of one contiguous recording, `start` to `end` in local time (ns)."""

    start: int
    end: int
    offset: int
    """Local minus exchange time (ns) at `start`, less the delay of the fastest message."""
    drift: int
    """By how much the offset grows, in ns a second."""
    usual_delay: int
    """The median delay of trades above the fastest message (ns)."""

    def offsets(self, recv_ts: Ints) -> Ints:
        """The offset (ns) at each of these local times."""
        return self.offset + (recv_ts - self.start) // 1_000 * self.drift // 1_000_000


NO_OFFSET: Final = ClockLine(0, 1 << 62, 0, 0, 0)


class _Window:
    __slots__ = ("count", "first", "last", "lows", "trade_medians")

    def __init__(self, first: int) -> None:
        self.first = first
        self.last = first
        self.count = 0
        self.lows: list[int] = []
        self.trade_medians: list[int] = []

    def add(self, kind: Kind, recv_ts: Ints, differences: Ints) -> None:
        self.first = min(self.first, int(recv_ts[0]))
        self.last = max(self.last, int(recv_ts[-1]))
        self.count += len(differences)
        ordered = np.sort(differences)
        self.lows = sorted([*self.lows, *ordered[:LOWS_KEPT].tolist()])[:LOWS_KEPT]
        if kind is Kind.TRADE:
            self.trade_medians.append(int(ordered[len(ordered) // 2]))

    @property
    def low(self) -> int:
        return self.lows[min(self.count // LOW_SHARE, len(self.lows) - 1)]


def estimate(streams: Iterable[tuple[Kind, Iterable[Columns]]]) -> list[ClockLine]:
    """The clock offsets of the recordings of one instrument, all its streams together, in order of time."""
    windows: dict[int, _Window] = {}
    for kind, chunks in streams:
        for chunk in chunks:
            _collect(windows, kind, chunk)
    ordered = [windows[number] for number in sorted(windows)]
    return [_line(recording) for recording in _recordings(ordered)]


def _collect(windows: dict[int, _Window], kind: Kind, chunk: Columns) -> None:
    # The rows of one book message share both times: they count once.
    new = np.ones(len(chunk), np.bool_)
    new[1:] = (np.diff(chunk.recv_ts) != 0) | (np.diff(chunk.exch_ts) != 0)
    new &= chunk.exch_ts > 0
    recv_ts = chunk.recv_ts[new]
    if not len(recv_ts):
        return
    differences = recv_ts - chunk.exch_ts[new]
    numbers = recv_ts // WINDOW
    edges = [0, *(np.flatnonzero(np.diff(numbers)) + 1).tolist(), len(numbers)]
    for first, last in pairwise(edges):
        number = int(numbers[first])
        window = windows.get(number)
        if window is None:
            window = windows[number] = _Window(int(recv_ts[first]))
        window.add(kind, recv_ts[first:last], differences[first:last])


def _recordings(windows: Sequence[_Window]) -> Iterator[list[_Window]]:
    recording: list[_Window] = []
    for window in windows:
        if recording and (window.first - recording[-1].last > HOLE or window.last - recording[0].first > LINE_SPAN):
            yield recording
            recording = []
        recording.append(window)
    if recording:
        yield recording


def _line(windows: Sequence[_Window]) -> ClockLine:
    start, end = windows[0].first, windows[-1].last
    points = [((window.first + window.last) // 2 - start, window.low) for window in windows]
    (x0, y0), (x1, y1) = _edge_below_mean(points)
    drift = (y1 - y0) * BILLION // (x1 - x0) if x1 > x0 else 0
    at_start = y0 - x0 * drift // BILLION
    line = ClockLine(start, end, at_start, drift, 0)
    delays = sorted(
        median - (at_start + point[0] * drift // BILLION)
        for window, point in zip(windows, points, strict=True)
        for median in window.trade_medians
    )
    return attrs.evolve(line, usual_delay=max(delays[len(delays) // 2], 0)) if delays else line


Point = tuple[int, int]


def _edge_below_mean(points: Sequence[Point]) -> tuple[Point, Point]:
    """The edge of the lower convex hull that lies under the mean time: of all lines below the points the nearest to
    them on average. One point stands for both ends where there is only one."""
    hull: list[Point] = []
    for point in points:
        while len(hull) > 1 and _turns_down(hull[-2], hull[-1], point):
            hull.pop()
        hull.append(point)
    mean = sum(x for x, _ in points) // len(points)
    after = next((i for i, (x, _) in enumerate(hull) if x > mean), len(hull) - 1)
    return hull[max(after - 1, 0)], hull[after]


def _turns_down(a: Point, b: Point, c: Point) -> bool:
    """Whether `b` lies on or above the line from `a` to `c`."""
    return (b[0] - a[0]) * (c[1] - a[1]) <= (c[0] - a[0]) * (b[1] - a[1])


class StreamClock:
    """The times of one stream, chunk by chunk: exchange time, and time of receipt by the feed model."""

    __slots__ = ("_exch", "_lines", "_random", "_recv", "_timing")

    def __init__(self, timing: FeedTiming, lines: "Lines", seed: Sequence[int] = ()) -> None:
        """`seed` tells the streams of one run apart."""
        self._timing = timing
        self._lines = lines
        self._exch = 0
        self._recv = 0
        self._random = np.random.PCG64(np.random.SeedSequence([timing.seed, *seed]))

    def times(self, chunk: Columns) -> tuple[Ints, Ints]:
        """`(exchange times, receipt times)` of the next chunk, neither ever falling; without feed latency the two are
        one array."""
        exch, local = chunk.exch_ts, chunk.recv_ts
        model = self._timing.model
        unknown = exch <= 0
        if model is FeedModel.RECORDED or unknown.any():
            local, usual = self._lines.apply(local)
            exch = np.where(unknown, local - usual, exch)
        exch = self._exch_rising(exch)
        if model is FeedModel.NONE:
            return exch, exch
        if model is FeedModel.RECORDED:
            delay = np.maximum(local - exch, 0) + round(self._timing.base_ms * MS)
        elif model is FeedModel.CONSTANT:
            delay = np.full(len(exch), round(self._timing.constant_ms * MS), np.int64)
        else:
            delay = self._draw(len(exch))
        recv = np.maximum.accumulate(np.maximum(exch + delay, self._recv))
        self._recv = int(recv[-1])
        return exch, recv

    def _exch_rising(self, exch: Ints) -> Ints:
        if exch[0] < self._exch or (exch[1:] < exch[:-1]).any():
            exch = np.maximum.accumulate(np.maximum(exch, self._exch))
        self._exch = int(exch[-1])
        return exch

    def _draw(self, count: int) -> Ints:
        # Integers from raw 32-bit draws: numpy promises these for ever, and no logarithm rounds them differently on
        # another machine.
        table = np.array([round(ms * MS) for ms in self._timing.quantiles_ms], np.int64)
        draw = (self._random.random_raw(count) >> np.uint64(32)).astype(np.int64) * (len(table) - 1)
        step, rest = draw >> 32, (draw & 0xFFFF_FFFF) >> 12
        return np.asarray(table[step] + (((table[step + 1] - table[step]) * rest) >> 20), np.int64)


class Lines:
    """The clock lines of one instrument, estimated when they are first asked for."""

    __slots__ = ("_lines", "_offset", "_streams")

    def __init__(self, streams: Iterable[tuple[Kind, Iterable[Columns]]], offset_ms: float | None) -> None:
        self._streams = streams
        self._offset = None if offset_ms is None else round(offset_ms * MS)
        self._lines: list[ClockLine] | None = None

    @property
    def lines(self) -> list[ClockLine]:
        if self._lines is None:
            lines = estimate(self._streams) or [NO_OFFSET]
            if self._offset is not None:
                lines = [attrs.evolve(line, offset=self._offset, drift=0) for line in lines]
            self._lines = lines
        return self._lines

    def apply(self, local: Ints) -> tuple[Ints, Ints]:
        """Local times less the offset, and the usual delay at each."""
        true = np.empty_like(local)
        usual = np.empty_like(local)
        lines = self.lines
        # Each line holds until the next begins; the first also before it, the last also after.
        edges = [0, *np.searchsorted(local, [line.start for line in lines[1:]]).tolist(), len(local)]
        for line, first, last in zip(lines, edges[:-1], edges[1:], strict=True):
            part = local[first:last]
            true[first:last] = part - line.offsets(part)
            usual[first:last] = line.usual_delay
        return true, usual
