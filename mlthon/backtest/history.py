"""The minute candles of a market from before the run: recorded trades that lie before its start, or, where the market
is synthetic, a made-up past that ends at its first price."""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from random import Random
from typing import Final

import numpy as np

from mlthon.basics.instrument import Instrument
from mlthon.data.replay import clocks_of
from mlthon.data.rows import Ints, Kind, Source, Stream
from mlthon.data.synthetic.profiles import profile_of
from mlthon.data.timing import FeedTiming, StreamClock
from mlthon.engine.candles import KEPT, MINUTE, Candle, made_up
from mlthon.exchange.contracts import Contract

MADE_UP: Final = 10_000
"""How many minutes of past a synthetic market gets: about a week."""


def synthetic_history(start: int, seed: int) -> Callable[[Instrument], Iterator[Candle]]:
    """The past of synthetic markets that begin at `start` (ns)."""
    until = start - start % MINUTE

    def history(instrument: Instrument) -> Iterator[Candle]:
        price = profile_of(instrument).start_price
        draw = Random(f"{seed} history {instrument.name}")
        yield from made_up(price, until, MADE_UP, draw, instrument.min_lots, Contract(instrument).unit_value)

    return history


def recorded_history(
    sources: Sequence[Source], start: int, shift: int = 0, timing: FeedTiming | None = None
) -> Callable[[Instrument], Iterator[Candle]]:
    """The past that `sources` hold before `start` (ns), each trade `shift` ns later: the trades that a run from `start`
    on, with the same `timing`, does not tell."""

    def history(instrument: Instrument) -> Iterator[Candle]:
        minutes: dict[int, Candle] = {}
        contract = Contract(instrument)
        for source, stream, clock in clocks_of(sources, timing or FeedTiming()):
            if stream == Stream(instrument, Kind.TRADE):
                _take(source, stream, clock, start, shift, contract, minutes)
        for minute in sorted(minutes)[-KEPT:]:
            yield minutes[minute]

    return history


def _take(
    source: Source,
    stream: Stream,
    clock: StreamClock,
    start: int,
    shift: int,
    contract: Contract,
    minutes: dict[int, Candle],
) -> None:
    for chunk in source.chunks(stream):
        happened, heard = clock.times(chunk)
        rows = int(np.searchsorted(heard, start))
        times = happened[:rows] + shift
        begins = times - times % MINUTE
        cuts = [0, *(np.flatnonzero(np.diff(begins)) + 1).tolist(), rows] if rows else []
        for first, last in pairwise(cuts):
            prices, qtys = chunk.a[first:last], chunk.b[first:last]
            _put(minutes, int(begins[first]), prices, qtys, chunk.c[first:last], contract)
        if rows < len(chunk):
            return


def _put(
    minutes: dict[int, Candle],
    begin: int,
    prices: Ints,
    qtys: Ints,
    sides: Ints,
    contract: Contract,
) -> None:
    """Add trades of one minute. Their value is that of their quantity at the mean price: history shows it rounded."""
    high, low, qty = int(prices.max()), int(prices.min()), int(qtys.sum())
    bought = int(qtys[sides > 0].sum())
    unit = contract.unit_value(round(float(prices.mean())))
    found = minutes.get(begin)
    if found is None:
        found = minutes[begin] = Candle(begin, int(prices[0]), high, low, int(prices[-1]))
    found.high, found.low, found.close = max(found.high, high), min(found.low, low), int(prices[-1])
    found.qty += qty
    found.value += qty * unit
    found.trades += len(prices)
    found.buy_qty += bought
    found.buy_value += bought * unit
