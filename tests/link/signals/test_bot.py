"""Position bots on the embedded exchange, and what is common to all types."""

import math
from typing import Any

import pytest

from mlthon.basics.defs import Exchange, FeedHandlerStatus, GtwRejectCode, GtwStatus, OrderStatus
from mlthon.engine.clock import SECOND
from mlthon.engine.session import Phase
from mlthon.errors import UserError
from mlthon.link.host.desk import HeldPosition
from tests.link.signals.kit import START, Table


def position(**params: Any) -> Table:
    return Table("position", {"max_position_size": 1.0, **params})


# -- targets -----------------------------------------------------------------------------------------------------------


def test_targets_are_reached_by_market_orders() -> None:
    table = position()
    for size, held in ((0.5, 0.5), (1, 1.0), ("-0.25", -0.25), (7, 1.0), (-7, -1.0), (0, 0.0)):
        table.signal(size=size)
        assert table.held == held
    assert [each[1] for each in table.sent()] == [None] * 6
    assert [each[2] for each in table.sent()] == [0.5, 0.5, -1.25, 1.25, -2.0, 1.0]


def test_sizes_are_rounded_down_to_lots() -> None:
    table = Table("position", {"max_position_size": 1000}, exchange=Exchange.BitMEX, symbol="XBTUSD")
    table.signal(size=0.59)
    assert table.held == 500.0
    table.signal(size=-0.59)
    assert table.held == -500.0


@pytest.mark.parametrize("size", [0.29, 0.57, 0.58, -0.07, 0.0100000001])
def test_a_blurred_product_is_the_lot_that_was_meant(size: float) -> None:
    table = Table("position", {"max_position_size": 0.1})
    table.signal(size=size)
    assert table.held == pytest.approx(round(size, 6) * 0.1)


def test_the_same_signal_again_does_nothing() -> None:
    table = position()
    for _ in range(50):
        table.signal(size=0.5)
    assert table.requests.count("new") == 1


def test_none_and_garbage_change_nothing_and_are_told_once(caplog: pytest.LogCaptureFixture) -> None:
    table = position()
    table.signal(size=0.5)
    for size in (None, math.nan, math.nan, "much", [1]):
        table.signal(size=size)
    table.signal(mid=5)
    assert table.held == 0.5
    assert table.requests.count("new") == 1
    told = [each.getMessage() for each in caplog.records if "ignored" in each.getMessage()]
    assert told == [
        f"bot.b0: a signal of script is ignored: size must be a number, not {value}"
        for value in ("nan", "'much'", "[1]")
    ]


def test_signals_while_an_order_is_under_way_lead_to_the_last_target() -> None:
    table = position()
    for size in (0.5, -0.5, 1, 0.25, 0.75):
        table.signal(size=size, settle=False)
        table.wait(0.0005)
    table.wait(0.1)
    assert table.held == 0.75
    assert max(abs(each[2]) for each in table.sent()) <= 1.5


def test_what_one_order_cannot_fill_follows() -> None:
    table = position()
    table.quote(30000.0, ask_lots=200)
    table.signal(size=1)
    assert table.held == pytest.approx(0.2)
    table.wait(5)
    assert table.requests.count("new") == 3, "at once, after 1 s and after 2 s more"
    held = []
    for price in (30001.0, 30002.0, 30003.0, 30004.0):
        table.quote(price, ask_lots=300)
        table.wait(70)
        held.append(table.held)
    assert held == pytest.approx([0.5, 0.8, 1.0, 1.0])
    assert max(each[2] for each in table.sent()) == 1.0


def test_a_small_change_of_the_target_is_none_but_flat_is() -> None:
    table = position(order_min_pct_change=10)
    sizes = [0.5, 0.55, 0.41, 0.4, 0.05, 0, 0.05]
    held = []
    for size in sizes:
        table.signal(size=size)
        held.append(table.held)
    assert held == [0.5, 0.5, 0.5, 0.4, 0.05, 0.0, 0.0]


# -- how orders are filled ---------------------------------------------------------------------------------------------


def test_with_a_fill_delay_it_waits_at_the_best_price_before_it_takes() -> None:
    table = position(order_fill_delay=5)
    table.signal(size=0.5)
    assert table.orders() == [(30000.0, 0.5)]
    table.wait(4.5)
    table.quote(30010.0)
    assert table.orders() == [(30000.0, 0.5)]
    assert table.held == 0
    table.wait(1)
    assert table.held == 0.5
    assert table.orders() == []
    assert [each[1] for each in table.sent()] == [30000.0, None]


