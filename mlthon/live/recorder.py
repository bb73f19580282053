"""A recording as it is made: raw messages and rows of market data, side by side, so that neither can be lost alone.

    STORE/raw/exchange=Bybit/20260921T101500.000001.jsonl[.zst]   what came over the lines, one JSON object a line
    STORE/recording/Bybit/20260921T101500.000001/30000000002.book.arrow   rows of the piece that is being recorded
    STORE/exchange=Bybit/instrument=BTCUSDT/day=.../book.<...>.parquet  rows of pieces that are whole: the store
    STORE/gaps.jsonl                                              from when to when nothing was heard, and why

A recording is cut into pieces (`rotate`). While a piece is open it is only appended to: text lines, and Arrow IPC
record batches, so that a crash tears off at most the last line and the last batch. When it is whole, its rows go into
the store and its raw messages are compressed. What a crash left behind is brought in by the next recording into the
same store (`recover`). A book that nobody follows any more ends with a STALE row, so that a replay does not take it for
true until the next snapshot.

`RecordingEdge` stands between an `Edge` and whoever uses its lines and notes what passes; the rows come from the feed
handlers, which call `RowLists`. Everything here is called from one thread but `seal`, which may run in another.
"""

import base64
import errno
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import numpy as np
from attrs import frozen

from mlthon.basics.defs import Exchange
from mlthon.basics.instrument import Instrument
from mlthon.data.rows import FIELDS, Columns, Kind, MemorySource, RowLists, Stream
from mlthon.data.store import definition, instrument_of, store_rows
from mlthon.engine.clock import SECOND, Clock
from mlthon.engine.faces import STALE
from mlthon.errors import UserError
from mlthon.venue.wire import Answer, Answered, Edge, HttpAnswer, HttpMessage, Line, LineUser

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger("mlthon.record")

ROWS_AT_ONCE: Final = 4_096
"""How many rows of a kind wait in memory at most; `flush` writes fewer."""
LEAST_FREE: Final = 64 << 20
"""How much of the disk (bytes) stays free, so that the last piece can still be brought into the store."""
_INSTRUMENT: Final = b"mlthon.instrument"


class DiskFull(UserError):
    """There is no room left for the recording. What was recorded before is whole."""

    def __init__(self, store: Path, free: int) -> None:
        super().__init__(
            f"{store}: the disk is full ({free / 1e6:,.0f} MB free): the recording has ended",
            "What was recorded so far is kept. Make room, then record into the same store again.",
        )


@frozen
class Piece:
    """A piece of a recording: where its raw messages and its rows are."""

    name: str
    raw: Path
    rows: Path


