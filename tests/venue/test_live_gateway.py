"""Scenes between a live gateway and a scripted exchange, one for each thing that must not go wrong."""

import logging

import pytest

from mlthon.basics.defs import CancelCode, GtwRejectCode, GtwStatus, OrderStatus
from mlthon.engine.clock import SECOND
from mlthon.venue.codec import BadMessage, NoAnswer, Refused
from mlthon.venue.facts import AccountFact, LineInterrupted, LineReady, LineRefused, PositionFact, Reply, WalletFact
from mlthon.venue.live_gateway import GatewaySettings
from mlthon.venue.rate_rules import RateRule
from mlthon.venue.wire import Failure, Loss

from .scripted import BTC, ETH, SILENCE, START, Rig, fill, order_fact, tracked

READY = GtwStatus.ReadyToTrade
GONE = OrderStatus.Cancelled


def statuses(rig: Rig) -> list[GtwStatus]:
    return [each[0] for each in rig.events.of("gateway_status")]


# -- start -----------------------------------------------------------------------------------------------------------


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


# -- restart ---------------------------------------------------------------------------------------------------------


def test_an_order_of_an_earlier_run_without_an_answer_is_found():
    rig = Rig(start=False)
    rig.gateway.restore([tracked(created_ts=START - SECOND)], [], 0)
    rig.says["open_orders"] = [[order_fact()]]
    rig.begin()
    assert [each[0] for each in rig.events.of("new_order_ack")] == ["a"]
    assert rig.count("new") == 0


def test_an_order_of_an_earlier_run_that_never_arrived_is_refused_after_its_validity():
    rig = Rig(start=False)
    rig.gateway.restore([tracked(created_ts=START)], [], 0)
    rig.says["order_status"] = [None]
    rig.begin()
    assert rig.gateway.status() == (READY, "")
    rig.wait(5)
    assert rig.events.of("new_order_reject") == []
    rig.wait(20)
    assert [each[:2] for each in rig.events.of("new_order_reject")] == [("a", GtwRejectCode.UnknownOrder)]


def test_an_order_of_an_earlier_run_that_ended_since_is_told_with_its_fills():
    rig = Rig(start=False)
    order = tracked(state=OrderStatus.PartiallyFilled, exchange_id="X-a", filled=2, created_ts=START - SECOND)
    rig.gateway.restore([order], [(BTC.number, "1")], 0)
    rig.says["executions"] = [[fill("1", 2), fill("2", 3)]]
    rig.says["order_status"] = [order_fact(status=GONE, filled=5)]
    rig.begin()
    told = [call[0] for call in rig.events.calls if call[0].startswith("order_")]
    assert told == ["order_execution", "order_cancelled"]
    assert rig.events.of("order_execution")[0][1] == "2"


# -- orders ----------------------------------------------------------------------------------------------------------


def test_answers_never_arrive_inside_the_call():
    rig = Rig(rules=(RateRule("r", 1, 10.0),), costs={"new": (("r", 2),)}, unsupported=("modify",))
    rig.events.take()
    rig.send()
    rig.gateway.modify_order(tracked("b"), 1, None)
    rig.gateway.cancel_all(ETH)
    rig.gateway.fetch_wallet_info(1, "USDT")
    assert rig.events.calls == []
    rig.wait(1)
    assert [call[0] for call in rig.events.calls] == [
        "new_order_reject",
        "unsupported",
        "modify_order_reject",
        "cancel_all_ack",
        "wallet_info",
    ]
    assert rig.events.of("new_order_reject")[0][1] is GtwRejectCode.RateLimited


