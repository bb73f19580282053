"""The risk stage: each limit at its edge, both sides counted, and what must always pass."""

from decimal import Decimal
from typing import Any

import pytest

from mlthon.basics import catalogue
from mlthon.basics.defs import (
    CancelCode,
    Exchange,
    ExecInstructions,
    GtwRejectCode,
    OrderStatus,
    OrderType,
    Quantification,
    Side,
)
from mlthon.basics.instrument import Instrument
from mlthon.basics.money import UNIT
from mlthon.engine.clock import MS, SECOND
from mlthon.engine.faces import NO_ASK, NO_BID
from mlthon.engine.risk import DAY, Exposure, RiskBook, RiskLimits, RiskStage
from tests.engine.rig import BTC, ETH, START, Recorder, Rig

INVERSE = next(each for each in catalogue.instruments(Exchange.Bybit) if each.quantification is Quantification.Inverse)
TICK = BTC.price_scale.step_units
"""One BTC lot is 0.001, one tick 0.1 (units)."""


def test_a_strategys_own_limits_go_before_the_common_ones() -> None:
    common = RiskLimits(max_open_orders=5, max_position=Decimal(3))
    assert RiskLimits(max_open_orders=2).over(common) == RiskLimits(max_open_orders=2, max_position=Decimal(3))
    assert RiskLimits().over(common) == common


class Limited(Rig):
    def __init__(self, limits: RiskLimits, *strategies: Any, account: RiskLimits | None = None) -> None:
        self.book = RiskBook()
        super().__init__(*strategies, taps=(self.book,))
        self.market: dict[Instrument, tuple[int, int]] = {BTC: (999, 1001), ETH: (999, 1001)}
        self.port = self.engine.ports[Exchange.Bybit, "main"]
        self.held: dict[Instrument, int] | None = None
        self.stage = RiskStage(
            self.gateways[Exchange.Bybit],
            self.port,
            self.clock,
            self.book,
            self.market.get,
            {"s0": limits},
            account or RiskLimits(),
        )
        self.port.gateway = self.stage

    def send(self, client_id: int, side: Side = Side.Buy, price: Any = "100", qty: str = "0.1", **more: Any) -> Any:
        self.env.send_new_order(client_id, Exchange.Bybit, BTC, side, price, qty, **more)
        return self.session.orders[str(client_id)]

    def fill(self, order: Any, price: int, lots: int, fee: int = 0, coin: str = "USDT") -> None:
        self.port.order_execution(
            order.wire_id, f"E{order.filled}", price, lots, order.leaves - lots, fee, coin, True, self.clock.now
        )

    def refusals(self) -> list[str]:
        self.wait(2)
        told = self.strategy.of("on_new_order_reject", "on_modify_order_reject")
        assert all(each[2] is GtwRejectCode.RiskLimit for each in told)
        return [each[3] for each in told]


@pytest.mark.parametrize(
    ("limits", "allowed", "refused", "told"),
    [
        ({"max_order_qty": Decimal("0.1")}, {"qty": "0.1"}, {"qty": "0.101"}, "the order is of 0.101"),
        ({"max_order_notional": 10}, {}, {"qty": "0.101"}, "max_order_notional 10: the order is worth 10.1"),
        ({"max_price_distance": Decimal("0.05")}, {"price": "95"}, {"price": "94.9"}, ": the price is 0.051"),
        ({"max_price_distance": Decimal("0.05")}, {"price": "105"}, {"price": "105.1"}, "max_price_distance 0.05"),
        ({"max_position": Decimal("0.1")}, {}, {"qty": "0.101"}, "max_position 0.1: 0.101 could be held"),
        ({"max_position": Decimal("0.1")}, {"side": Side.Sell}, {"side": Side.Sell, "qty": "0.2"}, ": -0.2 could"),
    ],
)  # fmt: skip
def test_a_limit_lets_through_what_reaches_it_and_refuses_what_is_beyond(
    limits: dict[str, Any], allowed: dict[str, Any], refused: dict[str, Any], told: str
) -> None:
    made = RiskLimits(**{name: Decimal(each) for name, each in limits.items()})
    rig = Limited(made)
    rig.send(1, **allowed)
    assert rig.refusals() == []
    rig = Limited(made)
    rig.send(2, **refused)
    assert not rig.strategy.of("on_new_order_reject")
    (reason,) = rig.refusals()
    assert reason.startswith("strategy s0: ")
    assert told in reason
    assert rig.gateway.requests == []
    assert rig.book.strategy("s0").open == {}


def test_open_orders_are_counted_and_what_ended_is_not() -> None:
    rig = Limited(RiskLimits(max_open_orders=2))
    rig.send(1)
    rig.send(2)
    rig.send(3)
    assert len(rig.refusals()) == 1
    rig.env.send_cancel_order(Exchange.Bybit, BTC, 1)
    rig.wait(2)
    rig.send(4)
    rig.wait(2)
    assert [each[1] for each in rig.strategy.of("on_new_order_ack")] == ["1", "2", "4"]


