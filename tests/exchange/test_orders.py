"""What becomes of an order: types, times in force, instructions, amendments, self-trades, stops."""

from typing import Any

import pytest

from mlthon.basics.defs import TIF, CancelCode, ExecInstructions, GtwRejectCode, GtwStatus, OrderStatus, OrderType
from mlthon.engine.clock import MS, SECOND
from mlthon.exchange.config import RateLimitConfig
from tests.exchange.rig import INVERSE, LINEAR, SPOT, Rig

PO = ExecInstructions.PostOnly
RO = ExecInstructions.ReduceOnly
DAY = 86_400 * SECOND


def quoted(**config: Any) -> Rig:
    rig = Rig(**config)
    rig.quote(200, 50, 202, 30)
    return rig


def test_a_taker_fills_at_the_touch_and_is_acknowledged_first() -> None:
    rig = quoted()
    order = rig.market_order(1, 10)
    assert rig.names(order) == ["new_order_ack", "order_execution"]
    assert rig.fills(order) == [(202, 10, False)]
    assert rig.lots() == 10


def test_displayed_liquidity_is_consumed_once() -> None:
    rig = quoted()
    rig.market_order(1, 30)
    second = rig.market_order(1, 5)
    assert rig.names(second) == ["new_order_ack", "order_cancelled"]
    assert rig.said("order_cancelled")[-1][3] is CancelCode.NoLiquidity
    rig.quote(200, 50, 202, 34)  # four more are new
    third = rig.market_order(1, 10)
    assert rig.fills(third) == [(202, 4, False)]
    rig.quote(200, 50, 202, 20)  # fewer: nothing of them is left over
    assert rig.fills(rig.market_order(1, 5)) == []
    rig.quote(200, 50, 203, 20)
    rig.quote(200, 50, 202, 7)  # the level went and came again
    assert rig.fills(rig.market_order(1, 10)) == [(202, 7, False)]


def test_a_sweep_takes_depth_strictly_beyond_the_touch() -> None:
    rig = quoted()
    for price, qty in ((201, 99), (202, 99), (203, 5), (205, 10)):
        rig.market.on_book(1, price, qty, price, 0)
    order = rig.order(1, 204, 60)
    assert rig.fills(order) == [(202, 30, False), (203, 5, False)]
    assert rig.exchange.account("a").orders[order].leaves == 25
    assert rig.fills(rig.market_order(1, 20)) == [(205, 10, False)]


@pytest.mark.parametrize(
    ("rule", "filled", "cancelled"),
    [("cancel", [(202, 30, False)], True), ("fill", [(202, 30, False), (212, 10, False)], False)],
)
def test_what_the_book_cannot_fill(rule: str, filled: list[object], cancelled: bool) -> None:
    rig = quoted(beyond_book=rule)
    order = rig.market_order(1, 40)
    assert rig.fills(order) == filled
    assert ("order_cancelled" in rig.names(order)) is cancelled


def test_only_trades_at_the_price_advance_the_queue() -> None:
    rig = quoted()
    order = rig.order(1, 200, 10)
    rig.trade(200, 50, -1)
    assert rig.fills(order) == []
    rig.trade(200, 4, -1)
    assert rig.fills(order) == [(200, 4, True)]
    rig.trade(199, 3, -1)  # through the price
    rig.quote(198, 5, 200, 2)  # the opposite touch at it
    rig.quote(198, 5, 200, 2)  # displays nothing new
    assert rig.fills(order) == [(200, 4, True), (200, 3, True), (200, 2, True)]


def test_a_full_fill_is_whole() -> None:
    rig = quoted(fills="full")
    order = rig.order(1, 200, 10)
    rig.trade(200, 51, -1)
    assert rig.fills(order) == [(200, 10, True)]
    assert rig.fills(rig.market_order(1, 500)) == [(202, 500, False)]


