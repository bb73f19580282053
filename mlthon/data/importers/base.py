"""What a format is, and what is said of a file before it is read whole."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import attrs

from mlthon.basics.defs import Exchange
from mlthon.basics.instrument import Instrument
from mlthon.data.rows import Columns, Kind, Problem

Report = Callable[[Problem], None]
Block = Mapping[Kind, Columns]
"""Rows of one instrument, by kind, in the order of receipt."""


class WrongFile(ValueError):
    """A file that is not what it seemed to be; the message names the file."""


@attrs.frozen
class ReadOptions:
    """What the files do not say of themselves."""

    exchange: Exchange | None = None
    """Where raw recordings come from; None: told from the folder's name, else from the content."""
    instrument: Instrument | None = None
    """What every file is of; None: told from the content or the name."""
    displayed_units: int = attrs.field(default=1_000_000, validator=attrs.validators.gt(0))
    """The size shown at the bid and the ask of data without sizes (OANDA), in units of the base currency."""


@attrs.frozen
class RecordedFile:
    """A file of a known format, as far as one instrument goes."""

    path: Path
    instrument: Instrument
    kinds: tuple[Kind, ...]
    start: int
    """Local time of its first row (ns)."""
    note: str = ""
    """What a user should know who runs on it."""


class Format(Protocol):
    """What an importer module must have."""

    @property
    def NAME(self) -> str:  # noqa: N802
        """For messages: what files of this format are."""

    def recognises(self, path: Path, head: Sequence[bytes]) -> bool:
        """Whether the file, whose first lines are `head`, is of this format."""

    def describe(self, path: Path, head: Sequence[bytes], options: ReadOptions) -> list[RecordedFile]:
        """What the file holds: one for each instrument. Raises WrongFile."""

    def read(
        self, files: Sequence[RecordedFile], options: ReadOptions, report: Report
    ) -> Iterator[tuple[RecordedFile, Block]]:
        """The rows of files of one instrument, which are in order of time: blocks of bounded size, each with the file
        that it comes from."""
