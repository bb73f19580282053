"""The control plane: what is asked is answered, what is done is written down, and what makes trading safer is done even
when it cannot be."""

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from mlthon.api.istrat_env import MDSub
from mlthon.arsenal.outcomes import ACCEPTED, TAKEN, Outcome
from mlthon.basics.defs import Exchange, OrderType, Side
from mlthon.engine.session import Phase
from mlthon.engine.taps import Tally
from mlthon.errors import UserError
from mlthon.ops.audit import AuditEntry, AuditLog
from mlthon.ops.books import FillBooks
from mlthon.ops.contract import (
    MOST_ROWS,
    Ask,
    CancelAll,
    GetCommands,
    GetOrders,
    GetPositions,
    GetProfit,
    GetStatus,
    Kill,
    Reread,
    RunCommand,
    Signal,
    StartStrategy,
    StopStrategy,
    Told,
    WebCall,
    WebReply,
)
from mlthon.ops.control import Control, RunFacts
from tests.engine.rig import BTC, Recorder, Rig


class Desk:
    """A control plane on an engine with two strategies and a scripted gateway."""

    def __init__(self, folder: Path, kill: Any = None) -> None:
        self.books, self.tally = FillBooks(), Tally()
        self.first, self.second = Recorder(), Recorder()
        self.rig = Rig(self.first, self.second, taps=(self.books, self.tally))
        self.audit = AuditLog(folder / "audit.db")
        self.events = 0
        facts = RunFacts(
            name="trial",
            mode="live",
            started=self.rig.clock.now,
            events=lambda: self.events,
            counts=self.tally.counts,
            books=self.books,
            mark=lambda instrument: 20_000 * 10**18,
            at_exchange=lambda exchange, account, instrument: 7,
            kill=kill,
        )
        self.control = Control(self.rig.engine, facts, self.audit)
        self.told: list[Told] = []

    def ask(self, what: Any, who: str = "tester") -> Told:
        self.control.answer(Ask(len(self.told), who, what), self.told.append)
        return self.told[-1]

    def order(self, strategy: Recorder, price: str = "100") -> Any:
        return strategy.env.send_new_order(None, Exchange.Bybit, BTC, Side.Buy, price, "0.010")

    def trail(self) -> list[tuple[str, str, str, str]]:
        return [(each.who, each.action, each.detail, each.outcome) for each in self.audit.last(50)]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_the_status_tells_of_the_run_its_strategies_and_its_connections(desk: Desk) -> None:
    desk.order(desk.first)
    desk.rig.wait(5)
    desk.events = 3
    desk.control.status()
    desk.rig.wait(2000)
    status = desk.ask(GetStatus()).value
    assert (status.name, status.mode, status.orders, status.events) == ("trial", "live", 1, 3)
    assert [(each.name, each.phase, each.open_orders) for each in status.strategies] == [
        ("s0", "running", 1),
        ("s1", "running", 0),
    ]
    assert (status.links[0].name, status.links[0].status) == ("gateway Bybit main", "ReadyToTrade")
    assert status.since_event_s == pytest.approx(2.0, abs=0.01)


def test_a_feed_waits_for_books_that_somebody_reads(desk: Desk) -> None:
    def feed() -> Any:
        return [(each.status, each.detail) for each in desk.control.status().links if each.name == "feed Bybit"]

    desk.rig.engine.feed(BTC).expect_books()
    assert feed() == []
    desk.first.env.subscribe_to_market_data(Exchange.Bybit, [BTC.name], [MDSub.BBO, MDSub.PublicTrades])
    assert feed() == [("Live", "")]
    desk.second.env.subscribe_to_market_data(Exchange.Bybit, [BTC.name], [MDSub.LevelBook])
    assert feed() == [("Syncing", f"waiting for {BTC.name}")]


def test_orders_are_told_with_plain_numbers_and_no_more_than_a_page_holds(desk: Desk) -> None:
    for _ in range(MOST_ROWS + 5):
        desk.order(desk.second)
    desk.rig.wait(5)
    rows = desk.ask(GetOrders("s1")).value
    assert len(rows) == MOST_ROWS
    first = rows[0]
    assert (first.side, float(first.price), first.quantity, first.state) == ("Buy", 100.0, "0.01", "New")
    assert desk.ask(GetOrders("s0")).value == []
    desk.first.env.send_new_order(
        None, Exchange.Bybit, BTC, Side.Sell, None, "0.010", ord_type=OrderType.Stop, stop_price="90.5"
    )
    [stop] = desk.ask(GetOrders("s0")).value
    assert (stop.price, stop.trigger, rows[0].trigger) == (None, "90.5", None)