def test_an_order_that_was_accepted_modified_filled_and_cancelled():
    rig = Rig()
    order = rig.send()
    rig.wait(1)
    rig.edge.tells(order_fact(ts=START + 1))
    rig.gateway.modify_order(order, 1010, None)
    rig.wait(1)
    rig.edge.tells(order_fact(price=1010, ts=START + 2), fill("1", 4))
    rig.gateway.cancel_order(order)
    rig.wait(1)
    rig.edge.tells(order_fact(status=GONE, price=1010, filled=4, ts=START + 3))
    assert rig.events.take()[-6:] == [
        ("gateway_status", READY, ""),
        ("new_order_ack", "a", "", 1000, 10, 10, START + 2 * SECOND + 10_000_000),
        ("modify_order_ack", "a", 1010, None, 10),
        ("order_execution", "a", "1", 1000, 4, 6, 1, "USDT", True, START + SECOND),
        ("cancel_order_ack", "a"),
        ("order_cancelled", "a", False, START + 3, CancelCode.CanceledByUser, ""),
    ]


def test_a_refusal_is_told_with_its_code():
    rig = Rig()
    rig.says["new"] = Reply(code=GtwRejectCode.InsufficientBalance, reason="no money")
    rig.send()
    rig.wait(1)
    assert rig.events.of("new_order_reject") == [("a", GtwRejectCode.InsufficientBalance, "no money")]


def test_what_was_not_sent_is_refused_and_not_asked_after():
    rig = Rig()
    rig.says["new"] = Failure(Loss.NOT_SENT, "connection refused")
    rig.send()
    rig.wait(30)
    assert rig.events.of("new_order_reject")[0][1] is GtwRejectCode.GtwNotReady
    assert rig.count("order_status") == 0


@pytest.mark.parametrize(
    "silence",
    [SILENCE, Failure(Loss.NO_ANSWER, "reset"), Reply(unknown=True, reason="timeout"), BadMessage("?"), KeyError("x")],
    ids=["timeout", "reset", "exchange's timeout", "bad answer", "mistake in the codec"],
)
def test_an_unanswered_order_is_unknown_and_found(silence):
    rig = Rig()
    rig.says["new"] = silence
    rig.says["order_status"] = [None, Failure(Loss.NO_ANSWER, "x"), order_fact()]
    rig.send()
    rig.wait(30)
    told = [call[0] for call in rig.events.calls if "order" in call[0]]
    assert told == ["order_unknown", "new_order_ack"]
    assert rig.count("new") == 1


def test_not_found_is_final_only_after_validity_and_margin():
    rig = Rig(GatewaySettings(margin_s=3.0), validity_s=20.0)
    rig.says["new"] = Failure(Loss.NO_ANSWER, "reset")
    rig.says["order_status"] = [None]
    sent = rig.clock.now
    rig.send()
    while not rig.events.of("new_order_reject") and rig.clock.now - sent < 60 * SECOND:
        rig.wait(0.1)
    assert rig.clock.now - sent > 23 * SECOND
    asked = [ts for ts, target in rig.edge.sent if target == "order_status a"]
    assert len([ts for ts in asked if ts - sent > 23 * SECOND]) == 1
    rig.wait(60)
    assert len(rig.events.of("new_order_reject")) == 1
    assert rig.count("order_status") == len(asked)


def test_an_unknown_order_can_be_cancelled():
    rig = Rig()
    rig.says["new"] = Failure(Loss.NO_ANSWER, "reset")
    rig.says["order_status"] = [None, None, order_fact(status=GONE)]
    order = rig.send()
    rig.wait(0.2)
    rig.gateway.cancel_order(order)
    rig.wait(30)
    told = [call[0] for call in rig.events.calls if "order" in call[0]]
    assert told == ["order_unknown", "cancel_order_ack", "new_order_ack", "order_cancelled"]


def test_an_unanswered_cancel_of_an_order_that_is_still_open():
    rig = Rig()
    order = rig.send()
    rig.wait(1)
    rig.says["cancel"] = Failure(Loss.NO_ANSWER, "reset")
    rig.says["order_status"] = [order_fact(filled=0)]
    rig.gateway.cancel_order(order)
    rig.wait(5)
    assert rig.events.of("cancel_order_reject") == []
    rig.wait(30)
    assert len(rig.events.of("cancel_order_reject")) == 1
    assert rig.events.of("order_unknown", "order_resolved")[1:] == [("a", OrderStatus.New, 10)]
    assert rig.count("cancel") == 1


