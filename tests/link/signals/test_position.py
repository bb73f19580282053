"""Entry prices and exits."""

import pytest

from mlthon.link.signals.params import Exits
from mlthon.link.signals.position import BotPosition


def test_entries_are_averaged_and_kept_when_reduced() -> None:
    position = BotPosition()
    position.fill(10, 100)
    position.fill(30, 200)
    assert (position.lots, position.entry) == (40, 175.0)
    position.fill(-30, 500)
    assert (position.lots, position.entry) == (10, 175.0)
    position.fill(-15, 300)
    assert (position.lots, position.entry) == (-5, 300.0)
    position.fill(5, 250)
    assert (position.lots, position.entry) == (0, 0.0)


def test_entries_of_inverse_contracts_go_by_one_over_the_price() -> None:
    position = BotPosition(inverse=True)
    position.fill(-10, 100)
    position.fill(-10, 200)
    assert position.entry == pytest.approx(400 / 3)


@pytest.mark.parametrize(
    ("lots", "exits", "prices", "fires_at"),
    [
        (5, Exits(stop_loss=2), [1000, 985, 981, 980], 980),
        (-5, Exits(stop_loss=2), [1000, 1015, 1019, 1020], 1020),
        (5, Exits(take_profit=3), [1000, 1029, 1030], 1030),
        (-5, Exits(take_profit=3), [1000, 971, 970], 970),
        (5, Exits(trail=1), [1000, 1050, 1040, 1039], 1039),
        (5, Exits(trail=1), [1000, 995, 990], 990),
        (-5, Exits(trail=1), [1000, 900, 908, 909], 909),
        (5, Exits(trail=1, trail_entry=5), [1000, 1040, 1020, 990, 1050, 1045, 1039], 1039),
    ],
)
def test_exits(lots: int, exits: Exits, prices: list[int], fires_at: int) -> None:
    position = BotPosition()
    position.fill(lots, 1000)
    fired = [price for price in prices if position.due(exits, price, price) is not None]
    assert fired == [fires_at]


def test_it_is_the_price_at_which_one_could_close_that_counts() -> None:
    exits = Exits(stop_loss=1)
    long, short = BotPosition(), BotPosition()
    long.fill(1, 1000)
    short.fill(-1, 1000)
    assert long.due(exits, 990, 1000) is not None
    assert long.due(exits, 991, 900) is None
    assert short.due(exits, 1000, 1010) is not None
    assert short.due(exits, 1100, 1009) is None


def test_a_new_position_trails_anew() -> None:
    position = BotPosition()
    position.fill(1, 1000)
    assert position.due(Exits(trail=1), 2000, 2000) is None
    position.fill(-2, 2000)
    assert position.due(Exits(trail=1), 2000, 2000) is None
    assert position.due(Exits(trail=1), 2020, 2020) is not None


def test_nothing_is_due_while_flat() -> None:
    assert BotPosition().due(Exits(stop_loss=1, take_profit=1, trail=1), 5, 6) is None
