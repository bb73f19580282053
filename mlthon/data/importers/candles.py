"""Candles in CSV: time, open, high, low, close and volume a line, as exchanges, TradingView, ccxt, pandas and many
sites write them.

A header says which column is what (`_COLUMNS`, in any case); without one the columns are time, open, high, low, close,
volume, as in the files of data.binance.vision. Lines may be cut by commas, semicolons or tabs, and may come newest
first. A file is of one instrument, which `naming` finds.

Times are those at which candles **begin**, in UTC unless they say otherwise: s, ms, µs or ns since 1970 (told by their
size), or ISO 8601. Where there is only a closing time it is taken to be the end. How long candles are is the least time
between two of the first lines; of a single candle the file's name says it (`1h`).

`bars` makes trades and quotes of a candle. Sites write prices with more digits than can be traded, and exchanges have
changed their ticks: prices are rounded to the nearest tick, volumes down to whole lots, and how many were is said.
Volumes are in the instrument's own quantity. Without a column of volumes each trade is of one lot, and quotes show
`ReadOptions.displayed_units`.
"""

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Final

from attrs import frozen

from mlthon.basics.instrument import Instrument
from mlthon.basics.money import UNIT, parse, ratio, to_decimal
from mlthon.data.importers.bars import BarTicks
from mlthon.data.importers.base import Block, ReadOptions, RecordedFile, Report, WrongFile
from mlthon.data.importers.lines import Line, Problems, head, read_lines
from mlthon.data.importers.naming import Unnamed, instrument_of
from mlthon.data.rows import CHUNK_ROWS, Kind, RowLists
from mlthon.engine.clock import MS, SECOND, US
from mlthon.protocols.decimals import Steps

NAME: Final = "candles as CSV (time, open, high, low, close, volume)"

