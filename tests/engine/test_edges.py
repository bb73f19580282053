"""Edges of sessions, ports and feeds: requests inside callbacks, answers that cross, several strategies at once."""

from typing import Any

import pytest

from mlthon.api.istrat_env import MDSub
from mlthon.basics.defs import (
    Exchange,
    ExecInstructions,
    FeedHandlerStatus,
    GtwRejectCode,
    GtwStatus,
    OrderType,
    Side,
)
from mlthon.engine.engine import EngineSettings
from mlthon.engine.faces import LIVE, RESET, SET_BID
from mlthon.engine.session import ErrorBudget
from tests.engine.rig import BTC, ETH, USDM_BTC, Recorder, Rig

BYBIT = Exchange.Bybit


def order(rig: Rig, client_id: Any, number: int = 0) -> Any:
    return rig.strategies[number].env.send_new_order(client_id, BYBIT, BTC, Side.Buy, "20000", "0.01")


def reject_cancels(rig: Rig) -> None:
    """From now on the gateway refuses every cancel."""
    gateway: Any = rig.gateway
    gateway.cancel_order = lambda each: gateway.answer(
        gateway.port.cancel_order_reject, each.wire_id, GtwRejectCode.OrderNotOpen, "over"
    )


def test_the_acknowledged_quantity_is_the_order_s() -> None:
    rig = Rig()
    rig.gateway.silent = True
    rig.env.send_new_order(1, BYBIT, BTC, Side.Sell, "20000", "0.05", ExecInstructions.ReduceOnly, OrderType.Limit)
    ((_, sent),) = rig.gateway.requests
    rig.gateway.port.new_order_ack(sent.wire_id, "X", sent.price, 20, 20, 0)
    rig.gateway.silent = False
    rig.env.fetch_orders_info(BYBIT)
    rig.wait(2)
    (((_, (shown,))),) = rig.strategy.of("on_orders_info")
    assert (shown.get_qty().to_float(), shown.get_leaves_qty().to_float()) == (0.02, 0.02)


def test_no_crossed_pair_when_another_strategy_subscribes() -> None:
    first, second = Recorder(), Recorder()
    rig = Rig(first, second)
    first.env.subscribe_to_market_data(BYBIT, [BTC], [MDSub.BBO])
    feed = rig.engine.feed(BTC)
    feed.quote(1000, 1, 1001, 1, 0, 0)
    second.env.subscribe_to_market_data(BYBIT, [ETH], [MDSub.BBO])
    first.calls.clear()
    feed.quote(998, 1, 999, 1, 0, 0)
    assert first.names() == ["on_best_bid_level_update", "on_best_ask_level_update"]


@pytest.mark.parametrize("callback", ["on_feed_handler_status", "on_add_price_level", "on_add_level"])
def test_unsubscribing_while_a_book_is_delivered_ends_the_delivery(callback: str) -> None:
    rig = Rig()
    feed = rig.engine.feed(BTC)
    feed.expect_books()
    for row in ((RESET, 0, 0), (SET_BID, 1000, 1), (SET_BID, 999, 1), (LIVE, 0, 0)):
        feed.book(*row, 0, 0, 0)
    rig.strategy.then[callback] = lambda *_: rig.env.unsubscribe_from_market_data(BYBIT, [BTC])
    rig.env.subscribe_to_market_data(BYBIT, [BTC], [MDSub.PriceLevelBook, MDSub.LevelBook])
    rig.wait(0)
    delivered = rig.strategy.names()[-4:]
    assert delivered.count("on_add_price_level") + delivered.count("on_add_level") <= 2
    feed.book(SET_BID, 998, 1, 0, 0, 0)
    assert rig.strategy.names()[-4:] == delivered


def test_unsubscribing_from_the_plain_number_of_a_kind_leaves_the_others() -> None:
    rig = Rig()
    rig.env.subscribe_to_market_data(BYBIT, [BTC], [MDSub.BBO])
    rig.env.unsubscribe_from_market_data(BYBIT, [BTC], 0)
    rig.engine.feed(BTC).quote(1000, 1, 1001, 1, 0, 0)
    assert rig.strategy.of("on_best_bid_level_update")