def test_what_is_on_its_way_counts_on_each_side_by_itself() -> None:
    rig = Limited(RiskLimits(max_position=Decimal("0.3")))
    rig.gateway.silent = True
    rig.send(1, Side.Buy, qty="0.2")
    rig.send(2, Side.Sell, qty="0.3")
    rig.send(3, Side.Buy, qty="0.1")
    assert rig.refusals() == []
    rig.send(4, Side.Buy, qty="0.001")
    assert "0.301 could be held" in rig.refusals()[0]


def test_fills_move_from_open_to_held_and_the_other_side_gets_room() -> None:
    rig = Limited(RiskLimits(max_position=Decimal("0.3")))
    order = rig.send(1, Side.Buy, qty="0.3")
    rig.wait(2)
    rig.fill(order, 1000, 100)
    rig.send(2, Side.Buy, qty="0.001")
    assert len(rig.refusals()) == 1
    rig.fill(order, 1000, 200)
    rig.send(3, Side.Sell, qty="0.6")
    assert len(rig.refusals()) == 1
    rig.send(4, Side.Sell, qty="0.001")
    assert len(rig.refusals()) == 2


def test_a_position_beyond_the_limit_can_be_made_smaller() -> None:
    rig = Limited(RiskLimits(max_position=Decimal("0.1")))
    rig.book.strategy("s0").hold(BTC, -500, 1000)
    rig.send(1, Side.Buy, qty="0.5")
    assert rig.refusals() == []
    rig.send(2, Side.Sell, qty="0.001")
    assert len(rig.refusals()) == 1


def test_a_modification_under_way_counts_with_the_larger_quantity() -> None:
    rig = Limited(RiskLimits(max_position=Decimal("0.3")))
    rig.send(1, qty="0.1")
    rig.wait(2)
    rig.gateway.silent = True
    rig.env.send_modify_order(Exchange.Bybit, 1, None, "0.3")
    rig.send(2, qty="0.001")
    assert len(rig.refusals()) == 1
    wire_id = rig.session.orders["1"].wire_id
    rig.port.modify_order_reject(wire_id, GtwRejectCode.InvalidQty, "")
    rig.strategy.calls.clear()
    rig.send(3, qty="0.2")
    assert rig.refusals() == []


def test_a_modification_beyond_a_limit_is_refused_and_one_that_only_lessens_is_not() -> None:
    rig = Limited(RiskLimits(max_order_qty=Decimal("0.2"), max_price_distance=Decimal("0.05")))
    rig.send(1, qty="0.2")
    rig.wait(2)
    rig.env.send_modify_order(Exchange.Bybit, 1, None, "0.3")
    rig.env.send_modify_order(Exchange.Bybit, 1, "200")
    assert ["max_order_qty" in rig.refusals()[0], "max_price_distance" in rig.refusals()[1]] == [True, True]
    rig.market[BTC] = (5000, 5001)
    rig.env.send_modify_order(Exchange.Bybit, 1, None, "0.1")
    assert len(rig.refusals()) == 2
    assert rig.session.orders["1"].qty == 100


def test_reduce_only_and_cancels_always_pass() -> None:
    rig = Limited(RiskLimits(max_order_qty=Decimal("0.001"), max_orders_per_s=1, max_open_orders=1))
    for client_id in range(3):
        rig.send(client_id, qty="5", exec_instr=ExecInstructions.ReduceOnly)
    rig.send(7, qty="0", ord_type=OrderType.Market, price=None, close_position=True)
    rig.env.send_cancel_order(Exchange.Bybit, BTC, 1)
    rig.env.send_cancel_all(Exchange.Bybit, BTC)
    assert rig.refusals() == []
    assert [each[0] for each in rig.gateway.requests] == ["new"] * 4 + ["cancel", "cancel_all"]


def test_what_is_halted_lets_through_what_makes_a_risk_smaller_alone() -> None:
    rig = Limited(RiskLimits())
    rig.send(1)
    rig.wait(2)
    rig.stage.halted = lambda: "nobody watches"
    rig.send(2)
    rig.env.send_modify_order(Exchange.Bybit, 1, "101")
    assert rig.refusals() == ["nobody watches"] * 2
    rig.env.send_modify_order(Exchange.Bybit, 1, None, "0.05")
    rig.send(3, Side.Sell, exec_instr=ExecInstructions.ReduceOnly)
    rig.env.send_cancel_order(Exchange.Bybit, BTC, 1)
    assert rig.refusals() == ["nobody watches"] * 2
    assert [each[0] for each in rig.gateway.requests] == ["new", "modify", "new", "cancel"]
    rig.stage.halted = lambda: ""
    rig.send(4)
    assert len(rig.refusals()) == 2