def test_a_fill_shows_in_positions_and_profit(desk: Desk) -> None:
    desk.order(desk.first, "19000")
    desk.rig.wait(5)
    order = desk.rig.gateway.requests[0][1]
    lots = order.qty
    desk.rig.gateway.port.order_execution(
        order.wire_id, "E1", order.price, lots, 0, 10**16, "USDT", True, desk.rig.clock.now
    )
    [position] = desk.ask(GetPositions()).value
    assert (position.strategy, position.quantity, position.at_exchange is not None) == ("s0", "0.01", True)
    [profit] = desk.ask(GetProfit("s0")).value
    assert (profit.realised, profit.unrealised, profit.fees, profit.traded) == ("0", "10", "0.01", "190")
    assert desk.control.status().profit == {"USDT": "9.99"}


def test_stopping_and_starting_are_done_and_written_down(desk: Desk) -> None:
    assert desk.ask(StopStrategy("S0", "for lunch"), "anna").value == "s0 is stopping"
    assert desk.first.of("on_stop") == [("for lunch",)]
    desk.first.env.send_stop_ack()
    assert desk.ask(StartStrategy("s0", "again")).error is None
    assert desk.first.of("on_start")[-1] == ("again",)
    assert desk.trail() == [
        ("tester", "StartStrategy", "s0 again", "s0 started"),
        ("tester", "StartStrategy", "s0 again", "asked"),
        ("anna", "StopStrategy", "S0 for lunch", "s0 is stopping"),
    ]


def test_what_cannot_be_done_says_why_and_what_there_is(desk: Desk) -> None:
    unknown = desk.ask(StopStrategy("s9"))
    assert unknown.error is not None
    assert "no strategy 's9'" in unknown.error
    assert "s0, s1" in unknown.hint
    assert "running" in str(desk.ask(StartStrategy("s0")).error)
    assert "no command 'dance'" in str(desk.ask(RunCommand("s0", "dance")).error)
    assert "no strategy takes signals" in str(desk.ask(Signal("tv", {})).error)
    assert "no bot" in str(desk.ask(WebCall("x", "get", "y", {})).error)
    assert desk.ask(GetOrders("nobody")).error is not None


def test_a_hook_gets_its_words_and_one_that_raises_is_reported(desk: Desk) -> None:
    heard: list[list[str]] = []

    def fail(words: list[str]) -> None:
        raise ValueError("no")

    desk.first.env.add_cmd_hook("Size", heard.append)
    desk.first.env.add_cmd_hook("bad", fail)
    assert desk.ask(GetCommands()).value["s0"] == ["start", "stop", "bad", "size"]
    assert desk.ask(RunCommand("s0", "SIZE", ["1", "2"])).error is None
    assert heard == [["1", "2"]]
    assert "raised" in str(desk.ask(RunCommand("s0", "bad")).error)


def test_cancel_all_cancels_only_that_strategys_orders(desk: Desk) -> None:
    desk.order(desk.first)
    desk.order(desk.second)
    desk.rig.wait(5)
    assert desk.ask(CancelAll("s0")).value == "s0: 1 cancel on the way"
    desk.rig.wait(5)
    assert [len(each.open) for each in desk.rig.sessions] == [0, 1]
    assert desk.rig.sessions[0].phase is Phase.RUNNING


def test_kill_stops_everything_and_cancels_by_the_guard_where_there_is_one(tmp_path: Path) -> None:
    fired: list[bool] = []
    desk = Desk(tmp_path, kill=lambda: fired.append(True))
    desk.order(desk.first)
    desk.rig.wait(5)
    assert "the guard cancels 1 open order" in desk.ask(Kill()).value
    assert fired == [True]
    assert all(each.phase is Phase.STOPPING for each in desk.rig.sessions)


def test_kill_without_a_guard_cancels_in_the_engine(desk: Desk) -> None:
    desk.order(desk.first)
    desk.order(desk.second)
    desk.rig.wait(5)
    desk.ask(Kill())
    desk.rig.wait(5)
    assert not any(each.open for each in desk.rig.sessions)


def test_signals_reach_their_strategy_and_their_token_reaches_no_log(desk: Desk) -> None:
    taken: list[Any] = []
    desk.control.signals["tv"] = lambda payload, tell: taken.append((payload, tell))
    for _ in range(2):
        desk.control.answer(
            Ask(7, "web", Signal("tv", {"action": "buy", "connectorToken": "s3cret"})), desk.told.append
        )
    assert taken[0][0]["action"] == "buy"
    assert desk.told == []
    taken[0][1](ACCEPTED)
    taken[1][1](Outcome("no order: it is too small", refused=True))
    assert [(each.value, each.error) for each in desk.told] == [
        ("accepted", None),
        (None, "no order: it is too small"),
    ]
    assert [each[3] for each in desk.trail()] == ["no order: it is too small", "accepted", "asked", "asked"]
    assert "s3cret" not in str(desk.trail())


