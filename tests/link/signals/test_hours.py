"""Trading hours."""

import pytest

from mlthon.engine.clock import SECOND
from mlthon.link.signals.hours import DAY_S, TradingHours, parse_time

DAY = DAY_S * 20_000


def at(hours: float) -> int:
    return round((DAY + hours * 3600) * SECOND)


@pytest.mark.parametrize(
    ("start", "stop", "inside", "outside"),
    [
        ("09:30", "16:00", [9.5, 12, 15.999], [0, 9.49, 16, 23.9]),
        ("22:00", "02:00", [22, 23.9, 0, 1.99], [2, 12, 21.99]),
        ("22:00", None, [22, 23.99], [0, 21.99]),
        (None, "02:00", [0, 1.99], [2, 23]),
        ("22:00", "00:00", [22, 23.99], [0, 21.99]),
        ("00:00", "24:00", [0, 12, 23.99], []),
    ],
)
def test_open(start: str | None, stop: str | None, inside: list[float], outside: list[float]) -> None:
    hours = TradingHours.between(start, stop)
    assert [each for each in inside if not hours.open(at(each))] == []
    assert [each for each in outside if hours.open(at(each))] == []


def test_next_change() -> None:
    hours = TradingHours.between("22:00", "02:00")
    assert hours.next_change(at(1)) == at(2)
    assert hours.next_change(at(2)) == at(22)
    assert hours.next_change(at(22)) == at(26)


@pytest.mark.parametrize("text", ["", "9", "25:00", "24:01", "12:60", "12:00:60", "noon", "-1:00"])
def test_bad_times(text: str) -> None:
    with pytest.raises(ValueError, match="no time of day"):
        parse_time(text)


def test_hours_of_no_length_are_refused() -> None:
    with pytest.raises(ValueError, match="are both 09:00"):
        TradingHours.between("09:00", "09:00")
