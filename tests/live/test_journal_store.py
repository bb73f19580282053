"""The journal's file: what comes back after a restart, and what is said of a file that is not as it should be."""

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from mlthon.basics import catalogue
from mlthon.basics.defs import TIF, Exchange, ExecInstructions, OrderStatus, OrderType
from mlthon.basics.instrument import Instrument
from mlthon.engine.entries import Entry, Fill, Sent, Standing, StoreFailed
from mlthon.errors import UserError
from mlthon.live.journal_check import check
from mlthon.live.journal_file import MOST_INTENTS, fields_of, instrument_of
from mlthon.live.journal_store import JournalReader, SqliteJournal
from tests.engine.rig import BTC, ETH

NOW = 1_800_000_000 * 10**9


def entry(kind: str, wire_id: str = "mab3f1-1", **more: Any) -> Entry:
    return Entry(ts=NOW, exchange=Exchange.Bybit, account="main", kind=kind, wire_id=wire_id, **more)


def standing(state: OrderStatus = OrderStatus.PendingNew, filled: int = 0) -> Standing:
    return Standing(state=state, exchange_id="X1", price=1000, qty=300, leaves=300 - filled, filled=filled)


def new(wire_id: str = "mab3f1-1", strategy: str = "one", instrument: Instrument = BTC, created: int = NOW) -> Entry:
    sent = Sent(
        strategy=strategy,
        client_id="7",
        instrument=instrument,
        side=-1,
        order_type=OrderType.StopLimit,
        tif=TIF.GTC,
        exec_instr=ExecInstructions.ReduceOnly,
        price=1000,
        qty=300,
        stop_price=1100,
        close_position=False,
        created_ts=created,
    )
    return entry("new", wire_id, sent=sent, standing=standing())


def fill(
    exec_id: str, qty: int, side: int = -1, ts: int = NOW, strategy: str = "one", instrument: Instrument = BTC
) -> Entry:
    one = Fill(
        exec_id=exec_id,
        strategy=strategy,
        instrument=instrument,
        side=side,
        price=1000,
        qty=qty,
        fee=-(10**20),
        fee_coin="USDT",
        maker=True,
        ts=ts,
    )
    detail = (exec_id, 1000, qty, 0, -(10**20), "USDT", True, ts)
    return entry("fill", detail=detail, standing=standing(OrderStatus.PartiallyFilled, qty), fill=one)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


@pytest.mark.parametrize("durability", ["process", "power"])
def test_what_was_sent_comes_back_as_it_was_sent(path: Path, durability: Any) -> None:
    journal = SqliteJournal(path, durability=durability, now=NOW)
    sent = new()
    journal.commit([sent, new("mab3f1-2", created=NOW - 1)])
    journal.commit([entry("ack", standing=standing(OrderStatus.New))])
    journal.commit([fill("E1", 100)])
    journal.commit([entry("cancelled", "mab3f1-2", standing=standing(OrderStatus.Cancelled))])
    journal.close()
    again = SqliteJournal(path, durability=durability, now=NOW)
    (order,) = again.open_orders(Exchange.Bybit, "main")
    assert (order.wire_id, order.exchange, order.account) == ("mab3f1-1", Exchange.Bybit, "main")
    assert order.sent == sent.sent
    assert order.standing == standing(OrderStatus.PartiallyFilled, 100)
    assert again.open_orders(Exchange.Bybit, "other") == []
    assert (again.run, again.installation) == (2, journal_installation(path))
    again.close()


def journal_installation(path: Path) -> str:
    with JournalReader(path) as reader:
        return reader.installation


def test_runs_count_upwards_and_the_installation_stays(path: Path) -> None:
    seen = []
    for _ in range(3):
        journal = SqliteJournal(path, now=NOW)
        seen.append((journal.run, journal.installation))
        journal.end_run(NOW + 1)
        journal.close()
    assert [run for run, _ in seen] == [1, 2, 3]
    assert len({installation for _, installation in seen}) == 1
    assert len(seen[0][1]) == 4
    assert set(seen[0][1]) <= set("0123456789abcdefghijklmnopqrstuvwxyz")


