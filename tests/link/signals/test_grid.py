"""Grids on the embedded exchange."""

from typing import Any

import pytest

from mlthon.basics.defs import Exchange
from mlthon.errors import UserError
from tests.link.signals.kit import Table

Rows = list[tuple[float, float]]


def grid(kind: str = "neutral_grid", **params: Any) -> Table:
    plain = {"grid_count": 3, "grid_spread": 1.0, "max_order_size": 0.1, "order_refresh_delay": 0.0}
    return Table(kind, plain | params)


def rows(*prices: float, size: float = 0.1) -> Rows:
    """Buys below 30000, sells above."""
    return [(price, size if price < 30000 else -size) for price in prices]


# -- placing -----------------------------------------------------------------------------------------------------------


def test_a_neutral_grid_is_symmetric() -> None:
    table = grid()
    table.signal(mid=30000)
    assert table.orders() == rows(29100.0, 29400.0, 29700.0, 30300.0, 30600.0, 30900.0)


def test_a_short_grid_sells_above_and_a_long_grid_buys_below() -> None:
    short = grid("short_grid", grid_side="sell")
    short.signal(ask="30000")
    assert short.orders() == rows(30300.0, 30600.0, 30900.0)
    long = grid("long_grid", grid_side="buy")
    long.signal(bid=30000)
    assert long.orders() == rows(29100.0, 29400.0, 29700.0)


def test_min_spread_keeps_the_first_levels_apart() -> None:
    table = grid(min_spread=5, grid_count=2)
    table.signal(mid=30000)
    assert table.orders() == rows(28950.0, 29250.0, 30750.0, 31050.0)


def test_without_a_size_it_is_the_smallest_order() -> None:
    table = Table("neutral_grid", {"grid_count": 1, "grid_spread": 1.0}, exchange=Exchange.BitMEX, symbol="XBTUSD")
    table.signal(mid=30000)
    assert table.orders() == [(29700.0, 100.0), (30300.0, -100.0)]


def test_prices_are_rounded_away_from_the_anchor_and_differ() -> None:
    table = Table("neutral_grid", {"grid_count": 3, "grid_spread": 0.001}, exchange=Exchange.BitMEX, symbol="XBTUSD")
    table.signal(mid=30000.1)
    assert [each[0] for each in table.orders()] == [29998.5, 29999.0, 29999.5, 30000.5, 30001.0, 30001.5]


def test_levels_at_and_below_zero_are_left_out() -> None:
    table = grid(grid_count=3, grid_spread=40)
    table.signal(mid=30000)
    assert table.orders(1) == [(6000.0, 0.1), (18000.0, 0.1)]


# -- refreshing --------------------------------------------------------------------------------------------------------


def test_a_new_anchor_moves_the_orders_without_replacing_them() -> None:
    table = grid()
    table.signal(mid=30000)
    ids = set(table.session.open)
    table.signal(mid=30100)
    assert [each[0] for each in table.orders()] == [29197.0, 29498.0, 29799.0, 30401.0, 30702.0, 31003.0]
    assert set(table.session.open) == ids
    assert table.requests.count("cancel") == 0
    assert table.requests.count("modify") == 6


def test_the_anchor_is_refreshed_no_more_often_than_asked_for() -> None:
    table = grid(order_refresh_delay=10, grid_count=1)
    table.signal(mid=30000)
    for second in range(1, 10):
        table.wait(1)
        table.signal(mid=30000 + second)
    assert [each[0] for each in table.orders()] == [29700.0, 30300.0]
    table.wait(1)
    assert [each[0] for each in table.orders()] == [29708.9, 30309.1]
    assert table.requests.count("modify") == 2


def test_signals_between_answers_are_no_storm() -> None:
    table = grid(grid_count=1)
    for number in range(500):
        table.signal(mid=30000 + number / 10, settle=False)
        table.wait(0.0001)
    table.wait(0.1)
    assert [each[0] for each in table.orders()] == [29749.4, 30350.4]
    assert table.requests.count("modify") <= 2 * 26, "one at a time for each order, and each takes 2 ms"


def test_a_rate_limit_delays_the_grid_and_nothing_else() -> None:
    limit = ("exchanges.Bybit.rate_limit.requests=10", "exchanges.Bybit.rate_limit.interval_s=5")
    table = Table("neutral_grid", {"grid_count": 6, "grid_spread": 1.0, "max_order_size": 0.1}, settings=limit)
    table.signal(mid=30000)
    assert len(table.orders()) == 10
    table.wait(10)
    assert len(table.orders()) == 12
    table.signal(mid=30100)
    table.wait(15)
    assert [each[0] for each in table.orders()][5:7] == [29799.0, 30401.0]
    assert table.requests.count("reject", "modify_reject") <= 12


# -- filling -----------------------------------------------------------------------------------------------------------


def test_a_level_that_was_filled_is_answered_one_level_nearer() -> None:
    table = grid()
    table.signal(mid=30000)
    table.quote(29650.0)
    assert table.held == pytest.approx(0.1)
    assert table.orders() == [(29100.0, 0.1), (29400.0, 0.1), *rows(30000.0, 30300.0, 30600.0, 30900.0)]
    table.quote(29350.0)
    assert table.held == pytest.approx(0.2)
    assert table.orders() == [(29100.0, 0.1), (29700.0, -0.1), *rows(30000.0, 30300.0, 30600.0, 30900.0)]
    table.quote(29710.0)
    assert table.held == pytest.approx(0.1)
    assert table.orders(1) == [(29100.0, 0.1), (29400.0, 0.1)]
    table.quote(30010.0)
    assert table.held == 0
    assert table.orders() == rows(29100.0, 29400.0, 29700.0, 30300.0, 30600.0, 30900.0)


