"""Messages take their time, never less than none, and never overtake one another."""

from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlthon.engine.clock import MS, Clock
from mlthon.exchange.config import LatencyConfig
from mlthon.exchange.latency import Wire, latency
from tests.exchange.rig import Rig

MODELS = {
    "constant": LatencyConfig(ms=3),
    "lognormal": LatencyConfig(model="lognormal", ms=1, median_ms=5, sigma=2),
    "empirical": LatencyConfig(model="empirical", ms=0, samples_ms=(0, 7, 30)),
    "recorded": LatencyConfig(model="recorded", ms=2, factor=2),
}


@pytest.mark.parametrize("name", MODELS)
@given(seed=st.integers(0, 1000), waits=st.lists(st.integers(0, 5 * MS), max_size=40))
def test_what_is_sent_first_arrives_first(name: str, seed: int, waits: list[int]) -> None:
    clock = Clock()
    rng = Random(seed)
    wire = Wire(clock, latency(MODELS[name], Random(seed), lambda: rng.randint(-MS, MS)))
    arrived: list[tuple[int, int]] = []
    sent = []
    for number, wait in enumerate(waits):
        clock.run_until(clock.now + wait)
        sent.append(clock.now)
        wire.send(lambda number: arrived.append((number, clock.now)), number)
    clock.run_until(clock.now + 10**15)
    assert [number for number, _ in arrived] == list(range(len(waits)))
    assert all(ts >= sent[number] for number, ts in arrived)
    assert all(a[1] <= b[1] for a, b in pairwise(arrived))


def test_models_draw_what_they_say() -> None:
    draws = {
        name: [latency(config, Random(1), lambda: 4 * MS).sample() for _ in range(1)] for name, config in MODELS.items()
    }
    assert draws["constant"] == [3 * MS]
    assert draws["recorded"] == [10 * MS]
    model = latency(MODELS["lognormal"], Random(1), lambda: 0)
    many = sorted(model.sample() for _ in range(4001))
    assert many[0] >= MS
    assert 5.5 * MS < many[2000] < 6.5 * MS
    model = latency(MODELS["empirical"], Random(1), lambda: 0)
    assert {model.sample() for _ in range(100)} == {0, 7 * MS, 30 * MS}


def test_there_and_back() -> None:
    rig = Rig(entry_latency=LatencyConfig(ms=3), response_latency=LatencyConfig(ms=5))
    rig.quote(200, 50, 202, 30)
    start = rig.clock.now
    rig.market_order(1, 10)
    rig.run(3 * MS)
    rig.quote(210, 50, 212, 30)
    rig.run(5 * MS)
    assert [(ts - start, name) for ts, _, name, _ in rig.log] == [
        (8 * MS, "new_order_ack"),
        (8 * MS, "order_execution"),
    ]
    ack, fill = (args for _, _, _, args in rig.log)
    assert (ack[5], fill[8], fill[2]) == (start + 3 * MS, start + 3 * MS, 202)


def test_a_fill_under_way_makes_a_cancel_come_late() -> None:
    rig = Rig(entry_latency=LatencyConfig(ms=3), response_latency=LatencyConfig(ms=5))
    rig.quote(200, 50, 202, 30)
    order = rig.order(1, 201, 10)
    rig.run(3 * MS)
    rig.trade(201, 10, -1)
    rig.cancel(order)
    rig.run(20 * MS)
    assert rig.names(order) == ["new_order_ack", "order_execution", "cancel_order_reject"]


def test_messages_under_way_leap_with_the_clock() -> None:
    rig = Rig(entry_latency=LatencyConfig(ms=3), response_latency=LatencyConfig(ms=0))
    rig.quote(200, 50, 202, 30)
    rig.order(1, 190, 10)
    rig.clock.leap(10**12)
    rig.exchange.shift(10**12)
    rig.order(1, 190, 10)
    rig.run(10 * MS)
    assert [args[0] for args in rig.said("new_order_ack")] == ["o1", "o2"]
