"""The store: round trips, imports made twice, broken files, what `info` says."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlthon.basics.catalogue import exchanges, instruments, resolve
from mlthon.basics.defs import Exchange
from mlthon.data.recordings import Recording
from mlthon.data.rows import CHUNK_ROWS, Columns, Kind, MemorySource, Stream
from mlthon.data.sources import NoData, open_recordings, open_sources
from mlthon.data.store import (
    ImportProgress,
    NotAStore,
    Store,
    definition,
    import_files,
    info,
    instrument_of,
    is_store,
    store_rows,
)
from mlthon.engine.faces import STALE
from mlthon.errors import UserError
from tests.data.made import ETH, NOW, USDM, depth_line, snapshot_line, trade_line, write

SECOND = 10**9
TRADES = Stream(USDM, Kind.TRADE)
BOOK = Stream(USDM, Kind.BOOK)
NAMED = "instrument=bnu%3Aperp%3Abtc-usdt"
SYMBOL = "instrument=BTCUSDT"
"""The folder of an instrument, and how older stores named it."""


def rows(source: Recording | Store, stream: Stream) -> Columns:
    return Columns.concat(list(source.chunks(stream)))


def imported(paths: list[Path], store: Path) -> tuple[int, int]:
    recordings, _ = open_recordings(paths)
    result = import_files(recordings, store)
    assert not result.problems
    return result.written, result.kept


def long_recording(folder: Path, count: int = CHUNK_ROWS * 2 + 100) -> Path:
    lines = [snapshot_line(10), *(depth_line(11 + n, 11 + n, 10 + n, NOW + n) for n in range(count))]
    return write(folder / "binance-usdm" / "a", lines)


def files(store: Path) -> list[Path]:
    return sorted(path for path in store.rglob("*") if path.is_file())


@pytest.mark.parametrize("exchange", exchanges(), ids=str)
def test_every_instrument_can_be_defined_anew(exchange) -> None:  # type: ignore[no-untyped-def]
    for instrument in instruments(exchange):
        again = instrument_of(json.loads(json.dumps(definition(instrument))))
        assert repr(again) == repr(instrument)


def test_round_trip_of_recordings(shared: Path, tmp_path: Path) -> None:
    folder = shared / "exchange-data"
    paths = [
        folder / "binance-usdm" / "hftbacktest" / "btcusdt_20240718.gz",
        folder / "binance" / "hftbacktest" / "ethusdt_20240808.gz",
        folder / "oanda" / "lean" / "tick-eurusd" / "20140504_quote.zip",
    ]
    recordings, _ = open_recordings(paths)
    seen: list[ImportProgress] = []
    result = import_files(recordings, tmp_path, seen.append)
    store = Store(tmp_path)
    assert not (result.problems)
    assert not (store.problems)
    total = 0
    for recording in recordings:
        for stream in recording.streams():
            assert rows(store, stream) == rows(recording, stream)
            total += len(rows(store, stream))
    assert result.rows == total == seen[-1].rows
    assert (result.files, seen[-1].number, seen[-1].files) == (3, 3, 3)
    assert set(store.instruments) == {recording.instrument for recording in recordings}
    assert store.start == min(recording.start for recording in recordings)
    assert store.end == max(recording.end or 0 for recording in recordings)


def test_importing_again_changes_nothing(tmp_path: Path) -> None:
    path = long_recording(tmp_path, 50)
    store = tmp_path / "store"
    assert imported([path], store) == (1, 0)
    before = [(file, file.read_bytes()) for file in files(store)]
    assert imported([path], store) == (0, 1)
    assert [(file, file.read_bytes()) for file in files(store)] == before


def test_a_later_import_is_added(tmp_path: Path) -> None:
    first = write(tmp_path / "binance-usdm" / "a.gz", [trade_line(1)])
    second = write(tmp_path / "binance-usdm" / "b.gz", [trade_line(2, NOW + 5)])
    store = tmp_path / "store"
    assert imported([second], store) == (1, 0)
    assert imported([first], store) == (1, 0)
    assert rows(Store(store), TRADES).d.tolist() == [1, 2]


def test_the_import_with_more_rows_of_a_file_stays(tmp_path: Path) -> None:
    """A file that continues another has book rows only when it is read after it."""
    first = write(tmp_path / "binance-usdm" / "a.gz", [snapshot_line(10), depth_line(11, 12, 10, NOW + 1)])
    second = write(tmp_path / "binance-usdm" / "b.gz", [depth_line(13, 14, 12, NOW + 5), trade_line(1, NOW + 6)])
    store = tmp_path / "store"
    assert imported([second], store) == (1, 0)
    assert BOOK not in Store(store).streams()
    assert imported([first, second], store) == (2, 1)
    assert len(rows(Store(store), BOOK)) == 6
    assert imported([second], store) == (0, 1)
    assert len(rows(Store(store), BOOK)) == 6


def test_partitions_schemas_and_what_files_say_of_themselves(tmp_path: Path) -> None:
    midnight = (NOW // (86_400 * SECOND) + 1) * 86_400 * SECOND
    path = write(tmp_path / "binance-usdm" / "a", [trade_line(1), trade_line(2, midnight - 1), trade_line(3, midnight)])
    store = tmp_path / "store"
    assert imported([path], store) == (2, 0)
    folder = store / "exchange=BinanceUsdm" / NAMED
    assert [file.parent for file in files(store)] == [folder / "day=2024-07-18", folder / "day=2024-07-19"]
    found = pq.ParquetFile(files(store)[0])
    assert found.schema_arrow.names == ["exch_ts", "recv_ts", "price", "qty", "side", "trade_id"]
    assert set(found.schema_arrow.types) == {pa.int64()}
    assert found.metadata.row_group(0).column(0).compression == "ZSTD"
    meta = json.loads(found.metadata.metadata[b"mlthon"])
    assert (meta["tick"], meta["lot"], meta["kind"]) == ("0.1", "0.001", "TRADE")
    assert instrument_of(meta["instrument"]) == USDM
    assert rows(Store(store), TRADES).d.tolist() == [1, 2, 3]


def test_row_groups_are_bounded(tmp_path: Path) -> None:
    store = tmp_path / "store"
    imported([long_recording(tmp_path)], store)
    chunks = list(Store(store).chunks(BOOK))
    assert len(chunks) >= 3
    assert max(map(len, chunks)) <= CHUNK_ROWS


def test_a_cut_off_file_is_named_and_the_others_are_read(tmp_path: Path) -> None:
    folder = tmp_path / "binance-usdm"
    paths = [write(folder / f"{n}.gz", [trade_line(n, NOW + n)]) for n in range(3)]
    store = tmp_path / "store"
    imported(paths, store)
    broken = next(file.path for file in Store(store).files(TRADES) if file.meta.start == NOW + 1)
    broken.write_bytes(broken.read_bytes()[:-20])
    opened = Store(store)
    assert rows(opened, TRADES).d.tolist() == [0, 2]
    assert [problem.file for problem in opened.problems] == [str(broken)]
    # Importing the recording again mends it.
    imported(paths, store)
    assert rows(Store(store), TRADES).d.tolist() == [0, 1, 2]


def test_a_broken_row_group_is_placed_and_leaves_a_stale_book(tmp_path: Path) -> None:
    store = tmp_path / "store"
    imported([long_recording(tmp_path)], store)
    whole = rows(Store(store), BOOK)
    (path,) = files(store)
    with pq.ParquetFile(path) as found:
        group = found.metadata.row_group(1).column(0)
        groups = [found.metadata.row_group(number).num_rows for number in range(found.num_row_groups)]
    data = bytearray(path.read_bytes())
    offset = group.data_page_offset
    data[offset + 100 : offset + 140] = bytes(40)
    path.write_bytes(data)
    opened = Store(store)
    read = rows(opened, BOOK)
    after = groups[0] + groups[1]
    assert read[: groups[0]] == whole[: groups[0]]
    assert read.a[groups[0]] == STALE
    assert read[groups[0] + 1 :] == whole[after:]
    (problem,) = opened.problems
    assert problem.file == str(path)
    assert problem.byte is not None
    assert 0 < problem.byte <= offset
    assert "row group 1" in problem.what
    list(opened.chunks(BOOK))
    assert len(opened.problems) == 1


def test_strange_files_are_named(tmp_path: Path) -> None:
    store = tmp_path / "store"
    imported([write(tmp_path / "binance-usdm" / "a.gz", [trade_line(1)])], store)
    folder = files(store)[0].parent
    pq.write_table(pa.table({"x": [1]}), folder / "strange.parquet")
    (folder / "empty.parquet").write_bytes(b"")
    (folder / ".half.part").write_bytes(b"x")
    opened = Store(store)
    assert [Path(problem.file).name for problem in opened.problems] == ["empty.parquet", "strange.parquet"]
    assert rows(opened, TRADES).d.tolist() == [1]
    sources, problems = open_sources([store])
    assert len(sources) == 1
    assert len(problems) == 2


def test_files_that_overlap_are_read_once(tmp_path: Path) -> None:
    folder = tmp_path / "binance-usdm"
    lines = [trade_line(n, NOW + n) for n in range(10)]
    store = tmp_path / "store"
    imported([write(folder / "a.gz", lines)], store)
    imported([write(folder / "b.gz", [*lines[5:], trade_line(10, NOW + 10)])], store)
    opened = Store(store)
    found = rows(opened, TRADES)
    assert found.d.tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 10]
    assert (np.diff(found.recv_ts) >= 0).all()
    assert "overlaps" in opened.problems[0].what


def test_info(tmp_path: Path) -> None:
    times = [0, 1, 700, 701, 5000]
    lines = [trade_line(n, NOW + at * SECOND) for n, at in enumerate(times)]  # the last after midnight
    store = tmp_path / "store"
    imported([write(tmp_path / "binance-usdm" / "a.gz", lines)], store)
    found = info(Store(store))
    (stream,) = found.streams
    assert stream.stream == TRADES
    assert (found.rows, stream.rows, stream.files) == (5, 5, 2)
    assert (stream.start, stream.end) == (NOW, NOW + 5000 * SECOND)
    assert stream.holes == ((NOW + SECOND, NOW + 700 * SECOND), (NOW + 701 * SECOND, NOW + 5000 * SECOND))
    assert (stream.tick, stream.lot) == ("0.1", "0.001")
    assert found.size == stream.size == sum(file.stat().st_size for file in files(store))


def test_what_is_no_store(tmp_path: Path) -> None:
    assert not is_store(tmp_path)
    with pytest.raises(NotAStore, match="no folder exchange="):
        Store(tmp_path)


def test_a_store_cannot_be_imported(tmp_path: Path) -> None:
    store = tmp_path / "store"
    imported([write(tmp_path / "binance-usdm" / "a.gz", [trade_line(1)])], store)
    with pytest.raises(NoData, match="is a store already"):
        open_recordings([store])


def test_problems_of_a_recording_are_in_the_result(tmp_path: Path) -> None:
    path = write(tmp_path / "binance-usdm" / "a.gz", [trade_line(1), b"rubbish"])
    recordings, _ = open_recordings([path])
    result = import_files(recordings, tmp_path / "store")
    assert [(problem.file, problem.line) for problem in result.problems] == [(str(path), 2)]
    assert result.rows == 1


def test_rows_of_a_source_that_is_no_file(tmp_path: Path) -> None:
    arrays = {"exch_ts": [NOW, NOW + 1], "a": [1, 2], "b": [3, 4]}
    source = MemorySource.from_arrays({TRADES: arrays, Stream(ETH, Kind.TRADE): arrays})
    assert store_rows(source, tmp_path, "made") == 4
    before = files(tmp_path)
    assert store_rows(source, tmp_path, "made") == 4
    assert files(tmp_path) == before
    for stream in source.streams():
        assert rows(Store(tmp_path), stream) == Columns.concat(list(source.chunks(stream)))


def test_a_spot_and_a_perpetual_instrument_of_one_symbol_stand_side_by_side(tmp_path: Path) -> None:
    kinds = [Stream(resolve(Exchange.Bybit, name), Kind.TRADE) for name in ("byt:spot:btc-usdt", "byt:perp:btc-usdt")]
    assert kinds[0].instrument.symbol == kinds[1].instrument.symbol
    source = MemorySource.from_arrays(
        {stream: {"exch_ts": [NOW], "a": [place], "b": [1]} for place, stream in enumerate(kinds)}
    )
    assert store_rows(source, tmp_path, "made") == 2
    assert [rows(Store(tmp_path), stream).a.tolist() for stream in kinds] == [[0], [1]]


def test_an_older_store_is_read_and_goes_on_as_it_is(tmp_path: Path) -> None:
    folder, store = tmp_path / "binance-usdm", tmp_path / "store"
    first = write(folder / "a.gz", [snapshot_line(10), depth_line(11, 12, 10, NOW + 1)])
    second = write(folder / "b.gz", [depth_line(13, 14, 12, NOW + 5), trade_line(1, NOW + 6)])
    imported([second], store)
    named = store / "exchange=BinanceUsdm" / NAMED
    named.rename(named.with_name(SYMBOL))
    assert rows(Store(store), TRADES).d.tolist() == [1]
    assert imported([second], store) == (0, 1)
    assert {path.parents[1].name for path in files(store)} == {SYMBOL}
    # what is added stands under the name, and with more rows takes the older file's place
    assert imported([first, second], store) == (2, 1)
    whole = Store(store)
    assert (len(rows(whole, BOOK)), rows(whole, TRADES).d.tolist()) == (6, [1])
    assert not whole.problems


def test_an_older_file_with_fewer_rows_gives_way(tmp_path: Path) -> None:
    stream = {"exch_ts": [NOW, NOW + 1], "a": [1, 2], "b": [3, 4]}
    store_rows(MemorySource.from_arrays({TRADES: {name: value[:1] for name, value in stream.items()}}), tmp_path, "x")
    named = tmp_path / "exchange=BinanceUsdm" / NAMED
    named.rename(named.with_name(SYMBOL))
    store_rows(MemorySource.from_arrays({TRADES: stream}), tmp_path, "x")
    assert [path.parents[1].name for path in files(tmp_path)] == [NAMED]
    assert rows(Store(tmp_path), TRADES).a.tolist() == [1, 2]


def test_a_file_in_another_instruments_folder_is_named_with_its_place(tmp_path: Path) -> None:
    store = tmp_path / "store"
    imported([write(tmp_path / "binance-usdm" / "a.gz", [trade_line(1)])], store)
    named = store / "exchange=BinanceUsdm" / NAMED
    named.rename(named.with_name("instrument=ETHUSDT"))
    opened = Store(store)
    assert opened.streams() == []
    (problem,) = opened.problems
    assert problem.what == f"holds rows of {USDM}, whose files stand in exchange=BinanceUsdm/{NAMED}: put it there"


def test_a_place_taken_by_an_instrument_of_the_same_name_is_refused(tmp_path: Path) -> None:
    row = {"exch_ts": [NOW], "a": [1], "b": [2]}
    other = instrument_of({**definition(USDM), "index": 5 * 10**9})
    store_rows(MemorySource.from_arrays({TRADES: row}), tmp_path, "x")
    before = files(tmp_path)
    with pytest.raises(UserError, match="another instrument that is called bnu:perp:btc-usdt too"):
        store_rows(MemorySource.from_arrays({Stream(other, Kind.TRADE): row}), tmp_path, "x")
    assert files(tmp_path) == before
    assert Store(tmp_path).instruments == [USDM]
