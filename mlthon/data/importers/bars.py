"""Bars (candles) as ticks: what importers of bars share.

A bar becomes four trades, each led by a quote, so that what a strategy can gain from knowing only the bar is small:

- Order: open, then the extreme against the bar's own direction, then the other one, then close: open, low, high, close
  where it closed at or above its open, else open, high, low, close. Of the orders that touch each extreme once this is
  the longest way: a position that the bar rewards in the end is first taken to its stop, and a resting order is
  reached before the price runs away from it.
- Times: at the start of the bar, after a third, after two thirds, and 1 ms before its end; nothing is known before the
  bar in which it happened.
- Volume: a quarter each in whole lots, what is left over on the close: the sum is the bar's, exactly. Trades of no lot
  are left out.
- Side: of a trade above the one before the taker buys, below it he sells, at the same price it is as before.
- Quotes: one tick wide, the traded side at the trade's price, with the trade's volume (at least a lot) on both sides.
  Within long bars a quote is said again before it would seem that data are missing (`mlthon.data.replay.GAP`).
"""

from mlthon.data.replay import GAP
from mlthon.data.rows import RowLists
from mlthon.engine.clock import MS


class BarTicks:
    """Turns the bars of one instrument into quotes and trades."""

    def __init__(self, rows: RowLists) -> None:
        self._rows = rows
        self._end = 0
        self._price = 0
        self._side = 1

    def bar(
        self, start: int, end: int, prices: tuple[int, int, int, int], volume: int, shown: int | None = None
    ) -> None:
        """A bar from `start` to `end` (ns): open, high, low, close (ticks) and volume (lots). `shown`: lots on either
        side of each quote; None: the trade's. An open outside high and low did not trade in the bar: the nearer extreme
        stands for it. Raises ValueError for a bar that contradicts itself, or does not come after the one before."""
        first, high, low, close = prices
        if not 0 < low <= min(close, high) or high < close:
            raise ValueError("the bar contradicts itself: its close is not within its high and low")
        if start < self._end:
            raise ValueError("the bar does not come after the one before")
        self._end = end
        first = min(max(first, low), high)
        path = (first, low, high, close) if close >= first else (first, high, low, close)
        third, quarter = (end - start) // 3, volume // 4
        times = (start, start + third, start + 2 * third, end - MS)
        parts = (quarter, quarter, quarter, volume - 3 * quarter)
        for ts, until, price, qty in zip(times, (*times[1:], end), path, parts, strict=True):
            self._tick(ts, until, price, qty, max(qty, 1) if shown is None else shown)

    def _tick(self, ts: int, until: int, price: int, qty: int, shown: int) -> None:
        if self._price and price != self._price:
            self._side = 1 if price > self._price else -1
        self._price = price
        bid, ask = (price - 1, price) if self._side > 0 else (price, price + 1)
        self._rows.quote(bid, shown, ask, shown, ts, ts)
        if qty:
            self._rows.trade(price, qty, self._side, 0, ts, ts)
        for again in range(ts + GAP, until, GAP):
            self._rows.quote(bid, shown, ask, shown, again, again)
