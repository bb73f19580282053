"""What waits on the engine's side for a bot's process: bounded, and never in the engine's way.

Of each market only the newest quote waits. Trades wait one and all up to a bound a market; beyond it the oldest are
dropped, and the bot is told how many (`Dropped`). Messages are never dropped: answers are as many as a bot's calls. Who
writes takes so many at once (`take`), as frames' items in the order of their coming.
"""

import logging
from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import Any

from mlthon.link.contract import BACKLOG, Dropped, ToBot
from mlthon.link.wire import QUOTE_LENGTH, WireError, encode, encode_quote, encode_trade

log = logging.getLogger("mlthon.link")


class Outbox:
    """A `BotFace` over a wire. `wake` is called when something waits that did not before."""

    def __init__(self, wake: Callable[[], None], trades_kept: int = BACKLOG) -> None:
        self._wake = wake
        self._kept = trades_kept
        self._items: dict[int, Any] = {}
        self._quotes: dict[int, int] = {}
        """Market -> the key of its waiting quote."""
        self._trades: dict[int, deque[int]] = {}
        """Market -> the keys of its waiting trades, oldest first."""
        self._dropped: dict[int, int] = {}
        self._next = 0

    def __len__(self) -> int:
        return len(self._items)

    def _put(self, item: Any) -> int:
        if not self._items:
            self._wake()
        self._next += 1
        self._items[self._next] = item
        return self._next

    def quote(self, market: int, bid: float, bid_size: float, ask: float, ask_size: float, time: int) -> None:
        waiting = self._quotes.get(market)
        if waiting is not None:
            del self._items[waiting]
        self._quotes[market] = self._put((market, bid, bid_size, ask, ask_size, time))

    def trade(self, market: int, side: int, price: float, size: float, time: int) -> None:
        keys = self._trades.get(market)
        if keys is None:
            keys = self._trades[market] = deque()
        if len(keys) >= self._kept:
            del self._items[keys.popleft()]
            self._dropped[market] = self._dropped.get(market, 0) + 1
        keys.append(self._put((market, side, price, size, time)))

    def tell(self, message: ToBot) -> None:
        try:
            self._put(encode(message))
        except WireError as error:
            log.error("a message to a bot is lost: %s", error)

    def take(self, most: int) -> list[bytes]:
        """What has waited longest, encoded, `most` at a time; it waits no more."""
        items = self._items
        taken = [(key, items[key]) for key in islice(items, most)]
        for key, item in taken:
            del items[key]
            if item.__class__ is not tuple:
                continue
            if len(item) == QUOTE_LENGTH:
                del self._quotes[item[0]]
            else:
                self._trades[item[0]].popleft()
        found = [_encoded(item) for _, item in taken]
        if self._dropped:
            found += [encode(Dropped(market, count)) for market, count in self._dropped.items()]
            self._dropped.clear()
        return found


def _encoded(item: Any) -> bytes:
    if item.__class__ is bytes:
        return bytes(item)
    return encode_quote(*item) if len(item) == QUOTE_LENGTH else encode_trade(*item)
