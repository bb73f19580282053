"""Messages of strategies wait in files until they are sent: none is lost, none comes twice after it was marked, and a
flood of one strategy harms no other."""

import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mlthon.errors import UserError
from mlthon.ops import checkpoints, letters
from mlthon.ops import outbox as module
from mlthon.ops.letters import Message, OutboxReader, SentMark, framed, last_sent, segment, segments, sent_path
from mlthon.ops.outbox import LONGEST_TEXT, Outbox


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "grid.outbox"


def texts(path: Path, after: int = 0) -> list[tuple[int, str]]:
    reader = OutboxReader(path)
    try:
        return [(each.number, each.text) for each in reader.after(after, 100_000)]
    finally:
        reader.close()


def test_messages_are_read_in_order_while_the_engine_writes(path: Path) -> None:
    outbox = Outbox(path, "grid")
    outbox.put("grid", "first")
    reader = OutboxReader(path)
    [first] = reader.after(0)
    assert (first.number, first.run, first.strategy, first.text) == (1, "grid", "grid", "first")
    assert reader.after(1) == []
    outbox.put("other", "second\n`code`")
    outbox.put("other", "third")
    assert [each.text for each in reader.after(1, 1)] == ["second\n`code`"]
    assert [each.text for each in reader.after(2)] == ["third"]
    assert [each.text for each in reader.after(0)] == ["first", "second\n`code`", "third"]
    reader.close()
    outbox.close()


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
    assert texts(path, 2) == [(3, "three")]
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


def test_a_flood_of_one_strategy_is_cut_and_others_do_not_feel_it(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "MOST_WAITING", 3)
    monkeypatch.setattr(checkpoints, "EVERY_S", 0.01)
    outbox = Outbox(path, "grid")
    for number in range(6):
        outbox.put("flood", str(number))
        outbox.put(f"quiet {number}", "one word")
    assert [text for _, text in texts(path) if text != "one word"] == ["0", "1", "2"]
    assert len(texts(path)) == 9
    assert outbox.lost == 3
    assert caplog.text.count("A MESSAGE OF flood FOR TELEGRAM IS LOST") == 1
    mark = SentMark(sent_path(path))
    mark.keep(3)
    until_sent(outbox, 3)
    outbox.put("flood", "heard again")
    assert [text for _, text in texts(path, 9)] == [
        "(3 messages were not kept: 3 of them wait already)",
        "heard again",
    ]
    mark.close()
    outbox.close()


def test_long_messages_fill_it_too(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_LONG", 100)
    outbox = Outbox(path, "grid")
    for _ in range(3):
        outbox.put("grid", "x" * 40)
    outbox.put("other", "y" * 100)
    assert [len(text) for _, text in texts(path)] == [40, 40, 100]
    outbox.close()


def test_what_earlier_runs_left_counts(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_WAITING", 3)
    for _ in range(2):
        outbox = Outbox(path, "grid")
        outbox.put("grid", "one")
        outbox.put("grid", "two")
        outbox.close()
    assert outbox.lost == 1


def test_a_full_disk_loses_messages_says_so_once_and_harms_none_that_come_after(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    outbox = Outbox(path, "grid")
    outbox.put("grid", "before")
    write = os.write
    with monkeypatch.context() as full:
        full.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:7]))
        outbox.put("grid", "half of it")
        outbox.put("grid", "half of it")
    assert outbox.lost == 2
    assert caplog.text.count("IS LOST") == 1
    outbox.put("grid", "after")
    assert [text for _, text in texts(path)] == [
        "before",
        "(2 messages were not kept: [Errno 28] no room for the whole of it)",
        "after",
    ]
    outbox.close()


@pytest.mark.parametrize("torn", [b"\x05", b"\x50\0\0\0half", b"\0\0\0\0" * 100, b"\xff" * 50])
def test_half_a_message_at_the_end_of_a_life_loses_no_other(path: Path, torn: bytes) -> None:
    first = Outbox(path, "grid")
    first.put("grid", "whole")
    first.close()
    with segment(path, 1).open("ab") as file:
        file.write(torn)
    reader = OutboxReader(path)
    assert [each.text for each in reader.after(0)] == ["whole"]
    second = Outbox(path, "grid")
    second.put("grid", "next life")
    assert [(each.number, each.text) for each in reader.after(1)] == [(2, "next life")]
    assert texts(path) == [(1, "whole"), (2, "next life")]
    reader.close()
    second.close()


def test_files_follow_one_another_and_go_when_everything_in_them_was_sent(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SEGMENT_BYTES", 500)
    monkeypatch.setattr(checkpoints, "EVERY_S", 0.01)
    outbox = Outbox(path, "grid")
    reader = OutboxReader(path)
    mark = SentMark(sent_path(path))
    found = []
    for number in range(1, 201):
        outbox.put("grid", str(number))
        if not number % 7:
            found += reader.after(found[-1].number if found else 0)
    found += reader.after(found[-1].number)
    assert [each.text for each in found] == [str(number) for number in range(1, 201)]
    assert len(segments(path)) > 10
    mark.keep(150)
    until_sent(outbox, 150)
    until_gone(path, 1)
    assert texts(path, 150) == [(number, str(number)) for number in range(151, 201)]
    reader.close()
    mark.close()
    outbox.close()


def until_gone(path: Path, first: int) -> None:
    end = time.monotonic() + 5
    while segment(path, first).exists():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_a_new_file_that_cannot_be_begun_leaves_the_old_one_in_use(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "SEGMENT_BYTES", 10)
    outbox = Outbox(path, "grid")

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(os, "open", full)
        outbox.put("grid", "one")
        outbox.put("grid", "two")
    assert texts(path) == [(1, "one"), (2, "two")]
    assert "no new file can be begun" in caplog.text
    outbox.close()


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
        segment(path, 1).unlink()
    mark = SentMark(sent_path(path))
    mark.keep(500)
    mark.close()
    outbox = Outbox(path, "grid")
    outbox.put("grid", "new")
    assert texts(path, 500) == [(501, "new")]
    outbox.close()


def test_the_files_are_for_their_owner_alone(path: Path) -> None:
    outbox, mark = Outbox(path, "grid"), SentMark(sent_path(path))
    outbox.put("grid", "x")
    mark.keep(1)
    for each in (*path.parent.iterdir(), *path.iterdir()):
        assert each.stat().st_mode & 0o077 == 0, each.name
    mark.close()
    outbox.close()


def test_what_is_no_outbox_is_refused(path: Path) -> None:
    with pytest.raises(UserError, match="no outbox can be read"):
        OutboxReader(path)
    path.write_bytes(b"no folder")
    with pytest.raises(UserError, match="the outbox cannot be used"):
        Outbox(path, "grid")


def test_a_segment_that_points_elsewhere_is_not_written(path: Path, tmp_path: Path) -> None:
    path.mkdir()
    (tmp_path / "victim").write_text("precious")
    segment(path, 1).symlink_to(tmp_path / "victim")
    with pytest.raises(UserError, match="the outbox cannot be used"):
        Outbox(path, "grid")
    assert (tmp_path / "victim").read_text() == "precious"


def test_a_message_longer_than_a_frame_may_be_is_none(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(letters, "LONGEST_FRAME", 50)
    path.mkdir()
    segment(path, 1).write_bytes(framed(Message(1, "r", "s", 0, "ok")) + framed(Message(2, "r", "s", 0, "x" * 100)))
    assert texts(path) == [(1, "ok")]


def test_a_mark_that_is_half_made_counts_as_none(path: Path) -> None:
    sqlite3.connect(sent_path(path)).close()
    assert last_sent(sent_path(path)) == 0