def test_an_unanswered_modification_that_was_carried_out():
    rig = Rig()
    order = rig.send()
    rig.wait(1)
    rig.says["modify"] = Failure(Loss.NO_ANSWER, "reset")
    rig.says["order_status"] = [order_fact(price=1010)]
    rig.gateway.modify_order(order, 1010, None)
    rig.wait(5)
    told = [call for call in rig.events.calls if "order" in call[0]][1:]
    assert [call[0] for call in told] == ["order_unknown", "modify_order_ack", "order_resolved"]
    assert told[1] == ("modify_order_ack", "a", 1010, None, 10)


def test_no_such_order_is_asked_after_and_a_fill_is_found():
    rig = Rig()
    order = rig.send()
    rig.wait(1)
    rig.says["cancel"] = Reply(missing=True, reason="order not found")
    rig.says["order_status"] = [order_fact(status=OrderStatus.Filled, filled=10)]
    rig.says["executions"] = [[fill("1", 10)]]
    rig.gateway.cancel_order(order)
    rig.wait(30)
    told = [call[0] for call in rig.events.calls if "order" in call[0]]
    assert told == ["new_order_ack", "order_execution", "cancel_order_reject"]
    assert rig.events.of("cancel_order_reject")[0][1] is GtwRejectCode.OrderNotOpen


def test_no_such_order_though_it_is_open_refuses_the_cancel():
    rig = Rig()
    order = rig.send()
    rig.wait(1)
    rig.says["cancel"] = Reply(missing=True, reason="order not found")
    rig.says["order_status"] = [order_fact()]
    rig.gateway.cancel_order(order)
    rig.wait(5)
    assert rig.events.of("cancel_order_reject") == [("a", GtwRejectCode.OrderNotOpen, "order not found")]
    assert rig.events.of("order_cancelled") == []


def test_a_cancel_refused_for_its_rate_is_sent_again_and_an_order_is_not():
    rig = Rig()
    order = rig.send()
    rig.wait(1)
    rig.says["cancel"] = [Reply(limited=True, retry_after_s=2.0), Reply(accepted=True)]
    rig.gateway.cancel_order(order)
    rig.wait(1)
    assert rig.count("cancel") == 1
    rig.wait(3)
    assert rig.count("cancel") == 2
    assert rig.events.of("cancel_order_ack") == [("a",)]
    rig.says["new"] = Reply(limited=True, retry_after_s=0.5)
    rig.send("b")
    rig.wait(10)
    assert rig.count("new") == 2
    assert rig.events.of("new_order_reject")[0][:2] == ("b", GtwRejectCode.RateLimited)


def test_missing_executions_hold_the_end_back_and_are_fetched():
    rig = Rig()
    rig.send()
    rig.wait(1)
    rig.says["executions"] = [[fill("1", 4)]]
    rig.edge.tells(order_fact(status=GONE, filled=4))
    rig.wait(1.9)
    assert rig.events.of("order_cancelled", "order_execution") == []
    rig.wait(1)
    assert rig.events.names()[-2:] == ["order_execution", "order_cancelled"]


def test_cancel_all_touches_our_orders_alone():
    rig = Rig(start=False)
    rig.says["open_orders"] = [[order_fact("theirs")]]
    rig.begin()
    rig.send("a")
    rig.send("b")
    rig.send("e", instrument=ETH)
    rig.wait(1)
    rig.says["cancel a"] = Reply(code=GtwRejectCode.InvalidRequest, reason="no")
    rig.gateway.cancel_all(BTC)
    rig.wait(1)
    assert [target for target in rig.edge.targets() if target.startswith("cancel")] == ["cancel a", "cancel b"]
    assert rig.events.of("cancel_all_ack") == [(BTC,)]
    assert rig.events.of("cancel_order_ack", "cancel_order_reject", "cancel_all_reject") == []