_BEGINS: Final = ("open_time", "opentime", "unix", "timestamp", "unixtime", "datetime", "date_time", "time", "date")
_ENDS: Final = ("close_time", "closetime", "end_time", "end")
_COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "open": ("open", "o", "open_price"),
    "high": ("high", "h", "high_price", "max"),
    "low": ("low", "l", "low_price", "min"),
    "close": ("close", "c", "close_price", "last", "close_last"),
}
_VOLUMES: Final = ("volume", "vol", "v", "base_volume", "volume_base", "volumefrom", "tickvol", "tick_volume", "qty")
_SYMBOLS: Final = ("symbol", "pair", "ticker", "instrument")
_HEADER_WITHIN: Final = 5
"""Lines above the header: an address, a copyright."""
_DELIMITERS: Final = (",", ";", "\t")
_MOST_DIGITS: Final = 8
_PERIOD: Final = re.compile(r"(?<![a-z0-9])(\d{1,3})\s?(min|m|h|d|w)(?![a-z0-9])")
_SECONDS: Final = {"min": 60, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
_NUMBER: Final = re.compile(r"\d+(?:\.\d*)?")
_DATE: Final = re.compile(r"(\d{4})[./-](\d{1,2})[./-](\d{1,2})(?=\D|$)")
_UNITS: Final = ((11, SECOND), (14, MS), (17, US), (20, 1))
"""Digits of a time since 1970 up to which it is in this unit."""
LOTS: Final = 4
"""The volume (lots) of a candle that says none: one for each of its trades."""
_EARLIEST: Final = 0
_LATEST: Final = 1 << 62


@frozen
class _Layout:
    """Which column is what, counted from 0. `time`: one column, or date and time. `skipped`: lines before the first
    candle."""

    delimiter: str
    skipped: int
    time: tuple[int, ...]
    prices: tuple[int, int, int, int]
    volume: int | None
    symbol: int | None = None
    ends: bool = False

    def cells(self, line: bytes) -> list[str]:
        return _cells(line, self.delimiter)


@frozen
class _Candle:
    """A line: its place, its time (ns, as it stands there) and its cells."""

    number: int
    offset: int
    time: int
    cells: list[str]


def recognises(path: Path, head: Sequence[bytes]) -> bool:
    """Whether there is such a header, or the first lines are such candles."""
    return _layout(head) is not None


def describe(path: Path, head: Sequence[bytes], options: ReadOptions) -> list[RecordedFile]:
    layout = _layout(head)
    candles = [] if layout is None else list(_candles(layout, _numbered(head), lambda *_: None))
    if layout is None or not candles:
        raise WrongFile("no candle can be read in its first lines")
    symbol = None if layout.symbol is None else candles[0].cells[layout.symbol]
    instrument = options.instrument
    if instrument is None:
        try:
            instrument = instrument_of(path, symbol, *_steps(layout, candles))
        except (Unnamed, ValueError) as error:
            raise WrongFile(f"candles, but {error}") from error
    period = _period(path, candles)
    falls = len(candles) > 1 and candles[0].time > candles[-1].time
    first = _last_time(path, layout) if falls else candles[0].time
    kinds = (Kind.QUOTE, Kind.TRADE)
    return [RecordedFile(path, instrument, kinds, first - (period if layout.ends else 0), _note(period, instrument))]


def _note(period: int, instrument: Instrument) -> str:
    seconds = period // SECOND
    size = next((f"{seconds // unit} {name}" for name, unit in _SHOWN if not seconds % unit), f"{seconds} s")
    return (
        f"{instrument.name}: candles of {size}, each as trades at its open, its extreme against its direction, "
        "the other one and its close"
    )


_SHOWN: Final = (("d", 86_400), ("h", 3600), ("min", 60))


def read(files: Sequence[RecordedFile], options: ReadOptions, report: Report) -> Iterator[tuple[RecordedFile, Block]]:
    instrument = files[0].instrument
    rows = RowLists()
    shown = options.displayed_units * UNIT // instrument.qty_scale.step_units
    bars = BarTicks(rows)
    for file in files:
        problems = Problems(file.path, report)
        first = head(file.path)
        layout = _layout(first)
        if layout is None:
            problems.add("no candles any more")
            problems.close()
            continue
        begun = list(_candles(layout, _numbered(first), lambda *_: None))
        period = _period(file.path, begun)
        lines: Iterable[Line] = read_lines(file.path, problems)
        if len(begun) > 1 and begun[0].time > begun[-1].time:
            lines = reversed(list(lines))
        reader = _Reader(layout, period, instrument, bars, None if layout.volume is not None else shown)
        for candle in _candles(layout, lines, problems.add):
            try:
                reader.take(candle)
            except ValueError as error:
                problems.add(str(error), candle.number, candle.offset)
            if rows.full(CHUNK_ROWS):
                yield file, rows.take()
        reader.tell(problems)
        problems.close()
        if len(rows):
            yield file, rows.take()


class _Reader:
    """Turns the candles of a file into ticks of its instrument. `shown`: lots on either side of quotes, of a file
    without volumes."""

    def __init__(self, layout: _Layout, period: int, instrument: Instrument, bars: BarTicks, shown: int | None) -> None:
        self._layout = layout
        self._period = period
        self._instrument = instrument
        self._bars = bars
        self._shown = shown
        self._ticks = _Whole(instrument.price_scale.step_units, ratio)
        self._lots = _Whole(instrument.qty_scale.step_units, int.__floordiv__)
        self._symbol: str | None = None

    def take(self, candle: _Candle) -> None:
        """Raises ValueError."""
        layout, cells = self._layout, candle.cells
        self._check_symbol(cells)
        first, high, low, close = (self._ticks[cells[column]] for column in layout.prices)
        volume = LOTS if layout.volume is None else self._lots[cells[layout.volume] or "0"]
        start = candle.time - (self._period if layout.ends else 0)
        self._bars.bar(start, start + self._period, (first, high, low, close), volume, self._shown)

    def _check_symbol(self, cells: Sequence[str]) -> None:
        if self._layout.symbol is None:
            return
        symbol = cells[self._layout.symbol]
        self._symbol = self._symbol or symbol
        if symbol != self._symbol:
            raise ValueError(f"a candle of {symbol[:40]} in a file of {self._symbol[:40]}")

    def tell(self, problems: Problems) -> None:
        """Say what was rounded."""
        instrument = self._instrument
        for cut, what, step in (
            (self._ticks.cut, "prices are no multiple of the tick", instrument.price_scale.step),
            (self._lots.cut, "volumes are no multiple of the lot", instrument.qty_scale.step),
        ):
            if cut:
                problems.add(f"{cut:,} {what} of {instrument.name}, {step.to_str()}: rounded")


class _Whole:
    """Texts as whole steps, rounded by `rounded`; `cut`: how many times something was."""

    def __init__(self, step_units: int, rounded: Callable[[int, int], int]) -> None:
        self.cut = 0
        self._exact = Steps(step_units)
        self._step = step_units
        self._rounded = rounded

    def __getitem__(self, text: str) -> int:
        try:
            return self._exact[text]
        except ValueError:  # not so simple: between two steps, or spelled like 1e-05
            return self._nearest(text)

    def _nearest(self, text: str) -> int:
        number = to_decimal(text)
        units = parse(round(number, 18) if number.as_tuple().exponent < -18 else number)  # type: ignore[operator]
        if units < 0:
            raise ValueError(f"{text} is below 0")
        steps, rest = divmod(units, self._step)
        if not rest:
            return steps
        self.cut += 1
        return self._rounded(units, self._step)


# -- lines -------------------------------------------------------------------------------------------------------------


def _cells(line: bytes, delimiter: str) -> list[str]:
    """Its cells; none of a line whose quotes make no sense."""
    text = line.decode("utf-8", "replace").lstrip("\ufeff")
    try:
        found = next(csv.reader([text], delimiter=delimiter)) if '"' in text else text.split(delimiter)
    except csv.Error:
        return []
    return [each.strip() for each in found]


def _numbered(lines: Sequence[bytes]) -> Iterator[Line]:
    return ((number, 0, line) for number, line in enumerate(lines, 1))


def _candles(
    layout: _Layout, lines: Iterable[Line], refuse: Callable[[str, int | None, int | None], None]
) -> Iterator[_Candle]:
    """The candles in lines; `refuse` is told what is none, with line and byte."""
    last = max(*layout.time, *layout.prices, layout.volume or 0, layout.symbol or 0)
    for number, offset, line in lines:
        if number <= layout.skipped or not line.strip():
            continue
        try:
            cells = layout.cells(line)
            if len(cells) <= last:
                raise ValueError(f"{len(cells)} columns, {last + 1} are needed")
            time = _time(" ".join(cells[column] for column in layout.time))
        except ValueError as error:
            refuse(str(error), number, offset)
        else:
            yield _Candle(number, offset, time, cells)


def _last_time(path: Path, layout: _Layout) -> int:
    lines = read_lines(path, Problems(path, lambda _: None))
    return min(each.time for each in _candles(layout, lines, lambda *_: None))


def _period(path: Path, candles: Sequence[_Candle]) -> int:
    """How long candles are (ns). Raises `WrongFile`."""
    apart = [abs(after.time - before.time) for before, after in pairwise(candles) if after.time != before.time]
    if apart:
        return min(apart)
    named = _PERIOD.search(path.stem.casefold())
    if named is None:
        raise WrongFile("a single candle, and the file's name does not say how long it is (1m, 1h, 1d)")
    return int(named[1]) * _SECONDS[named[2]] * SECOND


def _steps(layout: _Layout, candles: Sequence[_Candle]) -> tuple[Decimal, Decimal]:
    """The smallest steps of prices and volumes, by their digits."""
    prices = (each.cells[column] for each in candles for column in layout.prices)
    volumes = () if layout.volume is None else (each.cells[layout.volume] for each in candles)
    return _smallest(prices), _smallest(volumes)


def _smallest(texts: Iterable[str]) -> Decimal:
    digits = max((len(text.partition(".")[2].rstrip("0")) for text in texts), default=0)
    return Decimal(1).scaleb(-min(digits, _MOST_DIGITS))


# -- times -------------------------------------------------------------------------------------------------------------


def _time(text: str) -> int:
    """A time as ns since 1970 UTC. Raises ValueError."""
    found = _counted(text) if _NUMBER.fullmatch(text) and len(text) != len("20240131") else _written(text)
    if not _EARLIEST < found < _LATEST:
        raise ValueError(f"{text[:40]!r} is no time")
    return found


def _counted(text: str) -> int:
    whole, _, fraction = text.partition(".")
    unit = next((unit for digits, unit in _UNITS if len(whole) <= digits), 0)
    return int(whole) * unit + (int(Decimal(f"0.{fraction}") * unit) if fraction else 0)


def _written(text: str) -> int:
    plain = _DATE.sub(lambda date: f"{date[1]}-{date[2]:0>2}-{date[3]:0>2}", text.removesuffix("UTC").strip(), count=1)
    try:
        found = datetime.fromisoformat(plain)
    except ValueError:
        raise ValueError(
            f"{text[:40]!r} is no time: s, ms, µs or ns since 1970, or as 2024-01-31 12:00:00 (UTC)"
        ) from None
    found = found.replace(tzinfo=UTC) if found.tzinfo is None else found
    return int(found.replace(microsecond=0).timestamp()) * SECOND + found.microsecond * US


# -- columns -----------------------------------------------------------------------------------------------------------


def _layout(head: Sequence[bytes]) -> _Layout | None:
    """Where what stands; None for a file that holds no candles."""
    for number, line in enumerate(head[:_HEADER_WITHIN], 1):
        for delimiter in _DELIMITERS:
            found = _by_header(_cells(line, delimiter), delimiter, number)
            if found is not None:
                return found
    return next((layout for delimiter in _DELIMITERS if (layout := _without_header(head, delimiter))), None)


def _by_header(cells: Sequence[str], delimiter: str, number: int) -> _Layout | None:
    names = [re.sub(r"[^a-z0-9]+", "_", each.casefold()).strip("_") for each in cells]

    def column(known: Iterable[str]) -> int | None:
        return next((names.index(each) for each in known if each in names), None)

    prices = [column(known) for known in _COLUMNS.values()]
    begins, ends = column(_BEGINS), column(_ENDS)
    if begins is None and ends is None:
        return None
    first, high, low, close = prices
    if first is None or high is None or low is None or close is None:
        return None
    time: tuple[int, ...] = ((begins if begins is not None else ends) or 0,)
    if "date" in names and "time" in names and names[time[0]] in ("date", "time"):
        time = (names.index("date"), names.index("time"))
    volume = column(_VOLUMES)
    if volume is None:
        # "Volume BTC" before "Volume USDT": the base currency's stands first
        volume = next((place for place, name in enumerate(names) if name.startswith("volume_")), None)
    return _Layout(delimiter, number, time, (first, high, low, close), volume, column(_SYMBOLS), ends=begins is None)


def _without_header(head: Sequence[bytes], delimiter: str) -> _Layout | None:
    """The usual order, where the first lines show that it is: a time, and prices within high and low."""
    rows = [_cells(line, delimiter) for line in head[:3] if line.strip()]
    if not rows or any(len(each) < 5 for each in rows):
        return None
    for cells in rows:
        try:
            _time(cells[0])
            first, high, low, close = (parse(each) for each in cells[1:5])
        except (ValueError, TypeError):
            return None
        if not 0 < low <= min(first, close) or max(first, close) > high:
            return None
    return _Layout(delimiter, 0, (0,), (1, 2, 3, 4), 5 if len(rows[0]) > 5 else None)
