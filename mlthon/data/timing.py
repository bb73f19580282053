"""When a row took effect on the exchange, and when a strategy hears of it.

Recordings stamp each message with the clock of the machine that recorded. That clock was off by seconds in some of
them, and wandered by up to a millisecond a second. What can be known is the difference

    local time - exchange time = clock offset + delay,   delay > 0

whose lower edge is the offset plus the smallest delay. The estimate of that edge (`estimate`), for each contiguous
recording (no hole over 10 minutes) of an instrument, all its streams together: the differences are put into windows of
10 s of local time; a window's low is its 1 % quantile (one message with a wrong time does not move it). The edge runs
through the lows, but it changes by no more than 1 ms a second: where the network held everything up for a while, the
lows jump and the edge does not follow. Between windows it is a straight line. All of it in integers: the same on every
machine.

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
MAX_DRIFT: Final = 1_000
"""The estimate of the offset changes by no more than one part of so many: 1 ms a second."""


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
class ClockCurve:
    """The clock offset of one contiguous recording, `start` to `end` in local time (ns)."""

    start: int
    end: int
    times: tuple[int, ...]
    """Local times (ns), rising."""
    offsets: tuple[int, ...]
    """At each of `times`: local minus exchange time, less the delay of the fastest message (ns). Straight lines
    between them, constant before the first and after the last."""
    usual_delay: int
    """The median delay of trades above the fastest message (ns)."""

    def at(self, local: Ints) -> Ints:
        """The offset (ns) at each of these local times."""
        times = np.array(self.times, np.int64)
        offsets = np.array(self.offsets, np.int64)
        if len(times) == 1:
            return np.full(len(local), offsets[0], np.int64)
        after = np.clip(np.searchsorted(times, local), 1, len(times) - 1)
        first, last = times[after - 1], times[after]
        passed = np.clip(local, first, last) - first
        # In microseconds, so that the product fits: a hole of 600 s at most, times 0.6 s of change at most.
        change = (offsets[after] - offsets[after - 1]) * (passed // 1_000) // np.maximum((last - first) // 1_000, 1)
        return np.asarray(offsets[after - 1] + change, np.int64)


NO_OFFSET: Final = ClockCurve(0, 1 << 62, (0,), (0,), 0)


class _Window:
    """What is kept of 10 s of local time."""

    __slots__ = ("count", "first", "last", "lows", "trade_median")

    def __init__(self, first: int) -> None:
        self.first = first
        self.last = first
        self.count = 0
        self.lows: list[int] = []
        self.trade_median: int | None = None

    def add(self, recv_ts: Ints, differences: Ints) -> None:
        self.first = min(self.first, int(recv_ts[0]))
        self.last = max(self.last, int(recv_ts[-1]))
        self.count += len(differences)
        self.lows = sorted([*self.lows, *np.sort(differences)[:LOWS_KEPT].tolist()])[:LOWS_KEPT]

    @property
    def low(self) -> int:
        return self.lows[min(self.count // LOW_SHARE, len(self.lows) - 1)]


def estimate(streams: Iterable[tuple[Kind, Iterable[Columns]]]) -> list[ClockCurve]:
    """The clock offsets of the recordings of one instrument, all its streams together, in order of time. They do not
    depend on how the streams are cut into chunks."""
    windows: dict[int, _Window] = {}
    for kind, chunks in streams:
        for number, recv_ts, differences in _pieces(chunks):
            window = windows.get(number)
            if window is None:
                window = windows[number] = _Window(int(recv_ts[0]))
            window.add(recv_ts, differences)
            if kind is Kind.TRADE:
                window.trade_median = int(np.sort(differences)[len(differences) // 2])
    ordered = [windows[number] for number in sorted(windows)]
    return [_curve(recording) for recording in _recordings(ordered)]


def _pieces(chunks: Iterable[Columns]) -> Iterator[tuple[int, Ints, Ints]]:
    """A stream cut at the windows: number of the window, local times, differences of the times."""
    # The rows of one book message share both times: they count once.
    last = (0, 0)
    number = -1
    waiting: list[tuple[Ints, Ints]] = []
    for chunk in chunks:
        new = np.empty(len(chunk), np.bool_)
        new[0] = last != (int(chunk.recv_ts[0]), int(chunk.exch_ts[0]))
        new[1:] = (np.diff(chunk.recv_ts) != 0) | (np.diff(chunk.exch_ts) != 0)
        last = (int(chunk.recv_ts[-1]), int(chunk.exch_ts[-1]))
        # Where the two times are equal to the nanosecond nobody's clock recorded anything.
        new &= (chunk.exch_ts > 0) & (chunk.exch_ts != chunk.recv_ts)
        recv_ts = chunk.recv_ts[new]
        differences = recv_ts - chunk.exch_ts[new]
        numbers = recv_ts // WINDOW
        edges = np.flatnonzero(np.diff(numbers, prepend=-1, append=-1)).tolist() if len(numbers) else []
        for start, end in pairwise(edges):
            if waiting and int(numbers[start]) != number:
                yield _joined(number, waiting)
                waiting = []
            number = int(numbers[start])
            waiting.append((recv_ts[start:end], differences[start:end]))
    if waiting:
        yield _joined(number, waiting)


def _joined(number: int, parts: Sequence[tuple[Ints, Ints]]) -> tuple[int, Ints, Ints]:
    recv_ts, differences = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return number, recv_ts, differences


def _recordings(windows: Sequence[_Window]) -> Iterator[list[_Window]]:
    recording: list[_Window] = []
    for window in windows:
        if recording and window.first - recording[-1].last > HOLE:
            yield recording
            recording = []
        recording.append(window)
    if recording:
        yield recording


def _curve(windows: Sequence[_Window]) -> ClockCurve:
    times = [(window.first + window.last) // 2 for window in windows]
    offsets = _edge(times, [window.low for window in windows])
    delays = sorted(
        window.trade_median - offset
        for window, offset in zip(windows, offsets, strict=True)
        if window.trade_median is not None
    )
    usual = max(delays[len(delays) // 2], 0) if delays else 0
    return ClockCurve(windows[0].first, windows[-1].last, tuple(times), tuple(offsets), usual)


def _edge(times: Sequence[int], lows: Sequence[int]) -> list[int]:
    """The highest curve that lies nowhere above the lows and changes by no more than 1 part in `MAX_DRIFT`."""
    edge = list(lows)
    forward = range(1, len(edge))
    for here, before in [*((n, n - 1) for n in forward), *((n - 1, n) for n in reversed(forward))]:
        edge[here] = min(edge[here], edge[before] + abs(times[here] - times[before]) // MAX_DRIFT)
    return edge


class StreamClock:
    """The times of one stream, chunk by chunk: exchange time, and time of receipt by the feed model."""

    __slots__ = ("_exch", "_offsets", "_random", "_recv", "_timing")

    def __init__(self, timing: FeedTiming, offsets: "ClockOffsets", seed: Sequence[int] = ()) -> None:
        """`seed` tells the streams of one run apart."""
        self._timing = timing
        self._offsets = offsets
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
            local, usual = self._offsets.apply(local)
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


class ClockOffsets:
    """The clock offsets of one instrument's recordings, estimated when they are first asked for."""

    __slots__ = ("_curves", "_given", "_streams")

    def __init__(self, streams: Iterable[tuple[Kind, Iterable[Columns]]], offset_ms: float | None) -> None:
        self._streams = streams
        self._given = None if offset_ms is None else round(offset_ms * MS)
        self._curves: list[ClockCurve] | None = None

    @property
    def curves(self) -> list[ClockCurve]:
        if self._curves is None:
            curves = estimate(self._streams) or [NO_OFFSET]
            given = self._given
            if given is not None:
                curves = [attrs.evolve(curve, times=(curve.start,), offsets=(given,)) for curve in curves]
            self._curves = curves
        return self._curves

    def apply(self, local: Ints) -> tuple[Ints, Ints]:
        """Local times less the offset, and the usual delay at each."""
        true = np.empty_like(local)
        usual = np.empty_like(local)
        curves = self.curves
        # Each recording's holds until the next begins; the first also before it.
        edges = [0, *np.searchsorted(local, [curve.start for curve in curves[1:]]).tolist(), len(local)]
        for curve, (first, last) in zip(curves, pairwise(edges), strict=True):
            part = local[first:last]
            true[first:last] = part - curve.at(part)
            usual[first:last] = curve.usual_delay
        return true, usual
