"""Raw Binance recordings: what a file is of, how files follow one another, what is reported."""

from pathlib import Path

import pytest

from mlthon.basics.catalogue import resolve
from mlthon.basics.defs import Exchange
from mlthon.data.importers.base import ReadOptions
from mlthon.data.recordings import Recording
from mlthon.data.rows import Columns, Kind, Stream
from mlthon.data.sources import open_recordings
from mlthon.engine.faces import LIVE, RESET, SET_ASK, SET_BID, STALE
from tests.data.made import NOW, USDM, depth_line, snapshot_line, trade_line, write

SECOND = 10**9
WHOLE = [RESET, SET_BID, SET_ASK, LIVE]


def opened(path: Path, options: ReadOptions | None = None) -> Recording:
    recordings, problems = open_recordings([path], options)
    assert len(recordings) == 1
    assert not problems
    return recordings[0]


def rows(recording: Recording, kind: Kind) -> Columns:
    return Columns.concat(list(recording.chunks(Stream(recording.instrument, kind))))


def ops(recording: Recording) -> list[int]:
    return rows(recording, Kind.BOOK).a.tolist()


@pytest.mark.parametrize(("digits", "unit"), [(13, 10**6), (16, 10**3), (19, 1)])
def test_unit_of_local_time(tmp_path: Path, digits: int, unit: int) -> None:
    text = trade_line(1).replace(str(NOW).encode(), str(NOW)[:digits].encode(), 1)
    recording = opened(write(tmp_path / "binance-usdm" / "a.gz", [text]))
    assert recording.start == NOW // unit * unit
    assert rows(recording, Kind.TRADE).recv_ts.tolist() == [NOW // unit * unit]


def test_files_that_continue_one_another_share_the_book(tmp_path: Path) -> None:
    folder = tmp_path / "binance-usdm"
    # By name the later file comes first; time decides.
    write(folder / "a.gz", [depth_line(13, 14, 12, NOW + 5)])
    write(folder / "b.gz", [snapshot_line(10), depth_line(11, 12, 10, NOW + 1)])
    recording = opened(folder)
    assert [file.path.name for file in recording.files] == ["b.gz", "a.gz"]
    assert ops(recording) == [*WHOLE, SET_BID, SET_BID]


def test_a_file_that_does_not_continue_begins_anew(tmp_path: Path) -> None:
    folder = tmp_path / "binance-usdm"
    write(folder / "a.gz", [snapshot_line(10), depth_line(11, 12, 10, NOW + 1)])
    write(folder / "b.gz", [depth_line(50, 51, 49, NOW + 5), snapshot_line(50, NOW + 6)])
    write(folder / "c.gz", [snapshot_line(90, NOW + 9), depth_line(90, 92, 88, NOW + 10)])
    assert ops(opened(folder)) == [*WHOLE, SET_BID, STALE, *WHOLE, SET_BID, STALE, *WHOLE, SET_BID]


def test_without_a_snapshot_there_is_no_book(tmp_path: Path) -> None:
    recording = opened(write(tmp_path / "binance-usdm" / "a", [depth_line(1, 2, 0), trade_line(1, NOW + 1)]))
    assert ops(recording) == []
    assert len(rows(recording, Kind.TRADE)) == 1


def test_bad_lines_are_reported_with_their_place(tmp_path: Path) -> None:
    lines = [
        trade_line(1),
        b"rubbish",
        trade_line(2, NOW + 5)[:-9],
        trade_line(3, NOW + 4),
        b"",
        trade_line(4, NOW + 9),
    ]
    path = write(tmp_path / "binance-usdm" / "a.gz", lines)
    recording = opened(path)
    trades = rows(recording, Kind.TRADE)
    assert trades.d.tolist() == [1, 3, 4]
    assert trades.recv_ts.tolist() == [NOW, NOW + 5, NOW + 9]
    places = [(problem.file, problem.line, problem.byte) for problem in recording.problems]
    ends = [sum(len(line) + 1 for line in lines[:count]) for count in (1, 2, 3)]
    assert places == [(str(path), 2, ends[0]), (str(path), 3, ends[1]), (str(path), 4, ends[2])]
    for problem, what in zip(recording.problems, ["not a line of", "truncated", "falls by 1 ns"], strict=True):
        assert what in problem.what


def test_a_truncated_file_gives_what_it_holds_and_the_next_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "binance-usdm"
    path = write(folder / "a.gz", [trade_line(number, NOW + number * 997) for number in range(5000)])
    path.write_bytes(path.read_bytes()[:-3000])
    write(folder / "b.gz", [trade_line(9999, NOW + SECOND)])
    recording = opened(folder)
    numbers = rows(recording, Kind.TRADE).d.tolist()
    assert 1000 < len(numbers) < 5000
    assert numbers == [*range(len(numbers) - 1), 9999]
    assert [problem.file for problem in recording.problems] == [str(path)]
    assert "cut off" in recording.problems[0].what


@pytest.mark.parametrize(
    ("folder", "extra", "options", "expected"),
    [
        ("binance-usdm", b"", None, Exchange.BinanceUsdm),
        ("binance", b"", None, Exchange.Binance),
        ("binance-usdm/x/y", b"", None, Exchange.BinanceUsdm),
        ("x", b'"pu":1', None, Exchange.BinanceUsdm),
        ("x", b'"none":1', None, Exchange.Binance),
        ("x", b'"none":1', ReadOptions(exchange=Exchange.BinanceUsdm), Exchange.BinanceUsdm),
        ("binance", b'"pu":1', ReadOptions(exchange=Exchange.BinanceUsdm), Exchange.BinanceUsdm),
    ],
)
def test_exchange(tmp_path: Path, folder: str, extra: bytes, options: ReadOptions | None, expected: Exchange) -> None:
    data = b'%d {"stream":"btcusdt@trade","data":{"s":"BTCUSDT",%s}}' % (NOW, extra or b'"x":1')
    assert opened(write(tmp_path / folder / "a.gz", [data]), options).instrument.exchange is expected


def test_coin_margined_by_its_pair(tmp_path: Path) -> None:
    data = b'%d {"stream":"x","data":{"s":"BTCUSD_PERP","ps":"BTCUSD","pu":1}}' % NOW
    assert opened(write(tmp_path / "a.gz", [data])).instrument == resolve(Exchange.BinanceCoinm, "BTCUSD_PERP")


def test_an_unknown_symbol_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "binance-usdm"
    write(folder / "a.gz", [trade_line(1)])
    path = write(folder / "b.gz", [trade_line(1, symbol="NOSUCH")])
    recordings, problems = open_recordings([folder])
    assert [recording.instrument for recording in recordings] == [USDM]
    assert [problem.file for problem in problems] == [str(path)]
    assert "NOSUCH" in problems[0].what


def test_the_recordings_of_the_reference_data(shared: Path) -> None:
    """Rows of each kind, no problem; the files of 2023 are in microseconds. A trade of the insurance fund is left
    out of 2023-04-05."""
    recordings, problems = open_recordings([shared / "exchange-data" / "binance-usdm" / "hftbacktest"])
    assert not problems
    counts = {
        recording.instrument.symbol: [len(rows(recording, kind)) for kind in (Kind.QUOTE, Kind.TRADE, Kind.BOOK)]
        for recording in recordings
    }
    assert counts == {"BTCUSDT": [96465, 23635, 727355], "ETHUSDT": [47328, 13655, 356946]}
    assert [recording.problems for recording in recordings] == [[], []]
    bitcoin = next(recording for recording in recordings if recording.instrument == USDM)
    assert bitcoin.start == 1680652700423575000
    book = rows(bitcoin, Kind.BOOK)
    # One book for the two files of 2023, one for the two of 2024.
    assert [op for op in book.a.tolist() if op in (RESET, LIVE, STALE)] == [RESET, LIVE, STALE, RESET, LIVE]
