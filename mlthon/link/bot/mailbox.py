"""What waits for a bot that is busy: pure, but for the one condition its reader sleeps on.

Quotes are conflated: of each market only the newest waits, in the place of the oldest that was not read. Trades wait
one and all, up to `trades_kept` of each market; beyond that its oldest are dropped and counted. Everything else is kept
and comes in its order.
"""

import threading
from collections import deque
from collections.abc import Iterable
from typing import Final, TypeAlias

from mlthon.link.contract import BACKLOG, ToBot
from mlthon.link.wire import QUOTE_LENGTH, TRADE_LENGTH, Quote, Trade, WireError

_AT_ONCE: Final = 256

Item: TypeAlias = int | Trade | ToBot
"""An int: the newest quote of this market (`take_quote`); a tuple: a trade, as `BotFace.trade` takes it."""


class Mailbox:
    """Any thread may put things in; one thread takes them out."""

    def __init__(self, markets: int, trades_kept: int = BACKLOG) -> None:
        self._condition = threading.Condition()
        self._items: deque[Item] = deque()
        self._quotes: dict[int, Quote] = {}
        self._trades_kept = trades_kept
        self._trades = [0] * markets
        """Of each market, how many trades wait."""
        self._stale = [0] * markets
        """Of each market, how many of its first trades in `_items` are dropped: they are passed over when they are
        reached, or cleared away when they are half of what is there."""
        self._waiting = False
        self._closed = False
        self._fresh: dict[int, int] = {}
        self.posted = [0] * markets
        """Of each market, how many trades were ever put in, dropped ones included."""

    @property
    def idle(self) -> bool:
        """Nothing is waiting, and the reader is asleep."""
        with self._condition:
            return self._waiting and not self._items

    @property
    def closed(self) -> bool:
        """Nothing is taken out any more."""
        return self._closed

    def quote(self, market: int, bid: float, bid_size: float, ask: float, ask_size: float, time: int) -> None:
        self.put(((market, bid, bid_size, ask, ask_size, time),))

    def trade(self, market: int, side: int, price: float, size: float, time: int) -> None:
        self.put(((market, side, price, size, time),))

    def put(self, data: Iterable[Quote | Trade]) -> None:
        """Quotes and trades, told apart by their lengths. Raises `WireError` for what is neither, or of no market."""
        items, quotes, posted = self._items, self._quotes, self.posted
        markets = range(len(posted))
        with self._condition:
            for each in data:
                market = each[0]
                if market not in markets or len(each) not in (QUOTE_LENGTH, TRADE_LENGTH):
                    raise WireError(f"a market datum that is neither a quote nor a trade of a market: {each}")
                if len(each) == QUOTE_LENGTH:
                    if market not in quotes:
                        items.append(market)
                    quotes[market] = each
                else:
                    posted[market] += 1
                    items.append(each)
                    if self._trades[market] < self._trades_kept:
                        self._trades[market] += 1
                    else:
                        self._drop(market)
            if self._waiting:
                self._condition.notify()

    def post(self, message: ToBot) -> None:
        with self._condition:
            self._items.append(message)
            if self._waiting:
                self._condition.notify()

    def take(self) -> Item | None:
        """The next item; waits for one. None once the mailbox is closed."""
        condition, items = self._condition, self._items
        with condition:
            while not items and not self._closed:
                self._waiting = True
                condition.wait()
                self._waiting = False
            return None if self._closed else self._next()

    def take_some(self) -> list[Item]:
        """The next item and what waits behind it, some hundred at most: the reader need not fight for the lock over
        each. None at all once the mailbox is closed."""
        first = self.take()
        if first is None:
            return []
        found = [first]
        if self._items:
            with self._condition:
                while self._items and len(found) <= _AT_ONCE:
                    found.append(self._next())
        return found

    def _next(self) -> Item:
        """The first item that is not dropped; behind a dropped trade there is always a newer one of its market."""
        while True:
            item = self._items.popleft()
            if not isinstance(item, tuple):
                return item
            market = item[0]
            if not self._stale[market]:
                self._trades[market] -= 1
                return item
            self._stale[market] -= 1

    def _drop(self, market: int) -> None:
        """The oldest trade of a market waits no more."""
        self._fresh[market] = self._fresh.get(market, 0) + 1
        self._stale[market] += 1
        if 2 * sum(self._stale) > len(self._items):
            left = [each for each in self._items if not self._is_stale(each)]
            self._items.clear()
            self._items.extend(left)

    def _is_stale(self, item: Item) -> bool:
        """Whether it is dropped; asked of each item once, in their order, when dropped ones are cleared away."""
        if not isinstance(item, tuple) or not self._stale[item[0]]:
            return False
        self._stale[item[0]] -= 1
        return True

    def take_quote(self, market: int) -> Quote:
        """The quote that an int taken out stands for."""
        with self._condition:
            return self._quotes.pop(market)

    def take_dropped(self) -> dict[int, int]:
        """Market → trades dropped since this was last asked."""
        if not self._fresh:
            return {}
        with self._condition:
            dropped, self._fresh = self._fresh, {}
            return dropped

    def close(self) -> None:
        """Let nobody wait any more; what is still inside is lost."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()