def test_a_cancel_after_a_shared_cancel_all_has_an_answer_of_its_own() -> None:
    rig = Rig(Recorder(), Recorder())
    order(rig, 1)
    rig.wait(2)
    reject_cancels(rig)
    rig.env.send_cancel_all(BYBIT, BTC)
    rig.env.send_cancel_order(BYBIT, BTC, 1)
    rig.wait(5)
    assert len(rig.strategy.of("on_cancel_all_reject")) == 1
    assert [each[1] for each in rig.strategy.of("on_cancel_order_reject")] == ["1"]


def test_a_cancel_before_a_shared_cancel_all_has_an_answer_of_its_own() -> None:
    rig = Rig(Recorder(), Recorder())
    order(rig, 1)
    rig.wait(2)
    rig.env.send_cancel_order(BYBIT, BTC, 1)
    reject_cancels(rig)
    rig.env.send_cancel_all(BYBIT, BTC)
    rig.wait(5)
    assert rig.strategy.of("on_cancel_order_ack") == [(BYBIT, "1")]
    assert len(rig.strategy.of("on_cancel_all_reject")) == 1


def test_a_refused_cancel_does_not_take_the_answer_of_one_under_way() -> None:
    rig = Rig(Recorder(), Recorder())
    order(rig, 1)
    rig.wait(2)
    rig.env.send_cancel_all(BYBIT, BTC)
    rig.gateway.now_status = (GtwStatus.Connecting, "a hole")
    rig.env.send_cancel_order(BYBIT, BTC, 1)
    rig.wait(5)
    assert [each[2] for each in rig.strategy.of("on_cancel_order_reject")] == [GtwRejectCode.GtwNotReady]
    assert len(rig.strategy.of("on_cancel_all_ack")) == 1


def test_asking_again_within_a_status_callback_is_no_endless_loop() -> None:
    rig = Rig()
    rig.engine.feed(BTC).expect_books()
    env = rig.env
    rig.strategy.then["on_feed_handler_status"] = lambda *_: env.subscribe_to_market_data(
        BYBIT, [BTC], [MDSub.PriceLevelBook]
    )
    rig.strategy.then["on_gateway_status"] = lambda *_: env.request_execution_connection(BYBIT, [BTC])
    env.subscribe_to_market_data(BYBIT, [BTC], [MDSub.PriceLevelBook])
    env.request_execution_connection(BYBIT, [BTC])
    rig.wait(1)
    rig.engine.feeds[BYBIT].disconnect("a hole")
    rig.gateway.port.gateway_status(GtwStatus.Connecting, "a hole")
    rig.wait(1)
    assert len(rig.strategy.of("on_feed_handler_status")) == 2
    assert len(rig.strategy.of("on_gateway_status")) == 3


def test_subscribing_anew_within_a_status_callback_is_no_endless_loop() -> None:
    rig = Rig()
    rig.engine.feed(BTC).expect_books()

    def anew(exchange: Exchange, status: FeedHandlerStatus, _: str) -> None:
        if status is FeedHandlerStatus.Disconnected:
            rig.env.unsubscribe_from_market_data(exchange, [BTC])
            rig.env.subscribe_to_market_data(exchange, [BTC], [MDSub.PriceLevelBook])

    rig.strategy.then["on_feed_handler_status"] = anew
    rig.env.subscribe_to_market_data(BYBIT, [BTC], [MDSub.PriceLevelBook])
    rig.wait(1)
    assert len(rig.strategy.of("on_feed_handler_status")) == 1
    for row in ((RESET, 0, 0), (SET_BID, 1000, 1), (LIVE, 0, 0)):
        rig.engine.feed(BTC).book(*row, 0, 0, 0)
    assert [each[1] for each in rig.strategy.of("on_feed_handler_status")][1:] == [
        FeedHandlerStatus.SnapshotStart,
        FeedHandlerStatus.SnapshotEnd,
    ]


