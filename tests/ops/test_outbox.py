"""Messages of strategies wait in a file until they are sent: none is lost, none comes twice after it was marked."""

import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mlthon.errors import UserError
from mlthon.ops import checkpoints
from mlthon.ops import outbox as module
from mlthon.ops.outbox import LONGEST_TEXT, Outbox, OutboxReader, SentMark, sent_path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "grid.outbox.db"


def texts(path: Path, after: int = 0) -> list[tuple[int, str]]:
    reader = OutboxReader(path)
    try:
        return [(each.number, each.text) for each in reader.after(after)]
    finally:
        reader.close()


def test_messages_are_read_in_order_while_the_engine_writes(path: Path) -> None:
    outbox = Outbox(path, "grid")
    outbox.put("grid", "first")
    reader = OutboxReader(path)
    [first] = reader.after(0)
    assert (first.number, first.run, first.strategy, first.text) == (1, "grid", "grid", "first")
    outbox.put("other", "second\n`code`")
    assert [each.text for each in reader.after(1)] == ["second\n`code`"]
    assert reader.waiting(0) == 2
    reader.close()
    outbox.close()
    assert path.stat().st_mode & 0o077 == 0


def test_what_was_sent_is_gone_in_the_next_run_and_numbers_go_on(path: Path) -> None:
    outbox = Outbox(path, "grid")
    for text in ("one", "two", "three"):
        outbox.put("grid", text)
    outbox.close()
    mark = SentMark(sent_path(path))
    assert mark.number == 0
    mark.keep(2)
    mark.close()
    again = Outbox(path, "grid")
    assert texts(path) == [(3, "three")]
    mark = SentMark(sent_path(path))
    assert mark.number == 2
    mark.keep(3)
    mark.close()
    again.close()
    last = Outbox(path, "grid")
    last.put("grid", "four")
    assert texts(path, 3) == [(4, "four")]
    last.close()


def test_a_program_that_is_killed_loses_no_message(path: Path) -> None:
    program = (
        "import os, sys, pathlib; from mlthon.ops.outbox import Outbox\n"
        "box = Outbox(pathlib.Path(sys.argv[1]), 'grid')\n"
        "for n in range(100): box.put('grid', str(n))\n"
        "os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", program, str(path)], check=False, timeout=30)
    assert [text for _, text in texts(path)] == [str(n) for n in range(100)]


def test_long_and_odd_texts_are_kept_as_far_as_they_can_be(path: Path) -> None:
    outbox = Outbox(path, "grid")
    outbox.put("grid", "x" * (LONGEST_TEXT + 1))
    outbox.put("grid", "half \ud800 a pair, and \0 zero")
    outbox.close()
    [long, odd] = [text for _, text in texts(path)]
    assert (len(long), long[-1]) == (LONGEST_TEXT, "]")
    assert odd == "half ? a pair, and \0 zero"


def test_a_flood_and_a_broken_file_lose_messages_and_say_so_once(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "MOST_WAITING", 3)
    outbox = Outbox(path, "grid")
    for n in range(6):
        outbox.put("grid", str(n))
    assert (len(texts(path)), outbox.lost) == (3, 3)
    assert caplog.text.count("IS LOST") == 1
    outbox.close()
    other = Outbox(path.with_name("other.outbox.db"), "other")
    other._base.execute("DROP TABLE messages")
    other.put("grid", "x")
    assert other.lost == 1
    assert "no such table" in caplog.text
    other.close()


def test_what_was_sent_makes_room_in_a_run_that_goes_on(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_WAITING", 10)
    monkeypatch.setattr(checkpoints, "EVERY_S", 0.01)
    outbox = Outbox(path, "grid")
    mark = SentMark(sent_path(path))
    for number in range(1, 101):
        outbox.put("grid", str(number))
        if number % 10 == 0:
            mark.keep(number)
            until_sent(outbox, number)
    assert outbox.lost == 0
    assert len(texts(path)) < 30
    assert texts(path)[-1] == (100, "100")
    mark.close()
    outbox.close()


def until_sent(outbox: Outbox, number: int) -> None:
    """Wait until the outbox has seen that this number was sent."""
    end = time.monotonic() + 5
    while outbox._sent != number:
        assert time.monotonic() < end
        time.sleep(0.005)


@pytest.mark.parametrize("emptied", [False, True])
def test_an_outbox_that_is_made_anew_goes_on_after_the_mark(path: Path, emptied: bool) -> None:
    """Its numbers would be taken for sent, and the messages be lost."""
    if emptied:
        before = Outbox(path, "grid")
        before.put("grid", "old")
        before.close()
    mark = SentMark(sent_path(path))
    mark.keep(500)
    mark.close()
    outbox = Outbox(path, "grid")
    outbox.put("grid", "new")
    assert texts(path, 500) == [(501, "new")]
    outbox.close()


def test_the_files_beside_it_are_as_private(path: Path) -> None:
    outbox, mark = Outbox(path, "grid"), SentMark(sent_path(path))
    outbox.put("grid", "x")
    mark.keep(1)
    for each in path.parent.iterdir():
        assert each.stat().st_mode & 0o077 == 0, each.name
    mark.close()
    outbox.close()


def test_a_file_that_is_no_outbox_is_refused(path: Path) -> None:
    with pytest.raises(UserError, match="no outbox can be read"):
        OutboxReader(path)
    path.write_bytes(b"no database" * 100)
    with pytest.raises(UserError, match="the outbox cannot be used"):
        Outbox(path, "grid")


def test_a_mark_that_is_half_made_counts_as_none(path: Path) -> None:
    sqlite3.connect(sent_path(path)).close()
    assert module.last_sent(sent_path(path)) == 0
