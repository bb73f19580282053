"""A sign of life in a file: the engine writes the time at every turn of its loop, the guard reads it.

The file is mapped into memory, so a beat is a few bytes written there: no system call, and nothing that could block the
engine. The time is the system's monotonic clock, which all processes of a machine share. A process that hangs, whatever
in, stops beating; so does one that is gone.
"""

import mmap
import os
import struct
import time
from pathlib import Path
from typing import Final

from msgspec import Struct

_LAYOUT: Final = struct.Struct("<8sQQQ")
_MAGIC: Final = b"mlthonhb"


class Beat(Struct, frozen=True):
    """What a heartbeat file says: whose it is, when the last beat was (monotonic ns) and how many there were."""

    pid: int
    at: int
    count: int


class Heartbeat:
    """The engine's end. Raises OSError where the file cannot be made."""

    def __init__(self, path: Path) -> None:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            os.ftruncate(descriptor, _LAYOUT.size)
            self._map = mmap.mmap(descriptor, _LAYOUT.size)
        finally:
            os.close(descriptor)
        self._pid = os.getpid()
        self._count = 0
        self.beat()

    def beat(self) -> None:
        """The loop has come round."""
        self._count += 1
        _LAYOUT.pack_into(self._map, 0, _MAGIC, self._pid, time.monotonic_ns(), self._count)

    def close(self) -> None:
        self._map.close()


def read_beat(path: Path) -> Beat:
    """The last beat. Raises OSError, and ValueError for a file that is no heartbeat."""
    content = path.read_bytes()
    if len(content) != _LAYOUT.size or not content.startswith(_MAGIC):
        raise ValueError(f"{path} is no heartbeat file")
    _, pid, at, count = _LAYOUT.unpack(content)
    return Beat(pid, at, count)