def test_what_a_trade_offers_is_shared_in_priority() -> None:
    rig = Rig(("a", "b"))
    rig.quote(200, 5, 202, 30)
    first = rig.order(1, 200, 10)
    second = rig.order(1, 200, 10, account="b")
    rig.trade(200, 18, -1)
    assert rig.fills(first) == [(200, 10, True)]
    assert rig.fills(second) == [(200, 3, True)]


def test_accounts_trade_with_each_other() -> None:
    rig = Rig(("a", "b"))
    rig.quote(200, 5, 204, 30)
    bid = rig.order(1, 202, 10)
    ask = rig.order(-1, 201, 15, account="b")
    assert rig.fills(bid) == [(202, 10, True)]
    assert rig.fills(ask) == [(202, 10, False)]
    assert (rig.lots(), rig.lots(account="b")) == (10, -10)
    rig.check_conserved()


@pytest.mark.parametrize(
    ("tif", "qty", "filled", "last"),
    [
        (TIF.IOC, 40, 30, "order_cancelled"),
        (TIF.IOC, 20, 20, "order_execution"),
        (TIF.FOK, 40, 0, "order_cancelled"),
        (TIF.FOK, 30, 30, "order_execution"),
        (TIF.GTC, 40, 30, "order_execution"),
    ],
)
def test_time_in_force(tif: TIF, qty: int, filled: int, last: str) -> None:
    rig = quoted()
    order = rig.order(1, 202, qty, tif=tif)
    assert sum(lots for _, lots, _ in rig.fills(order)) == filled
    assert rig.names(order)[0] == "new_order_ack"
    assert rig.names(order)[-1] == last
    if last == "order_cancelled":
        (_, unsolicited, _, code, reason) = rig.said("order_cancelled")[-1]
        assert unsolicited
        assert code is CancelCode.TimeInForce
        assert reason


def test_day_orders_end_with_the_utc_day() -> None:
    rig = quoted()
    order = rig.order(1, 190, 10, tif=TIF.Day)
    rig.run(DAY - rig.clock.now - 1)
    assert rig.names(order) == ["new_order_ack"]
    rig.run(1)
    assert rig.names(order) == ["new_order_ack", "order_cancelled"]
    assert rig.said("order_cancelled")[0][1:4] == (True, DAY, CancelCode.TimeInForce)


@pytest.mark.parametrize(
    ("order", "code", "part"),
    [
        ({"side": 1, "price": 202, "qty": 10, "exec_instr": PO}, GtwRejectCode.PostOnlyWouldTake, "101"),
        ({"side": -1, "price": 200, "qty": 10, "exec_instr": PO}, GtwRejectCode.PostOnlyWouldTake, "100"),
        ({"side": 1, "price": 200, "qty": 0}, GtwRejectCode.InvalidQty, "quantity 0 "),
        ({"side": 1, "price": 200, "qty": -5}, GtwRejectCode.InvalidQty, "-0.05"),
        ({"side": 1, "price": 200, "qty": 1}, GtwRejectCode.QtyBelowMinimum, "quantity 0.01 is below the minimum 0.02"),
        ({"side": 1, "price": 200, "qty": 10_001}, GtwRejectCode.QtyAboveMaximum, "100.01"),
        ({"side": 1, "price": 0, "qty": 10}, GtwRejectCode.InvalidPrice, "price 0 "),
        ({"side": 1, "price": -3, "qty": 10}, GtwRejectCode.InvalidPrice, "-1.5"),
        ({"side": 1, "price": 20, "qty": 2}, GtwRejectCode.NotionalBelowMinimum, "0.2 "),
        ({"side": 1, "price": 200, "qty": 10, "exec_instr": RO}, GtwRejectCode.ReduceOnlyWouldIncrease, "position 0"),
        ({"side": 1, "price": 200, "qty": 10, "order_type": OrderType.Unset}, GtwRejectCode.UnsupportedOrder, "Unset"),
        ({"side": 1, "price": 200, "qty": 10, "stop": 210}, GtwRejectCode.InvalidRequest, "stop price"),
        (
            {"side": 1, "price": 0, "qty": 10, "order_type": OrderType.Market, "exec_instr": PO},
            GtwRejectCode.UnsupportedOrder,
            "Market",
        ),
        ({"side": 1, "price": 0, "qty": 10, "order_type": OrderType.Stop}, GtwRejectCode.InvalidPrice, "none"),
        (
            {"side": 1, "price": 0, "qty": 10, "order_type": OrderType.Stop, "stop": 201},
            GtwRejectCode.StopWouldTrigger,
            "100.5",
        ),
        ({"side": 1, "price": 200, "qty": 9_000}, GtwRejectCode.InsufficientMargin, "USDT"),
    ],
)
def test_what_is_rejected(order: dict[str, object], code: GtwRejectCode, part: str) -> None:
    rig = quoted(balances={"USDT": 100})
    wire_id = rig.order(**order)  # type: ignore[arg-type]
    assert rig.names(wire_id) == ["new_order_reject"]
    _, said, reason = rig.said("new_order_reject")[0]
    assert said is code
    assert part in reason
    assert "byt:perp:one-usdt" in reason or "USDT" in reason or "order" in reason
    rig.run(SECOND)
    assert rig.lots() == 0


