"""Nothing is lost and nothing happens twice, whatever the network does: a few seeds here, many in the slow run.

A failing seed is in the test's name. It replays by
`python -m tests.simulation --exchange bybit --first SEED --seeds 1`.
"""

from typing import Any

import pytest

from tests.simulation.network import REQUEST_FAULTS, Weather
from tests.simulation.sim import VENUES, Plan, Simulation, simulate

SEEDS = range(5)
MANY = range(1000, 1250)
CALM = Weather(**dict.fromkeys((*REQUEST_FAULTS, "lost", "double", "lag", "cut", "freeze", "closed"), 0.0))


@pytest.mark.parametrize("venue", VENUES)
@pytest.mark.parametrize("seed", SEEDS)
def test_both_sides_agree_in_the_end(venue: str, seed: int) -> None:
    assert simulate(venue, seed).problems == []


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("venue", VENUES)
def test_both_sides_agree_in_the_end_for_many_seeds(venue: str) -> None:
    outcomes = [simulate(venue, seed) for seed in MANY]
    assert {each.seed: each.problems for each in outcomes if each.problems} == {}


@pytest.mark.parametrize("venue", VENUES)
def test_a_seed_plays_the_same_again(venue: str) -> None:
    first, second = simulate(venue, 3), simulate(venue, 3)
    assert first.counts == second.counts
    assert first.faults == second.faults


@pytest.mark.parametrize("venue", VENUES)
def test_a_calm_network_leaves_nothing_unknown(venue: str) -> None:
    outcome = simulate(venue, 1, Plan(weather=CALM))
    assert outcome.problems == []
    assert not outcome.faults
    assert outcome.counts["unknown"] == 0
    assert outcome.counts["fill"] > 10


@pytest.mark.parametrize("venue", VENUES)
def test_every_kind_of_fault_happens(venue: str) -> None:
    faults = sum((simulate(venue, seed).faults for seed in range(10)), start=type(simulate(venue, 0).faults)())
    assert {kind for kind in REQUEST_FAULTS if not faults[kind]} == set()


# -- the comparison itself is not blind -------------------------------------------------------------------------------


def _after(change: Any) -> list[str]:
    """The problems found when the books of a good run are changed at the end."""
    simulation = Simulation(VENUES["bybit"], 1, Plan(weather=CALM))
    assert simulation.run().problems == []
    change(simulation)
    return simulation.problems()


def test_a_lost_fill_is_seen() -> None:
    found = _after(lambda simulation: simulation.watch.fills.popitem())
    assert any("was lost" in each for each in found)
    assert any("lots; the account holds" in each for each in found)


def test_a_fill_told_twice_and_an_order_sent_twice_are_seen() -> None:
    def double(simulation: Simulation) -> None:
        exec_id, (order, qty) = next(iter(simulation.watch.fills.items()))
        simulation.watch.record(0, "fill", order, (exec_id, 1, qty))
        simulation.watch.sent_new(order.wire_id)

    found = _after(double)
    assert any("told twice" in each for each in found)
    assert any("was sent twice" in each for each in found)


def test_an_order_that_only_one_side_has_is_seen() -> None:
    found = _after(lambda simulation: simulation.watch.orders.popitem())
    assert any("nobody here sent" in each for each in found)
