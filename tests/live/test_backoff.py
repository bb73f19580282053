"""Pauses between attempts."""

from random import Random

import pytest

from mlthon.live.backoff import Backoff, BackoffSettings

SETTINGS = BackoffSettings(first_s=1.0, factor=2.0, most_s=10.0, stable_s=30.0)


def test_pauses_grow_to_the_longest_and_vary_between_half_and_whole() -> None:
    for seed in range(50):
        backoff = Backoff(Random(seed), SETTINGS)
        for longest in (1.0, 2.0, 4.0, 8.0, 10.0, 10.0):
            assert longest / 2 <= backoff.pause() <= longest


def test_two_that_failed_together_do_not_come_back_together() -> None:
    assert Backoff(Random(1), SETTINGS).pause() != Backoff(Random(2), SETTINGS).pause()


def test_the_same_seed_gives_the_same_pauses() -> None:
    one, two = Backoff(Random(7), SETTINGS), Backoff(Random(7), SETTINGS)
    assert [one.pause() for _ in range(5)] == [two.pause() for _ in range(5)]


@pytest.mark.parametrize(("held", "longest"), [(29.0, 4.0), (30.0, 1.0)])
def test_a_connection_that_held_long_enough_starts_over(held: float, longest: float) -> None:
    backoff = Backoff(Random(3), SETTINGS)
    backoff.pause()
    backoff.pause()
    backoff.held(held)
    assert longest / 2 <= backoff.pause() <= longest


@pytest.mark.parametrize("bad", [{"first_s": 0}, {"factor": 0.5}, {"most_s": -1}, {"stable_s": -1}])
def test_settings_that_make_no_sense(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        BackoffSettings(**bad)


def test_lines_that_are_cut_every_18_seconds_come_back_as_fast_as_ever() -> None:
    backoff = Backoff(Random(3), BackoffSettings())
    for _ in range(10):
        backoff.held(18.0)
        assert backoff.pause() <= BackoffSettings().first_s


def test_a_line_that_its_user_cuts_off_again_and_again_is_left_in_peace() -> None:
    backoff = Backoff(Random(3), BackoffSettings())
    for _ in range(10):
        backoff.held(10.0, cut_off=True)
        pause = backoff.pause()
    assert pause > BackoffSettings().most_s / 2
    backoff.held(60.0, cut_off=True)
    assert backoff.pause() <= BackoffSettings().first_s