def test_a_market_order_needs_a_market() -> None:
    rig = Rig()
    rig.market_order(1, 10)
    assert rig.said("new_order_reject")[0][1] is GtwRejectCode.NoMarket


def test_ids_are_used_once() -> None:
    rig = quoted()
    rig.order(1, 190, 10, wire_id="x")
    rig.order(1, 190, 10, wire_id="x")
    assert rig.said("new_order_reject")[0][1] is GtwRejectCode.DuplicateClientId


def test_reduce_only_orders_shrink_with_the_position() -> None:
    rig = quoted()
    rig.market_order(1, 20)
    cut = rig.order(-1, 210, 50, exec_instr=RO)
    assert rig.said("new_order_ack")[-1][3:5] == (20, 20)
    rig.market_order(-1, 5)
    assert rig.said("modify_order_ack") == [(cut, None, 15, 15)]
    rig.market_order(-1, 15)
    assert rig.names(cut)[-1] == "order_cancelled"
    assert rig.said("order_cancelled")[0][3] is CancelCode.ReduceOnly


def test_two_reduce_only_orders_never_turn_the_position() -> None:
    rig = quoted()
    rig.market_order(1, 20)
    rig.order(-1, 203, 20, exec_instr=RO)
    rig.order(-1, 203, 20, exec_instr=RO)
    rig.trade(204, 1000, 1)
    assert rig.lots() == 0


def test_close_position_closes_all() -> None:
    rig = quoted()
    rig.market_order(1, 20)
    order = rig.market_order(-1, 0, close=True)
    assert rig.fills(order) == [(200, 20, False)]
    assert rig.lots() == 0


def test_amending_keeps_priority_only_when_the_size_shrinks() -> None:
    rig = Rig(("a", "b"))
    rig.quote(200, 0, 202, 30)
    rig.quote(199, 5, 202, 30)
    first = rig.order(1, 200, 10)
    second = rig.order(1, 200, 10, account="b")
    rig.modify(first, None, 6)
    rig.trade(200, 7, -1)
    assert rig.fills(first) == [(200, 6, True)]
    assert rig.fills(second) == [(200, 1, True)]
    third = rig.order(1, 200, 10)
    rig.modify(second, None, 30)
    rig.trade(200, 9, -1)
    assert rig.fills(third) == [(200, 9, True)]
    assert rig.fills(second) == [(200, 1, True)]
    assert rig.said("modify_order_ack") == [(first, None, 6, 6), (second, None, 30, 29)]


