"""What a bot does when gateway, market data, orders or the account are not as they should be."""

from typing import Any

import pytest

from mlthon.basics.defs import Exchange, FeedHandlerStatus, GtwStatus, OrderStatus
from mlthon.engine.clock import SECOND
from mlthon.errors import UserError
from mlthon.link.host.desk import HeldPosition
from tests.link.signals.kit import Table, position


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