def test_a_run_whose_end_cannot_be_written_has_still_ended(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    journal = SqliteJournal(path, now=NOW)
    journal._write.execute("PRAGMA query_only = ON")
    journal.end_run(NOW + 1)
    assert "that the run has ended cannot be written" in caplog.text
    journal.close()
    with JournalReader(path) as reader:
        assert reader.rows("SELECT ended FROM runs") == [(None,)]


@pytest.mark.parametrize("suffix", ["", "-wal"])
def test_a_journal_that_is_deleted_under_a_run_takes_nothing_more(path: Path, suffix: str) -> None:
    """Nobody would find again what is written into a file without a name."""
    journal = SqliteJournal(path, now=NOW)
    journal.commit([new()])
    journal.look()
    journal.commit([new("mab3f1-2")])
    Path(f"{path}{suffix}").unlink()
    journal.look()
    with pytest.raises(StoreFailed, match="was deleted or replaced"):
        journal.commit([new("mab3f1-3")])
    journal.close()


def test_a_lock_that_cannot_be_written_is_told(path: Path) -> None:
    Path(f"{path}.lock").symlink_to("/dev/full")
    with pytest.raises(UserError, match="the journal cannot be locked"):
        SqliteJournal(path, now=NOW)


def test_executions_are_known_once_and_add_up_to_holdings(path: Path) -> None:
    journal = SqliteJournal(path, now=NOW)
    journal.commit([new(), fill("E1", 100), fill("E1", 100), fill("E2", 50, ts=NOW + 5)])
    others = fill("E1", 30, side=1, strategy="two", instrument=ETH)
    journal.commit([new("mab3f1-2", strategy="two", instrument=ETH), replace(others, wire_id="mab3f1-2")])
    assert journal.exec_ids(Exchange.Bybit, "main", NOW) == {
        (BTC.number, "E1"),
        (BTC.number, "E2"),
        (ETH.number, "E1"),
    }
    assert journal.exec_ids(Exchange.Bybit, "main", NOW + 1) == {(BTC.number, "E2")}
    assert journal.last_execution_ts(Exchange.Bybit, "main") == NOW + 5
    assert journal.last_execution_ts(Exchange.Bybit, "other") is None
    held = {(each.strategy, each.name): each.units for each in journal.holdings()}
    assert held == {
        ("one", BTC.name): -150 * BTC.qty_scale.step_units,
        ("two", ETH.name): 30 * ETH.qty_scale.step_units,
    }
    journal.close()


def test_a_failed_commit_writes_nothing_and_says_so(path: Path) -> None:
    journal = SqliteJournal(path, now=NOW)
    journal._write.execute("CREATE TRIGGER t BEFORE INSERT ON fills BEGIN SELECT raise(FAIL, 'disk full'); END")
    with pytest.raises(StoreFailed, match="disk full"):
        journal.commit([new(), fill("E1", 100)])
    assert journal.open_orders() == []
    journal._write.execute("DROP TRIGGER t")
    journal.commit([new(), fill("E1", 100)])
    assert [each.wire_id for each in journal.open_orders()] == ["mab3f1-1"]
    journal.close()


def test_orders_that_nobody_here_sent_are_not_restored(path: Path) -> None:
    journal = SqliteJournal(path, now=NOW)
    foreign = new("L1")
    journal.commit([entry("foreign", "L1", sent=foreign.sent, standing=foreign.standing)])
    assert journal.open_orders() == []
    journal.close()


def test_a_second_process_is_refused_and_a_reader_is_not(path: Path) -> None:
    journal = SqliteJournal(path, now=NOW)
    journal.commit([new()])
    with pytest.raises(UserError, match=f"in use by another process .id {os.getpid()}."):
        SqliteJournal(path, now=NOW)
    with JournalReader(path) as reader:
        assert len(reader.open_orders()) == 1
        journal.commit([new("mab3f1-2")])
        assert len(reader.open_orders()) == 2
    journal.close()


def test_a_missing_file_is_told(path: Path) -> None:
    with pytest.raises(UserError, match="no such journal"):
        JournalReader(path)
    with pytest.raises(UserError, match="cannot be locked"):
        SqliteJournal(path / "deeper" / "journal.db", now=NOW)


def test_a_file_that_is_no_journal_is_told(path: Path, tmp_path: Path) -> None:
    path.write_bytes(b"this is a text\n" * 1000)
    with pytest.raises(UserError, match="damaged or no journal"):
        SqliteJournal(path, now=NOW)
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as db:
        db.execute("CREATE TABLE t (x)")
    with pytest.raises(UserError, match="is no journal of mlthon"):
        SqliteJournal(other, now=NOW)


def filled(path: Path) -> None:
    journal = SqliteJournal(path, now=NOW)
    for number in range(200):
        journal.commit([new(f"mab3f1-{number}")])
    journal.close()


def test_a_torn_file_is_told(path: Path) -> None:
    filled(path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match="damaged"):
        SqliteJournal(path, now=NOW)


def test_a_file_with_a_wrong_page_is_told(path: Path) -> None:
    filled(path)
    content = bytearray(path.read_bytes())
    content[8192:12288] = b"\xff" * 4096
    path.write_bytes(content)
    with pytest.raises(UserError, match="damaged"):
        SqliteJournal(path, now=NOW)


def test_a_journal_of_another_version_is_told(path: Path) -> None:
    SqliteJournal(path, now=NOW).close()
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 9")
    db.close()
    with pytest.raises(UserError, match="version 9"):
        SqliteJournal(path, now=NOW)


WRITER = """
import sys
from pathlib import Path
from mlthon.live.journal_store import SqliteJournal
from tests.live.test_journal_store import NOW, new
journal = SqliteJournal(Path(sys.argv[1]), now=NOW)
number = 0
while True:
    number += 1
    journal.commit([new(f"mab3f1-{number}")])
    print(number, flush=True)
"""


def test_nothing_committed_is_lost_when_the_process_is_killed(path: Path) -> None:
    root = Path(__file__).parents[2]
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, cwd=root, text=True)
    assert writer.stdout is not None
    for _ in range(50):
        last = int(writer.stdout.readline())
    writer.send_signal(signal.SIGKILL)
    told = [int(each) for each in writer.stdout.read().split()]
    writer.wait()
    writer.stdout.close()
    journal = SqliteJournal(path, now=NOW)
    assert len(journal.open_orders()) >= max([last, *told])
    assert journal.run == 2
    journal.close()