def test_an_amended_price_may_trade() -> None:
    rig = quoted()
    order = rig.order(1, 190, 10)
    rig.modify(order, 202, None)
    assert rig.names(order) == ["new_order_ack", "modify_order_ack", "order_execution"]


@pytest.mark.parametrize(
    ("price", "qty", "code"),
    [
        (202, None, GtwRejectCode.PostOnlyWouldTake),
        (0, None, GtwRejectCode.InvalidPrice),
        (None, 1, GtwRejectCode.QtyBelowMinimum),
        (None, 0, GtwRejectCode.InvalidQty),
        (None, 20_000, GtwRejectCode.QtyAboveMaximum),
    ],
)
def test_a_refused_amendment_changes_nothing(price: int | None, qty: int | None, code: GtwRejectCode) -> None:
    rig = quoted()
    order = rig.order(1, 190, 10, exec_instr=PO)
    stake = rig.exchange.account("a").stakes[LINEAR]
    before = stake.buys, stake.sells
    rig.modify(order, price, qty)
    assert [args[1] for args in rig.said("modify_order_reject")] == [code]
    assert (stake.buys, stake.sells) == before
    rig.trade(189, 100, -1)
    assert rig.fills(order) == [(190, 10, True)]


def test_a_cancel_is_acknowledged_then_done() -> None:
    rig = quoted()
    order = rig.order(1, 190, 10)
    rig.cancel(order)
    rig.cancel(order)
    assert rig.names(order) == ["new_order_ack", "cancel_order_ack", "order_cancelled", "cancel_order_reject"]
    assert rig.said("order_cancelled")[0][1] is False
    assert rig.said("cancel_order_reject")[0][1] is GtwRejectCode.OrderNotOpen
    assert rig.exchange.account("a").stakes[LINEAR].buys == 0


def test_cancel_all_concerns_one_instrument() -> None:
    rig = quoted()
    mine = [rig.order(1, 190, 10), rig.order(-1, 0, 10, order_type=OrderType.Stop, stop=180)]
    other = rig.order(1, 190, 10, instrument=SPOT)
    rig.gateways["a"].cancel_all(LINEAR)
    rig.run()
    assert rig.said("cancel_all_ack") == [(LINEAR,)]
    assert [rig.names(order)[-1] for order in mine] == ["order_cancelled"] * 2
    assert rig.names(other) == ["new_order_ack"]


@pytest.mark.parametrize(
    ("rule", "resting", "taking"),
    [
        ("cancel_newest", ["new_order_ack"], ["new_order_ack", "order_cancelled"]),
        ("cancel_oldest", ["new_order_ack", "order_cancelled"], ["new_order_ack"]),
        ("cancel_both", ["new_order_ack", "order_cancelled"], ["new_order_ack", "order_cancelled"]),
        ("allow", ["new_order_ack", "order_execution"], ["new_order_ack", "order_execution"]),
    ],
)
def test_self_trade_prevention(rule: str, resting: list[str], taking: list[str]) -> None:
    rig = Rig(self_trade_prevention=rule)
    rig.quote(200, 5, 204, 5)
    old = rig.order(1, 202, 10)
    new = rig.order(-1, 202, 10)
    assert (rig.names(old), rig.names(new)) == (resting, taking)
    assert all(args[3] is CancelCode.SelfTradePrevention for args in rig.said("order_cancelled"))
    rig.check_conserved()


