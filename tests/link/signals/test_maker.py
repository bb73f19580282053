"""Market makers on the embedded exchange."""

from typing import Any

import pytest

from mlthon.basics.defs import GtwRejectCode
from tests.link.signals.kit import Table


def maker(**params: Any) -> Table:
    return Table("market_maker", {"max_position_size": 1.0, "order_refresh_delay": 0.0, **params})


def test_a_pair_is_quoted_as_it_is() -> None:
    table = maker()
    table.signal(quote=[29990, 30010.5])
    assert table.orders() == [(29990.0, 1.0), (30010.5, -1.0)]


def test_a_price_is_quoted_a_tick_around_it() -> None:
    table = maker()
    table.signal(quote="30000")
    assert table.orders() == [(29999.9, 1.0), (30000.1, -1.0)]
    table.signal(quote=30000.05)
    assert table.orders() == [(30000.0, 1.0), (30000.1, -1.0)]


def test_min_spread_widens_both_sides() -> None:
    table = maker(min_spread=0.1)
    table.signal(quote=30000)
    assert table.orders() == [(29985.0, 1.0), (30015.0, -1.0)]
    table.signal(quote=[29999, 30001])
    assert table.orders() == [(29985.0, 1.0), (30015.0, -1.0)]
    table.signal(quote=[29900, 30100])
    assert table.orders() == [(29900.0, 1.0), (30100.0, -1.0)]


def test_one_side_alone() -> None:
    table = maker()
    table.signal(quote=[29990, None])
    assert table.orders() == [(29990.0, 1.0)]
    table.signal(quote=[None, 30010])
    assert table.orders() == [(30010.0, -1.0)]


def test_the_position_stays_within_its_limit() -> None:
    table = maker()
    table.signal(quote=[29990, 30010])
    table.quote(29980.0)
    assert table.held == 1.0
    assert table.orders() == [(30010.0, -2.0)]
    table.signal(quote=[29970, 30000])
    table.quote(29900.0)
    assert table.held == 1.0
    table.signal(quote=[29890, 29910])
    table.quote(29920.0)
    assert table.held == -1.0
    assert table.orders() == [(29890.0, 2.0)]


def test_a_partial_fill_moves_the_sizes() -> None:
    table = maker()
    table.quote(30000.0, bid_lots=1)
    table.signal(quote=[30000, 30010])
    table.trade(30000.0, 301, -1)
    assert table.held == pytest.approx(0.3)
    assert table.orders() == [(30000.0, pytest.approx(0.7)), (30010.0, pytest.approx(-1.3))]


def test_quotes_are_refreshed_no_more_often_than_asked_for() -> None:
    table = maker(order_refresh_delay=5)
    table.signal(quote=[29990, 30010])
    table.signal(quote=[29980, 30020])
    table.wait(4)
    assert table.orders() == [(29990.0, 1.0), (30010.0, -1.0)]
    table.signal(quote=[29970, 30030])
    table.wait(1)
    assert table.orders() == [(29970.0, 1.0), (30030.0, -1.0)]
    assert table.requests.count("modify") == 2


def test_a_small_change_of_the_quote_is_none() -> None:
    table = maker(order_min_pct_change=0.1)
    table.signal(quote=[29900, 30100])
    table.signal(quote=[29925, 30075])
    assert table.orders() == [(29900.0, 1.0), (30100.0, -1.0)]
    table.signal(quote=[29925, 30062])
    assert table.orders() == [(29925.0, 1.0), (30062.0, -1.0)]
    table.signal(quote=[29925, None])
    assert table.orders() == [(29925.0, 1.0)]


def test_without_post_only_a_quote_beyond_the_market_takes() -> None:
    table = maker()
    table.signal(quote=[30100, 30200])
    assert table.held == 1.0


def test_post_only_quotes_stay_at_the_market_and_come_back() -> None:
    table = maker(limit_post_only=True)
    table.signal(quote=[30100, 30200])
    assert table.held == 0
    assert table.orders() == [(30000.0, 1.0), (30200.0, -1.0)]
    table.quote(30150.0)
    table.wait(1.5)
    assert table.orders() == [(30100.0, 1.0), (30200.0, -1.0)]
    assert table.requests.count("reject", "modify_reject") == 0


def test_a_refused_post_only_quote_is_quoted_anew_at_the_market() -> None:
    table = maker(limit_post_only=True)
    table.signal(quote=[29990, 30500], settle=False)
    table.clock.run_until(table.clock.now)
    low = table.ticks(29900)
    table._lane(low, 10**7, low + 1, 10**7, table.clock.now, table.clock.now)
    table.wait(0.1)
    assert [row[3][0] for row in table.requests.of("reject")] == [GtwRejectCode.PostOnlyWouldTake.name]
    table.wait(0.5)
    assert table.orders() == [(29900.0, 1.0), (30500.0, -1.0)]
    assert table.held == 0


def test_garbage_leaves_the_quotes_as_they_are() -> None:
    table = maker()
    table.signal(quote=[29990, 30010])
    for quote in ([30010, 29990], "x", [1, 2, 3], 0, None, float("inf")):
        table.signal(quote=quote)
    assert table.orders() == [(29990.0, 1.0), (30010.0, -1.0)]
    assert table.requests.count("modify", "cancel") == 0


def test_a_stop_takes_the_quotes_back_and_keeps_the_position() -> None:
    table = maker()
    table.signal(quote=[29990, 30010])
    table.quote(29980.0)
    table.session.stop()
    table.wait(0.1)
    assert table.orders() == []
    assert table.held == 1.0
