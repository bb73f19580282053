"""The order flow of the synthetic market, drawn from one seed.

A row is the intention of somebody in the market, in `Columns` whose `a` to `d` are `op, side, x, y`; its prices are
relative, because the book it will meet is not known yet (strategies trade in it):

    op       side             x                              y
    LIMIT    the order's      ticks behind the fair touch    lots
    CANCEL   the order's      ticks behind the best price    place in the queue, from the front
    TAKE     the taker's      0                              lots
    MOVE     the taker's      the fair value from now on,    lots
                              in ticks from the start

`mlthon.exchange.synthetic_flow.SyntheticFlow` carries them out on the embedded exchange.

How they are drawn. Takers come as a cluster process: first ones at a rate that is the mean times a product of slowly
renewing factors (quiet and busy times, on several scales), each setting off followers, who set off followers (a Hawkes
process by its clusters). Their side leans with a slowly changing imbalance, and followers mostly take the side of whom
they follow, so trade signs persist. Some takers, large ones more often, move the fair value in their direction: it is a
random walk whose volatility clusters because the takers do, and trades foretell moves, as they do in the recordings.
Makers place orders around the fair value and withdraw them at a rate that follows the activity; each taker brings a
refill and some more of both, each move a burst of new quotes.

Everything is drawn in blocks of ten seconds from one random generator, in one order, so the rows depend on the seed
and the profile alone: not on the chunk size and not on what the market does with them.
"""

from collections.abc import Iterator
from typing import Final

import attrs
import numpy as np
import numpy.typing as npt

from mlthon.data.rows import CHUNK_ROWS, Columns, Ints
from mlthon.data.synthetic.profiles import DISTANCE_QUANTILES, QUANTILES, Profile

LIMIT: Final = 0
CANCEL: Final = 1
TAKE: Final = 2
MOVE: Final = 3

Floats = npt.NDArray[np.float64]

# Inside, times are whole microseconds from the start.
_SECOND: Final = 1_000_000
_CELL: Final = _SECOND // 10
_CELLS: Final = 100
_BLOCK: Final = _CELL * _CELLS
_FIRST_REQUOTE: Final = 300, 3_000
"""The first requote after a move, and the refill after a taker, come so many µs later (uniform)."""
_FOLLOW_AFTER: Final = 1_000
_RIPPLE_DELAY: Final = 60_000
_OPENING_TOUCH: Final = 20
_OPENING_DEPTH: Final = 200
_MOST_GENERATIONS: Final = 64
_RANKS: Final = 1_000_000


class _Switches:
    """Independent switches, each +1 or -1, each thrown anew at random times."""

    def __init__(self, rng: np.random.Generator, periods: "list[float]") -> None:
        self._rng = rng
        self._chance = np.array([[min(1.0, _CELL / _SECOND / period)] for period in periods])
        self._state = rng.integers(0, 2, (len(periods), 1)) * 2 - 1

    def step(self) -> Ints:
        """Their states in the next `_CELLS` cells."""
        shape = len(self._state), _CELLS
        thrown = self._rng.random(shape) < self._chance
        faces = self._rng.integers(0, 2, shape) * 2 - 1
        last = np.maximum.accumulate(np.where(thrown, np.arange(_CELLS), -1), axis=1)
        states = np.where(last < 0, self._state, np.take_along_axis(faces, np.maximum(last, 0), axis=1))
        self._state = states[:, -1:]
        return states


