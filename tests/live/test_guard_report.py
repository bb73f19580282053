"""What the guard has come to, as it says it to whoever had it cancel."""

import os
import time
from pathlib import Path

import pytest

from mlthon.live.guard import Guard
from mlthon.live.guard_report import GuardReport, read_report, report_path, write_report
from mlthon.live.heartbeat import Heartbeat
from tests.live.test_guard import StubExchange, spec, write_journal
from tests.live.test_guard import exchange as exchange


def test_it_says_what_was_cancelled_what_was_over_and_what_is_left(exchange: StubExchange, tmp_path: Path) -> None:
    exchange.answers["mab3f1-1"] = [{"accepted": False, "reason": "busy"}] * 2
    path = report_path(tmp_path / "guard.log")
    before = time.time_ns()
    with write_journal(tmp_path):
        Heartbeat(tmp_path / "heartbeat").close()
        guard = Guard(spec(tmp_path, exchange.url, timeout_s=100))
        guard.turn()
        assert read_report(path, 0) is None
        guard.fire("told to")
        told = read_report(path, before)
        assert told is not None
        assert (told.why, told.cancelled, told.left) == ("told to", 0, 2)
        guard.turn()
        told = read_report(path, before)
        assert told is not None
        assert (told.cancelled, told.gone, told.left, told.names) == (1, 0, 1, ["Bybit main mab3f1-1"])
        assert read_report(path, time.time_ns()) is None
        exchange.answers["mab3f1-1"] = [{"accepted": True}]
        guard._not_before.clear()
        guard.turn()
    told = read_report(path, before)
    assert told is not None
    assert (told.cancelled, told.gone, told.left, told.names) == (2, 0, 0, [])
    assert path.stat().st_mode & 0o077 == 0


def test_a_report_that_cannot_be_written_stops_no_cancel(
    exchange: StubExchange, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "guard.told.new").mkdir()
    with write_journal(tmp_path):
        Heartbeat(tmp_path / "heartbeat").close()
        guard = Guard(spec(tmp_path, exchange.url, timeout_s=100))
        guard.fire("told to")
        guard.turn()
    assert sorted(exchange.asked) == ["mab3f1-1", "mab3f1-2"]
    assert "cannot be written down" in caplog.text


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"at": "x", "why": ""}'])
def test_what_is_no_report_is_none(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "guard.told"
    path.write_bytes(content)
    assert read_report(path, 0) is None


def test_a_report_is_written_nowhere_else(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("precious")
    os.symlink(tmp_path / "victim", tmp_path / "guard.told.new")
    with pytest.raises(OSError, match="symbolic"):
        write_report(tmp_path / "guard.told", GuardReport(1, "x"))
    assert (tmp_path / "victim").read_text() == "precious"
