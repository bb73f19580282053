"""What a market is like, in a dozen figures: the same measure for a recording and for the synthetic market.

`calibrate` takes quote and trade rows (`mlthon.data.rows`) and measures spread, displayed size, trades, volatility and
what trades foretell. Definitions:

- A *taker order* is all prints of one side in the same millisecond of exchange time, one after another: recordings have
  one print for each maker order that was hit, and times in whole milliseconds.
- The *mid* at a time is that of the last quote at or before it. Shares and means over time weigh a quote with how long
  it stood.
- A *volatility* is the root mean square of the mid's relative moves over an interval, divided by the root of the
  interval: basis points for the root of a second. Figures at 1 s and 10 s agree for a random walk; the second is larger
  where moves continue.
- The *markout* is how far the mid has gone in the taker's direction, from just before a taker order to one second after
  it: what a maker who was hit has lost by then.

`python -m mlthon.data.calibration PATH...` prints the figures of recordings (files, folders or stores).
"""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import attrs
import numpy as np
import numpy.typing as npt

from mlthon.data.rows import Columns, Ints, Kind, Source, Stream

if TYPE_CHECKING:
    from mlthon.basics.instrument import Instrument

Floats = npt.NDArray[np.float64]

SECOND: Final = 1_000_000_000
MILLISECOND: Final = 1_000_000


class TooLittle(ValueError):
    """There is not enough data to measure."""


@attrs.frozen
class Figures:
    """A market measured. Sizes in lots, spread in ticks, rates a second."""

    seconds: float
    """How long the rows last."""
    spread_mean: float
    """Over time."""
    spread_median: float
    """Over time."""
    spread_one_tick: float
    """Share of time at one tick."""
    touch_median: float
    """Displayed size at the best bid or ask, sampled every second."""
    quote_rate: float
    """Changes of the best bid, ask or their sizes."""
    taker_rate: float
    """Taker orders."""
    taker_cv: float
    """Standard deviation over mean of the time between taker orders; 1 where they come independently."""
    taker_fano: float
    """Variance over mean of the number of taker orders in a second; 1 where they come independently."""
    print_rate: float
    """Single trades; a recording has one for each maker order that was hit."""
    size_mean: float
    """Of a taker order."""
    size_median: float
    size_95: float
    """95 % of taker orders are not larger."""
    sign_autocorrelation: float
    """Between the sides of successive taker orders."""
    volatility_1s: float
    """Basis points for the root of a second, from moves over 1 s."""
    volatility_10s: float
    """The same from moves over 10 s."""
    move_rate: float
    """Changes of the mid a second."""
    markout_1s: float
    """Basis points."""


def calibrate(quotes: Columns, trades: Columns) -> Figures:
    """Measures these rows of one instrument over the time that both cover (exchange time). Raises `TooLittle` for
    less than 20 seconds, 100 quotes or 20 trades."""
    quotes, trades = _by_time(quotes), _by_time(trades)
    if len(quotes) < 100 or len(trades) < 20:
        raise TooLittle(f"{len(quotes)} quotes and {len(trades)} trades: at least 100 and 20 are needed to measure")
    start = max(int(quotes.exch_ts[0]), int(trades.exch_ts[0]))
    end = min(int(quotes.exch_ts[-1]), int(trades.exch_ts[-1]))
    seconds = (end - start) / SECOND
    if seconds < 20:
        raise TooLittle(f"quotes and trades have {seconds:.1f} seconds in common: at least 20 are needed to measure")
    quotes, trades = _between(quotes, start, end), _between(trades, start, end)

    ts = quotes.exch_ts
    changed = _changed(quotes)
    mid = (quotes.a + quotes.c) / 2.0
    spread = quotes.c - quotes.a
    stood = np.diff(ts, append=end).astype(np.float64)
    each_second = np.searchsorted(ts, np.arange(start, end, SECOND), side="right") - 1
    touch = np.concatenate((quotes.b[each_second], quotes.d[each_second]))

    taker_ts, side, size = taker_orders(trades)
    between = np.diff(taker_ts) / SECOND
    counts = np.histogram(taker_ts, bins=np.arange(start, end, SECOND))[0]
    return Figures(
        seconds=seconds,
        spread_mean=float(np.average(spread, weights=stood)),
        spread_median=_weighted_median(spread, stood),
        spread_one_tick=float(np.average(spread == 1, weights=stood)),
        touch_median=float(np.median(touch)),
        quote_rate=float(np.count_nonzero(changed)) / seconds,
        taker_rate=len(taker_ts) / seconds,
        taker_cv=float(between.std() / between.mean()),
        taker_fano=float(counts.var() / counts.mean()),
        print_rate=len(trades) / seconds,
        size_mean=float(size.mean()),
        size_median=float(np.median(size)),
        size_95=float(np.percentile(size, 95)),
        sign_autocorrelation=_autocorrelation(side),
        volatility_1s=_volatility(ts, mid, start, end, 1),
        volatility_10s=_volatility(ts, mid, start, end, 10),
        move_rate=float(np.count_nonzero(np.diff(mid))) / seconds,
        markout_1s=_markout(ts, mid, taker_ts, side, end),
    )


