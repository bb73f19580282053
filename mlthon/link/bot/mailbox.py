"""What waits for a bot that is busy: pure, but for the one condition its reader sleeps on.

Quotes are conflated: of each market only the newest waits, in the place of the oldest that was not read. Trades wait
one and all, up to `trades_kept`; beyond that the newest are dropped and counted. Everything else is kept and comes in
its order.
"""

import threading
from collections import deque
from typing import Any, Final, TypeAlias

from mlthon.link.contract import ToBot

TRADES_KEPT: Final = 100_000
"""Trades of all markets together that wait before any is dropped: about 20 MB."""

Item: TypeAlias = int | tuple[int, int, float, float, int] | ToBot
"""An int: the newest quote of this market (`take_quote`); a tuple: a trade, as `BotFace.trade` takes it."""


class Mailbox:
    """Any thread may put things in; one thread takes them out."""

    def __init__(self, markets: int, trades_kept: int = TRADES_KEPT) -> None:
        self._condition = threading.Condition()
        self._items: deque[Item] = deque()
        self._quotes: dict[int, tuple[int, float, float, float, float, int]] = {}
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

    def quote(self, market: int, bid: float, bid_size: float, ask: float, ask_size: float, time: int) -> None:
        with self._condition:
            if market not in self._quotes:
                self._add(market)
            self._quotes[market] = (market, bid, bid_size, ask, ask_size, time)

    def trade(self, market: int, side: int, price: float, size: float, time: int) -> None:
        with self._condition:
            if self._trades >= self._trades_kept:
                self._fresh[market] = self._fresh.get(market, 0) + 1
                return
            self._trades += 1
            self.posted[market] += 1
            self._add((market, side, price, size, time))

    def post(self, message: ToBot) -> None:
        with self._condition:
            self._add(message)

    def take(self) -> Item | None:
        """The next item; waits for one. None once the mailbox is closed."""
        condition = self._condition
        with condition:
            while not self._items:
                if self._closed:
                    return None
                self._waiting = True
                condition.wait()
                self._waiting = False
            if self._closed:
                return None
            item = self._items.popleft()
            if type(item) is tuple:
                self._trades -= 1
            return item

    def take_quote(self, market: int) -> tuple[int, float, float, float, float, int]:
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

    def _add(self, item: Any) -> None:
        self._items.append(item)
        if self._waiting:
            self._condition.notify()