def test_a_signal_for_nobody_is_refused_by_near_names(desk: Desk) -> None:
    desk.control.signals["tv"] = lambda payload, tell: tell(TAKEN)
    assert "did you mean 'tv'" in str(desk.ask(Signal("tvx", {})).error).lower() or "tv" in desk.told[-1].hint
    assert len(desk.trail()) == 2


def test_the_configuration_is_read_again_where_there_is_one(desk: Desk) -> None:
    assert "cannot read its configuration again" in str(desk.ask(Reread()).error)
    told: list[list[str]] = [["bot.a: switched off", "bot.b has joined"], []]
    desk.control.reread = lambda: told.pop(0)
    assert desk.ask(Reread()).value == "bot.a: switched off\nbot.b has joined"
    assert desk.ask(Reread()).value == "nothing has changed"


def test_what_comes_from_outside_is_one_line_of_the_log(desk: Desk) -> None:
    desk.control.signals["tv"] = lambda payload, tell: tell(TAKEN)
    desk.ask(Signal("tv", {"log": "x\n2025 root Kill done\x1b[2J" + "y" * 5000}), "web\nroot")
    for who, action, detail, outcome in desk.trail():
        assert all(each.isprintable() and len(each) <= 500 for each in (who, action, detail, outcome))


def test_a_webhook_is_answered_when_the_bot_answers(desk: Desk) -> None:
    waiting: list[Any] = []
    desk.control.webs["bot"] = lambda call, answer: waiting.append((call.route, answer))
    desk.control.answer(Ask(5, "web", WebCall("bot", "get", "balances", {"venue": "BitMEX"})), desk.told.append)
    assert desk.told == []
    waiting[0][1](WebReply(200, [1]))
    assert desk.told == [Told(5, WebReply(200, [1]))]
    assert [each[3] for each in desk.trail()] == ["answered 200", "asked"]


def test_a_webhook_that_cannot_be_called_is_written_down_as_such(desk: Desk) -> None:
    def refuse(*_: Any) -> None:
        raise UserError("bot does not run at the moment")

    desk.control.webs["bot"] = refuse
    desk.ask(WebCall("bot", "get", "balances", {}))
    assert [each[3] for each in desk.trail()] == ["bot does not run at the moment", "asked"]


def test_what_comes_from_outside_is_one_short_line_of_the_log(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "mlthon")
    desk.control.signals["tv"] = lambda payload, tell: tell(TAKEN)
    desk.ask(Signal("tv", {"log": "harmless\nERROR THE GUARD HAS DIED" + "x" * 20_000}))
    [said] = [each.getMessage() for each in caplog.records if "harmless" in each.getMessage()]
    assert "\n" not in said
    assert len(said) < 1_000


def test_without_an_audit_log_only_what_makes_trading_safer_is_done(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: Any) -> None:
        raise sqlite3.OperationalError("disk full")

    desk.first.env.add_cmd_hook("size", lambda words: desk.first.calls.append(("hooked",)))
    monkeypatch.setattr(desk.audit, "write", full)
    assert "audit log" in str(desk.ask(RunCommand("s0", "size")).error)
    assert not desk.first.of("hooked")
    assert desk.ask(StopStrategy("s0")).error is None
    assert desk.ask(CancelAll("s1")).error is None


def test_a_failure_inside_is_answered_and_survived(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk.control, "profit", None)
    assert "failed here" in str(desk.ask(GetStatus()).error)


def test_the_engine_never_waits_for_the_audit_logs_checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite makes one of its own accord when the write-ahead log has 1,000 pages, and that waits for the disk."""
    monkeypatch.setattr("mlthon.ops.checkpoints.EVERY_S", 60.0)
    path = tmp_path / "audit.db"
    audit = AuditLog(path, engine=True)
    before = path.stat().st_size
    for number in range(1_500):
        audit.write(AuditEntry(number, "run", "who", "Signal", "x" * 500, "taken"))
    assert path.stat().st_size == before
    audit.close()
    assert path.stat().st_size > 1_500 * 500
    assert not path.with_name("audit.db-wal").exists()


def test_an_audit_log_is_for_its_owner_alone_and_lasts(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.ask(StopStrategy("s0"))
    assert not any(each.stat().st_mode & 0o077 for each in tmp_path.glob("audit.db*"))
    desk.audit.close()
    assert [each.action for each in AuditLog(tmp_path / "audit.db").last(5)] == ["StopStrategy"]