class OrderFlow:
    """The rows of one synthetic market: iterate `blocks`, once."""

    def __init__(self, profile: Profile, seed: int, start_ts: int, duration: int, start_price: int) -> None:
        """`start_ts` and `duration` in nanoseconds, `start_price` in ticks. Raises ValueError for a seed below 0, a
        duration or price that is not positive."""
        if seed < 0:
            raise ValueError(f"the seed of the synthetic market is {seed}: give a whole number from 0 on")
        if duration <= 0:
            raise ValueError(f"the duration of the synthetic market is {duration} ns: it must be positive")
        if start_price < 1:
            raise ValueError(f"the start price of the synthetic market is {start_price} ticks: it must be at least 1")
        self.profile = profile
        self.start_ts = start_ts
        self.duration = duration
        self.start_price = start_price
        self._end = -(-duration // 1000)
        self._rng = rng = np.random.Generator(np.random.PCG64(seed))
        self._activity = _Switches(rng, [period for period, _ in profile.activity])
        self._amplitudes = np.array([[amplitude] for _, amplitude in profile.activity])
        self._imbalance = _Switches(rng, [period for period, _ in profile.imbalance])
        self._weights = np.array([[weight] for _, weight in profile.imbalance])
        self._take_sizes = np.array(profile.take_sizes) * profile.size_scale
        self._add_sizes = np.array(profile.add_sizes) * profile.size_scale
        self._jumps = np.array(profile.jumps) * profile.jump_scale
        self._distance_table = np.maximum(np.array(profile.distances) * profile.distance_scale, 1.0)
        self._walk = 0
        self._fair = 0
        # The fair value is folded up at a quarter of the start price, so that it cannot reach 0.
        self._floor = start_price // 4 - start_price
        self._takers = np.empty((4, 0), np.int64)
        self._pending = self._opening()

    def chunks(self, rows: int = CHUNK_ROWS) -> Iterator[Columns]:
        """All rows in order of time, in chunks of `rows` (the last may be shorter)."""
        parts: list[Columns] = []
        held = 0
        for block in self._blocks():
            parts.append(block)
            held += len(block)
            if held >= rows:
                whole = Columns.concat(parts)
                cut = held - held % rows
                for first in range(0, cut, rows):
                    yield whole[first : first + rows]
                parts = [whole[cut:]]
                held -= cut
        if held:
            yield Columns.concat(parts)

    def _blocks(self) -> Iterator[Columns]:
        for begin in range(0, self._end, _BLOCK):
            table = self._block(begin)
            if begin + _BLOCK > self._end:
                table = table[:, table[0] < self._end]
            ts = table[0] * 1000 + self.start_ts
            yield Columns(ts, ts, *(np.ascontiguousarray(values) for values in table[1:]))

    def _block(self, begin: int) -> Ints:
        """The rows (`ts, op, side, x, y`, one a column) of the ten seconds from `begin`."""
        end = begin + _BLOCK
        activity = np.prod(1.0 + self._amplitudes * self._activity.step(), axis=0)
        takers = self._come(begin, activity)
        takers = self._follow(takers)
        takers = np.concatenate((self._takers, takers), axis=1)
        takers = takers[:, np.argsort(takers[0], kind="stable")]
        now = takers[0] < end
        self._takers = takers[:, ~now]
        trades = self._trades(takers[:, now])
        table = np.concatenate(
            (
                self._pending,
                trades,
                self._requotes(trades[:, trades[1] == MOVE]),
                self._refills(trades[:, trades[1] == TAKE]),
                self._ripples(trades[:, trades[1] == TAKE]),
                self._makers(begin, activity),
            ),
            axis=1,
        )
        table = table[:, np.argsort(table[0], kind="stable")]
        now = table[0] < end
        self._pending = table[:, ~now]
        return table[:, now]

    # Takers: one a column, (time, side, rank of the size in millionths, whether the fair value moves)

    def _come(self, begin: int, activity: Floats) -> Ints:
        """The first takers of clusters."""
        profile = self.profile
        ts, cell = self._arrivals(begin, profile.first_rate * _CELL / _SECOND * activity)
        lean = np.sum(self._weights * self._imbalance.step(), axis=0)
        buys = self._rng.random(len(ts)) * 2.0 - 1.0 < lean[cell]
        return self._takers_of(ts, np.where(buys, 1, -1), np.full(len(ts), profile.move_share))

    def _follow(self, takers: Ints) -> Ints:
        """These takers and all who follow them."""
        rng, profile = self._rng, self.profile
        family = [takers]
        shares = np.cumsum([share for share, _ in profile.follow_delays])[:-1]
        delays = np.array([delay for _, delay in profile.follow_delays]) * _SECOND
        number, same_side, move_share = np.array([attrs.astuple(kind) for kind in profile.followers]).T
        for _ in range(_MOST_GENERATIONS):
            takers = np.repeat(takers, rng.poisson(number[takers[3]]), axis=1)
            n = takers.shape[1]
            if n == 0:
                break
            way = np.searchsorted(shares, rng.random(n), side="right")
            delay = (rng.standard_exponential(n) * delays[way]).astype(np.int64)
            turn = np.where(rng.random(n) < same_side[takers[3]], 1, -1)
            takers = self._takers_of(takers[0] + _FOLLOW_AFTER + delay, takers[1] * turn, move_share[takers[3]])
            family.append(takers)
        return np.concatenate(family, axis=1)

    def _takers_of(self, ts: Ints, side: Ints, move_share: Floats) -> Ints:
        """Takers who move the fair value with this probability on average, and more likely the larger they are."""
        rank = self._rng.random(len(ts))
        moves = self._rng.random(len(ts)) < 3.0 * move_share * rank * rank
        return np.stack((ts, side, np.floor(rank * _RANKS).astype(np.int64), moves.astype(np.int64)))

    def _trades(self, takers: Ints) -> Ints:
        """What the takers do: TAKE and MOVE rows."""
        ts, side, rank, moves = takers
        n = len(ts)
        qty = _sizes((rank + 0.5) / _RANKS, self._take_sizes)
        jumps = _whole(np.interp(self._rng.random(n), QUANTILES, self._jumps), self._rng.random(n))
        walk = self._walk + np.cumsum(side * jumps * moves)
        fair = self._floor + np.abs(walk - self._floor)
        change = np.diff(fair, prepend=self._fair)
        if n:
            self._walk = int(walk[-1])
            self._fair = int(fair[-1])
        moved = change != 0
        op = np.where(moved, MOVE, TAKE)
        return np.stack((ts, op, np.where(moved, np.sign(change), side), np.where(moved, fair, 0), qty))

    # Makers

    def _opening(self) -> Ints:
        """The book at the start: a queue at each touch and orders behind it."""
        rng = self._rng
        touch = np.zeros(_OPENING_TOUCH, np.int64)
        depth = _whole(np.interp(np.linspace(0.0, 1.0, _OPENING_DEPTH), DISTANCE_QUANTILES, self._distance_table), 0.0)
        distance = np.concatenate((touch, depth, touch, depth))
        half = len(distance) // 2
        side = np.repeat([1, -1], half)
        n = len(distance)
        qty = _sizes(rng.random(n), self._add_sizes)
        return np.stack((np.zeros(n, np.int64), np.full(n, LIMIT), side, distance, qty))

    def _requotes(self, moves: Ints) -> Ints:
        """New orders at both new touches after a move."""
        rng, profile = self._rng, self.profile
        ts = np.repeat(moves[0], 2 * profile.requotes)
        n = len(ts)
        order = np.arange(n) % (2 * profile.requotes)
        first = order < 2
        delay = rng.integers(*_FIRST_REQUOTE, n)
        delay += np.where(first, 0, rng.standard_exponential(n) * (profile.requote_delay * _SECOND)).astype(np.int64)
        distance = np.where(first, 0, self._distances(n))
        qty = _sizes(rng.random(n), self._add_sizes)
        return np.stack((ts + delay, np.full(n, LIMIT), 1 - 2 * (order % 2), distance, qty))

    def _refills(self, takes: Ints) -> Ints:
        """One new order where a taker took."""
        rng = self._rng
        n = len(takes[0])
        delay = rng.integers(*_FIRST_REQUOTE, n)
        qty = _sizes(rng.random(n), self._add_sizes)
        return np.stack((takes[0] + delay, np.full(n, LIMIT), -takes[2], np.zeros(n, np.int64), qty))

    def _ripples(self, takes: Ints) -> Ints:
        """The unrest that a taker brings: orders and withdrawals of makers."""
        rng = self._rng
        ts = np.repeat(takes[0], rng.poisson(self.profile.ripples, takes.shape[1]))
        delay = (rng.standard_exponential(len(ts)) * _RIPPLE_DELAY).astype(np.int64)
        return self._quotes(ts + delay)

    def _makers(self, begin: int, activity: Floats) -> Ints:
        """The makers' own coming and going."""
        profile = self.profile
        rate = (profile.add_rate + profile.cancel_rate) * _CELL / _SECOND
        ts, _ = self._arrivals(begin, rate * activity)
        return self._quotes(ts)

    def _quotes(self, ts: Ints) -> Ints:
        """At these times an order or a withdrawal, on either side, at the touch or behind it."""
        rng, profile = self._rng, self.profile
        n = len(ts)
        adds = rng.random(n) * (profile.add_rate + profile.cancel_rate) < profile.add_rate
        side = rng.integers(0, 2, n) * 2 - 1
        distance = self._distances(n)
        qty = _sizes(rng.random(n), self._add_sizes)
        slots = np.where(distance == 0, profile.touch_slots, profile.depth_slots)
        place = np.floor(rng.random(n) * slots).astype(np.int64)
        return np.stack((ts, np.where(adds, LIMIT, CANCEL), side, distance, np.where(adds, qty, place)))

    def _distances(self, n: int) -> Ints:
        """How far behind the touch makers act, in ticks."""
        rng, profile = self._rng, self.profile
        behind = rng.random(n) >= profile.touch_share
        return np.where(behind, _whole(np.interp(rng.random(n), DISTANCE_QUANTILES, self._distance_table), 0.0), 0)

    def _arrivals(self, begin: int, expected: Floats) -> tuple[Ints, Ints]:
        """Times, and the cells they lie in, of arrivals of which `expected` come in each cell on average."""
        cell = np.repeat(np.arange(_CELLS), self._rng.poisson(expected))
        return begin + cell * _CELL + self._rng.integers(0, _CELL, len(cell)), cell


def _sizes(rank: Floats, table: Floats) -> Ints:
    """The quantiles at these ranks, in whole lots, at least one."""
    return np.maximum(np.rint(np.interp(rank, QUANTILES, table)).astype(np.int64), 1)


def _whole(values: Floats, chance: Floats | float) -> Ints:
    """These values rounded down or up at random, so that the mean stays."""
    return np.floor(values + chance).astype(np.int64)
