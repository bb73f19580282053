"""Candles as CSV, in the forms in which sites and programs write them."""

import gzip
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from mlthon.basics.catalogue import resolve
from mlthon.basics.defs import Exchange, InstrumentType
from mlthon.data.recordings import Recording
from mlthon.data.rows import Columns, Kind, Stream
from mlthon.data.sources import NoData, open_recordings

HOUR = 3600 * 10**9
T0 = 1_700_000_000 // 3600 * HOUR
"""2023-11-14T22:00."""
BYBIT = resolve(Exchange.Bybit, "BTCUSDT")
ROWS = ("40000,40100.5,39900,40050,4", "40050,40060,39000,39100,1.234")


def opened(folder: Path, text: str, name: str = "bybit-BTC-USDT-1h.csv") -> Recording:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    recordings, problems = open_recordings([path])
    assert not problems
    return recordings[0]


def rows(recording: Recording, kind: Kind) -> Columns:
    return Columns.concat(list(recording.chunks(Stream(recording.instrument, kind))))


def lines(header: str, times: Sequence[object], cells: Sequence[str] = ROWS, joint: str = ",") -> str:
    told = [f"{time}{joint}{each.replace(',', joint)}" for time, each in zip(times, cells, strict=True)]
    return "\n".join([*([header] if header else []), *told]) + "\n"


SECONDS = (T0 // 10**9, T0 // 10**9 + 3600)
MS = (SECONDS[0] * 1000, SECONDS[1] * 1000)


@pytest.mark.parametrize(
    "text",
    [
        lines("time,open,high,low,close,volume", MS),
        lines("\ufefftime,open,high,low,close,Volume", SECONDS),
        lines("", MS),
        lines("timestamp;Open;High;Low;Close;Volume", tuple(f"{each}.0" for each in SECONDS), joint=";"),
        lines("Date,Open,High,Low,Close,Volume", ("2023-11-14 22:00:00", "2023-11-14T23:00:00Z")),
        lines("datetime,open,high,low,close,volume", ("2023-11-15 00:00:00+02:00", "2023-11-14 23:00:00 UTC")),
        lines("open_time,open,high,low,close,volume", tuple(each * 10**6 for each in SECONDS)),
        lines("close_time,open,high,low,close,volume", (SECONDS[1], SECONDS[1] + 3600)),
        lines(
            "<DATE>\t<TIME>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>", ("2023.11.14\t22:00:00", "2023.11.14\t23:00")
        ).replace(",", "\t"),
        '"time","open","high","low","close","volume"\n'
        + "".join(
            f'"{time}","{each.replace(",", chr(34) + "," + chr(34))}"\n' for time, each in zip(MS, ROWS, strict=True)
        ),
        "https://www.example.com\nunix,date,symbol,open,high,low,close,Volume BTC,Volume USDT\n"
        + "".join(
            f"{time},2023-11-14,BTC/USDT,{each},777\n" for time, each in reversed(list(zip(MS, ROWS, strict=True)))
        ),
    ],
    ids=["ms", "s", "no header", "float s", "iso", "zones", "ns", "ends", "date and time", "quotes", "newest first"],
)
def test_each_form_says_the_same(tmp_path: Path, text: str) -> None:
    recording = opened(tmp_path, text)
    assert recording.instrument is BYBIT
    trades, quotes = rows(recording, Kind.TRADE), rows(recording, Kind.QUOTE)
    third = HOUR // 3
    times = [0, third, 2 * third, HOUR - 10**6]
    assert (trades.exch_ts - T0).tolist() == [*times, *(HOUR + each for each in times)]
    assert trades.a.tolist() == [400000, 399000, 401005, 400500, 400500, 400600, 390000, 391000]
    assert trades.b.tolist() == [1000, 1000, 1000, 1000, 308, 308, 308, 310]
    assert recording.start == quotes.recv_ts[0] == T0
    assert (np.diff(quotes.recv_ts) <= 600 * 10**9).all()  # a longer pause would be a hole in the data
    assert not recording.problems
    (note,) = recording.notes
    assert note.startswith("byt:perp:btc-usdt: candles of 1 h, each as trades at its open, ")


def test_gzipped(tmp_path: Path) -> None:
    path = tmp_path / "bybit_btcusdt.csv.gz"
    path.write_bytes(gzip.compress(lines("", MS).encode()))
    assert len(rows(open_recordings([path])[0][0], Kind.TRADE)) == 8


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("BYBIT_BTCUSDT.P, 60.csv", "byt:perp:btc-usdt"),
        ("bybit/BTC-USDT/2023.csv", "byt:perp:btc-usdt"),
        ("exchange=Bybit/ETHUSDT.csv", "byt:perp:eth-usdt"),
        ("Binance_BTCUSDT_1h.csv", "bin:spot:btc-usdt"),
        ("BINANCE_BTCUSDT.P, 1D.csv", "bnu:perp:btc-usdt"),
        ("binance-usdm_ETH-USDT.csv", "bnu:perp:eth-usdt"),
        ("bitmex XBTUSD.csv", "bmx:perp:btc-usd"),
        ("oanda_eur_usd_m5.csv", "oan:cfd:eur-usd"),
    ],
)
def test_the_instrument_is_told_by_names(tmp_path: Path, name: str, expected: str) -> None:
    assert opened(tmp_path, lines("", MS), name).instrument.name == expected


def test_the_instrument_is_told_by_the_rows(tmp_path: Path) -> None:
    text = "symbol,time,open,high,low,close\nETH/USDT,2023-11-14,1,2,1,2\nETH/USDT,2023-11-15,1,2,1,2\n"
    assert opened(tmp_path, text, "bybit_daily.csv").instrument.name == "byt:perp:eth-usdt"


