"""`python -m mlthon data import` and `data info`."""

import json as text_json
import sys
from collections.abc import Sequence
from pathlib import Path

from mlthon.backtest.show import columns, show_count, show_time
from mlthon.data.recordings import Recording
from mlthon.data.rows import Problem
from mlthon.data.sources import NoData, open_sources
from mlthon.data.store import ImportProgress, NotAStore, Store, StreamInfo, import_files
from mlthon.data.store import info as look_at
from mlthon.errors import UserError

PROBLEMS_SHOWN = 20


def import_data(files: Sequence[Path], store: Path) -> int:
    """Import recordings into the store and say what came of it. Raises `UserError`."""
    if store.exists() and not store.is_dir():
        raise UserError(f"--to {store}: not a folder")
    try:
        sources, problems = open_sources(files)
    except NoData as error:
        raise UserError(str(error)) from None
    recordings = [each for each in sources if isinstance(each, Recording)]
    if len(recordings) < len(sources):
        raise UserError("a store cannot be imported into a store", "Give the recordings, or copy the store's folder.")
    show = _show_line if sys.stderr.isatty() else None
    try:
        result = import_files(recordings, store, show, problems)
    except OSError as error:
        raise UserError(f"{error.filename or store}: {error.strerror}") from None
    if show is not None:
        print("\r\033[K", end="", file=sys.stderr)
    _tell(result.problems, "left out")
    _tell([f"{instrument}, {show_time(ts)}: no book until the next snapshot" for instrument, ts in result.gaps], "gap")
    written = f"{result.written:,} written" + (f", {result.kept:,} there already" if result.kept else "")
    print(f"{result.rows:,} rows of {show_count(result.files, 'file')}; Parquet files in {store}: {written}")
    return 0


def _show_line(progress: ImportProgress) -> None:
    name = Path(progress.file).name
    print(
        f"\r\033[K{progress.number}/{progress.files}  {progress.rows:,} rows  {name}",
        end="",
        file=sys.stderr,
        flush=True,
    )


def _tell(problems: Sequence[Problem | str], what: str) -> None:
    for problem in problems[:PROBLEMS_SHOWN]:
        print(f"{what}: {problem}", file=sys.stderr)
    if len(problems) > PROBLEMS_SHOWN:
        print(f"{what}: {len(problems) - PROBLEMS_SHOWN} more places", file=sys.stderr)


def show_store(path: Path, *, json: bool) -> int:
    """Print what the store holds. Raises `UserError`."""
    try:
        found = look_at(Store(path))
    except (NotAStore, OSError) as error:
        raise UserError(str(error), "Make a store with: python -m mlthon data import FILE... --to STORE") from None
    _tell(found.problems, "unreadable")
    if json:
        print(text_json.dumps({"store": found.path, "streams": [_as_json(each) for each in found.streams]}))
        return 0
    heading = ("instrument", "kind", "from", "to", "rows", "files", "MB", "tick", "lot", "holes")
    print("\n".join(columns([heading, *map(_row, found.streams)], left=4)))
    print(f"\n{found.rows:,} rows, {found.size / 1e6:,.1f} MB. Times are UTC; a hole is over 10 minutes without a row.")
    return 0


def _row(info: StreamInfo) -> tuple[str, ...]:
    return (
        info.stream.instrument.name,
        info.stream.kind.name.lower(),
        show_time(info.start),
        show_time(info.end),
        f"{info.rows:,}",
        f"{info.files:,}",
        f"{info.size / 1e6:,.1f}",
        info.tick,
        info.lot,
        f"{len(info.holes):,}",
    )


def _as_json(info: StreamInfo) -> dict[str, object]:
    return {
        "instrument": info.stream.instrument.name,
        "kind": info.stream.kind.name.lower(),
        "start_ns": info.start,
        "end_ns": info.end,
        "rows": info.rows,
        "files": info.files,
        "bytes": info.size,
        "tick": info.tick,
        "lot": info.lot,
        "holes": [list(hole) for hole in info.holes],
    }
