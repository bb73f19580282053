"""Which program of this machine has a bot: a lock file named by the token's hash.

Two programs that ask Telegram for one bot's messages take them from each other. So only the one that holds the lock
asks; the lock goes with its process, whatever that dies of.
"""

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Final

from mlthon.errors import UserError
from mlthon.ops.private import open_private
from mlthon.ops.telegram.token import Token


class Claim:
    """The lock of a token in the folder of control files. Raises `UserError` where its file cannot be made."""

    def __init__(self, folder: Path, token: Token) -> None:
        self.path: Final = folder / f"telegram-{token.digest}.lock"
        self.held = False
        try:
            self._file: Final = os.fdopen(open_private(self.path), "r+")
        except OSError as error:
            raise UserError(f"{self.path}: {error.strerror}", "Look at the state folder.") from None

    def take(self, name: str) -> bool:
        """Try to get it, for the run of this name; whether it is held."""
        if self.held:
            return True
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        self.held = True
        self._file.seek(0)
        self._file.truncate()
        self._file.write(f"{name} (process {os.getpid()})")
        self._file.flush()
        return True

    def release(self) -> None:
        """Let another have it."""
        self.held = False
        fcntl.flock(self._file, fcntl.LOCK_UN)

    def holder(self) -> str:
        """Who says to have it."""
        self._file.seek(0)
        return self._file.read(200).strip() or "another program"

    def __enter__(self) -> "Claim":
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.held = False
        self._file.close()
