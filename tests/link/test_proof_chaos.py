"""Bots that do what no bot should: neither the engine nor the other bots of a run may feel it."""

import pytest

from tests.link.chaos import CHAOS, compare

TRIES = 3
"""The machine does other things too: a case has failed when it has failed each time."""
PACE = 0.8
"""The synthetic market differs between two runs that begin at different times: by so much in a few seconds."""


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("case", CHAOS)
def test_chaos_in_one_bot_is_felt_by_nobody_else(case: str) -> None:
    found = []
    for _ in range(TRIES):
        found += compare([case], 2.5, 3)
        if found[-1].ratio <= 2 and found[-1].pace >= PACE:
            return
    pytest.fail(
        f"{case}: p99 {[round(each.ratio, 2) for each in found]} times the quiet one, "
        f"pace {[round(each.pace, 2) for each in found]} of the quiet one"
    )
