"""What the strategies of the workloads do is known exactly: from a loop that is no engine, and at full size from
hftbacktest as well. How fast they do it is no test's business."""

import pytest

from benchmarks import ours
from benchmarks.outcome import Outcome
from benchmarks.peers import bare_loop

Counts = tuple[int, int, int, int]

W1_FULL = (2_110, 0, 2_110, 1)
W2_FULL = (19_496, 7_753, 11_808, -18)


def counts(outcome: Outcome) -> Counts:
    """Orders, cancels, fills, position."""
    return (outcome.orders, outcome.cancels, outcome.fills, outcome.position)


@pytest.mark.parametrize(("events", "expected"), [(24_000, (50, 0, 50, -1)), (60_000, (133, 0, 133, -1))])
def test_w1(events: int, expected: Counts) -> None:
    assert counts(bare_loop.w1(events)) == expected
    assert counts(ours.w1(events)) == expected


@pytest.mark.parametrize(
    ("events", "expected"),
    [(24_000, (374, 147, 227, 7)), (60_000, (938, 379, 564, 0)), (120_000, (1904, 740, 1168, -26))],
)
def test_w2(events: int, expected: Counts) -> None:
    assert counts(bare_loop.w2(events)) == expected
    assert counts(ours.w2(events)) == expected


def test_w2_on_each_side_has_counts_of_its_own() -> None:
    """Acting on half a quote sees mids that never were; how many orders that makes shows that both calls came."""
    outcome = ours.w2_two_callbacks(24_000)
    assert outcome.orders >= bare_loop.w2(24_000).orders
    assert outcome.fills > 0


@pytest.mark.slow
def test_the_whole_of_w1() -> None:
    assert counts(bare_loop.w1(None)) == W1_FULL
    assert counts(ours.w1(None)) == W1_FULL


@pytest.mark.slow
def test_the_whole_of_w2() -> None:
    assert counts(bare_loop.w2(None)) == W2_FULL
    assert counts(ours.w2(None)) == W2_FULL


def test_every_event_is_played() -> None:
    assert ours.w1(1_000).events == 1_000
    assert ours.w2(1_200).events == 1_200
