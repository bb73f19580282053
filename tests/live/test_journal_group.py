"""Entries written by a thread: order, groups, a store that fails, and what an engine makes of it."""

import queue
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from mlthon.basics.defs import OrderStatus
from mlthon.engine.entries import Entry, StoreFailed
from mlthon.live.journal_group import GroupCommit
from mlthon.live.journal_store import SqliteJournal
from tests.live.test_journal_store import NOW, entry, new, standing


class Store:
    """Keeps what is committed; `gate` holds a commit up, `failure` makes it fail."""

    def __init__(self) -> None:
        self.commits: list[list[str]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.begun = threading.Semaphore(0)
        self.failure = ""

    def commit(self, entries: Sequence[Entry]) -> None:
        self.begun.release()
        assert self.gate.wait(5)
        if self.failure:
            raise StoreFailed(self.failure)
        self.commits.append([each.wire_id for each in entries])


class Engine:
    """The thread that is called back: calls wait until `turn` makes so many."""

    def __init__(self, store: Store) -> None:
        self.calls: queue.Queue[Callable[[], None]] = queue.Queue()
        self.told: list[tuple[str, str]] = []
        self.group = GroupCommit(store.commit, self.calls.put)

    def submit(self, wire_id: str) -> None:
        self.group.submit([entry("cancel", wire_id)], lambda reason: self.told.append((wire_id, reason)))

    def turn(self, count: int = 1) -> None:
        for _ in range(count):
            self.calls.get(timeout=5)()


@pytest.fixture
def store() -> Store:
    return Store()


def test_what_comes_while_the_disk_is_busy_is_one_commit_and_told_in_order(store: Store) -> None:
    engine = Engine(store)
    store.gate.clear()
    engine.submit("a")
    assert store.begun.acquire(timeout=5)
    for wire_id in "bcd":
        engine.submit(wire_id)
    assert engine.told == []
    store.gate.set()
    engine.turn(2)
    assert store.commits == [["a"], ["b", "c", "d"]]
    assert engine.told == [(wire_id, "") for wire_id in "abcd"]
    engine.group.close()


def test_what_could_not_be_written_is_told_once_and_written_in_order_later(store: Store) -> None:
    engine = Engine(store)
    store.failure = "no room"
    engine.submit("a")
    engine.turn()
    engine.submit("b")
    engine.turn()
    assert engine.told == [("a", "no room"), ("b", "no room")]
    assert not engine.group.flush()
    store.failure = ""
    engine.group.submit((), lambda reason: engine.told.append(("again", reason)))
    engine.turn()
    assert store.commits == [["a", "b"]]
    assert engine.told[2:] == [("again", "")]
    assert engine.group.flush()
    engine.group.close()


def test_the_end_writes_what_is_left_and_calls_nobody(store: Store) -> None:
    engine = Engine(store)
    store.gate.clear()
    engine.submit("a")
    assert store.begun.acquire(timeout=5)
    engine.submit("b")
    store.gate.set()
    engine.group.close()
    assert [each for commit in store.commits for each in commit] == ["a", "b"]


def test_entries_that_the_end_could_not_write_are_said(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    engine = Engine(store)
    store.failure = "no room"
    engine.submit("a")
    engine.turn()
    engine.group.close()
    assert "the journal ended with 1 entries that could not be written" in caplog.text


def test_only_power_writes_later(tmp_path: Path) -> None:
    process = SqliteJournal(tmp_path / "process.db", now=NOW)
    assert process.write_later(lambda call: None) is None
    process.close()
    calls: queue.Queue[Callable[[], None]] = queue.Queue()
    power = SqliteJournal(tmp_path / "power.db", durability="power", now=NOW)
    group = power.write_later(calls.put)
    assert group is not None
    assert power.write_later(calls.put) is group
    told: list[str] = []
    group.submit([new()], told.append)
    group.submit([entry("ack", detail=("X",), standing=standing(OrderStatus.Untriggered))], told.append)
    power.flush()
    assert [each.standing.state for each in power.open_orders()] == [OrderStatus.Untriggered]
    power.end_run(NOW)
    power.close()
    while not calls.empty():
        calls.get()()
    assert told == ["", ""]
