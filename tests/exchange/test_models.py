"""Queue models, contracts and positions, configuration."""

from fractions import Fraction
from random import Random
from typing import Any

import cattrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlthon.basics.catalogue import resolve
from mlthon.basics.defs import Exchange
from mlthon.basics.money import UNIT
from mlthon.engine.clock import Clock
from mlthon.exchange.config import ConfigError, ExchangeConfig, LatencyConfig, QueueConfig, RateLimitConfig
from mlthon.exchange.contracts import Contract, Position
from mlthon.exchange.exchange import EmbeddedExchange
from mlthon.exchange.queue_models import Pessimistic, Probabilistic, queue_model
from tests.exchange.rig import INVERSE, LINEAR, Rig

QUANTITY = st.integers(0, 10**6)


@given(ahead=QUANTITY, left=st.integers(1, 10**6), displayed=QUANTITY, exponent=st.floats(0.01, 100))
def test_a_queue_model_never_moves_an_order_back(ahead: int, left: int, displayed: int, exponent: float) -> None:
    ahead = min(ahead, displayed + left)
    least = max(0, ahead - left)
    for model in (Pessimistic(), Probabilistic(exponent)):
        after = model.shrunk(ahead, left, displayed)
        assert least <= after <= min(ahead, displayed)


def test_who_left_the_queue() -> None:
    assert Pessimistic().shrunk(60, 30, 70) == 60
    assert Probabilistic(1).shrunk(60, 30, 70) == 42  # 60 % of the 30
    assert Probabilistic(3).shrunk(50, 30, 70) == 35
    assert Probabilistic(100).shrunk(10, 30, 70) == 10
    assert isinstance(queue_model(QueueConfig()), Pessimistic)


def test_the_probabilistic_model_fills_sooner() -> None:
    filled = []
    for model in ("pessimistic", "probabilistic"):
        rig = Rig(queue=QueueConfig(model=model, exponent=1))
        rig.quote(200, 100, 202, 30)
        order = rig.order(1, 200, 10)
        rig.quote(200, 200, 202, 30)
        rig.quote(200, 120, 202, 30)  # of the 80 that left, half were ahead
        rig.run(1)
        rig.trade(200, 65, -1)
        filled.append(rig.fills(order))
    assert filled == [[], [(200, 5, True)]]


@given(
    trades=st.lists(st.tuples(st.integers(-50, 50).filter(bool), st.integers(1, 10**6)), max_size=30),
    inverse=st.booleans(),
    mark=st.integers(1, 10**6),
)
def test_gains_are_what_was_paid_and_got(trades: list[tuple[int, int]], inverse: bool, mark: int) -> None:
    contract = Contract(INVERSE if inverse else LINEAR)
    position = Position(contract)
    gains = flow = lots = 0
    for signed, price in trades:
        unit = contract.unit_value(price)
        gains += position.trade(signed, unit)
        flow -= signed * unit
        lots += signed
    unit = contract.unit_value(mark)
    assert position.lots == lots
    assert gains == position.realised
    assert gains + position.unrealised(unit) == contract.direction * (flow + lots * unit)
    if lots == 0:
        assert position.cost == 0


@given(price=st.integers(1, 10**9))
def test_the_value_of_a_lot(price: int) -> None:
    assert Contract(LINEAR).unit_value(price) == Fraction(price, 2) * UNIT / 100
    assert abs(Contract(INVERSE).unit_value(price) - Fraction(2 * UNIT, price)) <= Fraction(1, 2)


@pytest.mark.parametrize("contract", [Contract(LINEAR), Contract(INVERSE)])
def test_the_entry_price(contract: Contract) -> None:
    position = Position(contract)
    assert position.entry_price == 0
    position.trade(10, contract.unit_value(200))
    assert position.entry_price == pytest.approx(100)
    position.trade(-30, contract.unit_value(300))
    assert position.entry_price == pytest.approx(150)


@pytest.mark.parametrize(
    ("make", "part"),
    [
        (lambda: ExchangeConfig(fills="half"), "fills = 'half' is not one of partial, full"),
        (lambda: ExchangeConfig(maker_fee=2), "maker_fee = 2"),
        (lambda: ExchangeConfig(maker_fee=float("nan")), "maker_fee = nan"),
        (lambda: ExchangeConfig(balances={"USDT": -1.0}), "USDT = -1.0"),
        (lambda: ExchangeConfig(balances={"USDT": float("inf")}), "USDT = inf"),
        (lambda: ExchangeConfig(beyond_book_ticks=-1), "beyond_book_ticks = -1"),
        (lambda: LatencyConfig(ms=-1), "ms = -1"),
        (lambda: LatencyConfig(model="fast"), "model = 'fast'"),
        (lambda: LatencyConfig(model="empirical"), "samples_ms is empty"),
        (lambda: LatencyConfig(samples_ms=(1.0, -2.0)), "samples_ms holds -2.0"),
        (lambda: QueueConfig(exponent=0), "exponent = 0"),
        (lambda: RateLimitConfig(requests=-1), "requests = -1"),
    ],
)
def test_bad_settings_are_named(make: Any, part: str) -> None:
    with pytest.raises(ConfigError) as error:
        make()
    assert part in str(error.value)


def test_a_configuration_is_made_of_plain_values() -> None:
    plain = {
        "maker_fee": -0.0001,
        "entry_latency": {"model": "empirical", "samples_ms": [1, 2.5]},
        "queue": {"model": "probabilistic", "exponent": 2},
        "balances": {"USDT": 5000},
        "margin": {"leverage": 3},
        "rate_limit": {"requests": 10},
    }
    config = cattrs.Converter(forbid_extra_keys=True).structure(plain, ExchangeConfig)
    assert config.entry_latency.samples_ms == (1.0, 2.5)
    assert config.balances == {"USDT": 5000.0}
    assert (config.margin.leverage, config.queue.exponent, config.rate_limit.requests) == (3.0, 2.0, 10)


def test_accounts_start_with_as_much_as_accounts_have_unless_told_otherwise() -> None:
    def deposits(*symbols: str, **config: Any) -> dict[str, float]:
        instruments = [resolve(Exchange.Bybit, each) for each in symbols]
        exchange = EmbeddedExchange(Exchange.Bybit, instruments, Clock(0), ExchangeConfig(**config), Random(1))
        return {coin: units / UNIT for coin, units in exchange._deposits(None).items()}

    assert deposits("BTCUSDT", "BTCUSD", "ETHUSD") == {"USDT": 1_000_000.0, "BTC": 10.0, "ETH": 100.0}
    assert deposits("BTCUSD", default_balance=3.0) == {"BTC": 3.0}
    assert deposits("BTCUSD", balances={"BTC": 0.5}) == {"BTC": 0.5}