def test_cancel_all_is_refused_when_every_cancel_is():
    rig = Rig()
    rig.send("a")
    rig.wait(1)
    rig.says["cancel"] = Reply(code=GtwRejectCode.InvalidRequest, reason="no")
    rig.gateway.cancel_all(BTC)
    rig.wait(1)
    assert rig.events.of("cancel_all_reject") == [(BTC, GtwRejectCode.InvalidRequest, "no")]


def test_what_an_exchange_cannot_do_is_refused_and_said():
    rig = Rig(unsupported=("new", "cancel", "funding", "positions"))
    order = rig.send()
    rig.gateway.cancel_order(order)
    rig.gateway.fetch_funding_info(5, BTC)
    rig.wait(1)
    assert rig.events.of("unsupported") == [("NewOrder",), ("CancelOrder",), ("FundingInfo",)]
    assert rig.events.of("new_order_reject")[0][1] is GtwRejectCode.UnsupportedOrder
    assert rig.events.of("request_reject")[0] == (5, GtwRejectCode.InvalidRequest, "no funding here", "FundingInfo")


# -- orders over a line ----------------------------------------------------------------------------------------------


def test_orders_over_a_line_are_answered_by_key():
    rig = Rig(over_line=True)
    rig.send()
    (key,) = [text.split('"')[1] for _, text in rig.edge.frames if "new a" in text]
    rig.edge.tells(Reply(key=key, accepted=True, exchange_id="X-a"))
    assert [each[:2] for each in rig.events.of("new_order_ack")] == [("a", "X-a")]
    rig.edge.tells(Reply(key=key, accepted=True, exchange_id="X-a"))
    assert len(rig.events.of("new_order_ack")) == 1


def test_orders_on_a_lost_line_are_unknown_and_those_after_it_refused():
    rig = Rig(over_line=True)
    rig.says["order_status"] = [order_fact()]
    rig.send("a")
    rig.edge.loses()
    rig.send("b")
    rig.wait(2)
    assert [call[:2] for call in rig.events.calls if "order" in call[0]] == [
        ("order_unknown", "a"),
        ("new_order_reject", "b"),
        ("new_order_ack", "a"),
    ]


def test_an_unanswered_frame_times_out():
    rig = Rig(over_line=True)
    rig.says["order_status"] = [order_fact()]
    rig.send()
    rig.wait(4.9)
    assert rig.events.of("order_unknown") == []
    rig.wait(0.5)
    assert len(rig.events.of("order_unknown")) == 1


# -- lines -----------------------------------------------------------------------------------------------------------


def test_after_a_reconnect_the_account_is_brought_up_to_date_first():
    rig = Rig()
    rig.send("a")
    rig.send("b")
    rig.wait(1)
    rig.events.take()
    rig.edge.loses(reason="reset by peer")
    assert rig.gateway.status()[0] is GtwStatus.Connecting
    rig.wait(30)
    rig.says["open_orders"] = [[order_fact("a", filled=2)]]
    rig.says["executions"] = [[fill("1", 2)]]
    rig.says["order_status"] = [order_fact("b", status=GONE, filled=0, cancel_code=CancelCode.ByExchange)]
    rig.edge.opens()
    assert rig.edge.frames[-1][1].startswith("login")
    rig.edge.tells(LineReady(line="private"))
    rig.wait(1)
    assert rig.events.names() == [
        "gateway_status",
        "gateway_status",
        "order_execution",
        "order_cancelled",
        "gateway_status",
    ]
    assert rig.events.of("order_cancelled")[0][:2] == ("b", True)


def test_a_line_lost_during_recovery_starts_it_anew():
    rig = Rig(start=False)
    rig.gateway.start()
    rig.wait(1)
    rig.edge.opens()
    rig.edge.tells(LineReady(line="private"))
    rig.wait(0.015)
    rig.edge.loses()
    rig.wait(10)
    assert rig.gateway.status()[0] is GtwStatus.Connecting
    rig.edge.opens()
    rig.edge.tells(LineReady(line="private"))
    rig.wait(1)
    assert rig.gateway.status() == (READY, "")


