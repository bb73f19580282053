"""The audit log's retention: what is too old or too much goes, the oldest first, and nothing else; and says so."""

import sqlite3
import threading
import time
from pathlib import Path

import pytest

from mlthon.errors import UserError
from mlthon.ops import audit as audit_module
from mlthon.ops.audit import AT_ONCE, DAY, ROUNDS, AuditEntry, AuditLog, Retention, prune

NOW = 1_800_000_000 * 10**9


def written(path: Path, *ages: float, detail: str = "x") -> AuditLog:
    """A log with entries so many days old."""
    log = AuditLog(path)
    log._base.execute("BEGIN")
    for age in ages:
        log.write(AuditEntry(NOW - round(age * DAY), "run", "anna", "StopStrategy", detail, f"{age:g} days"))
    log._base.execute("COMMIT")
    log._base.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return log


def kept(log: AuditLog) -> list[str]:
    return [each.outcome for each in log.last(10_000)][::-1]


def test_what_is_too_old_goes_and_an_entry_says_so(tmp_path: Path) -> None:
    log = written(tmp_path / "audit.db", 400, 366, 364, 1)
    assert prune(log.path, Retention(days=365, megabytes=100), NOW) == 2
    said, *rest = log.last(10)
    assert [each.outcome for each in rest] == ["1 days", "364 days"]
    assert (said.who, said.action, said.detail) == ("audit log", "Prune", "more than 365 days or 100 MB")
    assert said.outcome.startswith("2 old entries were removed; what is left begins at 2026-01-1")


def test_nothing_goes_and_nothing_is_said_where_nothing_is_too_much(tmp_path: Path) -> None:
    log = written(tmp_path / "audit.db", 300, 2)
    assert prune(log.path, Retention(days=365, megabytes=100), NOW) == 0
    assert kept(log) == ["300 days", "2 days"]


def test_what_is_too_much_goes_the_oldest_first_until_the_rest_fits(tmp_path: Path) -> None:
    ages = [100 - number / 100 for number in range(6000)]
    log = written(tmp_path / "audit.db", *ages, detail="y" * 400)
    assert log.path.stat().st_size > 2_500_000
    removed = prune(log.path, Retention(days=365, megabytes=1), NOW)
    assert removed % AT_ONCE == 0
    assert 3000 < removed < 5000
    assert kept(log)[:-1] == [f"{age:g} days" for age in ages[removed:]]
    size = log.path.stat().st_size
    for age in ages[:removed]:
        log.write(AuditEntry(NOW, "run", "anna", "StopStrategy", "y" * 400, f"{age:g}"))
    log._base.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert log.path.stat().st_size <= size + 100_000


def test_one_look_removes_a_bounded_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_module, "AT_ONCE", 3)
    monkeypatch.setattr(audit_module, "ROUNDS", 2)
    log = written(tmp_path / "audit.db", *[400] * 10)
    keep = Retention(days=365, megabytes=100)
    assert [prune(log.path, keep, NOW) for _ in range(3)] == [6, 4, 0]
    assert AT_ONCE * ROUNDS > 1000


def test_whoever_writes_goes_on_while_a_lot_is_removed(tmp_path: Path) -> None:
    log = written(tmp_path / "audit.db", *[400] * 5000)
    thread = threading.Thread(target=prune, args=(log.path, Retention(days=365, megabytes=100), NOW))
    thread.start()
    wrote = 0
    while thread.is_alive():
        log.write(AuditEntry(NOW, "run", "anna", "Kill", "", f"during {wrote}"))
        wrote += 1
    thread.join()
    found = kept(log)
    assert [each for each in found if each.startswith("during")] == [f"during {number}" for number in range(wrote)]
    assert not [each for each in found if each == "400 days"]


def test_an_engines_log_is_tidied_beside_it(tmp_path: Path) -> None:
    written(tmp_path / "audit.db", 400, 1).close()
    ago = time.time_ns() - round(1.5 * DAY)
    log = AuditLog(tmp_path / "audit.db", engine=True, keep=Retention(days=1, megabytes=100))
    log.write(AuditEntry(ago, "run", "anna", "Kill", "", "done"))
    log.close()
    found = AuditLog(tmp_path / "audit.db")
    assert "done" not in kept(found)
    assert "Prune" in [each.action for each in found.last(5)]


def test_a_log_that_cannot_be_pruned_is_left_and_the_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> int:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(audit_module, "prune", broken)
    log = AuditLog(tmp_path / "audit.db", engine=True, keep=Retention(days=1, megabytes=100))
    log.write(AuditEntry(NOW, "run", "anna", "Kill", "", "done"))
    log.close()
    assert kept(AuditLog(tmp_path / "audit.db")) == ["done"]
    assert "disk is full" in caplog.text


def test_a_log_that_is_no_file_of_ours_is_not_opened(tmp_path: Path) -> None:
    (tmp_path / "audit.db").write_bytes(b"no database" * 1000)
    with pytest.raises(UserError, match="cannot be opened"):
        AuditLog(tmp_path / "audit.db")