def test_it_holds_no_more_than_its_levels() -> None:
    table = grid()
    table.signal(mid=30000)
    for price in (29000.0, 20000.0, 15000.0):
        table.quote(price)
        table.wait(5)
    assert table.held == pytest.approx(0.3)
    assert table.orders(1) == []
    for price in (31000.0, 40000.0):
        table.quote(price)
        table.wait(5)
    assert table.held == pytest.approx(-0.3)


def test_a_level_filled_in_part_keeps_its_order() -> None:
    table = grid(grid_count=1)
    table.signal(mid=30000)
    ids = {each.client_id for each in table.session.open.values() if each.side > 0}
    table.quote(29700.0, bid_lots=0)
    table.quote(29700.0, bid_lots=1)
    table.trade(29700.0, 30, -1)
    held = table.held
    assert 0 < held < 0.1
    assert table.orders(1) == [(29700.0, pytest.approx(0.1 - held))]
    assert {each.client_id for each in table.session.open.values() if each.side > 0} == ids
    assert table.orders(-1) == [(30000.0, pytest.approx(-held)), (30300.0, -0.1)]
    assert table.requests.count("cancel") == 0


def test_a_one_sided_grid_waits_with_what_it_holds() -> None:
    table = grid("short_grid", grid_side="sell")
    table.signal(ask=30000)
    table.quote(30350.0)
    assert table.held == pytest.approx(-0.1)
    assert table.orders() == rows(30600.0, 30900.0)
    table.quote(29000.0)
    assert table.held == pytest.approx(-0.1)
    both = grid("short_grid", grid_side="both")
    both.signal(ask=30000)
    both.quote(30350.0)
    assert both.orders() == [(30000.0, 0.1), *rows(30600.0, 30900.0)]
    both.quote(29990.0)
    assert both.held == 0
    assert both.orders() == rows(30300.0, 30600.0, 30900.0)


# -- post-only ---------------------------------------------------------------------------------------------------------


def test_levels_that_would_take_trade_at_once_unless_post_only() -> None:
    table = grid()
    table.quote(31000.0)
    table.signal(mid=30000)
    assert table.held == pytest.approx(-0.3)
    waiting = grid(limit_post_only=True)
    waiting.quote(31000.0)
    waiting.signal(mid=30000)
    assert waiting.held == 0
    assert waiting.orders() == rows(29100.0, 29400.0, 29700.0)
    waiting.quote(30500.0)
    waiting.wait(2)
    assert waiting.orders() == rows(29100.0, 29400.0, 29700.0, 30600.0, 30900.0)
    assert waiting.held == 0


# -- exits -------------------------------------------------------------------------------------------------------------


def short_of_300(**params: Any) -> Table:
    """A short grid that has sold at 30300."""
    table = grid("short_grid", grid_side="sell", **params)
    table.signal(ask=30000)
    table.quote(30350.0)
    assert table.held == pytest.approx(-0.1)
    return table


@pytest.mark.parametrize(
    ("params", "quotes", "closing"),
    [
        ({"take_profit_pct": 1.0}, [30100.0, 30000.0], 29990.0),
        ({"stop_loss_pct": 0.9}, [30500.0, 30570.0], 30575.0),
        ({"trail_stop_loss_pct": 1.0}, [29800.0, 29500.0, 29790.0], 29800.0),
        ({"trail_stop_loss_pct": 0.5, "trail_stop_loss_entry_pct": 2}, [30000.0, 30200.0, 29690.0, 29800.0], 29850.0),
    ],
)
def test_exits_close_and_wait_for_a_new_anchor(params: dict[str, Any], quotes: list[float], closing: float) -> None:
    table = short_of_300(**params)
    for price in quotes:
        table.quote(price)
        assert table.held == pytest.approx(-0.1)
    table.quote(closing)
    assert table.held == 0
    assert table.orders() == []
    table.signal(ask=30000)
    table.wait(60)
    assert table.orders() == []
    table.quote(29900.0)
    table.signal(ask=30010)
    assert len(table.orders()) == 3


def test_a_stop_loss_is_of_the_average_entry() -> None:
    table = grid("long_grid", grid_side="buy", stop_loss_pct=2)
    table.signal(bid=30000)
    table.quote(29000.0)
    assert table.held == pytest.approx(0.3)
    table.quote(28820.0)
    assert table.held == pytest.approx(0.3)
    table.quote(28811.0)  # 2 % below 29400
    assert table.held == 0


# -- parameters --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "change", "message"),
    [
        ("neutral_grid", {"grid_count": 0}, "grid_count"),
        ("neutral_grid", {"grid_count": 2.5}, "grid_count: needs a whole number, not 2.5"),
        ("neutral_grid", {"grid_spread": 0}, "grid_spread"),
        ("neutral_grid", {"grid_side": "both"}, "has no key 'grid_side'"),
        ("neutral_grid", {"max_order_size": -1}, "max_order_size"),
        ("neutral_grid", {"trail_stop_loss_entry_pct": 1}, "only with trail_stop_loss_pct"),
        ("neutral_grid", {"stop_loss_pct": "2"}, "stop_loss_pct: needs"),
        ("short_grid", {}, "lacks the key 'grid_side'"),
        ("short_grid", {"grid_side": "buy"}, "grid_side"),
        ("long_grid", {"grid_side": "sell"}, "grid_side"),
    ],
)
def test_bad_parameters(kind: str, change: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as refused:
        grid(kind, **change)
    assert refused.value.message.startswith("bots.b: ")
    assert message in refused.value.message