@pytest.mark.parametrize(
    ("side", "order_type", "stop", "quiet", "trigger"),
    [
        (1, OrderType.Stop, 210, 209, 210),
        (-1, OrderType.Stop, 190, 191, 189),
        (1, OrderType.TakeProfit, 190, 191, 190),
        (-1, OrderType.TakeProfit, 210, 209, 211),
    ],
)
def test_stops_trigger_at_the_last_trade(side: int, order_type: OrderType, stop: int, quiet: int, trigger: int) -> None:
    rig = quoted()
    rig.trade(201, 1, 1)
    order = rig.order(side, 0, 10, order_type=order_type, stop=stop)
    rig.quote(trigger - 1, 50, trigger + 1, 50)  # quotes do not trigger where there are trades
    rig.trade(quiet, 1, 1)
    assert rig.names(order) == ["new_order_ack"]
    assert rig.exchange.account("a").orders[order].state is OrderStatus.Untriggered
    rig.trade(trigger, 1, 1)
    assert rig.fills(order) == [(trigger + side, 10, False)]


def test_stops_trigger_at_the_opposite_touch_without_trades() -> None:
    rig = quoted()
    order = rig.order(1, 0, 10, order_type=OrderType.Stop, stop=210)
    rig.quote(206, 50, 209, 50)
    assert rig.names(order) == ["new_order_ack"]
    rig.quote(206, 50, 210, 50)
    assert rig.fills(order) == [(210, 10, False)]


def test_a_stop_limit_rests_at_its_price() -> None:
    rig = quoted()
    order = rig.order(1, 205, 10, order_type=OrderType.StopLimit, stop=210)
    rig.quote(209, 50, 211, 50)
    assert rig.fills(order) == []
    rig.quote(203, 50, 205, 4)
    assert rig.fills(order) == [(205, 4, True)]


def test_data_of_trades_alone() -> None:
    rig = Rig(half_spread_ticks=2)
    rig.trade(200, 5, 1)
    assert rig.fills(rig.market_order(1, 50)) == [(202, 50, False)]
    order = rig.order(1, 199, 10)
    rig.trade(199, 4, -1)
    rig.trade(198, 3, 1)
    assert rig.fills(order) == [(199, 4, True), (199, 3, True)]


def test_data_without_sizes() -> None:
    rig = Rig(displayed_size=0.2)
    rig.quote(200, 0, 202, 0)
    assert rig.fills(rig.market_order(1, 50)) == [(202, 20, False)]


def test_depth_alone_gives_the_touch() -> None:
    rig = Rig()
    market = rig.market
    for op, price, qty in ((2, 0, 0), (0, 200, 5), (0, 199, 9), (1, 203, 7), (1, 204, 8), (3, 0, 0)):
        market.on_book(op, price, qty, price, 0)
    assert (market.bid, market.bid_qty, market.ask, market.ask_qty) == (200, 5, 203, 7)
    order = rig.order(1, 199, 10)
    market.on_book(1, 203, 0, 203, 0)
    market.on_book(0, 200, 0, 200, 0)
    assert (market.bid, market.ask) == (199, 204)
    rig.trade(199, 9, -1)
    assert rig.fills(order) == []
    rig.trade(199, 10, -1)
    assert rig.fills(order) == [(199, 10, True)]


def test_single_orders_add_up_to_levels() -> None:
    rig = Rig()
    for op, price, qty, level_id in ((2, 0, 0, 0), (5, 200, 5, 11), (5, 200, 4, 12), (6, 202, 3, 13), (3, 0, 0, 0)):
        rig.market.on_book(op, price, qty, level_id, 0)
    assert (rig.market.bid, rig.market.bid_qty) == (200, 9)
    rig.market.on_book(5, 199, 4, 12, 0)
    assert (rig.market.bid_qty, rig.market.depth_bids[199]) == (5, 4)
    rig.market.on_book(5, 200, 0, 11, 0)
    assert rig.market.bid == 199