class Recorder:
    """Writes one exchange's recording into a store. `rows[instrument]` takes the market data of an instrument.

    `free`: how many bytes the disk of a path has left.
    """

    def __init__(
        self,
        store: Path,
        exchange: Exchange,
        instruments: Iterable[Instrument],
        now: int,
        free: Callable[[Path], int] = lambda path: shutil.disk_usage(path).free,
    ) -> None:
        """Raises `UserError` where nothing can be written."""
        self.store = store
        self.exchange = exchange
        self.messages = 0
        self.written = 0
        self.rows: dict[Instrument, RowLists] = {each: RowLists() for each in instruments}
        self._free = free
        self._followed: set[Stream] = set()
        self._silent_since: dict[str, tuple[int, str]] = {}
        try:
            store.mkdir(parents=True, exist_ok=True)
            self._writer = _PieceWriter(self._new_piece(now))
        except OSError as error:
            raise UserError(f"{store}: cannot be written: {error.strerror}") from None

    # -- while recording -----------------------------------------------------------------------------------------------

    def message(self, line: str, data: bytes, recv_ts: int) -> None:
        """A message came over a line. Raises DiskFull."""
        self.messages += 1
        self._raw({"ts": recv_ts, "line": line, **_text(data)})

    def answer(self, target: str, data: bytes, recv_ts: int) -> None:
        """An HTTP request was answered with this body. Raises DiskFull."""
        self.messages += 1
        self._raw({"ts": recv_ts, "http": target, **_text(data)})

    def line_opened(self, line: str, ts: int) -> None:
        self._raw({"ts": ts, "line": line, "event": "opened"})
        since = self._silent_since.pop(line, None)
        if since is not None:
            self._gap(line, *since, ts)

    def line_closed(self, line: str, ts: int, reason: str) -> None:
        self._raw({"ts": ts, "line": line, "event": "closed", "reason": reason})
        self._silent_since.setdefault(line, (ts, reason))

    def flush(self) -> None:
        """Write what waits in memory; once a second will do. Raises DiskFull."""
        free = self._free(self.store)
        if free < LEAST_FREE + self._writer.size():
            raise DiskFull(self.store, free)
        self._write_rows()

    def _write_rows(self) -> None:
        try:
            self._writer.raw.flush()
            for instrument, lists in self.rows.items():
                for kind, columns in lists.take().items():
                    self._writer.write(Stream(instrument, kind), columns)
                    self.written += len(columns)
                    self._followed.add(Stream(instrument, kind))
        except OSError as error:
            raise self._failed(error) from None

    def full(self) -> bool:
        """Whether so many rows wait that they should be written."""
        return any(lists.full(ROWS_AT_ONCE) for lists in self.rows.values())

    def rotate(self, now: int) -> Piece:
        """End the piece and begin another; `seal` the one that is returned."""
        self.flush()
        try:
            fresh = _PieceWriter(self._new_piece(now))
            whole = self._writer.close()
        except OSError as error:
            raise self._failed(error) from None
        self._writer = fresh
        return whole

    def close(self, now: int, reason: str = "the recording ended") -> Piece:
        """End the recording at `now`: books end stale. `seal` the piece that is returned."""
        try:
            self._write_rows()
            for instrument, lists in self.rows.items():
                if Stream(instrument, Kind.BOOK) in self._followed:
                    lists.book(STALE, 0, 0, 0, now, now)
            self._write_rows()
            for line, since in self._silent_since.items():
                self._gap(line, *since, now)
            self._note_gap({"exchange": self.exchange.name, "from": now, "reason": reason})
        except UserError as error:
            log.error("%s", error)
        return self._writer.close()

    # -- parts ---------------------------------------------------------------------------------------------------------

    def _new_piece(self, now: int) -> Piece:
        moment = datetime.fromtimestamp(now / SECOND, UTC)
        name = f"{moment:%Y%m%dT%H%M%S}.{now % SECOND // 1000:06d}"
        raw = self.store / "raw" / f"exchange={self.exchange.name}" / f"{name}.jsonl"
        return Piece(name, raw, self.store / "recording" / self.exchange.name / name)

    def _raw(self, what: Mapping[str, Any]) -> None:
        try:
            self._writer.raw.write(json.dumps(what, separators=(",", ":"), ensure_ascii=False) + "\n")
        except OSError as error:
            raise self._failed(error) from None

    def _gap(self, line: str, start: int, reason: str, end: int) -> None:
        self._note_gap(
            {"exchange": self.exchange.name, "line": line, "from": start, "to": end, "reason": reason},
        )

    def _note_gap(self, gap: Mapping[str, Any]) -> None:
        try:
            with (self.store / "gaps.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps(gap) + "\n")
        except OSError as error:
            raise self._failed(error) from None

    def _failed(self, error: OSError) -> UserError:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return DiskFull(self.store, self._free(self.store))
        return UserError(f"{self.store}: the recording cannot be written: {error.strerror}")


def _text(data: bytes) -> dict[str, str]:
    try:
        return {"data": data.decode()}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode()}


