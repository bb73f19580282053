"""Merge against a naive one, phases, gaps, openings, digests."""

import hashlib
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlthon.data.replay import GAP, Batch, Gap, Phase, Replay
from mlthon.data.rows import Columns, Kind, MemorySource, Source, Stream
from mlthon.data.timing import FeedModel, FeedTiming
from mlthon.engine.faces import LIVE, ORDER_ASK, RESET, SET_ASK, SET_BID, STALE
from tests.data.made import ETH, NOW, USDM, columns

NONE = FeedTiming(FeedModel.NONE)
MS = 10**6
Row = tuple[int, Stream, Phase, int, int, int, int, int]


def played(replay: Replay) -> tuple[list[Row], list[Gap]]:
    """The rows with what their lanes are, and the gaps."""
    rows: list[Row] = []
    gaps = []
    for item in replay:
        if isinstance(item, Gap):
            gaps.append(item)
            continue
        assert len(item)
        for ts, lane, a, b, c, d, exch in zip(
            item.ts, item.stream, item.a, item.b, item.c, item.d, item.exch_ts, strict=True
        ):
            rows.append((ts, *replay.lanes[lane], a, b, c, d, exch))
    return rows, gaps


streams = st.lists(
    st.tuples(
        st.sampled_from([USDM, ETH]),
        st.sampled_from([Kind.QUOTE, Kind.TRADE, Kind.BOOK]),
        st.lists(st.integers(0, 20), max_size=30).map(sorted),
    ),
    max_size=5,
    unique_by=lambda item: (item[0].symbol, item[1]),
)


def source_of(made: Sequence[tuple[object, Kind, list[int]]], chunk: int) -> MemorySource:
    rows = {}
    for number, (instrument, kind, times) in enumerate(made):
        table = [(NOW + ts, NOW + ts, number, index, 0, 0) for index, ts in enumerate(times)]
        rows[Stream(instrument, kind)] = columns(table)  # type: ignore[arg-type]
    return MemorySource(rows, chunk)


@given(streams, st.integers(1, 7), st.integers(1, 9), st.sampled_from([FeedModel.NONE, FeedModel.CONSTANT]))
def test_merge_is_that_of_a_naive_sort(
    made: list[tuple[object, Kind, list[int]]], chunk: int, batch: int, model: FeedModel
) -> None:
    source = source_of(made, chunk)
    timing = FeedTiming(model, constant_ms=3 / MS)
    rows, gaps = played(Replay([source], timing, rows=batch))
    expected = []
    for order, stream in enumerate(source.streams()):
        for chunk_ in source.chunks(stream):
            for exch, _, a, b, c, d in zip(*(array.tolist() for array in chunk_.arrays()), strict=True):
                if model is FeedModel.NONE:
                    phases = [(exch, Phase.BOTH)]
                else:
                    phases = [(exch, Phase.EXCHANGE), (exch + 3, Phase.FEED)]
                for ts, phase in phases:
                    expected.append(((ts, phase, stream.kind, order, b), (ts, stream, phase, a, b, c, d, exch)))
    assert rows == [row for _, row in sorted(expected, key=lambda item: item[0])]
    assert not gaps


def test_lanes_and_their_order_at_one_time() -> None:
    made = [(USDM, Kind.BOOK, [1]), (ETH, Kind.TRADE, [1]), (USDM, Kind.QUOTE, [1]), (USDM, Kind.TRADE, [1])]
    replay = Replay([source_of(made, 10)], FeedTiming(FeedModel.CONSTANT, constant_ms=0))
    kinds = [Kind.QUOTE, Kind.TRADE, Kind.TRADE, Kind.BOOK]
    assert [(stream.kind, phase) for stream, phase in replay.lanes] == [
        *((kind, Phase.EXCHANGE) for kind in kinds),
        *((kind, Phase.FEED) for kind in kinds),
    ]
    assert replay.lanes[1][0].instrument is ETH
    (batch,) = replay
    assert isinstance(batch, Batch)
    assert batch.stream == list(range(8))


def digest(sources: Sequence[Source], timing: FeedTiming, rows: int) -> str:
    found = hashlib.sha256()
    replay = Replay(sources, timing, rows=rows)
    replay.digest_into(found)
    for item in replay:
        if isinstance(item, Batch):
            item.digest_into(found)
    return found.hexdigest()


@pytest.mark.parametrize("model", list(FeedModel))
def test_the_digest_depends_on_the_rows_alone(model: FeedModel) -> None:
    random = np.random.default_rng(2)
    made = [
        (instrument, kind, np.sort(random.integers(0, 10**10, 3000)).tolist())
        for instrument in (USDM, ETH)
        for kind in (Kind.QUOTE, Kind.TRADE)
    ]
    timing = FeedTiming(model, seed=1)
    digests = {digest([source_of(made, chunk)], timing, rows) for chunk in (100, 1234, 10**6) for rows in (77, 10**5)}
    assert len(digests) == 1
    made[0][2][-1] += 1
    assert digest([source_of(made, 100)], timing, 100) not in digests