def test_one_who_subscribes_on_the_first_status_is_told_once() -> None:
    strategy = Recorder()
    strategy.then["on_gateway_status"] = lambda *_: strategy.env.subscribe_to_market_data(
        BYBIT, [BTC], [MDSub.PriceLevelBook]
    )
    Rig(strategy)
    assert [each[1] for each in strategy.of("on_feed_handler_status")] == [
        FeedHandlerStatus.SnapshotStart,
        FeedHandlerStatus.SnapshotEnd,
    ]


@pytest.mark.parametrize("client_id", ["007", "9" * 5000])
def test_an_id_that_is_no_plain_number_comes_back_as_it_is(client_id: str) -> None:
    rig = Rig()
    assert order(rig, client_id) == client_id


def test_one_who_tries_again_on_each_rejection_does_not_stop_time() -> None:
    rig = Rig()
    rig.gateway.now_status = (GtwStatus.Connecting, "a hole")
    rig.strategy.then["on_new_order_reject"] = lambda *_: order(rig, None)
    order(rig, None)
    rig.wait(10)
    assert 1 < len(rig.strategy.of("on_new_order_reject")) < 20


def test_what_a_stopped_strategy_left_open_is_cancelled_again_until_it_is_gone() -> None:
    rig = Rig(settings=EngineSettings(error_budget=ErrorBudget(1, 60)))
    order(rig, 1)
    rig.wait(2)
    gateway: Any = rig.gateway
    cancel = gateway.cancel_order
    gateway.cancel_order = lambda each: gateway.answer(
        gateway.port.cancel_order_reject, each.wire_id, GtwRejectCode.RateLimited, "too many"
    )
    rig.session.failed("on_start", ValueError())
    rig.wait(2)
    assert rig.session.open
    gateway.cancel_order = cancel
    rig.wait(2000)
    assert not rig.session.open
    rig.wait(2000)
    assert len(rig.strategy.of("on_order_cancelled")) == 1


def test_foreign_orders_of_two_exchanges_with_one_name_are_two() -> None:
    rig = Rig(exchanges=(BYBIT, Exchange.BinanceUsdm))
    for exchange, instrument in ((BYBIT, BTC), (Exchange.BinanceUsdm, USDM_BTC)):
        rig.gateways[exchange].port.foreign_order("liquidation-main-1", instrument, -1, 5, "main is liquidated")
    for exchange in (BYBIT, Exchange.BinanceUsdm):
        rig.gateways[exchange].port.order_execution("liquidation-main-1", "1", 200_000, 5, 0, 0, "USDT", False, 0)
    prices = [(each[0], each[3].to_float(), each[4].to_float()) for each in rig.strategy.of("on_order_execution")]
    assert prices == [
        (each.venue, each.price_scale.values[200_000].to_float(), each.qty_scale.values[5].to_float())
        for each in (BTC, USDM_BTC)
    ]
    orders = [each for port in rig.engine.ports.values() if (each := port.find("liquidation-main-1"))]
    assert [each.instrument for each in orders] == [BTC, USDM_BTC]


def test_nobody_is_stopped_before_being_started() -> None:
    strategy = Recorder()
    strategy.login_at_once = False
    rig = Rig(strategy)
    strategy.env.login("late")
    rig.session.stop("now")
    rig.wait(0)
    names = strategy.names()
    assert names.index("on_start") < names.index("on_strat_params_update") < names.index("on_stop")


def test_winding_down_at_once_starts_and_stops_in_order() -> None:
    strategy = Recorder()
    strategy.login_at_once = False
    rig = Rig(strategy)
    strategy.then["on_stop"] = lambda _: strategy.env.send_stop_ack()
    strategy.env.login("late")
    rig.engine.wind_down()
    rig.engine.end()
    assert [each for each in strategy.names() if each in ("on_start", "on_stop", "on_framework_disconnected")] == [
        "on_start",
        "on_stop",
        "on_framework_disconnected",
    ]
