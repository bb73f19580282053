"""A position that the market turns against until the account is liquidated: who hears of it, and that it adds up."""

from typing import Any

import pytest

from mlthon.basics.defs import TIF, CancelCode, Exchange, ExecInstructions, OrderType, Side
from mlthon.basics.qty import Qty
from mlthon.exchange.config import MarginConfig
from tests.backtest.play import BTC, START, Played, Script, Tape, configured, play

POOR = configured(exchange={"balances": {"USDT": 20.0}, "margin": MarginConfig(leverage=20.0, maintenance=0.01)})


def crash() -> Tape:
    """From 1000.0 to 800.0 in a minute."""
    tape = Tape()
    for second in range(60):
        bid = 10_000 - 33 * second
        tape.quote(1000 * second, bid, 5_000, bid + 1, 5_000)
    return tape


def buys(strategy: Script) -> None:
    market = (ExecInstructions.Unset, OrderType.Market, TIF.IOC, False)
    strategy.env.send_new_order(1, Exchange.Bybit, BTC, Side.Buy, None, "0.2", *market)
    limit = (ExecInstructions.Unset, OrderType.Limit, TIF.GTC, False)
    strategy.env.send_new_order(2, Exchange.Bybit, BTC, Side.Buy, "600", "0.01", *limit)


def run(*strategies: Script) -> Played:
    return play(list(strategies), crash(), POOR)


def test_the_strategy_that_has_the_account_hears_of_the_closing_fill() -> None:
    strategy = Script({500: buys})
    played = run(strategy)
    fills = strategy.of("on_order_execution")
    assert [(each[1], each[2]) for each in fills] == [("1", Side.Buy), ("liquidation-main-1", Side.Sell)]
    assert fills[1][4:6] == (Qty("0.2"), Qty(0))
    ((_, client_id, unsolicited, *_, code, reason),) = strategy.of("on_order_cancelled")
    assert (client_id, unsolicited, code) == ("2", True, CancelCode.Liquidation)
    assert "maintenance margin" in reason
    (holding,) = played.result.holdings
    assert holding.position == 0
    assert holding.liquidations == 1
    assert played.result.fills == 2
    assert played.result.orders == 2


def test_where_several_share_the_account_the_fill_is_in_the_books_alone(caplog: pytest.LogCaptureFixture) -> None:
    one, two = Script({500: buys}), Script()
    played = run(one, two)
    assert len(one.of("on_order_execution")) == 1
    assert two.of("on_order_execution") == []
    assert "main is liquidated" in caplog.text
    owners: list[Any] = [(book.strategy, book.position.lots) for book in played.report.books]
    assert owners == [("s0", 200), ("exchange", -200)]
    assert played.result.end_ns > START
