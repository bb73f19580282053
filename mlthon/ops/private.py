"""Files that are for their owner alone, and are the files that they seem to be.

Whoever could write to the state folder once, before it was shut, may have left links in it to files that this program
would then write to, or files that he can still read. So links are not followed, and what belongs to another user, or
has a second name, is not used.
"""

import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

from mlthon.errors import UserError

_MODE: Final = 0o600
_FLAGS: Final = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


def open_private(path: Path) -> int:
    """A descriptor of the file, for reading and writing; it is made where it is not there. Raises OSError where it
    cannot be had, `UserError` where it is not this user's own."""
    descriptor = os.open(path, _FLAGS, _MODE)
    try:
        _check(path, os.fstat(descriptor))
        os.fchmod(descriptor, _MODE)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def make_private(path: Path) -> None:
    """Make a file that SQLite is to open, with what SQLite puts beside it, this user's own. Raises as `open_private`.

    A file that is there is not opened: to close it again would take away SQLite's locks on it
    (https://www.sqlite.org/howtocorrupt.html, 2.2)."""
    with suppress(FileExistsError):
        os.close(os.open(path, _FLAGS | os.O_EXCL, _MODE))
    for each in (path, *(path.with_name(f"{path.name}{suffix}") for suffix in ("-wal", "-shm"))):
        with suppress(FileNotFoundError):
            told = each.lstat()
            _check(each, told)
            if stat.S_IMODE(told.st_mode) != _MODE:
                each.chmod(_MODE)


def _check(path: Path, told: os.stat_result) -> None:
    if told.st_uid != os.getuid() or not stat.S_ISREG(told.st_mode) or told.st_nlink > 1:
        raise UserError(f"{path}: not a file of this user alone", "Look who put it there, and remove it.")


def check_folder(folder: Path) -> None:
    """Raise `UserError` where another user could put things into the folder, or take them out of it. Raises OSError
    where it is not there."""
    told = folder.stat()
    if told.st_uid not in (os.getuid(), 0):
        raise UserError(f"{folder} belongs to another user", "Set [ops] state to a folder of your own.")
    if told.st_mode & stat.S_IWOTH and not told.st_mode & stat.S_ISVTX:
        raise UserError(f"{folder}: everybody may write to it", f"chmod o-w {folder}, or set [ops] state.")
