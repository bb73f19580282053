"""From what is wished to orders: how much, and how often."""

from pathlib import Path
from typing import Any

import pytest

from mlthon.config import ArsenalConfig
from mlthon.exchange.config import MarginConfig
from tests.arsenal.kit import FREE, HEAD, minutes, play, settings


def test_more_than_500_orders_a_period_are_refused(tmp_path: Path) -> None:
    code = (
        HEAD
        + """
    def trade(self, candles):
        for number in range(501):
            CA.place_order(action='open_long', limit=50, amount='0.001')
    """
    )
    played = play(code, minutes([100.0] * 3), tmp_path, exchanges=FREE)
    assert len(played.orders) == 1000
    assert played.result.errors == 2
    assert played.said("more than 500 orders in one period")


def test_a_position_that_is_being_closed_is_not_closed_twice(tmp_path: Path) -> None:
    """Beside a short position a second close of the long one would not be reduce-only, and grow the short one."""
    code = (
        HEAD
        + """
    def trade(self, candles):
        self.seen.append(1)
        if len(self.seen) == 1:
            CA.place_order(action='open_long', amount=3)
            CA.place_order(action='open_short', amount=5)
        elif len(self.seen) == 2:
            CA.place_order(action='close_long', percent=60)
            CA.place_order(action='close_long', percent=60)
            CA.place_order(action='close_long')
    """
    )
    played = play(code, minutes([100.0] * 4), tmp_path, exchanges=FREE)
    held = played.trader.holdings[played.trader.pairs[0]]
    assert (held.lots(1), held.lots(-1)) == (0, 5000)
    assert [order[3] for order in played.orders] == [3.0, 5.0, 1.8, 1.2]
    assert played.said("all of the position is being closed already")


OPENS = (
    HEAD
    + """
    def trade(self, candles):
        if not self.seen:
            try:
                self.seen.append(CA.place_order(action='open_long', percent=eval(self['size'])))
            except ValueError as error:
                self.seen.append(str(error))
"""
)
LEVERED = {"Bybit": settings(margin=MarginConfig(leverage=5))}
ROOM = 1.002 * (1 + 5 * 0.001)
"""What is left for the fee and for the price, at a leverage of 5."""


def opened(folder: Path, size: str, open_percent: str | None = None) -> tuple[float, Any]:
    """What an open of this percentage is worth at a leverage of 5, as a multiple of the money."""
    arsenal = ArsenalConfig(open_percent=open_percent)
    params = {"leverage": 5, "size": size}
    played = play(OPENS, minutes([100.0] * 3), folder, exchanges=LEVERED, arsenal=arsenal, params=params)
    return sum(order[3] for order in played.orders) * 100.1 / 10_000, played.trader.user.seen[0]


@pytest.mark.parametrize(
    ("open_percent", "size", "worth"),
    [
        (None, "50", 0.5),
        (None, "100", 1.0),
        (None, "100 * CA.get_leverage()", 5.0),
        ("value", "100 * CA.get_leverage()", 5.0),
        ("margin", "50", 2.5),
        ("margin", "100", 5.0),
        (None, "None", 1.0),
    ],
)
def test_a_percentage_of_an_open_is_of_its_value_unless_it_is_to_be_of_the_margin(
    tmp_path: Path, open_percent: str | None, size: str, worth: float
) -> None:
    """The vendor's documentation and strategies write `percent=100 * CA.get_leverage()` for all there is."""
    assert opened(tmp_path, size, open_percent)[0] == pytest.approx(worth / ROOM, rel=1e-4)


@pytest.mark.parametrize(
    ("open_percent", "size", "text"),
    [
        (None, "501", "percent: 501 is above 100 times the leverage, which is 5"),
        ("margin", "101", "percent: 101 is above 100"),
        (None, "100 * 1001", "percent: 100100 is above 100000"),
    ],
)
def test_more_than_all_there_is_is_refused(tmp_path: Path, open_percent: str | None, size: str, text: str) -> None:
    worth, told = opened(tmp_path, size, open_percent)
    assert (worth, told) == (0.0, text)


@pytest.mark.parametrize(("open_percent", "worth"), [(None, 2.5), ("margin", 2.5), ("value", 0.5)])
def test_of_signals_without_a_strategy_it_is_of_the_margin(
    tmp_path: Path, open_percent: str | None, worth: float
) -> None:
    """As the vendor's own strategy for signals multiplies it."""
    arsenal = ArsenalConfig(open_percent=open_percent)
    signals = {90.0: {"action": "openLong", "percent": "50"}}
    played = play(
        None,
        minutes([100.0] * 3),
        tmp_path,
        exchanges=LEVERED,
        arsenal=arsenal,
        params={"leverage": 5},
        signals=signals,
    )
    assert played.orders[0][3] * 100.1 / 10_000 == pytest.approx(worth / ROOM, rel=1e-4)


def test_what_a_child_may_not_be_is_told_before_its_parent_is_ordered(tmp_path: Path) -> None:
    code = (
        HEAD
        + """
    def order(self, **child):
        try:
            CA.place_order(action='open_long', amount=1, conditional_order_type='OTO',
                           child_conditional_orders=[{'action': 'close_long', 'percent': 10}, child])
        except ValueError as error:
            self.seen.append((error.argument, str(error)))
    def trade(self, candles):
        self.order(action='open_short', percent=101)
        self.order(action='sell')
        self.order(action='open_long', pair='ETH-USDT')
        self.order(action='close_long', percent=101)
    """
    )
    played = play(code, minutes([100.0] * 2), tmp_path, exchanges=FREE)
    where = "child_conditional_orders[1]."
    assert [argument for argument, _ in played.trader.user.seen] == [
        f"{where}percent",
        f"{where}action",
        f"{where}pair",
        f"{where}percent",
    ]
    assert played.trader.user.seen[0][1] == f"{where}percent: 101 is above 100 times the leverage, which is 1"
    assert played.orders == []