def test_what_was_filled_while_it_waited_is_not_taken_again() -> None:
    table = position(order_fill_delay=5)
    table.quote(30000.0, bid_lots=0)
    table.quote(30000.0, bid_lots=10)
    table.signal(size=0.5)
    table.trade(30000.0, 110, -1)
    assert table.held == pytest.approx(0.1)
    table.wait(6)
    assert table.held == 0.5
    assert [round(each[2], 9) for each in table.sent()] == [0.5, 0.4]


def test_a_new_target_while_it_waits_changes_the_order() -> None:
    table = position(order_fill_delay=60)
    table.signal(size=0.5)
    table.signal(size=0.25)
    assert table.orders() == [(30000.0, 0.25)]
    table.signal(size=1)
    assert table.orders() == [(30000.0, 1.0)]
    table.signal(size=-0.5)
    assert table.orders() == [(30000.1, -0.5)]
    table.signal(size=0)
    assert table.orders() == []
    assert table.held == 0


def test_post_only_orders_follow_the_market_and_never_take() -> None:
    table = position(limit_post_only=True, order_fill_delay=2)
    table.signal(size=0.5)
    assert table.orders() == [(30000.0, 0.5)]
    table.quote(30050.0)
    table.wait(2.5)
    assert table.orders() == [(30050.0, 0.5)]
    table.wait(30)
    assert table.held == 0
    table.quote(30040.0)
    assert table.held == 0.5
    assert all(row[2].exec_instr.post_only for row in table.requests.of("new"))
    assert all(row[3][6] for row in table.requests.of("fill"))


def test_a_refused_post_only_order_is_quoted_anew() -> None:
    table = position(limit_post_only=True)
    table.signal(size=0.5, settle=False)
    table.clock.run_until(table.clock.now)
    low = table.ticks(29900)
    table._lane(low, 10**7, low + 1, 10**7, table.clock.now, table.clock.now)  # before the order arrives
    table.wait(0.1)
    assert [row[3][0] for row in table.requests.of("reject")] == [GtwRejectCode.PostOnlyWouldTake.name]
    assert table.orders() == []
    table.wait(0.5)
    assert table.orders() == [(29900.0, 0.5)]
    assert table.requests.count("new") == 2


# -- exits -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "size", "price"),
    [
        ({"stop_loss_pct": 1}, 0.5, 29690.0),
        ({"stop_loss_pct": 1}, -0.5, 30310.0),
        ({"take_profit_pct": 1}, 0.5, 30310.0),
        ({"take_profit_pct": 1}, -0.5, 29690.0),
    ],
)
def test_an_exit_closes_until_another_signal_comes(params: dict[str, Any], size: float, price: float) -> None:
    table = position(**params)
    table.signal(size=size)
    table.quote((30000.0 + price) / 2)
    assert table.held == size
    table.quote(price)
    assert table.held == 0
    for _ in range(5):
        table.signal(size=size)
        table.quote(30000.0)
    assert table.held == 0
    assert table.requests.count("new") == 2
    table.signal(size=size / 2)
    assert table.held == size / 2


def test_an_exit_cancels_what_still_waits_first() -> None:
    table = position(stop_loss_pct=1, order_fill_delay=60)
    table.quote(30000.0, bid_lots=10)
    table.signal(size=0.5)
    table.trade(30000.0, 110, -1)
    assert table.held == pytest.approx(0.1)
    table.quote(30500.0)
    table.bot.position.entry = 40000 * 10.0  # as if it had been bought dearly, with the order still resting below
    table.quote(30500.0)
    assert table.held == 0
    assert table.orders() == []


# -- stops and hours ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("close", "held"), [(True, 0.0), (False, 0.5)])
def test_close_on_stop(close: bool, held: float) -> None:
    table = position(close_on_stop=close)
    table.signal(size=0.5)
    table.session.stop()
    table.wait(0.1)
    assert table.session.phase is Phase.STOPPED
    assert table.held == held
    table.signal(size=1)
    assert table.held == held
    table.session.start()
    table.wait(0.1)
    assert table.held == 1.0


def test_a_stop_cancels_what_waits() -> None:
    table = position(order_fill_delay=60)
    table.signal(size=0.5)
    table.session.stop()
    table.wait(0.1)
    assert table.orders() == []
    assert table.session.phase is Phase.STOPPED


