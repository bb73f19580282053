"""What a bot knows of its markets: the latest quotes and trades, and the bars it reads.

Bars begin with the host's history. While that is on its way trades go on, and those that the history holds already must
not count twice: the runtime notes how many trades of the market had been put into the mailbox when the answer came
(`mark`), and trades up to there are in it.
"""

import threading
from collections.abc import Iterable, Mapping, Sequence
from logging import Logger
from typing import Any, TypeAlias

from mlthon.link.bot.calls import Calls
from mlthon.link.candles import Bars, Series
from mlthon.link.contract import BARS
from mlthon.link.errors import LinkClosed
from mlthon.link.levels import length_of
from mlthon.link.wire import Quote, Trade

Latest: TypeAlias = dict[str, dict[str, Any]]
"""Symbol → the data of its latest callback."""


class Tracked:
    """The bars of one market at one level, once their history has come."""

    __slots__ = ("_early", "_lock", "_mark", "_ready", "level", "series")

    def __init__(self, level: str) -> None:
        self.level = level
        self.series: Series | None = None
        self._ready = threading.Event()
        self._lock = threading.Lock()
        self._early: list[tuple[int, float, float, int]] = []
        self._mark = 0

    def trade(self, count: int, price: float, size: float, time: int) -> None:
        """The trade that is the market's `count`th."""
        series = self.series
        if series is None or count <= self._mark:
            self._before(count, price, size, time)
        else:
            series.trade(price, size, time)

    def begin(self, src: str, sym: str, rows: Iterable[Mapping[str, Any]], mark: int) -> Bars:
        """The history has come: `rows`, which hold the market's trades up to the `mark`th."""
        with self._lock:
            series = Series(src, sym, self.level, rows)
            self._mark = mark
            for count, price, size, time in self._early:
                if count > mark:
                    series.trade(price, size, time)
            self._early.clear()
            self.series = series
        self._ready.set()
        return series.bars

    def wait(self) -> Bars:
        """The bars; waits for the thread that has asked for their history."""
        while self.series is None:
            self._ready.wait()
        return self.series.bars

    def _before(self, count: int, price: float, size: float, time: int) -> None:
        with self._lock:
            if self.series is None:
                self._early.append((count, price, size, time))
            elif count > self._mark:
                self.series.trade(price, size, time)


class Market:
    """One market that the bot is subscribed to."""

    __slots__ = ("dropped", "handled", "quotes", "src", "sym", "tracked", "trades")

    def __init__(self, src: str, sym: str, quotes: Latest, trades: Latest) -> None:
        self.src, self.sym = src, sym
        self.quotes, self.trades = quotes, trades
        """The latest of all symbols of its exchange."""
        self.handled = self.dropped = 0
        """Trades that have come out of the mailbox or been dropped from it, and all that never reached the bot."""
        self.tracked: tuple[Tracked, ...] = ()

    def bars(self, level: str) -> Bars | None:
        """The bars of a level, if there are any yet."""
        for each in self.tracked:
            if each.level == level and each.series is not None:
                return each.series.bars
        return None


def quote_data(bid: float, bid_size: float, ask: float, ask_size: float, time: int) -> dict[str, Any]:
    """The data of `quote_update`."""
    return {"bid": [bid, bid_size], "ask": [ask, ask_size], "time": time}


def trade_data(side: int, price: float, size: float, time: int) -> dict[str, Any]:
    """The data of `trade_update`."""
    return {"side": "Buy" if side > 0 else "Sell", "price": price, "size": size, "time": time}


class Markets:
    """All of a bot's markets, by their places in `Hello.markets`."""

    def __init__(self, markets: Sequence[tuple[str, str]], calls: Calls, logger: Logger) -> None:
        self.quotes: dict[str, Latest] = {src: {} for src, _ in markets}
        self.trades: dict[str, Latest] = {src: {} for src, _ in markets}
        self.at = [Market(src, sym, self.quotes[src], self.trades[src]) for src, sym in markets]
        self._places = {(market.src, market.sym): place for place, market in enumerate(self.at)}
        self._calls = calls
        self._logger = logger
        self._lock = threading.Lock()

    def begin(self, quotes: Iterable[Quote], trades: Iterable[Trade]) -> None:
        """These were the last quotes and trades when the bot began."""
        for quote in quotes:
            market = self.at[quote[0]]
            market.quotes[market.sym] = quote_data(*quote[1:])
        for trade in trades:
            market = self.at[trade[0]]
            market.trades[market.sym] = trade_data(*trade[1:])

    def streams(self) -> dict[str, list[str]]:
        """See `Link.market_streams`."""
        found: dict[str, list[str]] = {}
        for market in self.at:
            found.setdefault(market.src, []).append(market.sym)
        return found

    def bars(self, src: str, sym: str, level: str) -> Bars:
        """See `Link.get_bars`. The first time it waits for the host's history."""
        length_of(level)
        place = self._places.get((src, sym))
        if place is None:
            known = ", ".join(f"{src} {sym}" for src, sym in self._places) or "none"
            raise ValueError(f"get_bars: not subscribed to {src} {sym} (subscriptions: {known})")
        return self.track(place, level)

    def track(self, place: int, level: str) -> Bars:
        """The bars of a market at a level, begun with their history unless they have been before."""
        market = self.at[place]
        with self._lock:
            tracked = next((each for each in market.tracked if each.level == level), None)
            if tracked is None:
                fresh = Tracked(level)
                market.tracked = (*market.tracked, fresh)
        if tracked is None:
            rows, mark = self._history(place, level)
            return fresh.begin(market.src, market.sym, rows, mark)
        return tracked.wait()

    def drop(self, place: int, count: int) -> None:
        """So many trades of a market never reached the bot."""
        market = self.at[place]
        market.dropped += count
        self._logger.warning(
            "%d trades of %s %s were dropped: the bot is too slow, its callbacks must return sooner",
            *(count, market.src, market.sym),
        )

    def dropped(self) -> list[dict[str, Any]]:
        """What `Link.health` shows of dropped trades."""
        return [{"src": each.src, "sym": each.sym, "trades": each.dropped} for each in self.at if each.dropped]

    def _history(self, place: int, level: str) -> tuple[Sequence[Mapping[str, Any]], int]:
        """Candles to begin with, and how many trades are in them; none where there is no history."""
        market = self.at[place]
        asked = {"src": market.src, "sym": market.sym, "level": level, "count": BARS}
        try:
            envelope, mark = self._calls.ask("history", asked, place)
        except LinkClosed:
            return (), 0
        if error := envelope.get("error"):
            self._logger.warning("%s %s: no history of %s: %s", market.src, market.sym, level, error.get("message"))
        return envelope.get("data") or (), mark
