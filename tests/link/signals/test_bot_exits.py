"""When a bot closes its position by itself, and when it does not trade."""

from typing import Any

import pytest

from mlthon.basics.defs import Exchange, FeedHandlerStatus
from mlthon.engine.clock import SECOND
from mlthon.engine.session import Phase
from tests.link.signals.kit import START, Table, position

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


def test_a_mistake_in_the_parameters_switches_nothing_on() -> None:
    table = position()
    table.session.update_params({**table.config.as_params, "enabled": False})
    table.session.update_params({"enabled": True, "params": {"max_position_size": 0}})
    table.session.update_params({"enabled": True, "params": {"max_position_size": 1e-9}})
    table.signal(size=0.5)
    assert (table.bot.enabled, table.held) == (False, 0)
