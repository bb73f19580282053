"""Position bots on the embedded exchange: the targets that they reach, and how their orders are filled."""

import math

import pytest

from mlthon.basics.defs import Exchange, GtwRejectCode
from tests.link.signals.kit import Table, position

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


# -- several bots ------------------------------------------------------------------------------------------------------


def test_two_bots_follow_one_script_each_with_a_position_of_its_own() -> None:
    table = Table("position", {"max_position_size": 1.0}, bots=2, position=None)
    table.signal(size=0.5)
    assert table.held == 1.0
    assert [each.position.lots for each in table.bots] == [500, 500]
