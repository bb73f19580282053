"""Margin, funding, liquidation: worked examples with the sums done by hand."""

from decimal import Decimal

import pytest

from mlthon.basics.defs import CancelCode, GtwRejectCode, OrderType
from mlthon.basics.instrument import Instrument
from mlthon.basics.money import UNIT, parse
from mlthon.engine.clock import SECOND
from mlthon.exchange.config import FundingConfig, MarginConfig
from tests.exchange.rig import INVERSE, LINEAR, LINEAR2, SPOT, Rig

HOUR = 3600 * SECOND
FREE = {"maker_fee": 0.0, "taker_fee": 0.0}


def rig_with(cash: float, coin: str = "USDT", **config: object) -> Rig:
    rig = Rig(balances={coin: cash}, **{**FREE, **config})  # type: ignore[arg-type]
    for instrument in (LINEAR, LINEAR2, INVERSE):
        rig.quote(200, 9000, 200 + 2, 9000, instrument)
    return rig


def cash(rig: Rig, coin: str = "USDT", account: str = "a") -> Decimal:
    return Decimal(rig.exchange.account(account).cash[coin]) / UNIT


def test_leverage_bounds_positions_and_orders_together() -> None:
    rig = rig_with(100, margin=MarginConfig(leverage=2))
    rig.order(1, 200, 100)  # worth 100
    rig.order(1, 200, 101)  # 101 more: too much
    assert [args[1] for args in rig.said("new_order_reject")] == [GtwRejectCode.InsufficientMargin]
    rig.order(1, 200, 100)
    rig.order(-1, 220, 180)  # the other side takes up nothing more
    rig.order(1, 200, 2, instrument=LINEAR2)
    assert len(rig.said("new_order_reject")) == 2


def test_fees_and_rebates() -> None:
    rig = rig_with(1000, maker_fee=-0.0001, taker_fee=0.001)
    rig.market_order(1, 100)  # worth 101
    assert cash(rig) == Decimal("999.899")
    order = rig.order(-1, 204, 100)
    rig.trade(205, 500, 1)
    assert rig.fills(order) == [(204, 100, True)]
    assert cash(rig) == Decimal("999.899") + 1 + Decimal("0.0102")
    position = rig.exchange.account("a").position(LINEAR)
    assert position is not None
    assert (position.realised, position.fees) == (UNIT, parse("0.0908"))
    rig.check_conserved()


def test_funding_is_paid_at_the_interval() -> None:
    rig = rig_with(1000, funding=FundingConfig(rate=0.01, interval_hours=8))
    rig.market_order(-1, 100)
    rig.clock.run_until(8 * HOUR - 1)
    assert cash(rig) == 1000
    rig.clock.run_until(8 * HOUR)
    assert cash(rig) == Decimal("1001.005")  # 1 % of 100 lots at the middle, 100.5
    rig.market.set_funding(-0.02, 9 * HOUR)
    rig.clock.run_until(9 * HOUR)
    assert cash(rig) == Decimal("998.995")
    rig.check_conserved()


def test_funding_due_in_a_hole_is_left_out() -> None:
    rig = rig_with(1000, funding=FundingConfig(rate=0.01))
    rig.market_order(-1, 100)
    rig.clock.leap(20 * HOUR)
    rig.exchange.shift(20 * HOUR)
    rig.clock.run_until(24 * HOUR - 1)
    assert cash(rig) == 1000
    rig.clock.run_until(24 * HOUR)
    assert cash(rig) > 1000