def test_all_lines_must_be_ready():
    rig = Rig(start=False, lines=("orders", "wallet"))
    rig.gateway.start()
    rig.wait(1)
    rig.edge.opens("orders")
    rig.edge.tells(LineReady(line="orders"), name="orders")
    rig.wait(60)
    assert rig.count("open_orders") == 0
    rig.edge.opens("wallet")
    rig.edge.tells(LineReady(line="wallet"), name="wallet")
    rig.wait(1)
    assert rig.gateway.status() == (READY, "")


def test_a_line_refused_for_good_is_not_tried_again():
    rig = Rig()
    rig.edge.tells(LineRefused(line="private", reason="invalid key", final=True))
    rig.wait(3600)
    assert rig.gateway.status() == (
        GtwStatus.Maintenance,
        "the exchange refuses the line private: invalid key",
    )
    assert rig.edge.lines == {}
    assert rig.count("lines") == 1


def test_a_line_refused_for_now_or_interrupted_is_asked_for_anew():
    rig = Rig()
    rig.edge.tells(LineRefused(line="private", reason="busy"))
    rig.wait(0.5)
    assert rig.count("lines") == 1
    rig.wait(1)
    assert rig.count("lines") == 2
    rig.edge.opens()
    rig.edge.tells(LineInterrupted(line="private", reason="listen key expired"))
    rig.wait(0.1)
    assert rig.count("lines") == 3
    rig.edge.opens()
    rig.edge.tells(LineReady(line="private"))
    rig.wait(1)
    assert rig.gateway.status() == (READY, "")


def test_a_line_that_cannot_be_opened_is_asked_for_anew():
    rig = Rig()
    for _ in range(4):
        rig.edge.loses(reason="HTTP 404")
    rig.wait(2)
    assert rig.count("lines") == 2


# -- while all is well -----------------------------------------------------------------------------------------------


def test_what_only_a_check_brings_to_light_is_an_error(caplog):
    rig = Rig()
    rig.send()
    rig.wait(1)
    rig.says["open_orders"] = [[order_fact(filled=2)]]
    rig.says["executions"] = [[fill("1", 2)]]
    with caplog.at_level(logging.ERROR):
        rig.wait(300)
        rig.wait(10)
    assert [each[1] for each in rig.events.of("order_execution")] == ["1"]
    assert rig.gateway.book.differences == 1
    assert "found only when the account was checked: order a" in caplog.text
    assert rig.gateway.status() == (READY, "")


def test_what_the_stream_tells_during_a_check_is_no_difference():
    rig = Rig()
    rig.send()
    rig.wait(1)
    rig.says["open_orders"] = [[order_fact(filled=2)]]
    rig.says["executions"] = [[fill("1", 2)]]
    while rig.count("executions") == 1:
        rig.wait(0.01)
    rig.wait(1)
    rig.edge.tells(fill("1", 2))
    rig.wait(10)
    assert len(rig.events.of("order_execution")) == 1
    assert rig.gateway.book.differences == 0


def test_a_bad_message_is_counted_logged_without_secrets_and_made_good(caplog):
    rig = Rig(GatewaySettings(secrets=("hush",)))
    rig.send()
    rig.wait(1)
    rig.says["open_orders"] = [[order_fact()]]
    rig.says["executions"] = [[fill("1", 2)]]
    rig.edge.tells('{"fill": 1, "listenKey": "abc123", "x": "hush"')
    assert rig.gateway.bad_messages == 1
    assert '{"fill": 1' in caplog.text
    assert "abc123" not in caplog.text
    assert "hush" not in caplog.text
    rig.edge.tells(fill("2", 1))
    rig.wait(5)
    assert sorted(each[1] for each in rig.events.of("order_execution")) == ["1", "2"]


def test_the_dead_mans_switch_is_armed_repeatedly_and_disarmed_at_the_end():
    rig = Rig(GatewaySettings(dead_man_s=30.0), has_dead_man=True)
    assert rig.count("arm") == 1
    rig.wait(25)
    assert rig.count("arm") == 3
    rig.gateway.stop()
    rig.wait(60)
    assert [target for target in rig.edge.targets() if target.startswith("arm")] == ["arm 30"] * 3 + ["arm 0"]
    assert Rig(has_dead_man=True).count("arm") == 0


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


