"""Candles that roll: `Bars`, what a bot sees of one market at one level, and how trades move it on.

**The arrays are live.** `bars.closes` and the others are windows of 360 elements onto longer buffers. A trade inside
the present candle writes the last elements in place; when a candle begins, the window moves on by one and the attribute
is a new view. A view that a bot has kept from before still shows its own 360 candles, and nothing in it changes any
more but for a trade that comes too late. When a buffer is used up a new one is begun with the last 359 candles.

Where history is shorter than 360 candles the arrays begin with NaN; `times` goes on by arithmetic. An empty interval is
a flat candle at the close before it, volume 0; what trades do begins with the candle's first trade.

**Opens.** On BitMEX a candle opens at the close before it and its high and low are those of its trades alone, so that
an open may lie outside of them (its recorded bars of two months: every open is the close before; an eighth of them lies
outside). Elsewhere a candle opens with its first trade.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, overload

import numpy as np
from numpy.typing import NDArray

from mlthon.link.contract import BARS
from mlthon.link.levels import candle_bin, length_of

OPENS_AT_CLOSE: Final = frozenset({"bitmex"})
"""Exchanges whose candles open at the close before."""

_ROOM: Final = 1024
"""Candles that a buffer takes beyond its first window."""
_NAN: Final = float("nan")
_VALUES: Final = ("open", "high", "low", "close", "volume")


class Bars:
    """The last 360 candles of a market, the present one last: `opens`, `highs`, `lows`, `closes`, `volumes` and `times`
    (ms, the candle's beginning) are float64 arrays. `bars[-1]` is the present candle as a dict; `bars[a:b]` a list.
    False as long as there is no candle at all."""

    __slots__ = ("closes", "highs", "level", "lows", "opens", "src", "sym", "times", "volumes")

    opens: NDArray[np.float64]
    highs: NDArray[np.float64]
    lows: NDArray[np.float64]
    closes: NDArray[np.float64]
    volumes: NDArray[np.float64]
    times: NDArray[np.float64]

    def __init__(self, src: str, sym: str, level: str) -> None:
        self.src, self.sym, self.level = src, sym, level
        self.show(np.full((6, BARS), _NAN), 0)

    def show(self, buffer: NDArray[np.float64], start: int) -> None:
        """Make the arrays the window of `buffer` (six rows) that begins at `start`."""
        end = start + BARS
        self.opens, self.highs, self.lows = buffer[0, start:end], buffer[1, start:end], buffer[2, start:end]
        self.closes, self.volumes, self.times = buffer[3, start:end], buffer[4, start:end], buffer[5, start:end]

    def __len__(self) -> int:
        return BARS

    def __bool__(self) -> bool:
        return not np.isnan(self.closes[-1])

    @overload
    def __getitem__(self, index: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> list[dict[str, Any]]: ...
    def __getitem__(self, index: int | slice) -> dict[str, Any] | list[dict[str, Any]]:
        if isinstance(index, slice):
            return [self._candle(at) for at in range(*index.indices(BARS))]
        return self._candle(index)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return map(self._candle, range(BARS))

    def __repr__(self) -> str:
        return f"Bars({self.src!r}, {self.sym!r}, {self.level!r}, {self[-1] if self else 'no candle yet'})"

    def _candle(self, index: int) -> dict[str, Any]:
        time = float(self.times[index])
        return {
            "time": int(time) if time == time else None,
            "open": float(self.opens[index]),
            "high": float(self.highs[index]),
            "low": float(self.lows[index]),
            "close": float(self.closes[index]),
            "volume": float(self.volumes[index]),
        }


class Series:
    """Rolls the candles of one market at one level by its trades: `bars` is what a bot sees."""

    def __init__(self, src: str, sym: str, level: str, rows: Iterable[Mapping[str, Any]] = ()) -> None:
        """`rows`: candles to begin with, as `fetch_candles` gives them, oldest first; the last may be unfinished.
        Holes between them are filled with flat candles."""
        self.bars = Bars(src, sym, level)
        self._length = length_of(level)
        self._opens_at_close = src in OPENS_AT_CLOSE
        self._width = BARS + _ROOM
        self._use(np.full((6, self._width), _NAN))
        self._ends: float = -1
        """When the present candle ends (ms); before the first candle every trade is past it."""
        self._high = self._low = self._close = _NAN
        self._volume = 0.0
        self._fill(list(rows)[-BARS:])
        self.bars.show(self._buffer, self._last - BARS + 1)

    def trade(self, price: float, size: float, time: int) -> None:
        """A trade of the market, in the order of their coming."""
        if time >= self._ends:
            self._roll(price, time)
        elif time < self._ends - self._length:
            self._late(price, size, time)
            return
        if not self._volume:
            self._first(price)
        elif price > self._high:
            self._high = self.bars.highs[-1] = price
        elif price < self._low:
            self._low = self.bars.lows[-1] = price
        self._close = self._cells[self._close_at] = price
        self._volume = self._cells[self._close_at + self._width] = self._volume + size

    def _first(self, price: float) -> None:
        """The first trade of a candle, which was flat until now."""
        bars = self.bars
        self._high = self._low = bars.highs[-1] = bars.lows[-1] = price
        if not self._opens_at_close:
            bars.opens[-1] = price

    def _roll(self, price: float, time: int) -> None:
        """Begin the candle of `time`, and flat ones in between; of a long silence only what a window can show."""
        start = candle_bin(time, self.bars.level)
        if self._ends < 0:
            self._append(start, price)
            self._date_back()
        else:
            self._rest(start)
            self._append(start, self._close)
        self.bars.show(self._buffer, self._last - BARS + 1)

    def _rest(self, until: float) -> None:
        """Flat candles from the present one's end until `until`."""
        self._ends = max(self._ends, until - BARS * self._length)
        while self._ends < until:
            self._append(self._ends, self._close)

    def _append(self, start: float, price: float) -> None:
        """A flat candle at `price` from `start` (ms)."""
        self._step()
        self._buffer[:, self._last] = (price, price, price, price, 0.0, start)
        self._high = self._low = self._close = price
        self._volume = 0.0
        self._ends = start + self._length

    def _step(self) -> None:
        self._last += 1
        self._close_at += 1
        if self._last == self._width:
            fresh = np.full((6, self._width), _NAN)
            fresh[:, : BARS - 1] = self._buffer[:, -(BARS - 1) :]
            self._use(fresh)

    def _use(self, buffer: NDArray[np.float64]) -> None:
        """Make `buffer` the present one, its first window's last candle the present candle."""
        self._buffer = buffer
        self._last = BARS - 1
        self._cells: Any = buffer.reshape(-1).data
        """The same numbers in one row: the cheapest way to write single ones. A candle's volume comes a row after its
        close."""
        self._close_at = 3 * self._width + self._last

    def _late(self, price: float, size: float, time: int) -> None:
        """A trade of a candle that is over: its high, low and volume take it in, its close stays."""
        ago = round((self._ends - self._length - candle_bin(time, self.bars.level)) / self._length)
        bars, at = self.bars, BARS - 1 - ago
        if at < 0 or np.isnan(bars.closes[at]):
            return
        bars.highs[at] = max(price, bars.highs[at])
        bars.lows[at] = min(price, bars.lows[at])
        bars.volumes[at] += size

    def _fill(self, rows: list[Mapping[str, Any]]) -> None:
        for row in rows:
            start = candle_bin(row["time"], self.bars.level)
            if start < self._ends:
                continue
            if self._ends >= 0:
                self._rest(start)
            self._append(start, row["close"])
            for place, name in enumerate(_VALUES):
                self._buffer[place, self._last] = row[name]
            self._high, self._low, self._close = row["high"], row["low"], row["close"]
            self._volume = row["volume"]
        if rows:
            self._date_back()

    def _date_back(self) -> None:
        """Give the candles before the first their times."""
        start = self._last - BARS + 1
        last = self._ends - self._length
        self._buffer[5, start : self._last + 1] = last - self._length * np.arange(BARS - 1, -1, -1.0)