@pytest.mark.parametrize(("close", "held"), [(True, 0.0), (False, 0.5)])
def test_trading_hours_over_midnight(close: bool, held: float) -> None:
    table = Table(
        "position",
        {
            "max_position_size": 1.0,
            "trading_start_time": "22:00",
            "trading_stop_time": "01:00",
            "close_on_stop": close,
        },
        start=START + 21 * 3600 * SECOND,
    )
    table.signal(size=0.5)
    assert table.held == 0
    table.wait(3600)
    assert table.held == 0.5
    table.wait(3 * 3600 - 10)
    assert table.held == 0.5
    table.wait(20)
    assert table.held == held
    table.signal(size=1)
    assert table.held == held
    table.wait(21 * 3600)
    assert table.held == 1.0


def test_a_stop_loss_counts_outside_trading_hours_too() -> None:
    table = Table(
        "position",
        {"max_position_size": 1.0, "stop_loss_pct": 1, "trading_stop_time": "00:01"},
    )
    table.signal(size=0.5)
    table.wait(120)
    table.quote(29000.0)
    assert table.held == 0


def test_switched_off_and_on_again_by_the_configuration() -> None:
    table = position(close_on_stop=True)
    table.signal(size=0.5)
    params = table.config.as_params
    table.session.update_params({**params, "enabled": False})
    table.wait(0.1)
    assert table.held == 0
    table.session.update_params(params)
    table.wait(0.1)
    assert table.held == 0.5
    table.session.update_params({"enabled": True, "params": {"max_position_size": 2.0}})
    table.wait(0.1)
    assert table.held == 1.0
    table.session.update_params({"enabled": True, "params": {"max_position_size": -2.0}})
    table.session.update_params({})
    table.wait(0.1)
    assert table.held == 1.0
    table.signal(size=1)
    assert table.held == 1.0


def test_its_status_in_a_line() -> None:
    table = position(stop_loss_pct=1)
    assert table.bot.status() == "BTCUSDT: flat, 0 open orders, no signal yet"
    table.signal(size=0.5)
    assert table.bot.status() == "BTCUSDT: 0.5 at 30000.1, 0 open orders, size=0.5"
    table.quote(29000.0)
    table.session.feed_status(Exchange.Bybit, FeedHandlerStatus.Disconnected, "")
    assert table.bot.status() == (
        "BTCUSDT: flat, 0 open orders, size=0.5; no market data; closed by stop loss: -3.334 %"
    )
    assert table.session.command("status")


# -- when things go wrong ----------------------------------------------------------------------------------------------


def test_nothing_is_sent_while_the_gateway_is_not_ready() -> None:
    table = position()
    port = table.engine.port(Exchange.Bybit, "V")
    port.gateway_status(GtwStatus.Connecting, "lost")
    table.signal(size=0.5)
    table.wait(60)
    assert table.requests.count("new") == 0
    port.gateway_status(GtwStatus.ReadyToTrade, "")
    table.wait(0.1)
    assert table.held == 0.5


def test_while_the_market_data_are_interrupted_nothing_rests_and_nothing_is_sent() -> None:
    table = position(order_fill_delay=60)
    table.signal(size=0.5)
    table.session.feed_status(Exchange.Bybit, FeedHandlerStatus.Disconnected, "")
    table.wait(0.1)
    assert table.orders() == []
    table.signal(size=1)
    table.wait(120)
    assert table.requests.count("new") == 1
    table.session.feed_status(Exchange.Bybit, FeedHandlerStatus.SnapshotEnd, "")
    table.wait(0.1)
    assert table.orders() == [(30000.0, 1.0)]


def test_before_the_first_quote_it_waits() -> None:
    table = Table("position", {"max_position_size": 1.0}, bid=None)
    table.signal(size=0.5)
    assert table.requests.count("new") == 0
    table.quote(30000.0)
    assert table.held == 0.5


def test_refusals_are_no_storm(caplog: pytest.LogCaptureFixture) -> None:
    table = position()
    table.gateway.ledger.cash["USDT"] = 0
    table.signal(size=1)
    for _ in range(600):
        table.wait(1)
        table.quote(30000.0)
    assert table.held == 0
    assert 8 <= table.requests.count("new") <= 17
    assert any("the next attempt in 4 s" in each.getMessage() for each in caplog.records)


def test_an_exit_does_not_wait_for_earlier_refusals() -> None:
    table = position(stop_loss_pct=1)
    table.signal(size=0.5)
    for _ in range(10):
        table.bot._keeper.back_off("a test", table.clock.now)
    table.quote(29000.0)
    assert table.held == 0