class _PieceWriter:
    """The open files of a piece."""

    def __init__(self, piece: Piece) -> None:
        self.piece = piece
        piece.raw.parent.mkdir(parents=True, exist_ok=True)
        piece.rows.mkdir(parents=True, exist_ok=True)
        self.raw: IO[str] = piece.raw.open("a", encoding="utf-8", buffering=1 << 16)
        self._files: dict[Stream, tuple[Any, Any]] = {}
        self._bytes = 0

    def write(self, stream: Stream, columns: Columns) -> None:
        import pyarrow as pa

        batch = pa.record_batch([pa.array(array) for array in columns.arrays()], names=list(FIELDS))
        opened = self._files.get(stream)
        if opened is None:
            meta = {_INSTRUMENT: json.dumps(definition(stream.instrument)).encode()}
            # by number: an exchange may have a spot and a perpetual of one symbol
            name = f"{stream.instrument.number}.{stream.kind.name.lower()}.arrow"
            sink = (self.piece.rows / name).open("wb")
            opened = self._files[stream] = (sink, pa.ipc.new_stream(sink, batch.schema.with_metadata(meta)))
        sink, writer = opened
        writer.write_batch(batch)
        sink.flush()
        self._bytes += int(batch.nbytes)

    def size(self) -> int:
        """How many bytes bringing the piece into the store may take."""
        return self._bytes

    def close(self) -> Piece:
        for sink, writer in self._files.values():
            writer.close()
            os.fsync(sink.fileno())
            sink.close()
        self._files.clear()
        self.raw.flush()
        os.fsync(self.raw.fileno())
        self.raw.close()
        return self.piece


# -- whole pieces ------------------------------------------------------------------------------------------------------


def seal(store: Path, exchange: Exchange, piece: Piece, *, torn: bool = False) -> int:
    """Bring a piece's rows into the store and compress its raw messages; gives the number of rows. Safe to be repeated
    after a crash at any point. `torn`: it was left by a crash, so its books end stale. Raises `UserError`."""
    try:
        rows = _read_rows(piece.rows, torn=torn)
        count = 0
        for instrument in dict.fromkeys(stream.instrument for stream in rows):
            mine = MemorySource({stream: each for stream, each in rows.items() if stream.instrument == instrument})
            count += store_rows(mine, store, f"recording {instrument.name} {piece.name}")
        if piece.rows.exists():
            shutil.rmtree(piece.rows)
        if piece.raw.exists():
            _compress(piece.raw)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(store, shutil.disk_usage(store).free) from None
        raise UserError(f"{error.filename or store}: {error.strerror}") from None
    return count


def recover(store: Path, exchange: Exchange) -> int:
    """Bring in what a crash left behind of earlier recordings; gives the number of its rows."""
    folder = store / "recording" / exchange.name
    raws = store / "raw" / f"exchange={exchange.name}"
    names = {each.name for each in folder.glob("*") if each.is_dir()} | {each.stem for each in raws.glob("*.jsonl")}
    rows = 0
    for name in sorted(names):
        # an earlier piece was whole and only not yet sealed: its books go on in the next
        rows += seal(store, exchange, Piece(name, raws / f"{name}.jsonl", folder / name), torn=name == max(names))
        log.warning("%s: brought in what an interrupted recording left: %s", store, name)
    return rows


