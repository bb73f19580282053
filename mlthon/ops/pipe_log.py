"""A log into a pipe whose reader may hang: it never waits.

The operations process says what it does to the engine's process, which logs it. An engine that hangs reads nothing, and
a pipe holds 64 KiB: whoever waited for room would hang too, and `/kill` with it. So what finds no room is dropped, and
how much it was is said when there is room again.
"""

import logging
import os
import select
from typing import Final

_LOST: Final = "WARNING mlthon.ops: %d messages of the operations process found no room and are lost\n"


def never_wait(descriptor: int) -> None:
    """From now on a write to the pipe that finds no room raises `BlockingIOError`."""
    os.set_blocking(descriptor, False)


def _plain(line: str) -> str:
    """Without what would move a terminal's cursor, or worse."""
    return line if line.isprintable() else "".join(each if each.isprintable() or each == "\t" else "?" for each in line)


class PipeLog(logging.Handler):
    """See the module. `lost`: messages that found no room since one last did."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self.lost = 0
        self._descriptor = descriptor
        never_wait(descriptor)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = self.format(record)
            if self.lost:
                self._write(_LOST % self.lost)
                self.lost = 0
            for number, line in enumerate(text.splitlines()):
                # what follows the first line could pass for a line of its own, with a level and a name
                self._write(f"{' ' if number else ''}{_plain(line)}\n")
        except OSError:  # no room, or nobody to read it
            self.lost += 1
        except Exception:  # noqa: BLE001 - as of every handler: what cannot be logged must not stop the work
            self.handleError(record)

    def _write(self, line: str) -> None:
        """Write it whole or not at all, as pipes do with up to `PIPE_BUF` bytes; cut to that."""
        whole = line.encode("utf-8", "replace")
        if len(whole) > select.PIPE_BUF:
            whole = whole[: select.PIPE_BUF - 1] + b"\n"
        os.write(self._descriptor, whole)
