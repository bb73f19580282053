"""Recovery after a start and after each loss of a line, and checks while all is well."""

import logging

import pytest

from mlthon.basics.defs import CancelCode, GtwRejectCode, GtwStatus, OrderStatus
from mlthon.engine.clock import MS, SECOND
from mlthon.venue.codec import Refused
from mlthon.venue.facts import LineReady, LineRefused
from mlthon.venue.live_gateway import GatewaySettings

from .scripted import BTC, START, Rig, fill, order_fact, tracked

READY = GtwStatus.ReadyToTrade
GONE = OrderStatus.Cancelled


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


@pytest.mark.parametrize("offset_s", [-600, 0, 600])
def test_fills_of_earlier_orders_are_asked_for_by_the_exchange_s_clock(offset_s):
    """An order was sent at START; on a clock that is behind ours its fill happened earlier."""
    rig = Rig(start=False)
    rig.offset = offset_s * SECOND
    rig.gateway.restore([tracked(created_ts=START, state=OrderStatus.New, exchange_id="X-a")], [], START)
    rig.says["open_orders"] = [[order_fact(filled=1)]]
    rig.begin()
    (since,) = [int(each.split()[1]) for each in rig.edge.targets() if each.startswith("executions")]
    assert since <= START + offset_s * SECOND - 50 * SECOND


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


def test_a_clock_that_stood_still_is_measured_before_the_account_is_asked_for_again():
    """The machine slept: what is signed is refused as too old."""
    rig = Rig()
    rig.offset = 3600 * SECOND
    rig.says["open_orders"] = lambda: Refused("too old") if rig.gateway.offset < rig.offset else []
    rig.edge.loses()
    rig.edge.opens()
    rig.edge.tells(LineReady(line="private"))
    rig.wait(5)
    assert (rig.gateway.status(), rig.gateway.offset) == ((READY, ""), rig.offset)


def test_a_clock_that_stood_still_is_measured_before_lines_that_were_refused_are_opened_again():
    rig = Rig()
    rig.offset = 3600 * SECOND
    rig.edge.loses()
    rig.edge.opens()
    rig.edge.tells(LineRefused(line="private", reason="too old"))
    rig.wait(5)
    rig.edge.opens()
    assert rig.edge.frames[-1] == ("private", f"login private {(rig.clock.now + rig.offset) // MS}")


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
