"""Times of day: 16:30 is 16:30, on both sides of every change of the clocks."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlthon.engine.clock import SECOND
from mlthon.engine.timers import DailyTime

NEW_YORK = ZoneInfo("America/New_York")


def ns(text: str, zone: ZoneInfo | None = None) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=zone or UTC).timestamp()) * SECOND


def shown(ts: int, zone: ZoneInfo) -> str:
    return datetime.fromtimestamp(ts // SECOND, zone).strftime("%Y-%m-%d %H:%M:%S")


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        ("2025-03-08 16:29:59", "2025-03-08 16:30:00"),
        ("2025-03-08 16:30:00", "2025-03-09 16:30:00"),  # the clocks go forward between the two: 23 hours
        ("2025-11-01 16:30:00", "2025-11-02 16:30:00"),  # and back: 25 hours
        ("2025-12-31 23:00:00", "2026-01-01 16:30:00"),
    ],
)
def test_the_clock_on_the_wall_counts(now: str, expected: str) -> None:
    daily = DailyTime.parse("16:30:00", NEW_YORK)
    assert shown(daily.next_after(ns(now, NEW_YORK)), NEW_YORK) == expected


def test_days_of_23_and_25_hours() -> None:
    daily = DailyTime.parse("16:30", NEW_YORK)
    before = ns("2025-03-08 16:30:00", NEW_YORK)
    assert daily.next_after(before) - before == 23 * 3600 * SECOND
    before = ns("2025-11-01 16:30:00", NEW_YORK)
    assert daily.next_after(before) - before == 25 * 3600 * SECOND


def test_a_time_that_the_spring_night_skips_comes_an_hour_later() -> None:
    daily = DailyTime.parse("02:30:00", NEW_YORK)
    assert shown(daily.next_after(ns("2025-03-09 00:00:00", NEW_YORK)), NEW_YORK) == "2025-03-09 03:30:00"


def test_a_time_that_the_autumn_night_repeats_comes_once() -> None:
    daily = DailyTime.parse("01:30:00", NEW_YORK)
    first = daily.next_after(ns("2025-11-02 00:00:00", NEW_YORK))
    assert first == ns("2025-11-02 05:30:00")
    assert shown(daily.next_after(first), NEW_YORK) == "2025-11-03 01:30:00"


@given(st.integers(0, 4_000_000_000), st.integers(0, 23), st.integers(0, 59), st.integers(0, 59))
def test_the_next_time_is_ahead_and_less_than_two_days_away(now_s: int, hour: int, minute: int, second: int) -> None:
    now = now_s * SECOND
    following = DailyTime.parse(f"{hour}:{minute:02}:{second:02}", NEW_YORK).next_after(now)
    assert 0 < following - now <= 49 * 3600 * SECOND


@pytest.mark.parametrize("text", ["", "16", "25:00:00", "16:61", "4pm", "16:30:00:00", None, 1630])
def test_what_is_no_time_of_day_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="HH:mm:ss"):
        DailyTime.parse(text, UTC)  # type: ignore[arg-type]
