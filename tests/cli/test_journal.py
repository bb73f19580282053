"""`journal show`, `verify` and `export` on a journal that a session wrote, and on one that was tampered with."""

import csv
import json
import sqlite3
from pathlib import Path

import pytest

from mlthon.basics.defs import CancelCode, Exchange, GtwRejectCode, OrderStatus, Side
from mlthon.cli import USER_ERROR, main
from mlthon.engine.journal import JournalStage
from mlthon.live.journal_store import SqliteJournal
from tests.engine.rig import BTC, START, Rig, ScriptedGateway
from tests.live.test_journal_store import entry, new, standing

AGAIN = (
    "INSERT INTO events SELECT seq + 100, ts, run, exchange, account, kind, wire_id, detail FROM events WHERE kind ="
)
"""Writes events of a kind once more."""


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """What a strategy did: one order filled, one cancelled after a part of it, one refused, one left open."""
    path = tmp_path / "journal.db"
    rig = Rig()
    store = SqliteJournal(path, now=START)
    port = rig.engine.ports[Exchange.Bybit, "main"]
    stage = JournalStage(port, Exchange.Bybit, "main", rig.clock, store, port.find)
    gateway = ScriptedGateway(Exchange.Bybit, "main", rig.clock, stage)
    stage.gateway = gateway
    port.gateway = stage
    for client_id in range(1, 5):
        rig.env.send_new_order(client_id, Exchange.Bybit, BTC, Side.Buy, "100", "0.3")
    first, second, third, _ = (rig.session.orders[str(each)] for each in range(1, 5))
    stage.new_order_reject(third.wire_id, GtwRejectCode.InsufficientMargin, "no money")
    rig.wait(2)
    stage.order_execution(first.wire_id, "E1", first.price, 100, 200, 2 * 10**19, "USDT", True, rig.clock.now)
    stage.order_execution(first.wire_id, "E2", first.price, 200, 0, 10**16, "USDT", False, rig.clock.now)
    stage.order_execution(second.wire_id, "E3", second.price, 100, 200, 0, "USDT", True, rig.clock.now)
    stage.order_cancelled(second.wire_id, False, rig.clock.now, CancelCode.CanceledByUser, "")
    rig.env.send_cancel_all(Exchange.Bybit, BTC)
    rig.wait(2)
    store.end_run(rig.clock.now)
    store.close()
    return path


def tamper(path: Path, *statements: str) -> None:
    db = sqlite3.connect(path)
    for statement in statements:
        db.execute(statement)
    db.commit()
    db.close()


def test_show_tells_what_is_open_and_held(journal: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["journal", "show", str(journal), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["orders"], found["fills"]) == (4, 3)
    assert [(each["client_id"], each["state"], each["qty"]) for each in found["open_orders"]] == [("4", "New", "0.3")]
    assert [each["position"] for each in found["holdings"]] == ["0.4"]
    assert [each["run"] for each in found["runs"]] == [1]
    assert main(["journal", "show", str(journal)]) == 0
    shown = capsys.readouterr().out
    assert "4 orders, 3 fills" in shown
    assert "Positions by fills" in shown


def test_verify_is_content_with_what_a_session_wrote(journal: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["journal", "verify", str(journal)]) == 0
    assert "all in order" in capsys.readouterr().out


def test_verify_knows_orders_that_were_asked_after(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = SqliteJournal(tmp_path / "journal.db", now=START)
    store.commit([new(), entry("unknown", detail=("timeout",), standing=standing(OrderStatus.Unknown))])
    store.commit([entry("resolved", detail=("New", 300), standing=standing(OrderStatus.New))])
    store.close()
    assert main(["journal", "verify", str(tmp_path / "journal.db")]) == 0
    assert "3 events, all in order" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("statement", "fault"),
    [
        ("DELETE FROM fills WHERE exec_id = 'E2'", "its fills add up to 100 lots, it is said to have 300"),
        ("UPDATE fills SET wire_id = 'm9-9' WHERE exec_id = 'E3'", "belongs to order m9-9, which is not there"),
        ("UPDATE fills SET qty = -1 WHERE exec_id = 'E3'", "fill E3 is of -1 lots"),
        ("UPDATE orders SET state = 'New' WHERE client_id = '1'", "but its events say Filled"),
        ("UPDATE orders SET state = 'Lost' WHERE client_id = '1'", "there is no state 'Lost'"),
        ("UPDATE orders SET leaves = 5 WHERE client_id = '4'", "with 5 lots left, where 300 should be"),
        ("UPDATE orders SET qty = 200 WHERE client_id = '1'", "300 lots filled of 200"),
        ("UPDATE orders SET is_over = 1 WHERE client_id = '4'", "New, but marked as over"),
        ("DELETE FROM orders WHERE client_id = '4'", "PendingNew, but its events say New"),
        ("DELETE FROM events WHERE seq = 5", "events 5 to 5 are missing"),
        ("DELETE FROM events WHERE kind = 'new'", "of an order that was never sent"),
        (f"{AGAIN} 'fill'", "execution E1 came twice"),
        (f"{AGAIN} 'new'", "was sent twice"),
        ("UPDATE orders SET instrument = 77 WHERE client_id = '4'", "it names something that instruments has not"),
    ],
)
def test_verify_finds_what_is_wrong(
    journal: Path, statement: str, fault: str, capsys: pytest.CaptureFixture[str]
) -> None:
    tamper(journal, statement)
    assert main(["journal", "verify", str(journal)]) == USER_ERROR
    assert fault in capsys.readouterr().err
    assert main(["journal", "verify", str(journal), "--json"]) == USER_ERROR
    assert any(fault in each for each in json.loads(capsys.readouterr().out)["faults"])


def test_export_writes_json_lines_and_csv(journal: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["journal", "export", str(journal)]) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [each["kind"] for each in events[:5]] == ["new", "new", "new", "new", "reject"]
    assert events[4]["detail"] == ["InsufficientMargin", "no money"]
    out = tmp_path / "fills.csv"
    assert main(["journal", "export", str(journal), "fills", "--to", str(out)]) == 0
    with out.open(newline="") as file:
        fills = list(csv.DictReader(file))
    assert [(each["exec_id"], each["qty"], each["fee"]) for each in fills] == [
        *(("E1", "0.1", "20"), ("E2", "0.2", "0.01"), ("E3", "0.1", "0")),
    ]
    assert {each["price"] for each in fills} == {"100"}
    assert main(["journal", "export", str(journal), "orders", "--to", str(tmp_path / "orders.jsonl")]) == 0
    lines = (tmp_path / "orders.jsonl").read_text().splitlines()
    assert [json.loads(line)["state"] for line in lines] == ["Filled", "Cancelled", "Rejected", "New"]
    assert main(["journal", "export", str(journal), "events", "--to", str(tmp_path / "events.csv")]) == 0


def test_a_file_that_is_no_journal_is_the_users_to_mend(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("show", "verify", "export"):
        assert main(["journal", command, str(tmp_path / "none.db")]) == USER_ERROR
        assert "no such journal" in capsys.readouterr().err
    text = tmp_path / "text.db"
    text.write_text("no journal\n" * 100)
    assert main(["journal", "show", str(text)]) == USER_ERROR
    assert "damaged or no journal" in capsys.readouterr().err


def test_export_says_which_formats_there_are(journal: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["journal", "export", str(journal), "--to", str(tmp_path / "x.xml")]) == USER_ERROR
    assert "*.jsonl" in capsys.readouterr().err
    assert main(["journal", "export", str(journal), "--to", str(tmp_path / "no" / "x.csv")]) == USER_ERROR
    assert "No such file" in capsys.readouterr().err
