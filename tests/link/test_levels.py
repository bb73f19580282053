"""Candle levels and their grid of time."""

from datetime import UTC, datetime

import pytest

from mlthon.link.contract import LEVELS
from mlthon.link.levels import LENGTHS, candle_bin, length_of, time_range


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def test_the_table_has_the_documented_levels() -> None:
    assert tuple(LENGTHS) == LEVELS


@pytest.mark.parametrize(
    ("level", "floor", "ceil"),
    [
        ("1m", "2026-11-19 13:47:00", "2026-11-19 13:48:00"),
        ("15m", "2026-11-19 13:45:00", "2026-11-19 14:00:00"),
        ("4h", "2026-11-19 12:00:00", "2026-11-19 16:00:00"),
        ("1d", "2026-11-19 00:00:00", "2026-11-20 00:00:00"),
        ("1w", "2026-11-16 00:00:00", "2026-11-23 00:00:00"),  # both are Mondays
    ],
)
def test_a_time_is_floored_and_ceiled_to_its_candle(level: str, floor: str, ceil: str) -> None:
    time = ms("2026-11-19 13:47:31.250")
    assert candle_bin(time, level) == ms(floor)
    assert candle_bin(time + 0.9, level) == ms(floor)
    assert candle_bin(time, level, ceil=True) == ms(ceil)
    assert candle_bin(ms(floor), level, True) == candle_bin(ms(floor), level) == ms(floor)


def test_a_range_of_candles_goes_from_the_one_of_its_start_to_the_one_of_its_end() -> None:
    start, end = ms("2026-11-19 13:47:31"), ms("2026-11-19 14:02:00")
    quarters = [ms("2026-11-19 13:45:00"), ms("2026-11-19 14:00:00")]
    assert time_range(start, end, "15m") == quarters
    assert time_range(start, end, "15m", include_start=False) == quarters[1:]
    assert time_range(end, start, "15m") == []


def test_what_is_no_level_or_no_time_is_refused_with_the_way_out() -> None:
    with pytest.raises(ValueError, match="'7m' is no candle level"):
        length_of("7m")
    with pytest.raises(ValueError, match="did you mean '15m'"):
        candle_bin(0, "15M")
    for wrong in (None, "noon", float("nan"), True):
        with pytest.raises(TypeError, match="milliseconds"):
            candle_bin(wrong, "1m")  # type: ignore[arg-type]
