"""Recordings of cryptofeed: what went over its connections, in its two ways of writing it, gzipped or plain.

- Text: `URL <-> TIME` (connected), `URL <- TIME: MESSAGE` (sent), `TIME: MESSAGE` (received); one connection a file.
- Lines of JSON with `t`: `header`, `connect`, `send`, `recv` and `http`; the connection's name in `conn`, what was
  received as text in `data`. A file may hold several connections.

Read are those of exchanges whose messages need nothing but the stream: Bybit and BitMEX. Which instruments a file holds
is told from what it subscribed to; those that the catalogue does not have are left out. Times are seconds with
microseconds. A connection that is made anew makes books stale until their next snapshot.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec

from mlthon.basics.catalogue import instruments
from mlthon.basics.defs import Exchange
from mlthon.basics.instrument import Instrument
from mlthon.data.feed_handlers import feed_handler_module
from mlthon.data.importers.base import Block, ReadOptions, RecordedFile, Report, WrongFile
from mlthon.data.importers.lines import Place, Problems, read_lines
from mlthon.data.rows import CHUNK_ROWS, Kind, RowLists
from mlthon.engine.clock import US
from mlthon.protocols import bybit

NAME: Final = "cryptofeed's recordings of Bybit and BitMEX (its text, or lines of JSON)"

_HOSTS: Final = {"bybit.com": Exchange.Bybit, "bitmex.com": Exchange.BitMEX}
"""Domain -> exchange."""
_KINDS: Final = (Kind.QUOTE, Kind.TRADE, Kind.BOOK)
_LOOKED_AT: Final = 2000
"""Lines in which subscriptions are looked for."""
_TOPIC_ENDS: Final = 100
"""Characters within which a message of Bybit has named its topic."""
_HEADER: Final = b'{"t":"header"'
_CONNECTED: Final = re.compile(rb"(wss://\S+) <-> (\d+(?:\.\d+)?)$")
_SENT: Final = re.compile(rb"(wss://\S+) <- (\d+(?:\.\d+)?): (.*)$", re.DOTALL)
_RECEIVED: Final = re.compile(rb"(\d+(?:\.\d+)?): (.*)$", re.DOTALL)
_SYMBOL: Final = re.compile(r"[.:]([^.:]+)$")
"""The end of a topic: `orderbook.50.BTCUSDT`, `trade:XBTUSD`."""


class _Line(msgspec.Struct):
    """What one line tells. `address` of `connect` and `send`."""

    t: str = ""
    conn: str = ""
    ts: float = 0.0
    address: str = msgspec.field(default="", name="addr")
    data: str = ""

    @property
    def ns(self) -> int:
        """Its time; the decimals are microseconds."""
        return round(self.ts * 1_000_000) * US


class _Operation(msgspec.Struct):
    """What a client sends."""

    op: str = ""
    args: list[str] = []


_decode = msgspec.json.Decoder(_Line).decode


def recognises(path: Path, head: Sequence[bytes]) -> bool:
    """Whether the first line is a header, or a connection made."""
    return bool(head) and (head[0].startswith(_HEADER) or _CONNECTED.match(head[0]) is not None)


def describe(path: Path, head: Sequence[bytes], options: ReadOptions) -> list[RecordedFile]:
    """One for each instrument that the file subscribed to."""
    start = 0
    found: dict[Instrument, None] = {}
    host = ""
    # the first message may come long before the last subscription
    for _, _, line in islice(read_lines(path, Problems(path, lambda _problem: None)), _LOOKED_AT):
        entry = _entry(line)
        if entry is None:
            continue
        if entry.t == "recv" and not start:
            start = entry.ns
        elif entry.t == "send":
            host = urlsplit(entry.address).hostname or ""
            found |= dict.fromkeys(_subscribed(entry))
    if options.instrument is not None:
        found = {each: None for each in found if each == options.instrument}
    if not found:
        raise WrongFile(f"{path}: nothing of the catalogue was subscribed to{f' at {host}' if host else ''}")
    return [RecordedFile(path, instrument, _KINDS, start) for instrument in found]


def read(files: Sequence[RecordedFile], options: ReadOptions, report: Report) -> Iterator[tuple[RecordedFile, Block]]:
    instrument = files[0].instrument
    exchange = instrument.exchange
    if exchange is None:
        raise WrongFile(f"{files[0].path}: {instrument} has no exchange")
    rows = RowLists()
    place = Place()
    handler = feed_handler_module(exchange).feed_handler(exchange, {instrument: rows}, place.problem)
    connected = False
    # Bybit's handler finds fault with topics of others; BitMEX has several instruments in one message
    topic = f'.{instrument.symbol}"' if exchange is Exchange.Bybit else ""
    for file in files:
        place.problems = problems = Problems(file.path, report)
        ours: set[str] = set()
        for place.line, place.byte, line in read_lines(file.path, problems):
            entry = _entry(line)
            if entry is None:
                if line.strip():
                    place.problem("not a line of cryptofeed's", line)
                continue
            recv_ts = place.recv_ts = max(place.recv_ts, entry.ns)
            if entry.t == "connect" and _carries(entry.address, instrument):
                if connected:
                    handler.disconnected(recv_ts)
                connected = True
                ours.add(entry.conn)
            elif entry.t == "recv" and entry.conn in ours and topic in entry.data[:_TOPIC_ENDS]:
                handler.message(entry.data.encode(), recv_ts)
            if rows.full(CHUNK_ROWS):
                yield file, rows.take()
        problems.close()
        if len(rows):
            yield file, rows.take()


def _entry(line: bytes) -> _Line | None:
    """A line of either way of writing; None for what is none."""
    if line.startswith(b'{"t":'):
        try:
            return _decode(line)
        except msgspec.MsgspecError:
            return None
    if found := _RECEIVED.match(line):
        return _Line("recv", "", float(found[1]), "", found[2].decode("utf-8", "replace"))
    if found := _CONNECTED.match(line):
        return _Line("connect", "", float(found[2]), found[1].decode())
    if found := _SENT.match(line):
        return _Line("send", "", float(found[2]), found[1].decode(), found[3].decode("utf-8", "replace"))
    return None


def _exchange(address: str) -> Exchange | None:
    domain = ".".join((urlsplit(address).hostname or "").split(".")[-2:])
    return _HOSTS.get(domain)


def _carries(address: str, instrument: Instrument) -> bool:
    """Whether the connection is one that the instrument's messages come over: Bybit has one a category."""
    exchange = _exchange(address)
    if exchange is not instrument.exchange:
        return False
    return exchange is not Exchange.Bybit or urlsplit(address).path == bybit.PUBLIC_PATH + bybit.category(instrument)


def _subscribed(entry: _Line) -> Iterator[Instrument]:
    """The instruments of the catalogue in a subscription."""
    exchange = _exchange(entry.address)
    if exchange is None:
        return
    try:
        operation = msgspec.json.decode(entry.data, type=_Operation)
    except msgspec.MsgspecError:
        return
    symbols = {found[1] for topic in operation.args if (found := _SYMBOL.search(topic))}
    for instrument in instruments(exchange):
        if instrument.symbol in symbols and _carries(entry.address, instrument):
            yield instrument
