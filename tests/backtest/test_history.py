"""Candles from before a run: out of the data before its start, or made up."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlthon.backtest.history import MADE_UP, recorded_history, synthetic_history
from mlthon.basics.catalogue import resolve
from mlthon.basics.defs import Exchange
from mlthon.config import load_config
from mlthon.data.replay import Batch, Replay
from mlthon.data.rows import Kind, MemorySource, Stream
from mlthon.data.timing import FeedModel, FeedTiming
from mlthon.engine.candles import MINUTE
from mlthon.engine.clock import SECOND
from tests.link.host.scripted import linked

XBTUSD = resolve(Exchange.BitMEX, "XBTUSD")
BEGIN = 1_735_689_600 * SECOND
STEP = 20 * SECOND


def trades(count: int, chunk_rows: int = 65_536) -> MemorySource:
    """A trade of 100 every 20 s, a tick dearer each time."""
    number = np.arange(count)
    rows = {
        Stream(XBTUSD, Kind.TRADE): {
            "exch_ts": BEGIN + number * STEP,
            "a": 120_000 + number,
            "b": np.ones(count, np.int64),
            "c": np.where(number % 2, -1, 1),
            "d": number,
        }
    }
    return MemorySource.from_arrays(rows) if chunk_rows == 65_536 else _chunked(rows, chunk_rows)


def _chunked(rows: Any, chunk_rows: int) -> MemorySource:
    source = MemorySource.from_arrays(rows)
    source._chunk_rows = chunk_rows
    return source


def test_trades_before_the_start_are_candles() -> None:
    for source in (trades(30), trades(30, chunk_rows=4)):
        found = list(recorded_history([source], BEGIN + 10 * STEP)(XBTUSD))
        assert [(each.start - BEGIN) // MINUTE for each in found] == [0, 1, 2, 3]
        assert [(each.open, each.high, each.low, each.close) for each in found[:2]] == [
            (120_000, 120_002, 120_000, 120_002),
            (120_003, 120_005, 120_003, 120_005),
        ]
        assert [(each.qty, each.trades, each.buy_qty) for each in found] == [(3, 3, 2), (3, 3, 1), (3, 3, 2), (1, 1, 0)]


@pytest.mark.parametrize(
    ("timing", "past"),
    [
        (FeedTiming(), 10),
        (FeedTiming(model=FeedModel.NONE), 10),
        # heard a step and a half late
        (FeedTiming(model=FeedModel.CONSTANT, constant_ms=30_000.0), 9),
    ],
)
def test_a_trade_is_either_of_the_past_or_heard(timing: FeedTiming, past: int) -> None:
    source, start = trades(30), BEGIN + 10 * STEP
    replay = Replay([source], timing, start)
    heard = sum(lane >= replay.first_heard for batch in replay if isinstance(batch, Batch) for lane in batch.stream)
    told = sum(each.trades for each in recorded_history([source], start, 0, timing)(XBTUSD))
    assert (told, heard) == (past, 30 - past)


def test_a_shift_moves_them() -> None:
    found = list(recorded_history([trades(30)], BEGIN + 10 * STEP, 7 * MINUTE)(XBTUSD))
    assert found[0].start == BEGIN + 7 * MINUTE


def test_a_run_that_starts_within_its_data_knows_what_was_before(tmp_path: Path) -> None:
    run = linked(
        tmp_path,
        config=load_config(),
        sources=[trades(60)],
        duration=None,
        start=BEGIN + 30 * STEP,
        subscribe=["bitmex:XBTUSD"],
    )
    bot = run.bot

    def ask() -> None:
        bot.ask("fetch_candles", venue="BitMEX", sym="XBTUSD", level="5m")

    bot.host.clock.call_at(BEGIN + 45 * STEP + 2 * SECOND, ask)
    run.go()
    rows = bot.envelopes[1]["data"]
    assert [(row["time"] * 10**6 - BEGIN) // MINUTE for row in rows] == [0, 5, 10, 15]
    # every candle opens at the close before, its volume is that of its trades
    assert [row["open"] for row in rows] == [60_000.0, 60_007.0, 60_014.5, 60_022.0]
    assert [row["volume"] for row in rows] == [1500.0, 1500.0, 1500.0, 100.0]
    # without a quote to wait for it begins at once, before the first trade
    assert bot.hello is not None
    assert not bot.hello.trades
    assert [each[2] for each in bot.trades[:2]] == [60_015.0, 60_015.5]


def test_a_synthetic_market_has_a_past_that_ends_at_its_first_price() -> None:
    past = list(synthetic_history(BEGIN, 3)(XBTUSD))
    assert len(past) == MADE_UP
    assert past[-1].start == BEGIN - MINUTE
    assert past == list(synthetic_history(BEGIN, 3)(XBTUSD)) != list(synthetic_history(BEGIN, 4)(XBTUSD))
