"""Simulated market data: `python -m tests.simulation.feeds --seeds 100`.

A live feed with an exchange's own feed handler follows a local exchange's book over a network that fails. Whenever the
book counts as live it must be one that the exchange really had; when the faults are over and the market has come to
rest it must be live, and be the exchange's.

A message that is lost or doubled within a connection is a fault of exchanges whose books have sequence numbers:
BitMEX's has none, and nobody could know.
"""

import sys
from collections import Counter
from collections.abc import Collection, Mapping
from random import Random
from typing import Any, Final, cast

from attrs import evolve

from mlthon.api.istrat_env import MDSub
from mlthon.basics.catalogue import resolve
from mlthon.basics.defs import Exchange
from mlthon.basics.instrument import Instrument
from mlthon.data.feed_handlers import feed_handler_module
from mlthon.engine.clock import MS, SECOND, Clock
from mlthon.engine.faces import LIVE, RESET, SET_ASK, SET_BID, STALE
from mlthon.exchange.config import ExchangeConfig
from mlthon.exchange.dialects import find
from mlthon.exchange.served.exchange import ServedExchange
from mlthon.venue.feed_wiring import LiveFeedModule
from mlthon.venue.live_feed import LiveFeed
from tests.simulation.network import Network, Weather
from tests.simulation.seeds import play_seeds
from tests.simulation.sim import START, Outcome
from tests.simulation.venues import VENUES, Venue
from tests.venue.receivers import Seen

MARKETS: Final = ("binance", "binance-usdm", "bitmex", "bybit", "bybit-spot")
WITHOUT_NUMBERS: Final = (Exchange.BitMEX,)
STORM_S: Final = 60
CALM_S: Final = 60
"""A silent subscription is noticed after half a minute or so."""
REST_S: Final = 5
LOOK_EVERY: Final = 50 * MS
LEVELS: Final = 12

Book = tuple[tuple[tuple[int, int], ...], tuple[tuple[int, int], ...]]


class Mirror(Seen):
    """The book as the feed tells it, and whether it counts as live."""

    def __init__(self) -> None:
        super().__init__()
        self.live = False
        self.snapshots = 0
        self.stale = 0

    def book(self, *args: int) -> None:
        super().book(*args)
        self.books.clear()
        if args[0] in (RESET, STALE):
            self.stale += self.live
            self.live = False
        elif args[0] == LIVE:
            self.live = True
            self.snapshots += 1

    def whole(self) -> Book:
        return _book(self.sides[SET_BID], self.sides[SET_ASK])


class Statuses:
    """What is wanted, and whether the feed says that its data can be relied upon."""

    def __init__(self, instrument: Instrument) -> None:
        self.on_change: Any = None
        self.connected = False
        self._instrument = instrument

    def wanted(self) -> Mapping[Instrument, Collection[MDSub]]:
        return {self._instrument: (MDSub.BBO, MDSub.PublicTrades, MDSub.PriceLevelBook)}

    def disconnect(self, detail: str, instruments: Collection[Instrument] | None = None) -> None:
        self.connected = False

    def reconnect(self, detail: str, instruments: Collection[Instrument] | None = None) -> None:
        self.connected = True