def test_the_rate_is_that_of_any_second() -> None:
    rig = Limited(RiskLimits(max_orders_per_s=2))
    for client_id in (1, 2, 3):
        rig.send(client_id)
    assert "max_orders_per_s 2: 2 were sent in the last second" in rig.refusals()[0]
    rig.clock.run_until(START + SECOND - MS)
    rig.send(4)
    assert len(rig.refusals()) == 2
    rig.clock.run_until(START + SECOND + MS)
    rig.send(5)
    assert len(rig.refusals()) == 2


def test_without_a_market_what_needs_one_is_refused() -> None:
    rig = Limited(RiskLimits(max_order_notional=Decimal(10), max_price_distance=Decimal("0.1")))
    del rig.market[BTC]
    rig.send(1)
    rig.send(2, price=None, ord_type=OrderType.Market)
    rig.market[BTC] = (NO_BID, NO_ASK)
    rig.send(3)
    assert ["no market price is known" in each for each in rig.refusals()] == [True] * 3
    rig.market[BTC] = (1000, NO_ASK)
    rig.send(4)
    rig.send(5, price=None, ord_type=OrderType.Market)
    assert len(rig.refusals()) == 3


def test_losses_of_the_day_stop_new_orders_until_the_next_one() -> None:
    rig = Limited(RiskLimits(max_daily_loss=Decimal(10)))
    order = rig.send(1, qty="1")
    rig.wait(2)
    rig.fill(order, 1000, 1000, fee=2 * UNIT)
    rig.market[BTC] = (920, 922)
    rig.send(2)
    assert rig.refusals() == []
    rig.market[BTC] = (919, 921)
    rig.send(3)
    assert rig.refusals() == ["strategy s0: max_daily_loss 10: 10 USDT lost today"]
    rig.send(4, Side.Sell, exec_instr=ExecInstructions.ReduceOnly)
    assert len(rig.refusals()) == 1
    rig.clock.run_until(START + DAY)
    rig.send(5)
    assert len(rig.refusals()) == 1


def test_losses_of_inverse_contracts_are_in_their_quote_currency() -> None:
    exposure = Exposure()
    scale = INVERSE.price_scale
    entry, later = scale.steps("50000"), scale.steps("45000")
    lots = INVERSE.qty_scale.steps("1000")
    exposure.hold(INVERSE, lots, entry)
    lost = exposure.loss_today(START, lambda _: (later, later))
    assert lost == {"USD": 100 * UNIT}
    exposure.hold(INVERSE, -lots, later)
    assert exposure.loss_today(START, lambda _: None) == {"USD": 100 * UNIT}


def test_a_fee_in_the_coin_that_was_bought_counts_at_its_price() -> None:
    rig = Limited(RiskLimits())
    order = rig.send(1, qty="1")
    rig.wait(2)
    rig.fill(order, 1000, 1000, fee=UNIT // 100, coin=BTC.base_currency or "")
    assert rig.book.strategy("s0").loss_today(START, rig.market.get) == {"USDT": UNIT}


def test_an_account_counts_all_its_strategies() -> None:
    rig = Limited(RiskLimits(), Recorder(), Recorder(), account=RiskLimits(max_position=Decimal("0.1")))
    rig.send(1, qty="0.06")
    rig.strategies[1].env.send_new_order(1, Exchange.Bybit, BTC, Side.Buy, "100", "0.06")
    rig.wait(2)
    ((_, _, code, reason),) = rig.strategies[1].of("on_new_order_reject")
    assert code is GtwRejectCode.RiskLimit
    assert reason == "account main: max_position 0.1: 0.12 could be held"


def test_what_the_exchange_says_the_account_holds_counts_before_the_fills_seen_here() -> None:
    rig = Limited(RiskLimits())
    limits = RiskLimits(max_position=Decimal("0.1"))
    gateway = rig.gateways[Exchange.Bybit]
    rig.port.gateway = RiskStage(gateway, rig.port, rig.clock, rig.book, rig.market.get, {}, limits, lambda: {BTC: 95})
    rig.send(1, qty="0.006")
    rig.send(2, qty="0.005")
    assert len(rig.refusals()) == 1


def test_an_order_of_an_earlier_run_counts() -> None:
    rig = Limited(RiskLimits(max_open_orders=1))
    other = Rig()
    other.env.send_new_order(9, Exchange.Bybit, BTC, Side.Buy, "100", "0.1")
    order = other.session.orders["9"]
    order.wire_id = "m9-9"
    rig.book.adopt(order)
    rig.send(1)
    assert len(rig.refusals()) == 1
    order.state = OrderStatus.Cancelled
    rig.book.record(0, "cancelled", order, (True, 0, CancelCode.ByExchange.name, ""))
    assert rig.book.strategy("s0").open == {}


@pytest.mark.parametrize("name", ["max_order_qty", "max_position", "max_daily_loss"])
def test_a_limit_that_is_not_above_zero_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        RiskLimits(**{name: Decimal(0)})
