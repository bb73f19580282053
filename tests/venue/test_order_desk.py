"""Requests about orders: every way in which they may be answered, or not."""

import pytest

from mlthon.basics.defs import CancelCode, GtwRejectCode, GtwStatus, OrderStatus
from mlthon.engine.clock import MS, SECOND
from mlthon.venue.codec import BadMessage
from mlthon.venue.facts import Reply
from mlthon.venue.live_gateway import GatewaySettings
from mlthon.venue.rate_rules import RateRule
from mlthon.venue.wire import Failure, Loss

from .scripted import BTC, ETH, SILENCE, START, Rig, fill, order_fact, tracked

READY = GtwStatus.ReadyToTrade
GONE = OrderStatus.Cancelled


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


NO = Reply(code=GtwRejectCode.InvalidRequest, reason="no")


def test_the_answers_to_two_modifications_are_not_mixed_up():
    """The first is refused, the second accepted, and the exchange would be quicker with the second."""
    rig = Rig()
    order = rig.send()
    rig.wait(1)
    rig.says["modify"] = [NO, Reply(accepted=True)]
    rig.edge.trip = 200 * MS
    rig.gateway.modify_order(order, None, 20)
    rig.wait(0.02)
    rig.edge.trip = 10 * MS
    rig.gateway.modify_order(order, 1010, None)
    rig.wait(0.05)
    assert rig.count("modify") == 1, "the second waits for the answer to the first"
    rig.wait(1)
    rig.edge.tells(order_fact(price=1010, ts=rig.clock.now))
    answers = [call for call in rig.events.calls if call[0].startswith("modify")]
    assert answers == [
        ("modify_order_reject", "a", GtwRejectCode.InvalidRequest, "no"),
        ("modify_order_ack", "a", 1010, None, 10),
    ]


def test_modifications_that_wait_are_refused_where_the_one_before_goes_unanswered():
    rig = Rig()
    order = rig.send()
    rig.wait(1)
    rig.says["modify"] = Failure(Loss.NO_ANSWER, "reset")
    rig.says["order_status"] = [order_fact()]
    for price in (1010, 1020):
        rig.gateway.modify_order(order, price, None)
    rig.wait(1)
    rig.gateway.modify_order(order, 1030, None)
    rig.wait(30)
    answers = [call[:3] for call in rig.events.calls if call[0].startswith("modify")]
    assert answers[:2] == [("modify_order_reject", "a", GtwRejectCode.GtwNotReady)] * 2
    assert answers[2:] == [("modify_order_reject", "a", GtwRejectCode.InvalidRequest)]
    assert rig.count("modify") == 1
    rig.says["modify"] = Reply(accepted=True)
    rig.gateway.modify_order(order, 1040, None)
    rig.wait(1)
    assert rig.events.calls[-1] == ("modify_order_ack", "a", 1040, None, 10)


def test_modifications_that_wait_when_the_order_ends_are_refused_unsent():
    rig = Rig()
    order = rig.send()
    rig.wait(1)
    rig.says["modify"] = Reply(missing=True, code=GtwRejectCode.OrderNotOpen, reason="gone")
    rig.says["order_status"] = [order_fact(status=GONE, ts=START + 9 * SECOND)]
    for price in (1010, 1020, 1030):
        rig.gateway.modify_order(order, price, None)
    rig.wait(10)
    answers = [call[:3] for call in rig.events.calls if call[0].startswith("modify")]
    assert answers == [("modify_order_reject", "a", GtwRejectCode.OrderNotOpen)] * 3
    assert rig.count("modify") == 1


def test_a_cancel_that_is_asked_after_is_answered_when_the_order_ends_and_the_question_fails():
    """The exchange knew the order not yet; the order arrived and ended while it could not be asked."""
    rig = Rig()
    rig.says["new"] = SILENCE
    order = rig.send()
    rig.says["cancel"] = Reply(missing=True, code=GtwRejectCode.OrderNotOpen, reason="no such order")
    rig.says["order_status"] = [None, SILENCE]
    rig.gateway.cancel_order(order)
    rig.wait(1)
    rig.edge.tells(order_fact(status=GONE, ts=rig.clock.now, cancel_code=CancelCode.ByExchange))
    rig.wait(60)
    assert [each[:2] for each in rig.events.of("cancel_order_reject")] == [("a", GtwRejectCode.OrderNotOpen)]
    assert len(rig.events.of("order_cancelled")) == 1


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
