"""What paths hold, and recordings as sources."""

import gzip
from pathlib import Path

import pytest

import mlthon.data.recordings as recordings_module
from mlthon.data.replay import Batch, Replay
from mlthon.data.rows import Columns, Kind
from mlthon.data.sources import NoData, open_sources
from mlthon.data.timing import FeedModel, FeedTiming
from tests.data.made import NOW, USDM, snapshot_line, trade_line, write, write_zip


def test_a_folder_with_this_and_that(tmp_path: Path) -> None:
    write(tmp_path / "binance-usdm" / "a.gz", [trade_line(1)])
    write(tmp_path / "binance-usdm" / "b.gz", [trade_line(1, symbol="ETHUSDT")])
    write_zip(tmp_path / "oanda" / "20140501_quote.zip", "20140501_eurusd.csv", b"1,1.1,1.2\n")
    (tmp_path / ".hidden").write_bytes(b"x")
    (tmp_path / "notes.txt").write_bytes(b"hello\n")
    (tmp_path / "picture.png").write_bytes(bytes(range(256)) * 10)
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "broken.gz").write_bytes(gzip.compress(b"x" * 100)[:15])
    sources, problems = open_sources([tmp_path])
    assert sorted(source.instruments[0].symbol for source in sources) == ["BTCUSDT", "ETHUSDT", "EUR_USD"]
    assert [Path(problem.file).name for problem in problems] == ["broken.gz", "empty", "notes.txt", "picture.png"]
    assert {problem.what for problem in problems} == {"not of a known format"}


def test_several_paths_of_one_instrument_are_one_source(tmp_path: Path) -> None:
    first = write(tmp_path / "x" / "binance-usdm" / "a.gz", [trade_line(1)])
    second = write(tmp_path / "y" / "binance-usdm" / "a.gz", [trade_line(2, NOW + 1)])
    sources, _ = open_sources([second, str(first)])
    assert len(sources) == 1
    assert (sources[0].start, sources[0].end) == (NOW, NOW + 1)


@pytest.mark.parametrize("what", ["missing", "empty", "text"])
def test_nothing_to_read_is_one_clear_error(tmp_path: Path, what: str) -> None:
    path = tmp_path / what
    if what == "empty":
        path.mkdir()
    elif what == "text":
        path.write_text("hello")
    with pytest.raises(NoData) as raised:
        open_sources([path])
    assert str(path) in str(raised.value)
    if what != "missing":
        for known in ("a store", "raw Binance", "OANDA tick", "BitMEX one-minute bars"):
            assert known in str(raised.value)


def test_a_snapshot_alone_does_not_say_its_symbol(tmp_path: Path) -> None:
    with pytest.raises(NoData, match="names a symbol"):
        open_sources([write(tmp_path / "binance-usdm" / "a.gz", [snapshot_line(1)])])


def test_large_recordings_are_read_in_passing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "binance-usdm" / "a.gz", [trade_line(n, NOW + n) for n in range(100)] + [b"bad"])

    def played() -> tuple[list[int], list[str]]:
        (source,), _ = open_sources([path])
        rows = [
            row for item in Replay([source], FeedTiming(FeedModel.NONE)) if isinstance(item, Batch) for row in item.d
        ]
        assert source.end == NOW + 99
        return rows, [str(problem) for problem in source.problems]  # type: ignore[attr-defined]

    kept = played()
    monkeypatch.setattr(recordings_module, "KEEP_BYTES", 0)
    assert played() == kept
    assert kept[0] == list(range(100))
    assert len(kept[1]) == 1


def test_streams_of_a_recording(tmp_path: Path) -> None:
    (source,), _ = open_sources([write(tmp_path / "binance-usdm" / "a.gz", [trade_line(1)])])
    assert [stream.kind for stream in source.streams()] == [Kind.QUOTE, Kind.TRADE, Kind.BOOK]
    assert source.instruments == [USDM]
    assert [len(Columns.concat(list(source.chunks(stream)))) for stream in source.streams()] == [0, 1, 0]