def calibrate_source(source: Source, instrument: "Instrument") -> Figures:
    """Measures one instrument of a source. Raises `TooLittle`."""
    quotes, trades = (
        Columns.concat(list(source.chunks(Stream(instrument, kind)))) for kind in (Kind.QUOTE, Kind.TRADE)
    )
    return calibrate(quotes, trades)


def taker_orders(trades: Columns) -> tuple[Ints, Ints, Ints]:
    """Time (the millisecond's begin), side and size of each taker order in these trades, which are in order of time."""
    ts = trades.exch_ts - trades.exch_ts % MILLISECOND
    first = np.ones(len(ts), np.bool_)
    first[1:] = (np.diff(ts) != 0) | (np.diff(trades.c) != 0)
    at = np.flatnonzero(first)
    return ts[at], trades.c[at], np.add.reduceat(trades.b, at)


def _by_time(rows: Columns) -> Columns:
    """In order of exchange time."""
    order = np.argsort(rows.exch_ts, kind="stable")
    return Columns(*(array[order] for array in rows.arrays()))


def _between(rows: Columns, start: int, end: int) -> Columns:
    first, last = np.searchsorted(rows.exch_ts, (start, end), side="left")
    # The quote that stands at the start is still the market.
    before = max(int(first) - 1, 0)
    kept = rows[before : int(last)]
    return Columns(np.maximum(kept.exch_ts, start), *kept.arrays()[1:])


def _changed(quotes: Columns) -> npt.NDArray[np.bool_]:
    """Which quotes differ from the one before."""
    changes = np.diff(np.stack((quotes.a, quotes.b, quotes.c, quotes.d)), axis=1)
    changed: npt.NDArray[np.bool_] = np.any(changes != 0, axis=0)
    return changed


def _weighted_median(values: Ints, weights: Floats) -> float:
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(reached, reached[-1] / 2.0)])


def _autocorrelation(values: Ints) -> float:
    centred = values - values.mean()
    power = float((centred * centred).mean())
    return float((centred[1:] * centred[:-1]).mean()) / power if power else 0.0


def _volatility(ts: Ints, mid: Floats, start: int, end: int, step: int) -> float:
    at = np.searchsorted(ts, np.arange(start, end, step * SECOND), side="right") - 1
    moves = np.diff(np.log(mid[at])) * 1e4
    return float(np.sqrt((moves * moves).mean() / step))


def _markout(ts: Ints, mid: Floats, taker_ts: Ints, side: Ints, end: int) -> float:
    measurable = (taker_ts > ts[0]) & (taker_ts + SECOND < end)
    taker_ts, side = taker_ts[measurable], side[measurable]
    before = mid[np.searchsorted(ts, taker_ts, side="left") - 1]
    after = mid[np.searchsorted(ts, taker_ts + SECOND, side="right") - 1]
    return float((side * (after - before) / before).mean() * 1e4)


def main(paths: Sequence[str]) -> int:
    """Prints the figures of each instrument in these recordings; returns the exit status."""
    from mlthon.data.sources import NoData, open_sources

    if not paths:
        print("usage: python -m mlthon.data.calibration PATH...", file=sys.stderr)
        return 2
    try:
        sources, problems = open_sources(paths)
    except NoData as error:
        print(error, file=sys.stderr)
        return 2
    for problem in problems:
        print(problem, file=sys.stderr)
    measured = 0
    for source in sources:
        for instrument in source.instruments:
            try:
                figures = calibrate_source(source, instrument)
            except TooLittle as error:
                print(f"{instrument.name}: {error}", file=sys.stderr)
                continue
            measured += 1
            print(f"{instrument.name}, from {np.datetime64(source.start or 0, 'ns').astype('datetime64[s]')} UTC")
            for name, value in attrs.asdict(figures).items():
                print(f"  {name:<22}{value:>14.4f}")
    return 0 if measured else 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
