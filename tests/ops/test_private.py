"""Files of the state folder are their owner's alone: what others may have put there before it was shut is not used."""

import os
import sqlite3
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from mlthon.errors import UserError
from mlthon.ops.audit import AuditLog
from mlthon.ops.letters import SentMark
from mlthon.ops.place import Place, control_folder
from mlthon.ops.private import make_private, open_private
from mlthon.ops.telegram.claim import Claim
from mlthon.ops.telegram.store import Store
from mlthon.ops.telegram.token import Token
from mlthon.ops.web.store import WebhookStore
from tests.ops.telegram.fake import TOKEN

USERS: dict[str, Callable[[Path], object]] = {
    "audit.db": AuditLog,
    "run.telegram.db": SentMark,
    "store.db": Store,
    "webhook.db": WebhookStore,
    f"telegram-{Token(TOKEN).digest}.lock": lambda path: Claim(path.parent, Token(TOKEN)),
    "grid.run": lambda path: Place(path.parent, "grid"),
}


@pytest.mark.parametrize("name", USERS)
@pytest.mark.parametrize("how", ["link", "dangling link", "second name", "pipe", "folder"])
def test_what_is_not_a_file_of_ours_alone_is_neither_written_nor_read(tmp_path: Path, name: str, how: str) -> None:
    victim = tmp_path / "victim"
    folder = tmp_path / "run"
    folder.mkdir()
    path = folder / name
    if how != "dangling link":
        victim.write_text("precious")
        victim.chmod(0o644)
    if how in ("link", "dangling link"):
        path.symlink_to(victim)
    elif how == "second name":
        path.hardlink_to(victim)
    elif how == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
    with pytest.raises(UserError):
        USERS[name](path)
    if how == "dangling link":
        assert not victim.exists()
    else:
        assert victim.read_text() == "precious"
        assert stat.S_IMODE(victim.stat().st_mode) == 0o644


@pytest.mark.parametrize("name", [each for each in USERS if each.endswith(".db")])
def test_what_sqlite_would_open_beside_it_counts_too(tmp_path: Path, name: str) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / f"{name}-wal").symlink_to(victim)
    with pytest.raises(UserError):
        USERS[name](tmp_path / name)
    assert victim.read_text() == "precious"


@pytest.mark.parametrize("make", [make_private, lambda path: os.close(open_private(path))])
def test_what_others_could_read_they_can_no_more(tmp_path: Path, make: Callable[[Path], None]) -> None:
    path = tmp_path / "file"
    path.touch(0o666)
    path.chmod(0o666)
    make(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    make(tmp_path / "new")
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o600


def test_to_look_at_a_file_takes_away_none_of_sqlites_locks(tmp_path: Path) -> None:
    path = tmp_path / "audit.db"
    log = AuditLog(path)
    log._base.execute("BEGIN IMMEDIATE")
    make_private(path)
    other = sqlite3.connect(path, timeout=0)
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        other.execute("BEGIN IMMEDIATE")
    other.close()


def test_a_state_folder_that_others_may_write_to_is_refused(tmp_path: Path) -> None:
    """They could take the folder of control files out of it, and put their own in its place."""
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    with pytest.raises(UserError, match="everybody may write to it"):
        control_folder(tmp_path / "open")
    (tmp_path / "open").chmod(0o1777)
    assert control_folder(tmp_path / "open").is_dir()


def test_a_folder_of_control_files_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o755)
    (tmp_path / "elsewhere").chmod(0o755)
    (tmp_path / "run").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="is a link"):
        control_folder(tmp_path)
    assert stat.S_IMODE((tmp_path / "elsewhere").stat().st_mode) == 0o755


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder away")
def test_a_state_folder_of_another_user_is_refused(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    os.chown(tmp_path / "theirs", 12345, 12345)
    with pytest.raises(UserError, match="another user"):
        control_folder(tmp_path / "theirs")