def test_every_shipped_instrument_survives_the_journal() -> None:
    for exchange in catalogue.exchanges():
        for each in catalogue.instruments(exchange):
            again = instrument_of(fields_of(each))
            assert type(again) is type(each)
            assert again.__dict__.keys() >= {"min_quantity"}
            shown = [(name, str(getattr(again, name))) for name in Instrument.__annotations__]
            assert shown == [(name, str(getattr(each, name))) for name in Instrument.__annotations__]


def crash(journal: SqliteJournal) -> None:
    """Leave it as a process that is killed does."""
    journal._lock.close()


def test_an_order_is_seen_though_only_its_first_event_was_written(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    journal = SqliteJournal(path, now=NOW)
    journal.commit([new()])
    raw = sqlite3.connect(path)
    assert raw.execute("SELECT count(*) FROM orders").fetchone() == (0,)
    with JournalReader(path) as reader:
        (seen,) = reader.open_orders()
        assert list(check(reader)) == []
        journal.commit([entry("cancel")])
        assert reader.open_orders() == [seen]
        journal.commit([entry("ack", detail=("X1", 1000, 300, 300, NOW), standing=standing(OrderStatus.New))])
        (acked,) = reader.open_orders()
    assert raw.execute("SELECT count(*) FROM orders").fetchone() == (1,)
    raw.close()
    assert acked.sent == seen.sent
    assert (seen.standing.state, acked.standing.state) == (OrderStatus.PendingNew, OrderStatus.New)
    assert (seen.in_doubt, acked.in_doubt) == (True, False)
    journal.close()


def test_rows_that_a_crash_left_out_are_made_by_the_next_run(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    journal = SqliteJournal(path, now=NOW)
    ack = entry("ack", "mab3f1-1", detail=("X1", 1000, 300, 300, NOW), standing=standing(OrderStatus.Untriggered))
    journal.commit([new("mab3f1-1"), ack])
    journal.commit([new("mab3f1-2")])
    crash(journal)
    after = SqliteJournal(path, now=NOW)
    raw = sqlite3.connect(path)
    assert raw.execute("SELECT wire_id, state FROM orders ORDER BY 1").fetchall() == [
        ("mab3f1-1", "Untriggered"),
        ("mab3f1-2", "PendingNew"),
    ]
    raw.close()
    assert [each.wire_id for each in after.open_orders()] == ["mab3f1-1", "mab3f1-2"]
    assert list(check(after)) == []
    after.close()


def test_a_long_row_of_orders_without_answers_gets_its_rows_in_between(tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path / "journal.db", now=NOW)
    for number in range(3 * MOST_INTENTS):
        journal.commit([new(f"mab3f1-{number}", created=NOW + number)])
        if number % 7 == 0:
            journal.commit([entry("cancel", f"mab3f1-{number}")])
    assert len(journal.open_orders()) == 3 * MOST_INTENTS
    assert list(check(journal)) == []
    journal.close()


def test_an_orderly_end_leaves_no_order_without_its_row(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    journal = SqliteJournal(path, now=NOW)
    journal.commit([new()])
    journal.close()
    raw = sqlite3.connect(path)
    assert raw.execute("SELECT count(*) FROM orders").fetchone() == (1,)
    raw.close()


def test_a_fill_belongs_to_the_strategy_that_sent_the_order_though_it_does_not_run_any_more(tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path / "journal.db", now=NOW)
    journal.commit([new(strategy="one")])
    journal.commit([fill("E1", 100, strategy="exchange")])
    assert [each.strategy for each in journal.holdings()] == ["one"]
    journal.close()
