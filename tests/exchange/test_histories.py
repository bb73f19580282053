"""Random histories: nothing is lost or made, the watch band hides nothing, the same seed gives the same events."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlthon.basics.defs import CancelCode, OrderStatus
from mlthon.exchange.config import LatencyConfig, MarginConfig, QueueConfig
from tests.exchange.histories import history, play, poor

SEEDS = st.integers(0, 1 << 30)
CONFIGS: dict[str, dict[str, Any]] = {
    "default": {},
    "full": {"fills": "full"},
    "beyond": {"beyond_book": "fill", "self_trade_prevention": "cancel_both"},
    "probabilistic": {"queue": QueueConfig(model="probabilistic"), "self_trade_prevention": "cancel_oldest"},
    "slow": {
        "entry_latency": LatencyConfig(model="lognormal", ms=1, median_ms=5, sigma=1),
        "response_latency": LatencyConfig(model="empirical", ms=0, samples_ms=(1, 9)),
    },
    "strict": {"margin": MarginConfig(leverage=50, maintenance=0.015, liquidation_fee=0.01), "maker_fee": -0.0001},
    "allow": {"self_trade_prevention": "allow", "margin": MarginConfig(leverage=20)},
}


@pytest.mark.parametrize("name", CONFIGS)
@settings(max_examples=12, deadline=None)
@given(seed=SEEDS)
def test_money_is_conserved_and_books_stay_whole(name: str, seed: int) -> None:
    rig = poor(**CONFIGS[name])
    play(rig, history(seed, 150), conserved=True)
    for market in rig.exchange.markets.values():
        for side in (market.bids, market.asks):
            assert side.keys == sorted(price * side.sign for price in side.levels)
            for level in side.levels.values():
                assert level.qty == sum(order.leaves for order in level.orders.values()) > 0
        for stake in market.stakes:
            opened = stake.orders.values()
            assert stake.buys == sum(order.leaves * order.reserve for order in opened if order.side > 0)
            assert stake.sells == sum(order.leaves * order.reserve for order in opened if order.side < 0)
            assert all(order.state in (OrderStatus.New, OrderStatus.Untriggered) for order in opened)
            for order in opened:
                if order.reduce_only and order.state is OrderStatus.New:
                    assert order.leaves <= stake.reducible(order.side)
    for gateway in rig.gateways.values():
        account = gateway.ledger
        for order in account.orders.values():
            assert order.filled + order.leaves == order.qty or order.state is OrderStatus.Rejected
        if name != "beyond":
            # what is beyond the book is filled at a price that was not reserved for
            assert all(account.available(coin) >= 0 for coin in ("ONE", "TWO"))


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("data", [(True, True, True), (True, False, False), (False, True, False), (True, False, True)])
@settings(max_examples=5, deadline=None)
@given(seed=SEEDS)
def test_the_watch_band_hides_nothing(name: str, data: tuple[bool, bool, bool], seed: int) -> None:
    logs = []
    trades, quotes, depth = data
    steps = history(seed, 200, trades, quotes, depth)
    for always in (False, True):
        rig = poor(**CONFIGS[name])
        for market in rig.exchange.markets.values():
            market.always_look = always
            market.rewatch()
        play(rig, steps)
        logs.append(rig.log)
    assert logs[0] == logs[1]


def test_the_histories_reach_what_they_are_to_prove() -> None:
    seen = dict.fromkeys(("order_execution", "order_cancelled", "modify_order_ack", "new_order_reject"), 0)
    codes = set()
    funded = 0
    for seed in range(60):
        rig = poor(**CONFIGS["strict"])
        play(rig, history(seed, 200))
        for _, _, name, args in rig.log:
            if name in seen:
                seen[name] += 1
            if name == "order_cancelled":
                codes.add(args[3])
        funded += sum(stake.position.funding != 0 for m in rig.exchange.markets.values() for stake in m.stakes)
    assert all(count > 20 for count in seen.values()), seen
    assert funded > 10
    assert {
        CancelCode.Liquidation,
        CancelCode.ReduceOnly,
        CancelCode.SelfTradePrevention,
        CancelCode.TimeInForce,
        CancelCode.NoLiquidity,
        CancelCode.CanceledByUser,
    } <= codes


@settings(max_examples=5, deadline=None)
@given(seed=SEEDS)
def test_the_same_seed_gives_the_same_events(seed: int) -> None:
    logs = []
    for _ in range(2):
        rig = poor(**CONFIGS["slow"])
        play(rig, history(seed, 150))
        logs.append(rig.log)
    assert logs[0] == logs[1]
