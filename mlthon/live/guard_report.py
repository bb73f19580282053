"""What the guard process has come to, in a file beside its log: for whoever had it cancel, and wants to know.

The guard writes it whenever something has changed since it began to cancel; whoever reads it compares `at` with the
time at which he asked.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

SUFFIX: Final = ".told"
MOST_NAMES: Final = 20


class GuardReport(Struct, frozen=True):
    """`at`: when it began to cancel (ns since 1970 UTC), and `why`. Of the orders that were open then so many were
    `cancelled`, so many were over already (`gone`: filled, or cancelled by others), and of `left` it is not known that
    they are not open any more; `names`: the first of those."""

    at: int
    why: str
    cancelled: int = 0
    gone: int = 0
    left: int = 0
    names: Sequence[str] = ()


def report_path(beside: Path) -> Path:
    """The file that belongs to a guard's log, or to the file with its process id."""
    return beside.with_suffix(SUFFIX)


def write_report(path: Path, report: GuardReport) -> None:
    """Write it whole or not at all. Raises OSError."""
    new = path.with_name(f"{path.name}.new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.encode(report))
    new.replace(path)


def read_report(path: Path, since: int) -> GuardReport | None:
    """What the guard has come to since a time (ns); None where it has said nothing, or nothing that can be read."""
    try:
        report = msgspec.json.decode(path.read_bytes(), type=GuardReport)
    except (OSError, msgspec.MsgspecError):
        return None
    return report if report.at >= since else None