@pytest.mark.parametrize("side", [1, -1])
def test_an_account_without_margin_is_liquidated(side: int) -> None:
    rig = rig_with(20, margin=MarginConfig(leverage=20, maintenance=0.01, liquidation_fee=0.005))
    waiting = rig.order(side, 150 if side > 0 else 250, 2)
    stop = rig.order(-side, 0, 2, order_type=OrderType.Stop, stop=150 if side > 0 else 250)
    rig.market_order(side, 100)
    assert rig.lots() == 100 * side
    price = 201
    while rig.lots():
        price -= side
        rig.quote(price - 1, 9000, price + 1, 9000)
    # 20 in cash; a long that cost 101: 20 + bid - 101 <= 1 % of the bid, from 81.8 down;
    # a short that got 100: 20 + 100 - ask <= 1 % of the ask, from 118.8 up
    at = price - side
    assert at == (163 if side > 0 else 238)
    assert {args[0] for args in rig.said("order_cancelled")} == {waiting, stop}
    assert {args[3] for args in rig.said("order_cancelled")} == {CancelCode.Liquidation}
    fill = rig.said("order_execution")[-1]
    assert fill[0] == "liquidation-a-1"
    assert fill[2:4] == (at, 100)
    assert fill[5] == at * UNIT // 2 * 5 // 1000
    assert rig.exchange.account("a").liquidations == 1
    rig.check_conserved()


def test_a_liquidation_goes_on_when_the_market_returns() -> None:
    rig = rig_with(20, margin=MarginConfig(leverage=20, maintenance=0.01))
    rig.market_order(1, 100)
    rig.quote(150, 30, 152, 30)
    assert rig.lots() == 70
    rig.quote(150, 30, 152, 30)
    assert rig.lots() == 70
    rig.quote(149, 200, 152, 30)
    assert rig.lots() == 0
    rig.check_conserved()


def test_one_position_keeps_the_other_alive() -> None:
    rig = rig_with(20, margin=MarginConfig(leverage=20, maintenance=0.01))
    rig.market_order(1, 100)
    rig.market_order(-1, 100, instrument=LINEAR2)
    for down in range(1, 60):
        for instrument in (LINEAR2, LINEAR):
            rig.quote(200 - down, 9000, 202 - down, 9000, instrument)
    assert (rig.lots(), rig.lots(LINEAR2)) == (100, -100)
    rig.quote(200, 9000, 202, 9000, LINEAR2)
    assert (rig.lots(), rig.lots(LINEAR2)) == (0, 0)


def test_inverse_positions_are_liquidated_in_their_own_coin() -> None:
    rig = rig_with(0.05, "ONE", margin=MarginConfig(leverage=20, maintenance=0.01))
    rig.market_order(1, 90, instrument=INVERSE)  # worth 90/101 ONE
    bid = 200
    while rig.lots(INVERSE):
        bid -= 1
        rig.quote(bid, 9000, bid + 2, 9000, INVERSE)
    # 0.05 + 90/101 - 90/p <= 0.9/p at p <= 90.9 / (0.05 + 90/101) = 96.59
    assert bid == 193
    rig.check_conserved()


def test_the_liquidation_price_is_told() -> None:
    rig = rig_with(20, margin=MarginConfig(leverage=20, maintenance=0.01))
    rig.market_order(1, 100)
    rig.gateways["a"].fetch_position_info(1, LINEAR)
    rig.gateways["a"].fetch_position_info(2, SPOT)
    rig.run()
    first, second = rig.said("position_info")
    assert first[2:5] == (100, 101.0, 100.5)
    assert 81.0 <= first[5] <= 82.5
    assert second[2:] == (0, 0.0, 0.0, None)


def test_each_account_has_its_own_money() -> None:
    rig = Rig(("a", "b"), **FREE)  # type: ignore[arg-type]
    rig.quote(200, 50, 210, 50)
    rig.order(1, 205, 20)
    rig.market_order(-1, 20, account="b")
    rig.quote(208, 50, 210, 50)
    marks: dict[Instrument, int] = {LINEAR: 208}
    start = Decimal(1_000_000)
    equities = [Decimal(rig.exchange.account(name).equity(marks)["USDT"]) / UNIT - start for name in ("a", "b")]
    assert equities == [Decimal("0.3"), Decimal("-0.3")]


def test_an_account_is_opened_once() -> None:
    rig = Rig()
    with pytest.raises(ValueError, match="'a' of Bybit exists already"):
        rig.exchange.gateway("a", None)  # type: ignore[arg-type]
    with pytest.raises(KeyError, match="has no account 'x'; it has a"):
        rig.exchange.account("x")
    with pytest.raises(ValueError, match="has no funding"):
        rig.exchange.market(SPOT).set_funding(0.1)