def test_what_the_catalogue_has_not_is_made_up(tmp_path: Path) -> None:
    text = lines("", MS, ("0.51,0.5222,0.5,0.51,4", "0.51,0.52,0.5,0.51,1.5"))
    recording = opened(tmp_path, text, "binance_ADAUSDT_1h.csv")
    made = recording.instrument
    assert (made.name, made.instrument_type) == ("bin:spot:ada-usdt", InstrumentType.Spot)
    assert (made.price_scale.step.to_str(), made.qty_scale.step.to_str()) == ("0.0001", "0.1")
    assert made.taker_fee == resolve(Exchange.Binance, "BTCUSDT").taker_fee
    assert len(rows(recording, Kind.TRADE)) == 8
    assert opened(tmp_path, text, "binance_ADAUSDT.P_1h.csv").instrument.name == "bnu:perp:ada-usdt"


@pytest.mark.parametrize(
    ("name", "text", "what"),
    [
        ("BTC-USDT.csv", lines("", MS), "of which exchange it is"),
        ("bybit-1h.csv", lines("", MS), "of Bybit, but neither the names nor the rows say of which instrument"),
        (
            "bybit_btcusdt.csv",
            lines("", MS).splitlines()[0],
            "a single candle, and the file's name does not say how long",
        ),
        ("bybit_btcusdt.csv", "time,open,high,low,close\n", "no candle can be read in its first lines"),
        ("bybit_btcusdt.csv", "time,open,high\n1,2,3\n", "not of a known format"),
    ],
)
def test_what_cannot_be_read_says_why(tmp_path: Path, name: str, text: str, what: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(NoData, match=what):
        open_recordings([tmp_path / name])


def test_a_single_candle_whose_length_the_name_says(tmp_path: Path) -> None:
    recording = opened(tmp_path, lines("", MS).splitlines()[0])
    assert rows(recording, Kind.TRADE).exch_ts[-1] == T0 + HOUR - 10**6


@pytest.mark.parametrize(
    ("bad", "what"),
    [
        ("{},40000,40100,39900,40200,1", "contradicts itself"),
        ("{},40000,40100,40050,40000,1", "contradicts itself"),
        ("{},0,0,0,0,1", "contradicts itself"),
        ("{},40000,forty,39900,40000,1", "'forty' is not a number"),
        ("{},40000,40100,39900,NaN,1", "finite"),
        ("{},40000,40100,39900,40000,-1", "below 0"),
        ("{},40000,40100", "3 columns, 6 are needed"),
        ("never,40000,40100,39900,40000,1", "'never' is no time"),
        (f"{MS[0]},40000,40100,39900,40000,1", "does not come after the one before"),
    ],
)
def test_a_bad_line_is_reported_by_its_place_and_the_rest_is_read(tmp_path: Path, bad: str, what: str) -> None:
    good = lines("time,open,high,low,close,volume", MS).splitlines()
    third = good[2].replace(str(MS[1]), str(MS[1] + 3_600_000))
    recording = opened(tmp_path, "\n".join([*good[:2], bad.format(MS[1]), third, ""]))
    assert len(rows(recording, Kind.TRADE)) == 8
    (problem,) = recording.problems
    assert problem.line == 3
    assert what in problem.what


def test_prices_between_ticks_are_rounded_and_that_is_said(tmp_path: Path) -> None:
    recording = opened(tmp_path, lines("", MS, ("40000.04,40100.56,39900,40050,4.00099", ROWS[1])))
    assert rows(recording, Kind.TRADE).a[:4].tolist() == [400000, 399000, 401006, 400500]
    assert int(rows(recording, Kind.TRADE).b[:4].sum()) == 4000
    assert [each.what for each in recording.problems] == [
        "2 prices are no multiple of the tick of byt:perp:btc-usdt, 0.1: rounded",
        "1 volumes are no multiple of the lot of byt:perp:btc-usdt, 0.001: rounded",
    ]


def test_without_volumes_there_is_something_to_trade_with(tmp_path: Path) -> None:
    cells = tuple(each.rpartition(",")[0] for each in ROWS)
    recording = opened(tmp_path, lines("time,open,high,low,close", MS, (cells[0], cells[1])))
    assert set(rows(recording, Kind.TRADE).b.tolist()) == {1}
    assert set(rows(recording, Kind.QUOTE).b.tolist()) == {1_000_000 * 1000}


def test_a_candle_of_another_instrument_is_refused(tmp_path: Path) -> None:
    text = "time,symbol,open,high,low,close\n2023-11-14,BTCUSDT,1,2,1,2\n2023-11-15,ETHUSDT,1,2,1,2\n"
    recording = opened(tmp_path, text)
    assert len(rows(recording, Kind.TRADE)) == 4
    assert [each.what for each in recording.problems] == ["a candle of ETHUSDT in a file of BTCUSDT"]


def test_a_tenth_of_a_second_is_not_lost(tmp_path: Path) -> None:
    text = lines("timestamp,open,high,low,close,volume", ("1700000000.5", "1700000060.5"))
    assert opened(tmp_path, text).start == 1_700_000_000_500_000_000


def test_dates_alone(tmp_path: Path) -> None:
    recording = opened(tmp_path, lines("Date,Open,High,Low,Close,Volume", ("20231114", "20231115")))
    assert recording.start == T0 - 22 * HOUR
    assert rows(recording, Kind.TRADE).exch_ts[3] == T0 + 2 * HOUR - 10**6
