"""Clock offsets and feed latency: on made clocks, and the figures of the recordings."""

import cattrs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlthon.data.rows import Columns, Ints, Kind, slices
from mlthon.data.sources import open_sources
from mlthon.data.timing import ClockCurve, ClockOffsets, FeedModel, FeedTiming, StreamClock, estimate
from tests.data.made import NOW

MS = 10**6
SECOND = 10**9


def recorded(offset: Ints | int, delay: Ints, step: int = 50 * MS, start: int = NOW) -> Columns:
    """A trade every `step`, seen `delay` later by a clock that is `offset` ahead."""
    exch = start + np.arange(len(delay)) * step
    local = np.maximum.accumulate(exch + delay + offset)
    nothing = np.zeros(len(delay), np.int64)
    return Columns(exch, local, nothing, nothing, nothing, nothing)


def delays(count: int, seed: int = 1) -> Ints:
    return (2 * MS + np.random.default_rng(seed).exponential(3 * MS, count)).astype(np.int64)


def error_ms(columns: Columns, offset: Ints | int, curves: list[ClockCurve]) -> Ints:
    """Estimated less true edge, in ms."""
    estimated = np.concatenate(
        [c.at(columns.recv_ts[(columns.recv_ts >= c.start) & (columns.recv_ts <= c.end)]) for c in curves]
    )
    return np.asarray((estimated - (offset + 2 * MS)) / MS)


def test_a_constant_offset() -> None:
    columns = recorded(-1500 * MS, delays(6000))
    curves = estimate([(Kind.TRADE, slices(columns, 1000))])
    assert len(curves) == 1
    assert np.abs(error_ms(columns, -1500 * MS, curves)).max() < 0.2
    assert 1.5 * MS < curves[0].usual_delay < 2.7 * MS


def test_a_clock_that_wanders() -> None:
    seconds = np.arange(12_000) * 0.05
    offset = (15 * MS * np.sin(seconds / 40)).astype(np.int64)
    columns = recorded(offset, delays(12_000))
    curves = estimate([(Kind.TRADE, [columns])])
    assert np.abs(error_ms(columns, offset, curves)).max() < 4


def test_a_jam_does_not_move_the_offset() -> None:
    delay = delays(6000)
    delay[3000:3400] += 500 * MS
    columns = recorded(0, delay)
    curves = estimate([(Kind.TRADE, [columns])])
    assert error_ms(columns, 0, curves).max() < 12


def test_a_single_wrong_time_does_not_move_the_offset() -> None:
    delay = delays(6000)
    delay[3000] -= 400 * MS
    columns = recorded(0, delay)
    assert np.abs(error_ms(columns, 0, estimate([(Kind.TRADE, [columns])]))).max() < 0.5


def test_each_recording_has_its_own() -> None:
    first = recorded(0, delays(2000))
    second = recorded(-700 * MS, delays(2000), start=NOW + 4000 * SECOND)
    streams = [(Kind.TRADE, [first, second])]
    curves = estimate(streams)
    assert [round(curve.offsets[0] / MS) for curve in curves] == [2, -698]
    local = np.concatenate([first.recv_ts, second.recv_ts])
    true, _ = ClockOffsets(streams, None).apply(local)
    exch = np.concatenate([first.exch_ts, second.exch_ts])
    assert (true - exch).min() > -1 * MS
    assert (true - exch).max() < 60 * MS


def test_chunks_do_not_matter() -> None:
    single = recorded(-3 * MS, delays(3000))
    # Several rows a message, as in a book.
    columns = Columns(*(np.repeat(array, 5) for array in single.arrays()))
    assert estimate([(Kind.TRADE, [columns])]) == estimate([(Kind.TRADE, [single])])
    whole = estimate([(Kind.TRADE, [columns])])
    for rows in (1000, 77):
        pieces = estimate([(Kind.TRADE, list(slices(columns, rows)))])
        assert pieces == whole


def clock(timing: FeedTiming, columns: Columns) -> StreamClock:
    return StreamClock(timing, ClockOffsets([(Kind.TRADE, [columns])], timing.offset_ms), (1, 2))