def test_gaps() -> None:
    times = [0, GAP, 2 * GAP + 1, 2 * GAP + 2, 5 * GAP]
    expected = [Gap(NOW + GAP, NOW + 2 * GAP + 1), Gap(NOW + 2 * GAP + 2, NOW + 5 * GAP)]
    for chunk in (1, 2, 10):
        rows, gaps = played(Replay([source_of([(USDM, Kind.TRADE, times)], chunk)], NONE))
        assert gaps == expected
        assert len(rows) == 5
    # What another stream fills is no hole.
    filled = [(USDM, Kind.TRADE, times), (ETH, Kind.TRADE, [GAP * number // 2 for number in range(12)])]
    assert played(Replay([source_of(filled, 2)], NONE))[1] == []


def test_a_gap_stands_between_its_batches() -> None:
    items = list(Replay([source_of([(USDM, Kind.TRADE, [0, 1, 3 * GAP])], 10)], NONE))
    assert [type(item) for item in items] == [Batch, Gap, Batch]


def test_start_and_end() -> None:
    source = source_of([(USDM, Kind.TRADE, list(range(10)))], 3)
    rows, _ = played(Replay([source], NONE, NOW + 3, NOW + 6))
    assert [row[0] - NOW for row in rows] == [3, 4, 5]
    assert played(Replay([source], NONE, NOW + 100))[0] == []
    with pytest.raises(ValueError, match="must come after its start"):
        Replay([source], NONE, 5, 5)
    with pytest.raises(ValueError, match="at least one row"):
        Replay([source], NONE, rows=0)


def test_a_start_begins_with_the_last_quote_and_the_book() -> None:
    quotes = columns([(NOW, NOW, 1, 1, 2, 2), (NOW + 5, NOW + 5, 3, 1, 4, 2), (NOW + 30, NOW + 30, 5, 1, 6, 2)])
    book = [
        (RESET, 0, 0, 0),
        (SET_BID, 10, 5, 0),
        (SET_BID, 9, 5, 0),
        (SET_ASK, 11, 5, 0),
        (LIVE, 0, 0, 0),
        (SET_BID, 10, 0, 0),
        (SET_ASK, 11, 7, 0),
        (ORDER_ASK, 12, 1, 77),
        (SET_BID, 8, 1, 0),
    ]
    rows = columns([(NOW + index, NOW + index, *row) for index, row in enumerate(book)])
    source = MemorySource({Stream(USDM, Kind.QUOTE): quotes, Stream(USDM, Kind.BOOK): rows}, 2)
    start = NOW + 8
    found, _ = played(Replay([source], NONE, start))
    assert [(ts - NOW, a, b, c, d) for ts, _, _, a, b, c, d, _ in found] == [
        (8, 3, 1, 4, 2),
        (8, RESET, 0, 0, 0),
        (8, SET_BID, 9, 5, 0),
        (8, SET_ASK, 11, 7, 0),
        (8, ORDER_ASK, 12, 1, 77),
        (8, LIVE, 0, 0, 0),
        (8, SET_BID, 8, 1, 0),
        (30, 5, 1, 6, 2),
    ]
    # After the last row of the book it still opens; both phases do.
    late, _ = played(Replay([source], FeedTiming(FeedModel.CONSTANT), NOW + 20))
    assert [(phase, a) for _, stream, phase, a, *_ in late if stream.kind is Kind.BOOK][:1] == [(Phase.EXCHANGE, RESET)]


def test_a_stale_book_opens_with_nothing() -> None:
    rows = [(NOW + n, NOW + n, op, 0, 0, 0) for n, op in enumerate([RESET, LIVE, STALE])]
    later = [(NOW + 10, NOW + 10, RESET, 0, 0, 0)]
    source = MemorySource({Stream(USDM, Kind.BOOK): columns(rows + later)})
    found, _ = played(Replay([source], NONE, NOW + 5))
    assert [(ts - NOW, a) for ts, _, _, a, *_ in found] == [(10, RESET)]


def test_recorded_latency_makes_two_rows_of_one() -> None:
    rows = columns([(NOW + n * MS, NOW + n * MS + 500 * MS + n % 3 * MS // 3, 100 + n, 1, 1, n) for n in range(1000)])
    source = MemorySource({Stream(USDM, Kind.TRADE): rows})
    found, _ = played(Replay([source], FeedTiming(base_ms=2)))
    happened = [row for row in found if row[2] is Phase.EXCHANGE]
    heard = [row for row in found if row[2] is Phase.FEED]
    assert [row[0] for row in happened] == rows.exch_ts.tolist()
    assert [row[3:] for row in happened] == [row[3:] for row in heard]
    latencies = [feed[0] - exchange[0] for exchange, feed in zip(happened, heard, strict=True)]
    assert min(latencies) == 2 * MS
    assert max(latencies) == 2 * MS + 2 * MS // 3
    assert [row[0] for row in found] == sorted(row[0] for row in found)


def test_no_sources_and_no_rows() -> None:
    assert list(Replay([])) == []
    assert list(Replay([MemorySource({Stream(USDM, Kind.TRADE): Columns.empty()})])) == []


class Counting:
    """A source that counts how many chunks are read ahead."""

    def __init__(self, chunks: int) -> None:
        self.left = {Kind.TRADE: chunks, Kind.QUOTE: chunks}
        self.instruments = [USDM]
        self.start = self.end = None

    def streams(self) -> list[Stream]:
        return [Stream(USDM, Kind.TRADE), Stream(USDM, Kind.QUOTE)]

    def chunks(self, stream: Stream):  # type: ignore[no-untyped-def]
        while self.left[stream.kind]:
            number = 100 - self.left[stream.kind]
            self.left[stream.kind] -= 1
            yield columns([(NOW + number * 10 + n, NOW + number * 10 + n, 1, 1, 1, 1) for n in range(10)])


def test_memory_is_bounded() -> None:
    source = Counting(100)
    batches = iter(Replay([source], NONE))
    for step in range(1, 20):
        next(batches)
        assert max(100 - left for left in source.left.values()) <= step + 2
