"""A bot in this process: `SimulatedBot` is its `BotFace`, and the host hears it by `Door`.

A market datum for a dispatcher that has nothing to do is handed to it by a switch (`Handed`); its callbacks have run,
or are blocked, when `quote` or `trade` returns. Many rows at once (`ride`) cost one switch: the dispatcher goes through
them as the run's loop would, and stops where something else is due. What comes while it is blocked waits in the
mailbox.
Everything else that the host tells becomes a call on the clock, so that nothing of the bot runs in the middle of what
the engine is doing; answers wake whoever waits for them, which is such a call already.
"""

import threading
from bisect import bisect_left
from collections.abc import Iterator
from operator import length_hint
from typing import Any, Final, TypeAlias

from greenlet import getcurrent  # type: ignore[import-untyped]

from mlthon.engine.faces import QUOTE_ROW, TRADE_ROW
from mlthon.link.bot.mailbox import Item, Mailbox
from mlthon.link.bot.runtime import BotRuntime
from mlthon.link.contract import Answer, Hello, HostFace, ToBot, ToHost, Told
from mlthon.link.simulated.threads import Thread, threads
from mlthon.link.wire import QUOTE_LENGTH, TRADE_LENGTH

Row: TypeAlias = tuple[int, int, int, float, float, float, float, int, int]
"""A number, then what `Told` has of a row."""
COLUMNS: Final = 8
"""Fields of `Told` that have something of each row."""

_TRADE: Final = bytes((TRADE_ROW,))
SHORTEST: Final = 16
LONGEST: Final = 512
"""Rows of one ride: few for a bot that often blocks, since what is left of a ride is thrown away."""


def _thread_raised(args: threading.ExceptHookArgs) -> None:
    """The process's `threading.excepthook`: for the bot that the thread belongs to."""
    (threads.current.owner or threading.__excepthook__)(args)


class Door:
    """A `HostFace` for threads of the bot: what they say is carried out on their stack, as the hub."""

    def __init__(self, host: HostFace) -> None:
        self._host = host

    def tell(self, message: ToHost) -> None:
        me = threads.current
        threads.current = threads.hub
        threads.visiting = True
        try:
            self._host.tell(message)
        finally:
            threads.visiting = False
            threads.current = me


