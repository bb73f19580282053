"""What becomes of orders that earlier runs left, and of what they held."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlthon.basics.defs import Exchange, OrderStatus
from mlthon.engine.clock import Clock
from mlthon.engine.engine import Engine, EngineSettings
from mlthon.engine.journal import JournalStage
from mlthon.engine.risk import RiskBook
from mlthon.live import accounts
from mlthon.live.assembly import adopt_orders
from mlthon.live.journal_store import SqliteJournal
from tests.engine.rig import BTC, Recorder
from tests.live.test_journal_store import ETH, entry, fill, new, standing

BYBIT = Exchange.Bybit


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[SqliteJournal]:
    """Two orders of the strategy `one`; the first is open."""
    made = SqliteJournal(tmp_path / "journal.db", now=time.time_ns())
    made.commit([new("mab3f1-1")])
    made.commit([new("mab3f1-2")])
    made.commit([entry("cancelled", "mab3f1-2", standing=standing(OrderStatus.Cancelled))])
    yield made
    made.close()


@pytest.mark.parametrize(
    ("strategy", "cancel_on_stop", "told"),
    [
        ("one", True, ""),
        ("other", True, "open orders of one, which does not run now: mab3f1-1; they are cancelled when this run stops"),
        ("other", False, "open orders of one, which does not run now: mab3f1-1; they stay open"),
    ],
)
def test_orders_of_a_strategy_that_does_not_run_now_are_said(
    journal: SqliteJournal, caplog: pytest.LogCaptureFixture, strategy: str, cancel_on_stop: bool, told: str
) -> None:
    clock = Clock(time.time_ns())
    engine = Engine(clock, [BTC], EngineSettings())
    engine.add_strategy(strategy, Recorder(), [BYBIT], "main", {})
    port = engine.port(BYBIT, "main")
    stages = {(BYBIT, "main"): JournalStage(port, BYBIT, "main", clock, journal, port.find)}
    assert adopt_orders(engine, journal, stages, RiskBook(), cancel_on_stop=cancel_on_stop) == 1
    assert told in caplog.text
    assert bool(caplog.text) is bool(told)


def test_what_a_strategy_holds_is_known_by_its_fills_of_all_runs(journal: SqliteJournal) -> None:
    journal.commit([fill("E1", 100), fill("E1", 100), fill("E2", 50)])
    held = accounts.held_by_fills(journal)
    assert (held("one", BTC), held("one", ETH), held("bot.other", BTC)) == (-150, 0, 0)
