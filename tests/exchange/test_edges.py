"""Edges where two rules of the exchange meet."""

import pytest

from mlthon.basics.defs import TIF, CancelCode, ExecInstructions, GtwRejectCode, OrderType
from mlthon.engine.clock import SECOND
from mlthon.engine.faces import LIVE, RESET, SET_ASK, SET_BID
from mlthon.exchange.config import LatencyConfig
from tests.exchange.rig import Rig


def triggered_stop_limit(rig: Rig) -> str:
    """A stop-limit buy that was triggered at 210 and rests at 190."""
    rig.quote(198, 100, 202, 100)
    rig.trade(200, 1, 1)
    wire_id = rig.order(1, 190, 10, order_type=OrderType.StopLimit, stop=210)
    rig.quote(208, 100, 212, 100)
    rig.trade(210, 1, 1)
    return wire_id


def test_a_triggered_stop_limit_is_amended_like_any_limit_order() -> None:
    rig = Rig()
    wire_id = triggered_stop_limit(rig)
    rig.modify(wire_id, 195, 8)
    assert rig.said("modify_order_reject") == []
    assert rig.said("modify_order_ack") == [(wire_id, 195, 8, 8)]
    rig.trade(194, 100, -1)
    assert rig.fills(wire_id) == [(195, 8, True)]


def test_a_triggered_stop_limit_cannot_grow_beyond_the_money() -> None:
    rig = Rig(balances={"USDT": 10.0})
    wire_id = triggered_stop_limit(rig)
    rig.modify(wire_id, None, 9_000)
    ((_, code, _),) = rig.said("modify_order_reject")
    assert code is GtwRejectCode.InsufficientMargin


def depth(rig: Rig) -> None:
    """Asks of 2 lots at 202 and of 2 at 210."""
    market = rig.market
    market.on_book(RESET, 0, 0, 0, 0)
    for op, price in ((SET_BID, 198), (SET_ASK, 202), (SET_ASK, 210)):
        market.on_book(op, price, 2, 0, 0)
    market.on_book(LIVE, 0, 0, 0, 0)
    rig.quote(198, 2, 202, 2)


def test_beyond_the_book_is_worse_than_the_last_price_reached() -> None:
    rig = Rig(beyond_book="fill", beyond_book_ticks=10)
    depth(rig)
    wire_id = rig.market_order(1, 7)
    assert rig.fills(wire_id) == [(202, 2, False), (210, 2, False), (220, 3, False)]


def test_what_is_filled_beyond_a_used_up_book_needs_money_too() -> None:
    rig = Rig(beyond_book="fill", balances={"USDT": 100.0})
    rig.quote(198, 4, 202, 4)
    rig.market_order(1, 4)
    wire_id = rig.market_order(1, 9_000)
    assert rig.names(wire_id) == ["new_order_reject"]


def test_fill_or_kill_behind_an_own_order_fills_whole_or_not_at_all() -> None:
    rig = Rig(("a", "b"))
    rig.quote(150, 100, 300, 100)
    rig.order(-1, 200, 2, account="b")
    rig.order(-1, 201, 2, account="a")
    rig.order(-1, 202, 9, account="b")
    wire_id = rig.order(1, 202, 6, tif=TIF.FOK)
    assert rig.fills(wire_id) == []
    assert rig.said("order_cancelled")[-1][3] is CancelCode.TimeInForce


@pytest.mark.parametrize("lots", [2, 3])
def test_fill_or_kill_counts_what_stands_before_an_own_order(lots: int) -> None:
    rig = Rig(("a", "b"))
    rig.quote(150, 100, 300, 100)
    rig.order(-1, 200, 2, account="b")
    rig.order(-1, 200, 2, account="a")
    rig.order(-1, 200, 9, account="b")
    wire_id = rig.order(1, 202, lots, tif=TIF.FOK)
    assert rig.fills(wire_id) == ([(200, 2, False)] if lots == 2 else [])


def test_fill_or_kill_counts_reduce_only_orders_no_further_than_their_position() -> None:
    rig = Rig(("a", "b"))
    rig.quote(150, 100, 300, 100)
    rig.market_order(1, 5, account="b")
    for price in (200, 201):
        rig.order(-1, price, 5, account="b", exec_instr=ExecInstructions.ReduceOnly)
    wire_id = rig.order(1, 202, 8, tif=TIF.FOK)
    assert rig.fills(wire_id) == []
    assert rig.fills(rig.order(1, 202, 5, tif=TIF.FOK)) == [(200, 5, False)]


def test_a_trade_that_a_quote_of_the_same_time_shows_already_advances_no_queue_twice() -> None:
    rig = Rig()
    rig.quote(200, 100, 202, 100)
    wire_id = rig.order(1, 200, 5)
    rig.run(SECOND)
    rig.quote(199, 50, 202, 100)
    rig.trade(200, 100, -1)
    assert rig.fills(wire_id) == []
    rig.run(SECOND)
    rig.trade(200, 3, -1)
    assert rig.fills(wire_id) == [(200, 3, True)]


def test_an_order_on_its_way_when_the_connection_is_lost_never_arrives() -> None:
    rig = Rig(entry_latency=LatencyConfig(ms=5_000))
    rig.quote(198, 100, 202, 100)
    wire_id = rig.order(1, 190, 10)
    rig.exchange.disconnect("a hole")
    rig.exchange.reconnect()
    rig.run(10 * SECOND)
    ((_, code, _),) = rig.said("new_order_reject")
    assert code is GtwRejectCode.GtwNotReady
    assert rig.names(wire_id) == ["new_order_reject"]


def test_a_liquidation_that_the_market_cannot_take_whole_ends_and_is_tried_again() -> None:
    rig = Rig(balances={"USDT": 20.0})
    rig.quote(200, 1000, 201, 1000)
    rig.market_order(1, 150)
    rig.quote(160, 10, 161, 10)
    rig.quote(100, 10, 101, 10)
    for number in (1, 2):
        wire_id = f"liquidation-a-{number}"
        assert rig.names(wire_id) == ["foreign_order", "order_execution", "order_cancelled"]
    assert rig.lots() == 130
    assert list(rig.gateways["a"].ledger.open_orders()) == []
    rig.check_conserved()


def test_a_stop_that_closes_the_position_has_no_quantity_to_amend() -> None:
    rig = Rig()
    rig.quote(200, 1000, 202, 1000)
    rig.trade(201, 1, 1)
    rig.market_order(1, 50)
    wire_id = rig.order(-1, 0, 0, order_type=OrderType.Stop, stop=190, close=True)
    rig.modify(wire_id, None, 20)
    ((_, code, _),) = rig.said("modify_order_reject")
    assert code is GtwRejectCode.InvalidRequest