class Handed(Mailbox):
    """A mailbox whose reader, if it is waiting, runs what the hub puts in at once, by `runtime`.

    `quote`, `trade` and the loop of `take_some` are what each market datum costs, so they do by hand what
    `Threads.resume` and `Threads.park` do, less what cannot be: a waiting reader reads no clock and runs no loop of
    asyncio.
    """

    runtime: BotRuntime

    def __init__(self, markets: int, trades_kept: int) -> None:
        super().__init__(markets, trades_kept)
        self._free = False
        self._length = SHORTEST
        self._stopped = False
        self._reader: Thread = threads.hub
        self._greenlet: Any = None
        self._switch: Any = None

    @property
    def idle(self) -> bool:
        return self._free

    def quote(self, market: int, bid: float, bid_size: float, ask: float, ask_size: float, time: int) -> None:
        if self._free and not threads.visiting:
            threads.current = reader = self._reader
            self._switch((market, bid, bid_size, ask, ask_size, time))
            if reader.loop is not None:
                threads.leave_loop()
        else:
            super().quote(market, bid, bid_size, ask, ask_size, time)
            self._rouse()

    def trade(self, market: int, side: int, price: float, size: float, time: int) -> None:
        if self._free and not threads.visiting:
            self.posted[market] += 1
            threads.current = reader = self._reader
            self._switch((market, side, price, size, time))
            if reader.loop is not None:
                threads.leave_loop()
        else:
            super().trade(market, side, price, size, time)
            self._rouse()

    def ride(self, told: Told, row: int, stop: int) -> int:
        """See `BatchFace`."""
        if not self._free or threads.visiting:
            return row
        stop = bisect_left(told.ts, threads.clock.due, row + 1, min(stop, row + self._length))
        numbers = iter(range(row, stop))
        rows = zip(numbers, *(column[row:stop] for column in told[:COLUMNS]), strict=False)
        threads.current = reader = self._reader
        self._stopped = False
        self._switch((rows,))
        if reader.loop is not None:
            threads.leave_loop()
        reached = stop - length_hint(numbers) - self._stopped
        if self._free:
            self._length = min(2 * self._length, LONGEST)
        else:
            self._length = SHORTEST
            for _ in numbers:
                """The reader finds nothing left when it comes back."""
        for market, kinds in told.by_market.items():
            self.posted[market] += kinds.count(_TRADE, row, reached)
        return reached

    def post(self, message: ToBot) -> None:
        super().post(message)
        self._rouse()

    def take_some(self) -> list[Item]:
        """What waits; while nothing does, run what is handed over."""
        me = self._reader = threads.current
        self._greenlet = getcurrent()
        self._switch = self._greenlet.switch
        items, to_hub, hub = self._items, threads.to_hub, threads.hub
        on_quote, on_trade = self.runtime.handle_quote, self.runtime.handle_trade
        while not items and not self._closed:
            me.ticket += 1
            if me.reads:
                me.calm()
            self._free = True
            threads.current = hub
            datum = to_hub()
            self._free = False
            if len(datum) == QUOTE_LENGTH:
                on_quote(*datum)
            elif len(datum) == TRADE_LENGTH:
                on_trade(*datum)
            elif datum:  # `_rouse` gives nothing
                self._go(me, *datum)
        return super().take_some()

    def _go(self, me: Thread, rows: Iterator[Row]) -> None:
        """Run the callbacks of rows, each at its time. `_stopped`: it stopped before the row it took last, because
        something else is due. When a callback has blocked, nothing is left of the rows after it."""
        runtime, clock, markets = self.runtime, threads.clock, self.runtime.markets.at
        bot, on_trade = runtime.bot, runtime.handle_trade
        before, first = -1, True
        for _, now, kind, a, b, c, d, time, market in rows:
            if now >= clock.due and not first:
                self._stopped = True
                return
            first = False
            clock.now = now
            me.ticket += 1
            if me.reads:
                me.calm()
            if market != before:
                before, at = market, markets[market]
                src, sym, quotes = at.src, at.sym, at.quotes
            if kind == QUOTE_ROW:
                quotes[sym] = data = {"bid": [a, b], "ask": [c, d], "time": time}
                try:
                    bot.quote_update(src, sym, data)
                except BaseException as error:  # noqa: BLE001 - a bot's own code
                    runtime.guard.survive("quote_update", error)
            elif kind:
                on_trade(market, 1 if c > 0 else -1, a, b, time)

    def close(self) -> None:
        super().close()
        self._rouse()

    def _rouse(self) -> None:
        """Have a reader that waits look again; a busy one does so when it is done."""
        if self._free:
            self._free = False
            self._reader.greenlet = self._greenlet
            self._reader.woken = False
            threads.unpark(self._reader)


class SimulatedBot:
    """One bot."""

    def __init__(self, host: HostFace) -> None:
        self._door = Door(host)
        self._runtime: BotRuntime

    def quote(self, market: int, bid: float, bid_size: float, ask: float, ask_size: float, time: int) -> None:
        """See `BotFace`; once the bot is there, its mailbox's own method stands here."""
        raise RuntimeError("a quote for a bot that has not said Loaded")

    def trade(self, market: int, side: int, price: float, size: float, time: int) -> None:
        """See `BotFace`; as `quote`."""
        raise RuntimeError("a trade for a bot that has not said Loaded")

    def ride(self, told: Told, row: int, stop: int) -> int:
        """See `BatchFace`; as `quote`."""
        raise RuntimeError("market data for a bot that has not said Loaded")

    def tell(self, message: ToBot) -> None:
        """See `BotFace`."""
        if isinstance(message, Answer):
            self._runtime.tell(message)
        else:
            threads.clock.call_soon(self._deliver, message)

    def _deliver(self, message: ToBot) -> None:
        try:
            if isinstance(message, Hello):
                self._begin(message)
            else:
                threads.hub.owner = self._runtime.guard.thread_raised
                self._runtime.tell(message)
        finally:
            threads.hub.owner = None

    def _begin(self, hello: Hello) -> None:
        mailbox = Handed(len(hello.markets), hello.backlog)
        self._runtime = mailbox.runtime = runtime = BotRuntime(hello, self._door, mailbox=mailbox)
        self.quote = mailbox.quote  # type: ignore[method-assign]
        self.trade = mailbox.trade  # type: ignore[method-assign]
        self.ride = mailbox.ride  # type: ignore[method-assign]
        if threading.excepthook is threading.__excepthook__:  # else it is this already, or a bot's own
            threading.excepthook = _thread_raised
        threads.hub.owner = runtime.guard.thread_raised
        threads.start(threads.spawn(runtime.run, "MainThread", main=True))
