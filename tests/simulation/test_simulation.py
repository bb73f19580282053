"""Nothing is lost and nothing happens twice, whatever the network does: a few seeds here, many in the slow run.

A failing seed is in the test's name. It replays by
`python -m tests.simulation --exchange bybit --first SEED --seeds 1`.
"""

from typing import Any

import pytest
from attrs import evolve

from mlthon.engine.clock import SECOND
from tests.simulation.network import REQUEST_FAULTS, Weather
from tests.simulation.sim import Plan, Simulation, simulate
from tests.simulation.venues import VENUES

SEEDS = range(5)
MANY = range(1000, 1250)
CALM = Weather(**dict.fromkeys((*REQUEST_FAULTS, "lost", "double", "lag", "cut", "freeze", "closed"), 0.0))


@pytest.mark.parametrize("venue", VENUES)
@pytest.mark.parametrize("seed", SEEDS)
def test_both_sides_agree_in_the_end(venue: str, seed: int) -> None:
    assert simulate(venue, seed).problems == []


@pytest.mark.parametrize("seed", [78, 102])
def test_seeds_that_failed_once(seed: int) -> None:
    """A modification on the heels of an order that the port refuses; of one that is found when asked for."""
    assert simulate("bybit-websocket", seed).problems == []


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


@pytest.mark.parametrize("kind", ["vanish", "mute", "error", "error_after", "reset", "late"])
def test_faults_strike_orders_that_go_over_a_line(kind: str) -> None:
    """They have no other way there: what becomes unknown, or is refused by chance, was struck on the line."""
    outcome = simulate("bybit-websocket", 2, Plan(weather=evolve(CALM, **{kind: 0.2})))
    assert outcome.problems == []
    assert outcome.counts["unknown"] + outcome.counts["reject"] > 5


# -- the exchange's own switch ----------------------------------------------------------------------------------------

SWITCH_S = 10


@pytest.mark.parametrize("venue", [name for name in VENUES if name != "binance"])
@pytest.mark.parametrize("dies", [True, False])
def test_the_exchange_cancels_what_a_program_that_died_left_open(venue: str, dies: bool) -> None:
    simulation = Simulation(VENUES[venue], 4, Plan(stormy_s=20, calm_s=60, weather=CALM, dead_man_s=SWITCH_S))
    assert simulation.run().problems == []
    simulation.served.resume()
    simulation.gamblers[0].rest()
    simulation.clock.run_until(simulation.clock.now + SECOND)
    assert list(simulation.account.open_orders())
    if dies:
        simulation.network.die()
    simulation.clock.run_until(simulation.clock.now + (SWITCH_S + 2) * SECOND)
    assert bool(list(simulation.account.open_orders())) is not dies


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
