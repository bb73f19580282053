"""The lines of a recorded file, plain, gzipped or zipped, with their places, as far as the file can be read.

A recording whose machine died ends in the middle of a gzip stream; a disk fault breaks one in its middle. Both still
hold everything before: the decompressor is fed by hand, gives out what it can, and the place where it stopped becomes
a `Problem`. A zip is read from its first entry's own header, so that one without its directory (the end of the file)
is read too.

Places are counted in the uncompressed content: lines from 1, bytes from 0.
"""

import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from mlthon.data.rows import Problem

Line = tuple[int, int, bytes]
"""Number, offset, content without its end."""

BLOCK: Final = 1 << 16
MAX_LINE: Final = 1 << 24
"""A line longer than this (bytes) is not text in lines."""
_GZIP_MAGIC: Final = b"\x1f\x8b"
_ZIP_MAGIC: Final = b"PK\x03\x04"
_ZIP_HEADER: Final = struct.Struct("<4sHHHHHIIIHH")
_NO_SIZES: Final = 8
"""Flag of a zip entry whose CRC and sizes follow its data."""
_STORED: Final = 0
_DEFLATED: Final = 8
_PROBLEMS_A_FILE: Final = 20


class Problems:
    """Collects the problems of a file; beyond a number of them only their count."""

    __slots__ = ("_file", "_more", "_report", "count")

    def __init__(self, file: Path | str, report: Callable[[Problem], None]) -> None:
        self._file = str(file)
        self._report = report
        self.count = 0

    def add(self, what: str, line: int | None = None, byte: int | None = None) -> None:
        self.count += 1
        if self.count <= _PROBLEMS_A_FILE:
            self._report(Problem(self._file, what, line, byte))

    def close(self) -> None:
        """The file is read: say how many problems were not reported one by one."""
        if self.count > _PROBLEMS_A_FILE:
            self._report(Problem(self._file, f"{self.count - _PROBLEMS_A_FILE} more problems of this file"))


class Place:
    """Where reading is, for problems that the feed handler finds."""

    __slots__ = ("byte", "line", "problems", "recv_ts")

    def __init__(self) -> None:
        self.line = 0
        self.byte = 0
        self.recv_ts = 0
        self.problems: Problems | None = None

    def problem(self, what: str, data: bytes) -> None:
        if self.problems is not None:
            start = data[:60].decode("utf-8", "replace")
            self.problems.add(f"{what} (in {start!r}...)", self.line, self.byte)


def read_lines(path: Path, problems: Problems) -> Iterator[Line]:
    """The lines of a file as far as it can be read. A last line that a broken file cut off is left out."""
    number, offset = 0, 0
    rest = b""
    whole = True

    def broken(what: str, byte: int) -> None:
        nonlocal whole
        whole = False
        problems.add(what, number + 1, byte)

    for block in _content(path, broken):
        lines = (rest + block).split(b"\n")
        rest = lines.pop()
        for line in lines:
            number += 1
            yield number, offset, line.rstrip(b"\r")
            offset += len(line) + 1
        if len(rest) > MAX_LINE:
            broken(f"a line of over {MAX_LINE} bytes: not a recording in lines", offset)
            return
    if rest and whole:
        yield number + 1, offset, rest.rstrip(b"\r")


def head(path: Path, lines: int = 100) -> list[bytes]:
    """The first lines of a file, as far as they can be read; nothing is reported."""
    found: list[bytes] = []
    for _, _, line in read_lines(path, Problems(path, lambda _problem: None)):
        found.append(line)
        if len(found) == lines:
            break
    return found


def zip_entry_name(path: Path) -> str:
    """The name of a zip file's first entry; '' for what is no zip file."""
    with path.open("rb") as file:
        header = file.read(_ZIP_HEADER.size)
        if not header.startswith(_ZIP_MAGIC) or len(header) < _ZIP_HEADER.size:
            return ""
        return file.read(_ZIP_HEADER.unpack(header)[9]).decode("utf-8", "replace")


Broken = Callable[[str, int], None]


def _content(path: Path, broken: Broken) -> Iterator[bytes]:
    """The uncompressed content in blocks."""
    with path.open("rb") as file:
        magic = file.read(len(_ZIP_MAGIC))
        file.seek(0)
        blocks = iter(lambda: file.read(BLOCK), b"")
        if magic.startswith(_GZIP_MAGIC):
            yield from _gunzip(blocks, broken)
        elif magic == _ZIP_MAGIC:
            yield from _unzip(b"".join(blocks), broken)
        else:
            yield from blocks


def _gunzip(blocks: Iterator[bytes], broken: Broken) -> Iterator[bytes]:
    """The members of a gzip file, one after the other."""
    count = 0
    engine = zlib.decompressobj(wbits=31)
    fed = False
    for block in blocks:
        data = block
        while data:
            before = engine.copy()
            try:
                out = engine.decompress(data)
            except zlib.error as error:
                out = _before_fault(before, data)
                count += len(out)
                yield out
                broken(f"the gzip stream is corrupt: {error}", count)
                return
            fed = True
            count += len(out)
            if out:
                yield out
            data = engine.unused_data
            if engine.eof:
                engine = zlib.decompressobj(wbits=31)
                fed = False
                data = data.lstrip(b"\0")  # padding after a member is allowed
    if fed:
        broken("the gzip stream is cut off", count)


def _before_fault(engine: "zlib._Decompress", data: bytes) -> bytes:
    """What a block gives before the byte at which its decompression fails."""
    out = b""
    for index in range(len(data)):
        try:
            out += engine.decompress(data[index : index + 1])
        except zlib.error:
            break
    return out


def _unzip(data: bytes, broken: Broken) -> Iterator[bytes]:
    """The first entry of a zip file (the formats read here hold one)."""
    if len(data) < _ZIP_HEADER.size:
        broken("the zip file is cut off in its first header", 0)
        return
    _, _, flags, method, _, _, crc, packed, _, name, extra = _ZIP_HEADER.unpack_from(data)
    body = data[_ZIP_HEADER.size + name + extra :]
    if method == _STORED:
        content, end = body[:packed], packed
        complete = len(body) >= packed
    elif method == _DEFLATED:
        engine = zlib.decompressobj(wbits=-15)
        before = engine.copy()
        try:
            content = engine.decompress(body)
        except zlib.error as error:
            content = _before_fault(before, body)
            yield content
            broken(f"the zip entry is corrupt: {error}", len(content))
            return
        complete, end = engine.eof, len(body) - len(engine.unused_data)
    else:
        broken(f"the zip entry is compressed by method {method}; only stored and deflated entries are read", 0)
        return
    yield content
    if not complete:
        broken("the zip entry is cut off", len(content))
    elif not flags & _NO_SIZES and zlib.crc32(content) != crc:
        broken("the content of the zip entry does not match its checksum", len(content))
    elif body[end : end + 4] == _ZIP_MAGIC:
        broken("the zip file holds more than one entry; the first was read", len(content))
