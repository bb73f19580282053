"""From paths to sources: what is a path, and which importer reads it."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from mlthon.data.importers.base import Format, ReadOptions, RecordedFile, WrongFile
from mlthon.data.importers.lines import head
from mlthon.data.recordings import FORMATS, Recording, group
from mlthon.data.rows import Problem, Source
from mlthon.data.store import Store, is_store


class NoData(ValueError):
    """Paths in which there is nothing that can be read; the message names what can be."""


def open_sources(paths: Sequence[Path | str], options: ReadOptions | None = None) -> tuple[list[Source], list[Problem]]:
    """The sources that the paths hold, and the files among them that are none of the known formats.

    A path is a store, a recording, or a folder of recordings (searched with its subfolders, names that begin with a
    dot left out). Raises NoData for a path that does not exist or holds nothing known.
    """
    options = options or ReadOptions()
    problems: list[Problem] = []
    stores: list[Store] = []
    found: list[tuple[Format, RecordedFile]] = []
    for path in map(Path, paths):
        if is_store(path):
            store = Store(path)
            if not store.streams():
                raise NoData(_nothing(path, store.problems))
            stores.append(store)
            problems += store.problems
            continue
        files = _recordings(path, options, problems)
        if not files:
            raise NoData(_nothing(path, problems))
        found += files
    return [*stores, *group(found, options)], problems


def open_recordings(
    paths: Sequence[Path | str], options: ReadOptions | None = None
) -> tuple[list[Recording], list[Problem]]:
    """The same for files alone, as `mlthon.data.store.import_files` takes them. Raises NoData, also for a store."""
    options = options or ReadOptions()
    problems: list[Problem] = []
    found: list[tuple[Format, RecordedFile]] = []
    for path in map(Path, paths):
        if is_store(path):
            raise NoData(f"{path} is a store already: only recorded files can be imported")
        files = _recordings(path, options, problems)
        if not files:
            raise NoData(_nothing(path, problems))
        found += files
    return group(found, options), problems


def _recordings(path: Path, options: ReadOptions, problems: list[Problem]) -> list[tuple[Format, RecordedFile]]:
    found: list[tuple[Format, RecordedFile]] = []
    for file in _files(path):
        try:
            first = head(file)
            reader = next((reader for reader in FORMATS if reader.recognises(file, first)), None)
            if reader is None:
                raise WrongFile("not of a known format")
            found += [(reader, each) for each in reader.describe(file, first, options)]
        except (OSError, WrongFile) as error:
            problems.append(Problem(str(file), str(error)))
    return found


def _files(path: Path) -> Iterator[Path]:
    if not path.exists():
        raise NoData(f"{path}: no such file or folder")
    if not path.is_dir():
        yield path
        return
    for file in sorted(path.rglob("*")):
        if file.is_file() and not any(part.startswith(".") for part in file.relative_to(path).parts):
            yield file


def _nothing(path: Path, problems: Sequence[Problem]) -> str:
    known = "; ".join(reader.NAME for reader in FORMATS)
    seen = "".join(f"\n  {problem}" for problem in problems[:5])
    return f"{path}: nothing here can be read. Read are: a store; {known}.{seen}"
