"""Scenes between a live gateway and a scripted exchange: its start, what keeps it going, its end."""

import pytest

from mlthon.basics.defs import GtwRejectCode, GtwStatus, OrderStatus
from mlthon.engine.clock import MS, SECOND
from mlthon.venue.codec import NoAnswer, Refused
from mlthon.venue.facts import AccountFact, LineReady
from mlthon.venue.rate_rules import RateRule
from mlthon.venue.wire import Failure, Loss

from .scripted import BTC, SILENCE, START, Rig, fill, order_fact, statuses, tracked

READY = GtwStatus.ReadyToTrade
GONE = OrderStatus.Cancelled


def test_start_measures_looks_connects_fetches_and_only_then_is_ready():
    rig = Rig(start=False)
    rig.offset = 7 * SECOND
    rig.begin()
    assert rig.gateway.status() == (READY, "")
    order = [each.split()[0] for each in rig.edge.targets()]
    assert order == ["time"] * 3 + ["account", "lines", "open_orders", "executions", "positions", "wallet"]
    assert rig.gateway.offset == 7 * SECOND
    assert rig.edge.frames == [("private", f"login private {(START + 8 * SECOND) // 1_000_000}")]
    assert statuses(rig)[-1] is READY


def test_nothing_is_asked_or_told_inside_start():
    rig = Rig(start=False)
    rig.gateway.start()
    assert rig.edge.sent == []
    assert rig.events.calls == []


@pytest.mark.parametrize(
    "fact", [AccountFact(user_id="u", refusal="hedge mode"), AccountFact(user_id="u", may_trade=False)]
)
def test_an_account_that_cannot_be_traded_is_never_ready(fact):
    rig = Rig(start=False)
    rig.says["account"] = fact
    rig.begin()
    rig.wait(3600)
    status, reason = rig.gateway.status()
    assert status is GtwStatus.Maintenance
    assert reason == (fact.refusal or "the API key has no permission to trade")
    assert rig.edge.lines == {}
    assert rig.gateway.account_fact is fact


def test_a_wrong_key_is_final_and_a_busy_exchange_is_not():
    rig = Rig(start=False)
    rig.says["account"] = [Refused("maintenance"), Failure(Loss.NO_ANSWER, "x"), Refused("invalid key", final=True)]
    rig.begin()
    rig.wait(60)
    assert rig.gateway.status() == (GtwStatus.Maintenance, "the account: invalid key")
    assert rig.count("account") == 3


def test_what_the_stream_tells_during_recovery_is_kept_until_what_was_fetched_is_merged():
    rig = Rig(start=False)
    order = tracked(state=OrderStatus.New, exchange_id="X-a")
    rig.gateway.restore([order], [(BTC.number, "1")], START)
    rig.says["open_orders"] = [[order_fact(filled=3)]]
    rig.says["executions"] = [[fill("1", 1), fill("2", 2)]]
    rig.gateway.start()
    rig.wait(1)
    rig.edge.opens()
    rig.edge.tells(LineReady(line="private"), fill("2", 2), fill("3", 1))
    assert rig.events.of("order_execution") == []
    rig.wait(1)
    assert [each[1] for each in rig.events.of("order_execution")] == ["2", "3"]
    assert rig.events.names()[-1] == "gateway_status"
    assert rig.gateway.status() == (READY, "")


def test_executions_before_the_first_start_are_history():
    rig = Rig(start=False)
    rig.says["executions"] = [
        [fill("old", wire_id="z", ts=START - SECOND), fill("new", wire_id="z", ts=START + SECOND)]
    ]
    rig.begin()
    assert [each[1] for each in rig.events.of("order_execution")] == ["new"]
    assert [each[0] for each in rig.events.of("foreign_order")] == ["z"]


def test_a_question_that_fails_during_recovery_is_asked_again_and_the_gateway_waits():
    rig = Rig(start=False)
    rig.says["executions"] = [NoAnswer("x"), Failure(Loss.NO_ANSWER, "y"), []]
    rig.begin()
    assert rig.gateway.status()[0] is GtwStatus.Connecting
    rig.wait(20)
    assert rig.gateway.status() == (READY, "")


def test_lines_are_kept_alive_and_a_failure_is_tried_again_soon():
    rig = Rig(keeps_alive=True)
    rig.says["keep_alive"] = [Failure(Loss.NO_ANSWER, "x"), []]
    rig.wait(1801)
    assert rig.count("keep_alive") == 1
    rig.wait(10)
    assert rig.count("keep_alive") == 2
    rig.wait(1801)
    assert rig.count("keep_alive") == 3


def test_after_stop_nothing_is_sent():
    rig = Rig(keeps_alive=True)
    rig.gateway.stop()
    rig.wait(1)
    before = len(rig.edge.sent)
    rig.wait(7200)
    assert len(rig.edge.sent) == before
    assert rig.edge.lines == {}


# -- questions -------------------------------------------------------------------------------------------------------


def test_once_it_winds_down_new_orders_are_refused_and_cancels_still_go_out():
    rig = Rig(rules=[RateRule("r", 1, 0.5)], costs={"new": (("r", 1),)})
    first = rig.send("a")
    rig.send("waiting")
    rig.gateway.wind_down("the run ends")
    rig.send("late")
    rig.gateway.modify_order(first, 1001, None)
    rig.gateway.cancel_order(first)
    rig.wait(2)
    assert [target for target in rig.edge.targets() if " " in target][-2:] == ["new a", "cancel a"]
    refused = {wire_id: (code, reason) for wire_id, code, reason in rig.events.of("new_order_reject")}
    assert set(refused) == {"waiting", "late"}
    for code, reason in refused.values():
        assert code is GtwRejectCode.GtwNotReady
        assert "the gateway is stopping: the run ends" in reason
    assert "stopping" in rig.events.of("modify_order_reject")[0][2]


def test_after_stop_what_waits_is_refused_what_left_is_answered_and_after_close_nothing_is_told():
    rig = Rig(rules=[RateRule("r", 2, 60.0)], costs={"cancel": (("r", 1),)})
    orders = [rig.send(name) for name in "abc"]
    rig.wait(1)
    for order in orders:
        rig.gateway.cancel_order(order)
    rig.edge.trip = 50 * MS
    rig.gateway.stop()
    assert not rig.gateway.idle
    rig.wait(0.1)
    assert rig.gateway.idle
    assert {each[0] for each in rig.events.of("cancel_order_ack")} == {"a", "b"}
    assert [each[0] for each in rig.events.of("cancel_order_reject")] == ["c"]
    rig.gateway.close()
    told = len(rig.events.calls)
    rig.gateway.cancel_order(orders[2])
    rig.wait(120)
    assert len(rig.events.calls) == told


@pytest.mark.parametrize("over_line", [False, True])
def test_an_answer_that_comes_after_close_is_not_told(over_line):
    rig = Rig(over_line=over_line)
    order = rig.send("a")
    rig.wait(1)
    rig.says["cancel"] = SILENCE
    rig.gateway.cancel_order(order)
    rig.gateway.stop()
    rig.gateway.close()
    told = len(rig.events.calls)
    rig.wait(30)
    assert len(rig.events.calls) == told
