"""What strategies ask, and what they are answered."""

import pytest

from mlthon.basics.defs import GtwRejectCode, GtwStatus, OrderStatus
from mlthon.venue.codec import BadMessage, Refused
from mlthon.venue.facts import PositionFact, Reply, WalletFact
from mlthon.venue.wire import Failure, Loss

from .scripted import BTC, ETH, START, Rig, order_fact, tracked

READY = GtwStatus.ReadyToTrade
GONE = OrderStatus.Cancelled


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