def test_an_order_that_is_unknown_is_left_alone_until_it_is_known_again() -> None:
    table = position(order_fill_delay=60)
    table.signal(size=0.5)
    (order,) = table.session.open.values()
    port = table.engine.port(Exchange.Bybit, "V")
    port.order_unknown(order.wire_id, "no answer")
    table.signal(size=1)
    table.wait(10)
    assert (table.requests.count("new"), table.requests.count("modify")) == (1, 0)
    port.order_resolved(order.wire_id, OrderStatus.New, order.leaves)
    table.wait(0.1)
    assert table.orders() == [(30000.0, 1.0)]
    assert table.requests.count("modify") == 1


def test_exits_are_not_watched_while_it_is_switched_off() -> None:
    table = position(stop_loss_pct=1)
    table.signal(size=0.5)
    table.session.update_params({**table.config.as_params, "enabled": False})
    table.quote(20000.0)
    assert table.held == 0.5
    table.session.update_params(table.config.as_params)
    table.quote(20000.1)
    assert table.held == 0


def test_a_hole_in_the_data_does_not_move_trading_hours() -> None:
    table = position(trading_start_time="02:00")
    table.signal(size=0.5)
    table.clock.leap(3 * 3600 * SECOND)
    table.wait(1)
    table.quote(30000.0)
    assert table.held == 0.5


def test_a_rate_limit_that_is_nearly_used_is_waited_for() -> None:
    table = position()
    table.bot.on_rate_limit_info(Exchange.Bybit, 100, 10, table.clock.now // SECOND + 30)
    table.signal(size=0.5)
    table.wait(25)
    assert table.requests.count("new") == 0
    table.wait(10)
    assert table.held == 0.5


def test_where_nothing_can_be_amended_orders_are_replaced() -> None:
    table = position(order_fill_delay=60)
    table.signal(size=0.5)
    table.bot.on_unsupported_op(Exchange.Bybit, "ModifyOrder")
    table.signal(size=1)
    assert table.orders() == [(30000.0, 1.0)]
    assert table.requests.count("modify") == 0
    assert table.requests.count("cancel") == 1


def silent_account() -> tuple[Table, list[Any]]:
    """A bot whose account has not answered yet, and the questions to it."""
    asked: list[Any] = []
    table = Table(
        "position", {"max_position_size": 1.0}, position=lambda instrument, done: asked.append((instrument, done))
    )
    return table, asked


def test_it_goes_on_with_the_accounts_position() -> None:
    table, asked = silent_account()
    table.signal(size=0.5)
    assert table.requests.count("new") == 0
    ((instrument, done),) = asked
    done(HeldPosition(instrument, 400, 29800.0, 30000.0, None))
    table.wait(0.1)
    assert table.held == pytest.approx(0.1)
    assert table.bot.position.lots == 500
    assert table.bot.position.entry == pytest.approx((400 * 298000 + 100 * 300001) / 500)


def test_an_account_that_does_not_say_its_position_is_asked_again() -> None:
    table, asked = silent_account()
    table.wait(11)
    assert len(asked) == 3
    asked[0][1](HeldPosition(asked[0][0], 400, 29800.0, 30000.0, None))
    asked[1][1](HeldPosition(asked[0][0], 900, 29800.0, 30000.0, None))
    table.wait(3)
    assert len(asked) == 3
    assert table.bot.position.lots == 400


def test_what_others_did_to_the_position_is_noticed() -> None:
    table, asked = silent_account()
    held = 0

    def answer() -> None:
        asked.pop()[1](HeldPosition(table.instrument, held, 29800.0, 30000.0, None))

    answer()
    table.signal(size=0.5)
    for lots in (0, 500, 700, 600):  # answers that no other one confirms
        held = lots
        table.wait(30)
        answer()
    assert (table.bot.position.lots, table.held) == (500, 0.5)
    held = 0
    for _ in range(2):
        table.wait(30)
        answer()
    table.wait(1)
    assert table.bot.position.lots == 500
    assert table.requests.count("new") == 2, "it bought anew what was gone"


def test_its_own_fills_are_no_difference() -> None:
    table = position()
    for number in range(40):
        table.signal(size=(-1) ** number * number / 40)
        table.wait(7)
    assert table.requests.count("new") == 40 - 1
    assert table.held == pytest.approx(-0.975)


def test_a_limit_below_the_smallest_order_is_refused() -> None:
    with pytest.raises(UserError, match=r"max_position_size 50 is less than the smallest order of XBTUSD, 100"):
        Table("position", {"max_position_size": 50}, exchange=Exchange.BitMEX, symbol="XBTUSD")


def test_two_bots_follow_one_script_each_with_a_position_of_its_own() -> None:
    table = Table("position", {"max_position_size": 1.0}, bots=2, position=None)
    table.signal(size=0.5)
    assert table.held == 1.0
    assert [each.position.lots for each in table.bots] == [500, 500]
