"""OANDA ticks in LEAN's zips."""

from pathlib import Path

import pytest

from mlthon.basics.catalogue import resolve
from mlthon.basics.defs import Exchange
from mlthon.data.importers.base import ReadOptions
from mlthon.data.rows import Columns, Kind, Stream
from mlthon.data.sources import NoData, open_recordings
from tests.data.made import write_zip

EURO = resolve(Exchange.Oanda, "EUR_USD")
GOLD = resolve(Exchange.Oanda, "XAU_USD")
MIDNIGHT = 1_398_902_400_000_000_000
"""2014-05-01."""


def read(path: Path, options: ReadOptions | None = None) -> tuple[Columns, list[str]]:
    recordings, problems = open_recordings([path], options)
    assert not problems
    recording = recordings[0]
    columns = Columns.concat(list(recording.chunks(Stream(recording.instrument, Kind.QUOTE))))
    return columns, [str(problem) for problem in recording.problems]


def test_rows(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "20140501_quote.zip", "20140501_eurusd_tick_quote.csv", b"292,1.38676,1.386860\n")
    columns, problems = read(path)
    ts = MIDNIGHT + 292 * 10**6
    assert [array.tolist() for array in columns.arrays()] == [[ts], [ts], [138676], [10**6], [138686], [10**6]]
    assert not problems
    assert read(path, ReadOptions(displayed_units=5))[0].b.tolist() == [5]


def test_fractions_of_a_millisecond_and_the_folder_s_name(tmp_path: Path) -> None:
    content = b"79200579.427,1300.151,1301.801\n79200613.0668,1299.968,1301.618\n"
    columns, _ = read(write_zip(tmp_path / "tick-xauusd" / "20140501_quote.zip", "x.csv", content))
    assert columns.exch_ts.tolist() == [MIDNIGHT + 79_200_579_427_000, MIDNIGHT + 79_200_613_066_800]
    assert columns.a.tolist() == [1300151, 1299968]


def test_bad_rows_after_good_ones(tmp_path: Path) -> None:
    good = [b"%d,1.1,1.2" % number for number in range(10, 20)]
    bad = [b"21,x,1.2", b"22,1.2,1.2", b"23,1.100001,1.2", b"0,1.1,1.2", b"86400000,1.1,1.2"]
    content = b"\n".join([*good, *bad, b"24,1.1,1.3"])
    path = write_zip(tmp_path / "20140501_quote.zip", "20140501_eurusd.csv", content)
    columns, problems = read(path)
    assert len(columns) == 11
    whats = ["not `<ms", "crossed", "not a multiple of 0.00001", "time falls", "beyond the day"]
    assert len(problems) == len(whats)
    for number, (problem, what) in enumerate(zip(problems, whats, strict=True)):
        assert f"{path}, line {number + 11}, byte " in problem
        assert what in problem


@pytest.mark.parametrize(
    ("name", "inner", "what"),
    [
        ("quote.zip", "eurusd.csv", "not of a known format"),
        ("20149901_quote.zip", "eurusd.csv", "must begin with the day"),
        ("20140501_quote.zip", "x.csv", "known pair of currencies"),
    ],
)
def test_names_that_do_not_say_enough(tmp_path: Path, name: str, inner: str, what: str) -> None:
    write_zip(tmp_path / name, inner, b"1,1.1,1.2\n")
    with pytest.raises(NoData, match=what):
        open_recordings([tmp_path / name])


def test_reference_data(shared: Path) -> None:
    """Every row is read. Midnight is UTC's: the week begins at 21:00 for the euro and at 22:00 for gold, 17:00 and
    18:00 in New York."""
    folder = shared / "exchange-data" / "oanda" / "lean"
    euro, problems = read(folder / "tick-eurusd")
    assert (len(euro), problems) == (24179 + 49341 + 1164 + 25177 + 44864 + 41367, [])
    gold, problems = read(folder / "tick-xauusd" / "20140504_quote.zip")
    assert (len(gold), problems) == (9889, [])
    day = 86_400 * 10**9
    sunday = euro.exch_ts[euro.exch_ts >= MIDNIGHT + 3 * day][0]
    assert (sunday % day) // (3_600 * 10**9) == 21
    assert (int(gold.exch_ts[0]) % day) // (3_600 * 10**9) == 22
    assert ((euro.c - euro.a) > 0).all()
