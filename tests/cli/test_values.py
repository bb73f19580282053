"""Values of options, and how figures are shown."""

import pytest

from mlthon.backtest.show import (
    columns,
    show_count,
    show_exact,
    show_money,
    show_rate,
    show_share,
    show_span,
    show_time,
)
from mlthon.basics.money import UNIT, parse
from mlthon.cli.values import duration_ns, time_ns
from mlthon.errors import UserError

SECOND = 10**9


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("15m", 900),
        ("1h", 3600),
        ("2d", 172_800),
        ("1h30m", 5400),
        ("0.5h", 1800),
        ("250ms", 0.25),
        (" 1H ", 3600),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert duration_ns(text, "--duration") == seconds * SECOND


@pytest.mark.parametrize("text", ["", "1", "h", "1x", "-1h", "1h-", "1 h", "1e3s", "nan", "1ns", "1h1"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(UserError, match=r"--duration .*: not a duration"):
        duration_ns(text, "--duration")


@pytest.mark.parametrize(
    ("text", "what"), [("0s", "too short"), ("36501d", "too long"), ("99999999999999d", "too long")]
)
def test_durations_that_cannot_be(text: str, what: str) -> None:
    with pytest.raises(UserError, match=f"--duration {text}: {what}"):
        duration_ns(text, "--duration")


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("1970-01-01", 0),
        ("1970-01-02", 86_400 * SECOND),
        ("2024-07-18T00:05", 1_721_261_100 * SECOND),
        ("2024-07-18T00:05:00Z", 1_721_261_100 * SECOND),
        ("2024-07-18T02:05:00+02:00", 1_721_261_100 * SECOND),
        ("2024-07-18 00:05:00.000001", 1_721_261_100 * SECOND + 1000),
    ],
)
def test_times(text: str, ns: int) -> None:
    assert time_ns(text, "--start") == ns


@pytest.mark.parametrize("text", ["", "now", "2024-13-01", "2024-07-18T25:00", "18.7.2024"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(UserError, match=r"--start .*: not a time"):
        time_ns(text, "--start")


@pytest.mark.parametrize("text", ["1969-12-31", "2500-01-01"])
def test_times_out_of_range(text: str) -> None:
    with pytest.raises(UserError, match="out of range"):
        time_ns(text, "--start")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("0", "0.0000"),
        ("1234567.891", "1,234,567.8910"),
        ("-0.5", "-0.5000"),
        ("0.00001", "0.00001000"),
        ("-0.000000000000000001", "-0.000000000000000001000"),
        ("0.00004999", "0.00004999"),
    ],
)
def test_money(text: str, shown: str) -> None:
    assert show_money(parse(text)) == shown


def test_money_with_a_sign() -> None:
    assert [show_money(units, 2, sign=True) for units in (UNIT, -UNIT, 0)] == ["+1.00", "-1.00", "0.00"]


def test_other_figures() -> None:
    assert show_exact(None) == "-"
    assert show_exact(parse("0.010")) == "0.01"
    assert (show_share(None), show_share(0.12345), show_share(0.1, 0, sign=True)) == ("-", "12.35 %", "+10 %")
    assert [show_rate(rate) for rate in (12.4, 9_999, 38_200, 1_240_000)] == ["12/s", "9999/s", "38 k/s", "1.24 M/s"]
    spans = [show_span(round(seconds * SECOND)) for seconds in (4.21, 59.99, 60.9, 750, 3900, 100_000)]
    assert spans == ["4.2s", "59.9s", "1m 00s", "12m 30s", "1h 05m", "1d 03h"]
    assert show_time(1_721_261_100 * SECOND + 999_999_999) == "2024-07-18 00:05:00"


def test_columns_are_flush() -> None:
    assert columns([("name", "n"), ("a", "100")]) == ["name    n", "a     100"]


def test_counts() -> None:
    assert [show_count(each, "fill") for each in (0, 1, 1200)] == ["0 fills", "1 fill", "1,200 fills"]
