"""Where the control plane's files lie: one folder for all runs, which only its owner may enter.

    STATE/run/NAME.run          who runs: `RunInfo` as JSON; locked as long as the run lives
    STATE/run/NAME.sock         the control socket
    STATE/run/NAME.outbox/      messages of its strategies (`mlthon.ops.outbox`)
    STATE/run/audit.db          who had what done (`mlthon.ops.audit`), of all runs

NAME is the run's name (its strategies'), with `+` and `_` for what a file should not be called. The lock goes with its
process, whatever that dies of: so a file of a dead run is known for what it is, and the next run takes its place.
"""

import fcntl
import hashlib
import os
import re
import stat
import time
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Final

import msgspec
from msgspec import Struct

from mlthon.errors import UserError
from mlthon.live.state import state_folder
from mlthon.ops.private import check_folder, open_private

FOLDER: Final = "run"
LONGEST_SOCKET: Final = 107
"""Bytes of a Unix socket's path (unix(7): `sun_path` holds 108, the last of them 0)."""
LONGEST_NAME: Final = 40
LOCK_TRIES: Final = 3
LOCK_PAUSE_S: Final = 0.01
MOST_ALIKE: Final = 100
"""How many runs of one name are told apart."""


class RunInfo(Struct, frozen=True):
    """A run as its file tells it. `started`: ns. `guard`: the file with the guard process's id, None without one.
    `config`: its configuration file, None without one."""

    name: str
    pid: int
    mode: str
    started: int
    guard: str | None = None
    config: str | None = None


def run_name(strategies: Iterable[str]) -> str:
    """What a run of these strategies is called."""
    whole = re.sub(r"[^\w.+-]", "_", "+".join(sorted(strategies))).strip(".") or "run"
    if len(whole) <= LONGEST_NAME:
        return whole
    return f"{whole[: LONGEST_NAME - 9]}-{hashlib.sha256(whole.encode()).hexdigest()[:8]}"


def control_folder(state: str | Path | None = None) -> Path:
    """The folder of control files under a state folder; made, or mended, so that only this user may enter it. Raises
    `UserError`."""
    whole = state_folder() if state is None else Path(state).expanduser()
    folder = whole / FOLDER
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        check_folder(whole)
        told = folder.lstat()
        if not stat.S_ISDIR(told.st_mode):
            raise UserError(f"{folder} is a link, not a folder", "Look who put it there, and remove it.")
        if told.st_uid != os.getuid():
            raise UserError(f"{folder} belongs to another user", "Set [ops] state to a folder of your own.")
        if stat.S_IMODE(told.st_mode) != 0o700:
            folder.chmod(0o700)
    except OSError as error:
        raise UserError(f"{folder}: no place for the control socket: {error.strerror}", "Set [ops] state.") from None
    return folder


class Place:
    """A run's files, its name kept for it while it lives. Raises `UserError` where a run of this name lives already."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self.name = name
        self.socket = folder / f"{name}.sock"
        self.outbox = folder / f"{name}.outbox"
        self.audit = folder / "audit.db"
        if len(os.fsencode(self.socket)) > LONGEST_SOCKET:
            raise UserError(
                f"{self.socket}: too long a path for a socket (over {LONGEST_SOCKET} bytes)",
                "Set [ops] state to a shorter path.",
            )
        self._file = _locked(folder / f"{name}.run", name)

    def tell(self, info: RunInfo) -> None:
        """Write down who runs."""
        self._file.seek(0)
        self._file.truncate()
        self._file.write(msgspec.json.encode(info))
        self._file.flush()

    def close(self) -> None:
        """The run is over; its name is free."""
        self._file.truncate(0)
        self._file.close()


def free_place(folder: Path, name: str) -> Place:
    """The place of a run of this name, or of NAME-2, NAME-3, ... where others of the name live. Raises `UserError`."""
    for number in range(1, MOST_ALIKE):
        try:
            return Place(folder, name if number == 1 else f"{name}-{number}")
        except NameTaken:
            continue
    return Place(folder, f"{name}-{MOST_ALIKE}")


class NameTaken(UserError):
    """A run of this name lives."""


def _locked(path: Path, name: str) -> IO[bytes]:
    try:
        descriptor = open_private(path)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}", "Look at the state folder, or set [ops] state.") from None
    file = os.fdopen(descriptor, "r+b")
    if not _lock(file):
        holder = _read(file)
        file.close()
        who = f" (process {holder.pid})" if holder is not None else ""
        raise NameTaken(
            f"a run called {name} is going on already{who}",
            f"Stop it first (python -m mlthon ctl status --run {name}), or give this one another [ops] state.",
        )
    return file


def _lock(file: IO[bytes]) -> bool:
    """Lock it, trying for a moment: whoever lists the runs holds a lock just to look."""
    for _ in range(LOCK_TRIES):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            time.sleep(LOCK_PAUSE_S)
        else:
            return True
    return False


def _read(file: IO[bytes]) -> RunInfo | None:
    file.seek(0)
    try:
        return msgspec.json.decode(file.read(), type=RunInfo)
    except msgspec.MsgspecError:
        return None


def living_runs(folder: Path) -> dict[str, RunInfo]:
    """The runs that live, by their places' names."""
    found = {}
    for path in sorted(folder.glob("*.run")):
        try:
            with path.open("rb") as file:
                if _is_locked(file) and (info := _read(file)) is not None:
                    found[path.stem] = info
        except OSError:  # gone, or another user's
            continue
    return found


def _is_locked(file: IO[bytes]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    return False
