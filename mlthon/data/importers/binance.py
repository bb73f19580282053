"""Raw recordings of Binance streams: lines of `<local time> <message>`, gzipped or plain.

Local time is in nanoseconds, microseconds or milliseconds, told by its size in the first line of each file. A message
is one of a combined stream (`{"stream":...`) or the body of a REST depth snapshot; the feed handler of the exchange,
found by entry point, reads both. A file is of one instrument.

The files of one instrument are read through one feed handler in the order of their first lines: a file that begins
with the diff that follows the last one of the file before shares its book; at any other the book is stale until the
next snapshot.

Which exchange a file is of: the option, else a part of its path that names it (`binance`, `binance-usdm`,
`binance-coinm`), else the content: COIN-M messages name the pair (`ps`), futures diffs have `pu`, the rest is spot.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from mlthon.basics.catalogue import UnknownInstrument, resolve
from mlthon.basics.defs import Exchange
from mlthon.data.feed_handlers import feed_handler_module
from mlthon.data.importers.base import Block, ReadOptions, RecordedFile, Report, WrongFile
from mlthon.data.importers.lines import Place, Problems, read_lines
from mlthon.data.rows import CHUNK_ROWS, Kind, RowLists
from mlthon.engine.clock import MS, NS, US

NAME: Final = "raw Binance stream recordings (lines of `<local time> <json>`, .gz or plain)"

_FOLDERS: Final = {
    "binance-usdm": Exchange.BinanceUsdm,
    "binance-coinm": Exchange.BinanceCoinm,
    "binance": Exchange.Binance,
}
_UNITS: Final = ((10**14, MS), (10**17, US), (10**20, NS))
"""Local times below the first number are in the second (ns); in ms the first bound lies in the year 5138."""
_KINDS: Final = (Kind.QUOTE, Kind.TRADE, Kind.BOOK)
_SNAPSHOT: Final = b'{"lastUpdateId"'


class _Data(msgspec.Struct):
    s: str = ""


class _Message(msgspec.Struct):
    stream: str = ""
    symbol: str = ""
    data: _Data = msgspec.field(default_factory=_Data)


def recognises(path: Path, head: Sequence[bytes]) -> bool:
    """Whether one of the first lines is a time and such a message."""
    return any(_split(line) is not None for line in head[:10])


def describe(path: Path, head: Sequence[bytes], options: ReadOptions) -> list[RecordedFile]:
    times = [parts for line in head if (parts := _split(line)) is not None]
    if not times:
        raise WrongFile(f"{path}: none of the first {len(head)} lines is `<local time> <json>`")
    exchange = options.exchange or _exchange_of_folder(path) or _exchange_of_content(head)
    instrument = options.instrument
    if instrument is None:
        symbol = _symbol(path, [message for _, message in times])
        try:
            instrument = resolve(exchange, symbol)
        except UnknownInstrument as error:
            raise WrongFile(f"{path}: {error}; say which instrument the file is of") from error
    # The streams that a file holds can be told only by reading it: every kind may come.
    return [RecordedFile(path, instrument, _KINDS, times[0][0] * _unit(times[0][0]))]


def read(files: Sequence[RecordedFile], options: ReadOptions, report: Report) -> Iterator[tuple[RecordedFile, Block]]:
    instrument = files[0].instrument
    exchange = instrument.exchange
    if exchange is None:
        raise WrongFile(f"{files[0].path}: {instrument} has no exchange")
    rows = RowLists()
    place = Place()
    handler = feed_handler_module(exchange).feed_handler(exchange, {instrument: rows}, place.problem)
    for file in files:
        place.problems = problems = Problems(file.path, report)
        unit = 0
        for line_number, offset, line in read_lines(file.path, problems):
            place.line, place.byte = line_number, offset
            parts = _split(line)
            if parts is None:
                if line.strip():
                    place.problem("not a line of `<local time> <json>`", line)
                continue
            time, message = parts
            if not unit:
                unit = _unit(time)
            recv_ts = time * unit
            if recv_ts < place.recv_ts:
                place.problem(f"local time falls by {place.recv_ts - recv_ts} ns; the later time is kept", line)
                recv_ts = place.recv_ts
            place.recv_ts = recv_ts
            if message.startswith(_SNAPSHOT):
                handler.snapshot(instrument, message, recv_ts)
            else:
                handler.message(message, recv_ts)
            if rows.full(CHUNK_ROWS):
                yield file, rows.take()
        problems.close()
        if len(rows):
            yield file, rows.take()


def _split(line: bytes) -> tuple[int, bytes] | None:
    time, space, message = line.partition(b" ")
    if not (space and time.isdigit() and message.startswith(b"{")):
        return None
    return int(time), message


def _unit(time: int) -> int:
    return next((unit for bound, unit in _UNITS if time < bound), NS)


def _exchange_of_folder(path: Path) -> Exchange | None:
    for folder in reversed(path.resolve().parent.parts):
        if folder.lower() in _FOLDERS:
            return _FOLDERS[folder.lower()]
    return None


def _exchange_of_content(head: Sequence[bytes]) -> Exchange:
    text = b"".join(line[:1000] for line in head)
    if b'"ps":' in text or b'"pair":' in text:
        return Exchange.BinanceCoinm
    return Exchange.BinanceUsdm if b'"pu":' in text or b'"X":' in text else Exchange.Binance


def _symbol(path: Path, messages: Sequence[bytes]) -> str:
    for message in messages:
        try:
            seen = msgspec.json.decode(message, type=_Message)
        except msgspec.MsgspecError:
            continue
        symbol = seen.data.s or seen.symbol or seen.stream.partition("@")[0]
        if symbol:
            return symbol
    raise WrongFile(f"{path}: none of the first lines names a symbol; say which instrument the file is of")
