"""A live run that is killed at any moment loses nothing: the next one finds out what became of everything."""

from pathlib import Path

import pytest

from tests.simulation.kill import INSTRUMENTS, killed_and_compared

KILLS = 5


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    ("exchange", "durability"), [*((each, "process") for each in INSTRUMENTS), ("bitmex", "power")]
)
def test_journal_and_exchange_agree_after_kills(exchange: str, durability: str, tmp_path: Path) -> None:
    problems, counts = killed_and_compared(tmp_path, exchange, KILLS, 1, durability)
    assert problems == []
    assert counts["orders"] > KILLS
    assert counts["fills"] > 0
