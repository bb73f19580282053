"""What waits for a bot that is busy: pure, but for the one condition its reader sleeps on.

Quotes are conflated: of each market only the newest waits, in the place of the oldest that was not read. Trades wait
one and all, up to `trades_kept`; beyond that the newest are dropped and counted. Everything else is kept and comes in
its order.
"""

import threading
from collections import deque
from collections.abc import Iterable
from typing import Final, TypeAlias

from mlthon.link.contract import ToBot
from mlthon.link.wire import QUOTE_LENGTH, TRADE_LENGTH, Quote, Trade, WireError

TRADES_KEPT: Final = 100_000
"""Trades of all markets together that wait before any is dropped: about 20 MB."""

_AT_ONCE: Final = 256

Item: TypeAlias = int | Trade | ToBot
"""An int: the newest quote of this market (`take_quote`); a tuple: a trade, as `BotFace.trade` takes it."""


class Mailbox:
    """Any thread may put things in; one thread takes them out."""

    def __init__(self, markets: int, trades_kept: int = TRADES_KEPT) -> None:
        self._condition = threading.Condition()
        self._items: deque[Item] = deque()
        self._quotes: dict[int, Quote] = {}
        self._trades_kept = trades_kept
        self._trades = 0
        self._waiting = False
        self._closed = False
        self._fresh: dict[int, int] = {}
        self.posted = [0] * markets
        """Of each market, how many trades were ever put in (and not dropped)."""

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
                elif self._trades < self._trades_kept:
                    self._trades += 1
                    posted[market] += 1
                    items.append(each)
                else:
                    self._fresh[market] = self._fresh.get(market, 0) + 1
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
                found += [self._next() for _ in range(min(len(self._items), _AT_ONCE))]
        return found

    def _next(self) -> Item:
        item = self._items.popleft()
        if isinstance(item, tuple):
            self._trades -= 1
        return item

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
