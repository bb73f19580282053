"""A run's guard from the run's side: what it is told at the end, and what happens when it dies."""

import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from mlthon.basics.defs import Exchange, OrderStatus
from mlthon.engine.clock import SECOND, Clock
from mlthon.errors import UserError
from mlthon.live import watch as watches
from mlthon.live.driver import Driver, WallTime
from mlthon.live.journal_store import SqliteJournal
from mlthon.live.watch import AGAIN_S, UNGUARDED, Watch
from tests.live.test_journal_store import entry, new, standing

BYBIT = Exchange.Bybit


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[SqliteJournal]:
    """One open order."""
    made = SqliteJournal(tmp_path / "journal.db", now=time.time_ns())
    made.commit([new("mab3f1-1")])
    yield made
    made.close()


class StubGuard:
    """Stands for the guard process. `slow`: those made from now on do not watch yet."""

    log = "guard.log"
    made: ClassVar[list["StubGuard"]] = []
    slow = False
    failure = ""

    def __init__(self, _spec: Any) -> None:
        if StubGuard.failure:
            raise OSError(12, StubGuard.failure)
        self.told: list[str] = []
        self.alive = True
        self.watches = not StubGuard.slow
        self.pid = 7 + len(StubGuard.made)
        StubGuard.made.append(self)

    def started(self) -> "StubGuard":
        if not self.watches:
            raise UserError("the guard process does not start")
        return self

    @property
    def ready(self) -> bool:
        return self.alive and self.watches

    def goodbye(self, _timeout_s: float) -> int:
        self.told.append("goodbye")
        return 0

    def finish(self) -> None:
        self.told.append("finish")

    def cancel(self) -> None:
        self.told.append("cancel")

    def drop(self) -> None:
        self.told.append("drop")


@pytest.fixture(autouse=True)
def _guarded(monkeypatch: pytest.MonkeyPatch) -> None:
    """No guard process is started."""
    monkeypatch.setattr(StubGuard, "made", [])
    monkeypatch.setattr(StubGuard, "slow", False)
    monkeypatch.setattr(StubGuard, "failure", "")
    monkeypatch.setattr(watches, "GuardProcess", StubGuard)
    monkeypatch.setattr(watches, "_guarded", lambda each: each)
    monkeypatch.setattr(watches, "GuardSpec", SimpleNamespace)


class Watched:
    """A watch of one account, and its clock."""

    def __init__(self, journal: SqliteJournal, account: str = "main", **options: bool) -> None:
        self.risk = SimpleNamespace(halted=None)
        mine: Any = SimpleNamespace(
            venue=SimpleNamespace(exchange=BYBIT, offset=0), gateway=SimpleNamespace(account=account), risk=self.risk
        )
        self.clock = Clock(SECOND)
        self.watch = Watch(journal, [mine], Driver(self.clock, WallTime()), 5.0, **options)

    @property
    def halted(self) -> str:
        return str(self.risk.halted())

    def wait(self, seconds: float) -> None:
        self.clock.run_until(self.clock.now + round(seconds * SECOND))


@pytest.mark.parametrize(
    ("account", "cancel_left", "told"),
    [("main", True, "finish"), ("main", False, "goodbye"), ("another", True, "goodbye")],
)
def test_the_guard_goes_on_with_orders_of_the_runs_accounts_that_should_not_be_open(
    journal: SqliteJournal,
    caplog: pytest.LogCaptureFixture,
    account: str,
    cancel_left: bool,
    told: str,
) -> None:
    watch = Watched(journal, account, cancel_left=cancel_left).watch
    watch.start()
    watch.stop()
    assert StubGuard.made[0].told == [told]
    assert ("the guard process (id 7) goes on cancelling mab3f1-1" in caplog.text) is (told == "finish")


def test_without_open_orders_the_guard_is_let_go(journal: SqliteJournal) -> None:
    journal.commit([entry("cancelled", "mab3f1-1", standing=standing(OrderStatus.Cancelled))])
    watch = Watched(journal).watch
    watch.stop()
    assert StubGuard.made[0].told == ["goodbye"]


def test_while_no_guard_watches_nothing_that_adds_to_a_risk_is_sent_and_a_new_one_is_started(
    journal: SqliteJournal, caplog: pytest.LogCaptureFixture
) -> None:
    rig = Watched(journal)
    rig.watch.start()
    rig.wait(1)
    assert (rig.halted, len(StubGuard.made)) == ("", 1)
    StubGuard.slow = True
    StubGuard.made[0].alive = False
    rig.wait(1)
    assert (rig.halted, len(StubGuard.made)) == (UNGUARDED, 2)
    assert StubGuard.made[0].told == ["drop"]
    StubGuard.made[1].alive = False
    rig.wait(1)
    assert len(StubGuard.made) == 2
    rig.wait(AGAIN_S)
    assert len(StubGuard.made) == 3
    StubGuard.made[2].watches = True
    rig.wait(1)
    assert rig.halted == ""
    assert rig.watch.pid_file.read_text() == f"{StubGuard.made[2].pid}\n"
    rig.watch.cancel()
    assert StubGuard.made[2].told == ["cancel"]
    assert caplog.text.count(UNGUARDED) == 1
    assert "a new guard process watches (id 9)" in caplog.text
    rig.watch.stop()


def test_a_kill_while_no_guard_watches_is_carried_out_by_the_next_one(journal: SqliteJournal) -> None:
    rig = Watched(journal)
    rig.watch.start()
    StubGuard.slow = True
    StubGuard.made[0].alive = False
    rig.watch.cancel()
    rig.wait(1)
    assert [each.told for each in StubGuard.made] == [["drop"], []]
    StubGuard.made[1].watches = True
    rig.wait(1)
    assert StubGuard.made[1].told == ["cancel"]
    rig.watch.stop()


def test_a_machine_that_has_no_process_left_is_told(journal: SqliteJournal, caplog: pytest.LogCaptureFixture) -> None:
    rig = Watched(journal)
    rig.watch.start()
    StubGuard.failure = "Cannot allocate memory"
    StubGuard.made[0].alive = False
    rig.wait(1)
    assert rig.halted == UNGUARDED
    assert "a new guard process cannot be started: Cannot allocate memory" in caplog.text
    rig.watch.stop()
    assert "these orders are open: mab3f1-1; cancel them at the exchange" in caplog.text


def test_orders_left_open_are_given_to_a_new_guard_where_the_first_is_dead(journal: SqliteJournal) -> None:
    rig = Watched(journal)
    StubGuard.made[0].alive = False
    rig.watch.stop()
    assert [each.told for each in StubGuard.made] == [[], ["finish"]]