def test_recorded_latency_is_the_delay_above_the_edge_and_the_base() -> None:
    delay = delays(4000)
    columns = recorded(-1500 * MS, delay)
    exch, recv = clock(FeedTiming(base_ms=0.5), columns).times(columns)
    assert exch.tolist() == columns.exch_ts.tolist()
    assert np.abs(recv - exch - (delay - 2 * MS + MS // 2)).max() < 0.3 * MS
    assert (recv - exch).min() >= 0.5 * MS


def test_a_known_offset_is_taken_as_it_is() -> None:
    columns = recorded(-1500 * MS, delays(400))
    exch, recv = clock(FeedTiming(base_ms=0, offset_ms=-1500), columns).times(columns)
    assert recv.tolist() == (columns.recv_ts + 1500 * MS).tolist()
    assert exch.tolist() == columns.exch_ts.tolist()


@given(
    st.lists(st.tuples(st.integers(0, 10**10), st.integers(-(10**10), 10**10)), min_size=1, max_size=50),
    st.sampled_from(FeedModel),
)
def test_times_never_fall_and_nothing_is_heard_before_it_happens(rows: list[tuple[int, int]], model: FeedModel) -> None:
    local = NOW + np.sort(np.array([row[0] for row in rows], np.int64))
    exch = local + np.array([row[1] for row in rows], np.int64)
    exch[::3] = 0
    nothing = np.zeros(len(rows), np.int64)
    columns = Columns(exch, local, nothing, nothing, nothing, nothing)
    times = clock(FeedTiming(model), columns)
    parts = [times.times(chunk) for chunk in slices(columns, 7)]
    exchange, receipt = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    assert (np.diff(exchange) >= 0).all()
    assert (np.diff(receipt) >= 0).all()
    assert (receipt >= exchange).all()
    assert (exchange > 0).all()


def test_constant_and_none() -> None:
    columns = recorded(0, delays(100))
    exch, recv = clock(FeedTiming(FeedModel.CONSTANT, constant_ms=2.5), columns).times(columns)
    assert (recv - exch == 2_500_000).all()
    exch, recv = clock(FeedTiming(FeedModel.NONE), columns).times(columns)
    assert exch is recv


def test_distribution_is_seeded_bounded_and_evenly_spread_between_quantiles() -> None:
    columns = recorded(0, np.zeros(20_000, np.int64), step=SECOND)
    timing = FeedTiming(FeedModel.DISTRIBUTION, quantiles_ms=(1, 2, 10), seed=4)
    exch, recv = clock(timing, columns).times(columns)
    latency = (recv - exch) / MS
    assert latency.min() >= 1
    assert latency.max() <= 10
    assert abs(np.median(latency) - 2) < 0.1
    assert abs(np.quantile(latency, 0.75) - 6) < 0.2
    pieces = clock(timing, columns)
    again = np.concatenate([pieces.times(chunk)[1] for chunk in slices(columns, 333)])
    assert again.tolist() == recv.tolist()
    other = clock(FeedTiming(FeedModel.DISTRIBUTION, quantiles_ms=(1, 2, 10), seed=5), columns).times(columns)[1]
    assert other.tolist() != recv.tolist()
    # The same on every machine.
    assert (recv - exch)[:3].tolist() == FIRST_DRAWS


FIRST_DRAWS = [9273834, 1658372, 1135979]


def test_rows_without_exchange_time_take_the_usual_delay() -> None:
    columns = recorded(-1500 * MS, delays(4000))
    silent = Columns(np.zeros(4000, np.int64), columns.recv_ts, *columns.arrays()[2:])
    offsets = ClockOffsets([(Kind.TRADE, [columns]), (Kind.QUOTE, [silent])], None)
    exch, recv = StreamClock(FeedTiming(), offsets).times(silent)
    # The median of an exponential delay is 0.69 of its mean of 3 ms.
    assert abs(np.median(exch - columns.exch_ts)) < 0.3 * MS
    assert abs(np.median(recv - exch) - 3.1 * MS) < 0.3 * MS


def test_config() -> None:
    timing = cattrs.structure({"model": "distribution", "quantiles_ms": [1, 2.5], "seed": 3}, FeedTiming)
    assert timing == FeedTiming(FeedModel.DISTRIBUTION, quantiles_ms=(1.0, 2.5), seed=3)
    for wrong in ({"quantiles_ms": (2.0, 1.0)}, {"quantiles_ms": (1.0,)}, {"base_ms": -1.0}, {"constant_ms": -1.0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            FeedTiming(**wrong)  # type: ignore[arg-type]


# Folder, symbol -> for each recording the smallest and largest offset, and the usual delay of trades (ms).
MEASURED = {
    ("binance-usdm", "BTCUSDT"): [(-26.4, 10.2, 4.1), (-1523.3, -1521.1, 1.5)],
    ("binance-usdm", "ETHUSDT"): [(-1523.4, -1521.1, 1.9)],
    ("binance", "BTCUSDT"): [(-1274.4, -1272.2, 2.1)],
    ("binance", "ETHUSDT"): [(-1274.3, -1272.1, 2.1)],
    ("binance-coinm", "BTCUSD_PERP"): [(-1265.4, -1263.2, 9.2)],
    ("binance-coinm", "ETHUSD_PERP"): [(-1265.4, -1263.1, 8.0)],
}


@pytest.mark.parametrize("folder", ["binance-usdm", "binance", "binance-coinm"])
def test_offsets_of_the_recordings(shared: pytest.FixtureRequest, folder: str) -> None:
    sources, _ = open_sources([f"{shared}/exchange-data/{folder}/hftbacktest"])
    for source in sources:
        streams = [(stream.kind, list(source.chunks(stream))) for stream in source.streams()]
        offsets = ClockOffsets(streams, None)
        measured = [
            (round(min(c.offsets) / MS, 1), round(max(c.offsets) / MS, 1), round(c.usual_delay / MS, 1))
            for c in offsets.curves
        ]
        assert measured == MEASURED[folder, source.instruments[0].symbol]
        for kind, chunks in streams:
            columns = Columns.concat(chunks)
            known = columns.exch_ts > 0
            true, _ = offsets.apply(columns.recv_ts)
            # Few rows lie under the edge, and none far.
            under = (columns.exch_ts - true)[known & (columns.exch_ts > true)]
            assert len(under) <= 0.02 * max(int(known.sum()), 1), kind
            assert under.max(initial=0) < 12 * MS
