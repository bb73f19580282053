"""The demo strategy live on local exchanges whose recordings end and whose websockets are cut: books agree to the last
digit. `make end-to-end` does it for two minutes on each."""

from decimal import Decimal
from pathlib import Path

import pytest

from tests.clients.end_to_end import CASES, cut_off, run, standings_differ
from tests.data.made import write


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("name", CASES)
def test_books_agree(name: str, shared: Path, tmp_path: Path) -> None:
    outcome = run(name, 30.0, tmp_path, recorded_s=10.0)
    assert outcome.problems == []
    assert outcome.orders > 0
    assert outcome.cuts >= 1


def test_a_recording_is_cut_off_by_its_times(tmp_path: Path) -> None:
    start = 1_700_000_000_000_000_000
    recording = write(tmp_path / "in" / "x.gz", [b"%d {}" % (start + second * 10**9) for second in range(100)])
    assert cut_off(recording, tmp_path, 60.0).stat().st_size < recording.stat().st_size
    again = cut_off(tmp_path / "x.gz", tmp_path, 1000.0)
    assert again.read_bytes() == cut_off(again, tmp_path, 60.0).read_bytes()


def test_a_difference_is_seen() -> None:
    result = {
        "open_orders": ["m1-1"],
        "positions": [{"instrument": "x", "strategies": {"a": "1", "b": "-0.5"}, "at_exchange": "0.6"}],
    }
    assert standings_differ(result, None) == ["m1-1 was left open", "x: the strategy holds 0.5, the account 0.6"]


def test_on_spot_the_summary_shows_what_the_account_holds_in_whole_lots() -> None:
    row = {"instrument": "bin:spot:btc-usdt", "strategies": {"a": "1"}, "at_exchange": "0.03077"}
    result = {"open_orders": [], "positions": [row]}
    assert standings_differ(result, Decimal("0.030779")) == []
    assert standings_differ(result, Decimal("0.03077")) == []
    for held in ("0.03078", "0.030769"):
        (found,) = standings_differ(result, Decimal(held))
        assert held in found
