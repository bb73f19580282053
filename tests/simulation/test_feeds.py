"""A book that counts as live is one that the exchange had, whatever the network does: a few seeds here, many in the
slow run and by `python -m tests.simulation.feeds`."""

import pytest

from tests.simulation.feeds import MARKETS, follow
from tests.simulation.network import Weather

SEEDS = range(2)
MANY = range(1000, 1040)


@pytest.mark.parametrize("venue", MARKETS)
@pytest.mark.parametrize("seed", SEEDS)
def test_books_are_the_exchanges(venue: str, seed: int) -> None:
    outcome = follow(venue, seed)
    assert outcome.problems == []
    assert outcome.counts["live"] > outcome.counts["look"] // 2
    assert outcome.faults["lag"] > 0


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("venue", MARKETS)
def test_books_are_the_exchanges_for_many_seeds(venue: str) -> None:
    outcomes = [follow(venue, seed) for seed in MANY]
    assert {each.seed: each.problems for each in outcomes if each.problems} == {}
    assert sum(each.counts["stale"] for each in outcomes) > len(outcomes) // 4


def test_a_seed_plays_the_same_again() -> None:
    first, second = follow("binance", 3), follow("binance", 3)
    assert (first.counts, first.faults) == (second.counts, second.faults)


def test_a_wrong_book_is_seen() -> None:
    """BitMEX's changes bear no numbers: one that is lost goes unnoticed there, but not here."""
    outcomes = [follow("bitmex", seed, Weather(lost=0.2)) for seed in range(2)]
    assert any("never was" in problem for each in outcomes for problem in each.problems)
