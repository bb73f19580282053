"""OANDA ticks in LEAN's format: a zip of one csv a day, rows of `<ms since midnight UTC>,<bid>,<ask>`.

The day stands in the file's name (`20140501_quote.zip`, inside `20140501_eurusd_tick_quote.csv`), the currencies in
the name inside, else in the folder's (`tick-eurusd`, `eurusd`). That midnight is UTC's shows in the data: the week of
2014-05-04 begins at 21:00, which is 17:00 in New York, when currencies begin to trade (and gold, XAU, at 22:00).
Some times have fractions of a millisecond.

The data has no sizes and no trades. The displayed size at the bid and at the ask is `ReadOptions.displayed_units`,
1,000,000 units unless told otherwise. The exchange fills against it by its usual rules: a market order up to the
displayed size at each quote, a resting order when the opposite quote touches or crosses its price. A broker's prices
have no queue, and nobody else trades at them.

There is one time a row: the time of receipt is taken as the exchange's.
"""

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Final

from mlthon.basics.catalogue import UnknownInstrument, resolve
from mlthon.basics.defs import Exchange
from mlthon.basics.instrument import Instrument
from mlthon.basics.money import UNIT
from mlthon.data.importers.base import Block, ReadOptions, RecordedFile, Report, WrongFile
from mlthon.data.importers.lines import Problems, read_lines, zip_entry_name
from mlthon.data.rows import CHUNK_ROWS, Kind, RowLists
from mlthon.engine.clock import MS, SECOND
from mlthon.protocols.decimals import Steps

NAME: Final = "OANDA tick quotes in LEAN's format (`<day>_quote.zip`)"

_ROW: Final = re.compile(rb"(\d{1,8}(?:\.\d+)?),(\d+(?:\.\d+)?),(\d+(?:\.\d+)?)")
_DAY: Final = re.compile(r"(?<!\d)(\d{8})(?!\d)")
_PAIR: Final = re.compile(r"(?<![a-z])([a-z]{3})([a-z]{3})(?![a-z])")
_DAY_MS: Final = 86_400_000


def recognises(path: Path, head: Sequence[bytes]) -> bool:
    """Whether the first lines are such rows and the name has a day."""
    rows = [line for line in head[:10] if line]
    return bool(rows) and all(_ROW.fullmatch(line) for line in rows) and _DAY.search(path.name) is not None


def describe(path: Path, head: Sequence[bytes], options: ReadOptions) -> list[RecordedFile]:
    instrument = options.instrument or _instrument(path)
    first = _ROW.fullmatch(head[0]) if head else None
    if first is None:
        raise WrongFile(f"{path}: the first line is not `<ms since midnight>,<bid>,<ask>`")
    return [RecordedFile(path, instrument, (Kind.QUOTE,), _midnight(path) + _since_midnight(first[1]))]


def read(files: Sequence[RecordedFile], options: ReadOptions, report: Report) -> Iterator[tuple[RecordedFile, Block]]:
    instrument = files[0].instrument
    ticks = Steps(instrument.price_scale.step_units)
    size = options.displayed_units * UNIT // instrument.qty_scale.step_units
    rows = RowLists()
    last = 0
    for file in files:
        problems = Problems(file.path, report)
        midnight = _midnight(file.path)
        for number, offset, line in read_lines(file.path, problems):
            try:
                ts, bid, ask = _quote(line, ticks)
            except ValueError as error:
                problems.add(str(error), number, offset)
                continue
            ts += midnight
            if ts < last:
                problems.add(f"time falls by {last - ts} ns; the row is left out", number, offset)
                continue
            last = ts
            rows.quote(bid, size, ask, size, ts, ts)
            if rows.full(CHUNK_ROWS):
                yield file, rows.take()
        problems.close()
        if len(rows):
            yield file, rows.take()


def _quote(line: bytes, ticks: Steps) -> tuple[int, int, int]:
    """Time since midnight (ns), bid, ask. Raises ValueError."""
    row = _ROW.fullmatch(line)
    if row is None:
        start = line[:60].decode("utf-8", "replace")
        raise ValueError(f"not `<ms since midnight>,<bid>,<ask>`: {start!r}")
    bid, ask = ticks[row[2].decode()], ticks[row[3].decode()]
    if bid >= ask:
        raise ValueError(f"a crossed quote: {line.decode()}")
    return _since_midnight(row[1]), bid, ask


def _since_midnight(text: bytes) -> int:
    try:
        ms = Decimal(text.decode())
    except InvalidOperation as error:
        raise ValueError(f"{text!r} is not a time") from error
    if ms >= _DAY_MS:
        raise ValueError(f"{ms} ms since midnight is beyond the day")
    return int(ms * MS)


def _midnight(path: Path) -> int:
    day = _DAY.search(path.name)
    try:
        if day is None:
            raise ValueError("no day")
        return int(datetime.strptime(day[1], "%Y%m%d").replace(tzinfo=UTC).timestamp()) * SECOND
    except ValueError as error:
        raise WrongFile(f"{path}: the name must begin with the day, as in 20140501_quote.zip") from error


def _instrument(path: Path) -> Instrument:
    for name in (zip_entry_name(path), path.name, path.parent.name):
        for base, quote in _PAIR.findall(name.lower()):
            try:
                return resolve(Exchange.Oanda, f"{base}_{quote}")
            except UnknownInstrument:
                continue
    raise WrongFile(f"{path}: neither the file's name nor its folder's names a known pair of currencies (eurusd)")