class FeedSimulation:
    """One run of one seed."""

    def __init__(self, venue: Venue, seed: int, weather: Weather | None = None) -> None:
        self._seed = seed
        self._venue = venue
        self.clock = clock = Clock(START)
        self._rng = rng = Random(f"{seed} feed {venue.dialect}")
        self.instrument = instrument = resolve(venue.exchange, venue.instrument)
        dialect = find(venue.dialect)
        self._served = ServedExchange(venue.exchange, [instrument], clock, ExchangeConfig(), seed=seed, ids=dialect.ids)
        self.market = self._served.markets[instrument]
        module = cast(LiveFeedModule, feed_handler_module(venue.exchange))
        endpoints = module.environments(venue.exchange)["main"]
        if weather is None:
            whole = {"lost": 0.0, "double": 0.0} if venue.exchange in WITHOUT_NUMBERS else {}
            weather = evolve(Weather(), **whole)
        self.network = Network(clock, dialect(self._served), endpoints.urls, rng, weather, lambda message: None)
        self.mirror = Mirror()
        self.statuses = Statuses(instrument)
        self.feed = LiveFeed(
            venue.exchange, module, endpoints, self.network, clock, self.statuses, {instrument: self.mirror}
        )
        self.problems: list[str] = []
        self.counts: Counter[str] = Counter()
        self._mid = venue.mid
        self._had: set[Book] = set()
        self._moving = True

    # -- the market ---------------------------------------------------------------------------------------------------

    def _set(self, op: int, price: int, qty: int) -> None:
        now = self.clock.now
        self.market.book(op, price, qty, 0, now, now)
        self.counts["change"] += 1
        self._had.add(self._theirs())

    def _theirs(self) -> Book:
        return _book(dict(self.market.bids.best()), dict(self.market.asks.best()))

    def _open(self) -> None:
        now = self.clock.now
        self.market.book(RESET, 0, 0, 0, now, now)
        for away in range(1, LEVELS):
            self._set(SET_BID, self._mid - away, away)
            self._set(SET_ASK, self._mid + away, away)
        self.market.book(LIVE, 0, 0, 0, now, now)

    def _move(self) -> None:
        if not self._moving:
            return
        rng = self._rng
        self._mid += rng.choice((-1, 0, 0, 0, 1))
        for levels, op, sign in ((self.market.bids, SET_BID, 1), (self.market.asks, SET_ASK, -1)):
            for price, _ in levels.best():
                away = (self._mid - price) * sign
                if away <= 0 or away > 2 * LEVELS:
                    self._set(op, price, 0)
            for _ in range(rng.randint(0, 3)):
                away = rng.randint(1, LEVELS)
                self._set(op, self._mid - sign * away, rng.choice((0, rng.randint(1, 50))))
            if not len(levels):
                self._set(op, self._mid - sign, 5)
        now = self.clock.now
        (bid,), (ask,) = self.market.bids.best(1), self.market.asks.best(1)
        self.market.quote(*bid, *ask, now, now)
        if rng.random() < 0.3:
            self.market.trade(self._mid, rng.randint(1, 9), rng.choice((1, -1)), 1, now, now)
        self.clock.call_at(self.clock.now + rng.randint(5, 300) * MS, self._move)

    # -- the run ------------------------------------------------------------------------------------------------------

    def _look(self) -> None:
        if self.mirror.live and self.statuses.connected:
            self.counts["live"] += 1
            if self.mirror.whole() not in self._had:
                self.problems.append(f"at {(self.clock.now - START) / SECOND:.2f} s a book that never was")
        self.counts["look"] += 1
        self.clock.call_at(self.clock.now + LOOK_EVERY, self._look)

    def run(self) -> Outcome:
        """Play the storm, the calm and the market's rest; compare."""
        clock = self.clock
        self._open()
        self._move()
        self.feed.start()
        self._look()
        clock.run_until(clock.now + STORM_S * SECOND)
        self.network.be_calm()
        clock.run_until(clock.now + CALM_S * SECOND)
        self._moving = False
        clock.run_until(clock.now + REST_S * SECOND)
        if not (self.mirror.live and self.statuses.connected):
            self.problems.append("the book is not live in the end")
        elif self.mirror.whole() != self._theirs():
            self.problems.append("the book is not the exchange's in the end")
        self.counts["snapshot"], self.counts["stale"] = self.mirror.snapshots, self.mirror.stale
        return Outcome(self._venue.dialect, self._seed, self.problems, self.network.faults, self.counts)


def _book(bids: dict[int, int], asks: dict[int, int]) -> Book:
    return tuple(sorted(bids.items())), tuple(sorted(asks.items()))


def follow(venue: str, seed: int, weather: Weather | None = None) -> Outcome:
    """One run: the same for the same seed, venue and weather."""
    return FeedSimulation(VENUES[venue], seed, weather).run()


def summary(counts: Counter[str], faults: Counter[str]) -> str:
    live = 100 * counts["live"] / max(1, counts["look"])
    books = f"{counts['change']} changes, {counts['snapshot']} snapshots, {counts['stale']} x stale, live {live:.0f} %"
    return f"{books}, faults {sum(faults.values())}"


if __name__ == "__main__":
    sys.exit(play_seeds("python -m tests.simulation.feeds", __doc__, MARKETS, follow, summary))