def test_questions_are_answered_with_their_numbers():
    rig = Rig()
    order = rig.send()
    rig.wait(1)
    rig.events.take()
    rig.says["order_status"] = [order_fact(status=OrderStatus.PartiallyFilled, filled=4)]
    rig.says["open_orders"] = [[order_fact(), order_fact("", exchange_id="77")]]
    rig.says["positions"] = [[PositionFact(instrument=BTC, position=-3, entry_price=5.0)]]
    rig.says["wallet"] = [[WalletFact(coin="BTC", total=2, available=1)]]
    rig.gateway.fetch_order_status(1, order)
    rig.gateway.fetch_orders_info(2, None)
    rig.gateway.fetch_position_info(3, BTC)
    rig.gateway.fetch_position_info(4, ETH)
    rig.gateway.fetch_wallet_info(5, "BTC")
    rig.gateway.fetch_funding_info(6, BTC)
    rig.gateway.fetch_account_info(7)
    rig.wait(1)
    assert rig.events.of("order_status") == [(1, "a", OrderStatus.PartiallyFilled, 1000, 6)]
    assert rig.events.of("orders_info") == [(2, ["a", "77"])]
    assert rig.events.of("position_info") == [(3, BTC, -3, 5.0, 0.0, None), (4, ETH, 0, 0.0, 0.0, None)]
    assert rig.events.of("wallet_info") == [(5, "BTC", 2, 1)]
    assert rig.events.of("funding_info") == [(6, BTC, 0.0001, START)]
    assert rig.events.of("account_info") == [(7, "u1")]


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (Failure(Loss.NO_ANSWER, "timed out"), GtwRejectCode.GtwNotReady),
        (Refused("no"), GtwRejectCode.InvalidRequest),
        (Refused("slow down", retry_after_s=1.0), GtwRejectCode.RateLimited),
        (BadMessage("?"), GtwRejectCode.GtwNotReady),
        (ZeroDivisionError("codec"), GtwRejectCode.GtwNotReady),
    ],
)
def test_a_question_that_fails_is_refused_with_its_number(failure, code):
    rig = Rig()
    rig.says["wallet"] = [failure]
    rig.gateway.fetch_wallet_info(9, "BTC")
    rig.wait(15)
    ((number, told, _, name),) = rig.events.of("request_reject")
    assert (number, told, name) == (9, code, "WalletInfo")


def test_an_order_that_the_exchange_does_not_know_is_said_so():
    rig = Rig()
    rig.says["order_status"] = [None]
    rig.gateway.fetch_order_status(3, tracked())
    rig.wait(1)
    assert rig.events.of("request_reject")[0][:2] == (3, GtwRejectCode.UnknownOrder)


def test_positions_are_those_last_told_and_one_that_is_not_listed_is_flat():
    rig = Rig(start=False)
    rig.says["positions"] = [[PositionFact(instrument=BTC, position=3), PositionFact(instrument=ETH, position=1)], []]
    rig.begin()
    assert {each.position for each in rig.gateway.positions.values()} == {3, 1}
    while rig.count("positions") == 1:
        rig.wait(0.01)
    rig.edge.tells(PositionFact(instrument=ETH, position=2))
    rig.wait(5)
    assert rig.gateway.positions[BTC].position == 0
    assert rig.gateway.positions[ETH].position == 2


def test_the_cancel_of_an_order_that_was_refused_before_it_got_here_is_refused_alone():
    rig = Rig()
    order = tracked("never")
    order.state = OrderStatus.Rejected
    rig.says["cancel never"] = Reply(missing=True, reason="order not found")
    rig.says["order_status"] = [None] * 20
    rig.gateway.cancel_order(order)
    rig.wait(60)
    assert [call[0] for call in rig.events.calls if "order" in call[0]] == ["cancel_order_reject"]
