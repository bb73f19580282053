"""A program that dies again and again, at any moment, loses nothing and does nothing twice: a few seeds here, many in
the slow run and by `python -m tests.simulation.crashes`."""

from typing import Any

import pytest

from tests.simulation import crashes
from tests.simulation.crashes import MortalStore, SlowDisk, crash
from tests.simulation.venues import VENUES

SEEDS = range(2)
MANY = range(1000, 1040)


@pytest.mark.parametrize("venue", VENUES)
@pytest.mark.parametrize("seed", SEEDS)
def test_journal_and_exchange_agree_in_the_end(venue: str, seed: int) -> None:
    outcome = crash(venue, seed)
    assert outcome.problems == []
    assert outcome.counts["crash"] >= 1


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("venue", VENUES)
def test_journal_and_exchange_agree_in_the_end_for_many_seeds(venue: str) -> None:
    outcomes = [crash(venue, seed) for seed in MANY]
    assert {each.seed: each.problems for each in outcomes if each.problems} == {}


def test_a_seed_plays_the_same_again() -> None:
    first, second = crash("bitmex", 3), crash("bitmex", 3)
    assert (first.counts, first.faults) == (second.counts, second.faults)


# -- the comparison is not blind --------------------------------------------------------------------------------------


def test_lives_that_know_nothing_of_one_another_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crashes, "adopt_orders", lambda *args, **more: 0)
    problems = [problem for seed in range(3) for problem in crash("bybit", seed).problems]
    assert any("never there" in each for each in problems)


@pytest.mark.parametrize(("kind", "problem"), [("new", "does not know"), ("fill", "was lost")])
def test_what_is_not_written_is_seen(monkeypatch: pytest.MonkeyPatch, kind: str, problem: str) -> None:
    commit = MortalStore.commit

    def forgetful(store: Any, entries: Any) -> None:
        commit(store, [each for each in entries if each.kind != kind])

    monkeypatch.setattr(MortalStore, "commit", forgetful)
    assert any(problem in each for each in crash("bybit", 1).problems)


def test_a_journal_that_says_too_early_what_is_safe_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    submit = SlowDisk.submit

    def hasty(disk: SlowDisk, entries: Any, done: Any) -> None:
        submit(disk, entries, lambda reason: None)
        done("")

    monkeypatch.setattr(SlowDisk, "submit", hasty)
    assert any("left before it was in the journal" in each for each in crash("bybit", 1).problems)


def test_a_journal_that_forgets_what_it_had_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    commit = MortalStore.commit

    def forgetful(store: Any, entries: Any) -> None:
        commit(store, entries[1:])
        store.safe += 1

    monkeypatch.setattr(MortalStore, "commit", forgetful)
    assert any("were said to be safe" in each for each in crash("bybit", 1).problems)


def test_the_disk_is_full_now_and_then() -> None:
    assert sum(crash("bybit", seed).faults["disk full"] for seed in range(4)) > 0
