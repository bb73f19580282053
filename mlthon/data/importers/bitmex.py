"""BitMEX one-minute bars: lines of JSON as REST `/trade/bucketed?binSize=1m` and the table `tradeBin1m` give them.

A bar's `timestamp` is the END of its minute ("Timestamps returned by our bucketed endpoints are the end of the period",
https://www.bitmex.com/api/explorer/#!/Trade/Trade_getBucketed). `open` is the close of the bar before, not the first
trade (documented there; so it is in every bar of the recordings), and may lie outside high and low: then the nearer of
the two stands for it, because at the open nothing traded.

`mlthon.data.importers.bars` turns bars into trades and quotes.

The lot of XBTUSD, and the minimum quantity with it, is 1 contract here, as it was when the recordings were made (100
since 2021-06). Other instruments have the lot of the catalogue; a volume that is no whole number of it is reported.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec

from mlthon.basics.catalogue import UnknownInstrument, define, resolve
from mlthon.basics.defs import Exchange, InstrumentType, Quantification
from mlthon.basics.instrument import Instrument
from mlthon.data.importers.bars import BarTicks
from mlthon.data.importers.base import Block, ReadOptions, RecordedFile, Report, WrongFile
from mlthon.data.importers.lines import Problems, read_lines
from mlthon.data.rows import CHUNK_ROWS, Kind, RowLists
from mlthon.engine.clock import SECOND, US
from mlthon.protocols.decimals import Steps

NAME: Final = "BitMEX one-minute bars (lines of JSON, .gz or plain)"

MINUTE: Final = 60 * SECOND


class Bar(msgspec.Struct):
    """A row of `tradeBin1m`. Prices are None in a minute without any price yet."""

    timestamp: datetime
    symbol: str
    open: msgspec.Raw
    high: msgspec.Raw
    low: msgspec.Raw
    close: msgspec.Raw
    volume: msgspec.Raw

    @property
    def end(self) -> int:
        """The end of the minute (ns)."""
        seconds = int(self.timestamp.replace(microsecond=0).timestamp())
        return seconds * SECOND + self.timestamp.microsecond * US


_decode: Final = msgspec.json.Decoder(Bar).decode


def recognises(path: Path, head: Sequence[bytes]) -> bool:
    """Whether the first lines are bars."""
    return bool(head) and head[0].startswith(b"{") and all(name in head[0] for name in (b'"vwap"', b'"lastSize"'))


def describe(path: Path, head: Sequence[bytes], options: ReadOptions) -> list[RecordedFile]:
    try:
        bar = _decode(head[0])
        instrument = options.instrument or _instrument(bar.symbol)
    except (msgspec.MsgspecError, UnknownInstrument) as error:
        raise WrongFile(f"{path}: {error}") from error
    return [RecordedFile(path, instrument, (Kind.QUOTE, Kind.TRADE), bar.end - MINUTE)]


def read(files: Sequence[RecordedFile], options: ReadOptions, report: Report) -> Iterator[tuple[RecordedFile, Block]]:
    rows = RowLists()
    bars = MinuteBars(files[0].instrument, rows)
    for file in files:
        problems = Problems(file.path, report)
        for number, offset, line in read_lines(file.path, problems):
            if not line:
                continue
            try:
                bars.bar(_decode(line))
            except (msgspec.MsgspecError, ValueError) as error:
                problems.add(str(error), number, offset)
            if rows.full(CHUNK_ROWS):
                yield file, rows.take()
        problems.close()
        if len(rows):
            yield file, rows.take()


class MinuteBars:
    """Reads the bars of one instrument into `rows`."""

    def __init__(self, instrument: Instrument, rows: RowLists) -> None:
        self._symbol = instrument.symbol
        self._ticks = Steps(instrument.price_scale.step_units)
        self._lots = Steps(instrument.qty_scale.step_units)
        self._bars = BarTicks(rows)

    def bar(self, bar: Bar) -> None:
        """Raises ValueError for a bar of another instrument, and as `BarTicks.bar`."""
        if bar.symbol != self._symbol:
            raise ValueError(f"a bar of {bar.symbol} in a file of {self._symbol}")
        if bytes(bar.open) == b"null":
            return
        first, high, low, close = (self._ticks[_text(raw)] for raw in (bar.open, bar.high, bar.low, bar.close))
        self._bars.bar(bar.end - MINUTE, bar.end, (first, high, low, close), self._lots[_text(bar.volume)])


def _text(raw: msgspec.Raw) -> str:
    """A JSON number as it stands, so that no digit goes through a float."""
    return bytes(raw).decode()


def _instrument(symbol: str) -> Instrument:
    if symbol != "XBTUSD":
        return resolve(Exchange.BitMEX, symbol)
    known = resolve(Exchange.BitMEX, symbol)
    return define(
        Exchange.BitMEX,
        symbol,
        InstrumentType.Perpetual,
        known.mlt_symbol or "btc-usd",
        tick="0.5",
        lot="1",
        quantification=Quantification.Inverse,
        max_quantity=None if known.max_quantity is None else known.max_quantity.to_str(),
        maker_fee=known.maker_fee or 0,
        taker_fee=known.taker_fee or 0,
        index=(known.instrument_id or 0) % 10**10,
    )
