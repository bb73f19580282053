"""A live run that is killed at any moment loses nothing: the next one finds out what became of everything."""

from pathlib import Path

import pytest

from tests.simulation.kill import INSTRUMENTS, killed_and_compared

KILLS = 5


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("exchange", INSTRUMENTS)
def test_journal_and_exchange_agree_after_kills(exchange: str, tmp_path: Path) -> None:
    problems, counts = killed_and_compared(tmp_path, exchange, KILLS, seed=1)
    assert problems == []
    assert counts["orders"] > KILLS
    assert counts["fills"] > 0