def test_questions_are_answered() -> None:
    rig = quoted(default_balance=1000)
    gateway = rig.gateways["a"]
    rig.market_order(1, 10)
    open_order = rig.order(1, 190, 10)
    gateway.fetch_order_status(1, rig.orders[open_order])
    gateway.fetch_orders_info(2, LINEAR)
    gateway.fetch_position_info(3, LINEAR)
    gateway.fetch_wallet_info(4, "USDT")
    gateway.fetch_funding_info(5, LINEAR)
    gateway.fetch_account_info(6)
    gateway.fetch_funding_info(7, SPOT)
    rig.run()
    assert rig.said("order_status") == [(1, open_order, OrderStatus.New, 190, 10)]
    assert rig.said("orders_info") == [(2, [open_order])]
    assert rig.said("position_info")[0][:5] == (3, LINEAR, 10, 101.0, 100.5)
    _, coin, total, available = rig.said("wallet_info")[0]
    assert coin == "USDT"
    assert 0 < available < total
    assert rig.said("funding_info") == [(5, LINEAR, 0.0, 8 * 3600 * SECOND)]
    assert rig.said("account_info") == [(6, "a")]
    assert rig.said("request_reject")[0][:2] == (7, GtwRejectCode.InvalidRequest)


def test_the_rate_limit_warns_then_refuses() -> None:
    rig = quoted(rate_limit=RateLimitConfig(requests=10, interval_s=1.0))
    start = rig.clock.now
    for _ in range(11):
        rig.order(1, 190, 10)
    assert rig.said("rate_limit_info") == [(50, start + SECOND), (90, start + SECOND), (100, start + SECOND)]
    assert [args[1] for args in rig.said("new_order_reject")] == [GtwRejectCode.RateLimited]
    rig.run(SECOND)
    assert rig.names(rig.order(1, 190, 10)) == ["new_order_ack"]


def test_a_lost_connection_cancels_what_rests() -> None:
    rig = quoted()
    order = rig.order(1, 190, 10)
    rig.exchange.disconnect("a hole in the data")
    rig.run()
    assert rig.said("order_cancelled")[0][1::2] == (True, CancelCode.Disconnected)
    late = rig.order(1, 190, 10)
    assert rig.said("new_order_reject")[0][1] is GtwRejectCode.GtwNotReady
    rig.exchange.reconnect()
    rig.run()
    assert [args[0] for args in rig.said("gateway_status")] == [GtwStatus.Connecting, GtwStatus.ReadyToTrade]
    assert rig.names(order)[-1] == "order_cancelled"
    assert rig.names(late) == ["new_order_reject"]


def test_nothing_is_answered_inside_a_request() -> None:
    rig = quoted()
    before = len(rig.log)
    rig.gateways["a"].cancel_order(rig.orders[rig.order(1, 190, 10)])
    assert len(rig.log) == before + 1
    rig.run(MS)
    assert len(rig.log) == before + 3


def test_spot_holds_what_open_orders_need() -> None:
    rig = Rig(balances={"USDT": 100.0, "ONE": 1.0}, maker_fee=0.0, taker_fee=0.0)
    rig.quote(200, 50, 202, 50, SPOT)
    rig.order(1, 198, 60, instrument=SPOT)
    rig.order(1, 198, 60, instrument=SPOT)
    rig.order(-1, 210, 60, instrument=SPOT)
    rig.order(-1, 210, 60, instrument=SPOT)
    assert [args[1] for args in rig.said("new_order_reject")] == [GtwRejectCode.InsufficientBalance] * 2
    rig.market_order(-1, 40, instrument=SPOT)
    assert rig.exchange.account("a").balances == {"USDT": 140 * 10**18, "ONE": 6 * 10**17}
    rig.check_conserved()


def test_an_inverse_long_gains_as_the_price_rises() -> None:
    rig = Rig(balances={"ONE": 1000.0}, maker_fee=0.0, taker_fee=0.0)
    rig.quote(198, 5000, 200, 5000, INVERSE)
    rig.market_order(1, 1000, instrument=INVERSE)
    rig.quote(400, 5000, 402, 5000, INVERSE)
    rig.market_order(-1, 1000, instrument=INVERSE)
    assert rig.exchange.account("a").balances == {"ONE": 1005 * 10**18}
    rig.check_conserved()