def raw_messages(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of a raw file, compressed or not; a line torn by a crash is left out."""
    import pyarrow as pa

    compression = "zstd" if path.suffix == ".zst" else None
    with pa.input_stream(str(path), compression=compression) as stream:
        rest = b""
        while block := stream.read(1 << 20):
            *lines, rest = (rest + block).split(b"\n")
            for line in lines:
                yield json.loads(line)


def _read_rows(folder: Path, *, torn: bool) -> dict[Stream, Columns]:
    rows: dict[Stream, Columns] = {}
    for path in sorted(folder.glob("*.arrow")):
        kind = Kind[path.name.split(".")[-2].upper()]
        parts, instrument = _read_batches(path)
        if instrument is None or not parts:
            continue
        if kind is Kind.BOOK and torn:
            last = int(parts[-1].recv_ts[-1])
            parts.append(Columns.from_table(np.array([[last, last, STALE, 0, 0, 0]], np.int64)))
        rows[Stream(instrument, kind)] = Columns.concat(parts)
    return rows


def _read_batches(path: Path) -> tuple[list[Columns], Instrument | None]:
    """The batches of an IPC file up to where it is torn."""
    import pyarrow as pa

    parts: list[Columns] = []
    instrument = None
    with path.open("rb") as file:
        try:
            reader = pa.ipc.open_stream(file)
            instrument = instrument_of(json.loads(reader.schema.metadata[_INSTRUMENT]))
            parts.extend(_columns(batch) for batch in reader)
        except (pa.ArrowException, EOFError, OSError) as error:
            log.warning("%s: ends in the midst of a batch, what is before it is kept (%s)", path, error)
    return parts, instrument


def _columns(batch: "pa.RecordBatch") -> Columns:
    return Columns(*(column.to_numpy(zero_copy_only=False).copy() for column in batch.columns))


def _compress(path: Path) -> None:
    """Replace a raw file by its compressed form, without its torn last line."""
    import pyarrow as pa

    part = path.with_name(f".{path.name}.part")
    with part.open("wb") as file, pa.CompressedOutputStream(file, "zstd") as out, path.open("rb") as lines:
        for line in lines:
            if line.endswith(b"\n"):
                out.write(line)
    part.replace(path.with_name(f"{path.name}.zst"))
    path.unlink()


# -- what passes between an edge and its users -------------------------------------------------------------------------


class RecordingEdge:
    """An `Edge` that notes every message and answer before it is handed on."""

    def __init__(self, edge: Edge, recorder: Recorder, clock: Clock, failed: Callable[[UserError], None]) -> None:
        """`failed` is told when the recording cannot be written; what passes is handed on all the same."""
        self._edge = edge
        self._recorder = recorder
        self._clock = clock
        self._failed = failed

    def open_line(self, line: Line, user: LineUser) -> None:
        self._edge.open_line(line, _RecordedUser(user, self))

    def close_line(self, name: str) -> None:
        self._edge.close_line(name)

    def restart_line(self, name: str, reason: str) -> None:
        self._edge.restart_line(name, reason)

    def send(self, name: str, text: str) -> bool:
        return self._edge.send(name, text)

    def http(self, message: HttpMessage, timeout_s: float, answered: Answered) -> None:
        def heard(answer: Answer) -> None:
            if isinstance(answer, HttpAnswer):
                target = urlsplit(message.target)
                shown = target.path + (f"?{target.query}" if target.query else "")
                self.note(self._recorder.answer, shown, answer.body, answer.recv_ts or self._clock.now)
            answered(answer)

        self._edge.http(message, timeout_s, heard)

    def note(self, what: Callable[..., None], *args: Any) -> None:
        try:
            what(*args)
        except UserError as error:
            self._failed(error)

    def opened(self, name: str) -> None:
        self.note(self._recorder.line_opened, name, self._clock.now)

    def closed(self, name: str, reason: str) -> None:
        self.note(self._recorder.line_closed, name, self._clock.now, reason)

    def message(self, name: str, data: bytes, recv_ts: int) -> None:
        self.note(self._recorder.message, name, data, recv_ts)


class _RecordedUser:
    def __init__(self, user: LineUser, edge: RecordingEdge) -> None:
        self._user = user
        self._edge = edge

    def line_opened(self, name: str) -> None:
        self._edge.opened(name)
        self._user.line_opened(name)

    def line_message(self, name: str, data: bytes, recv_ts: int) -> None:
        self._edge.message(name, data, recv_ts)
        self._user.line_message(name, data, recv_ts)

    def line_closed(self, name: str, reason: str) -> None:
        self._edge.closed(name, reason)
        self._user.line_closed(name, reason)
